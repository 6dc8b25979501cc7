"""The plain learner: log-probabilities by the module's forward pass, ``loss.backward()``, clip, AdamW.

`fast_learner.FastLearner` does the same with packed attention and one thread per core; `make_learner` chooses.  Several
processes divide the examples of a step (`parallel.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from rlready.core.compiled import compile_layers
from rlready.core.distributed import world_size
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.threads import single_threaded
from rlready.core.timing import gemm_peak, span
from rlready.models.batch import Batch, Example, micro_batches
from rlready.models.fsdp import fillers, is_sharded, sharded_logprobs, sum_gradients, whole
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.models.lora import Adapted
from rlready.train.loss import LossOutput
from rlready.train.parallel import examples_of_process, sum_over_processes
from rlready.train.recompute import enable_recomputation, recomputed
from rlready.train.schedule import BETAS, EPSILON

# maps a micro-batch and its log-probabilities (N,) to its loss
BatchLoss = Callable[[Batch, Tensor], LossOutput]


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW's settings, and the maximum number of tokens in a forward pass, padding included.

    ``gradient_checkpointing``: layers are computed again in the backward pass (`recompute.py`).
    """

    learning_rate: float
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_tokens_per_microbatch: int = 16384
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class StepStats:
    """What one optimiser step did; ``entropy`` in nats per chosen token, ``clip_ratio`` the share of clipped tokens."""

    loss: float
    grad_norm: float
    entropy: float
    clip_ratio: float
    tokens: int
    fed: int  # tokens of the forward pass, forced ones and prompts included; a shared prompt counts once


@dataclass
class Sums:
    """Sums over the micro-batches of one optimiser step.

    ``loss`` as the loss function returns it; ``entropy`` in nats over the tokens in the loss; ``clipped`` the number of
    tokens whose importance ratio was clipped; ``tokens`` those in the loss; ``fed`` those of the forward pass.
    """

    loss: float = 0.0
    entropy: float = 0.0
    clipped: float = 0.0
    tokens: int = 0
    fed: int = 0

    def add(self, output: LossOutput, entropy_N: Tensor, fed: int) -> None:
        """Add one micro-batch; ``entropy_N`` is the entropy at each of its N tokens in the loss."""
        self.loss += output.loss.item()
        self.entropy += entropy_N.sum().item()
        self.clipped += output.clip_ratio * len(entropy_N)
        self.tokens += len(entropy_N)
        self.fed += fed


class Learner(Protocol):
    """A model and its optimiser."""

    name: ClassVar[str]
    about: ClassVar[str]  # the name in words
    sharing: ClassVar[str]  # how often a prompt is read, in words
    lm: LM
    optimizer: torch.optim.Optimizer
    device: torch.device
    settings: OptimizerSettings
    bfloat16: bool

    def step(
        self, examples: Sequence[Example], loss_of: BatchLoss, *, rate: float, temperature: float = 1.0
    ) -> StepStats:
        """Take one optimiser step at ``rate`` times the learning rate; the loss is the sum over micro-batches.

        Raises UserError if the loss or the gradient is not finite; weights and optimiser are then unchanged.
        """
        ...

    def logprobs(self, model: Any, rows: Sequence[Example], temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy (N,) of the chosen tokens under ``model``, computed as in `step`."""
        ...


class PlainLearner:
    """Learner for every model that transformers can load, on any device.

    With ``bfloat16`` the forward and backward passes run under autocast; weights and optimiser state stay in fp32.
    On a GPU the layers of a large model are then compiled.
    """

    name: ClassVar[str] = "plain"
    about: ClassVar[str] = "PyTorch"
    sharing: ClassVar[str] = "each prompt is read once for each of its responses"

    def __init__(self, lm: LM, settings: OptimizerSettings, *, bfloat16: bool = False) -> None:
        self.lm, self.settings, self.bfloat16 = lm, settings, bfloat16
        self.parameters = [p for p in lm.model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        sum_gradients(lm.model)
        if settings.gradient_checkpointing:
            enable_recomputation(lm.model, lm.source)
        # otherwise the engine samples from the same layers, or FSDP has hooks in them
        copied = bfloat16 and not isinstance(lm, Adapted) and not is_sharded(lm.model)
        if copied and compile_layers(lm.model):
            note("compiling the layers for the GPU; the first steps take longer")
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            self.parameters,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )

    def step(
        self, examples: Sequence[Example], loss_of: BatchLoss, *, rate: float, temperature: float = 1.0
    ) -> StepStats:
        sums = self.backward(examples_of_process(examples), loss_of, temperature)
        loss, entropy, clipped, tokens, fed = sum_over_processes(self.lm.model, self.parameters, [*vars(sums).values()])
        sums = Sums(loss, entropy, clipped, int(tokens), int(fed))
        with single_threaded(self.lm.model):
            norm = float(whole(torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)))
        if not math.isfinite(sums.loss) or not math.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise UserError(
                f"the loss ({sums.loss}) or its gradient ({norm}) is not finite; the last checkpoint is intact: "
                "lower learning_rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        with span("optimizer"), single_threaded(self.lm.model):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        tokens = max(sums.tokens, 1)
        return StepStats(sums.loss, norm, sums.entropy / tokens, sums.clipped / tokens, sums.tokens, sums.fed)

    def backward(self, examples: Sequence[Example], loss_of: BatchLoss, temperature: float) -> Sums:
        """Leave the gradient of the summed loss in the parameters."""
        sums = Sums()
        batches = list(micro_batches(examples, self.settings.max_tokens_per_microbatch, self.device))
        to_keep_step = fillers(self.lm.model, batches)
        for batch in batches:
            with span("logprobs"), recomputed(self.lm.model, active=self.settings.gradient_checkpointing):
                logprobs_N, entropy_N = self.logprobs(self.lm.model, batch.rows, temperature)
                output = loss_of(batch, logprobs_N)
            with span("backward"), recomputed(self.lm.model, active=self.settings.gradient_checkpointing):
                output.loss.backward()
            sums.add(output, entropy_N, token_count(batch.rows))
        for rows in to_keep_step:
            with recomputed(self.lm.model, active=self.settings.gradient_checkpointing):
                (0 * self.logprobs(self.lm.model, rows, temperature)[0].sum()).backward()
        return sums

    def logprobs(self, model: Any, rows: Sequence[Example], temperature: float) -> tuple[Tensor, Tensor]:
        method = sharded_logprobs if is_sharded(model) else token_logprobs
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            return method(model, rows, temperature)


def peak_of(learner: Learner) -> float:
    """GFLOP/s of matrix products on the device and in the precision of a learner, in all processes together."""
    return _peak(learner.device.type, learner.bfloat16) * world_size()


@cache
def _peak(device: str, bfloat16: bool) -> float:
    return gemm_peak(device=device, bfloat16=bfloat16)


def token_count(examples: Iterable[Example]) -> int:
    return sum(len(e) for e in examples)
