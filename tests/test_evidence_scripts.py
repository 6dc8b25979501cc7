"""The scripts of benchmarks and evidence: each can be imported, and writes the committed page from what is stored."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BENCH = sorted(file for file in (ROOT / "bench").glob("*.py"))
EVIDENCE = sorted((ROOT / "evidence").glob("*/run.py"))
NEEDS_TRL = ("trl_peer",)


def imported(file: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(file.parent))
    name = f"script_{file.parent.name}_{file.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # pydantic resolves annotations there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", [*BENCH, *EVIDENCE], ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_script_can_be_imported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if file.stem in NEEDS_TRL:
        pytest.importorskip("trl")
    assert imported(file, monkeypatch).__doc__


def stored(module: ModuleType, folder: Path) -> tuple[Any, ...]:
    """What a script's ``report`` gets of what its folder has stored."""
    if folder.name == "predict":
        return module.Stored.from_file(folder / "scores.json"), json.loads((folder / "runs.json").read_text())
    if folder.name == "pipeline":
        return (module.Stored.from_file(folder / "seeds.json"),)
    name = "trials.json" if folder.name == "trust" else "seeds.json"
    return (json.loads((folder / name).read_text()),)


@pytest.mark.parametrize(
    "name", ["budgets", "dense", "influence", "inject", "inject-gsm8k", "pipeline", "predict", "trust"]
)
def test_a_page_is_written_from_what_is_stored(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = ROOT / "evidence" / name
    module = imported(folder / "run.py", monkeypatch)
    shutil.copy(folder / "result.json", tmp_path)
    monkeypatch.setattr(module, "HERE", tmp_path)
    module.report(*stored(module, folder), None)
    assert (tmp_path / "README.md").read_text() == (folder / "README.md").read_text()
    new, old = (json.loads((where / "result.json").read_text()) for where in (tmp_path, folder))
    assert {key: value for key, value in new.items() if key != "claims"} == {
        k: v for k, v in old.items() if k != "claims"
    }
    assert [(c["claim"], c["met"]) for c in new["claims"]] == [(c["claim"], c["met"]) for c in old["claims"]]
    for claim, committed in zip(new["claims"], old["claims"], strict=True):
        for end in ("value", "low", "high"):
            assert claim[end] == pytest.approx(committed[end], rel=1e-9, abs=1e-9)
    for picture in folder.glob("*.svg"):
        assert (tmp_path / picture.name).is_file()


def test_the_table_of_benchmarks_is_written_from_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    run = imported(ROOT / "bench" / "run.py", monkeypatch)
    result = json.loads((ROOT / "bench" / "result.json").read_text())
    assert run.page(result) == (ROOT / "bench" / "README.md").read_text()
