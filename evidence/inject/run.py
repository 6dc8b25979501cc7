"""Behaviour injection against its baselines, SFT then RL, five seeds: `python evidence/inject/run.py`.

Resumable: what a killed run left undone is done when the command is given again.  What varies between seeds is
everything: the rows, where behaviours go, the RL problems, the test problems, the order of rows and all samples.
Within a seed every arm has the same questions to draw on, the same RL problems and the same test problems.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlready.config import InjectConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.disk import read_json, write_json
from rlready.inject.inject import inject
from rlready.inject.permute import COPIES
from rlready.progress import Plan
from rlready.readiness.readiness import readiness
from rlready.records import Figure
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.stats import t_figure, t_quantile
from rlready.store import write_text
from rlready.tasks import open_task
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/inject")
SEEDS = range(5)

TASK = "dagmath?asked=2&max_terms=3&working=short"
OPS = {"in": 5, "out": 7}  # of the test problems: as in training, and more
ROWS, EPOCHS, BATCH_TOKENS = 800, 2.0, 2048
RL_STEPS, PROMPTS, GROUP, BUDGET = 20, 8, 16, 128
TEST, SAMPLES = 64, 8
VANILLA, MAIN = "vanilla", "all, p = .1"
FACTORS = {"step": "ΔJ / η", "co_influence": "co-influence", "cosine": "cosine of two problems' gradients"}
NONE = {"value": 0.0}  # of the factors where fewer than two problems are right now and then
SECONDS = 110.0  # an arm of one seed on two cores; only used to say how much time is left


@dataclass(frozen=True)
class Arm:
    """``questions`` of ROWS are asked, each worked ``copies`` times; a row is seen EPOCHS times ``passes``."""

    method: Literal["behaviours", "vanilla", "premises", "chains"] = "behaviours"
    behaviours: tuple[str, ...] = ("explore", "analyse", "compute")
    p: float = 0.1
    questions: float = 1.0
    passes: float = 1.0


ARMS = {
    VANILLA: Arm("vanilla"),
    "premise permutation ×4, equal steps": Arm("premises", passes=1 / COPIES),
    "premise permutation ×4, equal rows": Arm("premises", questions=1 / COPIES),
    "reasoning chain ×4, equal steps": Arm("chains", passes=1 / COPIES),
    "reasoning chain ×4, equal rows": Arm("chains", questions=1 / COPIES),
    "exploration": Arm(behaviours=("explore",)),
    "analysis": Arm(behaviours=("analyse",)),
    "sub-goal computation": Arm(behaviours=("compute",)),
    MAIN: Arm(),
    "all, p = .2": Arm(p=0.2),
    "all, p = .3": Arm(p=0.3),
}
Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    plan = Plan([(f"seed {seed}, {name}", SECONDS) for seed in SEEDS for name in ARMS])
    results: Results = {name: [] for name in ARMS}
    for seed in SEEDS:
        for name, arm in ARMS.items():
            with plan.stage(f"seed {seed}, {name}"):
                results[name].append(run(arm, seed, RUNS / f"seed-{seed}" / re.sub(r"\W+", "-", name)))
    report(results)


def source(ops: int, split: str, n: int, seed: int) -> str:
    return f"{TASK}&ops={ops}&split={split}&n={n}&seed={seed}"


def run(arm: Arm, seed: int, out: Path) -> dict[str, Any]:
    """One arm of one seed, stage by stage; finished stages are only read."""
    ops, salt = OPS["in"], 1000 * (seed + 1)
    rows = source(ops, "train", round(ROWS * arm.questions), salt)
    made = inject(
        InjectConfig(rows=rows, method=arm.method, behaviours=arm.behaviours, p=arm.p, seed=seed), out / "inject"
    )
    # as many rows a step as vanilla has, so that equal rows are equal steps however long a row is
    file = str(out / "inject" / made["rows"])
    longer = tokens(file) / tokens(rows)
    tuned = sft(
        SFTConfig(
            rows=file,
            heldout=source(ops, "test", 16, salt + 1),
            epochs=EPOCHS * arm.passes,
            save_every=EPOCHS * arm.passes,
            batch_tokens=round(BATCH_TOKENS * longer),
            seed=seed,
        ),
        out / "sft",
    )
    start = tuned["checkpoints"][-1]["path"]
    learned = rl(
        RLConfig(
            model=start,
            problems=source(ops, "train", 2000, salt + 2),
            heldout=source(ops, "test", 16, salt + 1),
            steps=RL_STEPS,
            prompts=PROMPTS,
            group=GROUP,
            budget=BUDGET,
            eval_every=RL_STEPS,
            eval_samples=1,
            seed=seed,
        ),
        out / "rl",
    )
    measured = {"sft": start, "rl": learned["best"]["path"]}
    found: dict[str, Any] = {"steps": tuned["steps"], "longer": longer, "made": made, "stopped": learned["stopped"]}
    for (where, number), (stage, path) in product(OPS.items(), measured.items()):
        judged = readiness(
            ReadinessConfig(
                checkpoints=(path,),
                heldout="",
                problems=source(number, "test", TEST, salt + 3),
                samples=SAMPLES,
                stop="never",
                budget=BUDGET,
                group=SAMPLES,
                influence=stage == "sft",
                seed=seed,
            ),
            out / f"{where}-{stage}",
        )
        (row,) = judged["checkpoints"]
        found[f"{where} {stage}"] = {
            "accuracy": row["pass"]["1"]["value"],
            "entropy": row["entropy"]["value"],
            "tokens": row["tokens"] / row["samples"],
            "truncated": row["truncated"]["value"],
            **{key: row[key]["value"] for key in ("spread", "never", "sometimes", "always")},
            **({key: (row["influence"][key] or NONE)["value"] for key in FACTORS} if stage == "sft" else {}),
        }
    stages = ("inject", "sft", "rl", *(f"{where}-{stage}" for where, stage in product(OPS, measured)))
    records = [read_json(out / stage / "record.json") for stage in stages]
    return found | {"seconds": sum(record["seconds"] for record in records)}


def tokens(rows: str) -> float:
    """Mean tokens of a row, prompt and all: in symbols, words."""
    return float(np.mean([len(f"{r.prompt} {r.thinking} {r.response}".split()) for r in open_task(rows).rows()]))


def ratio(top: Sequence[float], bottom: Sequence[float]) -> Figure:
    """Mean over mean of paired values, with Fieller's interval (1954, J. R. Stat. Soc. B 16:175).

    Everything (infinite bounds) where the denominator's own interval holds 0.
    """
    a, b, n = np.asarray(top), np.asarray(bottom), len(top)
    value, q = float(a.mean() / b.mean()), t_quantile(0.975, n - 1) ** 2 / n
    cov = np.cov(a, b)
    square, middle, rest = (
        b.mean() ** 2 - q * cov[1, 1],
        a.mean() * b.mean() - q * cov[0, 1],
        a.mean() ** 2 - q * cov[0, 0],
    )
    if square <= 0:
        return Figure(value, -math.inf, math.inf, n, "seeds")
    half = math.sqrt(max(0.0, middle**2 - square * rest))
    return Figure(value, float((middle - half) / square), float((middle + half) / square), n, "seeds")


def gains(results: Sequence[Mapping[str, Any]], where: str, key: str = "accuracy") -> list[float]:
    return [r[f"{where} rl"][key] - r[f"{where} sft"][key] for r in results]


def report(results: Results) -> None:
    base, best = results[VANILLA], results[MAIN]
    names = {"in": f"{OPS['in']} operations, as in training", "out": f"{OPS['out']} operations"}
    claims = []
    for where, words in names.items():
        said = f"RL gain of injection ({MAIN}) over that of vanilla, {words}"
        claims.append(Claim.of(said, ratio(gains(best, where), gains(base, where)), ">= 2"))
    for name, found in results.items():
        for where, words in names.items():
            if name != VANILLA:
                more = [a - b for a, b in zip(gains(found, where), gains(base, where), strict=True)]
                claims.append(Claim.of(f"RL gain minus vanilla's, {name}, {words}", t_figure(more), "> 0"))
    for key, said, target in (
        *((key, f"{words} before RL minus vanilla's", "> 0") for key, words in FACTORS.items()),
        ("spread", "√(α(1−α)) before RL minus vanilla's", "> 0"),
        ("entropy", "entropy before RL minus vanilla's (nats per token)", "> 0"),
        ("tokens", "tokens of a sample before RL minus vanilla's", "> 0"),
    ):
        more = [a["in sft"][key] - b["in sft"][key] for a, b in zip(best, base, strict=True)]
        claims.append(Claim.of(f"{said}, {MAIN}", t_figure(more), target))
    steps = [abs(r["steps"] / b["steps"] - 1) for found in results.values() for r, b in zip(found, base, strict=True)]
    worst = max(steps)
    claims.append(Claim("largest difference in SFT steps from vanilla's", worst, worst, worst, len(steps), "runs",
                        "<= 0.05"))  # fmt: skip
    for where in OPS:
        write_text(HERE / f"gain-{where}.svg", figure(results, where))
    seconds = sum(r["seconds"] for found in results.values() for r in found)
    write_claims(
        HERE, command="python evidence/inject/run.py", seconds=seconds, claims=claims, words=page(results, names)
    )
    write_json(HERE / "seeds.json", results)


def page(results: Results, names: Mapping[str, str]) -> str:
    tables = []
    for where, words in names.items():
        lines = [
            "| rows | SFT | RL | RL gain | entropy: SFT → RL | tokens: SFT → RL | spread before RL "
            "| never, always solved |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, found in results.items():
            before, after = ([r[f"{where} {stage}"] for r in found] for stage in ("sft", "rl"))
            sft_, rl_ = ({key: mean(rows, key) for key in rows[0]} for rows in (before, after))
            gain = t_figure(gains(found, where))
            lines.append(
                f"| {name} | {sft_['accuracy']:.1%} | {rl_['accuracy']:.1%} | "
                f"{gain.value * 100:+.1f} [{gain.low * 100:+.1f}, {gain.high * 100:+.1f}] | "
                f"{sft_['entropy']:.3f} → {rl_['entropy']:.3f} | {sft_['tokens']:.0f} → {rl_['tokens']:.0f} | "
                f"{sft_['spread']:.3f} | {sft_['never']:.0%}, {sft_['always']:.0%} |"
            )
        tables.append(f"## {words}\n\n{chr(10).join(lines)}")
    influences = []
    for name, found in results.items():
        cells = [f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]" for figure in (
            t_figure([r[f"{where} sft"][key] for r in found]) for where in OPS for key in ("spread", *FACTORS)
        )]  # fmt: skip
        influences.append(f"| {name} | {' | '.join(cells)} |")
    cost = "\n".join(
        f"| {name} | {found[0]['made']['rows_out']} | {mean(found, 'longer'):.2f} | {mean(found, 'steps'):.0f} |"
        for name, found in results.items()
    )
    return f"""# Behaviour injection against its baselines, {len(SEEDS)} seeds

The embedded model, `{TASK}`: {ROWS} worked rows of {OPS["in"]} operations for SFT, then {RL_STEPS} steps of RL
(Dr. GRPO, {PROMPTS} problems, {GROUP} rollouts each, at most {BUDGET} thinking tokens). Vanilla rows go from the values
to the result at once. Every arm of a seed has the same RL problems and the same {TEST} test problems, {SAMPLES} samples
each at temperature 1; no template of a test problem is in a training set. Gains are points of accuracy, their intervals
over seeds (Student's t); a ratio of gains has Fieller's interval over seeds.

{(chr(10) * 2).join(tables)}

## Influence before RL

What a small step on one test problem does for the others, and its two factors (`rlready readiness influence=true`);
dots grow with gradient norms, the cosine does not. First the {OPS["in"]} operations, then the {OPS["out"]}; beside it
the RL gain, over all arms and seeds, correlates {correlation(results, "in")} and {correlation(results, "out")}.

| rows | √(α(1−α)) | ΔJ / η | co-influence | cosine | √(α(1−α)) | ΔJ / η | co-influence | cosine |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(influences)}

{chr(10).join(f"![{where}](gain-{where}.svg)" for where in OPS)}

## Cost

Rows a step are the same for all, so that equal rows are equal SFT steps; the four copies are compared at equal steps
(all questions, a quarter of the passes) and at equal rows (a quarter of the questions).

| rows | rows of SFT | tokens a row, vanilla = 1 | SFT steps |
|---|---|---|---|
{cost}

## What it shows, and what not

A model of a million parameters in a symbolic world, a short RL run. What injection teaches here is partly arithmetic:
vanilla rows skip operations that sub-goal computation writes out, as in the paper. It says nothing about larger models.
"""


def correlation(results: Results, where: str) -> str:
    """Of the RL gain of a run with what was measured before it."""
    rows = [r for found in results.values() for r in found]
    gain = gains(rows, where)
    found = {k: np.corrcoef([r[f"{where} sft"][k] for r in rows], gain)[0, 1] for k in ("accuracy", "spread", *FACTORS)}
    names = {"accuracy": "accuracy", "spread": "√(α(1−α))", **FACTORS}
    return "(" + ", ".join(f"{names[key]} {value:+.2f}" for key, value in found.items()) + f"; n = {len(rows)} runs)"


def figure(results: Results, where: str) -> str:
    """RL gain of every arm, with its interval over seeds, against the influence before RL."""
    series = []
    for i, (name, found) in enumerate(results.items()):
        gain = t_figure(gains(found, where))
        before = t_figure([r[f"{where} sft"]["step"] for r in found])
        point = Point(before.value, gain.value, gain.low, gain.high, name, left=before.low, right=before.high)
        series.append(Series(name, [point], tone=i % NEUTRAL, shape=i % len(MARKERS)))
    return standalone(
        line_chart(
            series,
            title=f"RL gain against influence before RL, {OPS[where]} operations",
            x_label="ΔJ / η before RL",
            y_label="RL gain",
            percent=True,
        )
    )


def mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


if __name__ == "__main__":
    main()
