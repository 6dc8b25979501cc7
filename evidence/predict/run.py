"""Fifty-one SFT→RL runs, and how well readiness predicted them: `python evidence/predict/run.py`.

Resumable: what a killed run left undone is done when the command is given again; `--page` only writes the page again.
Between seeds the SFT rows and their order differ; the readiness problems, the RL problems and the test problems are the
same for all runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from rlready.core.config import PredictConfig, SweepConfig
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.core.stats import paired_estimate, simultaneous
from rlready.evaluate.result import EvaluateResult
from rlready.predict.family import Family
from rlready.predict.predictors import BASELINE, COMBINED, LOSS, Predictor
from rlready.predict.result import FamilyResult
from rlready.predict.score import Score, score
from rlready.predict.stage import predict
from rlready.readiness.ranking import gap_of_shares
from rlready.readiness.result import ProblemCounts, ReadinessResult
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.files import read_json, write_json, write_text
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.sweep.stage import sweep

HERE = Path(__file__).parent
RUNS = Path("runs/predict")
SWEEP = RUNS / "sweep"
PASS_64 = "pass@64"
COMPARED = (BASELINE, PASS_64, LOSS)  # between two runs
FAR = 0.09  # of an outcome from that of the run before
Row = dict[str, Any]


NAMES = {"group_signal": "group signal", "informative": "share of informative groups", LOSS: "held-out loss"}


class StoredFamily(Record):
    """Values of predictors before RL, in the order of ``sft``, the names of SFT runs.

    Losses are compared across SFT data too; ``by_default`` are the predictors without that.
    """

    name: str
    by_default: list[str]
    sft: list[str]
    values: dict[str, list[float]]


@dataclass(frozen=True)
class ScoredFamily:
    """A family and the scores of its predictors, computed from the stored values and outcomes."""

    stored: StoredFamily
    runs: int
    recipes: int
    scores: list[Score]

    @property
    def name(self) -> str:
        return self.stored.name

    @staticmethod
    def of(stored: StoredFamily, rows: Sequence[Row], *, splits: int = 1000, resamples: int = 2000) -> ScoredFamily:
        by_sft = {row["sft"]: row for row in rows if row["family"] == stored.name}
        mine = [by_sft[name] for name in stored.sft]
        outcomes = np.array([row["outcome"] for row in mine])
        _, recipe = np.unique([row["recipe"] for row in mine], return_inverse=True)
        family = Family(
            name=stored.name,
            place=np.arange(len(mine)),
            outcome=outcomes,
            cost=np.array([row["cost"] for row in mine]),
            recipe=recipe,
            seeds=np.ones(len(mine), dtype=int),
            seed_sd=None,
            sft_seed=[seed_of(row) for row in mine],
        )
        values = {name: np.array(v) for name, v in stored.values.items()}
        both = np.stack([values[LOSS], values[PASS_64]], axis=1)
        found = [
            Predictor(
                name,
                v,
                v[None],
                gap_of_shares(v[None]),
                sign=-1 if name == LOSS else 1,
                features=both if name == COMBINED else None,
            )
            for name, v in values.items()
        ]
        scores = score(found, family, primary=PASS_64, splits=splits, resamples=resamples, seed=0)
        return ScoredFamily(stored, len(mine), family.recipes, scores)

    def best(self) -> Score:
        """The predictor with the highest Spearman correlation, chosen after the outcomes are known."""
        return max(self.scores[1:], key=lambda s: s.spearman.value)

    def score_of(self, predictor: str) -> Score:
        return next(s for s in self.scores if s.predictor == predictor)


class Choice(Record):
    """The outcome of RL from the start that each rule chooses among the checkpoints of one SFT seed."""

    family: str
    seed: str
    best: float
    random: float
    picked: dict[str, float]


class Stored(Record):
    """The values of the predictors, what each rule chose, and the CPU seconds of the runs."""

    families: list[StoredFamily]
    choices: list[Choice]
    cpu_seconds: float


class Earlier(Record):
    """What was kept of an earlier run of the command: predictors, choices and the rows of its table."""

    revision: str
    date: str
    families: list[StoredFamily]
    choices: list[Choice]
    rows: list[Row]


def main() -> None:
    sweep(SweepConfig(file=str(HERE / "sweep.toml")), SWEEP)
    rows = [row | per_problem(row) for row in read_log(SWEEP / "runs.jsonl")]
    default, forced = (
        predict(PredictConfig(runs=(str(SWEEP),), force_loss=force), RUNS / name)
        for name, force in (("plain", False), ("forced", True))
    )
    families, choices = list[StoredFamily](), list[Choice]()
    for plain, by_force in zip(default.families, forced.families, strict=True):
        mine = of(rows, plain.name)
        families.append(stored_of(plain, by_force))
        choices += picks(plain.name, mine)
    seconds = sum(RunRecord.load(record.parent).cpu_seconds for record in RUNS.glob("*/record.json"))
    stored = Stored(families=families, choices=choices, cpu_seconds=seconds)
    write_json(HERE / "scores.json", stored)
    write_json(HERE / "runs.json", rows)
    report(stored, rows, seconds)


def stored_of(plain: FamilyResult, by_force: FamilyResult) -> StoredFamily:
    return StoredFamily(
        name=plain.name,
        by_default=list(plain.values),
        sft=[point.label.split("/")[0] for point in by_force.points],
        values=by_force.values,
    )


def report(stored: Stored, rows: Sequence[Row], seconds: float | None) -> None:
    """Claims, page and figures; CPU ``seconds`` of all runs, None where the page is written again."""
    families = [ScoredFamily.of(family, rows) for family in stored.families]
    for family in families:
        for file, predictor in (("before", BASELINE), ("best", family.best().predictor)):
            write_text(HERE / f"{family.name}-{file}.svg", figure(family.stored, predictor, rows))
    command, words = "python evidence/predict/run.py", page(stored, families, rows)
    claims = claims_of(stored, families, rows)
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims, words=words)


def claims_of(stored: Stored, families: Sequence[ScoredFamily], rows: Sequence[Row]) -> list[Claim]:
    fewest = min(len([r for r in rows if r["recipe"] == each["recipe"]]) for each in rows)
    claims = [
        Claim.exact("SFT→RL runs", len(rows), "sweep", ">= 48"),
        Claim.exact("fewest seeds of any recipe", fewest, "sweep", ">= 3"),
    ]
    for family in families:
        sentence = (
            "pairs of recipes, one with higher post-SFT pass@1 and lower RL accuracy, both significant over problems "
            "(all ordered pairs allowed for), all seeds agreeing"
        )
        varies = f"family of {family.recipes} recipes"
        claims += [
            *beating(family),
            Claim.exact(
                f"{family.name}: top-1 regret of combined, points",
                100 * family.score_of(COMBINED).regret,
                varies,
                "< 2",
            ),
            Claim.exact(f"{family.name}: {sentence}", counter_examples(of(rows, family.name)).count, varies, ">= 1"),
        ]
        claims += [
            Claim.of_each(
                f"{family.name}: RL from the tool's pick minus RL from the pick by {words}, points",
                found,
                "SFT seeds",
                "> 0",
            )
            for words, found in zip(
                ("pass@1", "held-out loss", "chance (mean of all)"), paying(stored.choices, family.name), strict=True
            )
        ]
    return [
        *claims,
        Claim.exact("CPU seconds of the sweep and of all predictions", stored.cpu_seconds, "run", "< 7200"),
    ]


def of(rows: Sequence[Row], family: str) -> list[Row]:
    return [row for row in rows if row["family"] == family]


def known(figure: Estimate | None) -> Estimate:
    return figure or Estimate(float("nan"), float("nan"), float("nan"), 0, "recipes")


def beating(family: ScoredFamily) -> list[Claim]:
    """The targets name the best predictor, chosen afterwards; beside it pass@64, the primary, and *combined*."""
    found = [family.score_of(PASS_64), family.score_of(COMBINED)]
    claims = list[Claim]()
    for what, figure in (("Spearman", lambda s: s.gain), ("out-of-sample R²", lambda s: s.r2_gain)):
        best = max(family.scores[1:], key=lambda s: known(figure(s)).value)
        marks = [(s, "") for s in found] + [(best, ", the highest of all, chosen afterwards,")] * (best not in found)
        claims += [
            Claim.of(f"{family.name}: {what} of {named(s)}{mark} minus pass@1's", known(figure(s)), ">= 0.3")
            for s, mark in marks
        ]
    return claims


def named(score: Score) -> str:
    return NAMES.get(score.predictor, score.predictor)


@dataclass(frozen=True)
class Reversed:
    """``count`` of counter-examples, the ``clearest`` in words, and how many pairs ``agree`` in all seeds alone."""

    count: int
    clearest: str
    agree: int


def counter_examples(rows: Sequence[Row]) -> Reversed:
    """The pairs of recipes that are reversed by RL.

    In such a pair the one with the higher post-SFT pass@1 ends lower after RL.  Differences are paired over problems,
    each the mean over seeds, with intervals that hold for all ordered pairs together (Bonferroni); a pair counts if
    both differences are significant and all seeds agree with both signs.
    """
    recipes = recipes_of(rows)
    before = {each: by_seed(rows, each, post_sft) for each in recipes}
    after = {each: by_seed(rows, each, post_rl) for each in recipes}
    pairs = list(permutations(recipes, 2))
    found, agreeing = [], 0
    for a, b in pairs:
        higher, lower = (
            simultaneous(paired_estimate(x.mean(0), y.mean(0), bounds=(0.0, 1.0)), len(pairs), 1.0)
            for x, y in ((before[a], before[b]), (after[b], after[a]))
        )
        agree = all(before[a].mean(1) > before[b].mean(1)) and all(after[a].mean(1) < after[b].mean(1))
        agreeing += agree
        if higher.low > 0 and lower.low > 0 and agree:
            found.append((higher.value + lower.value, a, b, higher, lower))
    if not found:
        return Reversed(0, "", agreeing)
    _, a, b, higher, lower = max(found)
    clearest = (
        f"Counter-example: after SFT, {a} is above {b} by {points(higher)} points; after RL it is below it by "
        f"{points(lower)} points (paired over problems, {len(pairs)} comparisons allowed for). "
        f"{len(found)} of {len(pairs) // 2} pairs are reversed like this."
    )
    return Reversed(len(found), clearest, agreeing)


def by_seed(rows: Sequence[Row], recipe: str, values: Callable[[Row], list[float]]) -> np.ndarray:
    """(seeds, problems)"""
    return np.array([values(r) for r in sorted(rows, key=lambda r: r["sft"]) if r["recipe"] == recipe])


def per_problem(row: Row) -> dict[str, Any]:
    """The samples of every readiness problem before RL, and the accuracy of every test problem after it."""
    (counts,) = ReadinessResult.load(SWEEP / row["readiness"]).per_problem.values()
    result = EvaluateResult.load(SWEEP / row["evaluate"])
    (vectors,) = result.per_problem.values()
    return {"counts": counts.model_dump(), "accuracy": vectors[str(result.budgets[-1].budget)]}


def post_sft(row: Row) -> list[float]:
    """pass@1 of every readiness problem, from the draws that all have."""
    return [float(x) for x in ProblemCounts(**row["counts"]).counts.pass_at_k([1])[:, 0]]


def post_rl(row: Row) -> list[float]:
    return [float(x) for x in row["accuracy"]]


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


def paying(choices: Sequence[Choice], family: str) -> list[list[float]]:
    """RL from the tool's pick minus RL from that of pass@1, of held-out loss, and the mean of all starts.

    In points, a value for every SFT seed.
    """
    mine = [choice for choice in choices if choice.family == family]
    others = [[c.picked[name] for c in mine] for name in (BASELINE, LOSS)] + [[c.random for c in mine]]
    return [[100 * (c.picked["tool"] - x) for c, x in zip(mine, values, strict=True)] for values in others]


def section(family: ScoredFamily, rows: Sequence[Row]) -> str:
    """The table of one family's predictors."""
    lines = [
        f"## {family.name}: {family.runs} runs of {family.recipes} recipes",
        "",
        "| predictor | Spearman | minus pass@1's | p, any predictor | out-of-sample R² | minus pass@1's | "
        "over halves | top-1 regret, points | by SFT seed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for s in family.scores:
        name = named(s) + ("" if s.predictor in family.stored.by_default else " (comparison forced)")
        seeds = ", ".join(f"{100 * regret:.1f}" for regret in s.regret_by_sft_seed.values())
        lines.append(
            f"| {name} | {shown(s.spearman)} | {shown(s.gain)} | {s.p_any:.3f} | {shown(s.r2)} | {shown(s.r2_gain)} | "
            f"{s.r2_halves or 0:.2f} ± {s.r2_halves_sd or 0:.2f} | {100 * s.regret:.1f} | {seeds} |"
        )
    found = counter_examples(of(rows, family.name))
    none = (
        "No counter-example is established: in no pair of recipes does the one with significantly higher post-SFT "
        "pass@1 end with significantly lower accuracy after RL, in all seeds alike. Pairs that are reversed in all "
        f"seeds, significant or not: {found.agree}."
    )
    return "\n".join([*lines, "", found.clearest or none])


def shown(figure: Estimate | None, times: float = 1.0, digits: int = 2) -> str:
    """A figure with its interval."""
    if not figure:
        return "–"
    value, low, high = (f"{times * each:.{digits}f}" for each in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def points(figure: Estimate) -> str:
    return shown(figure, 100, 1)


def fragile(family: ScoredFamily, rows: Sequence[Row]) -> str:
    """What becomes of the primary predictor's gain in R² with a correction, and without each run."""
    gain = known(family.score_of(PASS_64).r2_gain)
    two, four = (simultaneous(gain, n) for n in (2, 4))
    lost = sum(known(without(family, rows, sft)).low <= 0 for sft in family.stored.sft)
    return (
        f"Nothing corrects that for two families and two measures: for the families it is {shown(two)}, for both "
        f"{shown(four)}. For {lost} of the {family.runs} runs, leaving out that run alone brings 0 into the interval."
    )


def without(family: ScoredFamily, rows: Sequence[Row], sft: str) -> Estimate | None:
    """pass@64's gain in R² without one run."""
    kept = [at for at, name in enumerate(family.stored.sft) if name != sft]
    stored = family.stored
    left = stored.model_copy(
        update={
            "sft": [stored.sft[at] for at in kept],
            "values": {name: [stored.values[name][at] for at in kept] for name in (BASELINE, PASS_64, LOSS)},
        }
    )
    return ScoredFamily.of(left, rows, splits=1, resamples=1).score_of(PASS_64).r2_gain


def in_short(family: ScoredFamily, rows: Sequence[Row]) -> str:
    """What the table comes to, in sentences."""
    top = family.best()
    better = []
    for s in family.scores[1:]:
        gains = (("Spearman correlation", s.gain), ("out-of-sample R²", s.r2_gain))
        said = [
            f"its {what} is {gain.value:.2f} higher (95 % CI of the difference {gain.low:.2f} to {gain.high:.2f})"
            for what, gain in gains
            if gain and gain.low > 0
        ]
        if said:
            better.append(f"{named(s)}: {', and '.join(said)}")
    return (
        f"- *{family.name}*: post-SFT pass@1 alone has a Spearman correlation of {shown(family.scores[0].spearman)} "
        f"with the outcome; the highest is that of {named(top)}, {shown(top.spearman)}. "
        + (
            f"The interval of a difference to pass@1 is above 0 for {'; '.join(better)}. {fragile(family, rows)}"
            if better
            else "No predictor is significantly better than pass@1."
        )
    )


def gain_line(stored: Stored, family: str) -> str:
    return f"| {family} | {' | '.join(map(in_each, paying(stored.choices, family)))} |"


def first_line(family: ScoredFamily, rows: Sequence[Row]) -> str:
    """RL from the start with the highest pass@64 minus RL from that with the best value of two others, by SFT seed."""
    mine = {row["sft"]: row for row in of(rows, family.name)}
    seeds = sorted({seed_of(row) for row in mine.values()})

    def first(predictor: str, seed: str) -> float:
        sign = -1 if predictor == LOSS else 1
        names, values = family.stored.sft, family.stored.values[predictor]
        found = {sft: sign * value for sft, value in zip(names, values, strict=True) if seed_of(mine[sft]) == seed}
        return float(np.mean([mine[sft]["outcome"] for sft, value in found.items() if value == max(found.values())]))

    differences = [[100 * (first(PASS_64, s) - first(other, s)) for s in seeds] for other in (BASELINE, LOSS)]
    return f"| {family.name} | {' | '.join(map(in_each, differences))} |"


def in_each(values: Sequence[float]) -> str:
    """The mean and each value."""
    return f"{np.mean(values):+.1f} ({', '.join(f'{x:+.1f}' for x in values)})"


def averaged(now: ScoredFamily, before: StoredFamily, rows: Sequence[Row], earlier: Sequence[Row]) -> ScoredFamily:
    """A family whose outcomes and predictors are the means of two runs, of each SFT run."""
    place = {name: at for at, name in enumerate(before.sft)}
    values = {
        name: [(each + before.values[name][place[sft]]) / 2 for sft, each in zip(now.stored.sft, found, strict=True)]
        for name, found in now.stored.values.items()
        if name in COMPARED and name in before.values
    }
    outcome = {row["sft"]: row["outcome"] for row in earlier}
    both = [row | {"outcome": (row["outcome"] + outcome[row["sft"]]) / 2} for row in rows if row["sft"] in outcome]
    return ScoredFamily.of(now.stored.model_copy(update={"values": values}), both)


@dataclass(frozen=True)
class Twice:
    """A family of an earlier run and of this one, and both averaged; how far RL ended apart, as a standard deviation
    and at most, in points, and how alike the recipes' outcomes rank."""

    before: ScoredFamily
    now: ScoredFamily
    both: ScoredFamily
    apart: float
    most: float
    alike: float

    @staticmethod
    def of(now: ScoredFamily, rows: Sequence[Row], earlier: Earlier) -> Twice:
        before = next(each for each in earlier.families if each.name == now.name)
        both = averaged(now, before, rows, earlier.rows)
        return Twice(ScoredFamily.of(before, earlier.rows), now, both, *between(of(rows, now.name), earlier.rows))

    def line(self, what: str, figure: Callable[[Score], Estimate | None], predictor: str) -> str:
        found = (figure(each.score_of(predictor)) for each in (self.before, self.now, self.both))
        return f"| {self.now.name} | {what} | {' | '.join(map(shown, found))} |"

    def lines(self) -> Iterator[str]:
        for predictor in COMPARED:
            name = NAMES.get(predictor, predictor)
            yield self.line(f"Spearman of {name}", lambda s: s.spearman, predictor)
            if predictor != BASELINE:
                yield self.line(f"Spearman of {name} minus pass@1's", lambda s: s.gain, predictor)
                yield self.line(f"out-of-sample R² of {name} minus pass@1's", lambda s: s.r2_gain, predictor)


def once_more(pairs: Sequence[Twice]) -> str:
    """What the differences of the primary predictor are in the mean of two runs, in a sentence."""
    r2, rho = (
        " and ".join(f"{shown(figure(pair.both.score_of(PASS_64)))} (*{pair.now.name}*)" for pair in pairs)
        for figure in (lambda s: s.r2_gain, lambda s: s.gain)
    )
    return (
        "- Averaged over this run and [an earlier one](#run-twice) of the same seeds, pass@64's out-of-sample R² minus "
        f"that of pass@1 is {r2}, its Spearman correlation minus that of pass@1 {rho}."
    )


def twice(pairs: Sequence[Twice], stored: Stored, rows: Sequence[Row], earlier: Earlier) -> str:
    """The section on the earlier run: its figures beside those of this one."""
    lines = []
    for pair in pairs:
        gains = [in_each(paying(choices, pair.now.name)[0]) for choices in (earlier.choices, stored.choices)]
        what = "RL from the tool's pick minus RL from the pick by pass@1, points"
        lines += [*pair.lines(), f"| {pair.now.name} | {what} | {' | '.join(gains)} | – |"]
    apart = " and ".join(f"{pair.apart:.1f} points, at most {pair.most:.1f} (*{pair.now.name}*)" for pair in pairs)
    alike = " and ".join(f"{pair.alike:.2f} (*{pair.now.name}*)" for pair in pairs)
    return f"""## Run twice

The command had been run before, on {earlier.date} at revision {earlier.revision}, with the same protocol, rows,
problems and seeds; the program has changed since. The two are no independent samples. SFT ended with nearly the same
held-out losses, and RL another way: from SFT runs of one recipe and seed it ended apart by a standard deviation of
{apart}. The mean outcomes of the recipes have a Spearman correlation of {alike} between the two runs.

{fallen(rows, earlier.rows)}

The last column has the means of both runs' predictors and outcomes. It was added because the two runs differ, so it is
exploratory.

| family | figure | {earlier.date} | this run | averaged |
|---|---|---|---|---|
{chr(10).join(lines)}

The tool's rule has changed since the outcomes of the earlier run were known: pass@1 decides now among checkpoints
within one standard error of the highest pass@64. So the last row of a family compares two rules; in seed 2 of
*dataset*, where two checkpoints tie at the highest pass@64, today's rule would have given 0.0 in place of −4.4. Of
the earlier run only these predictors, *combined* and the outcomes were kept."""


def fallen(rows: Sequence[Row], earlier: Sequence[Row]) -> str:
    """The runs that ended far from the same run before, in words."""
    was = {row["sft"]: row["outcome"] for row in earlier}
    above = sum(row["outcome"] > was[row["sft"]] + FAR for row in rows)
    low = [
        f"{r['sft']} ({r['outcome']:.1%}, {was[r['sft']]:.1%} before)"
        for r in rows
        if r["outcome"] < was[r["sft"]] - FAR
    ]
    far = f"more than {100 * FAR:.0f} points"
    return f"Runs that ended {far} below the one before: {', '.join(low)}. Runs that ended {far} above it: {above}."


def between(rows: Sequence[Row], earlier: Sequence[Row]) -> tuple[float, float, float]:
    """Of the differences between two runs the standard deviation and the most, in points; how alike recipes rank."""
    was = {row["sft"]: row["outcome"] for row in earlier}
    differences = np.array([row["outcome"] - was[row["sft"]] for row in rows])
    now, before = (
        [np.mean([value[row["sft"]] for row in rows if row["recipe"] == recipe]) for recipe in recipes_of(rows)]
        for value in ({row["sft"]: row["outcome"] for row in rows}, was)
    )
    return (
        100 * float(differences.std(ddof=1)),
        100 * float(abs(differences).max()),
        float(spearmanr(now, before).statistic),
    )


def recipes_of(rows: Sequence[Row]) -> list[str]:
    return sorted({row["recipe"] for row in rows})


def choice_line(choice: Choice) -> str:
    values = (choice.best, *(choice.picked[name] for name in ("tool", BASELINE, LOSS, COMBINED)), choice.random)
    return f"| {choice.family} | {choice.seed} | {' | '.join(f'{value:.1%}' for value in values)} |"


def page(stored: Stored, families: Sequence[ScoredFamily], rows: Sequence[Row]) -> str:
    outcomes, earlier = [r["outcome"] for r in rows], Earlier.from_file(HERE / "earlier.json")
    pairs = [Twice.of(family, rows, earlier) for family in families]
    charts = [f"{family.name}-{file}" for family in families for file in ("before", "best")]
    return f"""# Predicting RL from SFT checkpoints: {len(rows)} SFT→RL runs

The embedded model (about a million parameters) learns symbolic DAG maths. `sweep.toml` beside this page is the whole
protocol, which was fixed before any of these runs was made. In the *dataset* family all SFT runs learn from one
distribution of worked rows; the number of rows, their repetitions at equal SFT steps and the learning rate vary. In the
*instance* family the learning rate is fixed, and the selection of rows from one pool varies (shortest, longest, random,
half shortest and half longest), 1,000 for 3 epochs or 250 for 12 (96 to 180 SFT steps). Every recipe has three seeds,
which draw other rows in another order. RL is the same for all. The outcome of RL, {min(outcomes):.1%} to
{max(outcomes):.1%}, is the accuracy after the last step on {len(rows[0]["accuracy"])} held-out problems, 4 samples of
each at temperature 1; readiness draws 64 samples of each of {len(post_sft(rows[0]))} other problems.

Pilots used seed 9001; two pilots of the instance family ended after the file was written, and changed nothing in it.

Intervals are over recipes; for counter-examples they are over problems. pass@64, by which the tool ranks, is the
primary predictor, declared after the outcomes of an [earlier run](#run-twice) of this protocol were known and before
those of this one, which has the same seeds; whether Spearman or R² decides was not declared. The intervals of the
others' gains are corrected for their
number. Nothing corrects for two families and two
measures (Spearman, R²). Out-of-sample R² leaves one recipe out at a time, against the mean outcome of the
others; beside it stand its mean and standard
deviation over 1,000 random halves of the recipes. Regret, what RL from the first start by a
predictor falls short of the best by, has no interval: it is shown over all runs and for every SFT seed, the mean where
several tie. *p, any predictor* is the share of permutations of the recipes in which some predictor correlates as
strongly. "Met in each" is a claim that holds in every seed.

RL of 28 steps is short, and its thinking budget of 56 tokens cut most thoughts of the models of the longest rows (70 %
in an audit of the first form of this sweep; the share was not stored). [Another sweep](../predict-plateau/README.md)
has 144 steps and an ample budget. It is not independent of this one: all
its recipes of *instance* and six of its eight of *dataset* are among these, with the same SFT seeds and problems.

## In short

{chr(10).join(in_short(family, rows) for family in families)}
{once_more(pairs)}

RL from the checkpoint that the tool proposes, minus RL from another choice, in points, mean and each SFT seed; three
seeds are too few for an interval. Among checkpoints within one standard error of the highest pass@64 the tool proposes
the one with the highest pass@1; the choice by held-out loss is that of the same rule with the loss in its place:

| family | minus the choice by pass@1 | minus the choice by held-out loss | minus the mean of all starts |
|---|---|---|---|
{chr(10).join(gain_line(stored, family.name) for family in families)}

Without that rule, RL from the checkpoint with the highest pass@64, minus RL from that with the best value of another
predictor (the mean where several tie):

| family | minus the highest pass@1 | minus the lowest held-out loss |
|---|---|---|
{chr(10).join(first_line(family, rows) for family in families)}

{(chr(10) * 2).join(section(family, rows) for family in families)}

## Does following the tool pay off?

Suppose that one checkpoint of each recipe is available and only readiness is known. The table has the outcome of RL
from the checkpoint that the tool proposes, and from those that its rule proposes with another predictor in the place of
pass@64:

| family | seed | best of all | the tool | by pass@1 | by held-out loss | by combined | mean of all |
|---|---|---|---|---|---|---|---|
{chr(10).join(map(choice_line, stored.choices))}

{twice(pairs, stored, rows, earlier)}

## What it does not show

The sweep covers one model of a million parameters in one symbolic world, one RL recipe and few RL steps. Losses in the
*instance* family are of models that learned from different selections of rows; the tool refuses to compare them, and
the rows marked "comparison forced" show what such a comparison would give. The best predictor of a family is chosen
of {len(families[0].scores) - 1} after the outcomes are known; *combined* is not.

{chr(10).join(f"![{name}]({name}.svg)" for name in charts)}
"""


def figure(family: StoredFamily, predictor: str, rows: Sequence[Row]) -> str:
    """Outcome of RL against a predictor: a colour a recipe, a mark a run."""
    values = dict(zip(family.sft, family.values[predictor], strict=True))
    rows = [row for row in rows if row["sft"] in values]
    recipes = recipes_of(rows)
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
