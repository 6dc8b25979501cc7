"""Budget forcing in TRL's GRPO trainer: budgets hold, and forced tokens learn nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trained_with_readiness import SMALL
from trl import GRPOConfig, GRPOTrainer

from rlready import ReadinessCallback
from rlready.core.errors import UserError
from rlready.interchange.trl_rollout import BudgetForcedRollout
from tiny import tiny_lm
from trl_peer import PLAIN

pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")
BUDGET, ANSWER, GROUP, PROMPTS = 9, 5, 4, 3
LIMITS = {"thinking_budget": BUDGET, "max_answer_tokens": ANSWER}
ASKED = [[{"role": "user", "content": f"what is {at}+{at}?"}] for at in range(PROMPTS)]


class Watched(GRPOTrainer):  # type: ignore[misc]
    """Keeps what was sampled, with which weights, and what the loss made of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weights: list[list[torch.Tensor]] = []
        self.sampled: list[dict[str, Any]] = []
        self.losses: list[tuple[dict[str, torch.Tensor], torch.Tensor]] = []
        inner = self.rollout_func

        def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
            modes = [module.training for module in self.model.modules()]
            found: dict[str, Any] = inner(prompts, trainer)
            assert [module.training for module in self.model.modules()] == modes
            self.sampled.append(found | {"prompts": prompts})
            self.weights.append([p.detach().clone() for p in self.model.parameters()])
            return found

        self.rollout_func = rollout

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        assert model.training
        assert self.accelerator.unwrap_model(model).is_gradient_checkpointing
        self._inputs = inputs
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if found[0].requires_grad:
            found[0].retain_grad()
            self.losses.append((self._inputs, found[0]))
        return found


def reward(completions: list[Any], thinking_tokens: list[int], **_: Any) -> list[float]:
    assert max(thinking_tokens) <= BUDGET
    return [float(at % GROUP) for at in range(len(completions))]


def trained(
    lm: Any,
    folder: Path,
    rollout: Any,
    *,
    steps: int = 2,
    prompts: Any = ASKED,
    peft_config: Any = None,
    callbacks: Any = (),
    **changes: Any,
) -> Watched:
    """A trainer after its steps; ``changes`` are settings of its ``GRPOConfig``."""
    settings = PLAIN | {
        "gradient_checkpointing": True,
        "gradient_accumulation_steps": 1,
        "per_device_train_batch_size": PROMPTS * GROUP,
        "num_generations": GROUP,
        "max_completion_length": BUDGET + ANSWER,
        "temperature": 0.8,
        "max_steps": steps,
        "learning_rate": 0.5,
        "output_dir": str(folder),
    }
    trainer = Watched(
        model=lm.model,
        reward_funcs=reward,
        args=GRPOConfig(**settings | changes),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=lm.tokenizer,
        rollout_func=rollout,
        peft_config=peft_config,
        callbacks=[*callbacks],
    )
    trainer.train()
    return trainer


def distance(inputs: dict[str, torch.Tensor], logps: torch.Tensor) -> float:
    """The largest difference, of a token that the policy chose, to the log-probabilities of the rollout."""
    chosen = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
    return float((logps.detach() - inputs["sampling_per_token_logps"])[chosen].abs().max())


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ({}, {}),
        ({"one_token": False}, {}),
        ({"family": "Gemma2", "template": "knows"}, {}),  # the decoder of all families; a prompt that opens no thought
        ({}, {"peft_config": LoraConfig(r=4, init_lora_weights=True, target_modules="all-linear")}),
    ],
    ids=["Llama", "several tokens close", "Gemma2", "LoRA"],
)
def test_two_steps_of_grpo(model: dict[str, Any], changes: dict[str, Any], tmp_path: Path) -> None:
    lm = tiny_lm(**model)
    closing = tuple(lm.encode_behind("a", "\n</think>\n"))
    rollout = BudgetForcedRollout(**LIMITS, answer_prefix="Final:")
    trainer = trained(lm, tmp_path, rollout, **changes)
    assert len(trainer.sampled) == len(trainer.losses) == 2

    forced, cut = (*closing, *lm.encode_behind("a\n</think>\n", "Final:")), 0
    for found in trainer.sampled:
        for prompt, ids in zip(found["prompts"], found["prompt_ids"], strict=True):
            theirs = lm.decode(trainer._tokenize_prompts([prompt])[0][0])
            assert lm.decode(ids) == theirs.removesuffix("<think>") + "<think>"
        columns = ("completion_ids", "env_mask", "logprobs", "thinking_tokens", "truncated")
        for tokens, mask, logprobs, thinking, truncated in zip(*(found[name] for name in columns), strict=True):
            assert len(tokens) == len(mask) == len(logprobs)
            assert sum(mask) <= BUDGET + ANSWER + len(closing)  # that the policy wrote itself
            thought = lm.decode(tokens).partition("</think>")[0]
            assert len(lm.encode(thought)) <= BUDGET + 1  # the break before the delimiter
            if truncated:
                cut += 1
                end = len(tokens) - sum(mask[thinking:])
                assert thinking == BUDGET
                assert lm.decode(tokens[thinking:end]).lstrip("\n") == lm.decode(forced).lstrip("\n")
                assert mask == [1] * thinking + [0] * (end - thinking) + [1] * (len(tokens) - end)
                assert not any(logprobs[thinking:end])
    assert cut > 2

    for inputs, logps in trainer.losses:
        chosen = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
        at_forced = logps.grad[inputs["completion_mask"].bool() & ~chosen]
        assert len(at_forced)
        assert not at_forced.any()
        assert logps.grad[chosen].count_nonzero() > chosen.sum() / 2
        # those of the policy that learns: at the second step, of the weights after the first
        assert distance(inputs, logps) < 1e-4
    first, second = trainer.weights
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(first, second, strict=True))


def test_the_second_rollout_would_differ_with_the_first_weights(tmp_path: Path) -> None:
    """So that the agreement of the log-probabilities after an update says something."""
    trainer = trained(tiny_lm(), tmp_path, BudgetForcedRollout(**LIMITS))
    inputs, logps = trainer.losses[1]
    with torch.no_grad():
        for parameter, before in zip(trainer.model.parameters(), trainer.weights[0], strict=True):
            parameter.copy_(before)
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        old = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, logps.shape[1])[0]
    assert distance(inputs, old) > 1e-2


def test_readiness_between_two_rollouts_changes_neither(tmp_path: Path) -> None:
    saves = {"save_strategy": "steps", "save_steps": 1}
    callback = ReadinessCallback("trained_with_readiness:Careless", **SMALL)
    drawn = [
        trained(tiny_lm(), tmp_path / name, BudgetForcedRollout(**LIMITS), callbacks=callbacks, **saves).sampled
        for name, callbacks in {"plain": [], "measured": [callback]}.items()
    ]
    assert drawn[0] == drawn[1]
    assert [path.name for path in sorted((tmp_path / "measured" / "readiness").iterdir())] == ["step-1", "step-2"]


TWO = """
import json, os, sys
from pathlib import Path
from test_trl_rollout import *

half = {"per_device_train_batch_size": GROUP // 2, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
trainer = trained(tiny_lm(), Path(sys.argv[1]), BudgetForcedRollout(**LIMITS), prompts=ASKED[:1], **half)
apart = [distance(*each) for each in trainer.losses]
found = {"apart": apart, "drawn": [each["completion_ids"] for each in trainer.sampled]}
Path(sys.argv[1], os.environ["RANK"] + ".json").write_text(json.dumps(found))
"""


def test_two_processes_draw_different_samples_of_one_policy(tmp_path: Path) -> None:
    """Each has half of the group of the only prompt."""
    (tmp_path / "two.py").write_text(TWO)
    folders = os.pathsep.join(str(folder) for folder in (Path(__file__).parent, Path(__file__).parents[1]))
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "two.py", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": folders},
        timeout=300,
        check=True,
    )
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert max(one["apart"] + other["apart"]) < 1e-4
    for mine, theirs in zip(one["drawn"], other["drawn"], strict=True):
        assert len(mine) == len(theirs) == GROUP // 2
        assert not set(map(tuple, mine)) & set(map(tuple, theirs))


def test_waits_and_prompts_that_are_texts(tmp_path: Path) -> None:
    lm = tiny_lm()
    texts = ["1+1", "2+1 <think>", "3+1"]  # TRL renders no template for them; what opens a thought stays
    rollout = BudgetForcedRollout(**LIMITS, num_waits=1, wait_text="W")
    (found,) = trained(lm, tmp_path, rollout, steps=1, prompts=texts).sampled
    assert {lm.decode(ids) for ids in found["prompt_ids"]} == {"1+1<think>", "2+1 <think>", "3+1<think>"}
    (wait,) = lm.encode("W")
    rows = zip(found["completion_ids"], found["env_mask"], strict=True)
    assert any((wait, 0) in zip(*row, strict=True) for row in rows)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ({"template": "plain"}, {}, "its chat template opens no thought .* which a thinking budget needs"),
        ({"max_position_embeddings": 24}, {}, "prompt 0: its prompt of .* more than the context of 24 tokens"),
        ({}, {"top_p": 0.9}, "top_p=0.9 of the trainer is not followed"),
        ({}, {"max_completion_length": 8}, "max_completion_length=8; raise it to 14"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    model: dict[str, Any], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        trained(tiny_lm(**model), tmp_path, BudgetForcedRollout(**LIMITS), **changes)
    assert "\n" not in str(raised.value)


def test_settings_out_of_range_are_refused_at_once() -> None:
    with pytest.raises(UserError, match="thinking_budget"):
        BudgetForcedRollout(thinking_budget=0, max_answer_tokens=4)
    with pytest.raises(UserError, match="needs both thinking_budget and max_answer_tokens"):
        BudgetForcedRollout(None, 8)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="wait_text does not apply"):
        BudgetForcedRollout(**LIMITS, wait_text="Hm")
