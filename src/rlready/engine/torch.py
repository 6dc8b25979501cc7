"""The built-in engine: batched sampling of any Hugging Face causal LM.

A prompt is prefilled once and its cache copied to all its samples; rows that are done are dropped; every row
is a budget machine that either forces its next token or takes a drawn one.  Batches run beside each other, a thread
a core, but for large models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.core.threads import READ, run_parallel, small, workers
from rlready.core.timing import span
from rlready.engine.budget import BudgetState, Forcing
from rlready.engine.contrastive import Contrast, ContrastDecoder
from rlready.engine.decoder import Decoder, HFDecoder, cache_bytes
from rlready.engine.forward_check import refuse_unlike_forward
from rlready.engine.llama import LlamaDecoder, LlamaWeights
from rlready.engine.protocol import Request
from rlready.engine.sampling import draw, stream_key, uniforms
from rlready.models.llama.support import supports
from rlready.models.lm import LM

KEEP = 0.8  # compact when fewer than this share of the rows is still running
ROWS = 256  # of a batch, at most
ROWS_OF_SMALL = 1024  # the same for a small model, whose operations are too short to be worth starting for fewer
LEAST_ROWS = 8  # a batch is not split over threads below this
CACHE_BYTES = 4 << 30  # of keys and values, in all batches at once, on a processor
CACHE_SHARE = 4  # the part of an accelerator's memory that they may have: a quarter


class TorchEngine:
    """Engine over a model in this process; ``rows`` bounds a batch, ``fast`` allows the Llama decoder.

    A batch whose keys and values might not fit in memory has fewer rows.
    With ``contrast`` it samples away from a second model; the log-probabilities are those of the joint policy.
    """

    def __init__(
        self, lm: LM, forcing: Forcing, *, rows: int | None = None, fast: bool = True, contrast: Contrast | None = None
    ) -> None:
        if contrast:
            contrast.check(lm)
        self.lm, self.forcing, self.contrast = lm, forcing, contrast
        self.rows = rows or (ROWS_OF_SMALL if small(lm.model) else ROWS)
        self.fast = fast and supports(lm.model)
        self.device = next(lm.model.parameters()).device

    def sample(self, requests: Sequence[Request], *, temperature: float, seed: int) -> list[Sample]:
        """Samples in the order of the requests; UserError for a model that cannot be sampled in a batch."""
        holes = any(r.trace or r.budget.thinking is not None or r.budget.extensions for r in requests)
        for model in self._models():
            if not (self.fast and supports(model)):
                refuse_unlike_forward(model, holes=holes)
        machines = [BudgetState(r.budget, self.forcing) for r in requests]
        todo = []
        for i, (request, machine) in enumerate(zip(requests, machines, strict=True)):
            if request.trace is None or not machine.replay(request.trace):
                while machine.forced() is not None:  # what closes a cut trace is read with it
                    pass
                todo.append(i)
        # neighbours in length share a batch; samples of one prompt stay together
        todo.sort(key=lambda i: (len(requests[i].prompt_ids) + len(machines[i].tokens), requests[i].prompt_ids, i))
        threads = workers(self.lm.model, READ)
        most = min(self.rows, self._room([requests[i] for i in todo], threads))
        size = min(most, max(LEAST_ROWS, math.ceil(len(todo) / threads)))
        batches = [todo[at : at + size] for at in range(0, len(todo), size)]
        if 1 < len(batches) <= threads:  # a batch a thread: long and short prompts for each, so that they end together
            prompts = [list(some) for _, some in groupby(todo, lambda i: requests[i].prompt_ids)]
            dealt = [list(chain(*prompts[at :: len(batches)])) for at in range(len(batches))]
            batches = dealt if all(0 < len(b) <= most for b in dealt) else batches
        if batches:
            decoders = self.decoders()
            run_parallel(
                [
                    partial(self._run, decoders, [requests[i] for i in b], [machines[i] for i in b], temperature, seed)
                    for b in batches
                ],
                threads,
            )
        return [
            m.sample(r.problem_id, r.sample_id, self.lm.decode(m.tokens))
            for r, m in zip(requests, machines, strict=True)
        ]

    def _room(self, requests: Sequence[Request], threads: int) -> int:
        """Rows of a batch, at least one, whose keys and values fit in memory at the requests' greatest length."""
        longest = max((len(r.prompt_ids) + self.forcing.most(r.budget) for r in requests), default=1)
        memory = CACHE_BYTES
        if self.device.type == "cuda":
            memory = torch.cuda.get_device_properties(self.device).total_memory // CACHE_SHARE
        return max(1, memory // (threads * longest * sum(map(cache_bytes, self._models()))))

    def _models(self) -> list[Any]:
        return [self.lm.model, *([self.contrast.reference.model] if self.contrast else [])]

    def decoders(self) -> Callable[[int], Decoder]:
        """Makes decoders of so many rows, over the model's weights as they are now."""
        policy = self._decoders(self.lm, self.fast)
        if self.contrast is None:
            return policy
        other, weight = self.contrast.reference, self.contrast.weight
        reference = self._decoders(other, self.fast and supports(other.model))
        return lambda rows: ContrastDecoder(policy(rows), reference(rows), weight)

    @staticmethod
    def _decoders(lm: LM, fast: bool) -> Callable[[int], Decoder]:
        if fast:
            with torch.no_grad():
                return partial(LlamaDecoder, LlamaWeights(lm.model))
        return partial(HFDecoder, lm.model)

    @torch.no_grad()
    def _run(
        self,
        decoders: Callable[[int], Decoder],
        requests: list[Request],
        machines: list[BudgetState],
        temperature: float,
        seed: int,
    ) -> None:
        """Decode one batch to its end."""
        with span("prefill"):
            decoder, logits_BV = self._prefill(decoders, requests, machines)
        with span("decode"):
            self._decode(decoder, logits_BV, requests, machines, temperature, seed)

    def _decode(
        self,
        decoder: Decoder,
        logits_BV: Tensor,
        requests: list[Request],
        machines: list[BudgetState],
        temperature: float,
        seed: int,
    ) -> None:
        keys = np.array([stream_key(seed, r.problem_id, r.sample_id) for r in requests], dtype=np.uint64)
        alive = list(range(len(machines)))  # machine of each row of the decoder
        running = [True] * len(alive)
        steered = any(m.budget.extensions or m.budget.bias for m in machines)
        while True:
            here = [machines[i] for i in alive]
            next_ids = self._advance(decoder, here, running, logits_BV, temperature, keys[alive], steered)
            left = sum(running)
            if not left:
                return
            if left < KEEP * len(alive):
                kept = [row for row, on in enumerate(running) if on]
                decoder.select(torch.tensor(kept, device=self.device))
                next_ids, alive = next_ids[kept], [alive[row] for row in kept]
                running = [True] * left
            logits_BV = decoder.extend(next_ids[:, None], torch.tensor(running, device=self.device)[:, None])

    def _advance(
        self,
        decoder: Decoder,
        machines: list[BudgetState],
        running: list[bool],
        logits_BV: Tensor,
        temperature: float,
        keys: np.ndarray[tuple[int], np.dtype[np.uint64]],
        steered: bool,
    ) -> Tensor:
        """The next token of every row, drawn or forced; marks rows that are done.

        ``steered``: whether a budget has extensions or a bias, and the policy's odds may not be drawn from as they are.
        """
        # what was taken back for an extension is not drawn again with the same numbers
        positions = np.array([len(m.tokens) + (m.extensions << 32) for m in machines], dtype=np.uint64)
        banned, nudge = dict[int, frozenset[int]](), None
        if steered:
            banned = {row: m.banned for row, m in enumerate(machines) if running[row] and m.banned}
            bias_B = np.array([m.bias for m in machines])
            end = self.forcing.delimiter.single
            nudge = (end, bias_B) if end is not None and bias_B.any() else None
        tokens_B, logp_B = draw(logits_BV, temperature, uniforms(keys, positions), banned, nudge)
        drawn, logprobs = tokens_B.tolist(), logp_B.tolist()
        if not torch.isfinite(logp_B).all() and any(
            on and not math.isfinite(logprob) for on, logprob in zip(running, logprobs, strict=True)
        ):
            raise UserError(f"{self.lm.source}: the model's logits are not finite; its weights are broken")
        next_ids = []
        for row, machine in enumerate(machines):
            token = 0  # a finished row that is not compacted yet is fed a hole
            if running[row]:
                fed = len(machine.tokens)
                forced = machine.forced()
                if forced is None:
                    machine.accept(drawn[row], logprobs[row])
                    if len(machine.tokens) < fed:
                        decoder.forget(row, fed - len(machine.tokens))
                    if len(machine.tokens) <= fed and not machine.done:
                        machine.forced()  # something was taken back: what replaces it comes next
                running[row] = not machine.done
                token = machine.tokens[-1]
            next_ids.append(token)
        return torch.tensor(next_ids, device=self.device)

    def _prefill(
        self, decoders: Callable[[int], Decoder], requests: list[Request], machines: list[BudgetState]
    ) -> tuple[Decoder, Tensor]:
        """Encode every distinct prompt once, hand its cache to its rows, then feed what they already hold."""
        prompts = list(dict.fromkeys(r.prompt_ids for r in requests))
        decoder = decoders(len(prompts))
        logits_BV = decoder.extend(*self._pad(prompts))
        index = {prompt: i for i, prompt in enumerate(prompts)}
        rows = torch.tensor([index[r.prompt_ids] for r in requests], device=self.device)
        decoder.branch(rows, max(self.forcing.most(r.budget) for r in requests))
        logits_BV = logits_BV[rows]
        if any(m.tokens for m in machines):  # the beginning of a trace
            held_BV = decoder.extend(*self._pad([m.tokens for m in machines]))
            fed = torch.tensor([bool(m.tokens) for m in machines], device=self.device)
            logits_BV = torch.where(fed[:, None], held_BV, logits_BV)
        return decoder, logits_BV

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """(B, M) ids and their validity, padded on the left."""
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        valid = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            if row:
                ids[i, width - len(row) :] = torch.tensor(list(row))
                valid[i, width - len(row) :] = True
        return ids.to(self.device), valid.to(self.device)
