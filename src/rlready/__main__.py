"""``python -m rlready`` is ``rlready``."""

import sys

from rlready.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
