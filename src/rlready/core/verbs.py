"""The function of every verb, by name: it is imported when it is called.

In Python a verb is ``rlready.VERB(settings, out=...)``.  Where a package has the name of a verb, the package itself can
be called; ``__init__.pyi``, which `scripts/make_stub.py` writes, tells type checkers and editors the settings.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any

FUNCTIONS = {
    "doctor": "rlready.cli.doctor:doctor",
    "demo": "rlready.cli.demo:demo",
    "inject": "rlready.inject.stage:inject",
    "sft": "rlready.train.sft:sft",
    "rl": "rlready.train.rl:rl",
    "evaluate": "rlready.evaluate.stage:evaluate",
    "readiness": "rlready.readiness.stage:readiness",
    "predict": "rlready.predict.stage:predict",
    "sweep": "rlready.sweep.stage:sweep",
    "export": "rlready.export.stage:export",
    "import": "rlready.export.outcome:import_outcome",
    "checklist": "rlready.checklist.stage:checklist",
    "show": "rlready.cli.show:show_runs",
    "watch": "rlready.cli.watch:watch",
    "report": "rlready.report.page:write",
    "schema": "rlready.cli.schema:schema_of",
}
WITHOUT_FOLDER = ("doctor",)  # verbs that write a run folder only where one is named
READS_FILE = ("export", "sweep")  # verbs whose settings may be in a TOML file, which names no code unless it is trusted
TRUST = "trust_code"  # what says so in Python
WRITES_FILE = ("checklist", "import")  # verbs that write a file, if one is named, and no run folder


def function(verb: str) -> Any:
    """The function ``verb(config, out)``."""
    module, _, name = FUNCTIONS[verb].partition(":")
    return getattr(importlib.import_module(module), name)


class Verb:
    """A verb that is called as ``(config, out)``, as ``(out=..., **settings)``, or with a config and changes to it."""

    __slots__ = ()
    __name__: str

    def __call__(self, config: object = None, out: object = None, **settings: object) -> Any:
        call = importlib.import_module("rlready.cli.api").call_verb
        return call(self.__name__.rpartition(".")[2], config, out, settings)

    @property
    def __signature__(self) -> inspect.Signature:
        """For completion in notebooks."""
        signature: inspect.Signature = importlib.import_module("rlready.cli.api").signature_of(
            self.__name__.rpartition(".")[2]
        )
        return signature


class VerbFunction(Verb):
    """A verb without a package of its name."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


class VerbPackage(Verb, ModuleType):
    """A package that is called as the verb of its name."""


def callable_package(name: str) -> None:
    """Make the package ``name``, which is being imported, a `VerbPackage`."""
    sys.modules[name].__class__ = VerbPackage


sft, rl, demo, doctor = map(VerbFunction, ("sft", "rl", "demo", "doctor"))
import_ = VerbFunction("import")  # with the underscore that a keyword needs
