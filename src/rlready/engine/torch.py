"""The built-in engine: batched sampling of any Hugging Face causal LM in this process.

A prompt is prefilled once and its cache is copied to all its samples.  Rows that have ended are removed.  Every row has
a budget state, which either forces the next token or accepts the one that was drawn.  Small models decode several
batches in parallel, one thread per core.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.core.sampling_progress import decoded
from rlready.core.stopping import heed_stop, nothing
from rlready.core.threads import READ, run_parallel, small, workers
from rlready.core.timing import span
from rlready.engine.batches import Batch, in_batches
from rlready.engine.budget import BudgetState, Forcing
from rlready.engine.contrastive import Contrast, ContrastDecoder
from rlready.engine.decoder import Decoder, HFDecoder, cache_bytes
from rlready.engine.forward_check import refuse_unlike_forward
from rlready.engine.graph import GraphDecoder
from rlready.engine.llama import LlamaDecoder, LlamaWeights
from rlready.engine.protocol import Ended, Engine, Request
from rlready.engine.sampling import draw, stream_key, uniforms
from rlready.engine.sampling_model import copy_weights, sampling_model
from rlready.models.llama.support import supports
from rlready.models.lm import LM

KEEP = 0.8  # remove ended rows from the batch when less than this share of its rows is running
BATCH_SIZE = 256  # largest number of rows in a batch
BATCH_SIZE_OF_SMALL = 1024  # the same for a small model, whose operations are too short for small batches
CACHE_BYTES = 4 << 30  # of keys and values in all concurrent batches, on a CPU
CACHE_SHARE = 2  # on a GPU they may use 1 / CACHE_SHARE of the memory that tensors leave free

MakeDecoder = Callable[[int], Decoder]  # from a number of rows


class TorchEngine(Engine):
    """Engine over a model in this process.

    ``batch_size`` limits the rows that are decoded together; a batch has fewer if its keys and values might not fit in
    memory.  ``fast`` allows the decoder of the Llama family.  With ``contrast`` tokens are drawn by contrastive
    decoding, and the log-probabilities are those of the joint policy.  With ``bfloat16`` it samples from a copy of the
    model whose weights are rounded.
    """

    def __init__(
        self,
        lm: LM,
        forcing: Forcing,
        *,
        batch_size: int | None = None,
        fast: bool = True,
        bfloat16: bool = False,
        contrast: Contrast | None = None,
    ) -> None:
        if contrast:
            contrast.refuse_other_vocabulary(lm)
        self.forcing, self.contrast, self.closed = forcing, contrast, False
        self.batch_size = batch_size or (BATCH_SIZE_OF_SMALL if small(lm.model) else BATCH_SIZE)
        self.fast = fast and supports(lm.model)
        self.device = next(lm.model.parameters()).device
        self.lm = sampling_model(lm, bfloat16=bfloat16)
        self.copied = self.lm is not lm
        self.update_weights(lm)

    def update_weights(self, lm: LM) -> None:
        if self.copied:
            copy_weights(lm, self.lm)
        else:
            self.lm = lm
        self._source = lm
        self._make_decoder: MakeDecoder | None = None  # has copies of the weights
        self._versions = self._weight_versions()

    def close(self) -> None:
        self._make_decoder, self.closed = None, True

    def sample(
        self, requests: Sequence[Request], *, temperature: float, seed: int, ended: Ended | None = None
    ) -> list[Sample]:
        """As the protocol says; UserError for a model that cannot be sampled in a batch or gives infinite logits."""
        if self.closed or self._versions != self._weight_versions():
            raise RuntimeError("the engine is closed" if self.closed else "the weights changed without update_weights")
        try:
            return self._sample(requests, temperature, seed, ended)
        finally:
            self._versions = self._weight_versions()  # a forward pass may rescale the weights, as that of RWKV does

    def _sample(self, requests: Sequence[Request], temperature: float, seed: int, ended: Ended | None) -> list[Sample]:
        holes = any(r.trace or r.budget.thinking_budget is not None or r.budget.num_waits for r in requests)
        for model in self._models():
            if not (self.fast and supports(model)):
                refuse_unlike_forward(model, holes=holes)
        states = [BudgetState(r.budget, self.forcing) for r in requests]
        unfinished, done = [], deque[int]()
        for i, (request, state) in enumerate(zip(requests, states, strict=True)):
            if request.trace is None or not state.replay(request.trace):
                while state.forced() is not None:  # the tokens that close a truncated trace are fed with it
                    pass
                unfinished.append(i)
            else:
                done.append(i)
        decoded(0, len(done), 0)
        threads = workers(self.lm.model, READ)

        def sample_of(i: int) -> Sample:
            return states[i].sample(requests[i].problem_id, requests[i].sample_id, self.lm.decode(states[i].tokens))

        def report() -> None:
            while ended and done:
                ended(sample_of(done.popleft()))

        most = min(self.batch_size, self._room([requests[i] for i in unfinished], threads))
        parts = in_batches(requests, states, unfinished, threads=threads, most=most)
        alone = threads == 1 or len(parts) == 1  # then this thread decodes, and cannot wait for others
        batches = []
        for part in parts:
            some = [requests[i] for i in part]
            keys = np.array([stream_key(seed, r.problem_id, r.sample_id) for r in some], dtype=np.uint64)
            mine = [states[i] for i in part]
            batches.append(Batch(some, mine, keys, temperature, part, done, report if alone else nothing))
        if batches:
            make_decoder = self.decoders()
            run_parallel([partial(self._run, make_decoder, batch) for batch in batches], threads, report)
        report()
        return [sample_of(i) for i in range(len(requests))]

    def _room(self, requests: Sequence[Request], threads: int) -> int:
        """Rows of a batch, at least one, whose keys and values fit in memory at the requests' greatest length."""
        longest = max((len(r.prompt_ids) + self.forcing.max_tokens(r.budget) for r in requests), default=1)
        memory = CACHE_BYTES
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            memory = (total - torch.cuda.memory_allocated(self.device)) // CACHE_SHARE
        return max(1, memory // (threads * longest * sum(map(cache_bytes, self._models()))))

    def _models(self) -> list[Any]:
        return [self.lm.model, *([self.contrast.reference.model] if self.contrast else [])]

    def _weight_versions(self) -> list[int]:
        """How often each weight was changed in place, as torch counts it."""
        return [p._version for p in self._source.model.parameters()]

    def decoders(self) -> MakeDecoder:
        """A function from a number of rows to a decoder over the weights of the last update."""
        if self._make_decoder is None:
            self._make_decoder = policy = self._decoders(self.lm, self.fast)
            if self.contrast is not None:
                other, weight = self.contrast.reference, self.contrast.weight
                reference = self._decoders(other, self.fast and supports(other.model))
                self._make_decoder = lambda rows: ContrastDecoder(policy(rows), reference(rows), weight)
        return self._make_decoder

    @staticmethod
    def _decoders(lm: LM, fast: bool) -> MakeDecoder:
        if fast:
            with torch.no_grad():
                weights = LlamaWeights(lm.model)
                return partial(GraphDecoder if weights.embedding.is_cuda else LlamaDecoder, weights)
        return partial(HFDecoder, lm.model)

    @torch.no_grad()
    def _run(self, make_decoder: MakeDecoder, batch: Batch) -> None:
        """Decode one batch to its end."""
        with span("prefill"):
            decoder, logits_BV = self._prefill(make_decoder, batch)
        with span("decode"):
            self._decode(decoder, logits_BV, batch)

    def _decode(self, decoder: Decoder, logits_BV: Tensor, batch: Batch) -> None:
        rows = list(range(len(batch.states)))  # of the batch, for each row of the decoder
        running = [True] * len(rows)
        steered = batch.steered
        for step in count(1):
            heed_stop()
            before = sum(running)
            next_ids = self._advance(decoder, logits_BV, batch, rows, running, steered)
            left = sum(running)
            decoded(before, before - left, step)
            batch.after_step()
            if not left:
                return
            if left < KEEP * len(rows):
                kept = [at for at, on in enumerate(running) if on]
                decoder.select(torch.tensor(kept, device=self.device))
                next_ids, rows = next_ids[kept], [rows[at] for at in kept]
                running = [True] * left
            logits_BV = decoder.extend(next_ids[:, None], torch.tensor(running, device=self.device)[:, None])

    def _advance(
        self,
        decoder: Decoder,
        logits_BV: Tensor,
        batch: Batch,
        rows: Sequence[int],
        running: list[bool],
        steered: bool,
    ) -> Tensor:
        """The next token of every row, drawn or forced; marks rows that are done in ``running``."""
        states = [batch.states[row] for row in rows]
        tokens_B, logp_B = self._draw(logits_BV, batch, rows, running, steered)
        drawn, logprobs = tokens_B.tolist(), logp_B.tolist()
        if not torch.isfinite(logp_B).all() and any(
            on and not math.isfinite(logprob) for on, logprob in zip(running, logprobs, strict=True)
        ):
            raise UserError(
                f"{self.lm.source}: its logits are not finite, so its weights are damaged; use another checkpoint"
            )
        next_ids = []
        for at, state in enumerate(states):
            token = 0  # a row that has ended but was not removed yet is fed a hole
            if running[at]:
                fed = len(state.tokens)
                forced = state.forced()
                if forced is None:
                    state.accept(drawn[at], logprobs[at])
                    if len(state.tokens) < fed:
                        decoder.forget(at, fed - len(state.tokens))
                    if len(state.tokens) <= fed and not state.done:
                        state.forced()  # tokens were removed: the forced token that replaces them comes next
                running[at] = not state.done
                if state.done:
                    batch.done.append(batch.numbers[rows[at]])
                token = state.tokens[-1]
            next_ids.append(token)
        return torch.tensor(next_ids, device=self.device)

    def _draw(
        self, logits_BV: Tensor, batch: Batch, rows: Sequence[int], running: Sequence[bool], steered: bool
    ) -> tuple[Tensor, Tensor]:
        """Tokens and their log-probabilities, both (B,), with the bans and biases of the budgets."""
        states = [batch.states[row] for row in rows]
        # after a wait, other random numbers are used than for the tokens it replaced
        positions = np.array([len(s.tokens) + (s.num_waits << 32) for s in states], dtype=np.uint64)
        banned, bias = dict[int, frozenset[int]](), None
        if steered:
            banned = {at: s.banned for at, s in enumerate(states) if running[at] and s.banned}
            bias_B = np.array([s.end_think_bias for s in states])
            end = self.forcing.delimiter.single
            bias = (end, bias_B) if end is not None and bias_B.any() else None
        return draw(logits_BV, batch.temperature, uniforms(batch.keys[rows], positions), banned, bias)

    def _prefill(self, make_decoder: MakeDecoder, batch: Batch) -> tuple[Decoder, Tensor]:
        """Encode every distinct prompt once, copy its cache to its rows, then feed the tokens they already have."""
        requests, states = batch.requests, batch.states
        prompts = list(dict.fromkeys(r.prompt_ids for r in requests))
        decoder = make_decoder(len(prompts))
        logits_BV = decoder.extend(*self._pad(prompts))
        index = {prompt: i for i, prompt in enumerate(prompts)}
        rows = torch.tensor([index[r.prompt_ids] for r in requests], device=self.device)
        decoder.branch(rows, max(self.forcing.max_tokens(r.budget) for r in requests))
        logits_BV = logits_BV[rows]
        if any(s.tokens for s in states):  # the beginning of a trace
            begun_BV = decoder.extend(*self._pad([s.tokens for s in states]))
            fed = torch.tensor([bool(s.tokens) for s in states], device=self.device)
            logits_BV = torch.where(fed[:, None], begun_BV, logits_BV)
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
