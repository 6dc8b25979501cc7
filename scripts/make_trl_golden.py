"""Write tests/data/trl_golden.json: TRL's losses and gradients on a fixed batch, for tests without TRL.

    pip install -e '.[trl]' && PYTHONPATH=tests python scripts/make_trl_golden.py

For every case in tests/trl_case.py, with and without a KL penalty: TRL's advantages, and for the first update (on
policy) and the second (off policy, partly clipped) its loss and the gradient of one weight matrix, to which every token
contributes.  TRL computes in float64, so that the numbers do not depend on how one processor rounds.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import trl

from test_trl_golden import GOLDEN, KLS, MATRIX
from trl_case import CASES, Steps, save_pair, written_lm, written_rollouts
from trl_peer import trl_rloo, trl_steps


def figures(steps: Steps) -> dict[str, Any]:
    """Rounded far below the tolerance of the comparison."""
    gradients = [[float(f"{x:.7g}") for x in g[MATRIX].flatten().tolist()] for g in steps.gradients]
    losses, advantages = ([float(f"{x:.7g}") for x in values] for values in (steps.losses, steps.advantages))
    return {"advantages": advantages, "losses": losses, "gradients": gradients}


def main() -> None:
    found: dict[str, Any] = {"trl": trl.__version__, "matrix": MATRIX}
    for name, case in CASES.items():
        for kl in KLS:
            with tempfile.TemporaryDirectory() as folder:
                start = written_lm(0.0)
                save_pair(Path(folder), start, written_lm(1.0))
                groups = written_rollouts(start, case.rewards)
                steps = trl_steps(Path(folder), groups, case, updates=2, kl=kl, dtype=torch.float64)
                found[f"{name}, kl={kl}"] = figures(steps)
    with tempfile.TemporaryDirectory() as folder:
        start = written_lm(0.0)
        save_pair(Path(folder), start, written_lm(1.0))
        groups = written_rollouts(start, CASES["grpo"].rewards, forced=False)
        found["rloo"] = figures(trl_rloo(Path(folder), groups, torch.float64))
    GOLDEN.write_text(json.dumps(found, indent=0).replace(",\n", ", ") + "\n")


if __name__ == "__main__":
    main()
