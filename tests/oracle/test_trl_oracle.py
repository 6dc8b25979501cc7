"""TRL as the oracle: on the same batch, losses, gradients and advantages equal those of its trainers.

Both sides run their whole path.  TRL's ``train()`` is handed rollouts by its ``rollout_func`` (forced tokens as
``env_mask``), scores them, splits them over two accumulation steps, and takes its optimiser steps, plain SGD; rlready's
is the update of ``rlready.train``, with micro-batches by length.  The gradients are compared as each optimiser gets
them: at the first update, on the policy's own samples, and at the second, off policy and partly clipped, where the
weights have gone through the first on either side.

`make test-oracle` runs them in an environment that has TRL; test_trl_golden.py guards the same numbers without it.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from rlready.core.errors import UserError
from rlready.core.records import Group, Row
from rlready.credit.algorithms import ALGORITHMS
from rlready.models.checkpoint import load
from rlready.models.encode import encode
from rlready.train import mismatch
from rlready.train.loss import LossOutput, likelihood_loss
from rlready.train.sft import weighted
from test_loss import FLAT, Gradients, rollouts, symbolic_lm
from trl_case import CASES, TEMPERATURE, TOLERANCE, Steps, apart, learner, our_steps, save_pair
from trl_peer import PLAIN, Watch, trl_steps, watched

pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")


def with_one_forced_token_learned(groups: list[Group]) -> list[Group]:
    """The first sample that has a forced token, with that token taken for the policy's choice."""
    group = groups[0]
    at, sample = next((i, s) for i, s in enumerate(group.samples) if not s.mask.all())
    mask = sample.mask.copy()
    mask[np.flatnonzero(mask == 0)[0]] = 1
    samples = [*group.samples[:at], replace(sample, mask=mask), *group.samples[at + 1 :]]
    return [replace(group, samples=samples), *groups[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoint to start from and another as the reference."""
    save_pair(tmp_path, symbolic_lm(0), symbolic_lm(1))
    return tmp_path


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "token weights", "sequence weights"])
def test_policy_gradients_are_trls(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, kl: float, updates: int
) -> None:
    """GRPO, Dr. GRPO and DAPO, on and off policy, with and without a KL penalty; a wrong mask is seen.

    Also with the truncated importance weights of an engine that is not the learner, of tokens and of responses.

    A group without signal is among them, which we drop and TRL does not; not for DAPO without KL, where we differ
    on purpose, as the algorithm samples such groups away.
    """
    case = CASES[name]
    rewards = [*case.rewards[:-1], FLAT[1]] if kl else case.rewards
    groups = rollouts(load(str(folder / "start")), rewards, temperature=TEMPERATURE)
    theirs = trl_steps(folder, groups, case, updates=updates, kl=kl)
    ours, clipped = our_steps(folder, groups, case, updates=updates, kl=kl)

    advantages = np.concatenate([ALGORITHMS[case.algorithm].advantage(g.rewards) for g in groups])
    np.testing.assert_allclose(advantages, theirs.advantages, atol=TOLERANCE)
    assert len(ours.gradients) == len(theirs.gradients) == updates
    worst = [apart(a, b) for a, b in zip(ours.gradients, theirs.gradients, strict=True)]
    assert max(worst) <= TOLERANCE
    assert abs(ours.losses[-1] - theirs.losses[-1]) <= TOLERANCE
    assert (clipped > 0) == (updates > 1)

    masked = with_one_forced_token_learned(groups)
    monkeypatch.setattr(mismatch, "ENOUGH", 1)
    with pytest.raises(UserError, match="different log-probabilities"):  # the sampler has none of that token
        our_steps(folder, masked, case, updates=1, kl=kl)
    monkeypatch.setattr(mismatch, "LIMIT", math.inf)
    wrong, _ = our_steps(folder, masked, case, updates=1, kl=kl)
    assert apart(wrong.gradients[0], theirs.gradients[0]) > 100 * TOLERANCE


def test_sft_gradient_is_trls(folder: Path) -> None:
    """From text to gradient, our rows and TRL's prompt and completion messages; a wrong mask is seen."""
    rows = [
        Row("a", "a = 3 + 4 ? a", "a = 7", "a = 3 + 4 = 7"),
        Row("b", "b = 2 c = b * 5 ? c", "c = 10", "b = 2 so c = 2 * 5 = 10"),
        Row("c", "d = 9 ? d", "d = 9", "d = 9"),
        Row("d", "e = 6 - 1 f = e - 4 g = f + e ? g", "g = 6", "e = 5 f = 5 - 4 = 1 g = 1 + 5 = 6"),
    ]
    data = {
        "prompt": [[{"role": "user", "content": r.prompt}] for r in rows],
        "completion": [[{"role": "assistant", "content": f"{r.thinking} </think> {r.response}"}] for r in rows],
    }
    args = SFTConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=2,
        max_steps=1,
        completion_only_loss=True,
        model_init_kwargs={"dtype": "float32"},
        **PLAIN,
    )
    theirs = Steps()
    tokenizer = load(str(folder / "start")).tokenizer
    trainer = SFTTrainer(
        str(folder / "start"),
        args=args,
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
        callbacks=[Watch(theirs)],
    )
    watched(trainer, theirs)

    def ours(weighed: Any) -> tuple[float, Gradients]:
        seen = Steps()
        done = learner(folder, seen).step(
            weighed, lambda b, logp: LossOutput(likelihood_loss(logp, b.advantage_N, b.weight_N)), rate=1.0
        )
        return done.loss, seen.gradients[0]

    examples = encode(load(str(folder / "start")), rows, "rows")
    loss, gradient = ours(weighted(examples))
    assert apart(gradient, theirs.gradients[0]) <= TOLERANCE
    assert abs(loss - theirs.losses[0]) <= TOLERANCE
    without_end = [replace(e, mask=np.append(e.mask[:-1], np.uint8(0))) for e in examples]
    assert apart(ours(weighted(without_end))[1], theirs.gradients[0]) > 100 * TOLERANCE
