"""Log-probabilities in a vocabulary as wide as Qwen's, against float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rlready.engine.sampling import draw
from rlready.models.log_softmax import WIDE
from rlready.models.scoring import score

TOLERANCE = 1e-5


def logits(vocabulary: int) -> Tensor:
    """A likely token among the first, and a tail over all others."""
    found = torch.randn(8, vocabulary, generator=torch.Generator().manual_seed(0))
    found[:, 7] = found.logsumexp(-1) + 5
    return found


@pytest.mark.parametrize("vocabulary", [64, WIDE, WIDE + 1, 151_936])
def test_the_tail_of_a_wide_vocabulary_counts(vocabulary: int) -> None:
    rows = logits(vocabulary)
    exact = rows.double().log_softmax(-1)
    scored, entropy = score(lambda hidden: hidden, rows, torch.full((8,), 7), 1.0, vocabulary)
    assert scored.double() == pytest.approx(exact[:, 7], abs=TOLERANCE)
    assert entropy.double() == pytest.approx(-(exact.exp() * exact).sum(-1), abs=1e-3)
    for banned in (None, {0: [3]}):  # by the kernel, where there is one, and without it
        drawn, logprobs = draw(rows, 1.0, np.full(8, 0.5), banned=banned)
        assert logprobs.double() == pytest.approx(exact.gather(-1, drawn[:, None])[:, 0], abs=TOLERANCE)


def test_gradients_of_a_wide_vocabulary_sum_to_nothing() -> None:
    rows = logits(151_936).requires_grad_()
    score(lambda hidden: hidden, rows, torch.full((8,), 7), 1.0, 151_936)[0].sum().backward()
    assert rows.grad is not None
    assert rows.grad.double().sum(-1) == pytest.approx(torch.zeros(8).double(), abs=TOLERANCE)
