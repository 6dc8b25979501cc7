"""Dense rewards from demonstrations and every control, five seeds: `python evidence/dense/run.py`.

Resumable: what a killed run left undone is done when the command is given again; `python evidence/dense/run.py 0` does
the runs of one seed only and writes no page.  What varies between seeds is everything but the base model: SFT rows, RL
problems, test problems, the order of rows and all samples.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import EvaluateConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.presets import DEMO_TASK
from rlready.core.records import Estimate
from rlready.core.stats import paired_figure, t_figure
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
SEEDS = range(5)
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
STEPS, LONG = 40, 48  # of the arms without and with a verifier
EVERY = 4  # steps between the evaluations of the latter
ROWS, PROBLEMS, TEST, PROMPTS, GROUP = 2000, 4000, 200, 16, 8
EPOCHS = 4
BUDGET, LR, BETA = 64, 5e-4, 1.0  # r̂ is not scaled, so that beta is in nats
DENSE: dict[str, dict[str, Any]] = {
    "dense": {},
    "dense, whole path": {"returns": "path"},
    "dense, spread evenly (sequence level)": {"returns": "even"},
    "dense, no baseline (log π_SFT)": {"reference": "none"},
    "dense, reference at 10 %": {"fraction": 0.1},
    "dense, reference at 25 %": {"fraction": 0.25},
    "dense, reference at 75 %": {"fraction": 0.75},
    "dense, reference at 90 %": {"fraction": 0.9},
    "dense, γ = 0.95": {"gamma": 0.95},
    "dense, γ = 0": {"gamma": 0.0},
}
VERIFIER = "verifier (Dr. GRPO)"
VERIFIED: dict[str, dict[str, Any]] = {
    VERIFIER: {"algorithm": "dr_grpo", "scaling": "std"},
    "dense + verifier": {"mix": 0.5},
    "dense, γ = 0, + verifier": {"mix": 0.5, "gamma": 0.0},
}
PROTOCOL: dict[str, Any] = {
    "task": (WORLD, EPOCHS),
    "fractions": FRACTIONS,
    "steps": (STEPS, LONG, EVERY),
    "sizes": (ROWS, PROBLEMS, TEST, PROMPTS, GROUP, BUDGET),
    "rates": (LR, BETA),
    "dense": DENSE,
    "verified": VERIFIED,
}
USUAL = PROTOCOL | {  # the usual world, where RL learns fast: two of the arms
    "task": (DEMO_TASK, EPOCHS),
    "dense": {},
    "verified": {arm: VERIFIED[arm] for arm in (VERIFIER, "dense + verifier")},
}
SHORT = {VERIFIER: "verifier", "dense, γ = 0, + verifier": "γ = 0 + verifier"}  # beside a line of a chart
DECODED = "decoding from π_SFT^(1 + 1/β) / π_ref^(1/β), untrained"
KNOWN = "known"  # the usual world, whose arithmetic the embedded model was made with
PROBED = ("auc", "top", "ranked", "auc_sft", "ranked_sft")
DIAGNOSED = {"dense_right": "correctness", "dense_length": "length"}
MEASURES = ("accuracy", "greedy", "thinking", "entropy", "kl")


def source(seed: int, split: str, n: int, salt: int, task: str = WORLD) -> str:
    return f"{task}&split={split}&n={n}&seed={1000 * (seed + 1) + salt}"


def slug(arm: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in arm)


def tuning_on(task: str, seed: int) -> SFTConfig:
    rows, held = source(seed, "train", ROWS, 1, task), source(seed, "test", TEST, 2, task)
    return SFTConfig(rows=rows, heldout=held, epochs=EPOCHS, save_every=EPOCHS, keep_at=FRACTIONS, seed=seed)


def tuned_on(task: str, seed: int, out: Path) -> str:
    """The last checkpoint of SFT."""
    return str(out / "checkpoints" / sft(tuning_on(task, seed), out).checkpoints[-1].name)


def arms_of(seed: int, out: Path) -> dict[str, str]:
    """Every arm's last checkpoint: none is chosen with the verifier, which dense rewards are to do without."""
    start = tuned_on(WORLD, seed, out / "sft")
    epochs = STEPS / (SFTResult.load(out / "sft").steps / EPOCHS)
    more = tuning_on(WORLD, seed).replace(
        model=start, epochs=epochs, save_every=epochs, keep_at=(), learning_rate=LR, lr_scheduler_type="constant"
    )
    continued = sft(more.replace(seed=seed + 100), out / "continued")
    found = {"SFT": start, "SFT continued": continued.checkpoints[-1].path}
    learning = learning_from(start, seed, WORLD)
    for arm, changes in DENSE.items():
        learned = rl(learning.replace(steps=STEPS, eval_every=STEPS, **changes), out / slug(arm))
        found[arm] = last_of(out / slug(arm), learned)
    for arm, changes in VERIFIED.items():
        learned = rl(learning.replace(**changes), out / slug(arm))
        found[arm] = last_of(out / slug(arm), learned)
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
        learning_rate=LR,
        thinking_budget=BUDGET,
        steps=LONG,
        eval_every=EVERY,
        seed=seed,
    )


def last_of(run: Path, learned: RLResult) -> str:
    """The checkpoint a run of RL ended with, early or not."""
    return str(run / "checkpoints" / f"step-{learned.steps}")


def stopped(out: Path) -> dict[str, str]:
    """Arms that ended early, and why."""
    why = {arm: read_json(out / slug(arm) / "result.json")["stopped"] for arm in (*DENSE, *VERIFIED)}
    return {arm: words for arm, words in why.items() if words}


def scored(lm: LM, table: Path) -> dict[str, float]:
    """Entropy and divergence from SFT at the budget, nats per chosen token: means of −log π and log π/π_SFT."""
    rows = [r for r in read_table(table) if r["setting"] == str(BUDGET)]
    masks = [np.array(r["mask"], dtype=np.uint8) for r in rows]
    examples = [
        replace(supervised(lm.prompt_ids(r["prompt"], think=True), r["tokens"]), mask=m)
        for r, m in zip(rows, masks, strict=True)
    ]
    frozen = frozen_logprobs([lm.model], examples, micro_tokens=16384)[0]
    own = np.concatenate([np.array(r["logprobs"])[m > 0] for r, m in zip(rows, masks, strict=True)])
    sft_own = np.concatenate([f[m > 0] for f, m in zip(frozen, masks, strict=True)])
    return {"entropy": float(-own.mean()), "kl": float((own - sft_own).mean())}


def dense_steps(run: Path) -> list[dict[str, Any]]:
    """The lines of an RL run's log that say how dense rewards were made."""
    return [line for line in read_log(run / "log.jsonl") if "dense_scale" in line]


def seconds_of(out: Path) -> float:
    """Of all runs of a seed, those before an interruption included."""
    return math.fsum(read_json(record)["seconds"] for record in out.glob("*/record.json"))


def diagnosed(out: Path) -> dict[str, dict[str, list[float | None]]]:
    """Correlations of Σr̂ at the first and at the last step of every dense arm; None where nothing varies."""
    steps = {arm: dense_steps(out / slug(arm)) for arm in (*DENSE, *VERIFIED)}
    return {
        arm: {key: [line[key] for line in (lines[0], lines[-1])] for key in DIAGNOSED}
        for arm, lines in steps.items()
        if lines
    }


def kept(done: Path, protocol: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured; kept in a file, so that what is finished is read and not run.

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
    return main | {"usual": usual["curves"], "seconds": seconds_of(out)}


def curve(run: Path) -> list[tuple[int, float]]:
    """Held-out accuracy along a run of RL."""
    return [(e["step"], e["accuracy"]["value"]) for e in read_json(run / "result.json")["evaluations"]]


def usual_world(seed: int, out: Path) -> dict[str, Any]:
    """The verifier alone and with dense credit mixed in, modulo 13."""
    learning = learning_from(tuned_on(DEMO_TASK, seed, out / "sft-known"), seed, DEMO_TASK)
    curves = {}
    for arm, changes in USUAL["verified"].items():
        run = out / f"usual-{slug(arm)}"
        rl(learning.replace(**changes), run)
        curves[arm] = curve(run)
    return {"curves": curves}


def new_world(seed: int, out: Path) -> dict[str, Any]:
    """Every arm modulo 17, and the probe there and modulo 13."""
    models = arms_of(seed, out)
    start = models["SFT"]
    test = source(seed, "test", TEST, 6)
    usual = EvaluateConfig(models=tuple(models.values()), problems=test, thinking_budgets=(BUDGET,), seed=seed)
    away = usual.replace(models=(start,), reference=str(find_reference(start, 0.5)), beta=BETA)
    lm, arms = load(start), dict[str, Any]()
    for config, name in ((usual, "evaluate"), (away, "decoded")):
        drawn = evaluate(config, out / name)
        greedy = evaluate(config.replace(samples=1, temperature=0.0), out / f"{name}-greedy")
        for number, path in enumerate(config.models):
            arm = list(models)[number] if config is usual else DECODED
            row = drawn.budgets[0].scores[path]
            arms[arm] = {
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
        "arms": arms,
        "probe": {
            str(f): {k: getattr(p, k).value for k in PROBED}
            for f, p in (probes | {KNOWN: planted_error(known_pair, known_rows, seed=seed)}).items()
        },
        "curves": {arm: curve(out / slug(arm)) for arm in VERIFIED},
        "diagnosed": diagnosed(out),
        "stopped": stopped(out),
    }


def first(points: Sequence[tuple[int, float]], goal: float) -> int:
    """The first step after the start with this accuracy; one evaluation after the last where there is none."""
    return next((step for step, accuracy in points if step > 0 and accuracy >= goal), LONG + EVERY)


def saved(curves: dict[str, Any], arm: str) -> float | None:
    """Share of the verifier's steps to its last accuracy that an arm does not need; None if SFT has that already.

    Both count to the first evaluation that reaches it, so that an arm that needs more steps has a negative share.
    """
    verifier = curves[VERIFIER]
    goal = verifier[-1][1]
    return None if verifier[0][1] >= goal else 1 - first(curves[arm], goal) / first(verifier, goal)


def known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def chart(curves: Sequence[dict[str, Any]], world: str) -> str:
    """Held-out accuracy along RL of the arms with a verifier: means over seeds, a band of Student's t."""
    series = []
    for number, arm in enumerate(curves[0]):
        found = []
        for at, (step, _) in enumerate(curves[0][arm]):
            f = t_figure([c[arm][at][1] for c in curves])
            found.append(Point(step, f.value, max(f.low, 0.0), min(f.high, 1.0)))
        series.append(Series(SHORT.get(arm, arm), found, tone=number, shape=number, band=True))
    title = f"Held-out accuracy along RL with a verifier, {world}, {len(curves)} seeds"
    return standalone(line_chart(series, title=title, x_label="step", y_label="accuracy", percent=True))


def points(figure: Estimate) -> str:
    return f"{100 * figure.value:+.1f} [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"


def main(seeds: Sequence[int]) -> None:
    results = [measured(seed) for seed in seeds]
    if list(seeds) != list(SEEDS):
        return

    def over_seeds(value: Callable[[dict[str, Any]], float]) -> Estimate:
        return t_figure([value(r) for r in results])

    def gain(arm: str, other: str, key: str = "accuracy") -> Estimate:
        return over_seeds(lambda r: r["arms"][arm][key] - r["arms"][other][key])

    def clear(arm: str, other: str) -> int:
        pairs = [(r["arms"][arm]["per_problem"], r["arms"][other]["per_problem"]) for r in results]
        return sum(paired_figure(a, b, bounds=(0.0, 1.0)).low > 0 for a, b in pairs)

    arms = list(results[0]["arms"])
    worlds = {"modulo 17": [r["curves"] for r in results], "modulo 13": [r["usual"] for r in results]}
    at_goal = {
        world: [str(seed) for seed, c in zip(seeds, curves, strict=True) if saved(c, VERIFIER) is None]
        for world, curves in worlds.items()
    }
    claims = [
        Claim.of("dense minus SFT accuracy, no verifier", gain("dense", "SFT"), ">= 0.03"),
        Claim.of("dense minus continued SFT accuracy, equal steps", gain("dense", "SFT continued"), ">= 0.03"),
        Claim.of("dense minus continued SFT, greedy", gain("dense", "SFT continued", "greedy"), ">= 0.03"),
        Claim.of("dense with γ = 0 minus SFT accuracy, no verifier", gain("dense, γ = 0", "SFT"), ">= 0.03"),
        Claim.of(
            "dense with γ = 0 minus continued SFT accuracy", gain("dense, γ = 0", "SFT continued"), ">= 0.03"
        ),
        Claim.of("decoding away from the reference, untrained, minus SFT accuracy", gain(DECODED, "SFT"), ">= 0.03"),
        *(
            Claim.of(
                f"{world}: steps that {arm} saves to the verifier's last accuracy, share", t_figure(shares), ">= 0.25"
            )
            for world, curves in worlds.items()
            for arm in curves[0]
            if arm != VERIFIER and (shares := known(saved(c, arm) for c in curves))
        ),
        Claim.of("planted error: AUC of the least-credited token", over_seeds(lambda r: r["probe"]["0.5"]["auc"]),
                 ">= 0.8"),
        Claim.of("planted error: AUC of log π_SFT alone, without a reference",
                 over_seeds(lambda r: r["probe"]["0.5"]["auc_sft"]), ">= 0.8"),
        Claim.of("planted error: right above wrong by the sum of credit",
                 over_seeds(lambda r: r["probe"]["0.5"]["ranked"]), ">= 0.8"),
    ]  # fmt: skip
    lines = [
        "| arm | accuracy | greedy | thinking tokens | entropy | KL to SFT | − SFT (points) | − continued SFT | "
        "seeds clear of continued SFT |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        accuracy, greedy, thinking, entropy, kl = (
            over_seeds(lambda r, k=k, arm=arm: r["arms"][arm][k]).value for k in MEASURES
        )
        against = " | ".join("" if arm == other else points(gain(arm, other)) for other in ("SFT", "SFT continued"))
        lines.append(
            f"| {arm} | {accuracy:.1%} | {greedy:.1%} | {thinking:.1f} | {entropy:.3f} | {kl:.3f} | {against} | "
            f"{clear(arm, 'SFT continued')} of {len(results)} |"
        )
    probed = {
        str(f): {k: over_seeds(lambda r, k=k, f=f: r["probe"][str(f)][k]) for k in PROBED} for f in (*FRACTIONS, KNOWN)
    }
    half, usual = probed["0.5"], probed.pop(KNOWN)
    found = [
        "| reference at | AUC | least of all | right above wrong |",
        "|---|---|---|---|",
        *(f"| {float(f):.0%} | {p['auc']} | {p['top']} | {p['ranked']} |" for f, p in probed.items()),
        f"| none: log π_SFT | {half['auc_sft']} | | {half['ranked_sft']} |",
        f"| 50 %, modulo 13 | {usual['auc']} | {usual['top']} | {usual['ranked']} |",
    ]
    early = [
        f"seed {s}, {arm}: {why}" for s, r in zip(seeds, results, strict=True) for arm, why in r["stopped"].items()
    ]
    diagnoses = [
        "| arm | " + " | ".join(f"{word}, {at} step" for word in DIAGNOSED.values() for at in ("first", "last")) + " |",
        "|---" * (1 + 2 * len(DIAGNOSED)) + "|",
    ]
    for arm in results[0]["diagnosed"]:
        columns = [known(r["diagnosed"][arm][key][at] for r in results) for key in DIAGNOSED for at in (0, 1)]
        diagnoses.append(f"| {arm} | " + " | ".join(str(t_figure(c)) if c else "" for c in columns) + " |")

    def goes(arm: str) -> Estimate:
        """Correlation of Σr̂ with correctness at an arm's first step."""
        return t_figure(known(r["diagnosed"][arm]["dense_right"][0] for r in results))

    def ends(arm: str, at: int) -> Estimate:
        """Held-out accuracy of an arm modulo 13, at its first or last evaluation."""
        return over_seeds(lambda r: r["usual"][arm][at][1])

    alone = {arm: gain(arm, "SFT continued") for arm in DENSE}
    best = max(alone, key=lambda arm: alone[arm].value)
    words = f"""# Dense rewards from demonstrations, with controls

Credit r̂ = log π_SFT − log π_ref of every token, from two checkpoints of one SFT run (Li et al., arXiv 2510.02493), on
the embedded model and DAG maths modulo 17, seeds 0 to 4. The model was made with arithmetic modulo 13, so that SFT has
arithmetic to teach. SFT: 2,000 rows, {EPOCHS} epochs. Arms without a verifier: {STEPS} steps of 16 x 8 rollouts from
the SFT model, learning rate {LR:g}, β = {BETA:g} nat, rewards not scaled; continued SFT: as many optimiser steps on the
same rows at the same rate. Arms with a verifier: {LONG} steps. The last checkpoint is measured, never a chosen one: 200
test problems, 4 samples at temperature 1, and greedy. Intervals run over seeds (Student's t); the last column counts
the seeds whose paired interval over problems is above zero. Entropy and KL in nats per chosen token, on each arm's own
samples. The world, the leash and the rate were chosen on seed 100, which is not among these.

In short, accuracy in points: of {len(DENSE)} forms without a verifier the best, "{best}", is {points(alone[best])}
from SFT continued for as many steps, the default form {points(alone["dense"])}. Mixed in with a verifier where RL
learns fast, it ends {points(over_seeds(lambda r: r["usual"]["dense + verifier"][-1][1] - r["usual"][VERIFIER][-1][1]))}
from the verifier alone. It finds a planted error with an AUC of {half["auc"].value:.2f}; so does log π_SFT with
{half["auc_sft"].value:.2f}.

Steps saved count evaluations every {EVERY} steps, to the first one at the verifier's last accuracy, of the verifier as
of the arm; an arm that never gets there counts {LONG + EVERY} steps. Seeds left out as SFT has that accuracy already:
{"; ".join(f"{world} {', '.join(left) or 'none'}" for world, left in at_goal.items())}. The verifier, alone and with
dense credit mixed in, was also run modulo 13, where RL learns fast, otherwise the same. Arms that ended before their
last step, modulo 17: {"; ".join(early) or "none"}.

{chr(10).join(lines)}

![Held-out accuracy along RL with a verifier, modulo 17](figure.svg)

![The same modulo 13](usual.svg)

## Where the credit falls

One number of a held-out right solution is changed. AUC: how often another token of the copy has more credit than the
changed one; least of all: how often none has less; right above wrong: how often the right solution has more credit in
sum than its copy. The last line is the same SFT modulo 13, where it has no arithmetic to teach.

{chr(10).join(found)}

[Four copies, coloured](credit.html).

## What the sum of credit goes with

Correlation over a step's rollouts of Σr̂ with correctness and with length; intervals over the seeds where both vary.

{chr(10).join(diagnoses)}

## What it shows, and what not

On a solution with one number changed, credit from a reference at half of the samples has an AUC of {half["auc"]};
log π_SFT alone, without a reference, has {half["auc_sft"]}. What a model writes itself is another matter: at the first
step of RL, over its own samples, Σr̂ goes with correctness at {goes("dense")}, log π_SFT at
{goes("dense, no baseline (log π_SFT)")}. The reward is what the second half of SFT would add again, whether it is
right or not. Accuracy less that of SFT: dense {points(gain("dense", "SFT"))} points, γ = 0
{points(gain("dense, γ = 0", "SFT"))}, both with the verifier mixed in {points(gain("dense + verifier", "SFT"))} and
{points(gain("dense, γ = 0, + verifier", "SFT"))}.

The verifier alone adds {points(gain(VERIFIER, "SFT"))} points in {LONG} steps: modulo 17, at this rate, RL learns
slowly from a start of {over_seeds(lambda r: r["arms"]["SFT"]["accuracy"]).value:.0%}, so that the steps saved there say
little. Modulo 13 it goes from {ends(VERIFIER, 0)} to {ends(VERIFIER, -1)}, with dense credit mixed in to
{ends("dense + verifier", -1)}; but there SFT has no arithmetic to teach, and credit finds planted errors at
{usual["auc"]} only. One symbolic world, one model of a million parameters, one setting of learning rate and leash:
nothing is said of larger models or instruction following, where the paper's own gains are.
"""
    for name, (world, curves) in zip(("figure", "usual"), worlds.items(), strict=True):
        write_text(HERE / f"{name}.svg", chart(curves, world))
    seconds = math.fsum(r["seconds"] for r in results)
    write_claims(HERE, command="python evidence/dense/run.py", seconds=seconds, claims=claims, words=words)
    write_json(HERE / "seeds.json", results)


if __name__ == "__main__":
    try:
        main([int(word) for word in sys.argv[1:]] or list(SEEDS))
    except UserError as error:
        sys.exit(f"dense: {error}")
