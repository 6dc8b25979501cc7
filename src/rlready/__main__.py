"""``python -m rlready`` is ``rlready``: it imports nothing from the working directory, which Python has put first."""

import os
import sys
from contextlib import suppress
from pathlib import Path

if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parents[1]):
    with suppress(FileNotFoundError):  # a working directory that was deleted holds no modules
        if sys.path[0] == os.getcwd():
            del sys.path[0]

from rlready.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
