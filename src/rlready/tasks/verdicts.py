"""Verify many responses, and account for those that could not be verified.

They count as incorrect, and the user is told how many they are.  A verifier that raises on most responses, or gives no
verdict on them, stops the run: its rewards would all be zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.errors import UserError
from rlready.core.messages import on_warning, show_once, unrecorded, warn, warn_once
from rlready.core.progress import counted
from rlready.core.records import Problem
from rlready.tasks.answers.verify import compare_in_advance
from rlready.tasks.protocol import Asked, Task, Verdict
from rlready.tasks.verifier import read_verdict, undecided


def verify_all(task: Task, asked: Asked) -> list[Verdict]:
    """The verdicts on (thinking, answer) pairs; formulas among them are compared in parallel.

    Raises UserError if the verifier returns what is no verdict, or if it has raised on most responses so far.
    That sympy does not decide in time stops nothing.
    """
    compare_in_advance((gold, text) for problem, (_, text) in asked if (gold := task.compares(problem)) is not None)
    one_by_one = counted("verifying", asked, "responses")
    verdicts = task.verify_batch(asked) or [verdict_on(task, problem, *answer) for problem, answer in one_by_one]
    tally, missing = task.tally, [(p, v) for (p, _), v in zip(asked, verdicts, strict=True) if v.undecided]
    tally.asked += len(asked)
    tally.undecided += sum(task.compares(problem) is None for problem, _ in missing)
    _warn_of_unlike(task, asked, verdicts)
    if not missing:
        return [*verdicts]
    traceback = next((verdict.traceback for _, verdict in missing if verdict.traceback), "")
    if traceback:
        show_once(traceback)
    example = f"(problem {missing[0][0].id}: {missing[0][1].reason})"
    if 2 * tally.undecided > tally.asked:
        raise UserError(
            f"{task.source}: the verifier gave no verdict on {tally.undecided} of {tally.asked} responses {example}; "
            f"fix it{' as its traceback above says' * bool(traceback)}"
        )
    said = "responses could not be verified and count as incorrect"
    with unrecorded():  # numbers and examples, of which a run may have thousands
        warn(f"{task.source}: warning: {len(missing)} of {len(asked)} {said} {example}")
    on_warning.get()(f"{task.source}: {said}")
    return [*verdicts]


def _warn_of_unlike(task: Task, asked: Asked, verdicts: Sequence[Verdict]) -> None:
    """Warn of a verifier that gives equal responses to a problem two verdicts: none of its figures can be repeated."""
    first: dict[tuple[str, str, str], bool] = {}
    for (problem, (thinking, answer)), verdict in zip(asked, verdicts, strict=True):
        if verdict.undecided or task.compares(problem) is not None:  # whose comparison always decides alike
            continue
        if first.setdefault((problem.id, thinking, answer), verdict.correct) != verdict.correct:
            warn_once(
                f"{task.source}: warning: the verifier gives equal responses different verdicts, as to {problem.id}; "
                "make it depend on the problem and the response alone, else no figure can be repeated"
            )
            return


def verdict_on(task: Task, problem: Problem, thinking: str, answer: str) -> Verdict:
    """The verdict on one response, which is not counted in the task's tally."""
    try:
        return read_verdict(task.source, problem, task.verify(problem, thinking, answer))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's verifier raises
        return undecided(error)
