"""Samples of a tool as they are read, batch by batch: which problem each is of, what its tool says, what is left out.

Shapes: N = samples, P = problems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.interchange.rollouts import UNSCORED, Request, context, verdicts
from rlready.readiness.conditions import plain
from rlready.readiness.offline_cells import with_thoughts_opened
from rlready.readiness.offline_samples import Asked, digest
from rlready.readiness.passk import Ints
from rlready.readiness.sample_stats import FACTS, Draws
from rlready.tasks.answers.ownpart import after_thought
from rlready.tasks.columns import Batch
from rlready.tasks.strictjson import Refused
from rlready.tasks.table import id_of
from rlready.tasks.turns import asked_in

MOST_STEPS = 10**15
MOST_ASKED = 100_000  # problems whose texts are compared with those of other sources
HALF = 32  # bits of a number that holds two


class Collector:
    """Collects the samples of all steps as arrays."""

    def __init__(self, request: Request, *, problems_named: bool) -> None:
        self.request, self.options = request, request.options
        self.problems_named = problems_named
        self.names: dict[str, int] = {}  # ids, and variants of their problems
        self.variants: dict[str, int] = {}
        self.problems: dict[int, int] = {}  # by id and variant, in one number
        self.asked: dict[int, Asked] = {}  # by problem
        self.draws: list[Draws] = []
        self.verdict: list[NDArray[np.int8]] = []
        self.step: list[Ints] = []
        self.line: list[Ints] = []
        self.digest: list[Ints] = []  # of texts
        self.model: list[Ints] = []  # places in `models`
        self.models: dict[str, int] = {}  # names of policies that rows state
        self.texts: list[str | None] = []  # if they are to be verified
        self.score = ""  # that is the verdict
        self.binary = False  # whether that is the reward, 0 or 1
        self.settings: dict[str, set[str]] = {}  # how samples were drawn, where that is stored
        self.unusable = Counter[str]()  # by the reason
        self.unclosed = 0  # responses in a thought that their prompt opens
        self.total = 0
        self.files = set[str]()  # with samples

    @property
    def everything(self) -> int:
        """The samples of the chosen steps and problems, with those that are left out."""
        return sum(map(len, self.verdict)) + self.unusable.total()

    def add(self, batch: Batch) -> None:
        """Take a batch; UserError for a problem that asks something else than before."""
        self.total += len(batch)
        self.files.add(batch.origin.where)
        step = batch.map("step", _step, np.int64)
        batch = batch.take(np.flatnonzero(self._wanted(step))) if self.options.step else batch
        step = step[self._wanted(step)]
        problem = self._problems(batch)
        chosen = (problem >= 0) & self._usable(batch, problem >= 0)
        if not chosen.all():
            kept = np.flatnonzero(chosen)
            batch, problem, step = batch.take(kept), problem[kept], step[kept]
        if not len(batch):
            return
        self._note_asked(batch, problem)
        for name, value in chain.from_iterable(filter(None, batch.distinct("settings")[1])):
            self.settings.setdefault(name, set()).add(plain(value))
        texts = [text if isinstance(text, str) else None for text in batch.values("text", np.arange(len(batch)))]
        if self.request.verified:
            self.texts += self._with_thoughts(batch, texts)
            verdict = np.array([UNSCORED if text is None else 0 for text in texts], dtype=np.int8)
        else:
            verdict = verdicts(batch, self.options)
            self.score = batch.named[0]
            self.binary = len(batch.named) == 1 and self.options.threshold is None
        facts = replace(batch, columns={name: batch.columns[name] for name in FACTS if name in batch.columns})
        self.draws.append(Draws.of_batch(facts, 0, problem, verdict == 1))
        self.verdict.append(verdict)
        self.step.append(step)
        self.line.append(batch.lines)
        self.model.append(batch.map("model", self._model, np.int64))
        self.digest.append(np.fromiter(map(hash, texts), dtype=np.int64, count=len(texts)))

    def _with_thoughts(self, batch: Batch, texts: Sequence[str | None]) -> list[str | None]:
        """The texts as they are verified; those that never close the thought that their prompt opens are counted."""
        opened = with_thoughts_opened(batch, ["context", "prompt", "problem_id"], texts)
        self.unclosed += sum(
            text != bare and text is not None and not after_thought(text)
            for text, bare in zip(opened, texts, strict=True)
        )
        return opened

    def _usable(self, batch: Batch, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(N,) whether rows are samples of the policy; those ``chosen`` that are not are counted."""
        codes, reasons = batch.distinct("unusable")
        times = np.bincount(codes[chosen], minlength=len(reasons)).tolist()
        self.unusable.update({why: count for why, count in zip(reasons, times, strict=True) if why and count})
        return np.array([why is None for why in reasons], dtype=bool)[codes]

    def _wanted(self, step: Ints) -> NDArray[np.bool_]:
        low, high = self.options.step or (0, MOST_STEPS)
        return (low <= step) & (step <= high)

    def _problems(self, batch: Batch) -> Ints:
        """(N,) the index of each problem; -1 after the first n."""
        name = batch.map("problem_id", self._name, np.int64)
        variant = batch.map("variant", self._variant, np.int64)
        both, first, code = np.unique(name << HALF | variant, return_index=True, return_inverse=True)
        made = np.empty(len(first), dtype=np.int64)
        order = np.argsort(first)  # that of their appearance
        made[order] = list(map(self._problem, both[order].tolist()))
        return made[code]

    def _name(self, value: Any) -> int:
        name = id_of(value, "the problem")
        if name is None:
            raise Refused("a sample without its problem")
        return self.names.setdefault(name, len(self.names))

    def _variant(self, value: Any) -> int:
        return self.variants.setdefault("" if value is None else str(value), len(self.variants))

    def _model(self, value: Any) -> int:
        return self.models.setdefault("" if value is None else str(value), len(self.models))

    def _problem(self, both: int) -> int:
        if self.options.n is not None and len(self.problems) == self.options.n and both not in self.problems:
            return -1
        return self.problems.setdefault(both, len(self.problems))

    def ids(self) -> list[tuple[str, str]]:
        """The id of each problem and its variant, "" for none."""
        names, variants = list(self.names), list(self.variants)
        return [(names[both >> HALF], variants[both & ((1 << HALF) - 1)]) for both in self.problems]

    def _note_asked(self, batch: Batch, problem: Ints) -> None:
        """Keep what the first sample of each problem asks, to compare it with named problems or other sources.

        UserError for another sample of it that asks something else.
        """
        if len(self.asked) >= MOST_ASKED and not self.problems_named:
            return
        prompt_is_id = "prompt" not in batch.columns
        prompt = batch.distinct("prompt")[0]
        _, rows = np.unique(problem << HALF | prompt, return_index=True)
        rows.sort()
        codes = problem[rows]
        columns = (
            batch.values(name, rows) for name in ("prompt", "truth", "document", "problem_id", "variant", "context")
        )
        for code, row, text, truth, document, name, variant, around in zip(codes.tolist(), rows, *columns, strict=True):
            place = batch.origin.place(int(batch.lines[row]))
            if code in self.asked:
                if isinstance(text, str) and text != self.asked[code].text:
                    raise UserError(
                        f"{place}: problem {str(name)[:80]!r} asks something else than its first sample "
                        f"({self.asked[code].place}); give each problem an id of its own"
                    )
                continue
            if isinstance(text, str):
                self.asked[code] = Asked(text, place, str(truth or ""), str(document or ""), digest(around))
            elif prompt_is_id:
                whole = id_of(name, "the problem") or ""
                question, about = asked_in(whole), "" if variant is None else str(variant)
                self.asked[code] = Asked(question, place, about, context=digest(context(whole, question)))


def _step(value: Any) -> int:
    if value is None:
        return 0
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value <= MOST_STEPS:
        raise Refused(f"step must be a whole number from 0 to {MOST_STEPS:,}, not {str(value)[:40]!r}")
    return int(value)
