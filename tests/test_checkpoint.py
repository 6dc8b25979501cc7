"""A checkpoint folder is checked: it loads correctly, or one line names what is wrong with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import peft
import pytest
import torch
import transformers
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import families
from rlready.core.config import ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.credit.token_credit import _example
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models import checkpoint
from rlready.models.batch import supervised
from rlready.models.checkpoint import load, load_without_weights
from rlready.models.checksums import CHECKSUMS
from rlready.models.lm import LM, head_of
from rlready.models.logprob import token_logprobs
from rlready.models.tokenizer import tokenizer_of
from rlready.models.transformers_errors import line_of
from rlready.models.weights import ALLOW_PICKLE
from rlready.readiness.stage import readiness
from rlready.runs.checkpoint_names import numbered
from rlready.runs.checkpoint_order import in_training_order, labels, order_warnings, runs_of
from rlready.train.rl import rl
from rlready.train.sft import sft
from tiny import SIZES, tiny_lm, tiny_model, tiny_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
UP = "model.layers.0.mlp.up_proj.weight"
Edit = Callable[[Path], object]


def save(lm: LM, folder: Path, card: str) -> None:
    """As other trainers save, without checksums."""
    checkpoint.save(lm, folder, card)
    (folder / CHECKSUMS).unlink()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    folder = tmp_path_factory.mktemp("good")
    save(tiny_lm(), folder, "card")
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(good, tmp_path / "model"))


def refusal(source: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        load(str(source))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(name: str, content: str | bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def cut(name: str, share: float) -> Edit:
    def edit(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return edit


def piped(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return edit


def configured(**changes: Any) -> Edit:
    return lambda folder: (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | changes))


def weighted(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Edit:
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def normalised(*steps: dict[str, object]) -> Edit:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        normalizer = {"type": "Sequence", "normalizers": steps}
        (folder / "tokenizer.json").write_text(json.dumps(content | {"normalizer": normalizer}))

    return edit


def prefixed(prefix: str) -> Edit:
    return weighted(lambda weights: {prefix + name: w for name, w in weights.items()})


def sharded(weight_map: object) -> Edit:
    def edit(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    return edit


class Code:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def beside(edit: Edit, shard: str) -> Edit:
    """The edit, after which the whole model stands beside a shard again."""

    def both(folder: Path) -> None:
        weights = (folder / WEIGHTS).read_bytes()
        edit(folder)
        (folder / WEIGHTS).write_bytes(weights)
        (folder / shard).write_bytes(weights)

    return both


def pickled(content: Callable[[dict[str, torch.Tensor]], object]) -> Edit:
    def edit(folder: Path) -> None:
        torch.save(content(load_file(folder / WEIGHTS)), folder / "pytorch_model.bin")
        (folder / WEIGHTS).unlink()

    return edit


DAMAGED: dict[str, tuple[Edit, str]] = {
    "config cut": (cut(CONFIG, 0.5), "config.json: not JSON"),
    "config empty": (written(CONFIG, ""), "config.json: not JSON"),
    "config list": (written(CONFIG, "[]"), "config.json: must be a JSON object"),
    "config deep": (written(CONFIG, "[" * 10**5), "config.json: not JSON: nested too deeply"),
    "config pipe": (piped(CONFIG), "config.json: not a regular file"),
    "wrong type": (configured(hidden_size="x"), "config.json: describes no model: .*hidden_size"),
    "no type": (configured(model_type=None), "config.json: no model_type"),
    "unknown type": (configured(model_type="zz"), "model_type 'zz' is not known"),
    "other configuration": (configured(configuration_files=["config.4.0.0.json"]), "configuration_files names other"),
    "own code": (configured(model_type="zz", auto_map={"AutoConfig": "x.Y"}), "auto_map.*is never run"),
    "encoder": (configured(model_type="t5"), "no causal language model of model_type 't5'"),
    "classifier": (configured(architectures=["LlamaForSequenceClassification"]), "a LlamaForSequenceClassification"),
    "gptq": (configured(quantization_config={"quant_method": "gptq"}), r"quantised \(gptq\)"),
    "end": (configured(eos_token_id="x"), "config.json: describes no model: .*eos_token_id"),
    "number of heads": (
        lambda folder: (folder / CONFIG).write_text(
            re.sub(r'"num_attention_heads".*', "", (folder / CONFIG).read_text())
        ),
        "config.json: num_attention_heads is missing",
    ),
    "labels": (configured(num_labels=10**9), "num_labels is 1000000000, more than the 4096 that any model has"),
    "token id": (
        lambda folder: (folder / "tokenizer.json").write_text(
            (folder / "tokenizer.json").read_text().replace('"a": ', '"a": 2147483648, "a2": ', 1)
        ),
        "tokenizer.json: the token 'a' has the id 2147483648: damaged; copy or fetch it again",
    ),
    "shared id": (
        lambda folder: (folder / "tokenizer.json").write_text(
            re.sub(r'"a": (\d+)', r'"a": \1, "a2": \1', (folder / "tokenizer.json").read_text(), count=1)
        ),
        r"tokenizer.json: the tokens 'a' and 'a2' both have the id \d+: damaged; copy or fetch it again",
    ),
    "growing text": (
        normalised(*[{"type": "Replace", "pattern": {"String": "e"}, "content": "ee"}] * 40),
        "tokenizer.json: its normaliser, .* may make a text more than 4096 times as long",
    ),
    "growing where nothing is": (
        normalised(*[{"type": "Replace", "pattern": {"Regex": "(?=e)"}, "content": "e"}] * 40),
        "may make a text more than 4096 times as long",
    ),
    "growing bytes": (normalised(*[{"type": "ByteLevel"}] * 40), "may make a text more than 4096 times as long"),
    "growing map": (
        normalised({"type": "Precompiled", "precompiled_charsmap": b64encode(bytes(4) + b"e" * 9999).decode()}),
        "may make a text more than 4096 times as long",
    ),
    "sampling": (
        written("generation_config.json", '{"max_new_tokens": 0}'),
        "_config.json: cannot be used: .*delete it",
    ),
    "long": (sharded({UP: "y" * 10**5}), "names 'y{199}…', which is not a weight file"),
    "exponent": (weighted(lambda w: w | {UP: w[UP] + 1e34}), f"weight {UP} has a value of 1.0e.34: damaged; copy or"),
    "huge": (
        configured(hidden_size=10**9),
        r"21 weights differ in size from config.json.*\[58, 32\] in the file, \[58, 1000000000\]",
    ),
    "deep": (configured(num_hidden_layers=10**9), "num_hidden_layers is 1000000000, more than the 4096 that any"),
    "deeper": (configured(num_hidden_layers=22), "num_hidden_layers is 22, but its files hold 21 weights"),
    "negative": (configured(num_hidden_layers=-1), "num_hidden_layers is -1"),
    "wider": (configured(intermediate_size=41), "6 weights differ in size from config.json"),
    "tokenizer cut": (cut("tokenizer.json", 0.5), "tokenizer.json: damaged, or not a tokenizer"),
    "tokenizer length": (written("tokenizer_config.json", '{"model_max_length": "x"}'), "tokenizer cannot be loaded"),
    "generation": (written("generation_config.json", "{"), "generation_config.json: not JSON"),
    "template": (written("chat_template.jinja", "é".encode("latin1")), "chat_template.jinja: not UTF-8 text"),
    "weights cut": (cut(WEIGHTS, 0.5), "model.safetensors: damaged"),
    "weights empty": (written(WEIGHTS, ""), "model.safetensors: the file is empty"),
    "weights pointer": (written(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
    "weights header": (written(WEIGHTS, b"\xff" * 64), "model.safetensors: damaged"),
    "weights pipe": (piped(WEIGHTS), "model.safetensors: not a regular file"),
    "weights gone": (lambda folder: (folder / WEIGHTS).unlink(), "the folder has no weights"),
    "not finite": (weighted(lambda w: w | {UP: w[UP] * float("nan")}), f"weight {UP} is not finite"),
    "last zeros": (
        weighted(lambda w: w | {"model.norm.weight": 0 * w["model.norm.weight"]}),
        "all its logits are equal",
    ),
    "fp8": (weighted(lambda w: w | {UP: w[UP].to(torch.float8_e4m3fn)}), f"weight {UP} is stored as F8_E4M3"),
    "stubs": (weighted(lambda w: {k: torch.zeros(0) for k in w}), "21 weights are empty .* as DeepSpeed ZeRO-3 leaves"),
    "gptq, unsaid": (
        weighted(lambda w: w | {UP.replace("weight", "qweight"): torch.zeros(4, 4, dtype=torch.int32)}),
        r"up_proj\.qweight in its file of weights: its weights are quantised, though config\.json does not say how",
    ),
    "unmerged": (
        weighted(lambda w: {f"base_model.model.{k}": v for k, v in w.items()} | {"a.lora_A.b.weight": torch.ones(1)}),
        "a LoRA adapter that is not merged",
    ),
    "SentencePiece": (
        lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"),
        r"the tokenizer is in tokenizer\.model alone; to add tokenizer\.json: .*\)\.save_pretrained\(",
    ),
    "settings alone": (lambda folder: (folder / "tokenizer.json").unlink(), "the folder has no tokenizer"),
    "part": (weighted(lambda w: {k: v for k, v in w.items() if k != UP}), rf"^\S+ 1 weights .* \(first: {UP}\)"),
    "shape": (weighted(lambda w: w | {UP: w[UP][1:].clone()}), rf"first: {UP}, \[39, 32\] in the file, \[40, 32\]"),
    "reward model": (weighted(lambda w: w | {"score.weight": torch.ones(1, 32)}), "score.weight is the head of a rew"),
    "too many": (
        weighted(lambda w: w | {"other.weight": torch.ones(1)}),
        r"1 weights .* not part of Llama.*other\.weight",
    ),
    "module": (prefixed("module."), r"21 weights .* not in the checkpoint .*'module\.', left by a wrapper"),
    "compiled": (prefixed("_orig_mod."), r"'_orig_mod\.', left by a wrapper"),
    "peft": (prefixed("base_model.model."), r"begin with 'base_model\.model\.'"),
    "outside": (sharded({UP: "../good/model.safetensors"}), "not a weight file in this folder"),
    "shard gone": (sharded({UP: "a.safetensors"}), "names a.safetensors, which is missing"),
    "no index": (sharded([]), "no index of weights"),
    "whole and shards": (
        beside(sharded({UP: "a.safetensors"}), "a.safetensors"),
        "holds model.safetensors and, by model.safetensors.index.json, other weights in a.safetensors; delete those",
    ),
    "one weight in two shards": (
        lambda folder: (
            shutil.copy(folder / WEIGHTS, folder / "a.safetensors"),
            (folder / WEIGHTS).rename(folder / "b.safetensors"),
            (folder / INDEX).write_text(json.dumps({"weight_map": {UP: "a.safetensors", "x": "b.safetensors"}})),
        ),
        r"b.safetensors: holds \S+, which another file of the model holds too",
    ),
    "adapter": (
        written("adapter_config.json", "{}"),
        r"both a model \(model.safetensors\) and an adapter \(adapter_co",
    ),
    "weights of an adapter": (
        written("adapter_model.safetensors", ""),
        "and an adapter .adapter_model.safetensors.; mov",
    ),
    "tokenizer's own code": (
        written(
            "tokenizer_config.json", '{"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", null]}}'
        ),
        r"its tokenizer cannot be loaded: it needs custom code \(auto_map\), which is never run$",
    ),
    "rotary positions": (
        configured(rope_parameters={"rope_type": "default", "rope_theta": 0.0}),
        "rotary positions are not finite; correct rope_theta .* in config.json",
    ),
    "code": (pickled(lambda w: {"a": Code()}), "a pickle of more than tensors"),
    "nested": (pickled(lambda w: {"state_dict": w}), "not a dictionary of weights by name"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_folder_is_refused_in_a_line_that_names_the_cause(
    name: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv(ALLOW_PICKLE, "1")
    edit, cause = DAMAGED[name]
    edit(folder)
    assert re.search(cause, refusal(folder))
    assert capfd.readouterr().err == ""
    assert not Path("unpickled").exists()


FLIPPED = "not as it was saved, by its checksum; copy or fetch it again, or delete checksums.sha256 if you changed it"


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        (CONFIG, b"rms_norm", b"rmq_norm", f"config.json: {FLIPPED}"),
        ("tokenizer.json", b'"a"', b'"c"', f"tokenizer.json: {FLIPPED}"),
        (WEIGHTS, b"", b"", f"model.safetensors: {FLIPPED}"),
        (CHECKSUMS, b"  model", b" (model", "checksums.sha256: not a list of checksums"),
        (CHECKSUMS, b"  config", b"  konfig", "konfig.json: missing, but checksums.sha256 lists it"),
    ],
)
def test_a_flipped_bit_of_a_saved_checkpoint_is_noticed(
    name: str, before: bytes, after: bytes, said: str, tmp_path: Path
) -> None:
    """Most of these files can be read after the flip, and would give another model without a word."""
    checkpoint.save(tiny_lm(), tmp_path, "card")
    load(str(tmp_path))
    (tmp_path / "README.md").write_text("another card")
    subprocess.run(["shasum", "-a", "256", "-c", CHECKSUMS], check=True, cwd=tmp_path, capture_output=True)
    content = (tmp_path / name).read_bytes()
    flipped = content.replace(before, after, 1) if before else content[:-1] + bytes([content[-1] ^ 2])
    (tmp_path / name).write_bytes(flipped)
    assert said in refusal(tmp_path)


def test_shards_and_pickles_of_tensors_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_file(folder / WEIGHTS)
    lm = load(str(folder))
    lm.model.save_pretrained(folder / "shards", max_shard_size="30KB")
    lm.tokenizer.save_pretrained(folder / "shards")
    assert (folder / "shards" / INDEX).exists()
    pickled(lambda weights: weights)(folder)
    assert re.search(
        r"model.bin: weights in a pickle, .*safetensors .*, or add --allow-pickle .*ALLOW_PICKLE=1", refusal(folder)
    )
    monkeypatch.setenv(ALLOW_PICKLE, "1")
    for source in (folder, folder / "shards"):
        state = load(str(source)).model.state_dict()
        assert all(torch.equal(state[name], weight) for name, weight in whole.items())


def test_an_index_whose_shards_are_gone_does_not_name_other_weights(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {UP: "a.safetensors"}}))
    load(str(folder))


def test_a_tokenizer_that_draws_tokens_is_made_to_read_a_text_always_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """BPE dropout is switched off, in the checkpoint that is saved, too; anything else that draws is refused."""
    made = ByteLevelBPETokenizer()
    made.train_from_iterator(["one two three four five six seven eight"] * 8, vocab_size=300, show_progress=False)
    with_dropout = json.loads(made.to_str())
    with_dropout["model"]["dropout"] = 0.5
    (folder / "tokenizer.json").write_text(json.dumps(with_dropout))
    tokenizer = tokenizer_of(str(folder))
    assert len({tuple(tokenizer.encode("one two three four five")) for _ in range(20)}) == 1
    assert "warning: its tokenizer has a dropout of 0.5" in capsys.readouterr().err
    tokenizer.save_pretrained(folder / "saved")
    assert not json.loads((folder / "saved" / "tokenizer.json").read_text())["model"]["dropout"]
    drawn = iter(range(10**6))
    monkeypatch.setattr(type(tokenizer), "encode", lambda *_, **__: [next(drawn)])
    with pytest.raises(UserError, match="its tokenizer gives one text other tokens each time"):
        tokenizer_of(str(folder))


def test_advice_of_a_library_on_its_arguments_is_not_passed_on() -> None:
    error = ValueError("The file is odd. Please pass `weights_only=False` to read it. It has 3 parts.")
    assert line_of(error) == "The file is odd. It has 3 parts."


def test_a_panic_in_the_tokenizer_is_a_line(folder: Path) -> None:
    """Tokenizers is written in Rust, whose panics are no Exception."""
    file = folder / "tokenizer.json"
    file.write_text(
        file.read_text().replace('"continuing_subword_prefix": null', '"continuing_subword_prefix": "five5"')
    )
    assert "tokenizer.json: damaged, or not a tokenizer: PanicException" in refusal(folder)


def test_causal_masks_are_not_weights(tmp_path: Path) -> None:
    save(LM(tiny_model("GPTJ", vocab_size=60, n_head=4, rotary_dim=4), tiny_tokenizer(), "old"), tmp_path, "card")
    mask = {"transformer.h.0.attn.bias": torch.ones(1, 1, 128, 128).tril().bool()}
    weighted(lambda weights: weights | mask | {"transformer.h.0.attn.masked_bias": torch.tensor(-1e9)})(tmp_path)
    load(str(tmp_path))
    weighted(lambda weights: weights | {"transformer.h.0.attn.bias": torch.ones(24)})(tmp_path)
    assert "1 weights of the checkpoint are not part of GPTJForCausalLM" in refusal(tmp_path)


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_a_tied_head_is_not_missing(family: str, tmp_path: Path) -> None:
    save(tiny_lm(family=family, tie_word_embeddings=True, **({"n_embd": 32} if family == "GPT2" else {})), tmp_path, "")
    assert not any("lm_head" in name for name in load_file(tmp_path / WEIGHTS))
    model: Any = load(str(tmp_path)).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./gone", "no such folder"),
        ("run/checkpoint-15", "no such folder, and not looked up on the hub"),
        ("here/gone", "no such folder, and not looked up on the hub"),
        ("her/checkpoint-15", "no such folder, and not looked up on the hub; did you mean here?"),
        ("./her/file", "no such folder; did you mean here/file?"),
        ("step_3", "no such folder, and not looked up on the hub"),
        ("some one/model", "no such folder, and not looked up on the hub"),
        ("here/link", "a link to a missing folder"),
        ("here/file", "a file, not a checkpoint folder"),
        ("owner/model", "hub cannot be reached; where it can, run `hf download owner/model --local-dir DIR`, copy"),
        ("owner/none", "no such folder, and no such model on the Hugging Face hub"),
    ],
)
def test_a_missing_folder_is_reported_at_once(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def model_info(self: HfApi, source: str, **_: Any) -> None:
        asked.append(source)
        if source == "owner/none":
            raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)
        raise ConnectionError

    monkeypatch.setattr(HfApi, "model_info", model_info)
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    Path("here/file").touch()
    Path("here/link").symlink_to("nowhere")
    began = time.monotonic()
    assert said in refusal(name)
    assert time.monotonic() - began < 5
    assert asked == ([name] if name.startswith("owner/") else [])


def test_a_model_that_was_fetched_before_needs_no_hub(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache as the hub's client lays it out; of a model that it lacks, the files of tokenizer and weights."""
    cached = tmp_path / "models--owner--name"
    shutil.copytree(good, cached / "snapshots" / "1")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: 1 / 0)
    assert load("owner/name").source == "owner/name"
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=[]))
    bare = shutil.copytree(good, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda _, **settings: str(bare))
    assert load_without_weights("owner/other").vocabulary == load(str(good)).vocabulary
    with pytest.raises(UserError, match=r"bare: the folder has no weights \(model\.safetensors\)$"):
        load_without_weights(str(bare))
    (bare / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"without their index: copy \S+/bare/model\.safetensors\.index\.json, too$"):
        load_without_weights(str(bare))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda _, **settings: asked.append(settings) or str(good))
    load("owner/other")
    assert [("*.bin" in each["allow_patterns"], each["local_files_only"]) for each in asked] == [
        (False, False),
        (True, False),
    ]


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (
            "checkpoint-9/config.json checkpoint-9/model.safetensors tokenizer/config.json "
            "checkpoint-10/adapter_config.json checkpoint-10/adapter_model.safetensors",
            r"it holds 2 checkpoints: \S+checkpoint-9, \S+checkpoint-10$",
        ),
        (
            " ".join(f"step-{n}/{name}" for n in (5, 11, 7, 9, 8) for name in ("config.json", "pytorch_model.bin")),
            r"it holds 5 checkpoints: \S+step-5 to \S+step-11$",
        ),
        ("tokenizer/config.json tokenizer/tokenizer.json", r"config\.json is missing$"),
        *(
            (
                f"{at}/config.json {at}/model.safetensors {at}/tokenizer.json",
                rf"it holds 1 checkpoint: \S+{at}$",
            )
            for at in ("global_step_5/actor/huggingface", "snapshots/a1b2", "weights/step_5", "step_5/huggingface")
        ),
        (
            " ".join(f"global_step_{n}/actor/model_world_size_2_rank_0.pt" for n in (20, 5)),
            r"it holds 2 checkpoints: \S+global_step_5, \S+global_step_20$",
        ),
        ("model_world_size_2_rank_0.pt", "verl's shards: python -m verl.model_merger .* --backend fsdp"),
        ("actor/model_world_size_2_rank_0.pt", r"--local_dir \S+/actor --target_dir OUT"),
        (
            "actor/model_world_size_2_rank_0.pt actor/lora_adapter/adapter_config.json",
            r"; name \S+/actor/lora_adapter$",
        ),
        ("iter_0000040/__0_0.distcp iter_0000040/common.pt", r"it holds 1 checkpoint: \S+/iter_0000040$"),
        ("__0_0.distcp", r"accelerate merge-weights \S+ OUT if FSDP's, else what their trainer exports$"),
        ("pytorch_model_fsdp_0/.metadata", r"accelerate merge-weights \S+pytorch_model_fsdp_0 OUT"),
        ("global_step5/mp_rank_00_model_states.pt", "python zero_to_fp32.py"),
        ("model.gguf", "GGUF"),
        ("ft-model-00001-of-00001.safetensors", r"torchtune's weights: rename \S+ to model.safetensors"),
        ("hf_model_0001_0.pt", "torchtune's weights in a pickle: set safe_serialization"),
        ("actor/huggingface/config.json actor/huggingface/model.safetensors", r"name \S+actor/huggingface$"),
    ],
)
def test_folders_of_other_trainers_say_how_to_convert_them(inside: str, said: str, tmp_path: Path) -> None:
    for name in inside.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=said):
        load(str(tmp_path))


ADAPTERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of the base, and of the adapter
    "dora, ranks": ({}, {"use_dora": True, "rank_pattern": {"layers.0.self_attn.q_proj": 2}}),
    "head": ({"tie_word_embeddings": True}, {"modules_to_save": ["lm_head"]}),
    "tied": (
        {"tie_word_embeddings": True},
        {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    ),
    "resized": ({}, {"modules_to_save": ["lm_head", "embed_tokens"]}),
}


def adapted(base: LM, folder: Path, **settings: Any) -> torch.Tensor:
    """Write a base and a random adapter of it; logits of the two together."""
    (folder / "base").mkdir(parents=True)
    save(base, folder / "base", "card")
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "base")
    if "resized" in folder.name:
        model.resize_token_embeddings(64)
    config: dict[str, Any] = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | settings
    tuned = peft.get_peft_model(model, peft.LoraConfig(**config)).eval()
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
        logits: torch.Tensor = tuned(input_ids=torch.arange(3, 20)[None]).logits
    tuned.save_pretrained(folder / "adapter")
    base.tokenizer.save_pretrained(folder / "adapter")
    return logits


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_of_any_form_is_merged_and_saved(name: str, tmp_path: Path) -> None:
    changes, settings = ADAPTERS[name]
    wanted = adapted(tiny_lm(**changes), tmp_path / name, **settings)
    lm = load(str(tmp_path / name / "adapter"))
    (tmp_path / "saved").mkdir()
    save(lm, tmp_path / "saved", "card")
    for model in (lm.model, load(str(tmp_path / "saved")).model):
        with torch.no_grad():
            found = model(input_ids=torch.arange(3, 20)[None]).logits
        assert torch.allclose(found, wanted, atol=1e-4)


def test_an_adapter_without_a_tokenizer_has_that_of_its_base(adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    for file in (*folder.glob("tokenizer*"), *folder.glob("*.jinja")):
        file.unlink()
    assert load(str(folder)).prompt_ids("a", think=True) == load(str(adapter)).prompt_ids("a", think=True)


def test_adapters_with_the_names_of_transformers_4_are_those_of_today(tmp_path: Path) -> None:
    """Mixtral's experts were modules each; a model inside one with images had another prefix."""
    lm = tiny_lm(family="Mixtral", num_local_experts=2)
    adapted(lm, tmp_path / "mixtral")
    generator = torch.Generator().manual_seed(0)
    experts: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for layer in range(2):
        for expert in range(2):
            for name, (rows, columns) in {"w1": (40, 32), "w2": (32, 40), "w3": (40, 32)}.items():
                place = f"base_model.model.model.layers.{layer}.block_sparse_moe.experts.{expert}.{name}"
                a, b = torch.randn(4, columns, generator=generator), torch.randn(rows, 4, generator=generator)
                experts[place] = (0.3 * a, 0.3 * b)
    folder = tmp_path / "mixtral" / "adapter"
    kept = {
        f"{place}.lora_{which}.weight": w for place, ab in experts.items() for which, w in zip("AB", ab, strict=True)
    }
    tensors(lambda weights: weights | kept)(folder)
    plain: Any = load(str(tmp_path / "mixtral" / "base")).model
    with_queries = load_file(folder / "adapter_model.safetensors")
    settings_of(target_modules=["q_proj", "v_proj", "w1", "w2", "w3"])(folder)
    scale = json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] / 4
    wanted = dict(plain.named_parameters())
    with torch.no_grad():
        for place, (a, b) in experts.items():
            _, _, _, _, layer, _, _, expert, name = place.split(".")
            inner = "down_proj" if name == "w2" else "gate_up_proj"
            part = {"w1": slice(0, 40), "w2": slice(None), "w3": slice(40, 80)}[name]
            wanted[f"model.layers.{layer}.mlp.experts.{inner}"][int(expert), part] += scale * b @ a
        for key in with_queries:
            if "_proj.lora_A" in key:
                name = key.removeprefix("base_model.model.").replace(".lora_A", "")
                wanted[name] += scale * with_queries[key.replace("lora_A", "lora_B")] @ with_queries[key]
    state = load(str(folder)).model.state_dict()
    assert all(torch.allclose(state[name], weight, atol=1e-5) for name, weight in wanted.items())

    gemma = LM(gemma3(nested=True), tiny_tokenizer(), "gemma")
    logits = adapted(gemma, tmp_path / "gemma", target_modules=r".*language_model.*(q_proj|v_proj)")
    folder = tmp_path / "gemma" / "adapter"
    assert any(".model.language_model." in name for name in load_file(folder / "adapter_model.safetensors"))
    tensors(lambda w: {k.replace("model.language_model.", "language_model.model."): v for k, v in w.items()})(folder)
    with torch.no_grad():
        assert torch.allclose(load(str(folder)).model(torch.arange(3, 20)[None]).logits, logits, atol=1e-4)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "plain"
    adapted(tiny_lm(), folder)
    return folder / "adapter"


def settings_of(**changes: Any) -> Edit:
    def edit(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return edit


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Edit:
    file = "adapter_model.safetensors"
    return lambda folder: save_file(change(load_file(folder / file)), folder / file)


MISFITS: dict[str, tuple[Edit, str]] = {
    "names": (tensors(lambda w: {"x." + k: v for k, v in w.items()}), r"8 of the adapter's 8 weights .* \(first: x\."),
    "part": (tensors(lambda w: dict(list(w.items())[:3])), "5 weights of the adapter are not in its file"),
    "none": (tensors(lambda w: {}), "holds no weights"),
    "stubs": (tensors(lambda w: {k: v[:0, :0].clone() for k, v in w.items()}), "are empty, as DeepSpeed ZeRO-3 leaves"),
    "shape": (tensors(lambda w: {k: v[:, :3].clone() for k, v in w.items()}), "does not fit its base.*size mismatch"),
    "rank": (settings_of(r=10**9), "has the rank 1000000000, but no weight"),
    "integers": (
        tensors(lambda w: {k: v.to(torch.int8) for k, v in w.items()}),
        r"weight \S+ is stored as I8, not in floating point",
    ),
    "endless pattern": (settings_of(target_modules="(.*)*(.*)*(.*)*x"), "can take for ever to match; list the modules"),
    "endless groups": (settings_of(target_modules=r"((\w+\.?))+!"), "can take for ever to match; list the modules"),
    "endless choices": (settings_of(target_modules="(a|a)*b"), "can take for ever to match; list the modules"),
    "endless saved": (settings_of(modules_to_save=[r"(\w+\.?)+!"]), "can take for ever to match; list the modules"),
    "megatron": (
        settings_of(megatron_config={"a": 1}, megatron_core="this"),
        "megatron_config is for layers of Megatron",
    ),
    "many patterns": (settings_of(rank_pattern={".*" * 9: 4}), "can take for ever to match; list the modules"),
    "scale": (settings_of(lora_alpha=0), "adapter_config.json: lora_alpha must be a number other than 0"),
    "long name": (settings_of(base_model_name_or_path="x" * 5000), "base model is not found: x+…$"),
    "kind": (settings_of(peft_type="ZZ"), "peft_type 'ZZ' is not known"),
    "prompt": (settings_of(peft_type="PROMPT_TUNING", num_virtual_tokens=4), "PROMPT_TUNING has no weights that"),
    "random": (settings_of(init_lora_weights="pissa_niter_4"), "PiSSA adapter .* its weights differ at every load"),
    "task": (settings_of(task_type="SEQ_CLS"), "an adapter for SEQ_CLS"),
    "no base": (settings_of(base_model_name_or_path=None), "names no base model"),
    "base gone": (
        settings_of(base_model_name_or_path="sft/checkpoint-3"),
        "base model is not found: sft/checkpoint-3: no",
    ),
    "itself": (settings_of(base_model_name_or_path="../adapter"), "is an adapter, too"),
    "config": (written("adapter_config.json", "{"), "adapter_config.json: not JSON"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_an_adapter_that_does_not_fit_its_base_is_refused(name: str, adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    edit, cause = MISFITS[name]
    edit(folder)
    with pytest.raises(UserError, match=cause):
        load(str(folder))


def test_an_adapter_of_a_base_of_another_size_is_refused_before_anything_is_loaded(
    adapter: Path, tmp_path: Path
) -> None:
    """With both sizes, and the name of the setting that is wrong."""
    save(tiny_lm(hidden_size=64), wider := tmp_path / "wider", "")
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    load_without_weights(str(folder))
    settings_of(base_model_name_or_path=str(wider))(folder)
    message = r"an adapter of another base: its model\.layers\.0\.\S+ is for a weight of \d+ x 32, that of .*wider has"
    with pytest.raises(UserError, match=message):
        load_without_weights(str(folder))


def test_what_loads_but_is_hardly_meant_is_warned_of(
    folder: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weighted(lambda w: w | {UP: 0 * w[UP]})(folder)
    configured(rope_parameters={"rope_theto": 1e6, "rope_type": "default"})(folder)
    load(str(folder))
    untrained = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    tensors(lambda w: {name: 0 * each if "lora_B" in name else each for name, each in w.items()})(untrained)
    load(str(untrained))
    said = capsys.readouterr().err
    assert f"1 matrices of weights are 0 throughout (first: {UP})" in said
    assert (
        "config.json: warning: Unrecognized keys in `rope_parameters` for 'rope_type'='default': {'rope_theto'}" in said
    )
    assert "adapter: warning: the adapter changes nothing: all its lora_B weights are 0, as before training" in said
    load(str(adapter))
    assert "warning" not in capsys.readouterr().err


def test_a_layer_of_nothing_but_zeros_is_refused(folder: Path) -> None:
    """The end of a file that was reserved but not fetched; layers that are added as the identity have other weights."""
    identity = ("o_proj", "down_proj")  # LLaMA Pro's
    weighted(lambda w: {name: 0 * each if any(k in name for k in identity) else each for name, each in w.items()})(
        folder
    )
    load(str(folder))
    weighted(lambda w: {name: 0 * each if ".layers.1." in name else each for name, each in w.items()})(folder)
    with pytest.raises(
        UserError, match=r"all weights of model\.layers\.1 are 0: its file was not copied or fetched whole"
    ):
        load(str(folder))


def test_the_base_is_looked_for_here_and_beside_the_adapter(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relative path is one of the working directory, the adapter's folder or the folder above; else a hub id."""
    folder = Path(shutil.copytree(adapter.parent, tmp_path / "moved")) / "adapter"
    (folder / "base").mkdir()  # no checkpoint
    for name in ("base", "../base"):
        settings_of(base_model_name_or_path=name)(folder)
        assert load(str(folder)).context == SIZES["max_position_embeddings"]
    assert "warning" not in capsys.readouterr().err
    shutil.copytree(folder.parent / "base", tmp_path / "here/base")
    monkeypatch.chdir(tmp_path / "here")
    settings_of(base_model_name_or_path="base")(folder)
    load(str(folder))
    assert f"its base base may be base or {folder.parent}/base: the first is taken; write" in capsys.readouterr().err
    monkeypatch.setattr("rlready.models.adapter.fetched", lambda *_, **__: folder.parent / "base")
    settings_of(base_model_name_or_path="owner/name")(folder)
    load(str(folder))
    assert (
        "its base owner/name is not a local folder and is fetched from the Hugging Face hub" in capsys.readouterr().err
    )


def test_a_merged_adapter_trains(adapter: Path, tmp_path: Path) -> None:
    problems = tmp_path / "p.jsonl"
    problems.write_text("".join(f'{{"id": "{i}", "prompt": "a{i}", "answer": "{i}"}}\n' for i in range(2)))
    rows = tmp_path / "r.jsonl"
    rows.write_text("".join(f'{{"id": "{i}", "prompt": "a{i}", "response": "{i}"}}\n' for i in range(4)))
    held = tmp_path / "h.jsonl"
    held.write_text('{"id": "h", "prompt": "b", "response": "1"}')
    p, model = str(problems), str(adapter)
    sft(SFTConfig(model=model, rows=str(rows), heldout=str(held), epochs=1), tmp_path / "sft")
    small = {"thinking_budget": 4, "max_answer_tokens": 4, "group_size": 2}
    rl(
        RLConfig(
            model=model, problems=p, validation=p, steps=1, prompts_per_step=2, eval_every=1, eval_samples=1, **small
        ),
        tmp_path / "rl",
    )
    config = ReadinessConfig(checkpoints=(model,), problems=p, heldout="", samples=2, influence=True, **small)
    assert readiness(config, tmp_path / "readiness").checkpoints[0].influence.parameters > 0  # type: ignore[union-attr]


def test_tokens_in_the_padding_of_the_vocabulary_can_be_read_back(tmp_path: Path) -> None:
    lm = tiny_lm(vocab_size=80)
    ids = [*lm.encode("ab"), 79, *lm.encode("c")]
    assert lm.decode(ids) == "abc"
    assert lm.pieces(ids) == ["a", "b", "", "c"]
    assert lm.vocabulary == 80
    assert list(_example(lm, lm.encode("q"), ids, "here").response_ids) == ids
    with pytest.raises(UserError, match="token 80 is not in the model's vocabulary of 80"):
        _example(lm, lm.encode("q"), [80], "here")
    table = tmp_path / "samples.jsonl"
    (tmp_path / "model").mkdir()
    save(lm, tmp_path / "model", "card")
    problems = tmp_path / "p.jsonl"
    problems.write_text('{"id": "x", "prompt": "a", "answer": "1"}\n{"id": "y", "prompt": "b", "answer": "2"}\n')
    right = [79, *lm.encode("</think>1"), 79, 2]
    config = ReadinessConfig(
        problems=str(problems), heldout="", samples=1, group_size=1, thinking_budget=4, max_answer_tokens=4
    )
    for tokens, said in (
        (right, ""),
        ([80], "is none of the 80"),
        (["a"], "whole numbers"),
        ([-1], "whole numbers|none of"),
    ):
        table.write_text("".join(json.dumps({"problem_id": p, "tokens": tokens}) + "\n" for p in "xy"))
        config = config.replace(checkpoints=(f"{table}?model={tmp_path / 'model'}",))
        if said:
            with pytest.raises(UserError, match=said):
                readiness(config, tmp_path / f"run-{tokens[0]}")
        else:
            assert readiness(config, tmp_path / "run").checkpoints[0].pass_at_k[1].value == 0.5


GEMMA = {**SIZES, "vocab_size": 80, "num_hidden_layers": 7, "head_dim": 6, "sliding_window": 5}
VISION = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2}


def gemma3(*, nested: bool) -> Any:
    text = GEMMA | {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.Gemma3TextConfig(**text)
    if nested:
        vision = VISION | {"image_size": 28, "patch_size": 14}
        config = transformers.Gemma3Config(
            text_config=text, vision_config=vision, image_token_index=77, boi_token_index=78, eoi_token_index=79
        )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_nested_configurations_give_context_window_and_layers(nested: bool, tmp_path: Path) -> None:
    """Gemma 3 with its images and without: what is sampled has the log-probabilities of the model's own forward."""
    model = gemma3(nested=nested)
    save(LM(model, tiny_tokenizer(), "gemma"), tmp_path, "card")
    lm = load(str(tmp_path))
    assert (lm.context, lm.vocabulary) == (128, 80)
    head_of(lm.model)
    engine = TorchEngine(lm, forcing_for(lm))
    requests = requests_for(lm, [Problem(f"p{i}", "what is " + "x" * i, "1") for i in range(2)], 3, Budget(16, 8))
    for request, sample in zip(requests, engine.sample(requests, temperature=1.0, seed=0), strict=True):
        prompt, tokens = list(request.prompt_ids), sample.tokens.tolist()
        with torch.no_grad():
            logits = lm.model(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
            scored, _ = token_logprobs(lm.model, [supervised(prompt, tokens)])
        wanted = torch.log_softmax(logits, -1).gather(-1, torch.tensor(tokens)[:, None])[:, 0]
        assert torch.allclose(scored, wanted, atol=1e-4)
        chosen = torch.from_numpy(sample.mask.astype(bool))
        assert torch.allclose(torch.tensor(sample.logprobs)[chosen], wanted[chosen], atol=1e-4)


MIXED = {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}
CHUNKS = {"num_local_experts": 2, "intermediate_size_mlp": 48, "head_dim": 8, "attention_chunk_size": 6}
ROBERTA = {"is_decoder": True, "max_position_embeddings": 300}


@pytest.mark.parametrize(
    ("family", "changes", "plain", "budgets"),
    [
        ("Falcon", {"alibi": True, "multi_query": True, "new_decoder_architecture": False}, "", ""),
        ("GPT2", {}, "", ""),
        ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128}, "", "logits in a batch differ"),
        ("GPTNeo", {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}, "", "type local"),
        ("Rwkv", {"attention_hidden_size": 24, "context_length": 128}, "logits in a batch differ", ""),
        ("Roberta", ROBERTA, "logits in a batch differ", ""),
        ("Mamba", {"state_size": 8}, "layers of type linear_attention", ""),
        ("Lfm2", MIXED, "layers of type conv", ""),
        ("Llama4Text", CHUNKS, "layers of type chunked_attention", ""),
        ("OpenAIGPT", {"n_embd": 24, "n_layer": 2, "n_head": 4}, "its cache cannot be used in a batch", ""),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_a_batch_samples_wrongly_is_refused(
    family: str, changes: dict[str, Any], plain: str, budgets: str, dtype: torch.dtype
) -> None:
    lm = LM(tiny_model(family, **{"vocab_size": 60} | changes).to(dtype), tiny_tokenizer(), family)
    engine = TorchEngine(lm, forcing_for(lm))
    for budget, cause in ((Budget(None, 4), plain), (Budget(4, 4), plain or budgets)):
        requests = requests_for(lm, [Problem("a", "what", "1"), Problem("b", "why not", "1")], 2, budget)
        if cause:
            with pytest.raises(UserError, match=f"sampling .* not supported: .*{cause}"):
                engine.sample(requests, temperature=1.0, seed=0)
        else:
            assert len(engine.sample(requests, temperature=1.0, seed=0)) == 4


def test_what_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Llama4ForCausalLM: its backbone cannot be separated from its head"):
        head_of(tiny_model("Llama4Text", **CHUNKS))
    with pytest.raises(UserError, match="RobertaForCausalLM: its backbone cannot be separated from its head"):
        head_of(tiny_model("Roberta", **ROBERTA))  # with a layer between the two
    save(LM(tiny_model("Bert", vocab_size=60), tiny_tokenizer(), "bert"), tmp_path, "card")
    assert "not a causal language model: this BertLMHeadModel attends to later tokens" in refusal(tmp_path)


def test_a_head_with_infinite_logits_is_not_called_a_cap() -> None:
    model = tiny_lm().model
    with torch.no_grad():
        model.get_parameter(UP).fill_(float("nan"))
    with pytest.raises(UserError, match="logits are not finite"):
        head_of(model)


@pytest.mark.parametrize(
    ("name", "run", "number"),
    [
        ("r/checkpoints/step-40", "r/checkpoints", 40),
        ("r/checkpoint-40", "r", 40),
        ("r/checkpoint_40/", "r", 40),
        ("r/checkpoint-40-merged", "r", 40),
        ("r/step_40", "r", 40),
        ("r/step10", "r", 10),
        ("r/global_step_40", "r", 40),
        ("r/global_step40", "r", 40),
        ("r/global_step_40/actor/huggingface", "r", 40),
        ("r/epoch-3", "r", 3),
        ("r/epoch_3", "r", 3),
        ("r/ckpt-7", "r", 7),
        ("r/iter_0000010", "r", 10),
        ("r/checkpoints/30", "r/checkpoints", 30),
        ("r/30", None, None),
        ("r/actor", None, None),
        ("r/hf_step_40", "r", 40),
        ("r/global_step_40/merged_hf_model", "r", 40),
        ("r/checkpoint-40/model", "r", 40),
        ("r/epoch-1-step-40", "r", 40),
        ("r/epoch=1-step=40", "r", 40),
        ("r/step40-tokens4B", "r", 40),
        ("r/ep10", "r", 10),
        ("r/model-40", "r", 40),
        ("r/ba40", "r", 40),
        ("r/model", None, None),
        ("r/stepwise-3b", None, None),
        ("r/checkpoint-40/samples.parquet", "r", 40),
        ("r/checkpoint-40/samples.jsonl.gz", "r", 40),
        ("r/checkpoint-40.jsonl", "r", 40),
        ("lm/__ckpts__r__checkpoint-40", "lm/__ckpts__r", 40),
        ("lm/__ckpts__r__checkpoint-40/samples_gsm8k_2026.jsonl", "lm/__ckpts__r", 40),
        ("r/checkpoint-40/2026_gsm8k.eval", "r", 40),
        ("r/40.jsonl", None, None),
    ],
)
def test_the_numbers_of_every_trainer(name: str, run: str | None, number: int | None) -> None:
    found = numbered(name)
    assert (found and found.run, found and found.number) == (run, number)


def test_two_tables_in_one_numbered_folder_have_names_of_their_own() -> None:
    names = ["base/model", "r/checkpoint-40/greedy.csv", "r/checkpoint-40/t1.csv"]
    assert list(labels(names).values()) == ["model", "greedy.csv", "t1.csv"]


def test_numbered_folders_are_in_order_and_of_one_run() -> None:
    given = ["r/step_10", "r/step_100", "other", "r/step_9"]
    assert in_training_order(given) == ["r/step_9", "r/step_10", "other", "r/step_100"]
    assert runs_of(given) == {"r/step_10": "r", "r/step_100": "r", "other": None, "r/step_9": "r"}
    trl = ["out/", "out/checkpoint-20", "out/checkpoint-3"]
    assert in_training_order(trl) == ["out/checkpoint-3", "out/checkpoint-20", "out/"]
    assert set(runs_of(trl).values()) == {"out"}
    verl = [f"r/global_step_{n}/actor/huggingface" for n in (20, 3)]
    assert in_training_order(verl) == verl[::-1]
    skyrl = [f"skyrl:eval/global_step_{step}_evals/gsm8k.jsonl" for step in (10, 2)]
    assert in_training_order(skyrl) == skyrl[::-1]
    assert list(labels(skyrl).values()) == ["global_step_10_evals", "global_step_2_evals"]
    assert set(runs_of(["a/step-2/x.txt", "a/rows.jsonl"]).values()) == {None}
    assert list(labels(verl).values()) == ["global_step_20", "global_step_3"]
    assert order_warnings([*given, *trl, *verl[:1]]) == [
        "r: globalstep and step count different things, so the order of training is not known"
    ]
    final = ["r/checkpoint-final", "r/final", "r/merged", "r/checkpoint-20", "r/checkpoint-3", "r/checkpoint-best"]
    assert in_training_order(final)[:5] == ["r/checkpoint-3", "r/checkpoint-20", *final[:3]]
    assert [runs_of(final)[name] for name in final] == ["r"] * 5 + [None]
    bare = ["r/100", "r/final", "r/20"]
    assert in_training_order(bare) == ["r/20", "r/100", "r/final"]
    assert set(runs_of(bare).values()) == {"r"}
    assert set(runs_of(["r/100", "r/20", "r/base"]).values()) == set(runs_of(["r/100"]).values()) == {None}
    mixed = ["r/epoch-1", "r/step-50"]
    assert in_training_order(mixed[::-1]) == mixed[::-1]
    assert len(set(runs_of(mixed).values())) == 2
    assert order_warnings(["r/checkpoint-5", "r/checkpoint-5-merged"])[0].startswith(
        "r: several checkpoints have the number 5"
    )
    for in_order in (
        ["r/step_1k", "r/step_2k", "r/step_10k"],
        ["r/ep0-ba9-rank0", "r/ep0-ba10-rank0"],
    ):
        assert in_training_order(in_order[::-1]) == in_order
        assert (set(runs_of(in_order).values()), order_warnings(in_order)) == ({"r"}, [])


def test_names_that_seem_to_have_a_step_but_cannot_be_read_are_said() -> None:
    names = ["r/sft-step-10-hf", "r/sft-step-100-hf", "r/sft-step-9-hf"]
    assert order_warnings(names) == [
        "r: sft-step-10-hf, sft-step-100-hf and sft-step-9-hf: run and step cannot be read from such names, so each is "
        "taken for a run of its own, in the order given; name them step-N"
    ]
    assert order_warnings(["r/epoch-1", "r/epoch-2.5"])[0].startswith("r: epoch-2.5: run and step cannot be read")
    assert order_warnings(["qwen-1.5b", "qwen-7b", "a/lr1e-5", "a/lr3e-5", "r/my-step-10"]) == []


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["out/a/checkpoints/step-1", "out/a/checkpoints/step-2"], ["step-1", "step-2"]),
        (["out/a/checkpoints/step-1", "out/b/checkpoints/step-2"], ["a/step-1", "b/step-2"]),
        (["x/sft/checkpoint-1", "y/sft/checkpoint-2"], ["x/sft/checkpoint-1", "y/sft/checkpoint-2"]),
        (["x/sft/checkpoint-1", "y/base"], ["checkpoint-1", "base"]),
        (["r/epoch-1", "r/step-2"], ["epoch-1", "step-2"]),
        (["step-1", "b/step-2"], ["step-1", "b/step-2"]),
    ],
)
def test_checkpoints_of_several_runs_are_called_by_run_and_step(names: list[str], short: list[str]) -> None:
    assert list(labels(names).values()) == short


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (
            [f"lm/{ckpt}/samples_gsm8k_2026-08-0{day}T10-00-00.123456.jsonl" for day, ckpt in ((1, "a"), (2, "b"))],
            ["a", "b"],
        ),
        (["out/sft-3/2026-08-01T10-00-00+00-00_gsm8k_AbC1.eval"], ["sft-3"]),
        (["le/m1/2026-08-01T10-00-00.0/details_math|0_2026-08-01T10-00-00.0.parquet", "le/m2"], ["m1", "m2"]),
        (
            ["lm/a/samples_x_2026-08-01T10-00-00.1.jsonl.gz", "lm/a/samples_y_2026-08-01T10-00-00.1.jsonl.gz"],
            ["samples_x_2026-08-01T10-00-00.1.jsonl.gz", "samples_y_2026-08-01T10-00-00.1.jsonl.gz"],
        ),
        (["lm/checkpoint-40/samples_x_2026-08-01T10-00-00.1.json", "lm/b"], ["checkpoint-40", "b"]),
        (["a/samples_x_2026-08-01T10-00-00.1.jsonl", "b/a/table.jsonl"], ["a", "table.jsonl"]),
        (["samples_x_2026-08-01T10-00-00.1.jsonl"], ["samples_x_2026-08-01T10-00-00.1.jsonl"]),
        (["a/samples_gsm8k.jsonl"], ["samples_gsm8k.jsonl"]),
    ],
)
def test_a_file_that_an_evaluation_has_named_is_called_by_its_folder(names: list[str], short: list[str]) -> None:
    """As its own name says a task and a date, but no checkpoint; unless another one has the same folder."""
    assert list(labels(names).values()) == short


@pytest.mark.parametrize(("original", "context"), [(40, 40), (None, 128), (256, 128)])
@pytest.mark.parametrize("kind", ["longrope", "su", "linear"])
def test_the_context_of_longrope_ends_where_its_factors_change(
    original: int | None, context: int, kind: str, folder: Path
) -> None:
    """Beyond it the factors depend on the longest row of a batch, and so would the results of every row."""
    lm = load(str(folder))
    lm.model.config.rope_parameters = {"full_attention": {"rope_type": kind}}
    lm.model.config.original_max_position_embeddings = original
    assert lm.context == (128 if kind == "linear" else context)
    lm.model.config.rope_parameters = {"rope_type": kind, "original_max_position_embeddings": original}
    lm.model.config.original_max_position_embeddings = None
    assert replace(lm).context == (128 if kind == "linear" else context)


@pytest.mark.parametrize("family", ["byte-level", "words"])
def test_a_tokenizer_keeps_the_spaces_that_its_file_keeps(family: str, folder: Path) -> None:
    """Transformers 5 reads DeepSeek's byte-level file as one of Llama 2, as its tokenizer_class says."""
    made = families.family(family)
    made.chat_template = "{{ messages[0].content }}"
    made.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": "LlamaTokenizerFast"}))
    tokenizer = tokenizer_of(str(folder))
    text = "the answer is\n  5"
    if family == "byte-level":
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
        assert AutoTokenizer.from_pretrained(folder).encode(text) != tokenizer.encode(text)
    tokenizer.save_pretrained(folder)
    assert tokenizer_of(str(folder)).encode(text) == tokenizer.encode(text)
    assert (tokenizer.chat_template, tokenizer.special_tokens_map) == (made.chat_template, made.special_tokens_map)


def test_a_tokenizer_that_loses_every_space_is_warned_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Transformers 5 saves DeepSeek's, which it has read as one of Llama 2: no reading of its files has them."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"Regex": r"\s"}, "content": ""}
    file.write_text(json.dumps(content))
    tokenizer_of(str(folder))
    assert "warning: its tokenizer loses every space" in capsys.readouterr().err


def test_a_vocabulary_in_two_files_is_a_tokenizer(tmp_path: Path) -> None:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["hello world"] * 5, vocab_size=270, special_tokens=["<|endoftext|>"])
    save(LM(tiny_model("GPT2", vocab_size=270), tiny_tokenizer(), "gpt2"), tmp_path, "card")
    for file in (*tmp_path.glob("tokenizer*"), *tmp_path.glob("*.jinja")):
        file.unlink()
    trained.save_model(str(tmp_path))
    lm = load(str(tmp_path))
    assert lm.decode(lm.encode("hello\n world")) == "hello\n world"


def test_a_tokenizer_may_know_more_tokens_than_the_model(folder: Path) -> None:
    """As Gemma 3's without images; a text with such a token is refused, and none of them ends a response."""
    tokenizer = tokenizer_of(str(folder))
    tokenizer.add_tokens(["<image>"])
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, len(tokenizer) - 1]}))
    lm = load(str(folder))
    assert lm.stop_ids == {2}
    assert len(forcing_for(lm, wait_text="wait").wait_ids) == 4
    for use in (
        lambda: lm.prompt_ids("an <image>", think=True),
        lambda: lm.worked_ids(Row("r", "a", "an <image>"), think=False),
        lambda: forcing_for(lm, answer_prefix="<image>"),
    ):
        with pytest.raises(UserError, match=r"^\S+ the text .* has the token '<image>' \(58\), but the model has"):
            use()


@pytest.mark.parametrize(
    ("generation", "config", "noted"),
    [
        ({"temperature": 0.9, "top_p": 0.6}, {}, "sets how to sample, but not do_sample=true"),
        (
            {"early_stopping": True},
            {},
            "cannot be saved.* only its token ids are kept: .*early_stopping",
        ),
        ({}, {"output_attentions": True, "output_hidden_states": True}, ""),
        ({}, {"_attn_implementation": "flash_attention_2", "return_dict": False}, ""),
    ],
)
def test_settings_that_could_not_be_saved_do_not_lose_the_training(
    generation: dict[str, Any],
    config: dict[str, Any],
    noted: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2} | generation))
    configured(**config)(folder)
    rows = tmp_path / "r.jsonl"
    rows.write_text("".join(f'{{"id": "{i}", "prompt": "a{i}", "response": "{i}"}}\n' for i in range(2)))
    held = tmp_path / "h.jsonl"
    held.write_text('{"id": "h", "prompt": "b", "response": "1"}')
    result = sft(SFTConfig(model=str(folder), rows=str(rows), heldout=str(held), epochs=1), tmp_path / "run")
    said = capsys.readouterr().err
    assert re.search(f"generation_config.json {noted}", said) if noted else "generation_config" not in said
    saved = load(result.checkpoints[-1].path)
    assert saved.stop_ids == {2}
    assert "generation_config" not in capsys.readouterr().err


def test_a_tokenizer_alone_needs_no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert len(tokenizer_of(str(folder))) == len(tiny_tokenizer())


def test_a_usual_normaliser_is_taken(good: Path, tmp_path: Path) -> None:
    """That of ALBERT, about the longest there is; its own map would not fit the test's vocabulary."""
    folder = Path(shutil.copytree(good, tmp_path / "model"))
    texts = [{"type": "Replace", "pattern": {"String": quote}, "content": '"'} for quote in ("``", "''")]
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    normalised(*texts, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, spaces)(folder)
    assert load(str(folder)).encode("``a''") == load(str(folder)).encode('"a"')


def test_models_are_loaded_by_several_threads_at_once() -> None:
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(lambda _: load("embedded").model, range(12)))
    first = models[0].state_dict()
    assert all(torch.equal(weight, first[name]) for model in models for name, weight in model.state_dict().items())
