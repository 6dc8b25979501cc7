"""A GRPO step with SmolLM2-135M on GSM8K against TRL's: `python bench/grpo_smollm2.py --gsm8k PATH`.

4 x 8 responses of exactly 128 tokens: an end-of-sequence token does not end a response on either side.  TRL uses 8 rows
per forward pass: on 2026-11-22, with responses of 16, a step took 71 s with 8 rows and 92 s with 32.
"""

from common import Goal, Row, gsm8k, main, needs, smollm2
from grpo import Work, duel

GOAL = Goal("GRPO step, SmolLM2-135M, 4 x 8: TRL's seconds per token over rlready's", ">= 2.5")


def run(quick: bool) -> list[Row]:
    needs("trl", "datasets")
    prompts, group, response, rounds = (2, 2, 4, 1) if quick else (4, 8, 128, 2)
    sizes = {"prompts": prompts, "group": group, "response": response, "max_tokens_per_microbatch": 4096}
    work = Work(str(smollm2()), gsm8k(), rounds, **sizes)
    return [duel(GOAL, work, micros=(4,) if quick else (8,), warm=0, tolerance=0.0)]


if __name__ == "__main__":
    main([GOAL], run)
