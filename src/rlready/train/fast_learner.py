"""The fast learner for Llama-family models in fp32: packed attention, shared prompts and one thread per core."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from rlready.core.threads import learners, run_parallel, single_threaded, split_tokens
from rlready.core.timing import span
from rlready.models.batch import Batch, Example, micro_batches
from rlready.models.llama.logprob import packed_logprobs
from rlready.models.llama.support import packs
from rlready.models.lm import LM
from rlready.models.lora import Adapted
from rlready.train.learner import BatchLoss, Learner, OptimizerSettings, PlainLearner, Sums

Gradients = list[torch.Tensor | None]  # in the order of the parameters; None for a parameter without a gradient


class FastLearner(PlainLearner):
    """Equal to `PlainLearner` up to rounding, and several times as fast for a small model on a CPU."""

    name: ClassVar[str] = "fast"
    about: ClassVar[str] = "the fast path for small models on a CPU"
    sharing: ClassVar[str] = "each prompt is read once for all responses in a micro-batch"

    def backward(self, examples: Sequence[Example], loss_of: BatchLoss, temperature: float) -> Sums:
        threads = learners(self.lm.model)
        most = split_tokens(self.settings.max_tokens_per_microbatch, threads)
        if isinstance(self.lm, Adapted):
            threads = 1  # the loss may switch adapters, which it does for all threads
        batches = list(micro_batches(examples, most, self.device, threads))
        # the assignment of batches to threads is fixed, so the order of every summation is too
        shares = [batches[i::threads] for i in range(min(threads, len(batches)))]
        parts = run_parallel([partial(self._gradients, share, loss_of, temperature) for share in shares], threads)
        with single_threaded(self.lm.model):
            for i, parameter in enumerate(self.parameters):
                found = [g for gradients, _ in parts if (g := gradients[i]) is not None]
                for other in found[1:]:
                    found[0].add_(other)
                parameter.grad = found[0] if found else None
        totals = zip(*(vars(sums).values() for _, sums in parts), strict=True)
        return Sums(*map(sum, totals)) if parts else Sums()

    def logprobs(self, model: Any, rows: Sequence[Example], temperature: float) -> tuple[Tensor, Tensor]:
        return packed_logprobs(model, rows, temperature)

    def _gradients(self, batches: Sequence[Batch], loss_of: BatchLoss, temperature: float) -> tuple[Gradients, Sums]:
        """Gradients and sums of micro-batches; ``backward()`` would make threads add to the same tensors."""
        gradients: Gradients = [None] * len(self.parameters)
        sums = Sums()
        for batch in batches:
            with span("logprobs"):
                logprobs_N, entropy_N = self.logprobs(self.lm.model, batch.rows, temperature)
                output = loss_of(batch, logprobs_N)
            with span("backward"):
                found = torch.autograd.grad(output.loss, self.parameters, allow_unused=True)
            for i, gradient in enumerate(found):
                held = gradients[i]
                if held is None:
                    gradients[i] = gradient
                elif gradient is not None:
                    held.add_(gradient)
            sums.add(output, entropy_N, fed_tokens(batch.rows))
        return gradients, sums


def make_learner(lm: LM, settings: OptimizerSettings, *, bfloat16: bool = False) -> Learner:
    """The fast learner if it supports the model and trains in fp32 on a CPU, otherwise the plain one."""
    if packs(lm.model) and not (bfloat16 or settings.gradient_checkpointing):
        return FastLearner(lm, settings)
    return PlainLearner(lm, settings, bfloat16=bfloat16)


def fed_tokens(rows: Sequence[Example]) -> int:
    """Tokens of the rows; a prompt that several rows share counts once."""
    return sum(map(len, {tuple(r.prompt_ids) for r in rows})) + sum(len(r.response_ids) for r in rows)
