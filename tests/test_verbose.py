"""Verbose rows: longer, correct and in the vocabulary; what the step checker makes of re-checks and slips."""

from __future__ import annotations

import pytest

from rlready.core.errors import UserError
from rlready.tasks import open_task
from rlready.tasks.dagmath.graph import Dag
from rlready.tasks.dagmath.meta import from_meta
from rlready.tasks.dagmath.stepcheck import check_steps
from rlready.tasks.dagmath.symbols import Symbols
from rlready.tasks.dagmath.vocabulary import NUMBERS, SIGNS, WORDS

PLAIN = "dagmath?ops=5&asked=3&n=60&seed=1"


def test_verbose_rows_are_long_correct_and_in_the_vocabulary() -> None:
    """The same problems and answers, two to four times as long, with all that a long trace has."""
    plain, wordy = open_task(PLAIN), open_task(PLAIN + "&verbose=0.6")
    assert [p.prompt for p in plain.problems()] == [p.prompt for p in wordy.problems()]
    text = ""
    for problem, row in zip(wordy.problems(), wordy.rows(), strict=True):
        assert row.thinking is not None
        verdict = wordy.verify(problem, row.thinking, row.response)
        assert verdict.strict, verdict.reason
        text += f" {row.thinking}"
    words = text.split()
    before = sum(len((r.thinking or "").split()) for r in plain.rows())
    assert 2 < len(words) / before < 4
    known = {*NUMBERS, *SIGNS, *WORDS}
    assert {w for w in words if w not in known and not (w[0].isalpha() and len(w.rstrip("=:")) == 1)} == set()
    assert {"wait", "check", "right", "wrong", "again"} <= set(words)


def test_an_invalid_share_is_refused() -> None:
    for wrong, message in (("verbose=1.5", "probability"), ("verbose=0.5&rendering=words", "symbols")):
        with pytest.raises(UserError, match=message):
            open_task(f"dagmath?{wrong}")


@pytest.fixture(scope="module")
def solved() -> tuple[Dag, dict[str, str], list[str]]:
    task = open_task("dagmath?ops=5&n=1&seed=3")
    dag, letters = from_meta(task.problems()[0].meta)
    return dag, letters, [Symbols().step(dag, key, letters) for key in dag.needed]


def test_the_checker_sees_through_rechecks_and_slips(solved: tuple[Dag, dict[str, str], list[str]]) -> None:
    """A re-check must be right, a slip wrong, and what slipped is not solved by it."""
    dag, letters, steps = solved
    key = next(k for k in dag.needed if not isinstance(dag.exprs[k], int))
    at = dag.needed.index(key)
    value = dag.values[key]
    slip = Symbols().slip(dag, key, letters, (value + 1) % 13)

    def error(*parts: str) -> str | None:
        return check_steps(" ".join(parts), dag, letters, Symbols()).error

    recheck = Symbols().recheck(dag, key, letters)
    assert error(*steps[: at + 1], recheck, *steps[at + 1 :]) is None
    assert error(*steps[:at], slip, *steps[at:]) is None
    assert error(*steps[:at], slip, *steps[at + 1 :]) is not None
    assert "called wrong but is correct" in (error(*steps[:at], f"{steps[at]} wrong again", *steps[at:]) or "")
    wrong = f"wait check {steps[at].rpartition(' ')[0]} {(value + 1) % 13} right"
    assert "is wrong" in (error(*steps[: at + 1], wrong, *steps[at + 1 :]) or "")
    assert error(*steps, "wait") is not None
    assert error(*steps, recheck.removesuffix(" right")) is not None
