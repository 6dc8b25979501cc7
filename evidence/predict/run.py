"""Forty-eight SFT→RL runs, and how well readiness predicted them: `python evidence/predict/run.py`.

Resumable: what a killed run left undone is done when the command is given again.  What varies between seeds is the SFT
rows and their order; the readiness problems, the RL problems and the test problems are the same for all runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import PredictConfig, SweepConfig
from rlready.core.records import Estimate
from rlready.core.stats import paired_figure, simultaneous, t_figure
from rlready.evaluate.result import EvaluateResult
from rlready.predict.predictors import BASELINE, COMBINED, LOSS
from rlready.predict.result import FamilyResult
from rlready.predict.score import Score
from rlready.predict.stage import predict
from rlready.readiness.result import ReadinessResult
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.run import read_json, read_log, write_json, write_text
from rlready.sweep.stage import sweep

HERE = Path(__file__).parent
RUNS = Path("runs/predict")
SWEEP = RUNS / "sweep"
Row = dict[str, Any]


def main() -> None:
    sweep(SweepConfig(file=str(HERE / "sweep.toml")), SWEEP)
    rows = read_log(SWEEP / "runs.jsonl")
    fewest = min(len([r for r in rows if r["recipe"] == each["recipe"]]) for each in rows)
    claims = [
        once("SFT→RL runs", len(rows), "sweep", ">= 48"),
        once("fewest seeds of any recipe", fewest, "sweep", ">= 3"),
    ]
    sections: list[str] = []
    choices: list[Row] = []
    # forced: losses are compared across SFT data too; what the tool does by default is in ``plain``
    plain, forced = (
        predict(PredictConfig(runs=(str(SWEEP),), force_loss=force), RUNS / name)
        for name, force in (("plain", False), ("forced", True))
    )
    short = {c.name: c.label for c in forced.checkpoints}
    for family, by_force in zip(plain.families, forced.families, strict=True):
        name, scores = family.name, by_force.scores
        mine = [r for r in rows if r["family"] == name]
        reversed_, said = counter_examples(name, mine)
        made = picks(name, mine)
        claims += [*beating(name, scores), regret(name, scores), reversed_, *paying(name, made)]
        choices += made
        sections.append(section(family, scores, said))
        for file, predictor in (("before", BASELINE), ("best", best(scores).predictor)):
            write_text(HERE / f"{name}-{file}.svg", figure(by_force, predictor, mine, short))
    seconds = sum(read_json(record)["seconds"] for record in RUNS.glob("*/record.json"))
    claims += [once("seconds of the sweep and of all predictions", seconds, "run", "< 7200")]
    write_json(HERE / "scores.json", {"plain": plain.families, "forced": forced.families})
    write_json(HERE / "runs.json", rows)
    words = page(rows, sections, choices, plain_words(forced.families, claims))
    write_claims(HERE, command="python evidence/predict/run.py", seconds=seconds, claims=claims, words=words)


def once(sentence: str, value: float, varies: str, target: str) -> Claim:
    """A count or a sum, which has no interval."""
    return Claim(sentence, value, value, value, 1, varies, target)


def known(figure: Estimate | None) -> Estimate:
    return figure or Estimate(float("nan"), float("nan"), float("nan"), 0, "recipes")


def best(scores: Sequence[Score]) -> Score:
    """The predictor with the highest Spearman; chosen after the fact, as the goal asks for."""
    return max(scores[1:], key=lambda s: s.spearman.value)


def beating(family: str, scores: Sequence[Score]) -> list[Claim]:
    """The goal names the best predictor; beside it *combined*, which was not chosen after seeing the outcomes."""
    of_rho = max(scores[1:], key=lambda s: known(s.gain).value)
    of_r2 = max(scores[1:], key=lambda s: known(s.r2_gain).value)
    chosen = next(s for s in scores if s.predictor == COMBINED)
    found = []
    for each, figure, what in (
        (of_rho, of_rho.gain, "Spearman"),
        (of_r2, of_r2.r2_gain, "out-of-sample R²"),
        (chosen, chosen.gain, "Spearman"),
        (chosen, chosen.r2_gain, "out-of-sample R²"),
    ):
        name = f"{each.predictor}{'' if each is chosen else ', the best'}"
        found.append(Claim.of(f"{family}: {what} of {name} minus pass@1's", known(figure), ">= 0.3"))
    return found


def regret(family: str, scores: Sequence[Score]) -> Claim:
    lost = next(s for s in scores if s.predictor == COMBINED).regret
    value, low, high = (100 * each for each in (lost.value, lost.low, lost.high))
    return Claim(f"{family}: top-1 regret of combined, points", value, low, high, lost.n, "recipes", "< 2")


def counter_examples(family: str, rows: Sequence[Row]) -> tuple[Claim, str]:
    """Pairs of recipes where the one with the higher post-SFT pass@1 ends lower after RL.

    Differences are paired over problems, each the mean over seeds, with intervals that hold for all ordered pairs
    together (Bonferroni); a pair counts if both are clear of zero and all seeds agree with both signs.
    """
    recipes = sorted({r["recipe"] for r in rows})
    before = {each: by_seed(rows, each, post_sft) for each in recipes}
    after = {each: by_seed(rows, each, post_rl) for each in recipes}
    pairs = list(permutations(recipes, 2))
    found = []
    for a, b in pairs:
        higher, lower = (
            simultaneous(paired_figure(x.mean(0), y.mean(0), bounds=(0.0, 1.0)), len(pairs), 1.0)
            for x, y in ((before[a], before[b]), (after[b], after[a]))
        )
        agree = all(before[a].mean(1) > before[b].mean(1)) and all(after[a].mean(1) < after[b].mean(1))
        if higher.low > 0 and lower.low > 0 and agree:
            found.append((higher.value + lower.value, a, b, higher, lower))
    count = len(found)
    sentence = f"{family}: pairs of recipes, one with higher post-SFT pass@1 and lower RL accuracy, all seeds agreeing"
    claim = once(sentence, count, f"family of {len(recipes)} recipes", ">= 1")
    if not found:
        return claim, "There is no counter-example here: no pair of recipes is reversed with both intervals clear of 0."
    _, a, b, higher, lower = max(found)
    return claim, (
        f"Counter-example: after SFT, {a} is above {b} by {points(higher)} points; after RL it is below it by "
        f"{points(lower)} points (paired over problems, {len(pairs)} comparisons allowed for). "
        f"{count} of {len(pairs) // 2} pairs are reversed like this."
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


def picks(family: str, rows: Sequence[Row]) -> list[Row]:
    """What someone gets who has one checkpoint of each recipe and asks, before any RL, where to start.

    One choice for each seed of SFT; the tool sees readiness alone, with the settings it has by itself.
    """
    found = []
    for seed in sorted({seed_of(r) for r in rows}):
        mine = [r for r in rows if seed_of(r) == seed]
        outcome = {r["checkpoint"]: r["outcome"] for r in mine}
        folders = tuple(str(SWEEP / r["readiness"]) for r in mine)
        line: Row = {"family": family, "seed": seed, "best": max(outcome.values())}
        line["random"] = float(np.mean(list(outcome.values())))
        for name, settings in (
            ("tool", PredictConfig(runs=folders)),
            (BASELINE, PredictConfig(runs=folders, rank_by=BASELINE)),
            (LOSS, PredictConfig(runs=folders, rank_by=LOSS, force_loss=True)),
            (COMBINED, PredictConfig(runs=folders, rank_by=COMBINED, force_loss=True)),
        ):
            line[name] = outcome[predict(settings, RUNS / f"pick-{family}-{seed}-{name}").chosen]
        found.append(line)
    return found


def seed_of(row: Row) -> str:
    return str(row["sft"].rpartition("-s")[2])


def paying(family: str, lines: Sequence[Row]) -> list[Claim]:
    def gain(name: str) -> Estimate:
        return t_figure([100 * (line["tool"] - line[name]) for line in lines], varies="choices")

    return [
        Claim.of(f"{family}: RL from the tool's pick minus RL from the pick by {words}, points", gain(name), "> 0")
        for name, words in ((BASELINE, "pass@1"), (LOSS, "held-out loss"), ("random", "chance (mean of all)"))
    ]


def section(family: FamilyResult, scores: Sequence[Score], said: str) -> str:
    """The table of one family's predictors."""
    lines = [
        f"## {family.name}: {family.runs} runs of {family.recipes} recipes",
        "",
        "| predictor | Spearman | minus pass@1's | p, any predictor | out-of-sample R² | minus pass@1's | median R² | "
        "top-1 regret, points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_default = {s.predictor for s in family.scores}
    for s in scores:
        name = s.predictor + ("" if s.predictor in by_default else " (comparison across SFT data forced)")
        lines.append(
            f"| {name} | {shown(s.spearman)} | {shown(s.gain)} | {s.p_any:.3f} | {shown(s.r2)} | "
            f"{shown(s.r2_gain)} | {s.r2_median or 0:.2f} | {shown(s.regret, 100, 1)} |"
        )
    return "\n".join([*lines, "", said])


def shown(figure: Estimate | None, times: float = 1.0, digits: int = 2) -> str:
    if not figure:
        return "–"
    value, low, high = (f"{times * each:.{digits}f}" for each in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def points(figure: Estimate) -> str:
    return shown(figure, 100, 1)


def plain_words(families: Sequence[FamilyResult], claims: Sequence[Claim]) -> str:
    """What the tables come to, in sentences."""
    said = []
    for family in families:
        base, *others = family.scores
        clear = [
            f"{s.predictor} ({what} {shown(gain)})"
            for s in others
            for gain, what in ((s.gain, "Spearman"), (s.r2_gain, "R²"))
            if gain and gain.low > 0
        ]
        top = best(family.scores)
        said.append(
            f"- *{family.name}*: post-SFT pass@1 alone has a Spearman of {shown(base.spearman)} with the "
            f"outcome; the highest is {top.predictor}'s, {shown(top.spearman)}. Better than pass@1 with an "
            f"interval clear of 0: {', '.join(clear) or 'none'}."
        )
    for claim in (c for c in claims if "pick" in c.claim):
        sign = "clear of 0" if claim.low > 0 or claim.high < 0 else "not significantly different from 0"
        said.append(f"- {claim.claim}: {claim.value:+.1f} [{claim.low:+.1f}, {claim.high:+.1f}], {sign}.")
    return "\n".join(said)


def page(rows: Sequence[Row], sections: Sequence[str], lines: Sequence[Row], said: str) -> str:
    outcomes = [r["outcome"] for r in rows]
    table = [
        "| family | seed | best of all | the tool (pass@64) | pass@1 | held-out loss | combined | mean of all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = ("best", "tool", BASELINE, LOSS, COMBINED, "random")
    for line in lines:
        cells = " | ".join(f"{line[name]:.1%}" for name in names)
        table.append(f"| {line['family']} | {line['seed']} | {cells} |")
    charts = [f"![{path.stem}]({path.name})" for path in sorted(HERE.glob("*.svg"))]
    return f"""# Predicting RL from SFT checkpoints: {len(rows)} SFT→RL runs

The embedded model (about a million parameters) on symbolic DAG maths; `sweep.toml` beside this page is the whole
protocol, fixed before any of these runs was made. *dataset*: one distribution of worked rows, how many of them and how
often at equal SFT steps, and the learning rate. *instance*: which rows of one pool (shortest, longest, at random, half
shortest and half longest) at a fixed recipe. Every recipe has three seeds, which draw other rows in another order. RL
is the same for all. Its outcome, {min(outcomes):.1%} to {max(outcomes):.1%}, is the accuracy on held-out problems after
the last step. Intervals: over recipes (whole recipes are resampled, halved and permuted), of the counter-examples over
problems, of the picks over the three seeds of SFT (Student's t). Out-of-sample R² is the mean over 1,000 random halves
of the recipes; with so few recipes some halves are far off, so that the median stands beside it.

## In short

{said}

{(chr(10) * 2).join(sections)}

## Does following the tool pay?

One checkpoint of each recipe, readiness alone: where should RL start? RL's outcome from each choice:

{chr(10).join(table)}

## What it does not show

One model of a million parameters in one symbolic world, one RL recipe, few RL steps. Losses of the *instance* family
are of models that learned from different selections; the tool refuses to compare them, and the rows with a forced
comparison show what would come of it. The best predictor of a family is chosen after the outcomes are known; *combined*
is not.

{chr(10).join(charts)}
"""


def figure(family: FamilyResult, predictor: str, rows: Sequence[Row], short: dict[str, str]) -> str:
    """Outcome of RL against a predictor: a colour a recipe, a mark a run."""
    labels = (point.label for point in family.points)
    values = dict(zip(labels, family.values[predictor], strict=True))
    recipes = sorted({r["recipe"] for r in rows})
    series = []
    for i, recipe in enumerate(recipes):
        mine = [r for r in rows if r["recipe"] == recipe]
        for number, r in enumerate(mine):
            point = Point(values[short[r["checkpoint"]]], r["outcome"], r["low"], r["high"], r["sft"])
            series.append(Series(recipe, [point], tone=i % NEUTRAL, shape=i % len(MARKERS), named=number == 0))
    chart = line_chart(
        series,
        title=f"{family.name}: accuracy after RL against {predictor} before it",
        x_label=predictor,
        y_label="accuracy after RL",
        percent=True,
    )
    return standalone(chart)


if __name__ == "__main__":
    main()
