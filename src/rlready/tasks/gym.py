"""Generated problems of reasoning-gym (Stojanovski et al., arXiv 2505.24760): ``gym:NAME?n=500&seed=1``.

NAME is a data set of reasoning-gym, such as ``chain_sum``, and the other options are the settings of that data set that
are single numbers or words, such as ``min_terms=3``.  The prompt is the question and a line that asks for the answer in
``<answer>`` tags.  A response is correct if reasoning-gym scores what stands in the last tags 1 or more (without tags,
its final answer): partial scores, such as 0.01 for a wrong countdown, do not count, nor an answer whose form makes the
scorer raise.

Problem i of seed s is what reasoning-gym generates for seed ``s × 100,000`` at index i.  Its own seeds 1 and 2 have all
but one problem in common, as it draws problem i with the seed ``s + i``.

Scoring runs in a process of its own, which bounds it (`verifier_process.py`).  Some scorers evaluate an answer as
Python; they get formulas that are `harmless` only, and where that could earn a partial score at most, nothing is
evaluated.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.records import Problem
from rlready.models.one_line import one_line
from rlready.tasks.answers.extract import final_answer, own_part
from rlready.tasks.harmless import harmless
from rlready.tasks.protocol import Asked, Task, Verdict
from rlready.tasks.source import Source
from rlready.tasks.verifier import Named
from rlready.tasks.verifier_process import load_verifier

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
INSTRUCTION = "Give the final answer as <answer>…</answer>."
STRIDE = 100_000  # between the seeds of reasoning-gym, and the most problems of a source
LARGEST_SEED = 40_000  # above which a seed of reasoning-gym would have more than 32 bits
TOGETHER = 500  # some data sets draw all problems together: the first n are the same for every n up to this
SCORER = f"{__name__}:score"
SIMPLE = (int, float, bool, str)
NO_SOURCE = {
    "composite": "it mixes others: name one of them",
    "codeio": "it draws other problems at every call",
    **dict.fromkeys(
        ("isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder"),
        "it draws other problems in every process",
    ),
    "game_of_life_halting": "its scorer takes every answer without the word True for False",
}
PUZZLE = "puzzle24"  # whose scorer does not compare the numbers that are used with those given
PARTIAL = ("binary_matrix", "n_queens", "spiral_matrix", "string_insertion")  # eval() earns less than 1 there
FORMULAS = ("countdown", "intermediate_integration", "puzzle24", "simple_integration")


class GymTask(Task):
    """Problems of a data set of reasoning-gym; see the module docstring."""

    licence = "apache-2.0"

    def __init__(self, source: Source) -> None:
        self.name = source.path
        super().__init__(source, _defaults(source))
        given = dataclasses.asdict(self.options)
        self.n, seed = given.pop("n"), given.pop("seed")
        if self.n > STRIDE or seed > LARGEST_SEED:
            raise UserError(f"{source.text}: n= is at most {STRIDE:,} and seed= at most {LARGEST_SEED:,}")
        from reasoning_gym import create_dataset

        try:
            size = max(self.n, TOGETHER)
            self._data = create_dataset(self.name, size=size, seed=seed * STRIDE, **given)
        except (AssertionError, ValueError) as error:
            raise UserError(f"{source.text}: {error or 'reasoning-gym refuses these options'}") from None
        self._verifier = load_verifier(Named(SCORER, None, "prompt", None))

    @property
    def description(self) -> str:
        return f"{self.n} problems of reasoning-gym's {self.name}, verified by its scorer."

    def problems(self) -> list[Problem]:
        return list(self._problems)

    @cached_property
    def _problems(self) -> list[Problem]:
        found = []
        for index in range(self.n):
            try:
                entry = self._data[index]
            except Exception as error:  # any: the options decide what goes wrong where
                why = one_line(f"{type(error).__name__}: {error}", 200)
                raise UserError(f"{self.source}: problem {index} cannot be made ({why})") from None
            prompt = f"{entry['question'].strip()}\n\n{INSTRUCTION}"
            answer = "" if entry["answer"] is None else str(entry["answer"])
            found.append(Problem(f"{self.name}-{index:05d}", prompt, answer, {**entry, "gym": self.name}))
        return found

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """By reasoning-gym's scorer."""
        return self._verifier(problem, thinking, answer)

    def verify_batch(self, asked: Asked) -> Sequence[Verdict] | None:
        return self._verifier.verify_batch(asked)


def score(problem: Problem, answer: str) -> bool:
    """Whether reasoning-gym scores the answer of a response 1 or more."""
    name, tagged = str(problem.meta["gym"]), TAGGED.findall(own_part(answer)[0])
    final = tagged[-1].strip() if tagged else final_answer(answer)
    if name in FORMULAS and not harmless(final):
        return False
    if name == PUZZLE and sorted(map(int, re.findall(r"\d+", final))) != sorted(_numbers(problem)):
        return False
    try:
        return _scorer(name)(final, dict(problem.meta)) >= 1
    except Exception:  # most scorers check an answer's form by using it
        return False


def _numbers(problem: Problem) -> list[int]:
    """The numbers that a problem gives, each of which has to be used once."""
    metadata = problem.meta["metadata"]
    assert isinstance(metadata, dict)
    return [int(number) for number in metadata["numbers"]]


@cache
def _scorer(name: str) -> Callable[[str, dict[str, object]], float]:
    from reasoning_gym.factory import get_score_answer_fn

    found: Callable[[str, dict[str, object]], float] = get_score_answer_fn(name)
    if name in PARTIAL:
        sys.modules[found.__module__].__dict__["eval"] = _refuse
    return found


def _refuse(text: str) -> None:
    raise ValueError("answers are not evaluated")


def _defaults(source: Source) -> DataclassInstance:
    """The options of a data set: n, seed, and its settings that are single values."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise UserError(f"{source.text}: reasoning-gym is not installed; pip install 'rlready[gym]'") from None
    if why := NO_SOURCE.get(source.path):
        raise UserError(f"{source.text}: {source.path} cannot be a source of problems, as {why}")
    if source.path not in DATASETS:
        raise UserError(
            f"{source.text}: no data set {source.path!r} in reasoning-gym; {nearest(source.path, DATASETS)}"
        )
    config: type[Any] = DATASETS[source.path][1]
    usual, hints = config(), get_type_hints(config)
    fields = [
        (field.name, hints[field.name], dataclasses.field(default=getattr(usual, field.name)))
        for field in dataclasses.fields(config)
        if field.name not in ("n", "seed", "size") and type(getattr(usual, field.name)) in SIMPLE
    ]
    own = [("n", int, dataclasses.field(default=TOGETHER)), ("seed", int, dataclasses.field(default=0))]
    options: DataclassInstance = dataclasses.make_dataclass("GymOptions", [*own, *fields], frozen=True)()
    return options
