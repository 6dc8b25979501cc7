"""Whether a PyTorch device is there, and what to change if its memory is too small."""

from __future__ import annotations

import sys

from rlready.core.errors import UserError
from rlready.core.settings import Config

# settings that lower the memory needed, those that change least about the result first
MEMORY = (
    "max_tokens_per_microbatch",
    "max_answer_tokens",
    "thinking_budget",
    "thinking_budgets",
    "max_response_tokens",
)


def check_device(config: Config) -> None:
    """UserError if ``config`` names a device that this machine does not have; torch is not imported for the CPU."""
    device = getattr(config, "device", "auto")
    if device in ("auto", "cpu"):
        return
    import torch

    kind, _, index = device.partition(":")
    there = getattr(torch, kind).device_count()
    name = {"cuda": "CUDA GPU", "mps": "GPU of a Mac", "xpu": "Intel GPU"}[kind]
    if not there:
        raise UserError(f"device = {device!r}: no {name} here; use device=auto or device=cpu")
    if int(index or 0) >= there:
        last = f" to {kind}:{there - 1}" if there > 1 else ""
        raise UserError(f"device = {device!r}: the last {name} here is {kind}:{there - 1}; use {kind}:0{last}")


def out_of_memory(error: Exception, config: Config | None = None) -> str:
    """What to change about ``config`` if ``error`` says that memory is full, in one line; empty for other errors."""
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    not_mapped = isinstance(error, ImportError) and str(error).endswith("failed to map segment from shared object")
    if not (on_gpu or not_mapped or isinstance(error, MemoryError) or "allocate memory" in str(error)):
        return ""
    lower = [_halved(name, getattr(config, name)) for name in MEMORY if hasattr(config, name)]
    narrow = " or set dtype=bfloat16," if getattr(config, "dtype", None) == "float32" else ""
    kept = " or set gradient_checkpointing=true," if getattr(config, "gradient_checkpointing", None) is False else ""
    less = f"lower {' or '.join(lower)},{kept}{narrow} or " if lower else ""
    return f"{'GPU' if on_gpu else 'main'} memory is full: {less}use a device with more memory"


def _halved(name: str, value: object) -> str:
    """A setting with half its value, as far as it is one number: each halving about halves what it needs."""
    return f"{name} from {value} to {value // 2}" if type(value) is int and value > 1 else name
