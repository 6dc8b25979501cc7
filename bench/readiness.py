"""pass@k up to 256 by adaptive sampling against 256 samples of every problem: `python bench/readiness.py`.

The embedded model after one epoch of SFT, as in the demo.  Adaptive sampling draws a subset of the same
samples; the interval of pass@k must be about as wide at every k.  That takes ``min_samples=96``; the default of 16 is
far cheaper, with wider intervals at small k, and is reported as well.  Last: the seconds of the default for 256
problems.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import Goal, Row, main, timed
from rlready.core.config import ReadinessConfig, SFTConfig
from rlready.core.presets import DEMO_TASK
from rlready.readiness.adaptive_sampling import Sampling
from rlready.readiness.result import CheckpointReadiness
from rlready.readiness.stage import readiness
from rlready.train.sft import sft

TOKENS = Goal("pass@k up to 256, embedded model after SFT: tokens of full sampling over adaptive", ">= 2.5")
WIDTHS = Goal("the same: width of the 95 % interval of pass@k, adaptive over full, the widest k", "<= 1.1")
SECONDS = Goal("readiness at pass@256 on 256 problems, seconds", "< 90")


def run(quick: bool) -> list[Row]:
    rows, few, many, draws = (64, 4, 8, 32) if quick else (2000, 64, 256, 256)
    with TemporaryDirectory() as name:
        folder = Path(name)
        tuned = sft(SFTConfig(rows=f"{DEMO_TASK}&split=train&n={rows}&seed=1", epochs=1, save_every=1), folder / "sft")

        def measure(problems: int, sampling: Sampling, first: int = 0) -> CheckpointReadiness:
            settings = ReadinessConfig(
                checkpoints=(tuned.checkpoints[-1].path,),
                heldout="",
                problems=f"{DEMO_TASK}&split=train&n={problems}&seed=26",
                samples=draws,
                sampling=sampling,
                min_samples=first,
            )
            return readiness(settings, folder / f"{sampling}-{problems}-{first}").checkpoints[0]

        ours, default, plain = measure(few, "adaptive", draws * 3 // 8), measure(few, "adaptive"), measure(few, "full")
        lap = timed(lambda: float(measure(many, "adaptive").tokens or 0))

    def width(row: CheckpointReadiness, k: int) -> float:
        return row.pass_at_k[k].high - row.pass_at_k[k].low

    def wider(row: CheckpointReadiness) -> dict[str, float]:
        return {f"pass@{k}": width(row, k) / width(plain, k) for k in plain.pass_at_k if width(plain, k)}

    widths = wider(ours)
    counted: dict[str, Any] = {"ours_tokens": ours.tokens, "plain_tokens": plain.tokens}
    counted |= {"default_tokens": default.tokens, "pass_at_1": plain.pass_at_k[1].value}
    assert ours.tokens
    assert plain.tokens
    return [
        TOKENS.row([plain.tokens / ours.tokens], varies="count", problems=few, **counted),
        WIDTHS.row([max(widths.values())], varies="problem set", **widths, default=wider(default)),
        SECONDS.row([lap.seconds], varies="run", problems=many),
    ]


if __name__ == "__main__":
    main([TOKENS, WIDTHS, SECONDS], run)
