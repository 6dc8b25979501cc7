"""Verbs called from Python: ``rlready.VERB`` (`core.verbs`), with the same settings and run folders as commands."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rlready.cli.schema import CONFIGS
from rlready.cli.trust import refuse_code, settings_file_of
from rlready.core import distributed
from rlready.core.errors import UserError
from rlready.core.result import Result
from rlready.core.settings import Config
from rlready.core.verbs import READS_FILE, TRUST, WITHOUT_FOLDER, WRITES_FILE, function
from rlready.runs.folders import reserved_folder


def call_verb(name: str, config: object, out: object, settings: Mapping[str, Any]) -> Result:
    """Run a verb and write its page: ``config`` (None: the defaults) with changed ``settings``, in the folder ``out``.

    Without ``out`` that is a new folder, or none for a verb of `WITHOUT_FOLDER`.  With ``trust_code`` in the settings
    of a verb of `READS_FILE` its TOML file may name code.

    Raises UserError, in one line, for a setting that is unknown or of a wrong type, and for code in a TOML file.
    """
    cls = CONFIGS[name]
    if config is not None and not isinstance(config, cls):
        raise UserError(f"rlready.{name} takes a {cls.__name__}, or settings by name, not {_shown(config)}")
    if out is not None and not isinstance(out, (str, os.PathLike)):
        raise UserError(f"rlready.{name}: out = {_shown(out)} is not a path")
    out = os.path.expanduser(os.fspath(out)) if out else ""
    given = {key: value for key, value in settings.items() if key != TRUST or name not in READS_FILE}
    filled: Config = cls(**given) if config is None else config.replace(**given)
    if name in READS_FILE and not settings.get(TRUST):
        refuse_code(filter(None, [settings_file_of(filled)]), f"{TRUST}=True")
    if name in WRITES_FILE:
        written: Result = function(name)(filled, Path(out) if out else None)
        return written
    if not out and name in WITHOUT_FOLDER:
        only: Result = function(name)(filled)
        return only
    if filled.several_processes:
        distributed.join()
        distributed.refuse_differences("was started with another command", {"command": name})
        distributed.refuse_differences("was started with other settings", filled.typed() | {"out": out})
    with ExitStack() as until_begun:
        folder = Path(out) if out else distributed.from_rank0(lambda: until_begun.enter_context(reserved_folder(name)))
        result: Result = function(name)(filled, folder)
    distributed.from_rank0(lambda: function("report")(folder))
    return result


def signature_of(name: str) -> inspect.Signature:
    """The parameters of a verb: a configuration, the run folder, and every setting by name."""
    kind, cls = inspect.Parameter, CONFIGS[name]
    both = [kind(each, kind.POSITIONAL_OR_KEYWORD, default=None) for each in ("config", "out")]
    fields = cls.model_fields.items()
    settings = [kind(key, kind.KEYWORD_ONLY, default=f.default, annotation=f.annotation) for key, f in fields]
    trust = [kind(TRUST, kind.KEYWORD_ONLY, default=False, annotation=bool)] if name in READS_FILE else []
    return inspect.Signature([*both, *settings, *trust])


def _shown(value: object) -> str:
    shown = type(value).__name__ if isinstance(value, Config) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
