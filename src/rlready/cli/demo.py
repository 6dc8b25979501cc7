"""The whole SFT→RL pipeline on the embedded model: SFT, readiness of its checkpoints, RL from the one that readiness
chooses, and base, SFT and RL compared at five thinking budgets.

Every stage is the verb that a user would call, in a folder inside the demo's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rlready.cli.demo_recipe import recipe, unlearned_form
from rlready.core.cells import brief_percent
from rlready.core.config import DemoConfig, EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.progress import Plan
from rlready.core.records import Estimate
from rlready.core.stats import paired_estimate
from rlready.evaluate.result import BudgetScores, EvaluateResult, Example, LengthHistogram, Scores
from rlready.evaluate.stage import evaluate
from rlready.readiness.result import ReadinessResult
from rlready.readiness.stage import readiness
from rlready.report.demo_result import DemoCheckpoint, DemoResult, ModelScores, StageSeconds
from rlready.runs.files import remove
from rlready.runs.log import EXAMPLES, append_line, read_log
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from rlready.tasks.readable import refuse_unreadable
from rlready.train.result import RLResult, SFTResult
from rlready.train.rl import rl
from rlready.train.sft import sft

BUDGETS = (16, 28, 40, 52, 64)
DETOURS = "&detours=0.5"  # worked rows also solve some parameters that were not asked for, which RL can unlearn
SCOPE = "One seed, one small model, generated sums: it shows the pipeline at work, not what RL does for your model."
# seconds each stage took on two cores; only used to say how much time is left
STAGES = (("sft", 60.0), ("readiness", 40.0), ("rl", 170.0), ("evaluate", 30.0), ("greedy", 6.0))
Settings = TypeVar("Settings")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Sizes:
    """Sizes of all stages; with these the demo takes six minutes on two cores."""

    rows: int = 2000
    heldout: int = 200
    epochs: float = 2.0
    learning_rate: float = 1e-3
    readiness_problems: int = 48
    readiness_samples: int = 32
    rl_steps: int = 48
    validation: int = 64
    eval_every: int = 12
    prompts_per_step: int = 16
    group_size: int = 16
    test: int = 200


FULL = Sizes()


class Stages:
    """Runs the stages one after another, each in a folder of its name, and keeps how many ``seconds`` each took.

    These are of all attempts, as a demo that is continued reads what is done already.
    """

    def __init__(self, config: DemoConfig, out: Path, sizes: Sizes) -> None:
        self.config, self.out, self.sizes = config, out, sizes
        self.plan, self.seconds = Plan(STAGES), dict[str, float]()

    def refuse_unreadable(self) -> None:
        """UserError for a task without problems or rows in one of its splits."""
        for split in ("train", "test"):
            refuse_unreadable(self._source(split, 1, 1) + DETOURS, rows=True)

    def sft(self) -> SFTResult:
        sizes = self.sizes
        settings = SFTConfig(
            rows=self._source("train", sizes.rows, 1) + DETOURS,
            heldout=self._heldout(),
            epochs=sizes.epochs,
            learning_rate=sizes.learning_rate,
            save_every=sizes.epochs / 4,
            seed=self.config.seed,
        )
        return self._run("sft", sft, settings)

    def readiness(self, tuned: SFTResult) -> ReadinessResult:
        settings = ReadinessConfig(
            checkpoints=tuple(c.path for c in tuned.checkpoints),
            heldout=self._heldout(),
            problems=self._source("train", self.sizes.readiness_problems, 3),
            samples=self.sizes.readiness_samples,
            group_size=self.sizes.group_size,
            thinking_budget=BUDGETS[-1],
            seed=self.config.seed,
        )
        return self._run("readiness", readiness, settings)

    def rl(self, start: str) -> RLResult:
        sizes = self.sizes
        settings = RLConfig(
            model=start,
            problems=self._source("train", 4000, 4),
            validation=self._source("test", sizes.validation, 5),
            steps=sizes.rl_steps,
            prompts_per_step=sizes.prompts_per_step,
            group_size=sizes.group_size,
            eval_every=sizes.eval_every,
            reward="arora_zanette",
            reward_coef=0.2,
            thinking_budget=BUDGETS[-1],
            seed=self.config.seed,
        )
        return self._run("rl", rl, settings)

    def evaluate(self, models: tuple[str, ...]) -> EvaluateResult:
        settings = EvaluateConfig(models=models, problems=self._test(), thinking_budgets=BUDGETS, seed=self.config.seed)
        return self._run("evaluate", evaluate, settings)

    def greedy(self, models: tuple[str, ...]) -> EvaluateResult:
        settings = EvaluateConfig(
            models=models,
            problems=self._test(),
            thinking_budgets=BUDGETS[-1:],
            samples=1,
            temperature=0.0,
            seed=self.config.seed,
        )
        return self._run("greedy", evaluate, settings)

    def _run(self, name: str, verb: Callable[[Settings, Path], Found], settings: Settings) -> Found:
        with self.plan.stage(name):
            found = verb(settings, self.out / name)
        self.seconds[name] = RunRecord.load(self.out / name).seconds
        return found

    def _source(self, split: str, n: int, salt: int) -> str:
        task = self.config.task
        joint = "&" if "?" in task else "?"
        return f"{task}{joint}split={split}&n={n}&seed={1000 * (self.config.seed + 1) + salt}"

    def _heldout(self) -> str:
        return self._source("test", self.sizes.heldout, 2) + DETOURS

    def _test(self) -> str:
        return self._source("test", self.sizes.test, 6)


def demo(config: DemoConfig, out: Path, sizes: Sizes = FULL) -> DemoResult:
    """Run all stages, or those that a killed run left undone; returns all numbers of the report."""
    with Run(out, "demo", config) as run:
        if run.finished:
            return run.stored(DemoResult)
        stages = Stages(config, out, sizes)
        stages.refuse_unreadable()
        run.claim()
        tuned = stages.sft()
        ready = stages.readiness(tuned)
        learned = stages.rl(ready.chosen)
        models = {"base": "embedded", "sft": ready.chosen, "rl": learned.best.path}
        at_budgets = stages.evaluate(tuple(dict.fromkeys(models.values())))
        greedy = stages.greedy(tuple(dict.fromkeys((models["sft"], models["rl"]))))
        run.note_overlaps_of(out / name for name in stages.seconds)
        gain, greedy_gain = _gain(at_budgets, models), _gain(greedy, models)
        largest = _by_name(at_budgets.budgets[-1].scores, models)
        lengths = at_budgets.lengths
        before, after = (_with_greedy(largest[name], greedy, models[name]) for name in ("sft", "rl"))
        started = f"SFT {Path(ready.chosen).name}"
        form = unlearned_form(out / "evaluate", BUDGETS[-1], started) if "words" not in config.task else ""
        result = DemoResult(
            headline=_headline(gain, greedy_gain, before, after),
            notes=[SCOPE],
            next_action="Measure checkpoints of your own.",
            next_command="rlready readiness CHECKPOINT... problems=FILE",
            seed=config.seed,
            task=at_budgets.task,
            recipe=[*filter(None, [form]), *recipe(out, ready, learned)],
            rl_minus_sft=gain,
            greedy_rl_minus_sft=greedy_gain,
            chance_level=ready.chance_level,
            chosen=Path(ready.chosen).name,
            rl_step=learned.best.step,
            group_size=ready.informative_group_size,
            checkpoints=_checkpoints(tuned, ready),
            budgets=[
                BudgetScores(budget=row.budget, scores=_by_name(row.scores, models)) for row in at_budgets.budgets
            ],
            unconstrained=_by_name(at_budgets.unconstrained, models),
            lengths=LengthHistogram(edges=lengths.edges, models=_by_name(lengths.models, models)),
            base=ModelScores(**dict(largest["base"])),
            sft=before,
            rl=after,
            stages=[StageSeconds(name=name, seconds=seconds) for name, seconds in stages.seconds.items()],
            seconds=math.fsum(stages.seconds.values()),
        )
        _copy_examples(out, {path: name for name, path in models.items()})
        run.write_result(result)
        return result


def _by_name(by_path: Mapping[str, Found], models: Mapping[str, str]) -> dict[str, Found]:
    return {name: by_path[path] for name, path in models.items()}


def _gain(evaluated: EvaluateResult, models: Mapping[str, str]) -> Estimate:
    after, before = (evaluated.per_problem[models[name]][str(BUDGETS[-1])] for name in ("rl", "sft"))
    return paired_estimate(after, before, bounds=(0.0, 1.0))


def _with_greedy(scores: Scores, greedy: EvaluateResult, path: str) -> ModelScores:
    found = greedy.budgets[-1].scores[path]
    return ModelScores(**dict(scores), greedy_accuracy=found.accuracy, greedy_strict_accuracy=found.strict_accuracy)


def _checkpoints(tuned: SFTResult, ready: ReadinessResult) -> list[DemoCheckpoint]:
    saved = {c.path: c for c in tuned.checkpoints}
    return [
        DemoCheckpoint(
            **dict(row) | {"name": Path(row.name).name}, epoch=saved[row.name].epoch, step=saved[row.name].step
        )
        for row in ready.checkpoints
    ]


def _headline(gain: Estimate, greedy_gain: Estimate, before: ModelScores, after: ModelScores) -> str:
    """What RL did to the accuracy of samples, and to that of greedy decoding, which sharpening alone does not raise."""
    start, end = brief_percent(before.accuracy, after.accuracy), brief_percent(after.accuracy, before.accuracy)
    assert before.greedy_accuracy
    assert after.greedy_accuracy
    once = before.greedy_accuracy, after.greedy_accuracy
    first, last = brief_percent(*once), brief_percent(*reversed(once))
    if gain.low <= 0 <= gain.high:
        said = f"RL did not change test accuracy significantly: {start} % before, {end} % after"
        return f"{said}, greedy {first} % and {last} %."
    verb = "raised" if gain.value > 0 else "lowered"
    said = f"RL {verb} sampled accuracy from {start} % to {end} %"
    if greedy_gain.value * gain.value <= 0 or greedy_gain.low <= 0 <= greedy_gain.high:
        return f"{said}; greedy {first} % to {last} %, not significantly."
    return f"{said}, greedy from {first} % to {last} %."


def _copy_examples(out: Path, names: Mapping[str, str]) -> None:
    """Copy the samples that a reader can look at, with the models' names in place of their paths."""
    target = out / EXAMPLES
    remove(target)
    for line in read_log(out / "evaluate" / EXAMPLES):
        example = Example.model_validate(line)
        append_line(target, example.model_copy(update={"model": names[example.model]}))
