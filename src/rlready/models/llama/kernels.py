"""The C kernels in this folder, compiled at first use for the processor they run on, and kept in the user's cache.

They compute what torch's operations do, in fp32 on the CPU, in the calling thread alone; where there is no compiler,
and for other types and devices, the callers use torch's operations instead.  ``CC`` names the compiler (default
``cc``); ``CC=false`` turns the kernels off.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlready.core.progress import note
from rlready.core.stopping import heed_stop

HERE = Path(__file__).parent
SOURCES = ("product.c", "elementwise.c", "mlp.c", "attention.c", "decode.c")
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-ffp-contract=fast", "-fno-math-errno")
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


@cache
def loaded() -> Any:
    """The compiled kernels; None where they cannot be compiled or kept, with one note."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    try:
        functions = ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        why = f"{shlex.join(compiler)}: {type(error).__name__}"
        note(
            f"the C kernels cannot be compiled ({why}), so training is slower; set CC to a C compiler and "
            "XDG_CACHE_HOME to a folder that can be written"
        )
        return None
    for name, arguments in SIGNATURES.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = arguments, ctypes.c_int
    return functions


def compiled() -> bool | None:
    """Whether there are kernels; None before their first use."""
    return loaded() is not None if loaded.cache_info().currsize else None


def serves(x: Tensor, *widths: int) -> bool:
    """Whether the kernels compute on such a tensor in this thread, with innermost dimensions of these sizes.

    A kernel is single-threaded, so it might be slower than an operation that torch runs on several threads.
    """
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and torch.get_num_threads() == 1
    return plain and not any(width % MULTIPLE for width in widths) and loaded() is not None


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
    if getattr(loaded(), name)(*raw):
        raise MemoryError(f"{name}: no memory for its tables")


def _compiled(compiler: list[str]) -> Path:
    """The shared library for these sources, this compiler and this processor, made where it is not there yet."""
    command = [*compiler, *FLAGS]
    # the compiler's description of its target: its version and the processor's instructions
    target = subprocess.run([*command, "-dM", "-E", "-x", "c", os.devnull], check=True, capture_output=True).stdout
    sources = [(HERE / name).read_bytes() for name in (*SOURCES, "vector.h")]
    key = hashlib.sha256(b"\0".join([repr(command).encode(), target, *sources])).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlready"
    made = folder / f"kernels-{key}.so"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            fresh = Path(name) / made.name
            files = [str(HERE / source) for source in SOURCES]
            subprocess.run([*command, "-shared", "-o", str(fresh), *files, "-lm"], check=True, capture_output=True)
            fresh.replace(made)  # at once, also for others that compile it now
    return made
