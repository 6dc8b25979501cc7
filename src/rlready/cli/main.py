"""``rlready COMMAND ...``: a thin layer over the functions of the same names.

Fills the verb's configuration, calls ``rlready.VERB`` and prints its tables.  It imports nothing heavy, so that
``--help`` is instant.  Exit codes: 0 done, 1 an internal error (with its traceback), 2 bad input (one line), 130
stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rlready.cli.output import Finished, print_result
from rlready.cli.parser import Typed, parse_command_line
from rlready.cli.processes import in_processes
from rlready.cli.trust import refuse_code, settings_file_of
from rlready.cli.verbs import VERBS, Verb
from rlready.core import distributed
from rlready.core.config import ChecklistConfig, CreditConfig, TemplateConfig
from rlready.core.config.format import format_of
from rlready.core.device import check_device, out_of_memory
from rlready.core.errors import UserError
from rlready.core.messages import breaking_silence, note, warn
from rlready.core.missing import did_you_mean
from rlready.core.options import COMMAND_LINE, Filled, fill_config
from rlready.core.presets import own_data
from rlready.core.progress import only_warnings
from rlready.core.settings import Config
from rlready.core.stopping import STOPPED, exit_stopped, stopped_by_signals
from rlready.core.terminal import with_neutral_streams
from rlready.core.verbs import WITHOUT_FOLDER, WRITES_FILE, function
from rlready.models.weights import pickles
from rlready.runs.invocation import Invocation, invocation

NO_TEMPORARY = "No usable temporary directory"  # of Python's tempfile


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    program, words = argv is None, list(sys.argv[1:] if argv is None else argv)

    def command() -> int:
        return _main(words, program=program)

    return with_neutral_streams(partial(in_processes, command) if distributed.is_launched() else command)


def _main(argv: list[str], *, program: bool) -> int:
    try:
        os.getcwd()
    except FileNotFoundError:
        return _say("the working directory was removed: change to one that is there", 2)
    try:
        with stopped_by_signals():
            typed = parse_command_line(argv)
            if isinstance(typed, int):
                return typed
            with only_warnings("quiet" in typed.switches), pickles(allowed="allow_pickle" in typed.switches):
                print_result(_call(typed, VERBS[typed.verb], argv), typed.switches)
            return 0
    except KeyboardInterrupt as stopped:
        again = f"to start again: {distributed.launcher()}{shlex.join(['rlready', *argv])}"
        _say(f"stopped; {stopped if str(stopped) else again}", STOPPED)
        if program:
            exit_stopped()
        return STOPPED
    except UserError as error:
        return _say(" ".join(str(error).split()), 2)
    except Exception as error:
        line = distributed.why_lost(error) or out_of_memory(error) or _about_path(error)
        if not line:
            raise
        return _say(line, 2)


def _about_path(error: Exception) -> str:
    """The line about a path that was named, but cannot be used; "" for any other error."""
    if not isinstance(error, OSError):
        return ""
    if NO_TEMPORARY in str(error.strerror):
        return "no folder for temporary files can be written: free some space, or set TMPDIR to a folder that can"
    if error.errno == errno.ENAMETOOLONG:
        return f"{str(error.filename)[:60]}…: {error.strerror}; name an existing file or folder"
    if isinstance(error, PermissionError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; give this user access to it, or name another path"
    return ""


def _call(typed: Typed, verb: Verb, argv: Sequence[str]) -> Any:
    distributed.refuse_differences("was started with another command", {"command": typed.verb})
    _refuse_samples(typed)
    if typed.verb == "show":
        return _show(typed)
    tempfile.gettempdir()  # in which libraries write while they are imported
    if verb.config is None:
        return _call_without_settings(typed)
    filled = _fill(typed, verb)
    if typed.verb in WRITES_FILE:
        return _written(typed, filled.value)
    switches = dict.fromkeys(sorted(typed.switches), "true")
    distributed.refuse_differences(
        "was started with other settings", filled.value.typed() | {"out": typed.out or ""} | switches
    )
    if "trust_code" not in typed.switches:
        refuse_code(filter(None, (typed.config, settings_file_of(filled.value))))
    check_device(filled.value)
    _find_data(filled.value)
    if typed.verb in WITHOUT_FOLDER and typed.out is None and not typed.switches & {"resume", "overwrite"}:
        return function(typed.verb)(filled.value)
    with ExitStack() as until_begun:
        out = distributed.from_rank0(lambda: until_begun.enter_context(_folder(typed, filled.value)))
        if out.is_file() and not (typed.verb == "inject" and out.suffix == ".jsonl"):
            raise UserError(f"--out {out} is a file; name a folder")
        return _run(typed, filled, out, _continuing(argv, typed, out))


def _refuse_samples(typed: Typed) -> None:
    """UserError for samples of another tool in place of a model or a run, which only readiness reads."""
    named = [word for word in (*typed.arguments, typed.settings.get("model", "")) if ":" in word]
    if named and typed.verb != "readiness":
        from rlready.interchange.formats import refuse_samples

        refuse_samples(named, typed.verb)


def _call_without_settings(typed: Typed) -> Any:
    from rlready.runs.results import is_finished, refuse_unfinished

    if typed.settings:
        raise UserError(f"rlready {typed.verb} has no settings; got {next(iter(typed.settings))!r}")
    if not typed.arguments:
        needed = f"one {_names()}" if typed.verb == "schema" else "a run folder"
        raise UserError(f"rlready {typed.verb} needs {needed}")
    folders = [Path(argument) for argument in typed.arguments]
    if typed.verb == "schema":
        return function("schema")(typed.arguments[0])
    if typed.verb == "watch":
        return function("watch")(folders)
    for folder in folders:  # before libraries are imported, which takes seconds
        (is_finished if len(folders) == 1 else refuse_unfinished)(folder)
    return function("report")(*folders)


def _written(typed: Typed, config: Config) -> Any:
    """The path of the file that a verb has written; without ``--out`` the text, or with ``--json`` the result."""
    from rlready.core.result import WARNING

    result = function(typed.verb)(config, Path(typed.out) if typed.out else None)
    note(result.headline)
    for said in result.notes:
        (warn if said.startswith(WARNING) else note)(said)
    if not typed.out and isinstance(config, ChecklistConfig) and config.format in ("md", "html"):
        note("links start in the working directory; name a file with --out, and they start beside it")
    if result.next_command:
        note(f"Next: {result.next_command}")
    return Path(typed.out) if typed.out else result if "json" in typed.switches else result.text.rstrip("\n")


def _folder(typed: Typed, config: Config) -> AbstractContextManager[Path]:
    """The run folder: ``--out``, with ``--resume`` an unfinished one, otherwise a new one until its run has begun."""
    from rlready.runs.folders import nothing_done, reserved_folder, unfinished_folder

    resume, overwrite = "resume" in typed.switches, "overwrite" in typed.switches
    if overwrite and (resume or not typed.out):
        raise UserError("--overwrite needs --out, the run folder to be replaced, and cannot be combined with --resume")
    if typed.out is None:
        return nullcontext(unfinished_folder(typed.verb, config)) if resume else reserved_folder(typed.verb)
    if resume and nothing_done(Path(typed.out)):
        near = did_you_mean(typed.out) if not Path(typed.out).exists() else ""
        raise UserError(f"{typed.out} holds no run to be resumed; leave out --resume to start one there{near}")
    return nullcontext(Path(typed.out))


def _continuing(argv: Sequence[str], typed: Typed, out: Path) -> str:
    """The command line that continues this run: with its ``--out``, and without switches that would choose another."""
    verb, *words = argv
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word not in ("--resume", "--overwrite")]
    named = [] if typed.out else ["--out", str(out)]
    return distributed.launcher() + shlex.join(["rlready", verb, *kept, *named, *words[end:]])


def _names() -> str:
    from rlready.cli.schema import NAMES

    return f"of {', '.join(NAMES)}"


def _fill(typed: Typed, verb: Verb) -> Filled[Any]:
    """The verb's configuration from file, settings and positional arguments."""
    assert verb.config is not None
    name, settings = typed.verb, dict(typed.settings)
    filled = fill_config(verb.config, Path(typed.config) if typed.config else None, settings)
    if not typed.arguments:
        return filled
    if not verb.positional:
        raise UserError(f"{COMMAND_LINE}: {typed.arguments[0]!r} is not key=value; see rlready {name} --help")
    if verb.positional in settings:
        raise UserError(f"{COMMAND_LINE}: {verb.positional} is given twice, as a setting and without its name")
    value = tuple(typed.arguments) if verb.many else typed.arguments[0]
    changed = filled.value.replace(**{verb.positional: value})
    return replace(filled, value=changed, origins=filled.origins | {verb.positional: COMMAND_LINE})


def _find_data(config: Config) -> None:
    """UserError for data that is not there, before the command's libraries are imported, which takes seconds."""
    if sources := own_data(config):
        from rlready.tasks.hub import refuse_missing
        from rlready.tasks.source import parse_source

        for source in map(parse_source, sources):
            if source.kind in ("rows", "gsm8k"):
                refuse_missing(source.path)


def _with_presets(config: Config, out: Path) -> Config:
    """The settings with what a preset has chosen for those left open, as the record of the run has them so far."""
    from rlready.runs.record import PRESET, RunRecord

    try:
        record = RunRecord.load(out)
    except UserError:
        return config
    return config.model_copy(update={k: record.config[k] for k, by in record.origins.items() if by == PRESET})


def _run(typed: Typed, filled: Filled[Any], out: Path, command: str) -> Any:
    """Call the verb and write the report of its run folder."""
    from rlready.runs.folders import nothing_done

    name, overwrite = typed.verb, "overwrite" in typed.switches
    token = invocation.set(Invocation(command, filled.value, filled.origins, overwrite))
    try:
        with breaking_silence(f"rlready {name}: checking the settings, the data and the models"):
            result = function(name)(filled.value, out)
    except (RuntimeError, MemoryError, OSError) as error:
        if advice := out_of_memory(error, _with_presets(filled.value, out)):
            again = "" if nothing_done(out) else f"; with the same settings, to continue: {command}"
            raise UserError(f"{name}: {advice}{again}") from error
        raise
    finally:
        invocation.reset(token)
    folder = out.parent if out.is_file() else out
    if distributed.rank():
        return result  # which rank 0 prints
    try:
        page = function("report")(folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the run is done; to write its page: rlready report {folder}") from None
    return Finished(result, page)


def _show(typed: Typed) -> Any:
    """One of the views of ``rlready show``."""
    views = typed.switches & VERBS["show"].flags.keys()
    if len(views) > 1:
        raise UserError(
            f"rlready show takes one view at a time, not {' and '.join(f'--{view}' for view in sorted(views))}"
        )
    view = next(iter(views), "")
    _refuse_settings(typed, view)
    if view == "credit":
        return _show_credit(typed)
    if view == "template":
        from rlready.cli.show import show_template

        form = format_of(fill_config(TemplateConfig, None, typed.settings).value)
        if len(typed.arguments) != 1:
            raise UserError("rlready show --template needs one checkpoint, a Hugging Face folder or a hub id")
        return show_template(typed.arguments[0], **form)
    if not typed.arguments:
        raise UserError("rlready show needs a run folder")
    if view == "diff":
        return function("show")([Path(typed.arguments[0])], diff=typed.arguments[1:])
    return function("show")([Path(folder) for folder in typed.arguments])


def _show_credit(typed: Typed) -> Any:
    from rlready.cli.show import show_credit

    config = fill_config(CreditConfig, None, typed.settings).value
    if len(typed.arguments) < (1 if config.probe else 2):
        raise UserError(
            "rlready show --credit needs the folder of an SFT run, then texts or tables of samples, or probe=ROWS; "
            "put -- before a text that contains a ="
        )
    return show_credit(Path(typed.arguments[0]), typed.arguments[1:], config, Path(typed.out) if typed.out else None)


def _refuse_settings(typed: Typed, view: str) -> None:
    """UserError for a setting that belongs to another view of ``rlready show``, or to none."""
    takes = {name: [*cls.model_fields] if cls else [] for name, (_, cls) in VERBS["show"].flags.items()}
    takes["credit"].append("out")
    for key in (*typed.settings, *(["out"] if typed.out else [])):
        owner = next((name for name, keys in takes.items() if key in keys), "")
        if owner and owner != view:
            raise UserError(f"--{key.replace('_', '-')} belongs to rlready show --{owner}")
        if not owner and not takes.get(view):
            raise UserError(f"rlready show {f'--{view} ' if view else ''}has no settings; got {key!r}")


def _say(text: str, code: int) -> int:
    if distributed.speak_first():
        print(f"rlready: {text}", file=sys.stderr)
    return code
