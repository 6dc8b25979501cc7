"""How a run was called, and so what its user can do to go on."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from rlready.core.settings import Config


@dataclass(frozen=True)
class Invocation:
    """How the outermost verb was called; ``origins`` says where each value of ``config`` came from.

    ``command`` is the command line that continues the run, empty if it was called from Python; with ``overwrite`` a run
    that is in the folder is replaced.  ``part_of`` is the verb of which this is a job.
    """

    command: str = ""
    config: Config | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    part_of: str | None = None

    def ways_on(self, out: Path) -> str:
        """What the user can do instead of continuing the run that is in a folder."""
        if self.part_of:
            return f"delete {out} to run that job again"
        if self.command:
            return "choose another --out, or add --overwrite to replace it"
        return "choose another folder, or delete it"


invocation: ContextVar[Invocation] = ContextVar("invocation", default=Invocation())  # noqa: B039 (frozen)
