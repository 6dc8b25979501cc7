"""Log-probabilities of models that are not trained, by the fastest method that supports each model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlready.core.threads import READ, run_parallel, split_tokens, workers
from rlready.core.timing import span
from rlready.models.batch import Batch, Example, micro_batches
from rlready.models.fsdp import fillers, is_sharded, sharded_logprobs
from rlready.models.llama.logprob import packed_logprobs
from rlready.models.llama.support import packs
from rlready.models.logprob import token_logprobs

Logprobs = Callable[[Any, Sequence[Example], float], tuple[Tensor, Tensor]]


def logprobs_of(model: Any) -> Logprobs:
    """`packed_logprobs` for a model that it serves, on a CPU, `sharded_logprobs` if sharded, else `token_logprobs`."""
    if is_sharded(model):
        return sharded_logprobs
    return packed_logprobs if packs(model) else token_logprobs


def frozen_logprobs(
    models: Sequence[Any], rows: Sequence[Example], *, max_tokens_per_microbatch: int, temperature: float = 1.0
) -> list[list[NDArray[np.float32]]]:
    """Each model's log-probabilities of every row's response tokens, (T,), 0 where forced: no gradient, prompts shared.

    The models are on one device.
    """
    threads = min(workers(model, READ) if packs(model) else 1 for model in models)
    most = split_tokens(max_tokens_per_microbatch, threads)
    batches = list(micro_batches(rows, most, next(models[0].parameters()).device, threads))
    found = [[np.zeros(len(row.response_ids), dtype=np.float32) for row in rows] for _ in models]
    pairs = [(model, into, batch) for batch in batches for model, into in zip(models, found, strict=True)]
    to_keep_step = [(model, rows) for model in models for rows in fillers(model, batches)]
    run_parallel([partial(_fill, into, model, batch, temperature) for model, into, batch in pairs], threads)
    with torch.no_grad():
        for model, filler in to_keep_step:
            logprobs_of(model)(model, filler, temperature)
    return found


@torch.no_grad()  # holds for one thread only, so it is set here
def _fill(found: list[NDArray[np.float32]], model: Any, batch: Batch, temperature: float) -> None:
    with span("frozen"):
        logp_N, _ = logprobs_of(model)(model, batch.rows, temperature)
    parts = logp_N.float().cpu().split([row.learned for row in batch.rows])
    for i, row, part in zip(batch.index, batch.rows, parts, strict=True):
        found[i][row.mask.astype(bool)] = part.numpy()
