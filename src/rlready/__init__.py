"""From supervised fine-tuning to reinforcement learning.

Every verb of the command line is a function here or in the package of its name, imported at first use so that
``import rlready`` is instant; every configuration is here::

    from rlready import SFTConfig, sft
    from rlready.readiness import ReadinessConfig, readiness

A name such as ``rlready.readiness`` is the package, a plain module; the function is inside it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

# Read when torch is imported, which is later: waiting threads that spin make decoding up to 40 times slower
# beside a second busy process; tokenizers warn when a process that used them forks.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if TYPE_CHECKING:
    from rlready.core.config import CreditConfig as CreditConfig
    from rlready.core.config import DemoConfig as DemoConfig
    from rlready.core.config import EvaluateConfig as EvaluateConfig
    from rlready.core.config import InjectConfig as InjectConfig
    from rlready.core.config import PredictConfig as PredictConfig
    from rlready.core.config import ReadinessConfig as ReadinessConfig
    from rlready.core.config import RLConfig as RLConfig
    from rlready.core.config import SFTConfig as SFTConfig
    from rlready.core.config import SweepConfig as SweepConfig
    from rlready.core.config import TemplateConfig as TemplateConfig
    from rlready.train.rl import rl as rl
    from rlready.train.sft import sft as sft

__version__ = "0.1.0"
CONFIGS = ("Demo", "Inject", "SFT", "RL", "Evaluate", "Readiness", "Predict", "Sweep", "Credit", "Template")
__getattr__ = lazy(
    __name__,
    {f"{name}Config": "rlready.core.config" for name in CONFIGS}
    | {"sft": "rlready.train.sft", "rl": "rlready.train.rl"},
)
