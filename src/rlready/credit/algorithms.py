"""The algorithms of the GRPO family: each is one entry that says how rewards become a policy gradient.

An algorithm brings together what its paper defines together: the advantage of a response in its group, the weight of a
token (the normaliser), and the clip range of the importance ratio.  A new one is an object of this type; see
docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rlready.core.config.rl import check_algorithm
from rlready.core.errors import UserError
from rlready.core.import_path import load_object
from rlready.credit.outcome import (
    Floats,
    Ints,
    Normaliser,
    centred,
    leave_one_out,
    per_batch_token,
    per_response_token,
    per_token_of_cap,
    standardised,
)


@dataclass(frozen=True)
class Algorithm:
    """How rewards become a policy gradient.

    ``advantage`` maps the rewards (G,) of a group to its advantages (G,); ``normaliser`` gives the weight of a token;
    the ratio is clipped to [1 − ``epsilon``, 1 + ``epsilon_high``]; ``source`` names the paper.
    """

    name: str
    advantage: Callable[[Floats], Floats]
    normaliser: Normaliser
    epsilon: float = 0.2
    epsilon_high: float = 0.2
    source: str = ""

    def advantages(self, rewards: Floats) -> Floats:
        """The advantages (G,) of a group; UserError unless ``advantage`` returns a finite number for each reward."""
        return self._numbers("advantage", self.advantage(rewards), len(rewards))

    def weights(self, lengths: Ints, responses: int, cap: int) -> Floats:
        """The weights (R,) of tokens; UserError unless ``normaliser`` returns a finite number for each length."""
        return self._numbers("normaliser", self.normaliser(lengths, responses, cap), len(lengths))

    def _numbers(self, part: str, returned: object, count: int) -> Floats:
        numbers = np.asarray(returned)
        if numbers.shape != (count,) or numbers.dtype.kind not in "fiu" or not np.isfinite(numbers).all():
            raise UserError(
                f"algorithm {self.name}: its {part} must return {count} finite numbers, an array of shape ({count},), "
                f"not {' '.join(repr(returned).split())[:60]}"
            )
        return numbers.astype(np.float64)


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("grpo", standardised, per_response_token, source="Shao et al., arXiv 2402.03300"),
        Algorithm("dr_grpo", centred, per_token_of_cap, source="Liu et al., arXiv 2503.20783"),
        Algorithm("rloo", leave_one_out, per_token_of_cap, source="Ahmadian et al., arXiv 2402.14740"),
        Algorithm("dapo", standardised, per_batch_token, epsilon_high=0.28, source="Yu et al., arXiv 2503.14476"),
        # a reward for every token (credit/dense.py); this advantage is for the share of the verifier's reward
        Algorithm("dense", centred, per_token_of_cap, source="Li et al., arXiv 2510.02493"),
    )
}


def algorithm_named(name: str) -> Algorithm:
    """A built-in algorithm, or the `Algorithm` at an import path ``pkg.module:NAME``; UserError for anything else."""
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    check_algorithm(name)
    found = load_object("algorithm", name)
    if not isinstance(found, Algorithm):
        raise UserError(
            f"algorithm={name} is a {type(found).__name__}, but must be an rlready.credit.algorithms.Algorithm"
        )
    if not (0 <= found.epsilon <= 1 and 0 <= found.epsilon_high < np.inf):
        raise UserError(f"algorithm={name}: epsilon must be from 0 to 1, and epsilon_high at least 0 and finite")
    return found
