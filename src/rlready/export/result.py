"""What ``rlready export`` returns: the files, the settings under the other tool's names, and those it does not have."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from rlready.core.config import Tool
from rlready.core.result import Record, Result, Table


class Translated(Record):
    """``setting`` of ``rlready rl`` as the setting ``counterpart`` of the tool, with its ``value`` there.

    Of several that make up one of the tool, ``setting`` is their names with plus signs between them.
    """

    setting: str
    counterpart: str
    value: JsonValue


class Untranslated(Record):
    """``setting`` of ``rlready rl``, which the tool lacks, with its ``value``; ``why`` says what happens."""

    setting: str
    value: str
    why: str


class ExportResult(Result):
    """The run that was handed over to ``tool``, from ``model``; ``command`` starts it in the folder of the export.

    ``training_problems`` and ``validation_problems`` are numbers; ``files`` are names in the folder.  ``translated``
    are the settings that the tool has, ``untranslated`` those that it lacks.
    """

    verb: Literal["export"] = "export"
    tool: Tool
    model: str
    command: str
    training_problems: int
    validation_problems: int
    files: list[str]
    translated: list[Translated]
    untranslated: list[Untranslated]

    def tables(self) -> list[Table]:
        """The settings under both names."""
        rows = [[each.setting, each.counterpart, str(each.value)] for each in self.translated]
        return [Table(["setting", f"in {self.tool}", "value"], rows, "Settings")]


class ImportResult(Result):
    """A row that was added to the table of outcomes in the file ``text``: ``outcome`` after RL from ``checkpoint``.

    ``meaning`` says which value of which curve it is, empty for a number that was given.
    """

    verb: Literal["import"] = "import"
    text: str
    checkpoint: str
    outcome: float
    meaning: str
    seed: int
    family: str
