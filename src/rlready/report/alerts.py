"""Signs in the log of an RL run that it may not be worth its time, while it can still be stopped.

The last steps are compared with the first.  The bounds are a choice of this package: those of entropy and length are
the ones by which runs with dense rewards are warned (`train/drift.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlready.core.truncation import MANY
from rlready.report.logs import Log, Value, along
from rlready.train.drift import Watched, drift

STEPS = 10  # over which the start and the end of a log are averaged
FEW = 0.1  # share of informative groups
LARGE = 10.0  # loss of RL, which its KL penalty alone can reach
CURE = "raise kl_coef, or beta with dense rewards, or take fewer steps"
ROUNDING = 0.03  # nats per token; engines in bfloat16 stay below it, and RL stops at 0.1


def ends(log: Log, value: Value) -> tuple[float, float] | None:
    """The means of a quantity over the first and over the last `STEPS` lines that have it; None if they are the same
    lines, or there are none."""
    values = [known for _, known in along(log, value)]
    return (_mean(values[:STEPS]), _mean(values[-STEPS:])) if len(values) > STEPS else None


def alerts(log: Log) -> list[str]:
    """What is wrong, each in a sentence with what to do; empty for a log of SFT, or of `STEPS` steps or fewer."""
    found = []
    if (informative := ends(log, lambda line: line.informative)) and informative[1] < FEW:
        found.append(
            f"No signal: in {informative[1]:.0%} of groups rewards differ. Problems are too easy or too hard: choose "
            "others, or raise group_size."
        )
    entropy = ends(log, lambda line: line.entropy)
    thinks = any(line.thinking_tokens for line in log)
    length = ends(log, lambda line: line.thinking_tokens if thinks else line.response_tokens)
    if entropy and length:
        drifted = drift(Watched(entropy[0], length[0]), Watched(entropy[1], length[1]))
        found += [f"{words[0].upper()}{words[1:]}: {CURE}." for words in drifted.values()]
    if (truncated := ends(log, lambda line: line.truncated)) and truncated[1] > MANY:
        found.append(
            f"{truncated[1]:.0%} of rollouts reach a limit, and mostly count as wrong: raise thinking_budget or "
            "max_answer_tokens."
        )
    loss = ends(log, lambda line: None if line.loss is None or line.informative is None else abs(line.loss))
    if loss and loss[1] > LARGE:
        found.append(
            f"The loss is {loss[1]:.2g} in size, where that of rewards stays near 0: the policy is so far from its "
            "start that kl_coef outweighs the rewards. Lower learning_rate or kl_coef."
        )
    if (mismatch := ends(log, lambda line: line.mismatch)) and mismatch[1] > ROUNDING:
        found.append(
            f"The engine and the learner differ by {mismatch[1]:.2g} nats per token, more than rounding: try "
            "dtype=float32."
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
