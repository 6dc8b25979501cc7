"""A GRPO step with six million parameters against TRL's: `python bench/grpo_6m.py`.

A random Llama (hidden size 256, six layers, heads of 64), 16 x 16, prompts of 64 tokens, responses of exactly 48: an
end of sequence is a token like any other on both sides.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from common import Goal, Row, main
from grpo import duel, six_million

GOAL = Goal("GRPO step, 6 M parameters, 16 x 16: TRL's seconds per token over ours", ">= 3")


def run(quick: bool) -> list[Row]:
    with TemporaryDirectory() as folder:
        work = six_million(Path(folder), steps=2 if quick else 4, quick=quick)
        micros = (work.prompts * work.group,) if quick else (16, 32, 64)
        return [duel(GOAL, work, micros=micros, tolerance=0.0)]


if __name__ == "__main__":
    main([GOAL], run)
