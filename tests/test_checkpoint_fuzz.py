"""Damaged checkpoint folders, at random: each loads with exactly its weights, or is refused in one line that names it.

`FUZZ_FOLDERS=3000 FUZZ_OUT=counts.json pytest tests/test_checkpoint_fuzz.py` tries more of them and counts them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rlready.core.errors import UserError
from rlready.core.records import Row
from rlready.models.checkpoint import load, load_without_weights
from rlready.models.preset import model_traits
from rlready.models.time_limit import time_limit
from tiny import tiny_lm

pytestmark = pytest.mark.usefixtures("one_thread")
FOLDERS = int(os.environ.get("FUZZ_FOLDERS", "40"))  # about 0.05 s each
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    7,
    0.5,
    1e308,
    float("nan"),
    2**31,
    10**30,
    "",
    "x",
    "y" * 10**5,
    [],
    {},
    [[]],
    [0],
]
ODD += [{"a": 1}, "\0", "../x", "/dev/zero", "owner/name", {"content": 5, "__type": "AddedToken"}]
KEYS = {
    "config.json": ["auto_map", "quantization_config", "rope_scaling", "architectures", "text_config", "num_labels"],
    "generation_config.json": ["max_new_tokens", "watermarking_config", "early_stopping", "compile_config", "top_p"],
    "tokenizer_config.json": ["auto_map", "added_tokens_decoder", "extra_special_tokens", "chat_template", "backend"],
    "adapter_config.json": ["rank_pattern", "alpha_pattern", "layer_replication", "init_lora_weights", "use_dora"],
    "tokenizer.json": ["post_processor", "added_tokens"],
}
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
TEMPLATES = [
    "",
    "{{ messages }}",
    "{% if %}",
    "{{ 1 / 0 }}",
    "{{ ''.__class__.__mro__ }}",
    "{% include '/etc/passwd' %}",
    LOOP,
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, a model in shards and an adapter of a model beside it, as other trainers save them."""
    root = tmp_path_factory.mktemp("fuzz")
    lm = tiny_lm()
    for name, size in (("model", "1GB"), ("shards", "30KB"), ("adapter/base", "1GB")):
        lm.model.save_pretrained(root / name, max_shard_size=size)
        lm.tokenizer.save_pretrained(root / name)
    base: Any = AutoModelForCausalLM.from_pretrained(root / "adapter" / "base")
    tuned = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2)
    tuned.save_pretrained(root / "adapter" / "tuned")
    lm.tokenizer.save_pretrained(root / "adapter" / "tuned")
    return [root / "model", root / "shards", root / "adapter" / "tuned"]


def damage_bytes(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at = rng.randrange(min(len(content), 2000))
    match rng.choice(["cut", "empty", "flip", "flip", "gone", "zeros", "link", "pipe", "folder", "other"]):
        case "cut":
            content = content[:at]
        case "empty":
            content = bytearray()
        case "flip":
            content[at] ^= 1 << rng.randrange(8)
        case "zeros":
            content[at : at + 64] = bytes(64)
        case "other":
            content = bytearray(rng.choice([f for f in sorted(file.parent.iterdir()) if f.is_file()]).read_bytes())
        case instead:
            file.unlink()
            {"gone": str, "link": file.symlink_to, "pipe": os.mkfifo, "folder": os.mkdir}[instead](
                "nowhere" if instead == "link" else file
            )
            return
    file.write_bytes(content)


def damage_json(file: Path, rng: random.Random) -> None:
    content = json.loads(file.read_text())
    at, key = content, rng.choice([*content, *KEYS.get(file.name, [])])
    while isinstance(at.get(key) if isinstance(at, dict) else at[key], dict | list) and at[key] and rng.random() < 0.6:
        at = at[key]
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
    if isinstance(at, dict) and rng.random() < 0.2:
        at.pop(key, None)
    else:
        at[key] = rng.choice(ODD)
    file.write_text(json.dumps(content))


def damage_tensors(file: Path, rng: random.Random) -> None:
    weights = load_file(file)
    name = rng.choice(sorted(weights))
    weight = weights.pop(name)
    changed: dict[str, dict[str, torch.Tensor]] = {
        "missing": {},
        "renamed": {f"{name}.x": weight},
        "extra": {name: weight, "x.weight": torch.ones(3)},
        "not a number": {name: weight * float("nan")},
        "infinite": {name: weight + float("inf")},
        "exponent": {name: weight + 1e34},
        "integers": {name: weight.to(torch.int8)},
        "half": {name: weight.half()},
        "cut": {name: weight[1:].clone()},
        "scalar": {name: torch.tensor(1.0)},
        "none": {name: weight[:0].clone()},
    }
    save_file(weights | changed[rng.choice(sorted(changed))], file, metadata={"format": "pt"})


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one file of a folder; its name."""
    file = rng.choice([f for f in sorted(folder.iterdir()) if f.name != "README.md"])
    if rng.random() < 0.3:
        damage_bytes(file, rng)
    elif file.suffix == ".json":
        damage_json(file, rng)
    elif file.suffix == ".safetensors":
        damage_tensors(file, rng)
    else:
        file.write_text(rng.choice(TEMPLATES))
    return file.name


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return {name: each.float() for file in folder.glob("*.safetensors") for name, each in load_file(file).items()}


def wanted(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that a folder's files give, by the definition of LoRA for an adapter."""
    if not (folder / "adapter_config.json").exists():
        return stored(folder)
    config, added = json.loads((folder / "adapter_config.json").read_text()), stored(folder)
    found = stored(folder.parent / "base")
    for key, b in added.items():
        if ".lora_B" in key:
            a, name = (
                added[key.replace("lora_B", "lora_A")],
                key.removeprefix("base_model.model.").replace(".lora_B", ""),
            )
            scale = (config.get("alpha_pattern") or {}).get(name, config.get("lora_alpha", 8))
            found[name] = found[name] + scale / (len(a) ** 0.5 if config.get("use_rslora") else len(a)) * b @ a
    return found


def test_damaged_folders_load_as_what_they_say_or_are_refused(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: 1 / 0)  # no network
    monkeypatch.setattr("rlready.models.chat.RENDER_SECONDS", 0.5)
    loaded, lines = 0, list[str]()
    for seed in range(FOLDERS):
        rng = random.Random(seed)
        good = rng.choice(folders)
        folder = Path(shutil.copytree(good, good.with_name("damaged")))
        name = damage(folder, rng)
        try:
            with time_limit(10):
                model_traits(str(folder))
                load_without_weights(str(folder))
                lm = load(str(folder))
                lm.worked_ids(Row("r", "a", "b"), think=lm.thinks)
        except UserError as error:
            lines.append(f"{seed}, {name}: {error}")
        else:
            state = dict(lm.model.named_parameters())
            for key, each in wanted(folder).items():
                assert torch.allclose(state[key], each, atol=1e-5), (seed, name, key)
            loaded += 1
        shutil.rmtree(folder)
    assert len(lines) > loaded > 0
    if "FUZZ_OUT" in os.environ:
        counts = {"tried": FOLDERS, "accepted": loaded, "refused": len(lines)}
        Path(os.environ["FUZZ_OUT"]).write_text(json.dumps(counts))
    root = str(folders[0].parent)
    assert [line for line in lines if "\n" in line or len(line) > 900 or root not in line] == []
    assert "Traceback" not in capfd.readouterr().err
