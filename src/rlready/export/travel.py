"""Copy what a task needs into an export: its table, and the module of a verifier or task of the user's.

The copy is opened by the same source string with other paths, so that problems, their ids and verdicts are the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.import_path import LIBRARIES
from rlready.export.manifest import CODE, HERE, Split
from rlready.models.one_line import one_line
from rlready.runs.files import copy
from rlready.runs.run import Run
from rlready.tasks.source import KINDS, parse_source, source_string

DATA = "data"  # the folder of the tables
IMPORT = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='alone')"
PATIENCE = 300  # seconds for an import, which may be that of a large library


def travelling(run: Run, split: Split, text: str) -> str:
    """The source ``text`` with the paths that `copy_task` gives its files.

    The task must have been opened in ``run``.  UserError for code of the user's that is not one module.
    """
    source = parse_source(text)
    if HERE in text:
        raise UserError(f"{text}: {HERE} stands for the folder of an export; rename what has it in its name")
    head = text.partition("?")[0]
    if source.kind in ("rows", "gsm8k") and os.path.exists(source.path):
        head = f"{source.kind}:{HERE}/{DATA}/{split}/{_name(source.path)}"
    options = dict(source.options)
    for path in _code_paths(text):
        module, _, name = path.rpartition(":")
        if not (file := _module_file(run, text, path)):
            continue
        _refuse_bound(text, path, file)
        if module.endswith(".py"):
            options["verifier"] = f"{HERE}/{CODE}/{split}/{Path(module).name}:{name}"
    return source_string(head, options)


def copy_task(run: Run, split: Split, text: str) -> None:
    """Copy the table and the module of the source ``text`` into the folder of ``run``."""
    source = parse_source(text)
    if source.kind in ("rows", "gsm8k") and os.path.exists(source.path):
        _copy(run, Path(source.path), run.out / DATA / split / _name(source.path))
    for path in _code_paths(text):
        if file := _module_file(run, text, path):
            module = path.rpartition(":")[0]
            name = f"{split}/{Path(module).name}" if module.endswith(".py") else f"{module.replace('.', '/')}.py"
            _copy(run, file, run.out / CODE / name)


def _name(path: str) -> str:
    """The name of a table; ids of rows may begin with it."""
    return Path(os.path.abspath(path)).name


def _code_paths(text: str) -> list[str]:
    """The import paths of a source: of its verifier, or of the task itself."""
    source = parse_source(text)
    task = [] if source.kind in KINDS else [f"{source.kind}:{source.path}"]
    return [*task, *filter(None, [source.options.get("verifier", "")])]


def _module_file(run: Run, text: str, path: str) -> Path | None:
    """The user's module at an import path; None for one of an installed package; UserError if it is not one file."""
    files = list(
        dict.fromkeys(
            Path(each.path)
            for each in run.record.data
            if each.path and each.is_code and each.id.partition(" with ")[0] == path
        )
    )
    if files and any(Path(os.path.realpath(files[0])).is_relative_to(library) for library in LIBRARIES):
        return None
    if len(files) == 1 and path.rpartition(":")[0] != "__main__":
        return files[0]
    made = f"is made of {len(files)} files ({', '.join(file.name for file in files)})" if files else "is no file"
    raise _cannot_travel(text, f"{path} {made}")


def _refuse_bound(text: str, path: str, file: Path) -> None:
    """UserError for a module that cannot be imported in another folder, such as one that opens a file beside it."""
    with tempfile.TemporaryDirectory() as folder:
        alone = shutil.copy(file, folder)
        command = [sys.executable, "-P", "-c", IMPORT, alone]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise _cannot_travel(text, f"{path} is not imported within {PATIENCE} seconds in another folder") from None
    if done.returncode:
        why = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise _cannot_travel(text, f"{path} cannot be imported in another folder: {one_line(why)[:200]}")


def _cannot_travel(text: str, why: str) -> UserError:
    return UserError(
        f"{text}: a task whose verifier cannot travel: {why}; write it as one module that imports only installed "
        "packages and reads no file of yours"
    )


def _copy(run: Run, source: Path, to: Path) -> None:
    with run.writing(to):
        copy(source, to)
