"""Our advantages, losses and gradients are TRL's, as TRL gave them once (scripts/make_trl_golden.py), without TRL.

A gradient is compared in one weight matrix of a model whose weights are a formula; the gradient of every token's
log-probability goes through it.  The live comparison, in all weights, is test_trl_oracle.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlready.credit.algorithms import ALGORITHMS
from trl_case import ANSWER, CASES, THOUGHT, TOLERANCE, Case, our_steps, save_pair, written_lm, written_rollouts

GOLDEN = Path(__file__).parent / "data" / "trl_golden.json"
MATRIX = "model.layers.0.mlp.down_proj.weight"
KLS = (0.0, 0.3)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(GOLDEN.read_text())
    assert known["matrix"] == MATRIX
    return known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pair(tmp_path, written_lm(0.0), written_lm(1.0))
    return tmp_path


def same(ours: torch.Tensor, theirs: list[float]) -> None:
    known = torch.tensor(theirs)
    size = known.abs().max().item()
    assert size > 1e-3, "gradients too small to compare"
    torch.testing.assert_close(ours.flatten(), known, rtol=0, atol=TOLERANCE * min(1.0, size))


@pytest.mark.parametrize("kl", KLS)
@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_trls(golden: dict[str, Any], folder: Path, name: str, kl: float) -> None:
    """On policy, and at the second update off policy, where some ratios are clipped."""
    case, theirs = CASES[name], golden[f"{name}, kl={kl}"]
    groups = written_rollouts(written_lm(0.0), case.rewards)
    ours, clipped = our_steps(folder, groups, case, updates=2, kl=kl)
    advantages = np.concatenate([ALGORITHMS[case.algorithm].advantage(g.rewards) for g in groups])
    np.testing.assert_allclose(advantages, theirs["advantages"], atol=TOLERANCE)
    for gradients, known in zip(ours.gradients, theirs["gradients"], strict=True):
        same(gradients[MATRIX], known)
    assert ours.losses[-1] == pytest.approx(theirs["losses"][-1], abs=TOLERANCE)
    assert clipped > 0
    alone, none_clipped = our_steps(folder, groups, case, updates=1, kl=kl)
    assert alone.losses[-1] == pytest.approx(theirs["losses"][0], abs=TOLERANCE)
    assert none_clipped == 0


def test_rloo_is_trls_divided_by_the_cap(golden: dict[str, Any], folder: Path) -> None:
    """TRL takes the mean over responses of their whole log-probabilities, we divide it by the most tokens of one."""
    groups = written_rollouts(written_lm(0.0), CASES["grpo"].rewards, forced=False)
    advantages = np.concatenate([ALGORITHMS["rloo"].advantage(g.rewards) for g in groups])
    np.testing.assert_allclose(advantages, golden["rloo"]["advantages"], atol=TOLERANCE)
    ours, _ = our_steps(folder, groups, Case("rloo", {}), updates=1, kl=0.0)
    same(ours.gradients[0][MATRIX] * (THOUGHT + ANSWER), golden["rloo"]["gradients"][0])
