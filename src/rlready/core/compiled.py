"""What is worth compiling for a GPU, whose small operations take longer to read and write memory than to compute."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import torch

WORTH = 50_000_000  # parameters of a model above which its layers are compiled: that takes about 20 s
P = ParamSpec("P")
R = TypeVar("R")


@cache
def can_compile() -> bool:
    """Whether torch can compile for a GPU here: it needs Triton and a C compiler."""
    compiler = os.environ.get("CC", "").split()[:1] or ["cc", "gcc", "clang"]
    return torch.cuda.is_available() and find_spec("triton") is not None and any(map(shutil.which, compiler))


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function compiled at its first call, for tensors of any size; as it is where that is not possible."""

    @cache
    def faster() -> Callable[P, R]:
        return torch.compile(function, dynamic=True) if can_compile() else function

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return faster()(*args, **kwargs)

    return call


def compile_layers(model: Any) -> bool:
    """Compile the layers of a large model on a GPU in place, each where it is called; returns whether it did.

    All layers share one compiled function, so the time does not grow with their number.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    parameters = list(model.parameters())
    if not parameters[0].is_cuda or sum(p.numel() for p in parameters) < WORTH or not can_compile():
        return False
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.compile(dynamic=True)
    return True
