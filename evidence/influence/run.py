"""Does a step do to other problems what the influence foretells?  Five seeds: `python evidence/influence/run.py`.

Resumable by seed.  What varies between seeds is everything: the SFT rows, the problems, the rollouts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlready.config import SFTConfig
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.lm import LM, load
from rlready.logprob import frozen_logprobs, token_logprobs
from rlready.progress import Plan
from rlready.readiness.gram import parameters_of
from rlready.readiness.influence import Rollouts, influence
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import Point, Series, line_chart, standalone
from rlready.rollout import draw_groups
from rlready.stats import t_figure
from rlready.store import read_json, write_json, write_text
from rlready.tasks import open_task
from rlready.train.sft import sft

HERE = Path(__file__).parent
RUNS = Path("runs/influence")
SEEDS = range(5)

TASK = "dagmath?asked=2&max_terms=3&ops=5"
ROWS, PROBLEMS, GROUP, BUDGET = 800, 48, 16, 96
LENGTHS = (1e-4, 1e-3, 1e-2)  # of a step, as a share of the norm of all weights; AdamW's in RL is about the last
SECONDS = 90.0  # a seed on two cores; only used to say how much time is left

Floats = NDArray[np.float64]


def main() -> None:
    plan = Plan([(f"seed {seed}", SECONDS) for seed in SEEDS])
    found = []
    for seed in SEEDS:
        with plan.stage(f"seed {seed}"):
            found.append(run(seed, RUNS / f"seed-{seed}"))
    report(found)


def source(split: str, n: int, seed: int) -> str:
    return f"{TASK}&split={split}&n={n}&seed={seed}"


def run(seed: int, out: Path) -> dict[str, Any]:
    """Predicted and measured changes (problems,) for every length of step."""
    file = out / "steps.json"
    if file.exists():
        return dict(read_json(file))
    begun, salt = time.monotonic(), 1000 * (seed + 1)
    tuned = sft(
        SFTConfig(
            rows=source("train", ROWS, salt), heldout=source("test", 16, salt + 1), epochs=1, save_every=1, seed=seed
        ),
        out / "sft",
    )
    lm = load(tuned["checkpoints"][-1]["path"])
    groups = rollouts(lm, source("test", PROBLEMS, salt + 2), seed)
    parameters = parameters_of(lm.model)
    foretold = influence(lm.model, groups, parameters)
    live = [groups[i] for i in foretold.place]
    start = [p.detach().clone() for p in parameters]
    size = float(torch.stack([p.double().norm() for p in start]).norm())
    before = objective(lm, live)
    result: dict[str, Any] = {"problems": len(groups), "mixed": len(live), "lengths": {}}
    norms = np.sqrt(np.diagonal(foretold.products[0]))
    for length in LENGTHS:
        rates, measured = length * size / norms, []
        for q, (group, rate) in enumerate(zip(live, rates, strict=True)):
            for p, gradient in zip(parameters, direction(lm, group, parameters), strict=True):
                p.data.add_(gradient, alpha=float(rate))
            change = objective(lm, live) - before
            measured.append(float(np.delete(change, q).sum()) / (len(groups) - 1))
            for p, old in zip(parameters, start, strict=True):
                p.data.copy_(old)
        predicted = rates * foretold.step[foretold.place]
        result["lengths"][f"{length:g}"] = {"predicted": predicted.tolist(), "measured": measured}
    result["seconds"] = time.monotonic() - begun
    write_json(file, result)
    return result


def rollouts(lm: LM, problems: str, seed: int) -> list[Rollouts]:
    task = open_task(problems)
    asked = task.problems()
    engine = TorchEngine(lm, forcing_for(lm))
    requests = requests_for(lm, asked, GROUP, Budget(BUDGET, 16))
    return [
        Rollouts.of(g.prompt_ids, [(s.tokens.tolist(), s.mask) for s in g.samples], (g.rewards > 0).tolist())
        for g in draw_groups(engine, lm, task, asked, requests, temperature=1.0, seed=seed)
    ]


def direction(lm: LM, group: Rollouts, parameters: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """u of a group: the gradient of its advantage-weighted log-probability."""
    parts = [token_logprobs(lm.model, rows)[0].sum() / len(rows) for rows in (group.those(True), group.those(False))]
    return torch.autograd.grad(group.spread * (parts[0] - parts[1]), parameters)


def objective(lm: LM, groups: Sequence[Rollouts]) -> Floats:
    """(M,) Σ A log π / N over the rollouts of each problem, A their standardised reward."""
    rows = [row for group in groups for row in group.rows]
    logp = np.array([part.sum(dtype=np.float64) for part in frozen_logprobs(lm.model, rows, micro_tokens=16384)])
    values, at = [], 0
    for group in groups:
        share = float(group.correct.mean())
        advantage = (group.correct - share) / np.sqrt(share * (1 - share))
        values.append(advantage @ logp[at : at + len(advantage)] / len(advantage))
        at += len(advantage)
    return np.array(values)


def report(found: Sequence[dict[str, Any]]) -> None:
    claims = []
    for length in (f"{each:g}" for each in LENGTHS):
        pairs = [(np.array(f["lengths"][length][key]) for key in ("predicted", "measured")) for f in found]
        pearson, ranks, slope = [], [], []
        for predicted, measured in pairs:
            pearson.append(float(np.corrcoef(predicted, measured)[0, 1]))
            ranks.append(float(np.corrcoef(predicted.argsort().argsort(), measured.argsort().argsort())[0, 1]))
            slope.append(float(predicted @ measured / (predicted @ predicted)))
        for said, values, target in (
            ("correlation of the predicted and the measured change", pearson, ">= 0.5"),
            ("the same of ranks", ranks, ">= 0.5"),
            ("measured over predicted change, slope through 0", slope, ">= 0.5"),
        ):
            claims.append(Claim.of(f"{said}, a step of {length} of the weights' norm", t_figure(values), target))
        series = [
            Series(
                f"seed {seed}",
                [Point(1e3 * p, 1e3 * m) for p, m in zip(*f["lengths"][length].values(), strict=True)],
                tone=seed,
                shape=seed,
                joined=False,
            )
            for seed, f in enumerate(found)
        ]
        chart = line_chart(
            series,
            title=f"What a step on one problem does for the others: a step of {length} of the weights' norm",
            x_label="predicted ΔJ (10⁻³ nats)",
            y_label="measured (10⁻³ nats)",
        )
        write_text(HERE / f"step-{length}.svg", standalone(chart))
    write_claims(
        HERE,
        command="python evidence/influence/run.py",
        seconds=sum(f["seconds"] for f in found),
        claims=claims,
        words=page(found),
    )
    write_json(HERE / "seeds.json", found)


def page(found: Sequence[dict[str, Any]]) -> str:
    mixed = ", ".join(str(f["mixed"]) for f in found)
    charts = "\n".join(f"![step {length:g}](step-{length:g}.svg)" for length in LENGTHS)
    return f"""# Does a step do to other problems what the influence foretells?

After SFT on {ROWS} worked rows of `{TASK}`, {PROBLEMS} problems are drawn {GROUP} times each; {mixed} of them have
right and wrong samples in the {len(SEEDS)} seeds. The influence of each on the others, ΔJ, is predicted from gradients
alone. Then a plain gradient step is taken on each of them in turn, and what it changes in the others' reward-weighted
log-probability is measured on the same samples. A point is a problem stepped on; ΔJ is the mean over all other
problems. Three lengths of step: the first is where a first-order prediction must hold, the last is about that of one
AdamW step of RL, where it need not. Intervals are over seeds (Student's t).

{charts}

## What it shows, and what not

How far the linear prediction reaches. The measured change is that of a fixed set of samples, as the influence is
defined; that reward follows log-probability is not measured here, and neither is a whole RL run.
"""


if __name__ == "__main__":
    main()
