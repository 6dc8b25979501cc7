"""What public SFT→RL curves say of predictors: `python evidence/public-curves/run.py`; nothing is trained.

The curves are read from ``curves.csv`` and ``starts.csv``, which are figures of RETU (arXiv 2512.11470) from its public
repository, LINs-lab/RETU.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rlready.core.records import Estimate
from rlready.predict.early import extrapolated
from rlready.predict.family import Family
from rlready.predict.predictors import stated
from rlready.predict.score import Score, score
from rlready.readiness.passk import Floats
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.files import write_text

HERE = SOURCE = Path(__file__).parent
BENCHMARKS = ("gsm8k", "math", "olympiad_bench", "minerva", "aime", "aime25")
CUTS = (0.1, 0.2, 0.4)  # shares of the compute of RL
SHOWN, PRIMARY = "SFT score", "extrapolated from 20%"
MEAN = 3  # neighbouring evaluations that are averaged
FEWEST = 5  # evaluations through which a curve is fitted
OUTCOMES = ("last", "best", "at equal compute")


@dataclass(frozen=True)
class Curve:
    """RL from one SFT checkpoint: ``compute`` since its start, in the source's unit, and mean scores, up to 1."""

    family: str
    sft_step: int
    sft_score: float
    compute: Floats
    scores: Floats

    @property
    def smooth(self) -> Floats:
        """Means of ``MEAN`` neighbouring evaluations."""
        return np.convolve(self.scores, np.ones(MEAN) / MEAN, mode="valid")

    def at(self, compute: float) -> float:
        """The mean of the ``MEAN`` evaluations up to this compute."""
        return float(self.scores[: int((self.compute <= compute).sum())][-MEAN:].mean())

    def extrapolated(self, compute: float, to: float) -> float | None:
        """The score at ``to`` by a curve through the evaluations up to ``compute``; None if those are too few."""
        known = int((self.compute <= compute).sum())
        if known < FEWEST:
            return None
        return extrapolated(self.compute[:known].tolist(), self.scores[:known].tolist(), to)


def curves() -> list[Curve]:
    """RL from the SFT checkpoints whose score is known, without the base model."""
    with (SOURCE / "starts.csv").open(newline="") as file:
        starts = {(r["family"], int(r["sft_step"])): float(r["sft_score_macro"]) / 100 for r in csv.DictReader(file)}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with (SOURCE / "curves.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["family"], int(row["sft_step"])
            if key in starts and key[1]:
                mean = float(np.mean([float(row[name]) for name in BENCHMARKS])) / 100
                found.setdefault(key, []).append((float(row["compute"]), mean))
    return [Curve(*key, starts[key], *since_start(np.array(sorted(rows)))) for key, rows in sorted(found.items())]


def since_start(rows: Floats) -> tuple[Floats, Floats]:
    """Compute since the start of RL, which is one evaluation before the first, and scores."""
    compute = rows[:, 0] - rows[0, 0] + float(np.median(np.diff(rows[:, 0])))
    return compute, rows[:, 1]


def scored(mine: Sequence[Curve], outcome: str) -> list[Score]:
    """Scores of the predictors over the starts of a family, each of them taken for independent."""
    n, shortest = len(mine), min(float(c.compute[-1]) for c in mine)
    ends = {
        "last": [float(c.smooth[-1]) for c in mine],
        "best": [float(c.smooth.max()) for c in mine],
        "at equal compute": [c.at(shortest) for c in mine],
    }
    family = Family(
        name=mine[0].family,
        place=np.arange(n),
        outcome=np.array(ends[outcome]),
        cost=np.array([float(c.compute[-1]) for c in mine]),
        recipe=np.arange(n),
        seeds=np.ones(n, dtype=int),
        seed_sd=None,
        sft_seed=[""] * n,
    )
    known: dict[str, list[float | None]] = {
        SHOWN: [c.sft_score for c in mine],
        "SFT steps": [float(c.sft_step) for c in mine],
    }
    for cut in CUTS:
        known[f"score at {cut:.0%}"] = [c.at(cut * shortest) for c in mine]
        known[f"extrapolated from {cut:.0%}"] = [c.extrapolated(cut * shortest, shortest) for c in mine]
    predictors = [stated(name, np.array(values)) for name, values in known.items() if None not in values]
    return score(predictors, family, primary=PRIMARY, splits=1000, resamples=2000, seed=0)


def report(seconds: float | None) -> None:
    found = curves()
    families = {name: [c for c in found if c.family == name] for name in dict.fromkeys(c.family for c in found)}
    for name, mine in families.items():
        write_text(HERE / f"{name}.svg", figure(mine))
    results = {name: {outcome: scored(mine, outcome) for outcome in OUTCOMES} for name, mine in families.items()}
    claims = [claim for name, result in results.items() for claim in claims_of(name, result["last"])]
    words, command = page(families, results), "python evidence/public-curves/run.py"
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims, words=words)


def claims_of(name: str, scores: Sequence[Score]) -> list[Claim]:
    by_name = {s.predictor: s for s in scores}
    first = by_name[SHOWN]
    regret = 100 * first.regret
    claims = [
        Claim.of(f"{name}: Spearman of the SFT score with the last score of RL", over(first.spearman), "> 0"),
        Claim.exact(f"{name}: top-1 regret of the SFT score, points", regret, "family", "< 2"),
    ]
    gain = by_name[PRIMARY].gain if PRIMARY in by_name else None
    return claims + ([Claim.of(f"{name}: Spearman, {PRIMARY} minus SFT score", over(gain), "> 0")] if gain else [])


def over(figure: Estimate) -> Estimate:
    return replace(figure, varies="starts")


def page(families: dict[str, list[Curve]], results: dict[str, dict[str, list[Score]]]) -> str:
    sections = "\n\n".join(section(families[name], result) for name, result in results.items())
    return f"""# Public SFT→RL curves: does the SFT score choose the start?

These outcomes alone were made outside this project: {sum(map(len, families.values()))} runs of DAPO from SFT
checkpoints of Qwen2.5-7B, in {len(families)} families of SFT data, from RETU (arXiv 2512.11470). Figures were read from
its public repository, LINs-lab/RETU, which states no licence; nothing else of it is here. A score is the mean
of six benchmarks ({", ".join(BENCHMARKS)}); compute is the source's own estimate.

The *SFT score* is that of the start on the same benchmarks. A *score at 10%* is the mean of three evaluations after the
first tenth of the shortest run's compute; *extrapolated from* it is where a saturating curve through those evaluations
would end (after ScaleRL, arXiv 2510.13786; fitted with at least {FEWEST} evaluations). Outcomes are the mean of the
last three evaluations, that of the best three in a row, and the three before the compute of the family's shortest run.

Intervals treat the starts of a family as independent, although they are checkpoints of one SFT run; they are too narrow
if anything. The rules and the primary predictor, {PRIMARY}, were chosen before any of these figures was computed, but
the curves were known: the regret of the SFT score had been read off them.

Two public runs are left out. RL from the base model, the same run in every family, begins at 19.7 and ends at 40.3, the
lowest start and the lowest end, after a tenth of the compute of the longest runs; with it every correlation of the
SFT score would be
higher. RL from step 6,120 of easy102K ends at 41.0, and the score of its start is not published.

{sections}

## What it shows, and what it does not

{reading(results)}
- The primary predictor, {PRIMARY}: {primary(results)}.

One seed a run, runs of unequal compute, the SFT score and the outcome on the same benchmarks, AIME on few problems.
Held-out losses are not published with the curves, so that the flag of overfitting cannot be tried on them, and neither
can pass@k at large k.

{chr(10).join(f"![{name}]({name}.svg)" for name in families)}
"""


def section(mine: Sequence[Curve], result: dict[str, list[Score]]) -> str:
    last = result["last"]
    lines = [
        f"## {mine[0].family}: {len(mine)} starts",
        "",
        "| predictor | Spearman with the last score | minus the SFT score's | regret, points: last | best | at equal "
        "compute |",
        "|---|---|---|---|---|---|",
    ]
    for i, s in enumerate(last):
        regrets = " | ".join(f"{100 * result[outcome][i].regret:.1f}" for outcome in OUTCOMES)
        lines.append(f"| {s.predictor} | {shown(s.spearman)} | {shown(s.gain)} | {regrets} |")
    return "\n".join(lines)


def reading(results: dict[str, dict[str, list[Score]]]) -> str:
    """What the tables come to, family by family."""
    said = []
    for name, result in results.items():
        first = result["last"][0]
        sure = "significantly above 0" if first.spearman.low > 0 else "not significantly different from 0"
        costs = " and ".join(f"{100 * result[outcome][0].regret:.1f} ({outcome})" for outcome in OUTCOMES[:2])
        said.append(
            f"- *{name}*: the SFT score correlates with the outcome by {shown(first.spearman)}, {sure}; starting from "
            f"the highest SFT score costs {costs} points."
        )
    return "\n".join(said)


def primary(results: dict[str, dict[str, list[Score]]]) -> str:
    """How the primary predictor compares with the SFT score, in each family that has it."""
    said = []
    for name, result in results.items():
        found = [s.gain for s in result["last"] if s.predictor == PRIMARY]
        cannot = "not known, as too few evaluations fall into the first 20%"
        said.append(f"in *{name}* {f'{shown(found[0])} beside the SFT score' if found else cannot}")
    return "; ".join(said)


def shown(figure: Estimate | None) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]" if figure else "–"


def figure(mine: Sequence[Curve]) -> str:
    """The curves of a family, smoothed."""
    series = [
        Series(
            f"SFT step {c.sft_step}",
            [Point(x, y) for x, y in zip(c.compute[MEAN - 1 :].tolist(), c.smooth.tolist(), strict=True)],
            tone=i % NEUTRAL,
            shape=i % len(MARKERS),
        )
        for i, c in enumerate(mine)
    ]
    title = f"{mine[0].family}: mean score of six benchmarks along RL"
    return standalone(line_chart(series, title=title, x_label="compute of RL", y_label="score", percent=True))


if __name__ == "__main__":
    started = time.process_time()
    report(None if sys.argv[1:] == ["--page"] else time.process_time() - started)
