"""A GRPO step with six million parameters against TRL's: `python bench/grpo_6m.py`.

A random Llama (hidden size 256, six layers, heads of 64), 16 x 16, prompts of 64 tokens, responses of exactly 48: an
end-of-sequence token does not end a response on either side.  TRL uses 32 rows per forward pass: in five trials of 16,
32 and 64, each was the fastest at least once.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from common import Goal, Row, main
from grpo import duel, six_million

GOAL = Goal("GRPO step, 6 M parameters, 16 x 16: TRL's seconds per token over rlready's", ">= 3")


def run(quick: bool) -> list[Row]:
    with TemporaryDirectory() as folder:
        work = six_million(Path(folder), steps=2 if quick else 6, quick=quick)
        micro = work.prompts * work.group if quick else 32
        return [duel(GOAL, work, micros=(micro,), tolerance=0.0)]


if __name__ == "__main__":
    main([GOAL], run)
