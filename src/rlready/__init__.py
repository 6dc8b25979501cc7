"""From supervised fine-tuning to reinforcement learning.

Every verb of the command line that has settings is a function here; all are imported at first use, so that
``import rlready`` is instant::

    result = rlready.readiness(checkpoints=["outputs/checkpoint-300"], problems="problems.jsonl", out="runs/a")

Settings are keyword arguments, a configuration such as `ReadinessConfig`, or a configuration and changes to it.  The
result is a typed record such as `ReadinessResult`, and the run folder has its page.  Bad input raises `UserError`.
"""

from __future__ import annotations

import os

from rlready.core.lazy import lazy

# Read when torch is imported, which is later: waiting threads that spin make decoding up to 40 times slower
# beside a second busy process; tokenizers warn when a process that used them forks.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"
NAMES = (
    *("Demo", "Inject", "SFT", "RL", "Evaluate", "Readiness", "Predict", "Sweep", "Doctor", "Checklist"),
    *("Export", "Import"),
    *("Credit", "Template"),
)
OTHERS = {
    "UserError": "rlready.core.errors",
    "BudgetForcedRollout": "rlready.interchange.trl_rollout",
    "ReadinessCallback": "rlready.readiness.callback",
}
__getattr__ = lazy(
    __name__,
    {f"{name}Config": "rlready.core.config" for name in NAMES}
    | {f"{name}Result": "rlready.runs.results" for name in NAMES[:12]}
    | dict.fromkeys(("sft", "rl", "demo", "doctor", "import_"), "rlready.core.verbs")
    | {verb: f"rlready.{verb}" for verb in ("inject", "evaluate", "readiness", "predict", "sweep", "export")}
    | {"checklist": "rlready.checklist"}
    | OTHERS,
)
