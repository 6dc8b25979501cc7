"""Problems of reasoning-gym itself, verified by its own scorers, which evaluate no text of a model."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from reasoning_gym.factory import DATASETS

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.readiness.stage import readiness
from rlready.tasks import open_task, verify_all
from rlready.tasks.gym import FORMULAS, NO_SOURCE, PARTIAL, STRIDE, score
from rlready.tasks.harmless import harmless

SOURCES = sorted(DATASETS.keys() - NO_SOURCE.keys())
EVALUATES = re.compile(r"\b(?:eval|exec|\w*parse_expr|sympify)\(\s*(?:answer|user_\w+)\b")


@pytest.mark.parametrize("name", SOURCES)
def test_own_answers_are_correct_and_a_smaller_n_is_a_prefix(name: str) -> None:
    task = open_task(f"gym:{name}?n=4&seed=7")
    problems = task.problems()
    assert problems == open_task(task.source).problems()
    assert problems[:2] == open_task(f"gym:{name}?n=2&seed=7").problems()
    known = [p for p in problems if p.answer and "Integral" not in p.answer]  # which repeats the question
    assert all(score(p, f"so <answer>{p.answer}</answer>") for p in known)
    assert not any(score(p, "<answer>?!</answer>") for p in known)


def test_problems_are_the_same_in_every_process() -> None:
    """Some data sets draw from sets of texts, whose order Python draws anew in each process."""
    code = (
        "from rlready.tasks import open_task\n"
        f"for name in {SOURCES!r}: print(name, open_task(f'gym:{{name}}?n=3&seed=5').problems())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout.splitlines()
        for seed in "12"
    ]
    differing = [one.split()[0].decode() for one, two in zip(*said, strict=True) if one != two]
    assert (len(said[0]), differing) == (len(SOURCES), [])


def test_what_evaluates_an_answer_is_listed() -> None:
    """Another version of reasoning-gym may evaluate in other scorers."""
    found = [name for name in SOURCES if EVALUATES.search(inspect.getsource(DATASETS[name][0].score_answer))]
    assert found == sorted([*PARTIAL, *FORMULAS])


@pytest.mark.parametrize("name", [*PARTIAL, *FORMULAS])
def test_an_answer_is_never_run(name: str, tmp_path: Path) -> None:
    task, touched = open_task(f"gym:{name}?n=1"), tmp_path / "touched"
    problem = task.problems()[0]
    assert not score(problem, f"<answer>__import__('pathlib').Path({str(touched)!r}).touch()</answer>")
    assert not touched.exists()


def test_partial_scores_are_not_correct_and_verdicts_come_from_the_bounded_process() -> None:
    task = open_task("gym:countdown?n=2&seed=1")
    first, second = task.problems()
    texts = [
        (first, first.answer),
        (first, "1 + 1"),
        (first, second.answer),
        (second, second.answer),
        (second, "9**9**9"),
    ]
    verdicts = verify_all(task, [(problem, ("", f"<answer>{text}</answer>")) for problem, text in texts])
    assert [v.correct for v in verdicts] == [True, False, False, True, False]
    assert not any(v.undecided for v in verdicts)


def test_numbers_in_a_comment_or_of_ones_own_do_not_count() -> None:
    """A scorer that looks for them in the text would reward them."""
    (countdown,), (puzzle,) = (open_task(f"gym:{name}?n=1").problems() for name in ("countdown", "puzzle24"))
    assert score(countdown, countdown.answer)
    target = countdown.meta["metadata"]["target"]  # type: ignore[index]
    numbers = " ".join(map(str, countdown.meta["metadata"]["numbers"]))  # type: ignore[index]
    assert not score(countdown, f"<answer>{target} # {numbers}</answer>")
    assert score(puzzle, puzzle.answer)
    assert not score(puzzle, "<answer>4*6 + 1 - 1</answer>")


@pytest.mark.parametrize("name", FORMULAS)
def test_answers_of_the_data_sets_are_harmless(name: str) -> None:
    problems = open_task(f"gym:{name}?n=100&seed=9").problems()
    assert all(harmless(p.answer) or "Integral" in p.answer for p in problems)


def test_seeds_have_no_problem_in_common() -> None:
    """As seeds of reasoning-gym, 1 and 2 would have all but one."""
    one, other = (
        {p.prompt for p in open_task(f"gym:chain_sum?n=300&seed={seed}&min_terms=4").problems()} for seed in (1, 2)
    )
    assert len(one) == 300
    assert not one & other


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gym:chainsum", "no data set 'chainsum' in reasoning-gym; did you mean chain_sum"),
        ("gym:chain_sum?min_term=3", "unknown key 'min_term'; did you mean min_terms"),
        ("gym:chain_sum?min_terms=30", "max_terms must be >= min_terms"),
        ("gym:codeio", "it draws other problems at every call"),
        ("gym:composite", "it mixes others: name one of them"),
        (f"gym:chain_sum?n={STRIDE + 1}", "n= is at most 100,000"),
        ("gym", "name a data set: gym:NAME"),
    ],
)
def test_a_source_that_cannot_be_used(source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_task(source)


def test_a_problem_that_cannot_be_made_is_a_line() -> None:
    task = open_task("gym:chain_sum?n=2&min_digits=100000&max_digits=100001")
    with pytest.raises(UserError, match=r"problem 0 cannot be made \(ValueError: Exceeds the limit"):
        task.problems()


def test_readiness_on_a_gym(tmp_path: Path) -> None:
    config = ReadinessConfig(
        checkpoints=("embedded",), problems="gym:basic_arithmetic?n=3", samples=2, max_answer_tokens=8
    )
    assert readiness(config, tmp_path).task.source == "gym:basic_arithmetic?n=3"
