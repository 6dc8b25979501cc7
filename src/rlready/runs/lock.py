"""One process per folder: the operating system releases the lock when the process ends, for whatever reason."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.runs.files import os_errors_named

NAME = ".lock"
HELD = dict[int, Path]()  # the files of locks, by descriptor
RESERVED = dict[Path, "HeldFolder"]()  # folders for runs of this process that have yet to begin
LONGEST = 30.0  # seconds to wait for another process that replaces a file, which takes it milliseconds


class InUse(UserError):
    """Another process has locked the folder."""


def is_locked(folder: Path) -> bool:
    """Whether a process has locked ``folder`` now; True if its file system has no locks."""
    try:
        lock = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def lock_folder(folder: Path) -> int:
    """Lock ``folder``, until the returned descriptor is given to `unlock`.

    InUse if another process has locked it; UserError for a lock file that is a symbolic link, whose target would be
    overwritten, or no plain file.
    """
    file = folder / NAME
    if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
        what = "a symbolic link" if file.is_symlink() else "not a plain file"
        raise UserError(f"{file} is {what}: remove it, or choose another --out")
    with os_errors_named(file):
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode(errors="replace") or "unknown"
        os.close(lock)
        raise InUse(f"{folder} is in use by process {holder}: wait for it, or choose another --out") from None
    except OSError as error:
        note(f"{folder}: the file system has no locks ({error.strerror}); let no other process use it")
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    HELD[lock] = file
    return lock


def refuse_moved(path: Path) -> None:
    """UserError if ``path`` is in a folder that this process has locked, and that is no longer there: another run may
    be at its place."""
    held: dict[Path, list[int]] = {}
    for lock, file in list(HELD.items()):
        if path.is_relative_to(file.parent):
            held.setdefault(file, []).append(lock)
    for file, locks in held.items():
        if not any(_is_at(lock, file) for lock in locks):
            raise UserError(
                f"{file.parent} is not the folder of this run any more, which was moved or removed: stopped"
            )


def _is_at(lock: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.lstat(file))
    except OSError:
        return False


def unlock(lock: int) -> None:
    """Release a lock of `lock_folder`, unless this process was forked from the one that holds it."""
    if lock in HELD:
        del HELD[lock]
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(lock, fcntl.LOCK_UN)  # also for a child that has not closed its copy yet
        os.close(lock)


def _leave_to_parent() -> None:
    """Close the locks in a child, which would otherwise hold them for as long as it lives."""
    while HELD:
        os.close(HELD.popitem()[0])


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def replacing_in(folder: Path) -> Iterator[None]:
    """While a file of ``folder`` is read and replaced, let no other process do the same; waits until none does.

    UserError if another process takes longer than ``LONGEST``.
    """
    with os_errors_named(folder):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        end = time.monotonic() + LONGEST
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise UserError(f"{folder}: another process is replacing a file there: try again") from None
                time.sleep(0.01)
            except OSError as error:
                note(f"{folder}: the file system has no locks ({error.strerror}); let no other process use it")
                break
        yield
    finally:
        os.close(lock)


class HeldFolder:
    """A folder that is locked, and made before if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(folder)

    def is_there(self) -> bool:
        """Whether the locked file is that of the folder, which another process may have removed."""
        return _is_at(self._lock, self._file)

    def release(self) -> None:
        unlock(self._lock)

    def leave_as_found(self) -> None:
        """Release the folder, and remove it if it was made."""
        if self._made:
            with suppress(OSError):
                self._file.unlink()  # while it is locked, so that no other process has locked it
        self.release()
        if self._made:
            with suppress(OSError):
                for each in self._made:
                    each.rmdir()


def reserve(folder: Path) -> None:
    """Hold a folder until a run takes it over, see `held`, or it is given back.

    InUse if another process holds it, or has just given it back.
    """
    try:
        reserved = HeldFolder(folder)
    except UserError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise InUse(str(error)) from error
        raise
    if not reserved.is_there():
        reserved.release()
        raise InUse(f"{folder} was given back by another process")
    RESERVED[folder] = reserved


def give_back(folder: Path) -> None:
    """Leave a folder that was reserved, unless a run has taken it over."""
    if left := RESERVED.pop(folder, None):
        left.leave_as_found()


def held(folder: Path) -> HeldFolder:
    """The folder that was reserved for this run, or one that is locked now."""
    return RESERVED.pop(folder, None) or HeldFolder(folder)
