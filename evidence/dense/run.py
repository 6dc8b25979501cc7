"""Dense rewards from demonstrations and every control, five seeds: `python evidence/dense/run.py`.

Resumable: what a killed run left undone is done when the command is given again; `python evidence/dense/run.py 0` does
the runs of one seed only, `--page` only writes the page again.  Between seeds everything but the base model differs:
SFT rows, RL problems, test problems, the order of rows and all samples.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlready.core.config import EvaluateConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.presets import DEMO_TASK
from rlready.core.records import Estimate
from rlready.core.stats import paired_estimate, t_estimate
from rlready.credit.probe import planted_error
from rlready.credit.reference import load_pair
from rlready.credit.token_credit import credit_of_copies
from rlready.evaluate.stage import evaluate
from rlready.models.batch import supervised
from rlready.models.checkpoint import load
from rlready.models.frozen import frozen_logprobs
from rlready.models.lm import LM
from rlready.report.claims import Claim, write_claims
from rlready.report.credit import page
from rlready.report.plots import Point, Series, line_chart, standalone
from rlready.runs.files import plain, read_json, read_table, write_json, write_text
from rlready.runs.log import read_log
from rlready.tasks import open_task
from rlready.train.reference_checkpoint import find_reference
from rlready.train.result import RLResult, SFTResult
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
WORLD = f"{DEMO_TASK}&modulus=17"  # arithmetic that the embedded model has not seen: SFT has something to teach
RUNS = Path("runs/dense")
STORED, EARLIER = "seeds.json", "earlier.json"
SEEDS = range(5)
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
BARE = "dense, no reference (log π_SFT)"
STEPS, LONG = 40, 48  # of the variants without and with a verifier
EVERY = 4  # steps between the evaluations of the latter
ROWS, PROBLEMS, TEST, PROMPTS, GROUP = 2000, 4000, 200, 16, 8
EPOCHS = 4
BUDGET, LEARNING_RATE, BETA = 64, 5e-4, 1.0  # r̂ is not scaled, so that beta is in nats
DENSE: dict[str, dict[str, Any]] = {
    "dense": {},
    "dense, full return": {"return_type": "full_return"},
    "dense, uniform (sequence level)": {"return_type": "uniform"},
    BARE: {"reference": "none"},
    "dense, reference at 10 %": {"reference_at": 0.1},
    "dense, reference at 25 %": {"reference_at": 0.25},
    "dense, reference at 75 %": {"reference_at": 0.75},
    "dense, reference at 90 %": {"reference_at": 0.9},
    "dense, γ = 0.95": {"gamma": 0.95},
    "dense, γ = 0": {"gamma": 0.0},
}
VERIFIER = "verifier (Dr. GRPO)"
VERIFIED: dict[str, dict[str, Any]] = {
    VERIFIER: {"algorithm": "dr_grpo", "scale_rewards": "std"},
    "dense + verifier": {"dense_weight": 0.5},
    "dense, γ = 0, + verifier": {"dense_weight": 0.5, "gamma": 0.0},
}
PROTOCOL: dict[str, Any] = {
    "task": (WORLD, EPOCHS),
    "fractions": FRACTIONS,
    "steps": (STEPS, LONG, EVERY),
    "sizes": (ROWS, PROBLEMS, TEST, PROMPTS, GROUP, BUDGET),
    "rates": (LEARNING_RATE, BETA),
    "dense": DENSE,
    "verified": VERIFIED,
}
USUAL = PROTOCOL | {  # the usual world, where RL learns fast: two of the variants
    "task": (DEMO_TASK, EPOCHS),
    "dense": {},
    "verified": {variant: VERIFIED[variant] for variant in (VERIFIER, "dense + verifier")},
}
SHORT = {VERIFIER: "verifier", "dense, γ = 0, + verifier": "γ = 0 + verifier"}  # beside a line of a chart
DECODED = "decoding from π_SFT^(1 + 1/β) / π_ref^(1/β), untrained"
KNOWN = "known"  # the usual world, whose arithmetic the embedded model was made with
PROBED = ("auc", "top", "ranked", "auc_sft", "ranked_sft")
DIAGNOSED = {"dense_right": "correctness", "dense_length": "length"}
MEASURES = ("accuracy", "greedy", "thinking", "entropy", "kl")
SAMPLES = 4  # of each test problem, as evaluate draws by default
COMPARED = ("dense", "dense, γ = 0", BARE, DECODED, "dense + verifier", "dense, γ = 0, + verifier")  # between runs


def source(seed: int, split: str, n: int, salt: int, task: str = WORLD) -> str:
    return f"{task}&split={split}&n={n}&seed={1000 * (seed + 1) + salt}"


def slug(variant: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in variant)


def tuning_on(task: str, seed: int) -> SFTConfig:
    rows, held = source(seed, "train", ROWS, 1, task), source(seed, "test", TEST, 2, task)
    return SFTConfig(rows=rows, heldout=held, epochs=EPOCHS, save_every=EPOCHS, keep_at=FRACTIONS, seed=seed)


def tuned_on(task: str, seed: int, out: Path) -> str:
    """The last checkpoint of SFT."""
    return str(out / "checkpoints" / sft(tuning_on(task, seed), out).checkpoints[-1].name)


def variants_of(seed: int, out: Path) -> dict[str, str]:
    """Every variant's last checkpoint: none is chosen with the verifier, which dense rewards are to do without."""
    start = tuned_on(WORLD, seed, out / "sft")
    epochs = STEPS / (SFTResult.load(out / "sft").steps / EPOCHS)
    more = tuning_on(WORLD, seed).replace(
        model=start,
        epochs=epochs,
        save_every=epochs,
        keep_at=(),
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
    )
    continued = sft(more.replace(seed=seed + 100), out / "continued")
    found = {"SFT": start, "SFT continued": continued.checkpoints[-1].path}
    learning = learning_from(start, seed, WORLD)
    for variant, changes in DENSE.items():
        learned = rl(learning.replace(steps=STEPS, eval_every=STEPS, **changes), out / slug(variant))
        found[variant] = last_of(out / slug(variant), learned)
    for variant, changes in VERIFIED.items():
        learned = rl(learning.replace(**changes), out / slug(variant))
        found[variant] = last_of(out / slug(variant), learned)
    return found


def learning_from(start: str, seed: int, task: str) -> RLConfig:
    """RL with dense credit from an SFT model, as long as that with a verifier."""
    return RLConfig(
        model=start,
        problems=source(seed, "train", PROBLEMS, 4, task),
        validation=source(seed, "test", TEST, 5, task),
        algorithm="dense",
        beta=BETA,
        scale_rewards="none",
        prompts_per_step=PROMPTS,
        group_size=GROUP,
        learning_rate=LEARNING_RATE,
        thinking_budget=BUDGET,
        steps=LONG,
        eval_every=EVERY,
        seed=seed,
    )


def last_of(run: Path, learned: RLResult) -> str:
    """The checkpoint a run of RL ended with, early or not."""
    return str(run / "checkpoints" / f"step-{learned.steps}")


def stopped(out: Path) -> dict[str, str]:
    """Variants that ended early, and why."""
    why = {variant: read_json(out / slug(variant) / "result.json")["stopped"] for variant in (*DENSE, *VERIFIED)}
    return {variant: words for variant, words in why.items() if words}


def scored(lm: LM, table: Path) -> dict[str, float]:
    """Entropy and divergence from SFT at the budget, nats per chosen token: means of −log π and log π/π_SFT."""
    rows = [r for r in read_table(table) if r["setting"] == str(BUDGET)]
    masks = [np.array(r["mask"], dtype=np.uint8) for r in rows]
    examples = [
        replace(supervised(lm.prompt_ids(r["prompt"], think=True), r["tokens"]), mask=m)
        for r, m in zip(rows, masks, strict=True)
    ]
    frozen = frozen_logprobs([lm.model], examples, max_tokens_per_microbatch=16384)[0]
    own = np.concatenate([np.array(r["logprobs"])[m > 0] for r, m in zip(rows, masks, strict=True)])
    sft_own = np.concatenate([f[m > 0] for f, m in zip(frozen, masks, strict=True)])
    return {"entropy": float(-own.mean()), "kl": float((own - sft_own).mean())}


def dense_steps(run: Path) -> list[dict[str, Any]]:
    """The lines of an RL run's log that say how dense rewards were made."""
    return [line for line in read_log(run / "log.jsonl") if "dense_scale" in line]


def seconds_of(out: Path) -> float:
    """CPU seconds of all runs of a seed, those before an interruption included."""
    return math.fsum(read_json(record)["cpu_seconds"] for record in out.glob("*/record.json"))


def diagnosed(out: Path) -> dict[str, dict[str, list[float | None]]]:
    """Correlations of Σr̂ at the first and at the last step of every dense variant; None where nothing varies."""
    steps = {variant: dense_steps(out / slug(variant)) for variant in (*DENSE, *VERIFIED)}
    return {
        variant: {key: [line[key] for line in (lines[0], lines[-1])] for key in DIAGNOSED}
        for variant, lines in steps.items()
        if lines
    }


def kept(done: Path, protocol: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured; stored in a file, so that what is finished is read and not run.

    UserError if it was measured by another protocol than this one.
    """
    if not done.exists():
        write_json(done, {"protocol": protocol} | measure())
    found = dict(read_json(done))
    if found.get("protocol") != plain(protocol):
        raise UserError(f"{done}: measured by another protocol; move {done.parent} away to measure the seed again")
    return found


def measured(seed: int) -> dict[str, Any]:
    """All that is known of one seed."""
    out = RUNS / f"seed-{seed}"
    main = kept(out / "measured.json", PROTOCOL, lambda: new_world(seed, out))
    usual = kept(out / "usual.json", USUAL, lambda: usual_world(seed, out))
    return main | {"usual": usual["curves"], "cpu_seconds": seconds_of(out)}


def curve(run: Path) -> list[tuple[int, float]]:
    """Validation accuracy along a run of RL."""
    return [(e["step"], e["accuracy"]["value"]) for e in read_json(run / "result.json")["evaluations"]]


def usual_world(seed: int, out: Path) -> dict[str, Any]:
    """The verifier alone and with dense credit mixed in, modulo 13."""
    learning = learning_from(tuned_on(DEMO_TASK, seed, out / "sft-known"), seed, DEMO_TASK)
    curves = {}
    for variant, changes in USUAL["verified"].items():
        run = out / f"usual-{slug(variant)}"
        rl(learning.replace(**changes), run)
        curves[variant] = curve(run)
    return {"curves": curves}


def new_world(seed: int, out: Path) -> dict[str, Any]:
    """Every variant modulo 17, and the probe there and modulo 13."""
    models = variants_of(seed, out)
    start = models["SFT"]
    test = source(seed, "test", TEST, 6)
    distinct = tuple(dict.fromkeys(models.values()))  # RL that never improved on its start ends there
    usual = EvaluateConfig(models=distinct, problems=test, thinking_budgets=(BUDGET,), seed=seed)
    away = usual.replace(models=(start,), reference=str(find_reference(start, 0.5)), beta=BETA)
    lm, variants = load(start), dict[str, Any]()
    for config, name in ((usual, "evaluate"), (away, "decoded")):
        drawn = evaluate(config, out / name)
        greedy = evaluate(config.replace(samples=1, temperature=0.0), out / f"{name}-greedy")
        for variant, path in (models if config is usual else {DECODED: start}).items():
            number = config.models.index(path)
            row = drawn.budgets[0].scores[path]
            variants[variant] = {
                "accuracy": row.accuracy.value,
                "greedy": greedy.budgets[0].scores[path].accuracy.value,
                "thinking": row.thinking_tokens.value,
                "per_problem": drawn.per_problem[path][str(BUDGET)],
            } | scored(lm, out / name / "parts" / f"{number}.parquet")
    held = open_task(source(seed, "test", TEST, 7)).rows()
    pairs = {f: load_pair(start, str(find_reference(start, f))) for f in FRACTIONS}
    probes = {f: planted_error(pair, held, seed=seed) for f, pair in pairs.items()}
    frozen, probe = pairs[0.5], probes[0.5]
    known_start = tuned_on(DEMO_TASK, seed, out / "sft-known")  # has no arithmetic to learn
    known_pair = load_pair(known_start, str(find_reference(known_start, 0.5)))
    known_rows = open_task(source(seed, "test", TEST, 7, DEMO_TASK)).rows()
    if seed == SEEDS[0]:
        readings = credit_of_copies(frozen, probe)[:4]
        about = "Right solutions with one number changed; blue: credit above 0, orange: below."
        write_text(HERE / "credit.html", page(readings, about))
    return {
        "variants": variants,
        "probe": {
            str(f): {k: getattr(p, k).value for k in PROBED}
            for f, p in (probes | {KNOWN: planted_error(known_pair, known_rows, seed=seed)}).items()
        },
        "curves": {variant: curve(out / slug(variant)) for variant in VERIFIED},
        "diagnosed": diagnosed(out),
        "stopped": stopped(out),
    }


def first(points: Sequence[tuple[int, float]], goal: float) -> int:
    """The first step after the start with this accuracy; one evaluation after the last where there is none."""
    return next((step for step, accuracy in points if step > 0 and accuracy >= goal), LONG + EVERY)


def saved(curves: dict[str, Any], variant: str) -> float | None:
    """Share of the verifier's steps to its last accuracy that a variant does not need; None if SFT has that already.

    Both count to the first evaluation that reaches it, so that a variant that needs more steps has a negative share.
    """
    verifier = curves[VERIFIER]
    goal = verifier[-1][1]
    return None if verifier[0][1] >= goal else 1 - first(curves[variant], goal) / first(verifier, goal)


def never_reached(results: Results) -> str:
    """In how many of the seeds that count each mixture never has the verifier's last accuracy."""
    parts = []
    for world, curves in worlds(results).items():
        for variant in curves[0]:
            counted = [c for c in curves if saved(c, variant) is not None]
            never = sum(first(c[variant], c[VERIFIER][-1][1]) > LONG for c in counted)
            parts += [f"{variant}, {world}, in {never} of {len(counted)} seeds"] * (variant != VERIFIER)
    return "; ".join(parts)


def known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def chart(curves: Sequence[dict[str, Any]], world: str) -> str:
    """Validation accuracy along RL of the variants with a verifier: means over seeds, a band of Student's t."""
    series = []
    for number, variant in enumerate(curves[0]):
        found = []
        for at, (step, _) in enumerate(curves[0][variant]):
            f = t_estimate([c[variant][at][1] for c in curves])
            found.append(Point(step, f.value, max(f.low, 0.0), min(f.high, 1.0)))
        series.append(Series(SHORT.get(variant, variant), found, tone=number, shape=number, band=True))
    title = f"Validation accuracy along RL with a verifier, {world}, {len(curves)} seeds"
    return standalone(line_chart(series, title=title, x_label="step", y_label="accuracy", percent=True))


def points(figure: Estimate) -> str:
    return f"{100 * figure.value:+.1f} [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"


Results = Sequence[dict[str, Any]]


def main(seeds: Sequence[int]) -> None:
    results = [measured(seed) for seed in seeds]
    if list(seeds) == list(SEEDS):
        write_json(HERE / STORED, results)
        report(results, math.fsum(r["cpu_seconds"] for r in results))


def report(results: Results, seconds: float | None) -> None:
    """Claims, page and figures; CPU ``seconds`` of all runs, None where the page is written again."""
    for name, (world, curves) in zip(("figure", "usual"), worlds(results).items(), strict=True):
        write_text(HERE / f"{name}.svg", chart(curves, world))
    command = "python evidence/dense/run.py"
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims_of(results), words=words(results))


def over_seeds(results: Results, value: Callable[[dict[str, Any]], float]) -> Estimate:
    return t_estimate([value(r) for r in results])


def gain(results: Results, variant: str, other: str, key: str = "accuracy") -> Estimate:
    return over_seeds(results, lambda r: r["variants"][variant][key] - r["variants"][other][key])


def entropy(results: Results, variant: str) -> str:
    return f"{over_seeds(results, lambda r: r['variants'][variant]['entropy']).value:.2f}"


def above(results: Results, variant: str, other: str) -> int:
    """Seeds in which the difference of accuracies, paired over problems, is significantly above zero."""
    pairs = [(r["variants"][variant]["per_problem"], r["variants"][other]["per_problem"]) for r in results]
    return sum(paired_estimate(a, b, bounds=(0.0, 1.0)).low > 0 for a, b in pairs)


def worlds(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Curves of validation accuracy with a verifier, by world and seed."""
    return {"modulo 17": [r["curves"] for r in results], "modulo 13": [r["usual"] for r in results]}


def probed(results: Results, reference: str, key: str) -> Estimate:
    return over_seeds(results, lambda r: r["probe"][reference][key])


def claims_of(results: Results) -> list[Claim]:
    greedy = gain(results, "dense", "SFT continued", "greedy")
    return [
        Claim.of("dense minus SFT accuracy, no verifier", gain(results, "dense", "SFT"), ">= 0.03"),
        Claim.of("dense minus continued SFT accuracy, equal steps", gain(results, "dense", "SFT continued"), ">= 0.03"),
        Claim.of("dense minus continued SFT, greedy", greedy, ">= 0.03"),
        Claim.of("dense with γ = 0 minus SFT accuracy, no verifier", gain(results, "dense, γ = 0", "SFT"), ">= 0.03"),
        Claim.of(
            "dense with γ = 0 minus continued SFT accuracy", gain(results, "dense, γ = 0", "SFT continued"), ">= 0.03"
        ),
        Claim.of(
            "decoding away from the reference, untrained, minus SFT accuracy", gain(results, DECODED, "SFT"), ">= 0.03"
        ),
        *(
            steps_saved(f"{world}: steps that {variant} saves to the verifier's last accuracy, share", shares)
            for world, curves in worlds(results).items()
            for variant in curves[0]
            if variant != VERIFIER and (shares := known(saved(c, variant) for c in curves))
        ),
        *(
            Claim.of(f"planted error: {what}", probed(results, "0.5", key), ">= 0.8")
            for what, key in (
                ("AUC of the least-credited token", "auc"),
                ("AUC of log π_SFT alone, without a reference", "auc_sft"),
                ("correct above wrong by the sum of credit", "ranked"),
            )
        ),
    ]


def steps_saved(said: str, shares: Sequence[float]) -> Claim:
    """The mean share over seeds; of two seeds an interval would say nothing."""
    if len(shares) < 3:
        return Claim.of_each(said, shares, "seeds", ">= 0.25")
    return Claim.of(said, t_estimate(shares), ">= 0.25")


def accuracy_table(results: Results) -> str:
    lines = [
        "| variant | accuracy | greedy | thinking tokens | entropy | KL to SFT | − SFT (points) | − continued SFT | "
        "seeds significantly above, below | greedy − continued SFT |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for variant in results[0]["variants"]:
        accuracy, greedy, thinking, entropy, kl = (
            t_estimate([r["variants"][variant][key] for r in results]).value for key in MEASURES
        )
        minus = ("" if variant == x else points(gain(results, variant, x)) for x in ("SFT", "SFT continued"))
        lines.append(
            f"| {variant} | {accuracy:.1%} | {greedy:.1%} | {thinking:.1f} | {entropy:.3f} | {kl:.3f} | "
            f"{' | '.join(minus)} | {above(results, variant, 'SFT continued')}, "
            f"{above(results, 'SFT continued', variant)} of {len(results)} | "
            f"{'' if variant == 'SFT continued' else points(gain(results, variant, 'SFT continued', 'greedy'))} |"
        )
    return "\n".join(lines)


def probe_table(results: Results) -> str:
    lines = ["| reference at | AUC | lowest of all | correct above wrong |", "|---|---|---|---|"]
    for name, reference in (*((f"{f:.0%}", str(f)) for f in FRACTIONS), ("50 %, modulo 13", KNOWN)):
        if reference == KNOWN:
            auc, ranked = (probed(results, "0.5", key) for key in ("auc_sft", "ranked_sft"))
            lines.append(f"| none: log π_SFT | {auc} | | {ranked} |")
        cells = " | ".join(str(probed(results, reference, key)) for key in ("auc", "top", "ranked"))
        lines.append(f"| {name} | {cells} |")
    auc, ranked = (probed(results, KNOWN, key) for key in ("auc_sft", "ranked_sft"))
    lines.append(f"| none: log π_SFT, modulo 13 | {auc} | | {ranked} |")
    return "\n".join(lines)


def correlation_table(results: Results) -> str:
    lines = [
        "| variant | "
        + " | ".join(f"{word}, {at} step" for word in DIAGNOSED.values() for at in ("first", "last"))
        + " |",
        "|---" * (1 + 2 * len(DIAGNOSED)) + "|",
    ]
    for variant in results[0]["diagnosed"]:
        columns = [known(r["diagnosed"][variant][key][at] for r in results) for key in DIAGNOSED for at in (0, 1)]
        lines.append(f"| {variant} | {' | '.join(map(of_seeds, columns))} |")
    return "\n".join(lines)


def of_seeds(values: Sequence[float]) -> str:
    """A mean with its interval, and how many seeds it is of if not all; of two seeds the values."""
    if len(values) < 3:
        return ", ".join(f"{value:.3f}" for value in values) + " (the seeds that have such groups)" * bool(values)
    return f"{t_estimate(values)}" + f" (n = {len(values)})" * (len(values) < len(SEEDS))


def listed(words: Sequence[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def left_out(curves: Results) -> str:
    """Seeds in which SFT has the verifier's last accuracy already."""
    found = [str(seed) for seed, c in zip(SEEDS, curves, strict=True) if saved(c, VERIFIER) is None]
    return f"seed{'s' * (len(found) > 1)} {listed(found)}" if found else "none"


def ended_early(results: Results) -> str:
    early = [f"{v} in seed {s} ({why})" for s, r in zip(SEEDS, results, strict=True) for v, why in r["stopped"].items()]
    if early:
        return f"Variants modulo 17 that ended before their last step: {'; '.join(early)}."
    return "No variant modulo 17 ended before its last step."


def words(results: Results) -> str:
    alone = {variant: gain(results, variant, "SFT continued") for variant in DENSE}
    best = max(alone, key=lambda variant: alone[variant].value)
    other = BARE if best != BARE else max(alone.keys() - {BARE}, key=lambda variant: alone[variant].value)
    also = "without a reference it is" if other == BARE else "with one, the best is"
    mixed = over_seeds(results, lambda r: r["usual"]["dense + verifier"][-1][1] - r["usual"][VERIFIER][-1][1])
    excluded = ", ".join(f"{left_out(curves)} {world}" for world, curves in worlds(results).items())
    return f"""# Dense rewards from demonstrations, with controls

The dense reward of a token is r̂ = log π_SFT − log π_ref, from two checkpoints of one SFT run (Li et al., arXiv
2510.02493). The embedded model is trained on DAG maths modulo 17 with seeds 0 to 4. It was pretrained with arithmetic
modulo 13, so that SFT has arithmetic to teach. SFT uses 2,000 rows and {EPOCHS} epochs. Variants without a verifier run
RL for {STEPS} steps of 16 x 8 rollouts from the SFT model, with learning rate {LEARNING_RATE:g}, β = {BETA:g} nat and
unscaled rewards; continued SFT takes as many optimiser steps on the same rows at the same learning rate. Variants with
a verifier run for {LONG} steps.

The last checkpoint is always measured, without selection, on 200 test problems: 4 samples at temperature 1, and greedy.
Intervals are over seeds (Student's t); beside the differences stands in how many seeds the paired interval over
problems
lies above zero, and in how many below. Entropy and KL are in nats per sampled token, on each variant's own samples.
The world, the KL weight and the
learning rate were chosen on seed 100, which is not among the seeds reported.

In short, in points of accuracy, not corrected for the choice among {len(DENSE)} or for the number of variants: of those
without a verifier, the best, "{best}", differs by
{points(alone[best])} from SFT continued for as many steps; {also} "{other}", by
{points(alone[other])}, the default variant by {points(alone["dense"])}, and decoding from both models, untrained, by
{points(gain(results, DECODED, "SFT continued"))}. Greedy, no variant of RL is above SFT continued; "{BARE}" differs by
{points(gain(results, BARE, "SFT continued", "greedy"))} from it, and at temperature 1 its samples are sharper, which
may hide a loss (their entropy is {entropy(results, BARE)} against {entropy(results, "SFT continued")} nats per token).
Mixed with a verifier modulo 13, where RL learns fast, dense rewards with γ = 1 differ by {points(mixed)} on validation
problems from the verifier alone; as the mixture has weight 0.5 and the KL term, which the verifier alone lacks, what
does it is not separated. Dense rewards find a
planted error with an AUC of {probed(results, "0.5", "auc").value:.2f}; log π_SFT alone finds it with
{probed(results, "0.5", "auc_sft").value:.2f}.

Steps saved are counted over evaluations every {EVERY} steps, up to the first evaluation that reaches the verifier's
final accuracy, for the verifier and the variant alike; a variant that never reaches it counts as {LONG + EVERY}
steps, so
that its share saved is at most what is shown. It is never reached by {never_reached(results)}. Seeds in which SFT
already has that accuracy
are
left out: {excluded}. A mixture has half of its advantage from dense rewards, the KL term among them, and half
from the verifier, each scaled to a mean square of 1. The verifier, alone and mixed with dense rewards of γ = 1, was
also run modulo 13,
where RL learns fast, with the same settings. {ended_early(results)}

{accuracy_table(results)}

![Validation accuracy along RL with a verifier, modulo 17](figure.svg)

![Validation accuracy along RL with a verifier, modulo 13](usual.svg)

## Where the credit falls

One number is changed in a copy of a held-out correct solution. *AUC* is the probability that another token of the copy
has more credit than the changed one; *lowest of all*, how often no token has less; *correct above wrong*, how often the
correct solution has a higher sum of credit than its copy. The last two lines are of the same SFT modulo 13, where it
has
no arithmetic to teach.

{probe_table(results)}

[Four copies with their tokens coloured by credit](credit.html).

## What the sum of credit correlates with

Correlation of Σr̂ with correctness and with length among the rollouts to one problem, pooled over the groups of a step
in which that other quantity varies; intervals are over the seeds that have such groups. At the first step the policy
is SFT's, so that
rows with one reference are one measurement.

{correlation_table(results)}

## What it shows, and what it does not

{conclusions(results)}

## Run three times

{before(results)}
"""


def before(results: Results) -> str:
    """The figures of earlier runs of these seeds beside those of this one."""
    runs = [*(Run(run["until"], run["seeds"]) for run in read_json(HERE / EARLIER)), Run.of(results)]
    lines = [
        f"| minus SFT continued, points | {' | '.join(run.name for run in runs)} | mean of the last two | mean of all "
        f"|",
        "|---|---|---|---|---|---|",
    ]
    rows = {name: [run.above_continued(name, "accuracy") for run in runs] for name in COMPARED}
    rows |= {f"{name}, greedy": [run.above_continued(name, "greedy") for run in runs] for name in ("dense", BARE)}
    rows["dense + verifier minus the verifier, validation, modulo 13"] = [run.mixed() for run in runs]
    for name, found in rows.items():
        means = ([sum(each) / len(each) for each in zip(*part, strict=True)] for part in (found[1:], found))
        lines.append(f"| {name} | {' | '.join(in_points(t_estimate(each)) for each in (*found, *means))} |")
    best = ", ".join(f'"{run.best()}"' for run in runs)
    spread, far, odd = apart(runs[1], runs[2])
    table = chr(10).join(lines)
    return f"""The same seeds had been run twice before, with the same protocol. The first run, until {runs[0].name},
  counted
the response itself in the baseline of its group, which scaled every advantage by 1 − 1/n, with n the responses that
reach the position
(SFT, SFT continued, the verifier alone and decoding are free of that, and mixtures, which are scaled, of most of
it), and pooled the correlation with correctness over problems. The second, seed by seed at five
revisions until {runs[1].name}, took 5.2 hours of time beside other work, the
first 7.6. Rows and test problems are the same; SFT, trained
again, drifts apart by rounding or by changes of the program (greedy by up to 3.5 points of a seed between the last
two); samples of RL and of the evaluation are others. So three runs are no three independent confirmations.
The accuracy of one variant and seed differs between the last two by a standard deviation of {spread:.1f} points, of
which the evaluation alone makes {by_evaluation(results):.1f}; at most by {far:.1f}, of {odd}. The same claims were met
and missed in all.

{table}

The best of the variants without a verifier was, in the order of the runs, {best}; in none is it significantly above SFT
continued. The paper's own, "dense", ends significantly below SFT continued in all three, and no variant ends 3 points
above it, the target. The means were computed after the results, and are not corrected for their number."""


class Run(NamedTuple):
    """What is compared of a run of all seeds: accuracies of each variant by seed, and its ends modulo 13."""

    name: str
    seeds: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, results: Results) -> Run:
        usual = [{variant: curve[-1][1] for variant, curve in r["usual"].items()} for r in results]
        return cls("this run", [{"variants": r["variants"], "usual": u} for r, u in zip(results, usual, strict=True)])

    def above_continued(self, variant: str, key: str) -> list[float]:
        """Points by seed."""
        return [100 * (s["variants"][variant][key] - s["variants"]["SFT continued"][key]) for s in self.seeds]

    def mixed(self) -> list[float]:
        return [100 * (s["usual"]["dense + verifier"] - s["usual"][VERIFIER]) for s in self.seeds]

    def best(self) -> str:
        return max(DENSE, key=lambda variant: sum(self.above_continued(variant, "accuracy")))


def apart(one: Run, other: Run) -> tuple[float, float, str]:
    """How far accuracies of one variant and seed differ between two runs: as a standard deviation, at most, and "
    "whose."""
    found = {
        (100 * (b["variants"][variant]["accuracy"] - a["variants"][variant]["accuracy"])): f"{variant} in seed {seed}"
        for seed, (a, b) in enumerate(zip(one.seeds, other.seeds, strict=True))
        for variant in a["variants"]
    }
    differences = [
        100 * (b["variants"][variant]["accuracy"] - a["variants"][variant]["accuracy"])
        for a, b in zip(one.seeds, other.seeds, strict=True)
        for variant in a["variants"]
    ]
    most = max(found, key=abs)
    return float(np.std(differences, ddof=1)), abs(most), found[most]


def by_evaluation(results: Results) -> float:
    """The standard deviation of a difference of two evaluations of one model, in points, from their samples alone."""
    shares = np.array([v["per_problem"] for r in results for v in r["variants"].values()])  # of SAMPLES each
    variance = (shares * (1 - shares)).mean() * SAMPLES / (SAMPLES - 1) / SAMPLES / shares.shape[1]
    return 100 * float(np.sqrt(2 * variance))


def in_points(figure: Estimate) -> str:
    return f"{figure.value:+.1f} [{figure.low:+.1f}, {figure.high:+.1f}]"


def conclusions(results: Results) -> str:
    def with_correctness(variant: str) -> Estimate:
        """Correlation of Σr̂ with correctness at a variant's first step."""
        return t_estimate(known(r["diagnosed"][variant]["dense_right"][0] for r in results))

    def modulo_13(variant: str, at: int) -> Estimate:
        """Validation accuracy of a variant modulo 13, at its first or last evaluation."""
        return over_seeds(results, lambda r: r["usual"][variant][at][1])

    dense, undiscounted, mixed, mixed_0, verifier = (
        points(gain(results, variant, "SFT"))
        for variant in ("dense", "dense, γ = 0", "dense + verifier", "dense, γ = 0, + verifier", VERIFIER)
    )
    start = over_seeds(results, lambda r: r["variants"]["SFT"]["accuracy"]).value
    return f"""On a solution with one number changed, credit from a reference at half of the samples has an AUC of
{probed(results, "0.5", "auc")}; log π_SFT alone, without a reference, has {probed(results, "0.5", "auc_sft")}. On the
model's own samples the picture differs: at the first step of RL, Σr̂ correlates with correctness at
{with_correctness("dense")}, log π_SFT at {with_correctness(BARE)}. The reward is what the
second half of SFT would add again, whether it is correct or not. Accuracy minus that of SFT is {dense} points for dense
and {undiscounted} for γ = 0; with the verifier mixed in, it is {mixed} and {mixed_0}.

The verifier alone adds {verifier} points in {LONG} steps: modulo 17, at this learning rate, RL learns slowly from a
start of {start:.0%}, so the steps saved there say little. Modulo 13 the verifier takes accuracy from
{modulo_13(VERIFIER, 0)} to {modulo_13(VERIFIER, -1)} on validation problems, and with dense rewards mixed in to
{modulo_13("dense + verifier", -1)}. But there SFT has no arithmetic to teach, and credit finds planted errors with an
AUC of only {probed(results, KNOWN, "auc")}. This is one symbolic world, one model of a million parameters, and one
setting of learning rate and KL weight. The page says nothing about larger models or about instruction following, where
the paper reports its gains."""


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["--page"]:
            report(read_json(HERE / STORED), None)
        else:
            main([int(word) for word in sys.argv[1:]] or list(SEEDS))
    except UserError as error:
        sys.exit(f"dense: {error}")
