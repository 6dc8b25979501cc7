"""What a command prints: the decision or result in a sentence, tables, what to run next, and where the report is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.result import Result


@dataclass(frozen=True)
class Finished:
    """The result of a run and the file of its report."""

    result: Result
    page: Path


def print_result(result: Finished | Result | Path | str, switches: Set[str] = frozenset()) -> None:
    """Print what a verb returned, as JSON or, with ``wide``, with all columns of its tables.

    UserError if standard output cannot be written to.
    """
    from rlready.core.messages import note
    from rlready.core.terminal import print_json
    from rlready.runs.files import to_json

    try:
        if isinstance(result, str):
            print(result)
        elif "json" in switches and isinstance(result, Finished):
            print_json(to_json(result.result))
            note(f"the report is {result.page}")
        elif "json" in switches:
            print_json(to_json({"written": str(result)} if isinstance(result, Path) else result))
        elif isinstance(result, Path):
            print(f"written  {result}")
        elif isinstance(result, Finished):
            shown = result.result
            if not shown.next_action and not shown.next_command:
                command = shlex.join(["rlready", "show", str(result.page.parent), "--wide"])
                shown = shown.model_copy(update={"next_command": command})
            _print_tables(shown, wide="wide" in switches)
            print(f"Report: {result.page}")
        else:
            _print_tables(result, wide="wide" in switches)
        sys.stdout.flush()
    except OSError as error:
        raise UserError(f"cannot print the result: {error.strerror}") from error


def _next(result: Result) -> list[str]:
    """What to do next; the command has a line of its own where words say why."""
    action, command = result.next_action, result.next_command
    words = [f"Next: {action or command}"] if action or command else []
    return [*words, *([f"Run: {command}"] if action and command else [])]


def _print_tables(result: Result, *, wide: bool) -> None:
    from rlready.core.tables import print_tables
    from rlready.core.terminal import print_coloured
    from rlready.core.text import in_one_line

    print("\n".join(map(in_one_line, [result.headline, *result.notes])) + "\n")
    if text := getattr(result, "text", ""):
        print_coloured(f"{text}\n\n")
    tables = result.tables()
    print_tables(tables, wide=wide)
    last = [*result.remarks(), *_next(result)]
    if last or tables:
        print("\n" + "\n".join(map(in_one_line, last)), end="\n" if last else "")
