"""Behaviour injection at 6 operations, with longer SFT and RL, four seeds: `python evidence/inject-six/run.py`.

Resumable: what a killed run left undone is done when the command is given again; ``--page`` only writes the page again.
Two processes work at a time.  Between seeds everything differs: the rows, where behaviours go, the RL problems, the
test problems, the order of rows and all samples.  Within a seed all arms share questions and problems.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from rlready.core.config import EvaluateConfig, InjectConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.core.stats import t_estimate
from rlready.evaluate.stage import evaluate
from rlready.inject.stage import inject
from rlready.readiness.stage import readiness
from rlready.report.claims import Claim, filled, write_claims
from rlready.report.plots import Point, Series, line_chart, standalone
from rlready.runs.files import read_table, write_json, write_text
from rlready.runs.log import read_log
from rlready.tasks import open_task
from rlready.train.rl import rl
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/inject-six")
STORED = "runs.json"
TASK = "dagmath?asked=2&max_terms=3&working=short"
SEEDS = range(4)
OPS, TRAINED = (6, 7, 8), 6  # operations of the test problems, and of all others
ROWS, EPOCHS, BATCH_TOKENS, SFT_RATE = 3000, 6, 2048, 3e-3
STEPS, EVERY, PROMPTS, GROUP, RL_RATE, BUDGET = 160, 32, 16, 16, 3e-4, 160
TEST, SAMPLES = 200, 16
VANILLA, ALL, MATCHED = "vanilla", "all behaviours", "vanilla, matched"
ARMS: dict[str, dict[str, Any]] = {
    VANILLA: {"method": "vanilla"},
    ALL: {"behaviours": ("explore", "analyse", "compute")},
    "computation only": {"behaviours": ("compute",)},
    "exploration only": {"behaviours": ("explore",)},
}
NAMES = (*ARMS, MATCHED)
OUTCOMES = ("sampled", "greedy", "every step right")


class Scored(Record):
    """One model on the test problems of one number of operations; lists are per problem, of ``SAMPLES`` or of one."""

    right: list[int]
    right_in_every_step: list[int]
    greedy: list[int]
    tokens: float
    truncated: float

    def outcome(self, name: str) -> float:
        if name == "greedy":
            return float(np.mean(self.greedy))
        return float(np.mean(self.right if name == "sampled" else self.right_in_every_step)) / SAMPLES


class Trained(Record):
    """One arm of one seed; ``before`` and ``after`` RL by operations, ``losses`` of the arm's own held-out rows."""

    arm: str
    seed: int
    sft_step: int
    losses: list[float]
    longer: float = Field(description="tokens of a row, vanilla's = 1")
    rewards: list[float] = Field(description=f"means over {EVERY} steps of RL")
    entropy: tuple[float, float] = Field(description="in the first and the last of these, nats per token")
    before: dict[int, Scored]
    after: dict[int, Scored]
    cpu_seconds: float


class Stored(Record):
    runs: list[Trained]


def source(ops: int, split: str, n: int, seed: int, number: int) -> str:
    return f"{TASK}&ops={ops}&split={split}&n={n}&seed={1000 * (seed + 1) + number}"


def folder(arm: str, seed: int) -> Path:
    return RUNS / f"seed-{seed}" / re.sub(r"\W+", "-", arm)


def tuned(arm: str, seed: int) -> tuple[list[str], list[float], float]:
    """The checkpoints after each epoch, their losses on the arm's own held-out rows, and how long its rows are."""
    out, files = folder(arm, seed), {}
    plain = {
        "train": source(TRAINED, "train", ROWS, seed, 1),
        "test": source(TRAINED, "test", TEST, seed, 2),
    }
    for split, rows in plain.items():
        made = inject(InjectConfig(rows=rows, seed=seed, **ARMS[arm]), out / f"inject-{split}")
        files[split] = str(out / f"inject-{split}" / made.rows)
    longer = tokens(files["train"]) / tokens(plain["train"])
    config = SFTConfig(
        model="embedded",
        rows=files["train"],
        heldout=files["test"],
        epochs=EPOCHS,
        save_every=1,
        learning_rate=SFT_RATE,
        tokens_per_batch=round(BATCH_TOKENS * longer),  # as many rows a step in every arm
        seed=seed,
    )
    found = sft(config, out / "sft").checkpoints
    return [c.path for c in found], [c.heldout_loss.value for c in found if c.heldout_loss], longer


def tokens(rows: str) -> float:
    """Mean tokens of a row, prompt and all: in symbols, words."""
    return float(np.mean([len(f"{r.prompt} {r.thinking} {r.response}".split()) for r in open_task(rows).rows()]))


def matched(seed: int) -> str:
    """Vanilla's earliest checkpoint with a loss on vanilla's held-out rows not above that of all behaviours there."""
    vanilla, best = tuned(VANILLA, seed)[0], tuned(ALL, seed)[0][-1]
    config = ReadinessConfig(
        checkpoints=(*vanilla, best),
        heldout=source(TRAINED, "test", TEST, seed, 2),
        problems=source(TRAINED, "test", 2, seed, 3),
        samples=2,
        group_size=2,
        thinking_budget=BUDGET,
        seed=seed,
    )
    losses = {row.name: row.heldout_loss.value for row in readiness(config, folder(MATCHED, seed) / "loss").checkpoints}
    return next(path for path in vanilla if path == vanilla[-1] or losses[path] <= losses[best])


def trained(job: tuple[str, int]) -> Trained:
    """One arm of one seed, stage by stage; finished stages are only read."""
    arm, seed = job
    out = folder(arm, seed)
    file = out / "measured.json"
    if file.exists():
        return Trained.from_file(file)
    begun = time.process_time()
    paths, losses, longer = tuned(VANILLA if arm == MATCHED else arm, seed)
    start = matched(seed) if arm == MATCHED else paths[-1]
    learned = rl(
        RLConfig(
            model=start,
            problems=source(TRAINED, "train", 4000, seed, 4),
            validation=source(TRAINED, "test", 16, seed, 5),
            steps=STEPS,
            prompts_per_step=PROMPTS,
            group_size=GROUP,
            learning_rate=RL_RATE,
            thinking_budget=BUDGET,
            eval_every=STEPS,
            eval_samples=1,
            seed=seed,
        ),
        out / "rl",
    )
    end = str(out / "rl" / "checkpoints" / f"step-{learned.steps}")
    log = [line for line in read_log(out / "rl" / "log.jsonl") if "reward" in line]
    parts = [log[at : at + EVERY] for at in range(0, len(log), EVERY)]
    found = Trained(
        arm=arm,
        seed=seed,
        sft_step=int(start.rpartition("-")[2]),
        losses=losses,
        longer=longer,
        rewards=[float(np.mean([line["reward"] for line in part])) for part in parts],
        entropy=tuple(float(np.mean([line["entropy"] for line in part])) for part in (parts[0], parts[-1])),
        before={ops: scored(start, ops, seed, out / f"before-{ops}") for ops in OPS},
        after={ops: scored(end, ops, seed, out / f"after-{ops}") for ops in OPS},
        cpu_seconds=time.process_time() - begun,
    )
    write_json(file, found)
    return found


def scored(model: str, ops: int, seed: int, out: Path) -> Scored:
    shared: dict[str, Any] = {
        "models": (model,),
        "problems": source(ops, "test", TEST, seed, 6),
        "thinking_budgets": (BUDGET,),
        "max_response_tokens": BUDGET + 16,
        "seed": seed,
    }
    drawn = parts_of(EvaluateConfig(samples=SAMPLES, **shared), Path(f"{out}-sampled"))
    once = parts_of(EvaluateConfig(samples=1, temperature=0.0, **shared), Path(f"{out}-greedy"))
    return Scored(
        right=[sum(row["correct"] for row in rows) for rows in drawn],
        right_in_every_step=[sum(bool(row["strict"]) for row in rows) for rows in drawn],
        greedy=[int(rows[0]["correct"]) for rows in once],
        tokens=float(np.mean([row["thinking_tokens"] for rows in drawn for row in rows])),
        truncated=float(np.mean([row["truncated"] for rows in drawn for row in rows])),
    )


def parts_of(config: EvaluateConfig, out: Path) -> list[list[dict[str, Any]]]:
    """The samples of each problem under the budget."""
    evaluate(config, out)
    (file,) = out.glob("parts/*.parquet")
    rows = [row for row in read_table(file) if row["thinking_budget"] is not None]
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_problem.setdefault(row["problem_id"], []).append(row)
    return list(by_problem.values())


def main() -> None:
    jobs = [(arm, seed) for seed in SEEDS for arm in ARMS]
    later = [(MATCHED, seed) for seed in SEEDS]  # these need what the others have trained
    done = list[Trained]()
    print(f"inject-six: {len(jobs) + len(later)} runs of about five CPU minutes", file=sys.stderr)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for some in (jobs, later):
            for found in pool.map(trained, some):
                done.append(found)
                print(f"inject-six: {len(done)} of {len(jobs) + len(later)} runs done", file=sys.stderr)
    stored = Stored(runs=done)
    write_json(HERE / STORED, stored)
    report(stored, sum(run.cpu_seconds for run in done))


def of_arm(stored: Stored, arm: str) -> list[Trained]:
    return sorted((run for run in stored.runs if run.arm == arm), key=lambda run: run.seed)


def minus(stored: Stored, arm: str, other: str, measure: Callable[[Trained], float]) -> Estimate:
    """The difference of two arms in points, mean over seeds, paired within them."""
    pairs = zip(of_arm(stored, arm), of_arm(stored, other), strict=True)
    return t_estimate([100 * (measure(a) - measure(b)) for a, b in pairs])


def end(ops: int, outcome: str) -> Callable[[Trained], float]:
    return lambda run: run.after[ops].outcome(outcome)


def start_of(outcome: str) -> Callable[[Trained], float]:
    return lambda run: run.before[TRAINED].outcome(outcome)


def gain(ops: int, outcome: str) -> Callable[[Trained], float]:
    return lambda run: run.after[ops].outcome(outcome) - run.before[ops].outcome(outcome)


def report(stored: Stored, seconds: float | None) -> None:
    """The page with its claims and figure; before all runs are done, the protocol alone."""
    if not stored.runs:
        return write_text(HERE / "README.md", filled(f"{protocol()}\n\nNo reported run has been made yet.\n") + "\n")
    write_text(HERE / "ends.svg", figure(stored))
    command = "python evidence/inject-six/run.py"
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims_of(stored), words=page(stored))


def claims_of(stored: Stored) -> list[Claim]:
    claims = []
    for ops in OPS:
        for outcome in OUTCOMES:
            first = "primary: " if (ops, outcome) == (TRAINED, "sampled") else ""
            said = f"{first}{outcome} accuracy after RL at {ops} operations, {ALL} minus {VANILLA}, points"
            claims.append(Claim.of(said, minus(stored, ALL, VANILLA, end(ops, outcome)), "> 0"))
    for other in (VANILLA, MATCHED):
        said = f"RL gain at {TRAINED} operations, sampled, {ALL} minus {other}, points"
        claims.append(Claim.of(said, minus(stored, ALL, other, gain(TRAINED, "sampled")), "> 0"))
    said = f"accuracy after RL at {TRAINED} operations, sampled, {ALL} minus {MATCHED}, points"
    claims.append(Claim.of(said, minus(stored, ALL, MATCHED, end(TRAINED, "sampled")), "> 0"))
    said = f"reward of the last {EVERY} steps of RL minus that of {EVERY} before, the mean of all arms"
    claims.append(Claim.of(said, late_over_seeds(stored), "<= 0.02"))
    flat = [run.losses[-2] - run.losses[-1] for run in stored.runs if run.arm != MATCHED]
    said = "held-out loss after the last epoch of SFT below that of the epoch before, nats; the largest"
    return [*claims, Claim.exact(said, max(flat), "runs", "<= 0.02", n=len(flat))]


def protocol() -> str:
    return f"""# Behaviour injection at 6 operations

The [first experiment](../inject/README.md) had problems of 4 operations, which the embedded model knows from its
pretraining, and 28 steps of RL; its arms ended within ten points. Its world was chosen in a pilot because
injection showed an effect there.

## Protocol

It was fixed before any of the reported runs was made.

- **World**: `{TASK}` with {TRAINED} operations, more than the embedded model (about a million parameters) has met; its
  vanilla rows go from the values to the result at once, as in the paper (arXiv 2505.18917). Test problems have
  {TRAINED}, 7 and 8 operations, {TEST} of each; no template of a test problem is in a training set.
- **Arms**: vanilla rows; all behaviours (exploration, analysis and sub-goal computation, p = .1); computation only;
  exploration only. {ROWS:,} rows, {EPOCHS} epochs, learning rate {SFT_RATE:g}, as many rows a step in every arm.
- **Matched loss**: vanilla again, from its earliest checkpoint (of one an epoch) whose loss on vanilla's held-out rows
  is not above that of the model of all behaviours on the same rows.
- **RL**: Dr. GRPO, {STEPS} steps of {PROMPTS} problems with {GROUP} samples each, learning rate {RL_RATE:g}, a thinking
  budget of {BUDGET} tokens. The last checkpoint is evaluated.
- **Outcomes**, ends first and gains second: accuracy of {SAMPLES} samples at temperature 1 (*sampled*), of the greedy
  response, and of samples that are right in every step.
- **Primary test**: where RL ends, sampled, at {TRAINED} operations: all behaviours minus vanilla, above 0 with the
  interval over {len(SEEDS)} seeds (Student's t). All else is secondary and not corrected.

**Pilots**, all of one seed (9) that is not reported. After SFT at 1e-3 vanilla rows have 14.7 % and all behaviours
9.6 % at 6 operations, at 3e-3 16.6 % and 12.1 %; held-out loss hardly falls in the last epoch. RL at 5e-4 lowered the
reward of all behaviours from 8 to 1 % within 30 steps and raised that of vanilla not at all in 150; at 1e-4 and 2e-4
it rose by one to three points in 60 steps. At 3e-4 from the models of 3e-3 the mean reward of 15 steps rose from 10.1
to 14.8 % for vanilla and from 11.3 to 17.6 % for all behaviours in 150 steps, which chose these settings; it favours
what the primary test asks for."""


def page(stored: Stored) -> str:
    seconds = sum(run.cpu_seconds for run in stored.runs)
    tables = "\n\n".join(f"## {ops} operations\n\n{table(stored, ops)}" for ops in OPS)
    return f"""{protocol()}

The {len(stored.runs)} runs took {seconds / 3600:.1f} CPU hours.

{in_short(stored)}

{tables}

## SFT and RL

{course(stored)}

![Accuracy after RL](ends.svg)

## What it does not show

How injection helps where RL learns much: here RL gains few points in any arm ({gains(stored)} sampled at {TRAINED}
operations, not all of them significantly above 0). In the last {EVERY} steps the mean reward falls in every arm, and
that of vanilla rows ends below its start, by no more than chance over seeds: the last checkpoint, which is compared, is
not the best one. The claim on that plateau is over seeds since a review, as the runs of a seed are not independent.
An attempt
that names what is missing counts as a right step, so that *every step right* is not against these rows as such, but
they have more steps. One model of a million
parameters, one symbolic world, one recipe of RL, {len(SEEDS)} seeds.
"""


def late_over_seeds(stored: Stored) -> Estimate:
    """The reward of the last steps minus that of those before, the mean of all arms in each seed."""
    late = [[run.rewards[-1] - run.rewards[-2] for run in stored.runs if run.seed == seed] for seed in SEEDS]
    return t_estimate([sum(each) / len(each) for each in late])


def in_short(stored: Stored) -> str:
    """Ends first, then gains, each sentence with its numbers; differences are in points."""

    def where(arm: str, outcome: str) -> str:
        return share(of_arm(stored, arm), end(TRAINED, outcome))

    def said(arm: str, other: str, measure: Callable[[Trained], float]) -> str:
        return signed(minus(stored, arm, other, measure))

    ends = [
        f"- {outcome}: {where(ALL, outcome)} after rows with all behaviours, {where(VANILLA, outcome)} after vanilla "
        f"rows, a difference of {said(ALL, VANILLA, end(TRAINED, outcome))}"
        for outcome in OUTCOMES
    ]
    ends[-1] += (
        f"; before RL it was {share(of_arm(stored, ALL), start_of(OUTCOMES[-1]))} and "
        f"{share(of_arm(stored, VANILLA), start_of(OUTCOMES[-1]))}, so that SFT made this difference, and not RL"
    )
    further = ", ".join(f"{said(ALL, VANILLA, end(ops, 'sampled'))} at {ops}" for ops in OPS[1:])
    parts = [f"{said(arm, VANILLA, end(TRAINED, 'sampled'))} for {arm}" for arm in NAMES[2:]]
    start, of_matched = (
        minus(stored, ALL, other, lambda run: run.before[TRAINED].outcome("sampled")) for other in (VANILLA, MATCHED)
    )
    return f"""## In short

Where RL ends at {TRAINED} operations, in points with intervals over {len(SEEDS)} seeds:

{chr(10).join(ends)}

Sampled, the difference is {further} operations. Against vanilla rows it is {", ".join(parts)}; between all behaviours
and vanilla rows of matched loss {said(ALL, MATCHED, end(TRAINED, "sampled"))}, a lead that was {signed(of_matched)}
before RL: a larger gain was not found there either ({said(ALL, MATCHED, gain(TRAINED, "sampled"))}). In all seeds the
matched checkpoint is that after the first epoch, the earliest there is, so that its loss may be well below the other's;
by how much was not kept. RL starts from all behaviours with
{signed(start)} against vanilla rows, and gains {said(ALL, VANILLA, gain(TRAINED, "sampled"))} more."""


def gains(stored: Stored) -> str:
    """The range of the mean gains of all arms, in points."""
    means = [100 * np.mean([gain(TRAINED, "sampled")(run) for run in of_arm(stored, arm)]) for arm in NAMES]
    return f"{min(means):.1f} to {max(means):.1f}"


def table(stored: Stored, ops: int) -> str:
    lines = [
        "| rows | after RL: sampled | − vanilla's | greedy | − vanilla's | every step right | − vanilla's "
        "| before RL: sampled, greedy, every step right | gain, sampled | − vanilla's |",
        "|---" * 10 + "|",
    ]
    for arm in NAMES:
        runs = of_arm(stored, arm)
        cells = []
        for outcome in OUTCOMES:
            cells += [share(runs, end(ops, outcome)), compared(stored, arm, end(ops, outcome))]
        before = ", ".join(f"{np.mean([run.before[ops].outcome(o) for run in runs]):.1%}" for o in OUTCOMES)
        more = signed(t_estimate([100 * gain(ops, "sampled")(run) for run in runs]))
        lines.append(
            f"| {arm} | {' | '.join(cells)} | {before} | {more} | {compared(stored, arm, gain(ops, 'sampled'))} |"
        )
    return "\n".join(lines)


def share(runs: Sequence[Trained], measure: Callable[[Trained], float]) -> str:
    return f"{np.mean([measure(run) for run in runs]):.1%}"


def compared(stored: Stored, arm: str, measure: Callable[[Trained], float]) -> str:
    if arm == VANILLA:
        return ""
    return signed(minus(stored, arm, VANILLA, measure))


def signed(figure: Estimate) -> str:
    return f"{figure.value:+.1f} [{figure.low:+.1f}, {figure.high:+.1f}]"


def course(stored: Stored) -> str:
    """How long rows are, where SFT and RL were, and what became of length and entropy."""
    lines = [
        "| rows | tokens of a row, vanilla = 1 | SFT step | held-out loss by epoch | "
        f"reward by {EVERY} steps of RL | entropy | thinking tokens | truncated |",
        "|---" * 8 + "|",
    ]
    for arm in NAMES:
        runs = of_arm(stored, arm)
        kept = 1 if arm == MATCHED else EPOCHS  # its checkpoint is that of the first epoch
        losses = " ".join(f"{np.mean(each):.3f}" for each in zip(*(run.losses[:kept] for run in runs), strict=True))
        rewards = " ".join(f"{100 * np.mean(each):.1f}" for each in zip(*(run.rewards for run in runs), strict=True))
        entropy = " → ".join(f"{np.mean([run.entropy[at] for run in runs]):.2f}" for at in (0, 1))
        long, cut = (
            " → ".join(f"{np.mean([getattr(when[TRAINED], key) for when in times]):{form}}" for times in both(runs))
            for key, form in (("tokens", ".0f"), ("truncated", ".1%"))
        )
        steps = ", ".join(f"{run.sft_step}" for run in runs)
        lines.append(
            f"| {arm} | {np.mean([run.longer for run in runs]):.2f} | {steps} | {losses} | {rewards} % | {entropy} "
            f"| {long} | {cut} |"
        )
    return "\n".join(lines)


def both(runs: Sequence[Trained]) -> list[list[dict[int, Scored]]]:
    return [[run.before for run in runs], [run.after for run in runs]]


def figure(stored: Stored) -> str:
    """Accuracy after RL by operations, an arm a line, with its interval over seeds."""
    series = []
    for tone, arm in enumerate(NAMES):
        points = []
        for ops in OPS:
            found = t_estimate([end(ops, "sampled")(run) for run in of_arm(stored, arm)])
            points.append(Point(ops, found.value, found.low, found.high))
        series.append(Series(arm, points, tone=tone, shape=tone))
    title = "Accuracy after RL, sampled"
    return standalone(line_chart(series, title=title, x_label="operations", y_label="accuracy", percent=True))


if __name__ == "__main__":
    file = HERE / STORED
    if sys.argv[1:] == ["--page"]:
        report(Stored.from_file(file) if file.exists() else Stored(runs=[]), None)
    else:
        main()
