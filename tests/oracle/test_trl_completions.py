"""What TRL's GRPO trainer logs, ranked from its output folder alone, against the rewards of its functions."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

import families
from rlready.core.config import ReadinessConfig
from rlready.readiness.stage import readiness
from test_chat import CHATML
from tiny import tiny_model

PROBLEMS, GROUP, EPOCHS = 4, 4, 2


@pytest.mark.parametrize("chats", [True, False])
def test_the_output_of_grpo_is_ranked_as_its_rewards_were(chats: bool, tmp_path: Path) -> None:
    """Every epoch is a checkpoint, with every sample of it."""
    tokenizer = families.family("byte-level")
    tokenizer.chat_template, tokenizer.pad_token = CHATML, "<unk>"
    given: dict[str, list[float]] = defaultdict(list)

    def odd_length(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
        rewards = []
        for prompt, completion in zip(prompts, completions, strict=True):
            asked, text = (turns[0]["content"] if chats else turns for turns in (prompt, completion))
            rewards.append(float(len(text) % 2))
            given[asked].append(rewards[-1])
        return rewards

    questions = [f"What is {number} + 1?" for number in range(PROBLEMS)]
    rows = [{"prompt": [{"role": "user", "content": text}] if chats else text} for text in questions]
    trainer = GRPOTrainer(
        model=tiny_model("Llama", vocab_size=len(tokenizer), hidden_size=64, head_dim=16),
        reward_funcs=[odd_length],
        args=GRPOConfig(
            output_dir=str(tmp_path / "grpo"),
            per_device_train_batch_size=2 * GROUP,
            num_generations=GROUP,
            max_completion_length=8,
            num_train_epochs=EPOCHS,
            logging_steps=1,
            log_completions=True,
            report_to=[],
            use_cpu=True,
            save_strategy="no",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    result = readiness(ReadinessConfig(checkpoints=(f"trl:{tmp_path}/grpo",)), tmp_path / "run")
    assert [Path(each.name).name for each in result.checkpoints] == ["steps-1-2", "steps-3-4"]
    assert sorted(result.problems) == questions
    for epoch, counts in enumerate(result.per_problem.values()):
        expected = [sum(given[name][epoch * GROUP : (epoch + 1) * GROUP]) for name in result.problems]
        assert counts.counts.correct.tolist() == expected
