"""The files of a table: one file, or a folder of shards, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rlready.core.errors import UserError

TEXT = (".jsonl", ".json", ".csv", ".tsv")
TABLES = (*TEXT, *(f"{kind}.gz" for kind in TEXT), ".parquet")  # how the names of tables end
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # with which compressed files begin
ZST = ".zst"
TIMES, LEAST = 100, 1 << 26  # a compressed file may unfold to so many times its size, or to so many bytes
PER_LINE = 200  # bytes of a row of Python objects without its values
SHARD = re.compile(r"(^|[-_.])\d+([-_.]of[-_.]\d+)?(-[0-9a-f]{16})?$")  # the end of train-00000-of-00002


def kind_of(file: Path) -> str:
    """The format that a file's name says, such as ``.jsonl``; compression is left out."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def stem_of(path: str) -> str:
    """The name of a file or folder without its format: problems for problems.jsonl.gz."""
    name = Path(path).name
    return name[: -len(next(end for end in TABLES if name.endswith(end)))] if name.endswith(TABLES) else Path(name).stem


class Unfolded(gzip.GzipFile):
    """The content of a file that is compressed with gzip; UserError if it is damaged, or too large for the file."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.file, self.left = file, max(LEAST, TIMES * file.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        return self._counted(super().read, self.left + 1 if size is None or size < 0 else size)

    def readline(self, size: int | None = -1) -> bytes:
        self.left -= PER_LINE
        return self._counted(super().readline, self.left + 1 + PER_LINE if size is None or size < 0 else size)

    def read1(self, size: int = -1) -> bytes:
        return self._counted(super().read1, size)

    def _counted(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            content = read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{self.file}: cannot be read: {error}; copy it again") from None
        self.left -= len(content)
        if self.left < 0:
            raise UserError(
                f"{self.file}: unfolds to more than {TIMES} times its size; if that is right, gunzip it first"
            )
        return content


def open_plain(file: Path) -> IO[bytes]:
    """The content of a file, decompressed if it is compressed with gzip; UserError for one of zstd."""
    with file.open("rb") as content:
        head = content.read(len(ZSTD))
    if head == ZSTD:
        raise UserError(f"{file}: compressed with zstd, which is not read; unpack it with unzstd")
    return Unfolded(file) if head.startswith(GZIP) else file.open("rb")  # type: ignore[return-value]  # it has the same methods


def files_of(path: str, split: str = "") -> list[Path]:
    """The file at ``path``, or the shards of one table in a folder, of which ``split`` chooses those of that name.

    UserError if a folder holds no table, or several.
    """
    if not os.path.isdir(path):
        return [Path(path)]
    inside = sorted(Path(path).iterdir(), key=_by_number)
    tables: dict[str, list[Path]] = {}
    for file in inside:
        if file.is_file() and file.name.lower().endswith(TABLES) and file.name[0] not in "._":
            tables.setdefault(SHARD.sub("", stem_of(file.name)), []).append(file)
    if not tables:
        raise UserError(f"{path}: {_no_table(inside)}")
    names = ", ".join(name for name in tables if name.isprintable())
    if split and split not in tables:
        raise UserError(f"{path}: no file of the split {split!r}; the folder has {names}")
    if not split and len(tables) > 1:
        raise UserError(f"{path}: holds several tables ({names}); name a file in it, or choose: ?split={min(tables)}")
    files = tables[split] if split else next(iter(tables.values()))
    if len({kind_of(file) for file in files}) > 1:
        raise UserError(f"{path}: holds one table in several formats ({files[0].name}, {files[-1].name}); name a file")
    return files


def local_data(path: str, split: str = "") -> Path | None:
    """The file that holds a table, or the folder with its shards; None if there is neither."""
    if not os.path.exists(path):
        return None
    files = files_of(path, split)
    return files[0] if len(files) == 1 else Path(path)


def _by_number(file: Path) -> list[str | int]:
    """The name of a file with its numbers as numbers, so that part-10 comes after part-9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", file.name)]


def _no_table(inside: list[Path]) -> str:
    """What a folder without tables is."""
    if any(file.suffix == ".arrow" or file.name == "dataset_dict.json" for file in inside):
        return 'written by save_to_disk; convert it: datasets.load_from_disk(FOLDER).to_parquet("problems.parquet")'
    below = [f.name for f in inside if f.is_dir() and any(each.name.endswith(TABLES) for each in f.iterdir())]
    if below:
        return f"a folder without tables; those are in its folders {', '.join(below[:5])}: name one of them"
    return f"a folder without tables; name a file, or a folder with files that end in {', '.join(TEXT)} or .parquet"
