"""``rlready watch``: runs while they run, on a terminal; it only reads them.

In a file or a pipe it prints once.  A folder whose run contains others, of a sweep or the demo, stands for all of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rlready.core.tables import tables_as_text
from rlready.core.text import in_one_line
from rlready.report.snapshot import Tail, snapshots
from rlready.report.watch_result import WatchResult
from rlready.runs.record import RUNNING

PAUSE = 2.0  # seconds between two looks


def watch(paths: Sequence[Path]) -> WatchResult:
    """The runs in these folders at the end of the watching: when all have ended, or at Ctrl-C.

    UserError for a folder that holds no run.
    """
    tails: dict[Path, Tail] = {}

    def look() -> WatchResult:
        return WatchResult.of(snapshots(paths, tails))

    found = look()
    return _live(look, found) if sys.stdout.isatty() else found


def _live(look: Callable[[], WatchResult], found: WatchResult) -> WatchResult:
    """Draw until no run is left that runs, or Ctrl-C; returns the last look."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from rlready.core.terminal import unwrapped

    screen = Live(console=Console(file=unwrapped(sys.stdout)), auto_refresh=False, transient=True)
    with suppress(KeyboardInterrupt), screen as live:
        while any(run.status == RUNNING for run in found.runs):
            live.update(Text.from_ansi(_as_text(found)), refresh=True)
            time.sleep(PAUSE)
            found = look()
    return found


def _as_text(found: WatchResult) -> str:
    return "\n".join(
        [in_one_line(found.headline), "", tables_as_text(found.tables()), *map(in_one_line, found.remarks())]
    )
