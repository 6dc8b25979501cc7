"""TRL's SFT of a tiny model with readiness at every save: what test_readiness_callback.py runs, also in two processes.

torchrun --nproc-per-node 2 tests/oracle/trained_with_readiness.py OUTPUT_DIR
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from rlready import ReadinessCallback
from rlready.core.records import Problem
from rlready.tasks import Task, Verdict

STEPS = 3
SMALL: dict[str, Any] = {"samples": 4, "group_size": 2, "thinking_budget": 8, "max_answer_tokens": 4, "device": "cpu"}


class Careless(Task):
    """Its verifier draws from all generators."""

    def problems(self) -> list[Problem]:
        return [Problem(f"p{at}", f"what is {at}+{at}?", str(2 * at)) for at in range(2)]

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        return Verdict(random.random() + np.random.rand() + float(torch.rand(())) > 1.5)


def train(output: Path, *callbacks: ReadinessCallback, keep: int | None = 1, resume: Path | None = None) -> SFTTrainer:
    """Trained with dropout, which draws random numbers in every step; ``keep`` is how many checkpoints stay."""
    from tiny import tiny_lm

    lm = tiny_lm(attention_dropout=0.3)
    rows = [{"prompt": f"what is {at}+1?", "completion": f"it is {at + 1}"} for at in range(8)]
    args = SFTConfig(
        output_dir=str(output),
        max_steps=STEPS,
        save_steps=1,
        save_total_limit=keep,
        learning_rate=1e-2,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        lm.model, args, train_dataset=Dataset.from_list(rows), processing_class=lm.tokenizer, callbacks=[*callbacks]
    )
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    callback = ReadinessCallback("trained_with_readiness:Careless", **SMALL)
    assert train(Path(sys.argv[1]), callback).state.global_step == STEPS
