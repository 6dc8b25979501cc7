"""The shared library of the kernels: compiled, tried, kept in a cache, and checked before it is loaded.

The cache, ``rlready`` in ``XDG_CACHE_HOME`` or ``~/.cache``, is a folder that only its user can write.  A file's name
has the digest of what it was made by and from, since nodes that share a home may differ, and the digest of its content:
to load a file that was cut short would end the process.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlready.core.messages import note
from rlready.core.stopping import POLL, heed_stop

HERE = Path(__file__).parent
SOURCES = ("product.c", "elementwise.c", "mlp.c", "attention.c", "decode.c")
PATIENCE = 300.0  # seconds until a command is given up: a busy machine must not change which kernels compute
QUIET = 5.0  # seconds of waiting after which a line is printed
# A new library is tried in another process, which it may end: by an illegal instruction, or a sanitizer's runtime.
TRIAL = """
import ctypes, sys
library, (gate, up, y) = ctypes.CDLL(sys.argv[1]), [(ctypes.c_float * 16)() for _ in range(3)]
for name in sys.argv[2:]:
    getattr(library, name)
library.gated_forward(ctypes.c_long(16), gate, up, y)
"""


class KernelError(Exception):
    """Why there can be no kernels, in words."""


@dataclass(frozen=True)
class Library:
    """The compiled functions; ``build`` names the compiler, and the digest of what they were made by and from."""

    functions: ctypes.CDLL
    build: str


def library(command: Sequence[str], names: Sequence[str]) -> Library:
    """The functions ``names``, compiled by ``command``, from the cache if they are there.

    Raises KernelError if the compiler or what it makes does not work, and OSError if there is nowhere to compile.
    """
    # the compiler's description of its target: its version and the processor's instructions
    target = _output([*command, "-dM", "-E", "-x", "c", os.devnull])
    sources = [(HERE / name).read_bytes() for name in (*SOURCES, "vector.h")]
    made_from = [repr((command, platform.libc_ver())).encode(), target, *sources]
    key = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]
    version = re.search(rb'__VERSION__ "([^"]*)"', target)
    build = f"{command[0]} {version[1].decode(errors='replace') if version else ''} {key}"
    try:
        folder = _cache_folder()
        kept = sorted(folder.glob(f"kernels-{key}-*.so"))
        sound = [file for file in kept if _is_sound(file, key)]
        if kept and not sound:
            note(f"{kept[0]} is damaged or not this user's: the C kernels are compiled again")
        functions = ctypes.CDLL(str(sound[0])) if sound else _compiled(command, names, key, folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home directory
        note(
            f"the C kernels are compiled again by every command: {error}; set XDG_CACHE_HOME to a folder that only you "
            "can write"
        )
        functions = _compiled(command, names, key, None)
    return Library(functions, build)


def _cache_folder() -> Path:
    """The folder of compiled kernels; OSError unless it is this user's, and only this user can write it."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))  # to be ignored if it is relative, by its specification
    folder = (given if given.is_absolute() else Path.home() / ".cache") / "rlready"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid() and not _is_private(folder.stat()):
        folder.chmod(0o700)  # made under a lax umask
    if not _is_private(folder.stat()):
        raise OSError(f"{folder} belongs to another user, or others can write it")
    if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise OSError(f"{folder} is on a disk from which no code may be run")
    return folder


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_sound(file: Path, key: str) -> bool:
    """Whether a file is this user's, and its content is what its name says."""
    status = file.lstat()
    return stat.S_ISREG(status.st_mode) and _is_private(status) and file.name == _file_name(key, file.read_bytes())


def _file_name(key: str, content: bytes) -> str:
    return f"kernels-{key}-{hashlib.sha256(key.encode() + content).hexdigest()[:32]}.so"


def _compiled(command: Sequence[str], names: Sequence[str], key: str, folder: Path | None) -> ctypes.CDLL:
    """The functions, compiled and tried; the library is kept in ``folder``, or else for this process alone."""
    with tempfile.TemporaryDirectory(prefix="rlready-", dir=folder) as scratch:
        file = Path(scratch) / "kernels.so"
        _output([*command, "-shared", "-o", str(file), *(str(HERE / name) for name in SOURCES), "-lm"])
        if not file.exists():
            raise KernelError(f"{command[0]} wrote nothing")
        try:
            _output([sys.executable, "-I", "-c", TRIAL, str(file), *names])
        except KernelError as error:
            raise KernelError(f"what {command[0]} has made does not work ({error})") from None
        if folder:
            file.chmod(0o600)
            file = file.replace(folder / _file_name(key, file.read_bytes()))  # whole, for others that do the same now
        return ctypes.CDLL(str(file))


def _output(command: Sequence[str]) -> bytes:
    """What a command prints; KernelError if it fails, or has not ended after ``PATIENCE`` seconds."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # to be killed with its children
        )
    except OSError as error:
        raise KernelError(f"{command[0]} cannot be started ({error.strerror})") from None
    with process:
        try:
            printed, errors = _wait(process, command[0])
        except BaseException:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
        telling = [line[:200] for line in lines if "error" in line.lower()] or lines[-1:]
        raise KernelError(telling[0] if telling else f"{command[0]} ended with exit code {process.returncode}")
    return printed


def _wait(process: subprocess.Popen[bytes], name: str) -> tuple[bytes, bytes]:
    began, said = time.monotonic(), False
    while (waited := time.monotonic() - began) < PATIENCE:
        heed_stop()
        if waited > QUIET and not said:
            note(f"compiling the C kernels: still waiting for {name} after {QUIET:.0f} s")
            said = True
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=POLL)
    raise KernelError(f"{name} has not ended after {PATIENCE:.0f} s")
