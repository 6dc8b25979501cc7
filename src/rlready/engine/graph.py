"""The fast decoder on a GPU: the step of all rows as one CUDA graph over a cache of fixed size.

A step of a small model is hundreds of kernels of a few microseconds each, which take longer to start one by one than to
run.  A graph starts them all at once, but only with the addresses and sizes that it was captured with: the cache has
room for the longest response from the beginning, the next column is a number on the device, and attention runs over the
columns in use, rounded up.  A graph is captured anew when that width grows and when rows were removed.

Attention over [shared prompt | own response] is that over each of the two, merged by their normalisers; a kernel of
Triton computes it where there is one (``triton_attention.py``).

Off a GPU the same step runs without a graph, for the tests.  Shapes as in ``llama.py``; R columns of room.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.engine.llama import Attend, LlamaDecoder, LlamaWeights, turned

WIDTH = 128  # attention runs over a multiple of so many columns, or of an eighth of them if that is more


class GraphDecoder(LlamaDecoder):
    """Decoder over ``LlamaWeights`` whose steps of one column are replayed from a graph."""

    def __init__(self, weights: LlamaWeights, rows: int) -> None:
        super().__init__(weights, rows)
        self._replay: Callable[[], object] | None = None
        self._used = self._width = 0  # columns in use, and those that attention runs over
        self._graph: torch.cuda.CUDAGraph | None = None
        self._shared: list[tuple[Tensor, Tensor]] = []  # keys and values of the prompts, per layer (P, K, L, D)

    def extend(self, ids_BM: Tensor, valid_BM: Tensor) -> Tensor:
        if self.prompts is None or ids_BM.shape[1] > 1:
            self._release()
            return super().extend(ids_BM, valid_BM)
        if not self._used:
            self._used = self.columns.valid_BT.shape[1]
            self._fix()
        if self._used == self._room:
            self._reserve(len(ids_BM), self._used + 1)
            self._fix()
        if self._replay is None or self._used == self._width:
            self._width = min(self._room, _rounded(self._used + 1))
            self._capture(ids_BM, valid_BM)
        else:
            self._ids_B1.copy_(ids_BM)
            self._fresh_B1.copy_(valid_BM)
        assert self._replay is not None
        self._replay()
        self._used += 1
        return self._logits_BV

    @property
    def _room(self) -> int:
        return self.keys[0].shape[2] if self.keys else 0

    def _fix(self) -> None:
        """Give the columns the size of the cache, with those beyond the ones in use not valid."""
        self._reserve(len(self.columns.count_B), max(self._used + 1, self.room))
        valid_BT = self.columns.valid_BT
        rows, device = len(valid_BT), valid_BT.device
        self.columns.valid_BT = torch.zeros(rows, self._room, dtype=torch.bool, device=device)
        self.columns.valid_BT[:, : self._used] = valid_BT[:, : self._used]
        self._place_R = torch.arange(self._room, device=device)
        self._at = torch.tensor([self._used], device=device)
        longest = int(self.columns.count_B.max()) + self._room
        if longest > len(self.turns):
            self.turns = self.w.turns(longest)
        self._replay = None

    def _release(self) -> None:
        """Give the columns the size of those in use, for any number of new ones."""
        if self._used:
            self.columns.valid_BT = self.columns.valid_BT[:, : self._used]
            self._used = self._width = 0

    def _reserve(self, rows: int, columns: int) -> None:
        """As for any decoder, but all the room that is expected at once: a larger cache needs another graph."""
        columns = max(columns, self.room) if self.prompts is not None else columns
        super()._reserve(rows, -(-columns // WIDTH) * WIDTH)

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self._replay = None

    def _capture(self, ids_B1: Tensor, fresh_B1: Tensor) -> None:
        self._ids_B1, self._fresh_B1 = ids_B1.clone(), fresh_B1.clone()
        self._share()
        queries = self._ids_B1.new_zeros(len(ids_B1), self.w.kv_heads, self.w.heads // self.w.kv_heads, self.w.width)
        self._attend_both(0, queries.to(self.w.embedding.dtype), self.columns.valid_BT[:, : self._width])  # compiles
        if not ids_B1.is_cuda:
            self._replay = self._step
            return
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            pool = self._graph.pool() if self._graph else None  # which ends with its last graph
            graph.capture_begin(pool, capture_error_mode="thread_local")
            try:
                self._step()
            finally:  # also when the run is being stopped, whose state is saved on this device
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph, self._replay = graph, graph.replay

    def _share(self) -> None:
        """The prompts in the layout of `attention`, their length rounded up."""
        prompts = self.prompts
        assert prompts is not None
        padding = prompts.columns[0].shape[-1] - prompts.length
        self._shared = [
            (columns.transpose(2, 3).contiguous(), F.pad(values, (0, 0, 0, padding)))
            for columns, values in zip(prompts.columns, prompts.values, strict=True)
        ]
        self._shared_valid = F.pad(prompts.valid_PL, (0, padding))

    def _step(self) -> None:
        """One column of all rows; everything that changes from step to step is read from the device."""
        columns, fresh_B1 = self.columns, self._fresh_B1
        columns.valid_BT.index_copy_(1, self._at, fresh_B1)
        columns.count_B.add_(fresh_B1[:, 0])
        positions_B1 = (columns.count_B - 1).clamp_(min=0)[:, None]
        self._logits_BV = self._forward(slice(None), self._ids_B1, positions_B1, 0)
        self._at.add_(1)

    def _attention(self, part: slice, turn: Tensor, begin: int) -> Attend:
        if not self._width or turn.shape[1] > 1:
            return super()._attention(part, turn, begin)
        w, rows, turns = self.w, len(turn), self._turns(turn)
        own = self.columns.valid_BT[:, : self._width] | (
            self._place_R[: self._width] == self._at
        )  # holes see themselves

        def attend(i: int, qkv: Tensor) -> Tensor:
            q, k, v = turned(qkv, turns).split([w.heads, w.kv_heads, w.kv_heads], dim=2)
            self.keys[i].index_copy_(2, self._at, k.transpose(1, 2))
            self.values[i].index_copy_(2, self._at, v.transpose(1, 2))
            return self._attend_both(i, q.view(rows, w.kv_heads, -1, w.width), own).reshape(rows, -1)

        return attend

    def _attend_both(self, i: int, q_BKSD: Tensor, valid_BT: Tensor) -> Tensor:
        """Attention of a layer over the prompt and the row's own columns; (B, K, S, D)."""
        prompts, width = self.prompts, self._width
        assert prompts is not None
        own, normaliser = attention(q_BKSD, self.keys[i][:, :, :width], self.values[i][:, :, :width], valid_BT)
        shared, other = attention(prompts.spread(q_BKSD), *self._shared[i], self._shared_valid)
        shared, other = (prompts.gather(x, q_BKSD.shape[2]) for x in (shared, other[..., None]))
        return own.lerp(shared, torch.sigmoid(other - normaliser[..., None]).to(own.dtype))

    def _empty(self, rows: int, room: int) -> Tensor:
        return super()._empty(rows, room).zero_()  # attention reads columns that have not been written yet


def attention(q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of (B, K, S, D) queries over (B, K, T, D) keys and values, and the log of its normaliser (B, K, S).

    ``valid`` (B, T) says which columns a row sees.  Scores are not scaled.
    """
    if q.is_cuda and find_spec("triton") is not None:
        from rlready.engine import triton_attention

        if triton_attention.serves(q):
            return triton_attention.attention(q, k, v, valid)
    scores = (q @ k.transpose(2, 3)).masked_fill(~valid[:, None, None], float("-inf"))
    normaliser = scores.float().logsumexp(-1)
    return torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype) @ v, normaliser


def _rounded(columns: int) -> int:
    step = max(WIDTH, columns // 8 // WIDTH * WIDTH)
    return -(-columns // step) * step
