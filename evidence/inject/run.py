"""Behaviour injection against its baselines, SFT then RL, five seeds: `python evidence/inject/run.py`.

Resumable: what a killed run left undone is done when the command is given again.  What varies between seeds is
everything: the rows, where behaviours go, the RL problems, the test problems, the order of rows and all samples.
Within a seed every arm has the same questions to draw on, the same RL problems and the same test problems.  What may
foretell the gain is measured on test problems of its own: on those of the gain, luck before RL would count in both.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlready.core.config import EvaluateConfig, InjectConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.progress import Plan
from rlready.core.records import Estimate
from rlready.core.stats import t_figure, t_quantile
from rlready.evaluate.stage import evaluate
from rlready.inject.permute import COPIES
from rlready.inject.stage import inject
from rlready.readiness.stage import readiness
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.files import plain, read_json, write_json
from rlready.runs.run import write_text
from rlready.tasks import open_task
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/inject")
SEEDS = range(5)

TASK = "dagmath?asked=2&max_terms=3&working=short"
OPS = {"in": 4, "out": 5}  # of the test problems: as in training, and more
ROWS, EPOCHS, BATCH_TOKENS = 800, 2.0, 2048
RL_STEPS, PROMPTS, GROUP, BUDGET = 28, 16, 16, 128
TEST, SAMPLES = 64, 8
VANILLA, MAIN = "vanilla", "all, p = .1"
COMPARED = {"group_signal": "√(α(1−α))", "cosine": "cosine of two problems' gradients"}
DOTS = {"step": "ΔJ / η", "co_influence": "co-influence"}  # grow with gradient norms: shown, not compared
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
    file = str(out / "inject" / made.rows)
    longer = tokens(file) / tokens(rows)
    tuned = sft(
        SFTConfig(
            rows=file,
            heldout=source(ops, "test", 16, salt + 1),
            epochs=EPOCHS * arm.passes,
            save_every=EPOCHS * arm.passes,
            tokens_per_batch=round(BATCH_TOKENS * longer),
            seed=seed,
        ),
        out / "sft",
    )
    start = tuned.checkpoints[-1].path
    learned = rl(
        RLConfig(
            model=start,
            problems=source(ops, "train", 2000, salt + 2),
            validation=source(ops, "test", 16, salt + 1),
            steps=RL_STEPS,
            prompts_per_step=PROMPTS,
            group_size=GROUP,
            thinking_budget=BUDGET,
            eval_every=RL_STEPS,
            eval_samples=1,
            seed=seed,
        ),
        out / "rl",
    )
    models = {"sft": start, "rl": learned.best.path}
    problems = {where: source(number, "test", TEST, salt + 3) for where, number in OPS.items()}
    found = {
        "steps": tuned.steps,
        "longer": longer,
        "made": plain(made),
        "stopped": learned.stopped,
        "before": judged(start, source(ops, "test", TEST, salt + 4), seed, out / "before", influence=True),
        **{f"{w} {m}": judged(models[m], problems[w], seed, out / f"{w}-{m}") for w, m in product(OPS, models)},
        "greedy": {where: greedy(models, asked, out / f"{where}-greedy") for where, asked in problems.items()},
    }
    checked = (f"{where}-{how}" for where, how in product(OPS, (*models, "greedy")))
    stages = ("inject", "sft", "before", "rl", *checked)
    records = [read_json(out / stage / "record.json") for stage in stages]
    return found | {"seconds": sum(record["seconds"] for record in records)}


def judged(model: str, problems: str, seed: int, out: Path, *, influence: bool = False) -> dict[str, float | None]:
    """A checkpoint's figures; with ``influence`` also its factors, None with fewer than two informative problems."""
    config = ReadinessConfig(
        checkpoints=(model,),
        heldout="",
        problems=problems,
        samples=SAMPLES,
        sampling="full",
        thinking_budget=BUDGET,
        group_size=SAMPLES,
        influence=influence,
        seed=seed,
    )
    (row,) = readiness(config, out).checkpoints
    factors = {key: getattr(row.influence, key) for key in ("cosine", *DOTS)} if influence else {}
    shares = ("entropy", "truncated", "group_signal", "unsolved", "partially_solved", "solved")
    return {
        "accuracy": row.pass_at_k[1].value,
        "tokens": (row.tokens or 0) / row.samples,
        **{key: getattr(row, key).value for key in shares},
        **{key: figure and figure.value for key, figure in factors.items()},
    }


def greedy(models: Mapping[str, str], problems: str, out: Path) -> dict[str, float]:
    """Accuracy of each model without chance, where a sharper distribution alone is worth nothing."""
    config = EvaluateConfig(
        models=tuple(models.values()), problems=problems, thinking_budgets=(BUDGET,), samples=1, temperature=0.0
    )
    (row,) = evaluate(config, out).budgets
    return {name: row.scores[path].accuracy.value for name, path in models.items()}


def tokens(rows: str) -> float:
    """Mean tokens of a row, prompt and all: in symbols, words."""
    return float(np.mean([len(f"{r.prompt} {r.thinking} {r.response}".split()) for r in open_task(rows).rows()]))


def ratio(top: Sequence[float], bottom: Sequence[float]) -> Estimate:
    """Mean over mean of paired values, with Fieller's interval (1954, J. R. Stat. Soc. B 16:175).

    For a denominator whose own interval lies above 0; else no interval holds the ratio.
    """
    a, b, n = np.asarray(top), np.asarray(bottom), len(top)
    value, q = float(a.mean() / b.mean()), t_quantile(0.975, n - 1) ** 2 / n
    cov = np.cov(a, b)
    square, middle, rest = (
        b.mean() ** 2 - q * cov[1, 1],
        a.mean() * b.mean() - q * cov[0, 1],
        a.mean() ** 2 - q * cov[0, 0],
    )
    half = math.sqrt(max(0.0, middle**2 - square * rest))
    return Estimate(value, float((middle - half) / square), float((middle + half) / square), n, "seeds")


def gains(results: Sequence[Mapping[str, Any]], where: str, key: str = "accuracy") -> list[float]:
    return [r[f"{where} rl"][key] - r[f"{where} sft"][key] for r in results]


def ends(results: Sequence[Mapping[str, Any]], where: str) -> list[float]:
    return [r[f"{where} rl"]["accuracy"] for r in results]


def greedy_gains(results: Sequence[Mapping[str, Any]], where: str) -> list[float]:
    return [r["greedy"][where]["rl"] - r["greedy"][where]["sft"] for r in results]


def points(top: Sequence[float], bottom: Sequence[float]) -> Estimate:
    """The mean difference of paired shares, in points."""
    return t_figure([100 * (a - b) for a, b in zip(top, bottom, strict=True)])


def over_seeds(values: Iterable[float | None]) -> Estimate | None:
    """Of the seeds in which there is a value; None where that is none of them."""
    known = [value for value in values if value is not None]
    return t_figure(known) if known else None


def dropped(figure: Estimate) -> str:
    return f" ({len(SEEDS) - figure.n} of {len(SEEDS)} seeds dropped)" if figure.n < len(SEEDS) else ""


def report(results: Results) -> None:
    base, best = results[VANILLA], results[MAIN]
    names = {"in": f"{OPS['in']} operations, as in training", "out": f"{OPS['out']} operations"}
    claims = []
    for where, words in names.items():
        gained = gains(best, where), gains(base, where)
        if t_figure(gained[1]).low > 0:
            times = ratio(*gained)
            for target in (">= 2", "interval > 1"):
                claims.append(Claim.of(f"RL gain of injection ({MAIN}) over vanilla's, {words}", times, target))
        for said, pair in {
            f"RL gain of injection ({MAIN}) minus vanilla's": gained,
            "the same minus twice vanilla's": (gained[0], [2 * gain for gain in gained[1]]),
            "the same, both greedy, minus vanilla's": (greedy_gains(best, where), greedy_gains(base, where)),
            f"accuracy after RL, {MAIN}, minus vanilla's": (ends(best, where), ends(base, where)),
        }.items():
            claims.append(Claim.of(f"{said}, points, {words}", points(*pair), "interval > 0"))
    for stage, key, said in (
        *(("before", key, words) for key, words in COMPARED.items()),
        ("in sft", "entropy", "entropy (nats per token)"),
        ("in sft", "tokens", "tokens of a sample"),
    ):
        pairs = [(a[stage][key], b[stage][key]) for a, b in zip(best, base, strict=True)]
        figure = over_seeds(None if None in pair else pair[0] - pair[1] for pair in pairs)
        if figure:
            said = f"{said} before RL minus vanilla's, {MAIN}{dropped(figure)}"
            claims.append(Claim.of(said, figure, "interval > 0"))
    steps = [abs(r["steps"] / b["steps"] - 1) for found in results.values() for r, b in zip(found, base, strict=True)]
    worst = max(steps)
    claims.append(Claim("largest difference in SFT steps from vanilla's", worst, worst, worst, len(steps), "runs",
                        "<= 0.05"))  # fmt: skip
    for where, key in product(OPS, COMPARED):
        write_text(HERE / f"gain-{where}-{key}.svg", chart(results, where, key))
    seconds = sum(r["seconds"] for found in results.values() for r in found)
    write_claims(
        HERE, command="python evidence/inject/run.py", seconds=seconds, claims=claims, words=page(results, names)
    )
    write_json(HERE / "seeds.json", results)


def page(results: Results, names: Mapping[str, str]) -> str:
    tables = []
    for where, words in names.items():
        lines = [
            "| rows | SFT | RL | RL gain | − vanilla's | greedy: SFT → RL | entropy: SFT → RL | tokens: SFT → RL "
            "| group signal before RL | unsolved, solved |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for name, found in results.items():
            before, after = ([r[f"{where} {stage}"] for r in found] for stage in ("sft", "rl"))
            sft_, rl_ = ({key: mean(rows, key) for key in rows[0]} for rows in (before, after))
            gain, sure = points(gains(found, where), [0.0] * len(found)), [r["greedy"][where] for r in found]
            more = points(gains(found, where), gains(results[VANILLA], where))
            lines.append(
                f"| {name} | {sft_['accuracy']:.1%} | {rl_['accuracy']:.1%} | "
                f"{signed(gain)} | {'' if name == VANILLA else signed(more)} | "
                f"{mean(sure, 'sft'):.1%} → {mean(sure, 'rl'):.1%} | "
                f"{sft_['entropy']:.3f} → {rl_['entropy']:.3f} | {sft_['tokens']:.0f} → {rl_['tokens']:.0f} | "
                f"{sft_['group_signal']:.3f} | {sft_['unsolved']:.0%}, {sft_['solved']:.0%} |"
            )
        tables.append(f"## {words}\n\n{chr(10).join(lines)}")
    influences = "\n".join(
        f"| {name} | {' | '.join(cell([r['before'][key] for r in found]) for key in (*COMPARED, *DOTS))} |"
        for name, found in results.items()
    )
    cost = "\n".join(
        f"| {name} | {found[0]['made']['rows_out']} | {mean(found, 'longer'):.2f} | {mean(found, 'steps'):.0f} |"
        for name, found in results.items()
    )
    return f"""# Behaviour injection against its baselines, {len(SEEDS)} seeds

The embedded model, `{TASK}`: {ROWS} worked rows of {OPS["in"]} operations for SFT, then {RL_STEPS} steps of RL
(Dr. GRPO, {PROMPTS} problems, {GROUP} rollouts each, at most {BUDGET} thinking tokens). Vanilla rows go from the values
to the result at once. Every arm of a seed has the same RL problems and the same {TEST} test problems, {SAMPLES} samples
each at temperature 1; no template of a test problem is in a training set. Gains are points of accuracy, their intervals
over seeds (Student's t). Part of a gain at temperature 1 is sharpening, that is sampling less from the tail; greedy
decoding leaves that out. The gain of injection ({MAIN}) over vanilla's: {"; ".join(times(results, w) for w in OPS)}.

{(chr(10) * 2).join(tables)}

## Influence before RL

What a small step on one test problem does for the others, and its factors (`rlready readiness influence=true`), on
{TEST} problems of {OPS["in"]} operations that no gain is measured on. ΔJ / η and co-influence grow with gradient norms,
so those of two checkpoints do not compare; the group signal and the cosine do. Where fewer than two problems are right
now and then there is no cosine; such a seed is dropped. The RL gain correlates, over the arms' means:
{chr(10).join(f"{words}: {correlations(results, where)}." for where, words in names.items())}

| rows | {" | ".join((COMPARED | DOTS).values())} |
|---|---|---|---|---|
{influences}

{chr(10).join(f"![{where}, {key}](gain-{where}-{key}.svg)" for where, key in product(OPS, COMPARED))}

## Cost

Rows a step are the same for all, so that equal rows are equal SFT steps; the four copies are compared at equal steps
(all questions, a quarter of the passes) and at equal rows (a quarter of the questions).

| rows | rows of SFT | tokens a row, vanilla = 1 | SFT steps |
|---|---|---|---|
{cost}

## What it shows, and what not

A larger gain is not a better end. In distribution injection multiplies the gain and RL moves its greedy answers too,
so it is not sharpening alone; but its longer, less regular rows teach less in as many SFT steps, it starts lower, and
RL brings it to about where vanilla rows end, not above. The analysis does that alone, exploration and sub-goal
computation alone change nothing that can be told from vanilla, and more of it (p = .2, .3) changes nothing further.
Neither factor of the influence is larger before RL: what goes with the gain is a low start and a high entropy. The
paper's ends, twice vanilla's accuracy, are not reproduced.

It is a model of a million parameters in a symbolic world, a short RL run, a temperature of 1; vanilla rows skip
operations that sub-goal computation writes out, as in the paper. It says nothing about larger models.
"""


def signed(figure: Estimate) -> str:
    return f"{figure.value:+.1f} [{figure.low:+.1f}, {figure.high:+.1f}]"


def cell(values: Sequence[float | None]) -> str:
    figure = over_seeds(values)
    return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]{dropped(figure)}" if figure else "–"


def times(results: Results, where: str) -> str:
    """How many times vanilla's gain injection's is, where vanilla has one."""
    best, base = (gains(results[name], where) for name in (MAIN, VANILLA))
    if t_figure(base).low <= 0:
        return f"at {OPS[where]} operations vanilla's is not clear of 0: no ratio, and only the plain difference counts"
    found = ratio(best, base)
    return f"{found.value:.2f} times [{found.low:.2f}, {found.high:.2f}] (Fieller) at {OPS[where]} operations"


def correlations(results: Results, where: str) -> str:
    """Of an arm's RL gain with what was measured before it, on other problems."""
    said = []
    for key, words in {"accuracy": "accuracy", **COMPARED}.items():
        arms = [
            (over_seeds(r["before"][key] for r in found), t_figure(gains(found, where))) for found in results.values()
        ]
        known = [(before.value, gain.value) for before, gain in arms if before]
        said.append(f"{words} {np.corrcoef(known, rowvar=False)[0, 1]:+.2f} (n = {len(known)} arms)")
    return ", ".join(said)


def chart(results: Results, where: str, key: str) -> str:
    """RL gain of every arm, with its interval over seeds, against what was measured before RL."""
    series = []
    for i, (name, found) in enumerate(results.items()):
        gain = t_figure(gains(found, where))
        if before := over_seeds(r["before"][key] for r in found):
            note = f"{name}{dropped(before)}"
            point = Point(before.value, gain.value, gain.low, gain.high, note, left=before.low, right=before.high)
            series.append(Series(note, [point], tone=i % NEUTRAL, shape=i % len(MARKERS)))
    return standalone(
        line_chart(
            series,
            title=f"RL gain against the {COMPARED[key]} before RL, {OPS[where]} operations",
            x_label=f"{COMPARED[key]} before RL",
            y_label="RL gain",
            percent=True,
        )
    )


def mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


if __name__ == "__main__":
    main()
