"""The user's objects that a setting names by import path, as ``pkg.module:name``."""

from __future__ import annotations

import importlib
import os
import sys

from rlready.core.errors import UserError


def load_object(setting: str, path: str) -> object:
    """The object at ``path``; modules in the working directory are found too.

    UserError, naming the setting, for a path of another form, a module that cannot be imported, or a name that the
    module lacks.
    """
    module_name, colon, name = path.partition(":")
    if not (colon and module_name and name):
        raise UserError(f"{setting}={path}: write it as pkg.module:name")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise UserError(f"{setting}={path}: {module_name} cannot be imported: {error}") from error
    if not hasattr(module, name):
        raise UserError(f"{setting}={path}: {module_name} has no {name!r}")
    found: object = getattr(module, name)
    return found
