"""Runs of the command line in forks of one warm process, each with a fault at the n-th change of a file.

A fork has torch and rlready imported, so a run of the embedded model takes a fraction of a second.  ``faults.c`` is
loaded before everything else (LD_PRELOAD) and sees the writes of Python, torch, safetensors and Arrow alike.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import importlib
import mmap
import os
import pkgutil
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HANGS = 120.0  # seconds after which a run is said to hang
OPEN, WRITE, RENAME, SYNC, REMOVE = 1, 2, 4, 8, 16
ALL = 31
SETTINGS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
LONGS = ("kinds", "at", "signal", "error", "lasts", "torn", "jumps", "trace", "count", "fired", "peak")


class Shared(ctypes.Structure):
    """``struct plan`` of ``faults.c``."""

    _fields_ = [*((name, ctypes.c_long) for name in LONGS), ("where", ctypes.c_char * 216)]


@dataclass(frozen=True)
class Fault:
    """What goes wrong at change ``at`` of a file, see ``KINDS``; or after ``seconds``, a signal.

    ``memory``: bytes of address space that the run may add.  ``jumps``: seconds by which the clock jumps.
    ``every``: state is saved at every such chance, 0 for never.
    """

    kind: str = ""
    at: int = 0
    seconds: float = 0.0
    memory: int = 0
    jumps: int = 0
    every: int = 1


# the operations that count, the signal that is sent or the error, whether it lasts, whether a write is done by half
KINDS: dict[str, tuple[int, int, int, bool, bool]] = {
    "": (ALL, 0, 0, False, False),
    "SIGKILL": (ALL, signal.SIGKILL, 0, False, False),
    "SIGKILL in a write": (ALL, signal.SIGKILL, 0, False, True),
    "SIGTERM": (ALL, signal.SIGTERM, 0, False, False),
    "SIGINT": (ALL, signal.SIGINT, 0, False, False),
    "disk full": (OPEN | WRITE | SYNC, 0, errno.ENOSPC, True, True),
    "read-only": (ALL, 0, errno.EROFS, True, False),
    "write fails": (WRITE, 0, errno.EIO, False, False),
    "rename fails": (RENAME, 0, errno.EIO, False, False),
    "fsync fails": (SYNC, 0, errno.EIO, False, False),
    "remove fails": (REMOVE, 0, errno.EACCES, False, False),
}


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code (a signal is negative), its last line of standard error, the faults it met."""

    code: int
    said: str
    fired: int
    where: str
    count: int
    peak: int
    seconds: float


class Forks:
    """The warm process, which `restart_with_faults` has started."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, ctypes.sizeof(Shared))
        self.shared = Shared.from_buffer(self.memory)
        self.library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        import rlready

        for found in pkgutil.walk_packages(rlready.__path__, "rlready."):
            with suppress(ImportError):  # an extra that is not installed
                if not found.name.endswith("__main__"):
                    importlib.import_module(found.name)
        for name in ("transformers.models.llama.modeling_llama", "pyarrow.parquet", "scipy.stats", "sympy"):
            importlib.import_module(name)
        import torch

        torch.set_num_threads(1)
        for module in ("rlready.train.sft", "rlready.train.trainer"):
            sys.modules[module].peak_of = lambda learner: 1.0  # type: ignore[attr-defined]  # a time, and a long one
        self.plant: Callable[[], None] | None = None  # a loss that is planted in every run

    def warm(self, argvs: Sequence[Sequence[str]], folder: Path) -> None:
        """Run these commands in this process: what a first run sets up is then set up in every fork."""
        from rlready.cli.main import main

        os.chdir(folder)
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            assert not any(main(argv) for argv in argvs)
        gc.freeze()  # a collection would copy every page that a fork shares

    def run(self, argv: Sequence[str], folder: Path, fault: Fault = Fault()) -> Ended:
        """Run ``rlready ARGV`` in a folder, with its run folder ``run`` watched; returns how it ended."""
        began = time.monotonic()
        code = self.wait(self.start(argv, folder, fault), fault)
        said = (folder / "said").read_text(errors="replace").strip().splitlines() or [""]
        plan = self.shared
        where = f"after {fault.seconds:.2f} s" if fault.seconds else plan.where.decode(errors="replace")
        return Ended(code, said[-1], plan.fired, where, plan.count, plan.peak, time.monotonic() - began)

    def start(self, argv: Sequence[str], folder: Path, fault: Fault = Fault(), said: str = "said") -> int:
        """Start a run and return its process; what it prints is in the file ``said``."""
        kinds, number, error, lasts, torn = KINDS[""] if fault.seconds else KINDS.get(fault.kind, KINDS[""])
        trace = os.open(folder / "trace", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) if fault.kind == "traced" else 0
        values = (kinds, fault.at, number, error, lasts, torn, fault.jumps, trace, 0, 0, 0)
        for name, value in zip(LONGS, values, strict=True):
            setattr(self.shared, name, int(value))
        self.shared.where = b""
        printed = os.open(folder / said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        child = os.fork()
        if not child:
            code = 1
            try:
                os.dup2(printed, 2)
                code = self._child(argv, folder, fault)
            except BaseException:
                traceback.print_exc()
            finally:
                with suppress(OSError, ValueError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        for each in filter(None, (printed, trace)):
            os.close(each)
        return child

    def wait(self, child: int, fault: Fault = Fault()) -> int:
        """Wait for a run, send it its signal if it has one; returns its exit code, None if it hangs."""
        pidfd = os.pidfd_open(child)
        try:
            if fault.seconds and not select.select([pidfd], [], [], fault.seconds)[0]:
                os.kill(child, KINDS[fault.kind][1])
            if not select.select([pidfd], [], [], HANGS)[0]:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError(f"a run hangs: {fault}")
        finally:
            os.close(pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _child(self, argv: Sequence[str], folder: Path, fault: Fault) -> int:
        from rlready.cli.main import main
        from rlready.runs.pace import Pace

        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)

        def due(pace: Pace) -> bool:
            pace.chances = getattr(pace, "chances", 0) + 1  # type: ignore[attr-defined]
            return bool(fault.every) and pace.chances % fault.every == 0  # type: ignore[attr-defined]

        Pace.due = due  # type: ignore[method-assign]
        if self.plant:
            self.plant()
        sys.argv = ["rlready", *argv]
        before = _status("VmSize")
        if fault.memory:
            resource.setrlimit(resource.RLIMIT_AS, (before + fault.memory, before + fault.memory))
        self.library.torture_use(ctypes.byref(self.shared), os.fsencode(folder / "run"))
        code = main()
        self.shared.peak = _status("VmPeak") - before
        return code


def _status(key: str) -> int:
    """A size from /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(key))


def restart_with_faults(argv: Sequence[str]) -> Path:
    """Compile ``faults.c`` and start this program again with it; then, the folder that it is in."""
    loaded = Path(os.environ.get("LD_PRELOAD", ""))
    if loaded.name == "faults.so":
        return loaded.parent
    library = Path(tempfile.mkdtemp(prefix="torture-faults-")) / "faults.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "faults.c"), "-ldl"], check=True)
    os.execve(sys.executable, [sys.executable, *argv], os.environ | SETTINGS | {"LD_PRELOAD": str(library)})
