"""Sampling by a program that continues tokens, such as vLLM (`completer.py`), row by row (`continued_row.py`)."""

from __future__ import annotations

import hashlib
import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.core.sampling_progress import decoded
from rlready.core.stopping import heed_stop
from rlready.core.timing import span
from rlready.engine.budget import BudgetState, Forcing
from rlready.engine.completer import Completer, Continuation, Drawn
from rlready.engine.continued_row import ContinuedRow
from rlready.engine.decoder import cache_bytes
from rlready.engine.protocol import Ended, Engine, Request
from rlready.engine.sampling import stream_key
from rlready.models.batch import Example
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs

PROBES, PROBE_TOKENS = 4, 8  # prompts and drawn tokens on which the weights are compared
PROBE_TEMPERATURE = 1.5  # not 1, so that log-probabilities of another temperature show
BOUNDS = {"float32": 1e-3, "bfloat16": 0.05}  # nats: mean difference of log-probabilities that rounding may make
CACHE_BYTES = 4 << 30  # of keys and values on a CPU, at most
BLOCK = 32  # tokens of a block of them on a CPU, the fewest; each sample computes the last, partial block of its prompt
SHARE, SHARE_IN_TRAINING = 0.85, 0.4  # of a GPU's free memory


class CompletionEngine(Engine):
    """An engine over a completer, which is started with the first requests and given the weights when they change.

    After a start and after every change of the weights, the log-probabilities of a few drawn tokens are compared with
    the model's own.  What is drawn depends on the rest of the batch, so a sample is the same again only if the same
    requests are drawn together.
    """

    name = "vLLM"

    def __init__(self, lm: LM, forcing: Forcing, *, bfloat16: bool = False, training: bool = False) -> None:
        """``training``: the GPU also holds a model that learns."""
        self.forcing, self.closed, self.training = forcing, False, training
        self.dtype = "bfloat16" if bfloat16 or lm.model.dtype == torch.bfloat16 else "float32"
        self.batch_size = 1024 if lm.model.device.type == "cuda" else 256
        self.update_weights(lm)

    def update_weights(self, lm: LM) -> None:
        self.lm, self._versions, self._stale = lm, _versions(lm), True

    def close(self) -> None:
        self.closed = True

    def start_options(self, longest: int) -> dict[str, int | float]:
        """How much memory vLLM may use for sequences of ``longest`` tokens; on a CPU also the size of its blocks, and
        that it does not compile, which takes two minutes."""
        device = self.lm.model.device
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            return {"gpu_memory_utilization": (SHARE_IN_TRAINING if self.training else SHARE) * free / total}
        row = -(-longest // BLOCK) * BLOCK * cache_bytes(self.lm.model)
        cache = max(2 * row, min(self.batch_size * row, CACHE_BYTES))
        return {"kv_cache_memory_bytes": cache, "block_size": BLOCK, "enforce_eager": True}

    @abstractmethod
    def completer(self, longest: int, *, stale: bool) -> Completer:
        """The program, ready for prompts that have ``longest`` tokens with their response; ``stale``: and with the
        weights that the model has now."""

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Let the draws that follow depend on a seed, as far as the program allows."""

    def wrong_weights(self, difference: float, bound: float) -> UserError:
        """The error where the program's weights are not the model's."""
        return UserError(
            f"{self.lm.source}: the log-probabilities of {self.name} differ from the model's own by {difference:.2g} "
            f"nats on average (rounding stays below {bound}), so it samples from other weights; use engine=torch"
        )

    def sample(
        self, requests: Sequence[Request], *, temperature: float, seed: int, ended: Ended | None = None
    ) -> list[Sample]:
        """As the protocol says, except that a sample depends on the requests that are drawn with it.

        UserError if the program cannot be used, has other weights, or has stopped.
        """
        if self.closed or self._versions != _versions(self.lm):
            raise RuntimeError("the engine is closed" if self.closed else "the weights changed without update_weights")
        rows = []
        for r in requests:
            coin = random.Random(stream_key(seed, r.problem_id, r.sample_id))
            rows.append(ContinuedRow(r, BudgetState(r.budget, self.forcing), coin))
        samples: dict[int, Sample] = {}

        def finish(number: int) -> None:
            row = rows[number]
            text = self.lm.decode(row.state.tokens)
            samples[number] = row.state.sample(row.request.problem_id, row.request.sample_id, text)
            if ended:
                ended(samples[number])

        left = dict(enumerate(rows))
        for number, row in enumerate(rows):
            if row.request.trace is not None and row.state.replay(row.request.trace):
                finish(number)
                del left[number]
            while not row.state.done and row.state.forced() is not None:
                pass
        decoded(0, len(samples), 0)
        if left:
            completer = self._ready(list(left.values()))
            self.reseed(_seed_of(seed, [row.request for row in left.values()]))
            with span("decode"):
                for number in _run(completer, left, temperature):
                    finish(number)
        return [samples[number] for number in range(len(rows))]

    def _ready(self, rows: Sequence[ContinuedRow]) -> Completer:
        """The completer with the model's weights, which are compared if they are new."""
        each = [max(self.forcing.max_tokens(r.request.budget), PROBE_TOKENS) for r in rows]
        most = max(len(r.request.prompt_ids) + n for r, n in zip(rows, each, strict=True))
        completer = self.completer(min(self.lm.context, most), stale=self._stale)
        if self._stale:
            self._compare(completer, list(dict.fromkeys(r.request.prompt_ids for r in rows))[:PROBES])
            self._stale = False
        return completer

    @torch.no_grad()
    def _refuse_damaged(self, prompt: tuple[int, ...]) -> None:
        """UserError for weights that give NaN, for which a program would only send odd answers."""
        own = self._own([_example(prompt, prompt[-1:])], PROBE_TEMPERATURE)
        if not own.isfinite().all():
            raise UserError(
                f"{self.lm.source}: its logits are not finite, so its weights are damaged; use another checkpoint"
            )

    @torch.no_grad()
    def _compare(self, completer: Completer, prompts: Sequence[tuple[int, ...]]) -> None:
        """UserError unless the completer gives the tokens that it draws the log-probabilities that the model does."""
        self._refuse_damaged(prompts[0])
        self.reseed(0)
        for row, ids in enumerate(prompts):
            room = self.lm.context - len(ids)
            completer.submit(Continuation(row, ids, max(1, min(PROBE_TOKENS, room)), PROBE_TEMPERATURE))
        found: list[Drawn] = []
        while len(found) < len(prompts):
            found += completer.drawn()[0]
        examples = [_example(prompts[each.row], each.tokens) for each in found]
        theirs = torch.tensor([logprob for each in found for logprob in each.logprobs])
        bound = BOUNDS[self.dtype]
        difference = float((self._own(examples, PROBE_TEMPERATURE) - theirs).abs().mean())
        if difference <= bound:
            return
        if float((self._own(examples, 1.0) - theirs).abs().mean()) <= bound:
            raise UserError(
                f"{self.name} returns log-probabilities at temperature 1, not at that of sampling; start it with "
                "--logprobs-mode processed_logprobs"
            )
        raise self.wrong_weights(difference, bound)

    def _own(self, examples: Sequence[Example], temperature: float) -> torch.Tensor:
        """The model's own log-probabilities of the response tokens."""
        return token_logprobs(self.lm.model, examples, temperature)[0].float().cpu()


def _run(completer: Completer, rows: dict[int, ContinuedRow], temperature: float) -> Iterator[int]:
    """Draw rows to their ends; the number of each when it has ended."""
    try:
        for number, row in rows.items():
            completer.submit(row.next(number, temperature))
        step, left = 0, len(rows)
        while left:
            heed_stop()
            found, stepped = completer.drawn()
            done = []
            for drawn in found:
                row = rows[drawn.row]
                row.accept(drawn, temperature)
                if row.state.done:
                    done.append(drawn.row)
                else:
                    completer.submit(row.next(drawn.row, temperature))
            step, left = step + bool(stepped), left - len(done)
            decoded(stepped, len(done), step)
            yield from done
    except BaseException:
        completer.abort()
        raise


def _seed_of(seed: int, requests: Sequence[Request]) -> int:
    """A seed of 31 bits for these requests: another one for every other set of names and budgets."""
    names = "\0".join(f"{seed}/{r.problem_id}/{r.sample_id}/{r.budget}" for r in requests)
    return int.from_bytes(hashlib.blake2b(names.encode(), digest_size=4).digest(), "little") >> 1


def _versions(lm: LM) -> list[int]:
    """How often each weight was changed in place, as torch counts it."""
    return [p._version for p in lm.model.parameters()]


def _example(prompt: Sequence[int], response: Sequence[int]) -> Example:
    """A response all of whose tokens count."""
    ones = np.ones(len(response), dtype=np.float32)
    return Example(tuple(prompt), list(response), ones.astype(np.uint8), ones, ones)
