"""Whether a source has anything to read, asked before the stages that come first have taken their time."""

from __future__ import annotations

from rlready.core.errors import UserError
from rlready.tasks import open_task
from rlready.tasks.held_out import HELD_OUT


def refuse_unreadable(source: str, *, rows: bool) -> None:
    """UserError if a source cannot be opened or yields no problem, or with ``rows`` no worked row; reads one item.

    Of what is held out of a source all is read, as a single item cannot be divided.
    """
    task = open_task(source, limit=None if f"{HELD_OUT}=" in source else 1)
    if not (task.rows() if rows else task.problems()):
        raise UserError(f"{source}: there is no {'row' if rows else 'problem'} in it")
