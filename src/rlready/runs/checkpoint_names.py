"""Numbered checkpoints of any trainer, read from their paths alone.

``RUN/checkpoints/step-40`` (rlready), ``RUN/checkpoint-40`` (Transformers, TRL), ``RUN/step_40`` (open-instruct),
``RUN/global_step_40/actor/huggingface`` (verl), ``RUN/epoch-3``, ``RUN/epoch-3-step-40``, ``RUN/iter_0000040``
(Megatron), ``RUN/ba40`` (Composer), ``RUN/step40-tokens4B`` (OLMo), ``RUN/hf_step_40``, ``RUN/checkpoints/40``,
``RUN/global_step_40_evals/NAME.jsonl`` (SkyRL's samples), ``__RUN__checkpoint-40`` (lm-eval's folder of a path), and
``RUN/steps-1-40``, of samples of several steps, of which the last counts.  A file of samples may be in such a folder,
or have such a name: ``checkpoint-40.parquet``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

NUMBERED = re.compile(
    r"(?:hf[-_])?(?:(?:ep|epoch)[-_=]?\d+[-_])?"  # of an epoch and a step, the step counts
    r"(global_?step|step|checkpoint|ckpt|epoch|ep|iter|ba|model(?=[-_]))(?:s-\d+)?[-_=]?(\d+k?)"
    r"(?:[-_](?:hf|merged|evals|tokens\d+[a-z]?|rank\d+))?",
    re.IGNORECASE,
)
STEP = re.compile(r"step|checkpoint|ckpt|epoch|iter|batch|\bba\d|\bep\d", re.IGNORECASE)  # in a name that may have one
SAMPLES = re.compile(r"\.(?:jsonl?|parquet|[ct]sv|eval)(?:\.gz|\.zst)?$")  # ends the name of a file of samples
FINAL = re.compile(r"(?:final|last)(?:[-_]\w+)?|\w+[-_](?:final|last)|merged", re.IGNORECASE)
# where a trainer puts weights in a numbered folder
INSIDE = {"actor", "policy", "weights", "huggingface", "hf", "merged", "model", "hf_model", "merged_hf_model"}
PARENT = "checkpoints"  # in a folder of this name a bare number is a step


@dataclass(frozen=True)
class Numbered:
    """``folder`` is the numbered one, ``run`` the one that holds it, ``unit`` what its number counts."""

    folder: str
    run: str
    unit: str
    number: int


def numbered(name: str, *, bare: bool = False) -> Numbered | None:
    """The run and the number of a checkpoint, from its path; None where it has no number.

    ``bare``: whether a bare number counts as one in any folder.
    """
    path = PurePath(name)
    while path.name in INSIDE or (SAMPLES.search(path.name) and _number_in(path.parent.name)[1]):
        path = path.parent
    if path.name.isdecimal() and (bare or path.parent.name == PARENT):
        return Numbered(str(path), str(path.parent), "", int(path.name))
    before, found = _number_in(SAMPLES.sub("", path.name))
    if not found:
        return None
    number = int(found[2].lower().replace("k", "000"))
    return Numbered(str(path), str(path.parent / before), found[1].lower().replace("_", ""), number)


def _number_in(name: str) -> tuple[str, re.Match[str] | None]:
    """What stands before the number in a name, as lm-eval writes a path, and the number."""
    before, _, last = name.rpartition("__")
    return before, NUMBERED.fullmatch(last)


def run_of_final(name: str) -> str | None:
    """The run folder whose final model a path is, judging by its name; None for any other name."""
    path = PurePath(name)
    return str(path.parent) if FINAL.fullmatch(path.name) else None
