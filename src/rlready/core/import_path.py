"""The user's objects that a setting names by import path: ``pkg.module:name``, or ``FILE.py:name``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout, suppress
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from rlready.core.errors import UserError

LIBRARIES = {os.path.realpath(path) for path in (*site.getsitepackages(), site.getusersitepackages())} | {
    *(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    os.path.realpath(Path(__file__).parents[1]),
}
OnLoad = Callable[[str, str, Path], None]
# called with the setting, the name of the code and its file, for each of `code_files`; a run records their content
on_load: ContextVar[OnLoad] = ContextVar("on_load", default=lambda setting, path, file: None)


def load_object(setting: str, path: str) -> object:
    """The object at ``path``; a module that is installed nowhere is looked for in the working directory, too.

    What the module prints goes to standard error.  UserError, naming the setting, for a path of another form, a module
    that cannot be imported, or a name that the module lacks.
    """
    module_name, colon, name = path.rpartition(":")
    if not (colon and module_name and name):
        raise UserError(f"{setting}={path}: write it as pkg.module:name or FILE.py:name")
    if not module_name.endswith(".py"):
        _look_here_too(module_name.partition(".")[0])
    elif not os.path.isfile(module_name):
        raise UserError(f"{setting}={path}: no such file {module_name}")
    try:
        with redirect_stdout(sys.stderr):
            module = _import_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's module raises while it is imported
        raise UserError(f"{setting}={path}: {module_name} cannot be imported: {_described(error)}") from error
    if not hasattr(module, name):
        file = getattr(module, "__file__", None) or "built in"
        other = "" if file.startswith(os.getcwd()) else f" ({file})"  # it may hide one of the user's
        raise UserError(f"{setting}={path}: {module_name}{other} has no {name!r}")
    found: object = getattr(module, name)
    note_code(on_load.get(), setting, path, code_files(module, found))
    return found


def note_code(observer: OnLoad, setting: str, path: str, files: Sequence[Path]) -> None:
    """Call ``observer`` for each file; the first, the object's module, has the import path as its name."""
    for file in files:
        name = "" if file == files[0] else f" with {os.path.relpath(file, files[0].parent)}"
        observer(setting, path + name, file)


def _look_here_too(package: str) -> None:
    """Put the working directory last on ``sys.path`` if ``package`` is nowhere else, or has parts in many places.

    Otherwise it stays away: every optional module that a library tries to import would be looked for there.
    """
    if package not in sys.modules and os.getcwd() not in sys.path:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            sys.path.append(os.getcwd())


def _import_file(path: str) -> ModuleType:
    """The module in a file, which may import its neighbours; imported once, under its absolute path as name."""
    name = os.path.abspath(path)
    if name not in sys.modules:
        if os.path.dirname(name) not in sys.path:
            sys.path.append(os.path.dirname(name))
        spec = importlib.util.spec_from_file_location(name, name)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def code_files(module: ModuleType, found: object) -> list[Path]:
    """The files of a module, of an object in it, and of the modules that they use as far as their values tell: those
    that the user has written, not those of libraries and of this package."""
    modules = [module]
    with suppress(TypeError):  # built in
        code = getattr(found, "func", found)  # of a functools.partial
        code = inspect.unwrap(code) if inspect.isroutine(code) else code
        modules.append(
            sys.modules[(code if inspect.isroutine(code) or inspect.isclass(code) else type(code)).__module__]
        )
    for each in modules:  # which grows
        for value in list(vars(each).values()):
            owner = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
            used = value if isinstance(value, ModuleType) else sys.modules.get(str(owner.__module__))
            if used and used not in modules and (_package(used) == _package(module) or is_of_user(used)):
                modules.append(used)
    return files_of(modules)


def files_of(modules: Iterable[ModuleType]) -> list[Path]:
    """The files of modules, each once."""
    files = dict.fromkeys(getattr(module, "__file__", None) for module in modules)
    return [Path(file) for file in files if file and os.path.isfile(file)]


def is_of_user(module: ModuleType) -> bool:
    """Whether a module has a file that is neither of a library that is installed nor of this package."""
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not any(Path(os.path.realpath(file)).is_relative_to(each) for each in LIBRARIES)


def _package(module: ModuleType) -> str:
    return module.__name__.partition(".")[0]


def _described(error: BaseException) -> str:
    """An error with the line that raised it, unless its text says where or the module was not found at all."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = frames and not isinstance(error, SyntaxError) and "importlib" not in frames[-1].filename
    return f"{type(error).__name__}: {error}" + (f" ({frames[-1].filename}:{frames[-1].lineno})" if inside else "")
