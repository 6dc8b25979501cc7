"""From supervised fine-tuning to reinforcement learning.

Each verb of the command line is a function of the same name here: ``rlready.sft(config, out)``.  They are
imported at first use, so that importing the package is instant.  Where a module has its verb's name
(``rlready.readiness``), the attribute is the function; ``from rlready.readiness import ...`` reaches the module.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

# Read when torch is imported, which is later: waiting threads that spin make decoding up to 40 times slower
# beside a second busy process; tokenizers warn when a process that used them forks.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if TYPE_CHECKING:
    from rlready.demo import demo as demo
    from rlready.evaluate.evaluate import evaluate as evaluate
    from rlready.inject.inject import inject as inject
    from rlready.predict.predict import predict as predict
    from rlready.readiness.readiness import readiness as readiness
    from rlready.report.page import write as report
    from rlready.show import show as show
    from rlready.sweep.sweep import sweep as sweep
    from rlready.train.rl import rl as rl
    from rlready.train.sft import sft as sft

VERBS = {
    "demo": ("rlready.demo", "demo"),
    "inject": ("rlready.inject.inject", "inject"),
    "sft": ("rlready.train.sft", "sft"),
    "rl": ("rlready.train.rl", "rl"),
    "evaluate": ("rlready.evaluate.evaluate", "evaluate"),
    "readiness": ("rlready.readiness.readiness", "readiness"),
    "predict": ("rlready.predict.predict", "predict"),
    "sweep": ("rlready.sweep.sweep", "sweep"),
    "show": ("rlready.show", "show"),
    "report": ("rlready.report.page", "write"),
}
__all__ = ["demo", "evaluate", "inject", "predict", "readiness", "report", "rl", "sft", "show", "sweep"]


class _Package(ModuleType):
    """Importing a submodule sets it as the package's attribute; a verb's name stays the function's."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in VERBS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, function = VERBS[name]
    return getattr(importlib.import_module(module), function)
