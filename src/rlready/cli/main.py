"""``rlready VERB ...``: a thin layer over the functions of the same names.

Reads the words, fills the verb's configuration, calls ``rlready.VERB`` and prints its table.  Free of heavy
imports, so that ``--help`` is instant.  Exit codes: 0 done, 1 a fault of the program (with its traceback),
2 bad input (one line), 130 stopped.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rlready.core import config
from rlready.core.errors import UserError
from rlready.core.options import COMMAND_LINE, fill, help_text, nearest
from rlready.core.verbs import FUNCTIONS, function


@dataclass(frozen=True)
class Verb:
    """``places`` is the key that words without ``=`` fill, or what they are where there is no configuration."""

    config: type[Any] | None
    places: str = ""
    many: bool = True
    about: str = ""

    @property
    def summary(self) -> str:
        return self.about or (self.config.__doc__ or "").partition("\n")[0]


VERBS = {
    "demo": Verb(config.DemoConfig),
    "inject": Verb(config.InjectConfig, "rows", many=False),
    "sft": Verb(config.SFTConfig),
    "rl": Verb(config.RLConfig),
    "evaluate": Verb(config.EvaluateConfig, "models"),
    "readiness": Verb(config.ReadinessConfig, "checkpoints"),
    "predict": Verb(config.PredictConfig, "runs"),
    "sweep": Verb(config.SweepConfig, "file", many=False),
    "show": Verb(
        None,
        "runs",
        about="What is in run folders, as a table; --diff RUN [ID]: a row before and after inject; "
        "--credit SFT_RUN TEXT|SAMPLES: where dense rewards fall; --template CKPT: what its chat template was found "
        "to write, and which tokens are learned.",
    ),
    "report": Verb(None, "run", many=False, about="A run folder's report: one self-contained page."),
}
SWITCHES = ("json", "quiet", "help", "version", "diff", "credit", "template")
VALUES = ("out", "config")
AGREED = ("yes",)  # keys that may stand as --key alone

COMMON = """\
  --out DIR          run folder (default: runs/VERB); the same command continues a run that was cut off
  --config FILE      TOML file of keys; the command line wins over it
  --json             print the result as JSON on standard output and nothing else there
  --quiet            no progress, only warnings
  key=value          or --key value, or --key=value"""


@dataclass
class Words:
    """The command line, taken apart."""

    places: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command = shlex.join(["rlready", *argv])
    try:
        with _terminated_as_interrupted():
            return _main(argv, command)
    except KeyboardInterrupt:
        return _say(f"stopped; the same command continues: {command}", 130)
    except UserError as error:
        return _say(" ".join(str(error).split()), 2)
    except BrokenPipeError:  # the reader of standard output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parse(argv: Sequence[str]) -> Words:
    """Sort the words after the verb; a word is ``key=value`` if a name stands before its first ``=``.

    But for a path that exists, such as learning_rate=1e-5/checkpoint-10: that is a place.
    """
    words = Words()
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words.places += rest
        elif word in ("-h", "-q"):
            words.switches.add({"-h": "help", "-q": "quiet"}[word])
        elif word.startswith("-") and not word.startswith("--") and word != "-":
            raise UserError(f"unknown option {word}; see rlready --help")
        else:
            dashed = word.startswith("--")
            key, equals, value = word.removeprefix("--").partition("=")
            if dashed and not equals and key in SWITCHES:
                words.switches.add(key)
                continue
            if dashed and not equals and key in AGREED:
                words.pairs.append(f"{key}=true")
                continue
            if not dashed and (not (equals and key.replace("-", "_").isidentifier()) or _is_path(word)):
                words.places.append(word)
                continue
            if not equals:
                value = next(rest, "--")
                if value.startswith("--"):
                    raise UserError(f"{word} needs a value: {word} VALUE")
            if key in VALUES:
                words.values[key] = value
            else:
                words.pairs.append(f"{key}={value}")
    return words


def _is_path(word: str) -> bool:
    """Whether a word names what is on this machine; of a folder in this one, as of ``seed=0``, if it holds a model."""
    return os.path.exists(word if os.sep in word else os.path.join(word, "config.json"))


def _main(argv: list[str], command: str) -> int:
    name = argv[0] if argv else ""
    if name in ("-h", "--help", "help", ""):
        print(_help(), file=sys.stdout if name else sys.stderr)
        return 0 if name else 2
    if name == "--version":
        from importlib.metadata import version

        print(version("rlready"))
        return 0
    if name not in FUNCTIONS:
        raise UserError(f"unknown verb {name!r}; {nearest(name, VERBS)}")
    verb, words = VERBS[name], parse(argv[1:])
    if name != "show" and (other := words.switches & {"diff", "credit", "template"}):
        raise UserError(f"--{min(other)} is for rlready show, not {name}")
    if "help" in words.switches:
        print(_verb_help(name, verb))
        return 0
    result = _call(name, verb, words, command)
    _print(result, as_json="json" in words.switches)
    return 0


def _call(name: str, verb: Verb, words: Words, command: str) -> Any:
    from rlready.core import progress
    from rlready.runs import run as store

    progress.SCREEN.quiet = "quiet" in words.switches
    if "credit" in words.switches:
        return _show_credit(words)
    if "template" in words.switches:
        return _show_template(words)
    if verb.config is None:
        for key in [*words.pairs, *words.values]:
            raise UserError(f"rlready {name} takes {verb.places.upper()} and no keys; got {key!r}")
        if not words.places or (len(words.places) > 1 and not verb.many):
            raise UserError(f"rlready {name} needs {'a run folder' if verb.many else 'one run folder'}")
        if "diff" in words.switches:
            return function("show")([Path(words.places[0])], diff=words.places[1:])
        paths = [Path(place) for place in words.places]
        return function(name)(paths if verb.many else paths[0])
    file = Path(words.values["config"]) if "config" in words.values else None
    filled = fill(verb.config, file, words.pairs)
    if words.places:
        if not verb.places:
            raise UserError(f"{COMMAND_LINE}: {words.places[0]!r} is not key=value; see rlready {name} --help")
        if filled.origins[verb.places] == COMMAND_LINE:
            raise UserError(f"{COMMAND_LINE}: {verb.places} given twice, with {verb.places}= and without")
        if len(words.places) > 1 and not verb.many:
            raise UserError(f"{COMMAND_LINE}: one {verb.places} at a time, not also {words.places[1]!r}")
        changed = replace(filled.value, **{verb.places: tuple(words.places) if verb.many else words.places[0]})
        filled = replace(filled, value=changed, origins=filled.origins | {verb.places: COMMAND_LINE})
    out = Path(words.values.get("out") or f"runs/{name}")
    progress.note(f"rlready {name}: into {out}")
    token = store.invocation.set(store.Invocation(command, filled.value, filled.origins))
    try:
        result = function(name)(filled.value, out)
    finally:
        store.invocation.reset(token)
    page = function("report")(out.parent if out.is_file() else out)
    progress.note(f"rlready {name}: the report is {page}")
    return result


def _show_credit(words: Words) -> Any:
    from rlready.cli.show import show_credit

    filled = fill(config.CreditConfig, None, words.pairs)
    if len(words.places) < (1 if filled.value.probe else 2):
        raise UserError(
            "rlready show --credit needs the folder of an SFT run, then texts or tables of samples, or probe=ROWS; "
            "a text with a = in it goes behind --"
        )
    out = Path(words.values["out"]) if "out" in words.values else None
    return show_credit(Path(words.places[0]), words.places[1:], filled.value, out)


def _show_template(words: Words) -> Any:
    from rlready.cli.show import show_template

    filled = fill(config.TemplateConfig, None, words.pairs)
    if len(words.places) != 1:
        raise UserError("rlready show --template needs one checkpoint: a Hugging Face folder or a hub id")
    return show_template(words.places[0], filled.value.delimiters)


def _print(result: Any, *, as_json: bool) -> None:
    from rlready.core.result import Result
    from rlready.runs.run import to_json

    if isinstance(result, Path):
        result = {"written": str(result)}
    if hasattr(result, "model_dump"):
        result = result.model_dump()
    try:
        if as_json:
            print(to_json(result))
        elif isinstance(result, Result):
            tables = [f"{t.title}\n" * bool(t.title) + table([t.columns, *t.rows]) for t in result.tables()]
            print("\n\n".join([getattr(result, "text", ""), *tables]).lstrip("\n"))
        elif isinstance(result, Mapping):
            if "text" in result:
                print(f"{result['text']}\n")
            print(table(result.get("table") or [[key, str(value)] for key, value in result.items()]))
            for title, rows in result.get("tables", {}).items():
                print(f"\n{title}\n{table(rows)}")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot print the result: {error.strerror}") from error


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned; to the right where everything under the head is a number."""
    columns = [[str(cell) for cell in column] for column in zip(*rows, strict=True)]
    aligned = []
    for column in columns:
        wide = max(map(len, column))
        number = len(column) > 1 and all(cell.lstrip("+-−.")[:1].isdigit() for cell in column[1:] if cell)
        aligned.append([cell.rjust(wide) if number else cell.ljust(wide) for cell in column])
    return "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))


def _help() -> str:
    verbs = "\n".join(f"  {name:<10} {verb.summary}" for name, verb in VERBS.items())
    first = "rlready VERB [words] [--out DIR] [--config FILE] [--json] [--quiet] [key=value ...]"
    return f"{first}\n\n{verbs}\n\n{COMMON}\n\nrlready VERB --help lists a verb's keys."


def _verb_help(name: str, verb: Verb) -> str:
    word = (verb.places.rstrip("s").upper() + ("..." if verb.many else "")) if verb.places else ""
    usage = " ".join(filter(None, ["rlready", name, f"[{word}]" if verb.config and word else word]))
    if verb.config is None:
        more = f"\n\nwith --credit:\n{help_text(config.CreditConfig)}" if name == "show" else ""
        return f"{usage} [--json]\n\n{verb.summary}{more}"
    return f"{usage} [options] [key=value ...]\n\n{verb.summary}\n\n{help_text(verb.config)}\n\n{COMMON}"


def _say(text: str, code: int) -> int:
    print(f"rlready: {text}", file=sys.stderr)
    return code


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A polite kill is a Ctrl-C: the run folder is left to be continued."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
