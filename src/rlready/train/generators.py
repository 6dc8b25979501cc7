"""The random generators of the process, which this package does not draw from: for code that is not its own.

Each draw of this package has a generator of its own.  A user's algorithm or task may draw from those of Python, NumPy
and PyTorch: seeded before each step, they give a run that was killed and continued the draws of an unbroken one.  That
is not promised of a loss, which the fast path for small models calls in several threads.
"""

from __future__ import annotations

import numpy as np
from transformers import set_seed


def seed_generators(seed: int, step: int) -> None:
    """Seed the generators of the process, on all devices, for the step after ``step`` steps of a run."""
    set_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
