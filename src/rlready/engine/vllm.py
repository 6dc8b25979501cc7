"""vLLM in this process: the only file that imports it.

vLLM is started without the weights, which are then copied from the model in memory, so that checkpoints, merged
adapters and a policy that learns take one way.  It stays for the next model of the same architecture, as a start takes
seconds to minutes.
"""

from __future__ import annotations

import copy
import gc
import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from math import inf
from typing import Any

import numpy as np
import torch

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.engine.completer import BANNED, Completer, Continuation, Drawn, unexpected, what_is_odd
from rlready.engine.completions import CompletionEngine
from rlready.engine.handover import merged_weights
from rlready.models.lm import LM
from rlready.models.one_line import one_line

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # weights are handed over in memory
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the other work of this process uses all cores, too
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass
class _Program(Completer):
    """A running vLLM for models of one ``architecture``, up to ``longest`` tokens, each below ``vocabulary``."""

    llm: Any
    architecture: str
    vocabulary: int
    longest: int
    rows: int  # the most that it draws at once
    holder: object = None  # the engine whose weights it has
    _asked: dict[int, Continuation] = field(default_factory=dict)  # by row that is drawn

    def submit(self, asked: Continuation) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=asked.temperature,
            max_tokens=asked.max_tokens,
            stop_token_ids=sorted(asked.stop_ids),
            ignore_eos=True,  # the stop tokens are given
            logprobs=0 if asked.watched is None else None,
            logprob_token_ids=None if asked.watched is None else [asked.watched],
            logit_bias=dict.fromkeys(asked.banned, BANNED) or None,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._asked[asked.row] = asked
        self.llm.llm_engine.add_request(str(asked.row), {"prompt_token_ids": list(asked.prompt_ids)}, params)

    def drawn(self) -> tuple[list[Drawn], int]:
        running = min(len(self._asked), self.rows)
        return [self._drawn(output) for output in self.llm.llm_engine.step() if output.finished], running

    def _drawn(self, output: Any) -> Drawn:
        """What was drawn; UserError unless it can be an answer to what was asked."""
        asked, (found,) = self._asked.pop(int(output.request_id)), output.outputs
        tokens, at = list(found.token_ids), found.logprobs or []
        logprobs = [_logprob(by_token, token) for token, by_token in zip_longest(tokens, at)]
        watched = [] if asked.watched is None else [_logprob(by_token, asked.watched) for by_token in at]
        drawn = Drawn(asked.row, tokens, logprobs, watched)
        if odd := what_is_odd(asked, drawn, self.vocabulary):
            raise unexpected("vLLM", odd)
        return drawn

    def abort(self) -> None:
        self.llm.llm_engine.abort_request([str(row) for row in self._asked])
        self._asked.clear()

    def load(self, lm: LM) -> None:
        """Copy the weights of a model."""
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": merged_weights(lm.model)})
        self.llm.reset_prefix_cache()

    def stop(self) -> None:
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        self.llm = None
        cleanup_dist_env_and_memory()
        gc.collect()


def _logprob(by_token: Any, token: int | None) -> float:
    """The log-probability of a token among those that vLLM has returned at a position; inf if it is missing."""
    return float(by_token[token].logprob) if by_token and token in by_token else inf


_running: _Program | None = None


class VLLMEngine(CompletionEngine):
    """Engine over vLLM in this process."""

    def completer(self, longest: int, *, stale: bool) -> Completer:
        global _running  # noqa: PLW0603 (one vLLM in a process)
        architecture = f"{self.dtype} {self.lm.model.device} {_config_of(self.lm).to_json_string()}"
        if _running and (_running.architecture != architecture or _running.longest < longest):
            _running.stop()
            _running = None
        if _running is None:
            longest = min(self.lm.context, 1 << (longest - 1).bit_length())  # later requests may be a little longer
            vocabulary = self.lm.model.config.get_text_config().vocab_size
            _running = _Program(self._start(longest), architecture, vocabulary, longest, self.batch_size)
        if stale or _running.holder is not self:
            with self._failing("load the model"):
                _running.load(self.lm)
            _running.holder = self
        return _running

    def reseed(self, seed: int) -> None:
        from vllm.utils.torch_utils import set_random_seed

        set_random_seed(seed)

    def sample(self, *arguments: Any, **options: Any) -> Any:
        with _random_states():
            return super().sample(*arguments, **options)

    def _start(self, longest: int) -> Any:
        os.environ.update(ENVIRONMENT)
        note(f"starting vLLM ({self.dtype}, up to {longest} tokens)")
        with tempfile.TemporaryDirectory() as folder, _threads_kept(), self._failing("start"):
            _config_of(self.lm).save_pretrained(folder)
            from vllm import LLM

            return LLM(
                folder,
                load_format="dummy",
                skip_tokenizer_init=True,
                generation_config="vllm",
                dtype=self.dtype,
                logprobs_mode="processed_logprobs",
                max_model_len=longest,
                max_num_seqs=self.batch_size,
                **self.start_options(longest),
            )

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Name vLLM's errors; those of full memory are explained elsewhere."""
        try:
            yield
        except (ValueError, RuntimeError, NotImplementedError, AssertionError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = one_line(error, 300)
            raise UserError(f"{self.lm.source}: vLLM could not {what}: {reason}; use engine=torch") from error


def _config_of(lm: LM) -> Any:
    config = copy.deepcopy(lm.model.config)
    config.architectures, config._name_or_path = [type(lm.model).__name__], ""
    return config


@contextmanager
def _threads_kept() -> Iterator[None]:
    """vLLM's CPU build sets the number of torch's threads and replaces the function that does; undo both."""
    set_threads, threads = torch.set_num_threads, torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = set_threads
        torch.set_num_threads(threads)


@contextmanager
def _random_states() -> Iterator[None]:
    """Keep the states of the random number generators, which vLLM in this process sets and uses."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
