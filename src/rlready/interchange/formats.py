"""Sources of samples that other tools wrote, ``FORMAT:PATH?options``, and which tool wrote a file or a folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.missing import did_you_mean
from rlready.interchange.inspect import INSPECT
from rlready.interchange.inspect_log import is_log
from rlready.interchange.lighteval import LIGHTEVAL
from rlready.interchange.lines import first_object
from rlready.interchange.lm_eval import LM_EVAL
from rlready.interchange.prime_rl import PRIME_RL
from rlready.interchange.rollouts import Format, Request, ToolOptions
from rlready.interchange.skyrl import SKYRL
from rlready.interchange.trl import TRL
from rlready.interchange.verl import VERL
from rlready.interchange.write_times import say_older
from rlready.models.one_line import one_line
from rlready.tasks.columns import Batch
from rlready.tasks.files import ZST
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.source import Source, options_from, options_of

STEPPED = (TRL, VERL, PRIME_RL)  # whose files are in the order of their steps
FORMATS = {each.kind: each for each in (TRL, VERL, PRIME_RL, SKYRL, LM_EVAL, INSPECT, LIGHTEVAL)}


def is_tool_source(source: str) -> bool:
    """Whether a source begins with the name of a format, as in ``trl:runs/grpo``."""
    return _kind(source) in FORMATS and ":" in source.partition("?")[0]


def _kind(source: str) -> str:
    """What a source begins with, in the spelling of `FORMATS`: that of ``lm_eval:FILE`` is lm-eval."""
    return source.partition(":")[0].lower().replace("_", "-")


def refuse_samples(sources: Iterable[str], verb: str) -> None:
    """UserError for a source of another tool's samples where ``verb`` needs something else."""
    for source in filter(is_tool_source, sources):
        tool = FORMATS[_kind(source)].tool
        raise UserError(
            f"{source}: samples of {tool}, which {verb} does not read; rank them first: "
            f"rlready readiness {shlex.quote(source)} --out runs/ready"
        )


def parse_tool_source(source: str) -> tuple[Format, Request]:
    """The format and what to read; UserError for unknown options."""
    head, _, query = source.partition("?")
    kind, path = _kind(source), os.path.expanduser(head.partition(":")[2])
    if not path:
        raise UserError(f"{source}: name what to read, {kind}:PATH")
    refuse_mark(source, source.partition(":")[2])
    options = options_from(Source(source, kind, path, options_of(source, query)), ToolOptions())
    return FORMATS[kind], Request(head, Path(path), options, query)


def refuse_mark(source: str, path: str) -> None:
    """UserError for a source whose ``path`` is there with the ? that would begin its options."""
    if "?" in path and os.path.exists(os.path.expanduser(path)):
        raise UserError(f"{source}: a ? begins options, so that this path cannot be named; rename it without one")


def open_tool(format: Format, request: Request) -> Iterator[Batch]:
    """The samples; UserError for a path that holds none of this format, which says the format that it holds."""
    where, path = request.text, request.path
    if request.options.thinking_budget is not None:
        raise UserError(
            f"{where}: thinking_budget= keeps the samples of one budget, which cannot be told: {format.no_budget}; "
            "leave it out"
        )
    if not path.exists():
        raise UserError(f"{where}: no such file or folder{did_you_mean(str(path))}")
    for option in ("filter", "task"):
        if getattr(request.options, option) and option not in format.choices:
            raise UserError(f"{where}: {option}= does not apply to samples of {format.tool}; leave it out")
    files = format.files(path)
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: not a file that can be read (a folder, a pipe or a broken link); remove it")
    if format in STEPPED:
        say_older(where, files)
    other = recognise(path)
    if other and other is not format:
        raise UserError(f"{where}: these are samples of {other.tool}; read them with {other.kind}:{path}")
    if not files:
        inside = sorted(each for each in path.glob("*") if each.is_dir() and _holds(format, each))
        fix = f"its folders have some: {request.each(inside)}" if inside else format.written
        if packed := next(path.glob(f"*{ZST}"), None):
            fix = f"{packed} is compressed with zstd, which is not read; unpack it with unzstd"
        raise UserError(f"{where}: no samples of {format.tool} there; {fix}")
    return _refusing(format, request)


def _refusing(format: Format, request: Request) -> Iterator[Batch]:
    """The samples; UserError for values of another kind than the tool writes."""
    try:
        yield from format.read(request)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{request.text}: not as {format.tool} writes it ({one_line(error)})") from None


def recognise(path: Path) -> Format | None:
    """The format of the samples in a file or a folder; None if it is none of `FORMATS`."""
    return next((format for format in FORMATS.values() if _holds(format, path)), None)


def _holds(format: Format, path: Path) -> bool:
    """Whether the first file of a format's names has what its tool writes."""
    found = next((file for file in format.files(path) if file.is_file()), None)
    if found is None:
        return False
    return is_log(found) if format is INSPECT else format_of(_columns(found)) is format


def format_of(columns: Collection[str]) -> Format | None:
    """The format that has these columns."""
    return next((each for each in FORMATS.values() if each.columns <= {*columns}), None)


def _columns(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        try:
            return list(ParquetTable(file).schema.names)
        except UserError:
            return []
    return list(first_object(file))
