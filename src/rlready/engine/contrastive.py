"""Two models behind one sampler: decoding away from a reference, without training.

    log π(y|s) = (1 + w) log π_SFT(y|s) − w log π_ref(y|s) + constant,      w = 1/β

The optimum of dense rewards (Li et al., arXiv 2510.02493) under a KL leash is π_SFT^{1+1/β} / π_ref^{1/β} over whole
responses, where β is in nats of r̂: training divides r̂ by its deviation σ, so its own β counts βσ here.  This takes the
optimum token by token, as with γ = 0.  It is the control that asks what training adds.
Left out: a plausibility cut, which contrastive decoding (Li et al., arXiv 2210.15097) needs where models are unlike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.engine.decoder import Decoder
from rlready.models.checkpoint import vocabulary_digest
from rlready.models.lm import LM


@dataclass(frozen=True)
class Contrast:
    """What to decode away from, and how far: ``weight`` is 1/β."""

    reference: LM
    weight: float

    def refuse_other_vocabulary(self, lm: LM) -> None:
        """UserError unless both models read and write the same tokens, each with a logit of its own in both."""
        if vocabulary_digest(lm.tokenizer) != vocabulary_digest(self.reference.tokenizer):
            raise UserError(f"{lm.source} and {self.reference.source} have different tokenizers: no common next token")
        widths = [len(cast("Any", m.model.get_input_embeddings()).weight) for m in (lm, self.reference)]
        if widths[0] != widths[1]:
            raise UserError(
                f"{lm.source} and {self.reference.source} have {widths[0]} and {widths[1]} logits: no common next token"
            )


class ContrastDecoder:
    """Feeds two decoders the same tokens and joins their logits."""

    def __init__(self, policy: Decoder, reference: Decoder, weight: float) -> None:
        self.policy, self.reference, self.weight = policy, reference, weight

    def extend(self, ids_BM: Tensor, valid_BM: Tensor) -> Tensor:
        logp, other = (torch.log_softmax(d.extend(ids_BM, valid_BM).float(), -1) for d in (self.policy, self.reference))
        return logp + self.weight * (logp - other)

    def branch(self, rows: Tensor, room: int) -> None:
        for decoder in (self.policy, self.reference):
            decoder.branch(rows, room)

    def select(self, rows: Tensor) -> None:
        for decoder in (self.policy, self.reference):
            decoder.select(rows)

    def forget(self, row: int, count: int) -> None:
        for decoder in (self.policy, self.reference):
            decoder.forget(row, count)
