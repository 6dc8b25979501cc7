"""The two frozen checkpoints of one SFT run that dense credit is measured with: found, checked, and asked.

π_ref is the checkpoint after a chosen share of the SFT run's *samples* (half of them in Li et al., arXiv 2510.02493,
eq. 5).  A run of ``rlready sft`` says in its result which checkpoint that is; checkpoints of other trainers are named.
Two checkpoints are of one run if they lie in one folder, as all trainers keep them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.models.batch import Example
from rlready.models.checkpoint import load, vocabulary_digest
from rlready.models.lm import LM
from rlready.models.logprob import frozen_logprobs
from rlready.runs.checkpoint_names import numbered
from rlready.runs.run import RESULT, read_json

NONE = "none"  # measured against nothing: r̂ = log π_SFT


@dataclass(frozen=True)
class ReferencePair:
    """π_SFT and π_ref, neither of them trained; ``reference`` None stands for a model that gives every token 1."""

    sft: LM
    reference: LM | None

    def score(
        self, rows: Sequence[Example], *, micro_tokens: int, temperature: float = 1.0
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """(r̂, log π_SFT) of the response tokens of every row, (T,) each in nats, 0 where forced."""
        models = [lm.model for lm in (self.sft, self.reference) if lm is not None]
        sft, *other = frozen_logprobs(models, rows, micro_tokens=micro_tokens, temperature=temperature)
        return [a - b for a, b in zip(sft, other[0], strict=True)] if other else sft, sft


def sft_run(checkpoint: Path) -> dict[str, Any] | None:
    """The result of the SFT run in whose ``checkpoints`` folder a checkpoint lies; None if in none."""
    path = checkpoint.resolve().parent.parent / RESULT
    result = read_json(path) if checkpoint.parent.name == "checkpoints" and path.is_file() else {}
    return result if result.get("verb") == "sft" else None


def last_checkpoint(run: Path) -> Path:
    """The checkpoint an SFT run ended with; UserError if the folder is no finished run of sft."""
    result = read_json(run / RESULT) if (run / RESULT).is_file() else {}
    if result.get("verb") != "sft":
        raise UserError(f"{run}: not the folder of a finished run of rlready sft")
    return run / "checkpoints" / str(result["checkpoints"][-1]["name"])


def find_reference(model: str, fraction: float) -> Path:
    """The checkpoint after ``fraction`` of the samples of the SFT run that ``model`` is a checkpoint of.

    The nearest counts if it is at most three steps of the run away: sft keeps none beside one that it has anyway.
    UserError if there is no such run, if it kept no checkpoint there, or if that was deleted since.
    """
    path = Path(model)
    run = sft_run(path)
    if run is None:
        raise UserError(
            f"{model}: not a checkpoint of a finished run of rlready sft, so there is no reference to be found; "
            "name an earlier checkpoint of the same training with reference=PATH"
        )
    shares: dict[str, float] = {c["name"]: c["samples"] for c in run["checkpoints"] if "samples" in c}
    if not shares:
        raise UserError(
            f"{path.parents[1]}: its result does not say after how many samples its checkpoints were kept; "
            "name one with reference=PATH"
        )
    name = str(min(shares, key=lambda n: abs(shares[n] - fraction)))
    if abs(shares[name] - fraction) > 3 / run["steps"]:
        kept = ", ".join(f"{s:.2g}" for s in shares.values())
        raise UserError(
            f"{path.parents[1]}: no checkpoint was kept within three steps of {fraction:g} of its samples (kept: "
            f"{kept}); choose another fraction, or run sft again with keep_at={fraction:g}"
        )
    found = path.parent / name
    if not (found / "config.json").is_file():
        left = [f"{s:.2g}" for n, s in shares.items() if (path.parent / n / "config.json").is_file()]
        raise UserError(
            f"{found}, the reference after {fraction:g} of the samples, was deleted; choose another fraction (left: "
            f"{', '.join(left)}), or name a checkpoint with reference=PATH"
        )
    return found


def load_frozen(
    model: str, reference: str, fraction: float, *, force: bool = False, device: str = "cpu", dtype: str = "float32"
) -> ReferencePair:
    """The pair, with its checks; ``reference`` as in ``RLConfig``.

    UserError if the two are equal or in the wrong order, and, unless forced, if they are of different runs or read
    text as different tokens.
    """
    if reference == NONE:
        return ReferencePair(load(model, device=device, dtype=dtype), None)
    path = Path(reference) if reference else find_reference(model, fraction)
    pair = ReferencePair(load(model, device=device, dtype=dtype), load(str(path), device=device, dtype=dtype))
    assert pair.reference is not None
    here, there = _place(path), _place(Path(model))
    same_run = path.is_dir() and here.parent in (there.parent, there)  # beside it, or in the final model's folder
    if same_run and _is_after(here.name, there.name):
        raise UserError(
            f"{path}: the reference comes after {model}, which turns every reward round; choose an earlier one, or a "
            "smaller fraction"
        )
    if not same_run and not force:
        raise UserError(
            f"{path} and {model} lie in different folders, so they are of different runs and their difference is no "
            "reward; force_reference=true takes it all the same"
        )
    if vocabulary_digest(pair.sft.tokenizer) != vocabulary_digest(pair.reference.tokenizer):
        fits = len(pair.sft.tokenizer) <= _vocabulary(pair.reference)
        if not force or not fits:
            raise UserError(
                f"{path} and {model} have different tokenizers, so a token is not the same word to both; "
                + ("force_reference=true takes it all the same" if fits else "the reference knows too few tokens")
            )
    if equal(pair.sft, pair.reference):
        raise UserError(f"{path}: the reference equals {model}, so every dense reward is 0; choose an earlier one")
    return pair


def _place(path: Path) -> Path:
    """The folder of a checkpoint that its trainer numbers, which may hold the model further inside."""
    found = numbered(str(path.resolve()))
    return Path(found.folder) if found else path.resolve()


def _is_after(name: str, other: str) -> bool:
    """Whether two checkpoints' names, alike but for the step that trainers put at the end, say so."""
    one, two = (re.fullmatch(r"(.*?)(\d+)", n) for n in (name, other))
    return bool(one and two and one[1] == two[1] and int(one[2]) > int(two[2]))


def _vocabulary(lm: LM) -> int:
    return int(cast("Any", lm.model.get_input_embeddings()).weight.shape[0])


def equal(a: LM, b: LM) -> bool:
    """Whether two models have the same weights."""
    one, other = a.model.state_dict(), b.model.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
