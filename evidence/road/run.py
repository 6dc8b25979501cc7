"""Five seeds of the demo, and the first of them twice: `python evidence/road/run.py`.

Resumable: what a killed run left undone is done when the command is given again.  What varies between seeds is
everything: the SFT rows, the RL problems, the test problems, the order of rows and all samples.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path

from rlready.cli.demo import demo
from rlready.cli.demo_result import DemoResult, ModelScores
from rlready.core.config import DemoConfig
from rlready.core.stats import t_figure
from rlready.report.claims import Claim, write_claims
from rlready.runs.files import to_json, write_text
from rlready.tasks import open_task

HERE = Path(__file__).parent
RUNS = Path("runs/road")
SEEDS = range(5)


def without_times(result: DemoResult) -> DemoResult:
    return result.model_copy(update={"seconds": 0.0, "stages": []})


def at_best(result: DemoResult, model: str) -> float:
    """Thinking tokens at the budget where a model is most accurate."""
    best = max(result.budgets, key=lambda row: row.scores[model].accuracy.value).scores[model]
    return best.thinking_tokens.value


def strict(model: ModelScores) -> float:
    assert model.strict_accuracy
    return model.strict_accuracy.value


def greedy_of(model: ModelScores) -> float:
    assert model.greedy_accuracy
    return model.greedy_accuracy.value


def main() -> None:
    results = [demo(DemoConfig(seed=seed), RUNS / f"seed-{seed}") for seed in SEEDS]
    again = demo(DemoConfig(seed=0), RUNS / "again-0")
    gains = [r.rl_minus_sft.value for r in results]
    sft_tokens = [at_best(r, "sft") for r in results]
    rl_tokens = [at_best(r, "rl") for r in results]
    seconds = [r.seconds for r in [*results, again]]
    same = without_times(results[0]) == without_times(again)
    clear = [r.rl_minus_sft.low > 0 for r in results]
    models = (lambda r: r.sft, lambda r: r.rl)
    sft, rl = (t_figure([m(r).accuracy.value for r in results]) for m in models)
    strict_sft, strict_rl = (t_figure([strict(m(r)) for r in results]) for m in models)
    greedy = t_figure([greedy_of(r.rl) - greedy_of(r.sft) for r in results])
    chance = open_task(results[0].task.source).chance([64])[64]
    mixed = t_figure([next(c for c in r.checkpoints if c.chosen).informative.value for r in results])
    n = len(results)

    def count(sentence: str, value: float, target: str) -> Claim:
        return Claim(sentence, value, value, value, n, "seeds", target)

    claims = [
        Claim.of("RL minus SFT accuracy at the largest budget, mean over seeds", t_figure(gains), ">= 0.15"),
        count("smallest RL minus SFT of any seed", min(gains), "> 0"),
        count("seeds whose paired 95 % interval (over problems) is clear of zero", sum(clear), ">= 5"),
        Claim.of(
            "RL's thinking tokens minus SFT's, each at its best accuracy",
            t_figure([b - a for a, b in zip(sft_tokens, rl_tokens, strict=True)]),
            "<= 0",
        ),
        count(
            "seeds in which RL's thinking tokens at its best accuracy are not above SFT's",
            sum(b <= a for a, b in zip(sft_tokens, rl_tokens, strict=True)),
            ">= 5",
        ),
        Claim.of("SFT accuracy (room: very roughly a third)", sft, ">= 0.2"),
        Claim.of("groups of 16 with right and wrong answers, at the checkpoint RL starts from", mixed, ">= 0.5"),
        Claim("pass@64 of guessing", chance, chance, chance, 2000, "problems", "< 0.05"),
        count("result.json of the same seed twice is the same but for times (1 = yes)", float(same), "== 1"),
        Claim.of("seconds of a whole demo", t_figure(seconds, varies="runs"), "<= 360"),
        Claim.of("greedy decoding: RL minus SFT accuracy", greedy, "> 0"),
    ]
    lines = [
        "| seed | picked | SFT | RL | RL − SFT (paired over problems) | every step right: SFT → RL | greedy: SFT → RL "
        "| thinking tokens: SFT → RL | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for seed, r in zip(SEEDS, results, strict=True):
        gain = r.rl_minus_sft
        lines.append(
            f"| {seed} | {r.chosen} | {r.sft.accuracy.value:.1%} | {r.rl.accuracy.value:.1%} | "
            f"{gain.value * 100:+.1f} [{gain.low * 100:+.1f}, {gain.high * 100:+.1f}] | "
            f"{strict(r.sft):.1%} → {strict(r.rl):.1%} | "
            f"{greedy_of(r.sft):.1%} → {greedy_of(r.rl):.1%} | "
            f"{r.sft.thinking_tokens.value:.1f} → {r.rl.thinking_tokens.value:.1f} | "
            f"{r.seconds:.0f} |"
        )
    words = f"""# The road from SFT to RL, five seeds

The demo (`rlready demo seed=S`) with seeds 0 to 4. What varies: the SFT rows, the RL problems, the held-out and the
test problems, the order of rows and every sample; what does not: the embedded base model. Accuracy is the mean over
4 samples at temperature 1 of 200 test problems, whose solution templates are in no training set; intervals in the
table run over problems, those of the claims over seeds (Student's t).

{chr(10).join(lines)}

SFT {sft.value:.1%}, RL {rl.value:.1%}; counting only answers whose every step is right, {strict_sft.value:.1%} and
{strict_rl.value:.1%}.

## What it shows, and what not

It shows that the loop learns: on problems with templates it never saw. Part of the gain at temperature 1 is sharpening,
that is sampling less from the tail; the greedy column, where sharpening is worth nothing, shows what remains. The
checkpoint is chosen by accuracy alone, so a seed may end with a longer thought than it began with. It says nothing
about larger models, other tasks, or one algorithm against another.

![RL against SFT at every budget](figure.svg)
"""
    write_text(HERE / "figure.svg", figure(results))
    write_claims(HERE, command="python evidence/road/run.py", seconds=sum(seconds), claims=claims, words=words)
    write_text(HERE / "seeds.json", to_json([without_times(r) for r in results]))


def figure(results: list[DemoResult]) -> str:
    """Accuracy against mean thinking tokens, a thin line a seed."""
    from rlready.report.plots import Point, Series, line_chart, standalone

    series = []
    for tone, model in enumerate(("base", "sft", "rl")):
        for number, r in enumerate(results):
            points = [
                Point(
                    scores.thinking_tokens.value,
                    scores.accuracy.value,
                    scores.accuracy.low,
                    scores.accuracy.high,
                )
                for scores in (row.scores[model] for row in r.budgets)
            ]
            series.append(Series(model, points, tone=tone, shape=tone, named=number == 0))
    return standalone(
        line_chart(
            series,
            title="Accuracy at five thinking budgets, five seeds",
            x_label="mean thinking tokens",
            y_label="accuracy",
            percent=True,
        )
    )


if __name__ == "__main__":
    main()
