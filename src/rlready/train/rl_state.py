"""The progress of a run of RL, and why it stops before its last step."""

from __future__ import annotations

from pydantic import BaseModel

from rlready.core.config import RLConfig
from rlready.core.messages import note, warn
from rlready.train.drift import Watched, drift
from rlready.train.log import RLStepLog
from rlready.train.result import Evaluation, GroupTotals


class RLState(BaseModel):
    """The progress of a run, which began with ``planned_steps`` as its number of steps.

    ``before`` is the accuracy of every validation problem before RL and ``after`` that after the step of each later
    evaluation (of a state that an older version saved, of those since), ``zero_signal_steps`` counts the latest
    consecutive steps without a gradient, ``first`` holds the watched values of the first step with one, of thoughts if
    the model ``thinks``, ``drift`` describes what has drifted since, by quantity, and ``groups`` counts the groups.
    """

    planned_steps: int = 0
    step: int = 0
    zero_signal_steps: int = 0
    stopped: str = ""
    before: list[float] = []
    after: dict[int, list[float]] = {}
    evaluations: list[Evaluation] = []
    first: Watched | None = None
    thinks: bool = False
    groups: GroupTotals = GroupTotals()
    drift: dict[str, str] = {}

    @property
    def drifted(self) -> str:
        return "; ".join(self.drift.values())


def watch(state: RLState, line: RLStepLog, config: RLConfig) -> None:
    """Stop a run without a gradient; warn once if dense rewards make the policy drift (or stop, if so configured)."""
    state.zero_signal_steps = 0 if line.groups_informative else state.zero_signal_steps + 1
    if state.zero_signal_steps >= config.patience:
        state.stopped = _why_no_gradient(line, state.zero_signal_steps)
    if config.algorithm == "dense" and line.update.entropy is not None:
        rollouts = line.rollouts
        state.thinks |= rollouts.thinking_tokens > 0
        now = Watched(line.update.entropy, rollouts.thinking_tokens if state.thinks else rollouts.response_tokens)
        state.first = state.first or now
        for what, words in drift(state.first, now).items():
            if what not in state.drift:
                state.drift[what] = f"{words} at step {state.step}"
                warn(f"rl: warning: {state.drift[what]}; raise beta or take fewer steps")
        if state.drift and config.stop_on_drift:
            state.stopped = state.stopped or state.drifted
    if state.stopped:
        note(f"rl: stopped: {state.stopped}")


def _why_no_gradient(line: RLStepLog, steps: int) -> str:
    kinds = {
        "every group was all wrong": line.groups_unsolved,
        "every group was all correct": line.groups_solved,
        "rewards were equal within every group": line.groups_equal,
    }
    main = max(kinds, key=lambda k: kinds[k])
    truncated = f", {line.rollouts.truncated:.0%} truncated" if line.rollouts.truncated else ""
    return f"no gradient for {steps} steps: in the last one {main}{truncated}"
