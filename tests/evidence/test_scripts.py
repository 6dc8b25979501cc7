"""The scripts of benchmarks and evidence: each can be imported, and writes the committed page from what is stored."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rlready.core.records import Estimate
from rlready.tasks import open_task
from rlready.tasks.dagmath.task import DagTask

ROOT = Path(__file__).parents[2]
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
    if folder.name == "public-curves":
        return ()
    if folder.name in {"pipeline", "predict-plateau", "inject-six", "budgets-controls", "dense-controls"}:
        (file,) = (folder / name for name in ("seeds.json", "runs.json") if (folder / name).exists())
        return (module.Stored.from_file(file),)
    if folder.name == "smollm2-words":
        return (module.Measured.from_file(folder / "measured.json"),)
    name = "trials.json" if folder.name == "trust" else "seeds.json"
    return (json.loads((folder / name).read_text()),)


@pytest.mark.parametrize(
    "name",
    [
        "budgets",
        "budgets-controls",
        "dense",
        "dense-controls",
        "dense-own-errors",
        "influence",
        "inject",
        "inject-gsm8k",
        "inject-six",
        "pipeline",
        "predict",
        "predict-plateau",
        "public-curves",
        "smollm2-words",
        "trust",
        "vllm",
    ],
)
def test_a_page_is_written_from_what_is_stored(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = ROOT / "evidence" / name
    module = imported(folder / "run.py", monkeypatch)
    for file in folder.glob("*.json"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(module, "HERE", tmp_path)
    module.report(*stored(module, folder), None)
    assert (tmp_path / "README.md").read_text() == (folder / "README.md").read_text()
    new, old = (json.loads((where / "result.json").read_text()) for where in (tmp_path, folder))
    assert {key: value for key, value in new.items() if key != "claims"} == {
        k: v for k, v in old.items() if k != "claims"
    }
    assert [(c["claim"], c["verdict"]) for c in new["claims"]] == [(c["claim"], c["verdict"]) for c in old["claims"]]
    for claim, committed in zip(new["claims"], old["claims"], strict=True):
        for end in ("value", "low", "high"):
            assert claim[end] == pytest.approx(committed[end], rel=1e-9, abs=1e-9)
    for picture in folder.glob("*.svg"):
        assert (tmp_path / picture.name).is_file()


def test_the_table_of_benchmarks_is_written_from_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    run = imported(ROOT / "bench" / "run.py", monkeypatch)
    result = json.loads((ROOT / "bench" / "result.json").read_text())
    assert run.page(result) == (ROOT / "bench" / "README.md").read_text()


@pytest.fixture
def smollm2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """``evidence/smollm2`` in a folder of its own, on the embedded model and its task: a seed takes seconds."""
    module = imported(ROOT / "evidence" / "smollm2" / "run.py", monkeypatch)
    changes = {"MODEL": "embedded", "TASK": "dagmath?asked=3", "HERE": tmp_path, "RUNS": tmp_path / "runs"}
    for name, value in {**changes, "RATES": (1e-4, 5e-4)}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(DagTask, "chance", lambda task, k_values: dict.fromkeys(k_values, 0.01))  # takes seconds
    return module


def small(module: ModuleType) -> Any:
    sizes = {"rows": 24, "heldout": 4, "tokens_per_batch": 512, "readiness_problems": 4, "steps": 1, "group": 4}
    return module.Sizes(**sizes, validation=4, test=6, samples=1, pilot_problems=4)


def test_the_pilot_steps_towards_the_wanted_accuracy(smollm2: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(accuracies: dict[int, float], rates: dict[float, float]) -> tuple[list[int], int, float]:
        def rung(operations: int, sizes: object) -> Any:
            accuracy = Estimate(accuracies[operations], 0.0, 1.0, 4)
            return smollm2.Rung(operations=operations, accuracy=accuracy, seconds=(1.0, 1.0))

        def trial(operations: int, rate: float, sizes: object) -> Any:
            after = Estimate(rates[rate], 0.0, 1.0, 4)
            return smollm2.Trial(learning_rate=rate, before=after, after=after, seconds=1.0)

        monkeypatch.setattr(smollm2, "rung", rung)
        monkeypatch.setattr(smollm2, "trial", trial)
        found = smollm2.pilot()
        return [r.operations for r in found.rungs], found.operations, found.learning_rate

    slow, fast = {1e-4: 0.5, 5e-4: 0.4}, {1e-4: 0.4, 5e-4: 0.5}
    assert tried({4: 0.3}, slow) == ([4], 4, 1e-4)
    assert tried({4: 0.7, 5: 0.61}, fast) == ([4, 5], 5, 5e-4)
    assert tried({4: 0.1, 3: 0.65}, slow) == ([4, 3], 3, 1e-4)  # 65 % is nearer to 60 % than 10 % is to 20 %


def test_a_seed_goes_through_all_stages_and_is_not_run_again(
    smollm2: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sizes = small(smollm2)
    estimate = Estimate(0.3, 0.2, 0.4, 4)
    trial = smollm2.Trial(learning_rate=5e-4, before=estimate, after=estimate, seconds=1.0)
    rung = smollm2.Rung(operations=5, accuracy=estimate, seconds=(1.0, 1.0))
    chosen = smollm2.Pilot(rungs=[rung], trials=[trial], operations=5, learning_rate=5e-4, hours=1.0)
    monkeypatch.setattr(smollm2, "SEEDS", range(1))
    smollm2.run_seeds(chosen, sizes)
    (seed,) = smollm2.seeds_of(tmp_path)
    at = {name: scores.accuracy.value for name, scores in seed.budgets[-1].scores.items()}
    assert seed.gain.value == pytest.approx(at["RL from the pick"] - at["SFT, pick"])
    assert seed.pick_minus_worst.value == pytest.approx(at["RL from the pick"] - at["RL from the worst"])
    assert [row.budget for row in seed.budgets] == [20, 40, 60, 80]
    ranks = {start.name: start.rank for start in seed.starts}
    assert (ranks[seed.pick], ranks[seed.worst]) == (1, len(seed.starts))
    assert not list((tmp_path / "runs").glob("*/*/checkpoints"))
    smollm2.run_seeds(chosen, sizes)  # its checkpoints are gone, so a second run of it would fail
    smollm2.report(chosen, smollm2.seeds_of(tmp_path), 1.0)
    assert "| 0 | step-" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "figure.svg").is_file()


def test_the_page_of_smollm2_is_written_from_what_is_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = ROOT / "evidence" / "smollm2"
    module = imported(folder / "run.py", monkeypatch)
    monkeypatch.setattr(module, "HERE", tmp_path)
    chosen, seeds = module.pilot_of(folder), module.seeds_of(folder)
    if len(seeds) == len(module.SEEDS):
        shutil.copy(folder / "result.json", tmp_path)
    module.report(chosen, seeds, None)
    assert (tmp_path / "README.md").read_text() == (folder / "README.md").read_text()


def test_the_first_wrong_token_of_a_thought_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module = imported(ROOT / "evidence" / "dense-own-errors" / "run.py", monkeypatch)
    task = open_task("dagmath?ops=5&asked=3&split=test&n=1&seed=1")
    (problem,), (row,) = task.problems(), task.rows()
    right = str(row.thinking).split()
    kinds, wrong = module.first_wrong(right, problem)
    assert (len(kinds), wrong) == (len(right), None)
    steps = {"s": ["name", *["term"] * 8, "value"], "h": ["name", "term"]}
    assert kinds[:12] == steps["h"] + steps["s"]  # h: 2 s= 12 + h = 12 + 2 s: 1
    assert module.first_wrong(right[:-2], problem) == (kinds[:-2], None)  # it ends too early, but is right so far
    for at, word in enumerate(right):
        changed = [*right[:at], "12" if word != "12" else "11", *right[at + 1 :]]
        assert module.first_wrong(changed, problem) == (kinds[:at], kinds[at])
    last = max(at for at, word in enumerate(right) if word[0] != "=" and word[-1] == "=")
    assert right[last + 1] == "s"
    assert module.first_wrong(right[last:], problem) == ([], "name")  # before s is known
    swapped = [*right]
    swapped[last + 1], swapped[last + 3] = right[last + 3], right[last + 1]
    assert module.first_wrong(swapped, problem) is None


def test_areas_compare_a_wrong_token_with_those_before_it_and_with_right_ones_of_its_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = imported(ROOT / "evidence" / "dense-own-errors" / "run.py", monkeypatch)
    values = [np.array(each, dtype=np.float32) for each in ([3, 1, 2, 9], [5, 4, 3, 0], [4, 4, 4, 4])]
    kinds = ["name", "term", "value"]
    thoughts = [(0, kinds[:2], "value", [1]), (1, kinds, None, [1, 2]), (2, [], "name", [])]
    found = module.areas_of(values, thoughts, np.array([False, True, False]))
    assert {name: each for name, each in found.items() if each} == {
        "tokens": [0.5],  # 2 among 3 and 1
        "wrong value": [0.5],
        "wrong answers": [0.5],
        "numbers": [0.0],  # 2 against 1
        "alike value": [1.0],  # 2 against 3, of the second thought
        "right term": [1.0, 1.0],
        "right value": [1.0],
        "sum": [0.0, 0.0],  # 15 and 16 against 12
        "mean": [0.0, 0.0],
    }


def test_the_area_counts_ties_as_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    module = imported(ROOT / "evidence" / "dense-own-errors" / "run.py", monkeypatch)
    assert module.above(1.0, np.array([0.0, 1.0, 2.0, 3.0], dtype=np.float32)) == 0.625


def test_starts_of_word_problems_from_sft_to_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the embedded model: every stage runs, a second call only reads, and the page has the claims."""
    module = imported(ROOT / "evidence" / "smollm2-words" / "run.py", monkeypatch)
    changes = {"MODEL": "embedded", "TASK": "dagmath?asked=3&split=train", "HERE": tmp_path, "RUNS": tmp_path / "runs"}
    sizes = {"HELDOUT": 4, "TOKENS_PER_BATCH": 256, "PROBLEMS": 4, "SAMPLES": 4, "STEPS": 1, "GROUP": 2, "TEST": 6}
    families = {"many rows": (32, 2.0), "few rows": (16, 4.0)}
    for name, value in {**changes, **sizes, "FAMILIES": families}.items():
        monkeypatch.setattr(module, name, value)
    found = module.measured()
    assert len(found.starts) == 8
    assert len(module.trained(found)) == 4
    assert sum(start.chosen for start in module.trained(found)) == 1
    assert module.measured() == found
    module.report(found, found.cpu_seconds)
    claims = json.loads((tmp_path / "result.json").read_text())["claims"]
    assert len(claims) == 8
    assert (tmp_path / "figure.svg").exists()
    paths = [f"{family}-{step}" for family in "ab" for step in range(4)]
    assert module.trained_from(paths, "a-2") == ["a-0", "a-2", "b-0", "b-3"]
    assert module.trained_from(paths, "b-1") == ["a-0", "a-3", "b-1", "b-3"]
    assert module.trained_from(paths, "b-3") == ["a-0", "a-3", "b-0", "b-3"]
