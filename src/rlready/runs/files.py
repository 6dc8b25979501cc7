"""Atomic writes: a temporary name, fsync, rename.

A reader never sees half of a file or folder, and a kill at any moment leaves the previous version.  Temporary
names hold ``.tmp-``; ``clear_leftovers`` removes what a killed process left.  A full disk is a ``UserError``,
with the temporary file removed and the previous version intact.  Of several processes of a run (torchrun) only rank 0
changes files: on the others, the functions that write or delete do nothing.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from rlready.core.distributed import rank
from rlready.core.errors import UserError
from rlready.core.regular import read_whole
from rlready.runs.parquet import BoundedParquet

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)  # as libraries put them in words, too
NEARLY_NOTHING = 1 << 20  # with fewer free bytes, a failed write is attributed to the full disk
LEFTOVER = re.compile(r"(.+)\.tmp-\d+(-before)?")


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8)."""

    def fill(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)

    _write_file(path, fill)


def write_json(path: Path, content: object) -> None:
    """Replace ``path`` by ``content`` as JSON; see ``to_json``."""
    write_text(path, to_json(content) + "\n")


def to_json(content: object) -> str:
    """JSON with keys in the order given; not-a-number and infinity are null; content may hold dataclasses, models and
    arrays.
    """
    return json.dumps(plain(content), ensure_ascii=False, allow_nan=False, indent=1)


def read_json(path: Path) -> Any:
    """The JSON in a file; UserError for a file that cannot be read, is not regular, or is not JSON."""
    try:
        return json.loads(read_whole(path, links=True).decode("utf-8"))
    except OSError as error:
        raise UserError(_reason(path, error, "read")) from None
    except RecursionError:
        raise UserError(f"{path}: not JSON: nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None


def text_of(file: Path, errors: Literal["replace", "strict"] = "replace") -> str:
    """The text of a file; UserError for what is none, such as a named pipe, which would be waited for without end."""
    if not file.is_file():
        raise UserError(f"{file}: not a file")
    try:
        with os_errors_named(file, "read"):
            return file.read_text(encoding="utf-8", errors=errors)
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text") from None


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Replace ``path`` by a Parquet table; a key that a row lacks is null there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
    table = pa.table(columns)
    _write_file(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def merge_tables(paths: Sequence[Path], to: Path, last_step: int) -> None:
    """Write the rows of several Parquet tables into one, up to ``last_step`` in their column ``step``."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    read = [BoundedParquet(path) for path in paths]
    try:
        tables = [pa.Table.from_batches(each.read(each.schema.names), each.schema) for each in read]
        table = pa.concat_tables(tables, promote_options="permissive")
        table = table.filter(pc.less_equal(table["step"], last_step))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise UserError(f"cannot read {' or '.join(sorted({str(path.parent) for path in paths}))}: {error}") from None
    _write_file(to, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet table; UserError if it cannot be read, or is too large for its file."""
    with os_errors_named(path, "read"):
        return list(BoundedParquet(path).rows())


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Replace the folder ``path`` by what ``fill`` writes into the empty folder that it is given."""
    if rank():
        return
    temporary = _temporary(path)
    before = temporary.with_name(temporary.name + "-before")
    with _atomic(path, temporary):
        temporary.mkdir()
        fill(temporary)
        for inside in [*temporary.rglob("*"), temporary]:
            sync(inside)
        try:
            if os.path.lexists(path):
                path.rename(before)
            temporary.rename(path)
        except BaseException:
            if not os.path.lexists(path) and os.path.lexists(before):
                before.rename(path)
            raise
        sync(path.parent)
    remove(before)


def copy(source: Path, to: Path) -> None:
    """Replace ``to`` by a copy of a file or a folder."""
    if source.is_dir():
        write_folder(to, partial(shutil.copytree, source, dirs_exist_ok=True))
    else:
        _write_file(to, lambda temporary: shutil.copyfile(source, temporary))


def clear_leftovers(paths: Iterable[Path]) -> None:
    """Remove those of the paths that killed writers left, and restore what they had only renamed."""
    for left in sorted(paths):
        name = LEFTOVER.fullmatch(left.name)
        if name and name[2] and left.exists() and not left.with_name(name[1]).exists():
            with os_errors_named(left):
                left.rename(left.with_name(name[1]))
        elif name:
            remove(left)


def discard(path: Path) -> None:
    """Delete a folder, if it is there, so that a kill in between leaves no half of it under its name."""
    if path.is_dir() and rank() == 0:
        with os_errors_named(path, "delete"):
            path.rename(_temporary(path))
        remove(_temporary(path))


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there; UserError if it cannot be deleted."""
    if rank():
        return
    with os_errors_named(path, "delete"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def plain(content: Any) -> Any:
    """``content`` as the types of JSON; TypeError for a type that has no JSON."""
    if isinstance(content, BaseModel):
        content = content.model_dump()
    if is_dataclass(content) and not isinstance(content, type):
        content = asdict(content)
    if hasattr(content, "tolist"):  # numpy scalars and arrays, tensors
        content = content.tolist()
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if content is None or isinstance(content, (str, bool, int)):
        return content
    if isinstance(content, Path):
        return str(content)
    raise TypeError(f"no JSON for {type(content).__name__}")


@contextmanager
def os_errors_named(path: Path, what: str = "write") -> Iterator[None]:
    """Turn an error of the operating system into one line for the user: what cannot be done with ``path``, and why."""
    try:
        yield
    except OSError as error:
        raise UserError(_reason(path, error, what)) from error


def _write_file(path: Path, fill: Callable[[Path], object]) -> None:
    if rank():
        return
    temporary = _temporary(path)
    with _atomic(path, temporary):
        fill(temporary)
        if path.is_file():
            shutil.copymode(path, temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)


@contextmanager
def _atomic(path: Path, temporary: Path) -> Iterator[None]:
    """Prepare for writing ``temporary``; if writing fails, remove it and raise a UserError that says why."""
    with os_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
    try:
        yield
    except BaseException as error:
        found = _cause(path, error)
        with suppress(UserError):  # the error itself matters more
            remove(temporary)
        if found and (found.filename is None or str(found.filename).startswith(str(path))):
            raise UserError(_reason(path, found, "write")) from error
        raise


def _reason(path: Path, error: OSError, what: str) -> str:
    why = "no space left on the disk" if error.errno in FULL else error.strerror or str(error)
    if error.errno == errno.EISDIR:
        why = "a folder is in its place; delete it"
    return f"cannot {what} {path}: {why}"


def _cause(path: Path, error: BaseException) -> OSError | None:
    """The operating system's error behind a library's own, which may only quote it; None for any other error."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause
        for code in (*FULL, *REFUSED):
            if os.strerror(code) in str(cause):
                return OSError(code, os.strerror(code))
        cause = cause.__cause__ or cause.__context__
    with suppress(OSError):
        if shutil.disk_usage(path.parent).free < NEARLY_NOTHING:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp-{os.getpid()}")


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot sync a folder
            raise
    finally:
        os.close(descriptor)
