"""The command ``rlready`` and ``python -m rlready``, which import nothing from the working directory unasked.

Python puts it first for ``-m``, and where ``PYTHONPATH`` has an empty entry, as in ``PYTHONPATH=$PYTHONPATH:src``.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

HERE = ("", os.curdir)  # entries of PYTHONPATH that name the working directory without its path
PACKAGES = str(Path(__file__).parents[1])


def _without_working_directory() -> None:
    """Take the working directory from ``sys.path`` and from what processes inherit, unless rlready itself is in it."""
    with suppress(FileNotFoundError):  # a working directory that was deleted holds no modules
        here = os.getcwd()
        if here == PACKAGES:
            return
        if not sys.flags.safe_path and sys.path[0] == here:
            del sys.path[0]
        entries = (os.environ.get("PYTHONPATH") or os.devnull).split(os.pathsep)
        named = [entry for entry in entries if entry not in HERE]
        if len(named) == len(entries):
            return
        if here not in map(os.path.abspath, named):
            sys.path[:] = [entry for entry in sys.path if entry not in (*HERE, here)]
        os.environ["PYTHONPATH"] = os.pathsep.join(named)


_without_working_directory()

from rlready.cli.main import main  # noqa: E402 (after the working directory has left the path)

if __name__ == "__main__":
    sys.exit(main())
