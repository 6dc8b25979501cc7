"""Fifty-one SFT→RL runs, and how well readiness predicted them: `python evidence/predict/run.py`.

Resumable: what a killed run left undone is done when the command is given again; `--page` only writes the page again.
Between seeds the SFT rows and their order differ; the readiness problems, the RL problems and the test problems are the
same for all runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import PredictConfig, SweepConfig
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.core.stats import paired_estimate, simultaneous, t_estimate
from rlready.evaluate.result import EvaluateResult
from rlready.predict.predictors import BASELINE, COMBINED, LOSS
from rlready.predict.result import FamilyResult
from rlready.predict.score import Score
from rlready.predict.stage import predict
from rlready.readiness.result import ReadinessResult
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.files import read_json, write_json, write_text
from rlready.runs.log import read_log
from rlready.sweep.stage import sweep

HERE = Path(__file__).parent
RUNS = Path("runs/predict")
SWEEP = RUNS / "sweep"
PASS_64 = "pass@64"
Row = dict[str, Any]


NAMES = {"group_signal": "group signal", "informative": "share of informative groups", LOSS: "held-out loss"}


class ScoredFamily(Record):
    """Scores of one family, losses compared across SFT data too; ``by_default`` are the predictors without that.

    ``values`` of predictors are in the order of ``sft``, the names of SFT runs.  ``narrow`` are predictors whose stored
    intervals of R² and regret were computed before these intervals were corrected.
    """

    name: str
    runs: int
    recipes: int
    by_default: list[str]
    scores: list[Score]
    narrow: list[str]
    sft: list[str]
    values: dict[str, list[float]]
    reversed: int
    counter_example: str | None

    def best(self) -> Score:
        """The predictor with the highest Spearman correlation, chosen after the outcomes are known."""
        return max(self.scores[1:], key=lambda s: s.spearman.value)


class Choice(Record):
    """The outcome of RL from the start that each rule chooses among the checkpoints of one SFT seed."""

    family: str
    seed: str
    best: float
    random: float
    picked: dict[str, float]


class Stored(Record):
    families: list[ScoredFamily]
    choices: list[Choice]
    seconds: float


def main() -> None:
    sweep(SweepConfig(file=str(HERE / "sweep.toml")), SWEEP)
    rows = read_log(SWEEP / "runs.jsonl")
    default, forced = (
        predict(PredictConfig(runs=(str(SWEEP),), force_loss=force), RUNS / name)
        for name, force in (("plain", False), ("forced", True))
    )
    families, choices = [], list[Choice]()
    for plain, by_force in zip(default.families, forced.families, strict=True):
        mine = [row for row in rows if row["family"] == plain.name]
        families.append(scored(plain, by_force, mine))
        choices += picks(plain.name, mine)
    seconds = sum(read_json(record)["seconds"] for record in RUNS.glob("*/record.json"))
    stored = Stored(families=families, choices=choices, seconds=seconds)
    write_json(HERE / "scores.json", stored)
    write_json(HERE / "runs.json", rows)
    report(stored, rows, seconds)


def scored(plain: FamilyResult, by_force: FamilyResult, rows: Sequence[Row]) -> ScoredFamily:
    count, said = counter_examples(rows)
    return ScoredFamily(
        name=plain.name,
        runs=plain.runs,
        recipes=plain.recipes,
        by_default=[s.predictor for s in plain.scores],
        scores=by_force.scores,
        narrow=[],
        sft=[point.label.split("/")[0] for point in by_force.points],
        values={name: by_force.values[name] for name in (BASELINE, PASS_64, LOSS, COMBINED)},
        reversed=count,
        counter_example=said,
    )


def report(stored: Stored, rows: Sequence[Row], seconds: float | None) -> None:
    """Claims, page and figures; ``seconds`` of all runs, None where the page is written again."""
    for family in stored.families:
        for file, predictor in (("before", BASELINE), ("best", family.best().predictor)):
            write_text(HERE / f"{family.name}-{file}.svg", figure(family, predictor, rows))
    command, words = "python evidence/predict/run.py", page(stored, rows)
    write_claims(HERE, command=command, seconds=seconds, claims=claims_of(stored, rows), words=words)


def claims_of(stored: Stored, rows: Sequence[Row]) -> list[Claim]:
    fewest = min(len([r for r in rows if r["recipe"] == each["recipe"]]) for each in rows)
    claims = [
        once("SFT→RL runs", len(rows), "sweep", ">= 48"),
        once("fewest seeds of any recipe", fewest, "sweep", ">= 3"),
    ]
    for family in stored.families:
        sentence = "pairs of recipes, one with higher post-SFT pass@1 and lower RL accuracy, all seeds agreeing"
        varies = f"family of {family.recipes} recipes"
        claims += [
            *beating(family),
            regret(family),
            once(f"{family.name}: {sentence}", family.reversed, varies, ">= 1"),
        ]
        claims += [
            Claim.of(f"{family.name}: RL from the tool's pick minus RL from the pick by {words}, points", gain, "> 0")
            for words, gain in zip(
                ("pass@1", "held-out loss", "chance (mean of all)"), paying(stored, family.name), strict=True
            )
        ]
    return [*claims, once("seconds of the sweep and of all predictions", stored.seconds, "run", "< 7200")]


def once(sentence: str, value: float, varies: str, target: str) -> Claim:
    """A count or a sum, which has no interval."""
    return Claim(sentence, value, value, value, 1, varies, target)


def known(figure: Estimate | None) -> Estimate:
    return figure or Estimate(float("nan"), float("nan"), float("nan"), 0, "recipes")


def beating(family: ScoredFamily) -> list[Claim]:
    """The targets name the best predictor; beside it *combined*, which was not chosen after seeing the outcomes."""
    by_rho = max(family.scores[1:], key=lambda s: known(s.gain).value)
    whole = [s for s in family.scores[1:] if s.predictor not in family.narrow]
    by_r2 = max(whole, key=lambda s: known(s.r2_gain).value)
    chosen = next(s for s in family.scores if s.predictor == COMBINED)
    return [
        Claim.of(f"{family.name}: {what} of {named(s)}{mark} minus pass@1's", known(figure), ">= 0.3")
        for s, figure, what, mark in (
            (by_rho, by_rho.gain, "Spearman", ", the best,"),
            (
                by_r2,
                by_r2.r2_gain,
                "out-of-sample R²",
                ", the best with an interval," if family.narrow else ", the best,",
            ),
            (chosen, chosen.gain, "Spearman", ""),
            (chosen, chosen.r2_gain, "out-of-sample R²", ""),
        )
    ]


def named(score: Score) -> str:
    return NAMES.get(score.predictor, score.predictor)


def regret(family: ScoredFamily) -> Claim:
    lost = next(s for s in family.scores if s.predictor == COMBINED).regret
    value, low, high = (100 * each for each in (lost.value, lost.low, lost.high))
    return Claim(f"{family.name}: top-1 regret of combined, points", value, low, high, lost.n, "recipes", "< 2")


def counter_examples(rows: Sequence[Row]) -> tuple[int, str | None]:
    """How many pairs of recipes are reversed by RL, and the clearest in words.

    In such a pair the one with the higher post-SFT pass@1 ends lower after RL.  Differences are paired over problems,
    each the mean over seeds, with intervals that hold for all ordered pairs together (Bonferroni); a pair counts if
    both differences are significant and all seeds agree with both signs.
    """
    recipes = sorted({r["recipe"] for r in rows})
    before = {each: by_seed(rows, each, post_sft) for each in recipes}
    after = {each: by_seed(rows, each, post_rl) for each in recipes}
    pairs = list(permutations(recipes, 2))
    found = []
    for a, b in pairs:
        higher, lower = (
            simultaneous(paired_estimate(x.mean(0), y.mean(0), bounds=(0.0, 1.0)), len(pairs), 1.0)
            for x, y in ((before[a], before[b]), (after[b], after[a]))
        )
        agree = all(before[a].mean(1) > before[b].mean(1)) and all(after[a].mean(1) < after[b].mean(1))
        if higher.low > 0 and lower.low > 0 and agree:
            found.append((higher.value + lower.value, a, b, higher, lower))
    if not found:
        return 0, None
    _, a, b, higher, lower = max(found)
    return len(found), (
        f"Counter-example: after SFT, {a} is above {b} by {points(higher)} points; after RL it is below it by "
        f"{points(lower)} points (paired over problems, {len(pairs)} comparisons allowed for). "
        f"{len(found)} of {len(pairs) // 2} pairs are reversed like this."
    )


def by_seed(rows: Sequence[Row], recipe: str, of: Callable[[Row], list[float]]) -> np.ndarray:
    """(seeds, problems)"""
    return np.array([of(r) for r in sorted(rows, key=lambda r: r["sft"]) if r["recipe"] == recipe])


def post_sft(row: Row) -> list[float]:
    """pass@1 of every readiness problem, from the draws that all have."""
    (stored,) = ReadinessResult.load(SWEEP / row["readiness"]).per_problem.values()
    return [float(x) for x in stored.counts.pass_at_k([1])[:, 0]]


def post_rl(row: Row) -> list[float]:
    result = EvaluateResult.load(SWEEP / row["evaluate"])
    (vectors,) = result.per_problem.values()
    return vectors[str(result.budgets[-1].budget)]


def picks(family: str, rows: Sequence[Row]) -> list[Choice]:
    """What someone gets who has one checkpoint of each recipe and asks, before any RL, where to start.

    One choice for each seed of SFT; the tool sees readiness alone, with its default settings.
    """
    found = []
    for seed in sorted({seed_of(r) for r in rows}):
        mine = [r for r in rows if seed_of(r) == seed]
        outcome = {r["checkpoint"]: r["outcome"] for r in mine}
        folders = tuple(str(SWEEP / r["readiness"]) for r in mine)
        picked = {
            name: outcome[predict(settings, RUNS / f"pick-{family}-{seed}-{name}").chosen]
            for name, settings in (
                ("tool", PredictConfig(runs=folders)),
                (BASELINE, PredictConfig(runs=folders, rank_by=BASELINE)),
                (LOSS, PredictConfig(runs=folders, rank_by=LOSS, force_loss=True)),
                (COMBINED, PredictConfig(runs=folders, rank_by=COMBINED, force_loss=True)),
            )
        }
        values = list(outcome.values())
        mean = float(np.mean(values))
        found.append(Choice(family=family, seed=seed, best=max(values), random=mean, picked=picked))
    return found


def seed_of(row: Row) -> str:
    return str(row["sft"].rpartition("-s")[2])


def paying(stored: Stored, family: str) -> list[Estimate]:
    """RL from the tool's pick minus RL from that of pass@1, of held-out loss, and the mean of all starts, in points."""
    mine = [choice for choice in stored.choices if choice.family == family]
    others = [[c.picked[name] for c in mine] for name in (BASELINE, LOSS)] + [[c.random for c in mine]]
    return [
        t_estimate([100 * (c.picked["tool"] - x) for c, x in zip(mine, values, strict=True)], varies="choices")
        for values in others
    ]


def section(family: ScoredFamily) -> str:
    """The table of one family's predictors."""
    lines = [
        f"## {family.name}: {family.runs} runs of {family.recipes} recipes",
        "",
        "| predictor | Spearman | minus pass@1's | p, any predictor | out-of-sample R² | minus pass@1's | median R² | "
        "top-1 regret, points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in family.scores:
        narrow = s.predictor in family.narrow
        r2, r2_gain = (shown(figure, alone=narrow) for figure in (s.r2, s.r2_gain))
        name = named(s) + ("" if s.predictor in family.by_default else " (comparison forced)")
        lines.append(
            f"| {name} | {shown(s.spearman)} | {shown(s.gain)} | {s.p_any:.3f} | {r2} | {r2_gain} | "
            f"{s.r2_median or 0:.2f} | {shown(s.regret, 100, 1, alone=narrow)} |"
        )
    none = (
        "There is no counter-example: in no pair of recipes does the one with significantly higher post-SFT pass@1 end "
        "with significantly lower accuracy after RL."
    )
    return "\n".join([*lines, "", family.counter_example or none])


def shown(figure: Estimate | None, times: float = 1.0, digits: int = 2, *, alone: bool = False) -> str:
    """A figure with its interval; ``alone``: without."""
    if not figure:
        return "–"
    value, low, high = (f"{times * each:.{digits}f}" for each in (figure.value, figure.low, figure.high))
    return value if alone else f"{value} [{low}, {high}]"


def points(figure: Estimate) -> str:
    return shown(figure, 100, 1)


def in_short(family: ScoredFamily) -> str:
    """What the table comes to, in sentences."""
    top = family.best()
    better = []
    for s in family.scores[1:]:
        gains = [("Spearman correlation", s.gain)]
        gains += [("out-of-sample R²", s.r2_gain)] if s.predictor not in family.narrow else []
        said = [
            f"its {what} is {gain.value:.2f} higher (95 % CI of the difference {gain.low:.2f} to {gain.high:.2f})"
            for what, gain in gains
            if gain and gain.low > 0
        ]
        if said:
            better.append(f"{named(s)} is significantly better than pass@1: {', and '.join(said)}")
    return (
        f"- *{family.name}*: post-SFT pass@1 alone has a Spearman correlation of {shown(family.scores[0].spearman)} "
        f"with the outcome; the highest is that of {named(top)}, {shown(top.spearman)}. "
        + (f"Only {'; '.join(better)}." if better else "No predictor is significantly better than pass@1.")
    )


def gain_line(stored: Stored, family: str) -> str:
    cells = [
        f"{f.value:+.1f} [{f.low:+.1f}, {f.high:+.1f}], {'' if f.low > 0 or f.high < 0 else 'not '}significant"
        for f in paying(stored, family)
    ]
    return f"| {family} | {' | '.join(cells)} |"


def choice_line(choice: Choice) -> str:
    values = (choice.best, *(choice.picked[name] for name in ("tool", BASELINE, LOSS, COMBINED)), choice.random)
    return f"| {choice.family} | {choice.seed} | {' | '.join(f'{value:.1%}' for value in values)} |"


NARROW = """
> The intervals of R² and of regret were wrong when these runs were made: they covered 64 to 92 % instead of 95 %. The
> analysis was repeated with corrected intervals for the predictors whose values were stored: pass@1, pass@64, held-out
> loss and combined. For the others the estimates stand without an interval.
"""


def page(stored: Stored, rows: Sequence[Row]) -> str:
    outcomes = [r["outcome"] for r in rows]
    charts = [f"{family.name}-{file}" for family in stored.families for file in ("before", "best")]
    return f"""# Predicting RL from SFT checkpoints: {len(rows)} SFT→RL runs
{NARROW if any(family.narrow for family in stored.families) else ""}
The embedded model (about a million parameters) learns symbolic DAG maths. `sweep.toml` beside this page is the whole
protocol, which was fixed before any of these runs was made. In the *dataset* family all SFT runs learn from one
distribution of worked rows; the number of rows, their repetitions at equal SFT steps and the learning rate vary. In the
*instance* family the recipe is fixed, and the selection of rows from one pool varies (shortest, longest, random, half
shortest and half longest). Every recipe has three seeds, which draw other rows in another order. RL is the same for
all. The outcome of RL, {min(outcomes):.1%} to {max(outcomes):.1%}, is the accuracy on held-out problems after the last
step.

Intervals are over recipes (whole recipes are resampled, halved and permuted); for counter-examples they are over
problems, and for the choices of a start over the three SFT seeds (Student's t). Out-of-sample R² is the mean over 1,000
random halves of the recipes. With so few recipes some halves fit badly, so the median stands beside the mean.

## In short

{chr(10).join(map(in_short, stored.families))}

RL from the checkpoint that the tool ranks first (by pass@64), minus RL from another choice, in points:

| family | minus the choice by pass@1 | minus the choice by held-out loss | minus the mean of all starts |
|---|---|---|---|
{chr(10).join(gain_line(stored, family.name) for family in stored.families)}

{(chr(10) * 2).join(map(section, stored.families))}

## Does following the tool pay off?

Suppose that one checkpoint of each recipe is available and only readiness is known. The table has the outcome of RL
from the checkpoint that each rule chooses:

| family | seed | best of all | the tool (pass@64) | pass@1 | held-out loss | combined | mean of all |
|---|---|---|---|---|---|---|---|
{chr(10).join(map(choice_line, stored.choices))}

## What it does not show

The sweep covers one model of a million parameters in one symbolic world, one RL recipe and few RL steps. Losses in the
*instance* family are of models that learned from different selections of rows; the tool refuses to compare them, and
the rows marked "comparison forced" show what such a comparison would give. The best predictor of a family is chosen
after the outcomes are known; *combined* is not.

{chr(10).join(f"![{name}]({name}.svg)" for name in charts)}
"""


def figure(family: ScoredFamily, predictor: str, rows: Sequence[Row]) -> str:
    """Outcome of RL against a predictor: a colour a recipe, a mark a run."""
    values = dict(zip(family.sft, family.values[predictor], strict=True))
    rows = [row for row in rows if row["sft"] in values]
    recipes = sorted({r["recipe"] for r in rows})
    series = []
    for i, recipe in enumerate(recipes):
        mine = [r for r in rows if r["recipe"] == recipe]
        for number, r in enumerate(mine):
            point = Point(values[r["sft"]], r["outcome"], r["low"], r["high"], r["sft"])
            series.append(Series(recipe, [point], tone=i % NEUTRAL, shape=i % len(MARKERS), named=number == 0))
    chart = line_chart(
        series,
        title=f"{family.name}: accuracy after RL against {NAMES.get(predictor, predictor)} before it",
        x_label=NAMES.get(predictor, predictor),
        y_label="accuracy after RL",
        percent=True,
    )
    return standalone(chart)


if __name__ == "__main__":
    if sys.argv[1:] == ["--page"]:
        report(Stored.from_file(HERE / "scores.json"), read_json(HERE / "runs.json"), None)
    else:
        main()
