"""Write the computed table of docs/scale.md from the formulas of `core/memory_plan.py`.

python scripts/make_scale.py           # after a formula or a constant has changed
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rlready.core.memory_plan import Machine, Recipe, Shape, Work, memory_of, step_seconds

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
GIB = 2**30
# an H100 SXM: 75 % of its data sheet's 989 TFLOP/s (bfloat16, dense) and 85 % of its 3.35 TB/s
H100 = Machine(80 * 10**9, 0.75 * 989e12, 0.85 * 3.35e12, gpu=True)
MODELS = {  # the shapes of Qwen2.5
    "0.5B": Shape(494_032_768, 24, 896, 896, 128, 4864, 151_936),
    "1.5B": Shape(1_543_714_304, 28, 1536, 1536, 256, 8960, 151_936),
    "7B": Shape(7_615_616_512, 28, 3584, 3584, 512, 18_944, 152_064),
    "32B": Shape(32_763_876_352, 64, 5120, 5120, 1024, 27_648, 152_064),
}
PROMPTS, GROUP, PROMPT, RESPONSE = 16, 16, 256, 1024
PLAIN = Recipe("rl", bfloat16=True)
CHECKPOINTED = replace(PLAIN, gradient_checkpointing=True)
WAYS = {  # settings, those that change least first
    "": PLAIN,
    "`gradient_checkpointing=true`": CHECKPOINTED,
    "`gradient_checkpointing=true max_tokens_per_microbatch=4096`": replace(CHECKPOINTED, microbatch=4096),
}
PLACES = {  # processes, and what changes in the recipe
    "1": (1, {}),
    "1, `lora_r=16`": (1, {"lora_r": 16}),
    "8, `distributed=ddp`": (8, {}),
    "8, `distributed=fsdp`": (8, {"shards": 8}),
    "16, `distributed=fsdp`": (16, {"shards": 16}),
}


def table() -> str:
    """A row for each model and place: bytes on each GPU and seconds of a step, for RL and for SFT on as many tokens."""
    head = "| model | GPUs | settings | RL: GiB per GPU | RL: s per step | SFT: GiB per GPU | SFT: s per step |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    return "\n".join(lines + [_row(model, shape, place) for model, shape in MODELS.items() for place in PLACES])


def _row(model: str, shape: Shape, place: str) -> str:
    processes, changes = PLACES[place]
    work = Work(PROMPTS // processes, PROMPTS * GROUP // processes, PROMPT, RESPONSE)
    ways = {name: replace(recipe, **changes) for name, recipe in WAYS.items()}
    fits = {n: memory_of(shape, work, recipe, H100).peak <= H100.memory for n, recipe in ways.items()}
    name = next((name for name in ways if fits[name]), [*ways][-1])
    cells = [model, place, name]
    for recipe in (ways[name], replace(ways[name], job="sft")):
        needed = memory_of(shape, work, recipe, H100).peak
        short = needed > H100.memory
        cells += [f"{needed / GIB:.0f}", "does not fit" if short else f"{step_seconds(shape, work, recipe, H100):.2g}"]
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """docs/scale.md with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(r"^\| model \| GPUs .*?\n(?!\|)", lambda _: f"{table()}\n", text, flags=re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
