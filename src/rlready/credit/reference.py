"""The two frozen checkpoints of one SFT run from which dense rewards are computed.

Two checkpoints belong to one run if they are in one folder, as all trainers save them.  In a run of ``rlready sft``,
``train/reference_checkpoint.py`` finds π_ref; for other trainers the user names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from rlready.core.distributed import share, united
from rlready.core.errors import UserError
from rlready.models.batch import Example
from rlready.models.checkpoint import load, load_two
from rlready.models.frozen import frozen_logprobs
from rlready.models.lm import LM
from rlready.models.lora import Adapted
from rlready.models.tokenizer import vocabulary_digest
from rlready.runs.checkpoint_names import numbered

NONE = "none"  # no reference: r̂ = log π_SFT


@dataclass(frozen=True)
class ReferencePair:
    """π_SFT and π_ref, neither of them trained; ``reference`` None stands for a probability of 1 for every token."""

    sft: LM
    reference: LM | None

    def score(
        self, rows: Sequence[Example], *, max_tokens_per_microbatch: int, temperature: float = 1.0
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """(r̂, log π_SFT) of the response tokens of every row, (T,) each in nats, 0 where forced.

        Several processes (torchrun) score a share each.
        """
        score = partial(
            frozen_logprobs,
            rows=share(rows),
            max_tokens_per_microbatch=max_tokens_per_microbatch,
            temperature=temperature,
        )
        lms = [lm for lm in (self.sft, self.reference) if lm is not None]
        if any(isinstance(lm, Adapted) for lm in lms):  # they may share their base: one after the other
            found = []
            for lm in lms:
                with lm.active():
                    found += score([lm.model])
        else:
            found = score([lm.model for lm in lms])
        sft, *other = found
        rewards = [a - b for a, b in zip(sft, other[0], strict=True)] if other else sft
        return united(rewards), united(sft)


def load_pair(
    model: str,
    reference: str,
    *,
    force: bool = False,
    device: str = "cpu",
    dtype: str = "float32",
    sft: LM | None = None,
) -> ReferencePair:
    """π_SFT from ``model`` and π_ref from ``reference``, a checkpoint or ``none``, after some checks.

    ``sft`` is π_SFT if it is in memory already.  Adapters of one base share it.

    UserError if the two are equal or in the wrong order, and, unless forced, if they belong to different runs or have
    different tokenizers.
    """
    if reference == NONE:
        return ReferencePair(sft or load(model, device=device, dtype=dtype), None)
    pair = ReferencePair(*load_two(model, reference, device=device, dtype=dtype, first=sft))
    _refuse_unrelated(model, reference, pair, force=force)
    return pair


def _refuse_unrelated(model: str, reference: str, pair: ReferencePair, *, force: bool) -> None:
    assert pair.reference is not None
    here, there = _place(Path(reference)), _place(Path(model))
    # next to it, or in the folder of the final model
    same_run = Path(reference).is_dir() and here.parent in (there.parent, there)
    if same_run and _is_after(here.name, there.name):
        raise UserError(
            f"reference {reference} is a later checkpoint than {model}: that flips the sign of every dense reward; "
            "pass an earlier checkpoint"
        )
    if not same_run and not force:
        raise UserError(
            f"{reference} and {model} are in different folders, so they seem to come from different SFT runs, whose "
            "difference is not a reward; force_reference=true accepts it nevertheless"
        )
    if vocabulary_digest(pair.sft.tokenizer) != vocabulary_digest(pair.reference.tokenizer):
        fits = len(pair.sft.tokenizer) <= _vocabulary(pair.reference)
        if not force or not fits:
            raise UserError(
                f"{reference} and {model} have different tokenizers, so their tokens cannot be compared; "
                + ("force_reference=true accepts it nevertheless" if fits else "the reference has too few tokens")
            )
    if equal(pair.sft, pair.reference):
        raise UserError(
            f"{reference}: the reference equals {model}, so every dense reward is 0; pass an earlier checkpoint"
        )


def _place(path: Path) -> Path:
    """The folder of a checkpoint that its trainer numbers, which may hold the model further inside."""
    found = numbered(str(path.resolve()))
    return Path(found.folder) if found else path.resolve()


def _is_after(name: str, other: str) -> bool:
    """Whether two names, equal but for the step at their end, say so."""
    one, two = (re.fullmatch(r"(.*?)(\d+)", n) for n in (name, other))
    return bool(one and two and one[1] == two[1] and int(one[2]) > int(two[2]))


def _vocabulary(lm: LM) -> int:
    return int(cast("Any", lm.model.get_input_embeddings()).weight.shape[0])


def equal(a: LM, b: LM) -> bool:
    """Whether two models have the same weights."""
    if isinstance(a, Adapted) and isinstance(b, Adapted):  # of one base
        one, other = a.matrices(), b.matrices()
    else:
        one, other = a.model.state_dict(), b.model.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
