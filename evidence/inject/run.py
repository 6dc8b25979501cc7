"""Behaviour injection against its baselines, SFT then RL, five seeds: `python evidence/inject/run.py`.

Resumable: what a killed run left undone is done when the command is given again; `--page` only writes the page again.
Between seeds everything differs: the rows, where behaviours go, the RL problems, the test problems, the order of rows
and all samples.  Within a seed all variants share the questions, the RL problems and the test problems.  What may
predict the gain is measured on other test problems: on those of the gain, chance before RL would count in both.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlready.core.config import EvaluateConfig, InjectConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.progress import Plan
from rlready.core.records import Estimate
from rlready.core.stats import t_estimate, t_quantile
from rlready.evaluate.stage import evaluate
from rlready.inject.permute import COPIES
from rlready.inject.stage import inject
from rlready.readiness.stage import readiness
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.files import read_json, write_json, write_text
from rlready.tasks import open_task
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/inject")
STORED = "seeds.json"
NAMES = {"in": "4 operations, as in training", "out": "5 operations"}
SEEDS = range(5)

TASK = "dagmath?asked=2&max_terms=3&working=short"
OPS = {"in": 4, "out": 5}  # of the test problems: as in training, and more
ROWS, EPOCHS, BATCH_TOKENS = 800, 2.0, 2048
RL_STEPS, PROMPTS, GROUP, BUDGET = 28, 16, 16, 128
TEST, SAMPLES = 64, 8
VANILLA, MAIN = "vanilla", "all, p = .1"
COMPARED = {"group_signal": "√(α(1−α))", "cosine": "cosine of two problems' gradients"}
NORM_DEPENDENT = {"step": "ΔJ / η", "co_influence": "co-influence"}  # grow with gradient norms: shown, not compared
SECONDS = 110.0  # a variant of one seed on two cores; only used to say how much time is left


@dataclass(frozen=True)
class Variant:
    """``questions`` of ROWS are asked, each worked ``copies`` times; a row is seen EPOCHS times ``passes``."""

    method: Literal["behaviours", "vanilla", "premises", "chains"] = "behaviours"
    behaviours: tuple[str, ...] = ("explore", "analyse", "compute")
    p: float = 0.1
    questions: float = 1.0
    passes: float = 1.0


VARIANTS = {
    VANILLA: Variant("vanilla"),
    "premise permutation ×4, equal steps": Variant("premises", passes=1 / COPIES),
    "premise permutation ×4, equal rows": Variant("premises", questions=1 / COPIES),
    "reasoning chain ×4, equal steps": Variant("chains", passes=1 / COPIES),
    "reasoning chain ×4, equal rows": Variant("chains", questions=1 / COPIES),
    "exploration": Variant(behaviours=("explore",)),
    "analysis": Variant(behaviours=("analyse",)),
    "sub-goal computation": Variant(behaviours=("compute",)),
    MAIN: Variant(),
    "all, p = .2": Variant(p=0.2),
    "all, p = .3": Variant(p=0.3),
}
Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    plan = Plan([(f"seed {seed}, {name}", SECONDS) for seed in SEEDS for name in VARIANTS])
    results: Results = {name: [] for name in VARIANTS}
    for seed in SEEDS:
        for name, variant in VARIANTS.items():
            with plan.stage(f"seed {seed}, {name}"):
                results[name].append(run(variant, seed, RUNS / f"seed-{seed}" / re.sub(r"\W+", "-", name)))
    write_json(HERE / STORED, results)
    report(results, sum(r["cpu_seconds"] for found in results.values() for r in found))


def source(ops: int, split: str, n: int, seed: int) -> str:
    return f"{TASK}&ops={ops}&split={split}&n={n}&seed={seed}"


def run(variant: Variant, seed: int, out: Path) -> dict[str, Any]:
    """One variant of one seed, stage by stage; finished stages are only read."""
    ops, salt = OPS["in"], 1000 * (seed + 1)
    rows = source(ops, "train", round(ROWS * variant.questions), salt)
    made = inject(
        InjectConfig(rows=rows, method=variant.method, behaviours=variant.behaviours, p=variant.p, seed=seed),
        out / "inject",
    )
    # as many rows a step as vanilla has, so that equal rows are equal steps however long a row is
    file = str(out / "inject" / made.rows)
    longer = tokens(file) / tokens(rows)
    tuned = sft(
        SFTConfig(
            model="embedded",
            rows=file,
            heldout=source(ops, "test", 16, salt + 1),
            epochs=EPOCHS * variant.passes,
            save_every=EPOCHS * variant.passes,
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
    models = {"sft": start, "rl": str(out / "rl" / "checkpoints" / f"step-{learned.steps}")}
    problems = {where: source(number, "test", TEST, salt + 3) for where, number in OPS.items()}
    found = {
        "steps": tuned.steps,
        "longer": longer,
        "rows": made.rows_out,
        "stopped": learned.stopped,
        "before": measured(start, source(ops, "test", TEST, salt + 4), seed, out / "before", influence=True),
        **{f"{w} {m}": measured(models[m], problems[w], seed, out / f"{w}-{m}") for w, m in product(OPS, models)},
        "greedy": {where: greedy(models, asked, out / f"{where}-greedy") for where, asked in problems.items()},
    }
    checked = (f"{where}-{how}" for where, how in product(OPS, (*models, "greedy")))
    stages = ("inject", "sft", "before", "rl", *checked)
    records = [read_json(out / stage / "record.json") for stage in stages]
    return found | {"cpu_seconds": sum(record["cpu_seconds"] for record in records)}


def measured(model: str, problems: str, seed: int, out: Path, *, influence: bool = False) -> dict[str, float | None]:
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
    factors = {key: getattr(row.influence, key) for key in ("cosine", *NORM_DEPENDENT)} if influence else {}
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
    return t_estimate([100 * (a - b) for a, b in zip(top, bottom, strict=True)])


def over_seeds(values: Iterable[float | None]) -> Estimate | None:
    """Of the seeds in which there is a value; None where that is none of them."""
    known = [value for value in values if value is not None]
    return t_estimate(known) if known else None


def dropped(figure: Estimate) -> str:
    return f" ({len(SEEDS) - figure.n} of {len(SEEDS)} seeds dropped)" if figure.n < len(SEEDS) else ""


def report(results: Results, seconds: float | None) -> None:
    """Claims, page and figures; ``seconds`` of all runs, None where the page is written again."""
    for where, key in product(OPS, COMPARED):
        write_text(HERE / chart_file(where, key), chart(results, where, key))
    command = "python evidence/inject/run.py"
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims_of(results), words=page(results))


def chart_file(where: str, key: str) -> str:
    return f"gain-{where}-{key.replace('_', '-')}.svg"


def claims_of(results: Results) -> list[Claim]:
    base, best = results[VANILLA], results[MAIN]
    claims = []
    for where, words in NAMES.items():
        gained = gains(best, where), gains(base, where)
        if t_estimate(gained[1]).low > 0:
            times = ratio(*gained)
            for target in (">= 2", "> 1"):
                claims.append(Claim.of(f"RL gain of injection ({MAIN}) over vanilla's, {words}", times, target))
        for said, pair in {
            f"RL gain of injection ({MAIN}) minus vanilla's": gained,
            "the same minus twice vanilla's": (gained[0], [2 * gain for gain in gained[1]]),
            "the same, both greedy, minus vanilla's": (greedy_gains(best, where), greedy_gains(base, where)),
            f"accuracy after RL, {MAIN}, minus vanilla's": (ends(best, where), ends(base, where)),
        }.items():
            claims.append(Claim.of(f"{said}, points, {words}", points(*pair), "> 0"))
    for stage, key, said in (
        *(("before", key, words) for key, words in COMPARED.items()),
        ("in sft", "entropy", "entropy (nats per token)"),
        ("in sft", "tokens", "tokens of a sample"),
    ):
        pairs = [(a[stage][key], b[stage][key]) for a, b in zip(best, base, strict=True)]
        figure = over_seeds(None if None in pair else pair[0] - pair[1] for pair in pairs)
        if figure:
            said = f"{said} before RL minus vanilla's, {MAIN}{dropped(figure)}"
            claims.append(Claim.of(said, figure, "> 0"))
    steps = [abs(r["steps"] / b["steps"] - 1) for found in results.values() for r, b in zip(found, base, strict=True)]
    said, worst = "largest difference in SFT steps from vanilla's", max(steps)
    return [*claims, Claim.exact(said, worst, "runs", "<= 0.05", n=len(steps))]


def gain_table(results: Results, where: str) -> str:
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
    return "\n".join(lines)


def influence_table(results: Results) -> str:
    lines = [f"| rows | {' | '.join((COMPARED | NORM_DEPENDENT).values())} |", "|---" * 5 + "|"]
    for name, found in results.items():
        cells = " | ".join(cell([r["before"][key] for r in found]) for key in (*COMPARED, *NORM_DEPENDENT))
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def cost_table(results: Results) -> str:
    lines = ["| rows | SFT rows | tokens per row, vanilla = 1 | SFT steps |", "|---|---|---|---|"]
    for name, found in results.items():
        rows = found[0]["rows"]
        lines.append(f"| {name} | {rows} | {mean(found, 'longer'):.2f} | {mean(found, 'steps'):.0f} |")
    return "\n".join(lines)


def page(results: Results) -> str:
    tables = "\n\n".join(f"## {words}\n\n{gain_table(results, where)}" for where, words in NAMES.items())
    charts = "\n".join(
        f"![Gain at {ops} operations against {words}]({chart_file(where, key)})"
        for where, ops in OPS.items()
        for key, words in (("group_signal", "group signal"), ("cosine", "the cosine"))
    )
    short = {where: signed(points(ends(results[MAIN], where), ends(results[VANILLA], where))) for where in OPS}
    return f"""# Behaviour injection against its baselines, {len(SEEDS)} seeds

The embedded model is fine-tuned on {ROWS} worked rows of {OPS["in"]} operations from `{TASK}`, and RL of {RL_STEPS}
steps follows (Dr. GRPO, {PROMPTS} problems per step, {GROUP} rollouts each, a thinking budget of {BUDGET} tokens).
Vanilla rows go from the values to the result at once. All variants of a seed share the RL problems and the {TEST} test
problems, which are sampled {SAMPLES} times each at temperature 1; no template of a test problem is in a training set.
Gains are points of accuracy, with intervals over seeds (Student's t). Part of a gain at temperature 1 is sharpening:
the policy samples less from the tail of its distribution. Greedy decoding leaves that out.

With all three behaviours at p = .1, {times(results)}.

{tables}

## Influence before RL

Influence and its factors (`rlready readiness influence=true`) are measured on {TEST} problems of {OPS["in"]} operations
on which no gain is measured. ΔJ / η and co-influence grow with gradient norms, so their values for two checkpoints are
not comparable; the group signal √(α(1−α)) and the cosine are. Where fewer than two problems have an informative group
there is no cosine, and such a seed is dropped. The RL gain correlates over the means of the {len(results)} variants as
follows:

| RL gain at | with accuracy before RL | with √(α(1−α)) | with the cosine of two problems' gradients |
|---|---|---|---|
{chr(10).join(f"| {words} | {correlations(results, where)} |" for where, words in NAMES.items())}

{arithmetic(results)}

The factors before RL:

{influence_table(results)}

{charts}

## Cost

All variants have the same number of rows per step, so equal rows mean equal SFT steps. The baselines with four copies
of each row are compared at equal steps (all questions, a quarter of the passes) and at equal rows (a quarter of the
questions).

{cost_table(results)}

## What it shows, and what it does not

A larger gain is not a better end. In distribution, injection multiplies the gain, and RL improves greedy accuracy as
well; its greedy gain with p = .1 is not established to be larger than that of vanilla rows
({greedier(results, MAIN)}), with
p = .2 and .3 and after rows with analysis alone it is ({greedier(results, "all, p = .2")},
{greedier(results, "all, p = .3")} and
{greedier(results, "analysis")} points). After as many SFT steps on its
longer, less regular rows the model starts lower, and RL does not bring it above the end of vanilla rows: at 4
operations it ends
{short["in"]} points away from it, at 5 {short["out"]}. After rows with analysis alone RL gains more at 4 operations,
too, by
{points_of_gain(results, "analysis", "in")} points, and at 5 by {points_of_gain(results, "analysis", "out")}, which is
not established; it ends {end_of(results, "analysis", "in")} and {end_of(results, "analysis", "out")} points away.
The gain of
exploration or of sub-goal computation alone is not significantly different from that of vanilla
rows; with exploration RL ends {end_of(results, "exploration", "in")} points away from it at 4 operations and
{end_of(results, "exploration", "out")} at 5. With a larger p (.2, .3) the gain at 4 operations is
{larger(results, ".2")} and {larger(results, ".3")} points larger than with .1, and it starts
{start_of(results, ".2")} and {start_of(results, ".3")} points away.
Neither factor of the influence is shown to be larger before RL; the gain goes
with low accuracy and high entropy at the start. The
paper's final accuracies, twice that of vanilla, are not reproduced. No comparison with vanilla rows is corrected for
the
number of variants.

The runs of the first seed above were begun at revision 0dc554a, the others at 2e41278. The same command had measured
the same seeds before, at revision c9f7380. There the gain with all three behaviours was 3.11 [2.35,
5.49] times that after vanilla rows at 4 operations and 1.52 [0.72, 2.76] times at 5; RL ended -4.7 [-10.0, +0.6] and
-2.7 [-4.7, -0.7] points away from the end of vanilla rows; and with p = .2 and .3 the gain at 4 operations was +0.6
[-2.7, +3.9] and +0.9 [-2.9, +4.7] points larger than with .1. Three verdicts at 4 operations differ: that the gain
is twice that of vanilla rows, as a ratio and as a difference, and that greedy decoding gains more, were met by their
intervals. SFT of one seed and variant gave accuracies at most 2.3
points apart in the two runs at 4 operations (standard deviation 0.7), RL up to 9.6 (3.8): a run that begins to differ
by rounding, or by what has changed in the program, ends elsewhere. Differences of a few points between two variants,
such as those between values of p, are therefore not established by either run.

The world was chosen in a pilot because injection showed an effect there. RL is short, and 4 operations are what the
embedded model was pretrained on: [6 operations](../inject-six/README.md), with longer SFT and RL, are an experiment of
their own. This is a model of a million parameters in a symbolic world, at temperature 1. As in the paper,
vanilla rows skip the operations that sub-goal computation writes out. The page says nothing about larger models.
"""


def end_of(results: Results, name: str, where: str) -> str:
    """Where RL ends after rows of a variant, against vanilla rows, in points."""
    return signed(points(ends(results[name], where), ends(results[VANILLA], where)))


def points_of_gain(results: Results, name: str, where: str) -> str:
    """How much larger the gain is after rows of a variant than after vanilla rows, in points."""
    return signed(points(*(gains(results[each], where) for each in (name, VANILLA))))


def greedier(results: Results, name: str) -> str:
    """How much larger the greedy gain at 4 operations is after rows of a variant than after vanilla rows, in points."""
    return signed(points(*(greedy_gains(results[each], "in") for each in (name, VANILLA))))


def larger(results: Results, p: str) -> str:
    """How much larger the gain at 4 operations is with this p than with .1, in points."""
    return signed(points(gains(results[f"all, p = {p}"], "in"), gains(results[MAIN], "in")))


def start_of(results: Results, p: str) -> str:
    """Accuracy before RL at 4 operations with another p, against that with .1, in points."""
    found = ([r["in sft"]["accuracy"] for r in results[name]] for name in (f"all, p = {p}", MAIN))
    return signed(points(*found))


def arithmetic(results: Results) -> str:
    """What a correlation of the gain with accuracy before RL is worth, as a gain is an end minus a start."""
    starts, after = (
        np.array([100 * np.mean([r[f"in {stage}"]["accuracy"] for r in found]) for found in results.values()])
        for stage in ("sft", "rl")
    )
    return (
        "The first column follows almost from arithmetic: a gain is an end minus a start, and at 4 operations the "
        f"starts of the variants lie up to {np.ptp(starts):.0f} points apart, the ends {np.ptp(after):.0f}. The ends "
        f"themselves correlate by {np.corrcoef(starts, after)[0, 1]:+.2f} with accuracy before RL."
    )


def signed(figure: Estimate) -> str:
    return f"{figure.value:+.1f} [{figure.low:+.1f}, {figure.high:+.1f}]"


def cell(values: Sequence[float | None]) -> str:
    figure = over_seeds(values)
    return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]{dropped(figure)}" if figure else "–"


def times(results: Results) -> str:
    """How many times vanilla's gain injection's is, where vanilla's is significantly above 0."""
    said = []
    for where, ops in OPS.items():
        best, base = (gains(results[name], where) for name in (MAIN, VANILLA))
        if t_estimate(base).low <= 0:
            said.append(
                f"at {ops} operations the gain after vanilla rows is not significant, so that there is no ratio"
            )
            continue
        found = ratio(best, base)
        start = "" if said else "RL gains "
        end = "" if said else " what it gains after vanilla rows"
        said.append(f"{start}{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] times{end} at {ops} operations")
    return ", and ".join(said) + " (Fieller intervals)"


def correlations(results: Results, where: str) -> str:
    """Cells: of a variant's RL gain with what was measured before it, on other problems."""
    said = []
    for key in ("accuracy", *COMPARED):
        means = [
            (over_seeds(r["before"][key] for r in found), t_estimate(gains(found, where))) for found in results.values()
        ]
        known = [(before.value, gain.value) for before, gain in means if before]
        some = f" (n = {len(known)})" if len(known) < len(means) else ""
        rho = np.corrcoef([before for before, _ in known], [gain for _, gain in known])
        said.append(f"{rho[0, 1]:+.2f}{some}")
    return " | ".join(said)


def chart(results: Results, where: str, key: str) -> str:
    """RL gain of every variant, with its interval over seeds, against what was measured before RL."""
    series = []
    for i, (name, found) in enumerate(results.items()):
        gain = t_estimate(gains(found, where))
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
    report(read_json(HERE / STORED), None) if sys.argv[1:] == ["--page"] else main()
