"""GSM8K (Cobbe et al., arXiv 2110.14168): grade-school word problems with worked solutions.

In ``gsm8k:PATH?split=test``, PATH is a table with ``question`` and ``answer``, a folder with a table for each split, or
a hub id such as ``openai/gsm8k``; a local file or folder takes precedence.  The solution becomes the thought and its
last line, ``#### number``, the response, so that a model learns to reason inside the thought and the thinking budget
applies to the reasoning only.  Calculator annotations such as ``<<48/2=24>>`` are removed, because no calculator is
called and they would only cost tokens; ``calculator=keep`` keeps them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.runs.seen import seen_at
from rlready.tasks.answers.quantity import SIGNS
from rlready.tasks.answers.verify import exact_number
from rlready.tasks.files import local_data, stem_of
from rlready.tasks.hub import hub_licence
from rlready.tasks.protocol import Task
from rlready.tasks.source import Source, select
from rlready.tasks.table import read_table

INSTRUCTION = "Reason step by step, then give the final answer on a last line of the form: #### <number>"
KNOWN = {"openai/gsm8k": "mit"}  # licences, where the hub's card is not at hand
ANNOTATION = re.compile(r"<<[^<>]*>>")
NOT_DIGITS = re.compile(r"[\s,$]|\+|\.\s*$")  # characters that surround the digits of a number


@dataclass(frozen=True)
class Gsm8kOptions:
    """Options of a source string; ``split`` chooses the file in a folder or the split of a hub id."""

    split: Literal["", "train", "test"] = ""
    calculator: Literal["strip", "keep"] = "strip"
    n: int | None = None
    seed: int | None = None


class Gsm8kTask(Task):
    """Word problems with one number as answer; see the module docstring."""

    defaults = Gsm8kOptions()
    options: Gsm8kOptions

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.split: str = self.options.split or "train"
        if os.path.isfile(source.path):
            if self.options.split not in ("", stem_of(source.path)):
                raise UserError(f"{source.text}: split= chooses a file in a folder, but {source.path} is a file")
            self.split = stem_of(source.path)
        self.path = local_data(source.path, self.split)
        self.seen = seen_at(self.path)
        self.table = read_table(source.path, config="main", split=self.split)
        self.licence = None if self.path else hub_licence(source.path) or KNOWN.get(source.path)

    @property
    def description(self) -> str:
        return f"GSM8K grade-school word problems with one number as answer, {self.split} split."

    def problems(self) -> list[Problem]:
        return [problem for problem, _ in self._parsed]

    def rows(self) -> list[Row]:
        return [row for _, row in self._parsed]

    def place(self, id: str) -> str:
        return self._places[id]

    @cached_property
    def _parsed(self) -> list[tuple[Problem, Row]]:
        parsed = []
        self._places: dict[str, str] = {}
        for index, (line, values) in enumerate(self.table.rows):
            question = self.table.text(line, values, "question").strip()
            if not question:
                raise UserError(f"{self.table.place(line)}: the question is empty")
            solution, hashes, last = self.table.text(line, values, "answer").rpartition("####")
            number = exact_number(last)
            if not hashes or number is None:
                raise UserError(f"{self.table.place(line)}: the answer does not end in '#### <number>'")
            answer = NOT_DIGITS.sub("", last.translate(SIGNS))
            if exact_number(answer) != number:  # 1 1/2 is a mixed number, not 11/2
                answer = last.strip()
            if self.options.calculator == "strip":
                solution = ANNOTATION.sub("", solution)
            name, prompt = f"gsm8k-{self.split}-{index:05d}", f"{question}\n\n{INSTRUCTION}"
            self._places[name] = self.table.place(line)
            parsed.append((Problem(name, prompt, answer), Row(name, prompt, f"#### {answer}", solution.strip())))
        return select(parsed, self.options.n, self.options.seed, self.table.where)
