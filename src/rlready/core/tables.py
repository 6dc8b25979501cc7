"""Results as tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rlready.core.cells import DASH
from rlready.core.result import Table
from rlready.core.terminal import has_colour, print_coloured
from rlready.core.text import in_one_line


def print_tables(tables: Sequence[Table], *, wide: bool = False) -> None:
    """Print each table under its title, with numbers right-aligned; ``wide`` prints the columns that are not narrow.

    On a terminal cells are wrapped to its width; in a file or a pipe a row is one line, with two spaces between
    columns.
    """
    print_coloured(tables_as_text(tables, wide=wide))


def tables_as_text(tables: Sequence[Table], *, wide: bool = False) -> str:
    """What `print_tables` prints; on a terminal with colours, and all else of it visible."""
    formatted = _on_terminal if sys.stdout.isatty() else _in_file
    shown = [table if wide else table.narrowed() for table in tables]
    return "\n".join(f"{in_one_line(table.title)}\n" * bool(table.title) + formatted(table) for table in shown)


def _in_file(table: Table) -> str:
    aligned = []
    for column, right in _columns(table):
        width = max(map(len, column))
        aligned.append([cell.rjust(width) if right else cell.ljust(width) for cell in column])
    return "".join("  ".join(row).rstrip() + "\n" for row in zip(*aligned, strict=True))


def _on_terminal(table: Table) -> str:
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = Console(color_system="auto" if has_colour() else None)
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    columns = _columns(table)
    fits = sum(max(map(len, column)) + 2 for column, _ in columns) <= console.width  # else rich would cut off digits
    for (name, *_), right in columns:
        grid.add_column(Text(name), justify="right" if right else "left", no_wrap=right and fits, overflow="fold")
    for cells in zip(*(column[1:] for column, _ in columns), strict=True):
        grid.add_row(*map(Text, cells))  # as text, not markup
    with console.capture() as printed:  # printed by the caller, so that a closed pipe is not rich's to handle
        console.print(grid)
    return printed.get()


def _columns(table: Table) -> list[tuple[list[str], bool]]:
    """The cells of each column, its name first, and whether all that are filled are numbers."""
    rows = [table.columns, *table.rows]
    columns = [[in_one_line(cell) for cell in column] for column in zip(*rows, strict=True)]
    return [(column, len(column) > 1 and all(map(_is_number, filter(_is_filled, column[1:])))) for column in columns]


def _is_filled(cell: str) -> bool:
    return cell not in ("", DASH)


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-−.")[:1].isdigit()
