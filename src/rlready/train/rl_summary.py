"""What a run of RL did to the validation accuracy, in words, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rlready.core.cells import brief_percent
from rlready.core.config import RLConfig
from rlready.core.records import Estimate
from rlready.core.stats import NORMAL_WIDTH, simultaneous
from rlready.readiness.next_step import LONGER, MOSTLY, given_words
from rlready.runs.record import RunRecord
from rlready.tasks.other_problems import other_problems
from rlready.train.result import Evaluation, GroupTotals

# settings of how rollouts are sampled, and what evaluate calls them
OF_THINKING = {"thinking_budget": "thinking_budgets", "num_waits": "num_waits", "wait_text": "wait_text"}
SAMPLING = {name: name for name in ("temperature", "apply_chat_template", "delimiters", "answer_prefix")}
LIMIT = {"max_answer_tokens": "max_answer_tokens"}
LEAST = 3  # evaluations, with that before training, of which nothing can be said
RISING = "the last evaluation was the highest, by more than one standard error"


def gain_of(best: Evaluation, evaluations: Sequence[Evaluation]) -> Estimate | None:
    """The gain of the best evaluation over the start, for all of them together, as it was chosen among them."""
    return simultaneous(best.gain, len(evaluations) - 1, span=1.0) if best.gain else None


def headline(best: Evaluation, gain: Estimate | None, evaluations: Sequence[Evaluation], groups: GroupTotals) -> str:
    """What the run did to the validation accuracy, and whether significantly, or why it did nothing."""
    start, *after = evaluations
    if not groups.informative:
        return "RL learned nothing: no step had a gradient."
    reached = best.accuracy if best.step else max((e.accuracy for e in after), key=lambda a: a.value)
    before, then = brief_percent(start.accuracy, reached), brief_percent(reached, start.accuracy)
    if not best.step:
        return f"RL did not raise validation accuracy: {before} % before, {then} % at best after it."
    if gain and gain.low > 0:
        return f"RL raised validation accuracy from {before} % to {then} % at RL step-{best.step}."
    said = "is not significantly higher after RL" if gain else "is highest after RL"
    return f"Validation accuracy {said}: {before} % before, {then} % at RL step-{best.step}."


def next_action(best: Evaluation, evaluations: Sequence[Evaluation], groups: GroupTotals) -> str:
    """What to do with the best checkpoint, or instead of this run; a curve that still rose may rise further."""
    if not groups.informative:
        cut = groups.at_limit > MOSTLY * groups.responses
        advice = {
            LONGER if cut else "Take easier problems, so that some responses of a group are correct.": groups.unsolved,
            "Take harder problems, so that some responses of a group are wrong.": groups.solved,
            "Change the reward, which was the same for all responses of a group.": groups.equal,
        }
        return max(advice, key=lambda words: advice[words])
    more = f" Accuracy was still rising ({RISING}): more steps may gain more." if still_rising(evaluations) else ""
    if not more and len(evaluations) > LEAST:
        more = " There is no sign that more steps would gain more: the last evaluation was not the highest by more than"
        more += " one standard error."
    if not best.step:
        return "Go on with the starting checkpoint: no later one was more accurate."
    return f"Compare RL step-{best.step} with its start on problems that were not used for validation.{more}"


def evaluation_command(config: RLConfig, record: RunRecord, checkpoint: str, limit: int | None) -> str:
    """The command that compares a checkpoint with its start, sampled as in training.

    ``limit`` is that of the responses of a model that does not think, None for one that does.  A length that is stated
    in the prompt is left out: evaluate states its budgets only beside those that it enforces.
    """
    words = [f"problems={other_problems(config.validation) or 'TEST.jsonl'}"] if config.problems else []
    names = SAMPLING | (OF_THINKING | LIMIT if limit is None else {})
    words += given_words(record.config, record.origins, names, RLConfig)
    words += [] if limit is None else [f"max_answer_tokens={limit}"]
    return shlex.join(["rlready", "evaluate", config.model, checkpoint, *words])


def still_rising(evaluations: Sequence[Evaluation]) -> bool:
    """Whether the last evaluation was above all others by more than one standard error of its accuracy."""
    *before, last = (e.accuracy for e in evaluations)
    most = max((each.value for each in before), default=last.value)
    return len(before) > 1 and last.value - most > (last.high - last.low) / NORMAL_WIDTH
