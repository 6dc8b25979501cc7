"""What both learners share: one optimiser step from examples, checkpoints, and exact resume.

State is saved as a whole folder (weights, optimiser, step), atomically; everything else a run needs follows
from its configuration and the step, so a run killed anywhere and started again ends with the same bits.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.threads import alone, beside, learners, split_tokens
from rlready.core.timing import span
from rlready.models.batch import Batch, Example, micro_batches
from rlready.models.checkpoint import save
from rlready.models.llama.support import supports
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.runs.run import write_folder

STATE_SECONDS = 30.0


@dataclass(frozen=True)
class Step:
    """What one optimiser step did; ``entropy`` in nats per chosen token, ``clipped`` the share of them."""

    loss: float
    grad_norm: float
    entropy: float
    clipped: float
    tokens: int
    fed: int  # tokens of the forward pass: chosen or not, shared prompts once


# from a micro-batch and its log-probs (N,): the loss, and the share of tokens whose ratio was clipped
BatchLoss = Callable[[Batch, torch.Tensor], tuple[torch.Tensor, torch.Tensor | float]]


@dataclass
class _Part:
    """Sums over some micro-batches; ``gradients`` in the order of the parameters, None where there is none."""

    gradients: list[torch.Tensor | None]
    loss: float = 0.0
    entropy: float = 0.0
    clipped: float = 0.0
    tokens: int = 0
    fed: int = 0


def check(config: SFTConfig | RLConfig) -> None:
    """UserError for a seed that nothing can be drawn from, and for an optimiser that stands still or climbs."""
    for name in ("learning_rate", "max_grad_norm"):
        if not getattr(config, name) > 0:
            raise UserError(f"{name} must be above 0, got {getattr(config, name):g}")
    for name in ("seed", "weight_decay"):
        if not getattr(config, name) >= 0:
            raise UserError(f"{name} must not be negative, got {getattr(config, name):g}")


class Learner:
    """A model and its optimiser (AdamW, betas 0.9 and 0.95)."""

    def __init__(self, lm: LM, *, lr: float, weight_decay: float, clip: float, micro_tokens: int) -> None:
        self.lm, self.lr, self.clip, self.micro_tokens = lm, lr, clip, micro_tokens
        self.parameters = [p for p in lm.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.95), fused=True
        )
        self.device = self.parameters[0].device

    def step(self, examples: Sequence[Example], loss_of: BatchLoss, *, rate: float, temperature: float = 1.0) -> Step:
        """One optimiser step at ``lr * rate``: the loss of a batch is the sum over its micro-batches.

        Raises UserError, leaving weights and optimiser as they were, when the loss or the gradient is not finite.
        """
        parts = self.accumulate(examples, loss_of, temperature)
        total = sum(p.loss for p in parts)
        tokens = sum(p.tokens for p in parts)
        with alone(self.lm.model):
            norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.clip))
        if not math.isfinite(total) or not math.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise UserError(
                f"the loss ({total}) or its gradient ({norm}) is not finite; the last checkpoint is intact: "
                "lower learning_rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * rate
        with span("optimizer"), alone(self.lm.model):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        entropy, clipped = (sum(getattr(p, name) for p in parts) / max(tokens, 1) for name in ("entropy", "clipped"))
        return Step(total, norm, entropy, clipped, tokens, sum(p.fed for p in parts))

    def accumulate(self, examples: Sequence[Example], loss_of: BatchLoss, temperature: float = 1.0) -> list[_Part]:
        """Give the parameters the gradient of the summed loss; returns what each thread did."""
        threads = learners(self.lm.model) if supports(self.lm.model) else 1
        most = split_tokens(self.micro_tokens, threads)
        batches = list(micro_batches(examples, most, self.device, threads))
        # which thread takes which is fixed, and so is every order of summation
        shares = [batches[i::threads] for i in range(min(threads, len(batches)))]
        parts = beside([partial(self._gradients, share, loss_of, temperature) for share in shares], threads)
        with alone(self.lm.model):
            for i, parameter in enumerate(self.parameters):
                found = [g for p in parts if (g := p.gradients[i]) is not None]
                for other in found[1:]:
                    found[0].add_(other)
                parameter.grad = found[0] if found else None
        return parts

    def _gradients(self, batches: Sequence[Batch], loss_of: BatchLoss, temperature: float) -> _Part:
        """Losses and gradients of micro-batches, one after another."""
        part = _Part([None] * len(self.parameters))
        for batch in batches:
            with span("logprobs"):
                logp_N, entropy_N = token_logprobs(self.lm.model, batch.rows, temperature)
                loss, clipped = loss_of(batch, logp_N)
            with span("backward"):
                found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            for i, gradient in enumerate(found):
                held = part.gradients[i]
                if held is None:
                    part.gradients[i] = gradient
                elif gradient is not None:
                    held.add_(gradient)
            part.loss += loss.item()
            part.entropy += entropy_N.sum().item()
            part.clipped += float(clipped) * len(logp_N)
            part.tokens += len(logp_N)
            part.fed += fed_tokens(batch.rows)
        return part


class Checkpointer:
    """Checkpoints and resumable state of one run folder."""

    def __init__(self, out: Path, learner: Learner) -> None:
        self.out, self.learner = out, learner
        self._saved = time.monotonic()

    @property
    def state(self) -> Path:
        return self.out / "state"

    def restore(self) -> dict[str, Any]:
        """Continue from the saved state; returns the run's own facts, empty at a fresh start."""
        if not (self.state / "facts.json").exists():
            return {}
        saved = torch.load(self.state / "tensors.pt", weights_only=True, map_location=self.learner.device)
        self.learner.lm.model.load_state_dict(saved["model"])
        self.learner.optimizer.load_state_dict(saved["optimizer"])
        facts: dict[str, Any] = json.loads((self.state / "facts.json").read_text())
        return facts

    def keep(self, facts: dict[str, Any], *, now: bool = False) -> None:
        """Save the state if it is time to, or ``now``."""
        if not now and time.monotonic() - self._saved < STATE_SECONDS:
            return

        def fill(folder: Path) -> None:
            tensors = {
                "model": self.learner.lm.model.state_dict(),
                "optimizer": self.learner.optimizer.state_dict(),
            }
            torch.save(tensors, folder / "tensors.pt")
            (folder / "facts.json").write_text(json.dumps(facts))

        write_folder(self.state, fill)
        self._saved = time.monotonic()

    def checkpoint(self, step: int, card: str) -> Path:
        """A Hugging Face folder of the weights as they are."""
        path = self.out / "checkpoints" / f"step-{step}"
        write_folder(path, lambda folder: save(self.learner.lm, folder, card))
        return path


def token_count(examples: Iterable[Example]) -> int:
    return sum(len(e) for e in examples)


def fed_tokens(rows: Sequence[Example]) -> int:
    """Tokens of the rows with every prompt counted once."""
    return sum(map(len, {tuple(r.prompt_ids) for r in rows})) + sum(len(r.response_ids) for r in rows)


def warm(step: int, steps: int, share: float) -> float:
    """Linear warm-up over the first ``share`` of the steps, as a factor of the learning rate."""
    ramp = max(1, round(steps * share))
    return min(1.0, (step + 1) / ramp)
