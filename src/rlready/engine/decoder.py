"""The Hugging Face decoder: any causal LM behind the methods that batched sampling needs.

Rows are right-aligned: all rows write the same new column of the cache, and a column without a token of a row
(left padding, removed tokens) is a hole, masked out of attention; rotary positions count a row's valid
columns only.  ``llama.py`` is the fast decoder for the Llama family.  Shapes: B rows, M new columns, T cached.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from rlready.models.llama.support import head_width


class Decoder(Protocol):
    """A model with a cache for a batch of rows."""

    def extend(self, ids_BM: Tensor, valid_BM: Tensor) -> Tensor:
        """Feed M columns, where ``valid`` (bool) marks real tokens; (B, V) logits after the last column."""

    def branch(self, rows: Tensor, room: int) -> None:
        """Let rows continue the prompts, which were fed so far: row i continues prompt ``rows[i]``.

        At most about ``room`` columns follow.
        """

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order."""

    def forget(self, row: int, count: int) -> None:
        """Remove the last ``count`` tokens of a row."""


def cache_bytes(model: Any) -> int:
    """Bytes of the keys and values of one token in all layers."""
    config = model.config.get_text_config()
    # heads may be wider in some layers, as in Gemma 4
    layers = list(getattr(config, "per_layer_config", None) or [config] * config.num_hidden_layers)
    heads = [getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads for layer in layers]
    widths = map(head_width, layers)
    return int(2 * sum(n * width for n, width in zip(heads, widths, strict=True)) * model.dtype.itemsize)


class Columns:
    """Which columns of the cache are valid for each row: shared by both decoders."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.valid_BT = torch.zeros(rows, 0, dtype=torch.bool, device=device)
        self.count_B = torch.zeros(rows, dtype=torch.long, device=device)

    def extend(self, valid_BM: Tensor) -> Tensor:
        """Append columns; returns the (B, M) positions of the new tokens (0 in holes)."""
        running = valid_BM.long().cumsum(1)
        positions = (self.count_B[:, None] + running - 1).clamp_(min=0)
        self.count_B = self.count_B + running[:, -1]
        self.valid_BT = torch.cat([self.valid_BT, valid_BM], dim=1)
        return positions

    def mask(self, new: int, dtype: torch.dtype, window: int | None = None, rows: slice = slice(None)) -> Tensor:
        """(B, M, T) additive mask of the last M columns: valid columns up to the current one, within a window of
        positions.

        A hole attends to itself, so that its softmax is finite.
        """
        valid_BT = self.valid_BT[rows]
        column = torch.arange(valid_BT.shape[1], device=valid_BT.device)
        current = column[-new:, None]
        allowed = valid_BT[:, None] & (column <= current)
        if window is not None:
            position_BT = valid_BT.long().cumsum(1)
            allowed &= position_BT[:, None] > position_BT[:, -new:, None] - window
        allowed |= column == current
        return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, float("-inf"))

    def branch(self, rows: Tensor) -> None:
        """Start without columns; positions continue from those of the prompts."""
        self.valid_BT, self.count_B = self.valid_BT[rows, :0], self.count_B[rows]

    def select(self, rows: Tensor) -> None:
        self.valid_BT, self.count_B = self.valid_BT[rows], self.count_B[rows]

    def forget(self, row: int, count: int) -> None:
        columns = self.valid_BT[row].nonzero()[:, 0][-count:]
        self.valid_BT[row, columns] = False
        self.count_B[row] -= count


class HFDecoder:
    """Decoder over the model's forward and a cache of transformers.

    With sliding attention the model would count its window in columns, holes included; so the cache keeps all columns
    and the masks, which count in positions, are made here.
    """

    def __init__(self, model: Any, rows: int) -> None:
        from transformers import DynamicCache

        self.model = model
        self.columns = Columns(rows, next(model.parameters()).device)
        config = model.config.get_text_config()
        layer_types = getattr(config, "layer_types", None)
        slides = "sliding_attention" in (layer_types or ["sliding_attention"])
        self.window: int | None = getattr(config, "sliding_window", None) if slides else None
        self.by_layer_type = layer_types is not None
        self.cache = DynamicCache() if self.window else DynamicCache(config=config)

    def extend(self, ids_BM: Tensor, valid_BM: Tensor) -> Tensor:
        positions = self.columns.extend(valid_BM)
        out = self.model(
            input_ids=ids_BM,
            attention_mask=self._mask(ids_BM.shape[1]),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def _mask(self, new: int) -> Tensor | dict[str, Tensor]:
        if not self.window:
            return self.columns.valid_BT.long()
        dtype = self.model.dtype
        sliding = self.columns.mask(new, dtype, self.window)[:, None]
        if not self.by_layer_type:
            return sliding
        return {"sliding_attention": sliding, "full_attention": self.columns.mask(new, dtype)[:, None]}

    def branch(self, rows: Tensor, room: int) -> None:
        self.select(rows)

    def select(self, rows: Tensor) -> None:
        self.columns.select(rows)
        self.cache.batch_select_indices(rows)

    def forget(self, row: int, count: int) -> None:
        self.columns.forget(row, count)
