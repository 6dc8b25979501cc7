"""Contrastive decoding: two models behind one sampler, without training.

    log π(y|s) = (1 + w) log π_SFT(y|s) − w log π_ref(y|s) + constant,      w = 1/β

With a KL penalty, the optimum of dense rewards (Li et al., arXiv 2510.02493) is π_SFT^{1+1/β} / π_ref^{1/β} over whole
responses, where β is in nats of r̂.  Training divides r̂ by its standard deviation σ, so a β of training corresponds to
βσ here. This decoder takes the optimum token by token, as with γ = 0.  It is the baseline that shows what training
adds.  Left out: a plausibility threshold, which contrastive decoding (Li et al., arXiv 2210.15097) needs for models
that differ much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.engine.decoder import Decoder
from rlready.models.lm import LM
from rlready.models.tokenizer import vocabulary_digest


@dataclass(frozen=True)
class Contrast:
    """The model to decode away from; ``weight`` is 1/β."""

    reference: LM
    weight: float

    def refuse_other_vocabulary(self, lm: LM) -> None:
        """UserError unless both models have the same vocabulary and the same number of logits."""
        if vocabulary_digest(lm.tokenizer) != vocabulary_digest(self.reference.tokenizer):
            raise UserError(
                f"{lm.source} and {self.reference.source} have different tokenizers, so their logits cannot be "
                "combined; use a reference with the same tokenizer"
            )
        widths = [len(cast("Any", m.model.get_input_embeddings()).weight) for m in (lm, self.reference)]
        if widths[0] != widths[1]:
            raise UserError(
                f"{lm.source} and {self.reference.source} have {widths[0]} and {widths[1]} logits, which cannot be "
                "combined; use a reference with the same vocabulary"
            )


class ContrastDecoder:
    """Feeds the same tokens to two decoders and combines their logits."""

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
