"""Rewards of a group: pure functions of which responses are right and how long they thought.

    verdict   c
    brief     c · (1 − a · σ((n − mean n_correct) / (std n_correct + 1e-7)))

``brief`` after Arora & Zanette (arXiv 2502.04463), statistics over the group's correct responses; with a < 1 no wrong
answer outranks a right one.  Theirs gives 0 to a response without an end; here the verifier's word stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def brief(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float) -> NDArray[np.float64]:
    """(G,) rewards; ``correct`` (G,), ``thinking`` (G,) tokens; a = 0 is the verdict itself."""
    reward = correct.astype(np.float64)
    if a and correct.any():
        right = thinking[correct].astype(np.float64)
        z = (thinking - right.mean()) / (right.std() + 1e-7)
        # far from the mean the sigmoid is flat; the clip only keeps exp from overflowing
        reward *= 1 - a / (1 + np.exp(-np.clip(z, -50, 50)))
    return reward
