"""What the content of a model is: the files that a program that loads it reads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from rlready.runs.content import content_digest, content_files, has_content


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder as TRL saves it: the model, its card, the state of the trainer, and checkpoints below it."""
    folder = tmp_path / "out"
    names = (
        *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
        *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        *("additional_chat_templates/tool.jinja", "merges.txt", "vocab.json", "tokenizer.model", "source.spm"),
        *("pytorch_model.bin", "shards/.hidden.safetensors", "tekken.json"),
    )
    others = (
        *("README.md", "LICENSE", "LICENSE.txt", "training_args.bin", "trainer_state.json", "optimizer.pt"),
        *("scheduler.pt", "rng_state.pth", "train_results.json", "checksums.sha256", "runs/events.out.tfevents.1"),
        *(".git/HEAD", "checkpoint-8/config.json", "checkpoint-8/model.safetensors", "optimizer.bin", "notes.txt"),
        *("completions/completions_1.parquet", "global_step8/zero_pp_rank_0_optim_states.pt", "zero_to_fp32.py"),
        *("config.json.tmp-12", "wandb/run.json", "shards/others.safetensors", "readiness/record.json"),
        *("optimizer.safetensors", "value_head.safetensors"),
    )
    for name in names + others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "shards/.hidden.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [file.relative_to(folder).as_posix() for file in content_files(folder)] == sorted(names, key=Path)
    return folder


def test_a_model_stays_what_it_is_without_its_trainer(saved: Path) -> None:
    before = content_digest(saved)
    (saved / "README.md").write_text("# Edited")
    (saved / "optimizer.pt").unlink()
    shutil.rmtree(saved / "checkpoint-8")
    assert content_digest(saved) == before
    assert has_content(saved, before)


@pytest.mark.parametrize(
    "name",
    ["model-00002-of-00002.safetensors", "config.json", "tokenizer.json", "additional_chat_templates/tool.jinja"],
)
def test_every_file_that_is_loaded_counts(saved: Path, name: str) -> None:
    before = content_digest(saved)
    (saved / name).write_text("other")
    assert content_digest(saved) != before
    assert not has_content(saved, before)


def test_a_digest_over_all_files_of_a_model_is_known_again(saved: Path) -> None:
    """As earlier versions have recorded it."""
    files = [file for file in sorted(saved.rglob("*")) if file.is_file()]
    kept = [file for file in files if not re.search(r"/\.|\.tmp-12$", file.as_posix())]
    lines = [f"{f.relative_to(saved).as_posix()}\0{hashlib.sha256(f.read_bytes()).hexdigest()}\n" for f in kept]
    earlier = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert earlier != content_digest(saved)
    assert has_content(saved, earlier)
    (saved / "README.md").write_text("# Edited")
    assert not has_content(saved, earlier)


def test_templates_in_a_linked_folder_count(saved: Path, tmp_path: Path) -> None:
    templates = (saved / "additional_chat_templates").rename(tmp_path / "elsewhere")
    (saved / "additional_chat_templates").symlink_to(templates)
    before = content_digest(saved)
    (templates / "tool.jinja").write_text("other")
    assert content_digest(saved) != before


@pytest.mark.parametrize(
    "index", ["", "[]", '{"weight_map": 3}', "\x80", "[" * 200_000, '{"weight_map": {"a": "/etc/hosts", "b": "../x"}}']
)
def test_an_index_that_is_none_names_nothing(saved: Path, index: str) -> None:
    (saved / "model.safetensors.index.json").write_text(index)
    names = [file.name for file in content_files(saved)]
    assert ".hidden.safetensors" not in names
    assert "model-00001-of-00002.safetensors" in names


def test_every_file_of_a_folder_of_data_counts(tmp_path: Path) -> None:
    """Also of one that has a configuration, but no weights."""
    for name in ("data.jsonl", "README.md", "config.json", "train.bin"):
        (tmp_path / name).write_text("{}")
    assert [file.name for file in content_files(tmp_path)] == ["README.md", "config.json", "data.jsonl", "train.bin"]
