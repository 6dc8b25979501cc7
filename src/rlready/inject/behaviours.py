"""One row with behaviours in it: by its graph, or by the calculator annotations of its solution."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from rlready.inject import graph, proserow
from rlready.inject.errors import Contradiction, Unfit
from rlready.inject.splice import Behaviour, Splice
from rlready.inject.worked import Worked
from rlready.tasks.answers.verify import exact_number, final_answer
from rlready.tasks.dagmath.meta import verify_solution


def inject(row: Worked, behaviours: Collection[Behaviour], p: float, seed: str) -> tuple[Worked, Splice]:
    """The row with behaviours, and what was inserted into its thought, as the row shows it.

    The result is verified: the answer, every step and every behaviour are correct, and removing the behaviours gives
    the original solution.  Raises Unfit or Contradiction for a row that gets no behaviours.
    """
    if not row.solution:
        raise Unfit("it has no thought")
    if row.shown(row.solution) != row.thinking:  # a row without its annotations is stripped
        raise Unfit("without its annotations it begins or ends with white space")
    if row.graph is not None:
        made = graph.splice(row.solution, row.graph, behaviours, p, seed)
        checked = verify_solution(row.graph, made.text, row.response)
        fault = "" if checked.strict else checked.reason
    else:
        answer = exact_number(final_answer(row.response))
        made = proserow.splice(row.problem.prompt, row.solution, answer, behaviours, p, seed)
        fault = ""
        try:
            proserow.check_solution(row.problem.prompt, made.text, answer)
        except (Contradiction, Unfit) as error:  # the original row had passed: a bug in this program
            fault = str(error)
    shown = made.mapped(row.shown)
    if fault or made.before != row.solution or shown.before != row.thinking:
        raise RuntimeError(f"{row.problem.id}: what was written does not verify: {fault or 'the solution changed'}")
    return replace(row, thinking=shown.text, solution=made.text), shown
