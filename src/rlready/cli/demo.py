"""The whole road on the embedded model: SFT, readiness of its checkpoints, RL from the one readiness prefers, and
base, SFT and RL compared at five thinking budgets.  Every stage is the verb a user would call, in a folder of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlready.core.config import DemoConfig, EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.progress import Plan
from rlready.core.records import Estimate
from rlready.core.stats import paired_figure
from rlready.evaluate.stage import evaluate
from rlready.readiness.stage import readiness
from rlready.runs.run import Run, append_line, read_log
from rlready.tasks import open_task
from rlready.train.rl import rl
from rlready.train.sft import sft

BUDGETS = (16, 28, 40, 52, 64)
DETOURS = "&detours=0.5"  # worked rows also solve some of what nobody asked for: something to unlearn
# seconds each stage took on two cores; only used to say how much time is left
STAGES = (("sft", 60.0), ("readiness", 40.0), ("rl", 170.0), ("evaluate", 30.0), ("greedy", 6.0))


@dataclass(frozen=True)
class Sizes:
    """How much of everything; what fits six minutes on two cores."""

    rows: int = 2000
    heldout: int = 200
    epochs: float = 2.0
    lr: float = 1e-3
    ready_problems: int = 48
    ready_samples: int = 32
    rl_steps: int = 48
    rl_heldout: int = 64
    eval_every: int = 12
    prompts: int = 16
    group: int = 16
    test: int = 200
    test_samples: int = 4


FULL = Sizes()


def demo(config: DemoConfig, out: Path, sizes: Sizes = FULL) -> dict[str, Any]:
    """Run everything, or what a killed run left undone; returns every figure of the report."""
    with Run(out, "demo", config) as run:
        if run.finished:
            return run.result
        begun = time.monotonic()
        plan, seconds = Plan(STAGES), dict[str, float]()
        seed, task = config.seed, config.task
        joint = "&" if "?" in task else "?"

        def source(split: str, n: int, salt: int) -> str:
            return f"{task}{joint}split={split}&n={n}&seed={1000 * (seed + 1) + salt}"

        def stage(name: str, verb: Any, settings: Any) -> dict[str, Any]:
            started = time.monotonic()
            with plan.stage(name):
                result: dict[str, Any] = verb(settings, out / name)
            seconds[name] = time.monotonic() - started
            return result

        tuned = stage(
            "sft",
            sft,
            SFTConfig(
                rows=source("train", sizes.rows, 1) + DETOURS,
                heldout=source("test", sizes.heldout, 2) + DETOURS,
                epochs=sizes.epochs,
                learning_rate=sizes.lr,
                save_every=sizes.epochs / 4,
                seed=seed,
            ),
        )
        ready = stage(
            "readiness",
            readiness,
            ReadinessConfig(
                checkpoints=tuple(c["path"] for c in tuned["checkpoints"]),
                heldout=source("test", sizes.heldout, 2) + DETOURS,
                problems=source("train", sizes.ready_problems, 3),
                samples=sizes.ready_samples,
                group_size=sizes.group,
                thinking_budget=BUDGETS[-1],
                seed=seed,
            ),
        )
        start = ready["picked"]
        learned = stage(
            "rl",
            rl,
            RLConfig(
                model=start,
                problems=source("train", 4000, 4),
                validation=source("test", sizes.rl_heldout, 5),
                steps=sizes.rl_steps,
                prompts_per_step=sizes.prompts,
                group_size=sizes.group,
                eval_every=sizes.eval_every,
                reward="arora_zanette",
                reward_coef=0.2,
                thinking_budget=BUDGETS[-1],
                seed=seed,
            ),
        )
        best = learned["best"]["path"]
        names = {"base": "embedded", "sft": start, "rl": best}
        test = source("test", sizes.test, 6)
        at_budgets = stage(
            "evaluate",
            evaluate,
            EvaluateConfig(models=tuple(names.values()), problems=test, thinking_budgets=BUDGETS, seed=seed),
        )
        greedy = stage(
            "greedy",
            evaluate,
            EvaluateConfig(
                models=(start, best),
                problems=test,
                thinking_budgets=BUDGETS[-1:],
                samples=1,
                temperature=0.0,
                seed=seed,
            ),
        )
        result = _result(config, names, tuned, ready, learned, at_budgets, greedy)
        result["stages"] = [{"name": name, "seconds": spent} for name, spent in seconds.items()]
        result["seconds"] = time.monotonic() - begun
        _examples(out, {path: name for name, path in names.items()})
        return run.write_result(result)


def _result(
    config: DemoConfig,
    names: dict[str, str],
    tuned: dict[str, Any],
    ready: dict[str, Any],
    learned: dict[str, Any],
    at_budgets: dict[str, Any],
    greedy: dict[str, Any],
) -> dict[str, Any]:
    budgets = [
        {"budget": row["budget"]} | {name: row[path] for name, path in names.items()} for row in at_budgets["budgets"]
    ]
    last = budgets[-1]
    per_problem = at_budgets["per_problem"]
    largest = str(BUDGETS[-1])
    gain = paired_figure(per_problem[names["rl"]][largest], per_problem[names["sft"]][largest], bounds=(0.0, 1.0))
    epochs = {c["path"]: (c["epoch"], c["step"]) for c in tuned["checkpoints"]}
    checkpoints = [
        {key: value for key, value in row.items() if key != "correct"}
        | {"name": Path(row["name"]).name, "epoch": epochs[row["name"]][0], "step": epochs[row["name"]][1]}
        for row in ready["checkpoints"]
    ]
    test = open_task(at_budgets["task"]["source"])
    chance = test.chance([1])[1]
    result: dict[str, Any] = {
        "verb": "demo",
        "verdict": _verdict(gain, last, chance),
        "seed": config.seed,
        "task": {"source": test.source, "description": test.description},
        "rl_minus_sft": gain,
        "chance": ready["chance"],
        "picked": Path(names["sft"]).name,
        "rl_step": learned["best"]["step"],
        "checkpoints": checkpoints,
        "budgets": budgets,
        "untouched": {name: at_budgets["untouched"][path] for name, path in names.items()},
        "lengths": {
            "edges": at_budgets["lengths"]["edges"],
            "models": {name: at_budgets["lengths"]["models"][path] for name, path in names.items()},
        },
    }
    for name, path in names.items():
        result[name] = dict(last[name])
        if name != "base":
            result[name]["greedy_accuracy"] = greedy["budgets"][-1][path]["accuracy"]
    table = [["model", "accuracy", "every step right", "thinking tokens", "greedy"]]
    for name in names:
        facts = result[name]
        table.append(
            [
                name,
                _show(facts["accuracy"]),
                _show(facts["strict_accuracy"]) if "strict_accuracy" in facts else "–",
                _show(facts["thinking_tokens"]),
                _show(facts["greedy_accuracy"]) if "greedy_accuracy" in facts else "–",
            ]
        )
    table.append(["rl − sft", _show(gain), "", "", ""])
    return result | {"table": table}


def _show(figure: Estimate | dict[str, Any]) -> str:
    return str(figure if isinstance(figure, Estimate) else Estimate(**figure))


def _verdict(gain: Estimate, last: dict[str, Any], chance: float) -> str:
    before, after = last["sft"]["accuracy"]["value"], last["rl"]["accuracy"]["value"]
    spent = last["sft"]["thinking_tokens"]["value"], last["rl"]["thinking_tokens"]["value"]
    sure = "" if gain.low > 0 or gain.high < 0 else ", which could be luck"
    return (
        f"RL took held-out accuracy from {before:.1%} to {after:.1%} "
        f"({gain.value * 100:+.1f} points, 95% interval {gain.low * 100:+.1f} to {gain.high * 100:+.1f}{sure}) with "
        f"{spent[1]:.0f} thinking tokens instead of {spent[0]:.0f}; the commonest answer alone gets {chance:.1%}."
    )


def _examples(out: Path, names: dict[str, str]) -> None:
    """The samples to read, with the models' names in place of their paths."""
    target = out / "examples.jsonl"
    target.unlink(missing_ok=True)
    for line in read_log(out / "evaluate" / "examples.jsonl"):
        append_line(target, line | {"model": names[line["model"]]})
