"""Gradient checkpointing: the backward pass computes a layer's activations again instead of keeping them.

Memory then grows with one layer instead of all (Chen et al. 2016, arXiv 1604.06174), for a third more arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rlready.core.errors import UserError


@contextmanager
def recomputed(model: Any, *, active: bool) -> Iterator[None]:
    """Layers are recomputed within the block, if ``active``.

    Transformers recomputes those that are in training mode; what is inside them stays as it is, without dropout.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)] if active else []
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def enable_recomputation(model: Any, source: str) -> None:
    """Prepare a model for `recomputed`; UserError for one whose layers Transformers cannot recompute."""
    try:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    except ValueError:
        name = type(model).__name__
        raise UserError(
            f"{source}: the layers of {name} cannot be recomputed; leave gradient_checkpointing out, and lower "
            "max_tokens_per_microbatch instead"
        ) from None
