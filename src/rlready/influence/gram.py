"""Inner products of gradients of log-probabilities (a Gram matrix), by one batched backward pass.

Each set of responses belongs to one prompt q, and its gradient is ḡ = ∇ mean_i log π(o_i | q), where log π sums over
chosen tokens: forced tokens and the prompt do not count.  The result is K[a, b] = ⟨ḡ_a, ḡ_b⟩ over some parameters.

**Batched** (per-example gradients, taken per set).  One forward and one backward pass serve many sets, with prompts
encoded once.  At every weight, the products of output gradients and inputs are summed separately for each set instead
of over all tokens: the arithmetic of a plain backward pass, in smaller pieces.  Embedding, norms, biases and tied heads
are included.  This serves the Llama family (`models/llama/forward.py`); other models need one backward pass per set.

**Memory.**  A pass holds the gradients of all sets for as many parameters, or rows of a parameter, as fit into
``memory`` bytes.  If one pass is not enough, forward and backward are repeated, backward only down to the lowest
parameter of the pass.  With ``rank`` the gradients are projected (`sketch.py`), and one pass is always enough.

The result does not depend on the threads' timing: a set belongs to one thread, whose order is fixed.
Left out: the "ghost" form, Σ_tt' (δ_t·δ_t')(x_t·x_t'), which is slower from a few hundred tokens on (all pairs).
Shapes: S sets, N tokens of a micro-batch, C copies (2 projections, or 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.threads import run_parallel, split_tokens, workers
from rlready.influence.sketch import Projected, StoredGradients, Whole
from rlready.models.batch import Example, micro_batches
from rlready.models.llama import fused as elementwise
from rlready.models.llama.forward import Operations, hidden_states
from rlready.models.llama.packing import Packed, pack
from rlready.models.llama.support import supports
from rlready.models.lm import head_of
from rlready.models.logprob import token_logprobs
from rlready.models.scoring import chosen_ids, score

MEMORY = 2 << 30  # bytes of gradients held at once
Sets = Sequence[Sequence[Example]]


def parameters_of(model: Any, layers: Sequence[str] = ()) -> list[Tensor]:
    """Parameters whose names contain one of ``layers`` as whole parts ("layers.3", "mlp"); all if none is named.

    Raises UserError for a name that no parameter has.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for layer in layers:
        if not any(_within(layer, name) for name in named):
            parts = dict.fromkeys(part for name in named for part in name.split(".") if not part.isdigit())
            raise UserError(f"no parameter of {type(model).__name__} is in a layer {layer!r}; {nearest(layer, parts)}")
    return [p for name, p in named.items() if not layers or any(_within(layer, name) for layer in layers)]


def gram(
    model: Any,
    sets: Sets,
    parameters: Sequence[Tensor],
    *,
    temperature: float = 1.0,
    rank: int = 0,
    seed: int = 0,
    memory: int = MEMORY,
) -> NDArray[np.float64]:
    """(C, S, S) inner products of the sets' gradients with respect to the parameters; no set is empty.

    ``rank`` = 0 is exact, with C = 1; otherwise every matrix's gradient is projected to rank × rank numbers, twice
    (C = 2), with random signs from ``seed``.
    """
    total = torch.zeros(2 if rank else 1, len(sets), len(sets), dtype=torch.float64)
    parts: list[Callable[[], StoredGradients]] = [partial(Projected.of, parameters, len(sets), rank, seed)]
    if not rank:
        parts = [partial(Whole.of, rows, len(sets)) for rows in _fitting(parameters, len(sets), memory)]
    for part in parts:
        kept = part()
        collect(model, sets, kept, temperature=temperature)
        total += kept.grams()
    return total.numpy()


def collect(
    model: Any, sets: Sets, kept: StoredGradients, *, temperature: float = 1.0, max_tokens_per_microbatch: int = 16384
) -> None:
    """Add the gradients of all sets to ``kept``, in parallel threads if the model is small."""
    tokens = [sum(map(len, rows)) for rows in sets]
    fast, threads = supports(model), workers(model)
    most = split_tokens(max_tokens_per_microbatch, threads)
    seen: dict[tuple[int, ...], int] = {}
    turns: dict[int, list[int]] = {}
    for at in sorted(range(len(sets)), key=lambda i: (-tokens[i], i)):
        prompt = tuple(sets[at][0].prompt_ids)
        if any(tuple(row.prompt_ids) != prompt for row in sets[at]):
            raise ValueError(f"set {at} has more than one prompt")
        # two sets of one prompt would share its tokens if they met in a micro-batch
        seen[prompt] = seen.get(prompt, -1) + 1
        turns.setdefault(seen[prompt], []).append(at)
    head_of(model)  # looks at the model once, before threads do
    work = partial(_batched if fast else _one_by_one, model, sets, kept, temperature, most)
    shares = [turn[i::threads] for turn in turns.values() for i in range(min(threads, len(turn)))]
    run_parallel([partial(work, share) for share in shares], threads)
    if fast and len(kept.seen) < len(kept.span):
        raise RuntimeError(f"{len(kept.span) - len(kept.seen)} parameters of {type(model).__name__} were not reached")


def _batched(
    model: Any, sets: Sets, kept: StoredGradients, temperature: float, most: int, share: Sequence[int]
) -> None:
    """One backward pass for many sets; all prompts of a share differ."""
    _, head = head_of(model)
    device = head.weight.device
    work = [(at, row) for at in share for row in sets[at]]
    for batch in micro_batches([row for _, row in work], most, device):
        owner = np.array([work[i][0] for i in batch.index])
        packed = pack(batch.rows, device)
        hidden_MD = hidden_states(model, packed, _Listener(kept, _owners(packed, owner)))
        hidden_ND = hidden_MD.index_select(0, packed.context_index)
        runs = _runs(owner.repeat([row.learned for row in batch.rows]))
        sizes = [end - begin for _, begin, end in runs]
        parts = zip(runs, hidden_ND.split(sizes), chosen_ids(batch.rows, device).split(sizes), strict=True)
        total = hidden_ND.new_zeros(())
        for (at, _, _), hidden, targets in parts:
            product = partial(_Listener(kept, np.full(len(hidden), at)).linear, layer=head)
            logp, _ = score(product, hidden, targets, temperature, head.weight.shape[0])
            total = total + logp.sum() / len(sets[at])
        if total.requires_grad:  # not so where every token was forced
            total.backward()


def _one_by_one(
    model: Any, sets: Sets, kept: StoredGradients, temperature: float, most: int, share: Sequence[int]
) -> None:
    """One backward pass per set, for any model."""
    parameters = list(kept.span)
    for at in share:
        for batch in micro_batches(sets[at], most, parameters[0].device):
            logp_N, _ = token_logprobs(model, batch.rows, temperature)
            found = torch.autograd.grad(logp_N.sum() / len(sets[at]), parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    kept.whole(parameter, at, gradient)


class _Listener(Operations):
    """The operations of a backbone with constant parameters; backward hooks collect the parameters' gradients."""

    def __init__(self, kept: StoredGradients, owner_N: NDArray[np.int64]) -> None:
        self.kept, self.owner_N, self.runs = kept, owner_N, _runs(owner_N)

    def narrowed(self, tokens: Tensor) -> _Listener:
        return _Listener(self.kept, self.owner_N[tokens.cpu().numpy()])

    def distinct(self, ids_N: Tensor) -> tuple[Tensor, Tensor | None]:
        return ids_N, None  # the same id belongs to several sets

    def embed(self, ids_N: Tensor, weight: Tensor) -> Tensor:
        x = F.embedding(ids_N, weight.detach())
        if weight in self.kept:
            _hear(x, lambda grad: self.kept.picked(weight, self.runs, ids_N, grad))
        return x

    def linears(self, x: Tensor, layers: Sequence[Any]) -> tuple[Tensor, ...]:
        biases = [None if layer.bias is None else layer.bias.detach() for layer in layers]
        products = elementwise.linears(x, [layer.weight.detach() for layer in layers], biases)
        for y, layer in zip(products, layers, strict=True):
            self._products(x.detach(), y, layer.weight, layer.bias)
        return products

    def _products(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        if weight in self.kept:
            _hear(y, lambda grad: self.kept.outer(weight, self.runs, grad, x))
        if bias is not None and bias in self.kept:
            _hear(y, lambda grad: self.kept.vector(bias, self.runs, grad))

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return self._scaled(elementwise.norm(x, torch.ones_like(weight), eps), weight)

    def added(self, x: Tensor, more: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        x, normed = elementwise.added_norm(x, more, torch.ones_like(weight), eps)
        return x, self._scaled(normed, weight)

    def mlp(self, x: Tensor, layers: Any) -> Tensor:
        opened = elementwise.gated(*self.linears(x, (layers.gate_proj, layers.up_proj)))
        return self.linear(opened, layers.down_proj)

    def _scaled(self, normed: Tensor, weight: Tensor) -> Tensor:
        y = normed * weight.detach()
        if weight in self.kept:
            _hear(y, lambda grad: self.kept.vector(weight, self.runs, grad * normed.detach()))
        return y


def _hear(y: Tensor, hook: Callable[[Tensor], None]) -> None:
    if not y.requires_grad:  # the lowest parameter that is kept: backward ends here
        y.requires_grad_()
    y.register_hook(hook)


def _within(layer: str, name: str) -> bool:
    return f".{layer}." in f".{name}."


def _owners(packed: Packed, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the set of every packed token, prompts first; ``owner`` (B,) is that of a row."""
    of_prompt = np.zeros(len(packed.prompt_lengths), dtype=np.int64)
    if packed.prompt_lengths:
        of_prompt[list(packed.prompt_index)] = owner
    return np.concatenate([of_prompt.repeat(packed.prompt_lengths), owner.repeat(packed.row_lengths)])


def _runs(owner: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Runs of consecutive tokens of one set, as (set, from, to)."""
    found, at = [], 0
    for one, tokens in groupby(owner.tolist()):
        end = at + len(list(tokens))
        found.append((one, at, end))
        at = end
    return found


def _fitting(parameters: Sequence[Tensor], sets: int, memory: int) -> list[dict[Tensor, slice]]:
    """Rows of parameters for each pass, in order: as many as have gradients of all sets within ``memory`` bytes.

    A pass has at least one row, and never two parts of one parameter, as a part that is not the last fills the memory.
    """
    found: list[dict[Tensor, slice]] = []
    room = 0
    for p in parameters:
        of_a_row = sets * p[0].numel() * max(4, p.element_size())
        most = max(1, memory // of_a_row)
        for begin in range(0, len(p), most):
            end = min(begin + most, len(p))
            if not found or (end - begin) * of_a_row > room:
                found.append({})
                room = memory
            found[-1][p] = slice(begin, end)
            room -= (end - begin) * of_a_row
    return found
