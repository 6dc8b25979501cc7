"""Attention of one new token of every row on a GPU, which reads the keys and values once.

PyTorch's own kernels are made for many queries: with one token of each row they reach half of the memory's bandwidth.
The columns of a row are divided among as many programs as the GPU has room for, whose parts are merged at the end
(Flash-Decoding, Dao et al. 2023).  Imported on a GPU only.  Shapes: B rows, K key heads, S queries for each of width D,
T columns, C parts of them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

WIDTHS = (16, 32, 64, 128, 256)  # of heads that the kernel serves
QUERIES = 64  # most of them for one key head
PROGRAMS = 8  # per multiprocessor
BLOCK = 64  # columns that a program reads at a time


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    q, k, v, valid, out, normaliser,
    q_row, q_head, q_query, k_row, k_head, v_row, v_head, valid_row, columns, per_part, queries,
    HEADS: tl.constexpr, QUERIES: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row, head, part = tl.program_id(0) // HEADS, tl.program_id(0) % HEADS, tl.program_id(1)
    query, place, column = tl.arange(0, QUERIES), tl.arange(0, WIDTH), tl.arange(0, BLOCK)
    asked = (query < queries)[:, None]
    row64 = row.to(tl.int64)
    q_SD = tl.load(q + row64 * q_row + head * q_head + query[:, None] * q_query + place[None], mask=asked, other=0.0)
    k += row64 * k_row + head.to(tl.int64) * k_head
    v += row64 * v_row + head.to(tl.int64) * v_head
    most_S = tl.full([QUERIES], float("-inf"), tl.float32)
    sum_S = tl.zeros([QUERIES], tl.float32)
    sum_SD = tl.zeros([QUERIES, WIDTH], tl.float32)
    end = tl.minimum(columns, (part + 1) * per_part)
    for begin in range(part * per_part, end, BLOCK):
        at = begin + column
        there = at < end
        seen = tl.load(valid + row64 * valid_row + at, mask=there, other=0) != 0
        k_TD = tl.load(k + at[:, None] * WIDTH + place[None], mask=there[:, None], other=0.0)
        score_ST = tl.where(seen[None], tl.dot(q_SD, tl.trans(k_TD)), float("-inf"))
        now_S = tl.maximum(most_S, tl.max(score_ST, 1))
        base_S = tl.where(now_S == float("-inf"), 0.0, now_S)
        weight_ST = tl.exp(score_ST - base_S[:, None])
        kept_S = tl.exp(most_S - base_S)
        v_TD = tl.load(v + at[:, None] * WIDTH + place[None], mask=there[:, None], other=0.0)
        sum_SD = sum_SD * kept_S[:, None] + tl.dot(weight_ST.to(v_TD.dtype), v_TD)
        sum_S = sum_S * kept_S + tl.sum(weight_ST, 1)
        most_S = now_S
    place_of_part = (tl.program_id(0).to(tl.int64) * tl.num_programs(1) + part) * queries
    found_SD = sum_SD / tl.maximum(sum_S, 1e-30)[:, None]
    tl.store(out + (place_of_part + query[:, None]) * WIDTH + place[None], found_SD, mask=asked)
    tl.store(normaliser + place_of_part + query, tl.log(sum_S) + most_S, mask=query < queries)


def serves(q: Tensor) -> bool:
    """Whether the kernel computes with such (B, K, S, D) queries."""
    return q.dtype in (torch.bfloat16, torch.float16) and q.shape[-1] in WIDTHS and q.shape[2] <= QUERIES


def attention(q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of (B, K, S, D) queries over (B, K, T, D) keys and values, and the log of its normaliser (B, K, S).

    ``valid`` (B, T) says which columns a row sees.  Scores are not scaled.  The last dimensions are contiguous.
    """
    (rows, heads, queries, width), columns = q.shape, k.shape[2]
    processors = torch.cuda.get_device_properties(q.device).multi_processor_count if q.is_cuda else 1
    parts = max(1, min(PROGRAMS * processors // (rows * heads), columns // (4 * BLOCK)))
    per_part = -(-columns // (parts * BLOCK)) * BLOCK
    out = q.new_empty(rows, heads, parts, queries, width, dtype=torch.float32)
    normaliser = q.new_empty(rows, heads, parts, queries, dtype=torch.float32)
    _attend[rows * heads, parts](
        q, k, v, valid.view(torch.uint8), out, normaliser,
        *q.stride()[:3], *k.stride()[:2], *v.stride()[:2], valid.stride(0), columns, per_part, queries,
        HEADS=heads, QUERIES=max(16, triton.next_power_of_2(queries)), WIDTH=width, BLOCK=BLOCK,
    )  # fmt: skip
    if parts == 1:
        return out[:, :, 0].to(q.dtype), normaliser[:, :, 0]
    whole = normaliser.logsumexp(2, keepdim=True)
    return (out * (normaliser - whole).exp()[..., None]).sum(2).to(q.dtype), whole[:, :, 0]
