"""What the demo has run, in sentences with the values of its records, and why the base model scores as it does."""

from __future__ import annotations

import re
from pathlib import Path

from rlready.core.cells import brief_percent
from rlready.core.config import EvaluateConfig, RLConfig, SFTConfig
from rlready.models.chat import CLOSE
from rlready.readiness.result import ReadinessResult
from rlready.runs.checkpoint_order import listed
from rlready.runs.files import read_table
from rlready.runs.record import RunRecord
from rlready.train.result import RLResult, SFTResult

# shares of responses in the asked form: up to the first a model has not learned it, from the second on it has
FEW, MOST = 0.05, 0.5
STATED = re.compile(r"(\S+):")  # the name before a value, in symbols


def recipe(out: Path, ready: ReadinessResult, learned: RLResult) -> list[str]:
    """What SFT learned from, how RL was run, how its checkpoints were chosen, and how they were tested."""
    sft = SFTConfig.model_validate(RunRecord.load(out / "sft").config)
    rl = RLConfig.model_validate(RunRecord.load(out / "rl").config)
    samples, detours = max(ready.checkpoints[0].pass_at_k), str(sft.rows).rpartition("detours=")[2]
    tested = EvaluateConfig.model_validate(RunRecord.load(out / "evaluate").config)
    least, best = 1 - (rl.reward_coef or 0.0), learned.best
    seen = next((c.epoch for c in SFTResult.load(out / "sft").checkpoints if c.path == ready.chosen), sft.epochs)
    chosen = "" if seen == sft.epochs else f", and for {seen:g} up to the checkpoint that RL started from"
    equal = [str(step) for step in learned.equals]
    tie = f" (as had step {listed(equal)}: the earliest is taken)" if equal else ""
    return [
        f"SFT saw its worked rows for {sft.epochs:g} epochs in all{chosen}. They have detours: steps that no answer "
        f"needs, each with probability {detours}, which cost tokens.",
        f"RL ran for {rl.steps} steps of {rl.prompts_per_step} problems with {rl.group_size} samples each, by "
        f"algorithm {rl.algorithm} at temperature {rl.temperature:g}. Its reward, {rl.reward}, is 0 for a wrong "
        f"sample and between {least:g} and 1 for a correct one, lower the longer its thought is beside "
        "those of the other correct samples of the problem.",
        f"Of the {len(learned.evaluations)} evaluations during RL, that at step {best.step} had the highest accuracy, "
        f"{brief_percent(best.accuracy)} % on {best.accuracy.n} validation problems{tie}. It is the RL model.",
        f"Test problems are of another split than those of training. Each has {tested.samples} samples at temperature "
        f"{tested.temperature:g}; greedy decoding, which takes the likeliest token each time, has one response.",
        f"★ is the checkpoint that RL started from. The rule, on {len(ready.problems)} other problems with "
        f"{samples} samples each: {ready.rule}",
    ]


def unlearned_form(evaluated: Path, budget: int, sft: str) -> str:
    """A sentence if the base model hardly ever states a value for all that is asked and SFT mostly does; else "".

    ``evaluated`` is the run that has the samples of the base model first, then those of ``sft``, as it is called.
    """
    (base, n), (tuned, of) = (_in_form(evaluated / "parts" / f"{at}.parquet", str(budget)) for at in (0, 1))
    if base > FEW * n or tuned < MOST * of:
        return ""
    return (
        f"Base gives a value for everything that is asked in {base:,} of {n:,} samples at budget {budget}, {sft} in "
        f"{tuned:,} of {of:,}: the accuracy of Base shows that it has not learned this form of answer, not how well it "
        "calculates."
    )


def _in_form(table: Path, setting: str) -> tuple[int, int]:
    """In how many samples the names with a value are those that were asked for, and of how many."""
    pairs = [
        (row["text"].rpartition(CLOSE)[2], row.get("answer") or "")
        for row in read_table(table)
        if row["setting"] == setting
    ]
    return sum(STATED.findall(text) == STATED.findall(answer) for text, answer in pairs), len(pairs)
