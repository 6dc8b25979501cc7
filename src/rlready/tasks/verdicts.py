"""Verify many responses, and account for those that could not be verified.

They count as incorrect, and the user is told how many they are.  A verifier that raises on most responses, or gives no
verdict on them, stops the run: its rewards would all be zero.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.progress import warn
from rlready.core.records import Problem
from rlready.tasks.answers.verify import compare_in_advance
from rlready.tasks.protocol import Task, Verdict
from rlready.tasks.verifier import read_verdict

SHOWN = 200  # characters of an error
PACKAGE = str(Path(__file__).parents[1])


def verify_all(task: Task, asked: Sequence[tuple[Problem, tuple[str, str]]]) -> list[Verdict]:
    """The verdicts on (thinking, answer) pairs; formulas among them are compared in parallel.

    Raises UserError if the verifier returns what is no verdict, or if it has raised on most responses so far.
    That sympy does not decide in time stops nothing.
    """
    compare_in_advance((gold, text) for problem, (_, text) in asked if (gold := task.compares(problem)) is not None)
    verdicts = [verdict_on(task, problem, *answer) for problem, answer in asked]
    tally = task.tally
    tally.asked += len(asked)
    undecided = [(problem, v.reason) for (problem, _), v in zip(asked, verdicts, strict=True) if v.undecided]
    tally.undecided += sum(task.compares(problem) is None for problem, _ in undecided)
    if 2 * tally.undecided > tally.asked:
        if tally.traceback:
            warn(tally.traceback)
        raise UserError(
            f"{task.source}: the verifier gave no verdict on {tally.undecided} of {tally.asked} responses (problem "
            f"{undecided[0][0].id}: {undecided[0][1]}); fix it{' as its traceback above says' * bool(tally.traceback)}"
        )
    if undecided:
        warn(
            f"{task.source}: warning: {len(undecided)} of {len(asked)} responses could not be verified and count as "
            f"incorrect (problem {undecided[0][0].id}: {undecided[0][1]})"
        )
    return verdicts


def verdict_on(task: Task, problem: Problem, thinking: str, answer: str) -> Verdict:
    """The verdict on one response, which is not counted in the task's tally."""
    try:
        return read_verdict(task.source, problem, task.verify(problem, thinking, answer))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's verifier raises
        task.tally.traceback = task.tally.traceback or _traceback(error)
        said = " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN]
        return Verdict(False, None, f"it raised {said}", undecided=True)


def _traceback(error: BaseException) -> str:
    """The traceback from the first line outside of this package on; all of it if there is none."""
    inner = error.__traceback__
    while inner and inner.tb_frame.f_code.co_filename.startswith(PACKAGE):
        inner = inner.tb_next
    return "".join(traceback.format_exception(type(error), error, inner or error.__traceback__)).rstrip()
