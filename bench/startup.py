"""Start-up time: `python bench/startup.py`.

`import rlready` and `rlready --help`, each in a new process; neither may import torch.
"""

from __future__ import annotations

import subprocess
import sys
import time

from common import Goal, Row, main

IMPORT = Goal("seconds of `import rlready`, the interpreter's start included", "< 0.5")
HELP = Goal("seconds of `rlready --help`", "< 0.5")
CODE = {
    IMPORT: "import rlready",
    HELP: "import sys; from rlready.cli.main import main; sys.argv = ['rlready', '--help']; main()",
}
ASK = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); "


def run(quick: bool) -> list[Row]:
    rows = []
    for goal, code in CODE.items():
        asked = subprocess.run([sys.executable, "-c", ASK + code], capture_output=True, text=True, check=False)
        if asked.stderr.strip() != "False":
            raise RuntimeError(f"{code}: torch is imported, or it failed: {asked.stderr}")
        seconds = []
        for _ in range(2 if quick else 10):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
            seconds.append(time.perf_counter() - begun)
        rows.append(goal.row(seconds, varies="processes"))
    return rows


if __name__ == "__main__":
    main([IMPORT, HELP], run)
