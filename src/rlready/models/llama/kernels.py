"""The C kernels in this folder, compiled at first use for the processor they run on, and kept in the user's cache.

They compute what torch's operations do, in fp32 on the CPU, in the calling thread alone; where there is no compiler,
and for other types and devices, the callers use torch's operations instead.  ``CC`` names the compiler (default
``cc``); ``CC=false`` turns the kernels off.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import threading
from functools import cache

import torch
from torch import Tensor

from rlready.core.messages import note
from rlready.core.stopping import heed_stop
from rlready.models.llama.kernel_library import KernelError, Library, library

FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=default")
MULTIPLE = 16  # of the sizes that kernels take: the most lanes of any processor's vectors
P, N, F = ctypes.c_void_p, ctypes.c_long, ctypes.c_float
SIGNATURES = {
    "multiply": [N, N, N, P, N, N, P, N, N, P, N, N],
    "norm_forward": [N, N, P, P, P, F, P, P, P],
    "norm_backward": [N, N, P, P, P, P, P, P, P],
    "gated_forward": [N, P, P, P],
    "gated_backward": [N, P, P, P, P, P],
    "mlp_forward": [N, N, N, P, P, P, P, P, P, P],
    "mlp_backward": [N, N, N, P, P, P, P, P, P, P, P, P, P, P],
    "attention_forward": [N, P, N, N, N, P, P, P, P, P, F, P, P],
    "attention_backward": [N, P, N, N, N, P, P, P, P, P, F, P, P, P, P, P, P],
    "decode_attention": [N, N, N, N, P, P, P, P, N, P, P, P, P, P, N, N, P],
    "draw": [N, N, P, F, P, P, P],
}
_first_use = threading.Lock()  # which may be in several threads


@cache
def loaded() -> Library | None:
    """The compiled kernels; None where they cannot be compiled or loaded, with one note."""
    compiler = os.environ.get("CC", "").strip() or "cc"
    try:
        kernels = library([*shlex.split(compiler), *FLAGS], list(SIGNATURES))
    except (KernelError, OSError, ValueError) as error:  # ValueError: a quote in CC that is not closed
        fix = "" if isinstance(error, OSError) else f" (CC={compiler}); set CC to a C compiler that works"
        note(f"the C kernels are not used, so training is slower: {error}{fix}")
        return None
    for name, arguments in SIGNATURES.items():
        function = getattr(kernels.functions, name)
        function.argtypes, function.restype = arguments, ctypes.c_int
    return kernels


def in_use() -> str | None:
    """What the kernels were compiled by and from, "none" if there are none; None before their first use."""
    if not loaded.cache_info().currsize:
        return None
    kernels = loaded()
    return kernels.build if kernels else "none"


def serves(x: Tensor, *widths: int) -> bool:
    """Whether the kernels compute on such a tensor in this thread, with innermost dimensions of these sizes.

    A kernel is single-threaded, so it might be slower than an operation that torch runs on several threads.
    """
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and torch.get_num_threads() == 1
    if not plain or any(width % MULTIPLE for width in widths):
        return False
    with _first_use:
        return loaded() is not None


def call(name: str, *arguments: Tensor | float | None) -> None:
    """Call a kernel; tensors are passed as the addresses of their data, None as no address.

    Raises ValueError if a tensor is not contiguous, and MemoryError if the kernel could not allocate its tables.
    """
    heed_stop()
    raw: list[float | None] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            if not argument.is_contiguous():
                raise ValueError(f"{name}: a tensor of shape {tuple(argument.shape)} is not contiguous")
            raw.append(argument.data_ptr())
        else:
            raw.append(argument)
    kernels = loaded()
    assert kernels is not None  # see ``serves``
    if getattr(kernels.functions, name)(*raw):
        raise MemoryError(f"{name}: no memory for its tables")
