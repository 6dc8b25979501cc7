"""Inputs of every kind are refused in one line, or read as what they say; `fuzz.run` is the long form."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.commands import settings_cases
from fuzz.fixtures import make_tables
from fuzz.harness import FAILURES, Case, Nonsense, run_cases
from fuzz.kinds import QUICK, RANDOM, READERS, cases_of, warm
from rlready.core.errors import UserError

CORPUS = Path(__file__).parent / "fuzz" / "corpus.jsonl"


@pytest.fixture(scope="module")
def fixtures(one_thread: None) -> Iterator[Path]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    warm()
    with tempfile.TemporaryDirectory() as folder:
        make_tables(Path(folder))
        yield Path(folder)


def failures(cases: list[Case]) -> list[str]:
    outcomes = run_cases(cases, READERS)
    assert len(outcomes) == len(cases)
    pairs = zip(outcomes, cases, strict=True)
    return [f"{o.verdict}: {o.said[-300:]}\n  {case.to_json()[:600]}" for o, case in pairs if o.verdict in FAILURES]


def test_inputs_that_once_failed(fixtures: Path) -> None:
    cases_of("settings", fixtures, 1)  # the readers get the fixtures
    lines = CORPUS.read_text(encoding="utf-8").replace("{fixtures}", str(fixtures)).splitlines()
    assert failures([Case.from_json(line) for line in lines]) == []


@pytest.mark.parametrize("kind", RANDOM)
def test_a_few_inputs_of_every_kind(fixtures: Path, kind: str) -> None:
    assert failures(cases_of(kind, fixtures, 10 if kind in QUICK else 15)) == []


def test_a_few_nasty_values_of_settings(fixtures: Path) -> None:
    assert failures(list(settings_cases(fixtures))[::499]) == []


def test_the_harness_finds_what_it_looks_for() -> None:
    def read(case: Case) -> None:
        match case.words[0]:
            case "traceback":
                raise ZeroDivisionError
            case "exit":
                os._exit(1)
            case "warning":
                warnings.warn("overflow", RuntimeWarning, stacklevel=1)
            case "memory":
                bytearray(1 << 40)
            case "nonsense":
                raise Nonsense("-1 samples")
            case "refused":
                raise UserError("no")
            case "hang":
                os.kill(os.getpid(), 27)  # SIGPROF, as the timer of the processor time sends it

    words = ["accepted", "exit", "traceback", "hang", "refused", "warning", "memory", "nonsense", "accepted"]
    outcomes = run_cases([Case("any", (word,)) for word in words], {"any": read})
    found = [outcome.verdict for outcome in outcomes]
    assert found == [{"exit": "traceback", "memory": "traceback"}.get(word, word) for word in words]
