"""``python -m rlready`` is ``rlready``: it imports nothing from the working directory, which Python has put first."""

import os
import sys
from pathlib import Path

if not sys.flags.safe_path and sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):
    del sys.path[0]

from rlready.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
