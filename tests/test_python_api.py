"""Verbs called from Python: settings by name, or a configuration; wrong ones are refused in one line."""

from __future__ import annotations

import inspect
import keyword
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rlready
from rlready.cli.schema import CONFIGS
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.runs.record import RunRecord
from rlready.runs.results import result_type

PROBLEMS = "dagmath?ops=2&split=all&n=2&seed=1"
SMALL: dict[str, Any] = {"samples": 4, "group_size": 2, "heldout": "", "problems": PROBLEMS}


def test_settings_by_name_and_a_configuration_are_the_same(tmp_path: Path) -> None:
    paths = (path for path in [EMBEDDED_FOLDER])
    by_name = rlready.readiness(checkpoints=paths, out=str(tmp_path / "a"), **SMALL)
    config = rlready.ReadinessConfig(checkpoints=(str(EMBEDDED_FOLDER),), **SMALL | {"samples": 8})
    changed = rlready.readiness(config, tmp_path / "b", samples=4)
    assert isinstance(by_name, rlready.ReadinessResult)
    assert by_name == changed == rlready.ReadinessResult.load(str(tmp_path / "a"))
    assert (tmp_path / "a" / "report.html").is_file()
    assert RunRecord.load(tmp_path / "a").config == RunRecord.load(tmp_path / "b").config


@pytest.mark.parametrize("verb", CONFIGS)
def test_every_verb_is_a_function_with_typed_settings(verb: str) -> None:
    called = getattr(rlready, f"{verb}_" if keyword.iskeyword(verb) else verb)
    parameters = inspect.signature(called).parameters
    trust = ["trust_code"] if verb in ("export", "sweep") else []  # whose TOML file may name code
    assert [*parameters] == ["config", "out", *CONFIGS[verb].model_fields, *trust]
    assert getattr(rlready, CONFIGS[verb].__name__) is CONFIGS[verb]
    assert getattr(rlready, result_type(verb).__name__) is result_type(verb)


@pytest.mark.parametrize(
    ("verb", "arguments", "line"),
    [
        ("readiness", {"checkpoints": 3}, "checkpoints = 3 is not a list of text"),
        ("readiness", {"checkpoints": ["a", 3]}, "checkpoints = "),
        ("readiness", {"sampels": 3}, "unknown setting 'sampels' of ReadinessConfig; did you mean samples?"),
        ("rl", {"steps": "3"}, "steps = '3' is not a whole number"),
        ("rl", {"learning_rate": -1.0}, "learning_rate must be above 0"),
        ("sft", {"out": 3}, "rlready.sft: out = 3 is not a path"),
        ("sft", {"config": "base"}, "rlready.sft takes a SFTConfig, or settings by name, not 'base'"),
        ("rl", {"config": rlready.SFTConfig()}, "rlready.rl takes a RLConfig, or settings by name, not SFTConfig"),
    ],
)
def test_wrong_settings_are_one_line(
    verb: str, arguments: dict[str, Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rlready.UserError) as caught:
        getattr(rlready, verb)(**arguments)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_what_is_given_to_the_trainers_of_trl_does_not_import_it() -> None:
    code = (
        "import sys, rlready\nfrom rlready import BudgetForcedRollout, ReadinessCallback\n"
        f"ReadinessCallback({PROBLEMS!r}, samples=4)\nBudgetForcedRollout(thinking_budget=8, max_answer_tokens=4)\n"
        "assert 'trl' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_order_of_imports_does_not_matter() -> None:
    code = (
        "import sys, rlready\nassert 'torch' not in sys.modules and 'pydantic' not in sys.modules\n"
        "import rlready.readiness.passk\nassert callable(rlready.readiness)\n"
        "from rlready import readiness, sft\nassert readiness is rlready.readiness and callable(sft)\n"
        "assert rlready.readiness.passk.powers(4) == [1, 2, 4], rlready.readiness.passk.powers(4)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
