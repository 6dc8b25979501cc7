"""Stored samples instead of a model that draws them: what is kept of a table, and how it is verified."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.records import Problem, Thought
from rlready.models.chat import CLOSE, KNOWN
from rlready.readiness.passk import Ints
from rlready.readiness.sample_stats import Draws
from rlready.runs.seen import Seen
from rlready.tasks import Task, verify_all
from rlready.tasks.answers.verify import voted
from rlready.tasks.table import Origin
from rlready.tasks.turns import split_sample

if TYPE_CHECKING:
    from rlready.models.lm import LM

CHANCE = 0.05  # probability of the signs of stopping among samples whose number does not depend on outcomes


@dataclass(frozen=True)
class TableOptions:
    """The options of a source string: column names, the rows to keep, the name of the table and its model."""

    problem: str = "problem_id"
    correct: str = "correct"
    text: str = "text"
    tokens: str = "tokens"
    sample: str = "sample_id"
    wave: str = "wave"
    thinking_budget: int | None = None
    setting: str = ""
    filter: str = ""
    n: int | None = None
    name: str = ""
    model: str = ""


@dataclass(frozen=True)
class Pending:
    """A sample that is still to be verified: number ``at`` of the table, from 0."""

    at: int
    line: int
    problem_id: str
    text: str | None
    tokens: list[int] | None


class Asked(NamedTuple):
    """What was asked: the text that holds the prompt, and the file and line of its first sample.

    ``truth`` is the ground truth, which problems of one text may differ in, and ``document`` a digest of the problem
    without its template; "" where it is not known.  ``context`` is a digest of the conversation around the text, "" for
    none.
    """

    text: str
    place: str
    truth: str = ""
    document: str = ""
    context: str = ""


def as_compared(text: str) -> str:
    """A text with single spaces in place of all white space, and each letter written in one way (NFC)."""
    return normalize("NFC", " ".join(text.split()))


def with_variant(name: str, variant: str) -> str:
    """The id of a problem that others may share, with its task, environment or ground truth."""
    return f"{name} [{variant}]" if variant else name


def digest(text: str | None) -> str:
    """A short digest of a text, "" for none."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest() if text else ""


@dataclass(frozen=True)
class Stored:
    """A table of samples; ``draws.correct`` is false for those that are ``pending``.

    ``problem_ids`` are in the order of first appearance, and ``draws.problem`` indexes them; ``total`` counts the rows
    of the file.  ``order`` (N,) ascends in the order in which the samples of a problem were drawn.  ``conditions`` are
    those of the samples, by column (`conditions.COLUMNS`); ``copied``: whether all samples of every problem are equal;
    ``responses``: the column that holds them, "" in a table of verdicts alone; ``asked``: what was asked, by problem,
    where another tool stores that beside the ids; ``saved``: the checkpoint that a trainer saved at their last step, or
    ""; ``seen``: what was at ``path`` once it was read; ``otherwise``: how its prompts differ from those of others;
    ``texts``: a number of all texts together, in whatever order; 0 where there are none.  ``apart``: ids hold what
    problems of one name differ in, such as a task; else ``variants`` has that of each id, if it is known.
    """

    path: str
    options: TableOptions
    origin: Origin
    total: int
    problem_ids: list[str]
    draws: Draws
    order: Ints
    pending: list[Pending]
    conditions: dict[str, str]
    copied: bool
    responses: str
    asked: Mapping[str, Asked] = field(default_factory=dict)
    saved: str = ""
    seen: Seen | None = None
    otherwise: str = ""
    texts: int = 0
    apart: bool = False
    variants: Sequence[str] = ()

    @property
    def prompts(self) -> dict[str, str]:
        """Digests of what was asked, by problem, with what stood around it."""
        return {name: digest(f"{as_compared(each.text)}\0{each.context}") for name, each in self.asked.items()}

    @property
    def truths(self) -> dict[str, str]:
        """Digests of the answers of the ground truths, by problem, where these are known."""
        return {name: digest(voted(each.truth, each.truth)) for name, each in self.asked.items() if each.truth}

    @property
    def whose_most(self) -> str:
        """Which problem has as many samples as can be asked of each."""
        drawn = np.bincount(self.draws.problem, minlength=self.draws.problems)
        usual = int(np.bincount(drawn).argmax())
        if not drawn.min() == self.draws.most < usual:
            return f"a problem has in {self.path}"
        least = self.problem_ids[int(drawn.argmin())]
        return f"problem {least} has in {self.path}, where most have {usual}: without it more could be measured"

    @property
    def doubt(self) -> str:
        """What is wrong with the samples; "" if nothing is known to be."""
        return "; ".join(filter(None, [self.otherwise, self._single()]))

    def _single(self) -> str:
        """Why figures of several samples are those of one; "" if they are not."""
        several = len(self.draws.problem) > self.draws.problems
        if not several or not (self.copied or self.conditions.get("temperature") == "0"):
            return ""
        what = "all samples of every problem are equal" if self.copied else "the samples were drawn at temperature 0"
        return f"{what}, so that figures of several samples, such as pass@k, are those of a single one"

    def only(self, ids: Collection[str]) -> Stored:
        """Without the samples of other problems than ``ids``."""
        kept = [name for name in self.problem_ids if name in ids]
        if len(kept) == len(self.problem_ids):
            return self
        codes = np.array([name in ids for name in self.problem_ids], dtype=bool)
        rows = np.flatnonzero(codes[self.draws.problem])
        place = {row: at for at, row in enumerate(rows.tolist())}
        draws = self.draws.take(rows)
        draws = replace(draws, problems=len(kept), problem=(np.cumsum(codes) - 1)[draws.problem])
        pending = [replace(each, at=place[each.at]) for each in self.pending if each.at in place]
        return replace(self, problem_ids=kept, draws=draws, order=self.order[rows], pending=pending)

    def renamed(self, names: Mapping[str, str]) -> Stored:
        """With other ids of problems; one that is not in ``names`` stays."""
        pending = [replace(p, problem_id=names.get(p.problem_id, p.problem_id)) for p in self.pending]
        ids = [names.get(name, name) for name in self.problem_ids]
        asked = {names.get(name, name): what for name, what in self.asked.items()}
        return replace(self, problem_ids=ids, pending=pending, asked=asked)

    def named_apart(self) -> Stored:
        """With what problems differ in behind their ids, so that these are the same whatever else a source holds."""
        if self.apart or not self.variants:
            return self
        names = dict(zip(self.problem_ids, map(with_variant, self.problem_ids, self.variants), strict=True))
        return replace(self.renamed(names), apart=True, variants=())

    @property
    def unverified(self) -> bool:
        return bool(self.pending)

    @property
    def first_unverified(self) -> str:
        """The location of the first unverified row; empty if all rows are verified."""
        return self.origin.place(self.pending[0].line) if self.pending else ""


def verify_pending(stored: Stored, task: Task | None, problems: Sequence[Problem], lm: LM | None) -> int:
    """Verify the samples that are not yet marked right or wrong, by the task; returns how many stay undecided.

    Raises UserError for rows without ``correct``, text and tokens, and for counts that are biased by early stopping.
    """
    undecided = 0
    if stored.unverified and task:
        undecided = _verify(stored, task, {problem.id: problem for problem in problems}, lm)
    _refuse_stopped(stored)
    return undecided


def _verify(stored: Stored, task: Task, by_id: Mapping[str, Problem], lm: LM | None) -> int:
    pairs, close = ([(lm.open, lm.close), *KNOWN], lm.close) if lm else (KNOWN, CLOSE)
    bare, unread, asked = [], [], []
    for sample in stored.pending:
        text = sample.text
        if text is None and sample.tokens is not None and lm:
            if strange := [t for t in sample.tokens if not 0 <= t < lm.vocabulary]:
                place = stored.origin.place(sample.line)
                raise UserError(f"{place}: token {strange[0]} is none of the {lm.vocabulary} of {lm.source}")
            text = lm.decode(sample.tokens)
        if text is None:
            bare.append(sample.line)
            continue
        text = lm.without_end(text) if lm else text
        unread.append(sample.at)
        asked.append((by_id[sample.problem_id], Thought.cut(split_sample(text, close, pairs), text)))
    refuse_unverifiable(stored.origin, bare, stored.total)
    verdicts = verify_all(task, asked)
    stored.draws.correct[unread] = [verdict.correct for verdict in verdicts]
    return sum(verdict.undecided for verdict in verdicts)


def refuse_unverifiable(origin: Origin, lines: Sequence[int], total: int) -> None:
    """UserError if there are rows without ``correct`` that have no text to verify either."""
    fix = "name its column with correct=COLUMN or text=COLUMN; for tokens name model=CHECKPOINT, whose they are"
    origin.refuse_some(lines, total, "a verdict, and without text to verify", fix)


def _refuse_stopped(stored: Stored) -> None:
    """Raise UserError if, without waves, the outcomes of a problem seem to have decided when its sampling stopped."""
    draws = stored.draws
    drawn_P = np.bincount(draws.problem, minlength=draws.problems)
    short = drawn_P < drawn_P.max()
    if not short.any() or draws.planned or draws.wave.any():
        return
    right_N = draws.correct[np.lexsort((stored.order, draws.problem))]
    for what, stopped in (
        ("the first success", _ends_in_only_hit(right_N, drawn_P)),
        ("successes", _stopped_at(right_N, drawn_P)),
        ("failures", _stopped_at(~right_N, drawn_P)),
    ):
        if stopped:
            raise UserError(
                f"{stored.path}: sampling seems to have stopped at {what} ({int(short.sum())} of {len(short)} problems "
                "have fewer samples, and their outcomes show it), which biases counts; add the column wave, or draw all"
            )


def _ends_in_only_hit(hit_N: NDArray[np.bool_], drawn_P: Ints) -> bool:
    """Whether each problem with fewer samples than others ends in its only hit, and none of the others goes on after
    one; ``hit_N`` is problem by problem."""
    end_P, short = np.cumsum(drawn_P), drawn_P < drawn_P.max()
    before_P = np.add.reduceat(hit_N, end_P - drawn_P, dtype=int) - hit_N[end_P - 1]  # hits in front of the last sample
    return not before_P.any() and bool(hit_N[end_P - 1][short].all())


def _stopped_at(hit_N: NDArray[np.bool_], drawn_P: Ints) -> bool:
    """Whether the number of samples of a problem probably depends on ``hit_N``, which is problem by problem.

    Signs, of all problems with fewer samples than others: they end in a hit; they have more hits than any problem had
    when it went on; they have the same number of hits among different numbers of samples.
    """
    end_P, short = np.cumsum(drawn_P), drawn_P < drawn_P.max()
    total = np.concatenate([[0], np.cumsum(hit_N)])
    hits_P = total[end_P] - total[end_P - drawn_P]
    n, hits = drawn_P[short], hits_P[short]
    in_order = total[end_P] - total[end_P - hits_P] == hits_P  # hits come last: the table is sorted by outcome
    if hit_N[end_P - 1][short].all() and not in_order.all() and np.prod(hits / n) < CHANCE:
        return True
    from scipy.special import gammaln, xlogy  # not scipy.stats, which takes 0.6 s to import

    numbers, level_P, problems = np.unique(drawn_P, return_inverse=True, return_counts=True)
    went_on_P = np.concatenate([[0], numbers[:-1]])[level_P]  # samples after which it was decided to draw more
    most = (total[end_P - drawn_P + went_on_P] - total[end_P - drawn_P]).max()
    ways = gammaln(len(short) + 1) - gammaln(problems + 1).sum()  # log, to give these numbers of samples to problems
    if hits.min() > most and ways > -log(CHANCE):
        return True
    if len(set(hits)) > 1 or len(set(n)) == 1:
        return False
    misses = n - hits
    chance = (
        gammaln(n + 1) - gammaln(hits + 1) - gammaln(misses + 1) + xlogy(hits, hits / n) + xlogy(misses, misses / n)
    )
    return float(chance.sum()) < log(CHANCE)  # of these numbers of hits at their most likely rates
