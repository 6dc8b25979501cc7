"""A GRPO step on the embedded model, in the demo's shapes, against TRL's: `python bench/grpo_step.py`.

16 problems x 16 samples, 64 thinking tokens and 16 of answer; TRL's completions, which no budget closes, have the same
cap and end where the model ends them.  Lengths differ a little, so the ratio is that of seconds per completion token.
"""

from common import Goal, Row, main
from grpo import Work, duel
from rlready.core.presets import DEMO_TASK
from rlready.models.checkpoint_files import EMBEDDED_FOLDER

GOAL = Goal("GRPO step, embedded model, 16 x 16: TRL's seconds per token over rlready's", ">= 4")


def run(quick: bool) -> list[Row]:
    size, rounds = (4, 1) if quick else (16, 9)
    work = Work(str(EMBEDDED_FOLDER), f"{DEMO_TASK}&split=train&seed=3", rounds + 1, prompts=size, group=size)
    micros = (size * size,) if quick else (32, 64, 128)
    return [duel(GOAL, work, micros=micros, tolerance=0.5 if quick else 0.1)]


if __name__ == "__main__":
    main([GOAL], run)
