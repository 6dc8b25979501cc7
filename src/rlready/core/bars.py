"""Progress bars on a terminal, drawn by rich below the lines that are printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rlready.core.terminal import neutral, unwrapped
from rlready.core.text import visible

if TYPE_CHECKING:
    from rlready.core.progress import Progress

WIDTH = 10  # of the bar itself: the numbers next to it say more


class Bars:
    """A line for each open bar; ``stop`` removes them."""

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=unwrapped(stream))
        # what others write to the terminal goes above the bars, where the next drawing does not erase it
        beside = sys.stdout.isatty()
        self._live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stdout=beside)
        self._live.start()
        sys.stdout, sys.stderr = neutral(sys.stdout), neutral(sys.stderr)  # also what goes above the bars
        self.console.show_cursor()  # a killed process must not leave the terminal without one

    def draw(self, bars: Sequence[Progress]) -> None:
        grid = Table.grid(padding=(0, 2))
        for bar in bars:
            grid.add_row(_line(bar.name), ProgressBar(bar.total, bar.done, width=WIDTH), _line(bar.status))
        self._live.update(grid, refresh=True)

    def print(self, text: str) -> None:
        self.console.print(Text(visible(text)), soft_wrap=True)

    def stop(self) -> None:
        self._live.stop()


def _line(text: str) -> Text:
    return Text(visible(text).replace("\n", " "), no_wrap=True, overflow="ellipsis")
