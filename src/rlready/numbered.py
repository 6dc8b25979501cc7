"""Numbered checkpoints of any trainer, read from their paths alone.

``RUN/checkpoints/step-40`` (rlready), ``RUN/checkpoint-40`` (Transformers, TRL), ``RUN/step_40`` (open-instruct),
``RUN/global_step_40/actor/huggingface`` (verl), ``RUN/epoch-3``, ``RUN/iter_0000040`` (Megatron),
``RUN/checkpoints/40``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

NUMBERED = re.compile(r"(global_?step|step|checkpoint|ckpt|epoch|iter)[-_]?(\d+)(?:[-_](?:hf|merged))?", re.IGNORECASE)
INSIDE = {"actor", "policy", "weights", "huggingface", "hf", "merged"}  # where a trainer puts weights in such a folder
PARENT = "checkpoints"  # in a folder of this name a bare number is a step


@dataclass(frozen=True)
class Numbered:
    """``folder`` is the numbered one, ``run`` the one that holds it, ``unit`` what its number counts."""

    folder: str
    run: str
    unit: str
    number: int


def numbered(name: str) -> Numbered | None:
    """What a checkpoint's path says of its run and its number; None where it has none."""
    path = PurePath(name)
    while path.name in INSIDE:
        path = path.parent
    if path.name.isdecimal() and path.parent.name == PARENT:
        return Numbered(str(path), str(path.parent), "", int(path.name))
    found = NUMBERED.fullmatch(path.name)
    return Numbered(str(path), str(path.parent), found[1].lower().replace("_", ""), int(found[2])) if found else None
