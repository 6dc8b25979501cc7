"""Samples that another tool wrote, in place of checkpoints: collected, scored, and divided into checkpoints.

The samples of one step are those of one policy.  A folder with several steps stands for several checkpoints if these
have problems in common (`tool_policies.py`); ``step=`` chooses one step, or a range that is taken as one checkpoint.

The task verifies the texts if problems are named.  The tool's own scores are taken if none are, if ``score=`` or
``threshold=`` asks for them.  A sample that ended in an error, that has no score or no text to verify is left out, and
so is a problem that then has fewer samples than most have, as one whose group was cut by a crash.  All are counted and
said.

Shapes: N = samples, P = problems.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.messages import remark, warn
from rlready.interchange.formats import open_tool, parse_tool_source
from rlready.interchange.rollouts import UNSCORED, Request, context, verdicts
from rlready.interchange.trl import evaluated_steps
from rlready.readiness.conditions import JUDGED, VERIFIED, plain
from rlready.readiness.offline_cells import with_thoughts_opened
from rlready.readiness.offline_checks import say_repeated
from rlready.readiness.offline_samples import Asked, Pending, Stored, TableOptions, digest, with_variant
from rlready.readiness.passk import Ints
from rlready.readiness.sample_stats import FACTS, Draws
from rlready.readiness.tool_policies import by_step, divided, say_unlike_log
from rlready.tasks.answers.ownpart import after_thought
from rlready.tasks.columns import Batch
from rlready.tasks.strictjson import Refused
from rlready.tasks.table import Origin, id_of
from rlready.tasks.turns import asked_in

MOST_STEPS = 10**15
MOST_ASKED = 100_000  # problems whose texts are compared with those of other sources
HALF = 32  # bits of a number that holds two
PRIME = 1_000_003  # which mixes numbers with digests of texts


def read_tool_samples(source: str, *, problems_named: bool) -> dict[str, Stored]:
    """The samples of each checkpoint that a source stands for, by its name, in the order of their steps."""
    format, request = parse_tool_source(source)
    request = replace(request, verified=problems_named and not request.options.takes_scores)
    collector = _Collector(request, problems_named=problems_named)
    with _without_cycles():
        for batch in open_tool(format, request):
            collector.add(batch)
    files = format.files(request.path)
    named = [file for file in files if str(file) in collector.files] if request.options.task else files
    return collector.checkpoints(named, of_tasks="task" in format.choices)


class _Collector:
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
        self.texts: list[str | None] = []  # if they are to be verified
        self.score = ""  # that is the verdict
        self.binary = False  # whether that is the reward, 0 or 1
        self.settings: dict[str, set[str]] = {}  # how samples were drawn, where that is stored
        self.unusable = Counter[str]()  # by the reason
        self.unclosed = 0  # responses in a thought that their prompt opens
        self.total = 0
        self.files = set[str]()  # with samples

    def add(self, batch: Batch) -> None:
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

    def _problem(self, both: int) -> int:
        if self.options.n is not None and len(self.problems) == self.options.n and both not in self.problems:
            return -1
        return self.problems.setdefault(both, len(self.problems))

    def _ids(self) -> list[tuple[str, str]]:
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

    def checkpoints(self, files: Sequence[Path], *, of_tasks: bool) -> dict[str, Stored]:
        """The samples of each checkpoint; ``of_tasks``: whether variants are tasks or environments."""
        where = self.request.text
        if not self.problems:
            chosen = "-".join(map(str, dict.fromkeys(self.options.step or ())))
            raise UserError(f"{where}: has no samples" + (f" of step={chosen}" if chosen else ""))
        everything = sum(map(len, self.verdict)) + self.unusable.total()
        if not self.draws:
            why = " or ".join(self.unusable)
            raise UserError(f"{where}: all of its {everything} samples {why}, so that there is none to measure")
        for why, count in self.unusable.items():
            remark(f"{where}: {count} of {everything} samples {why} and are left out")
        draws = Draws.joined(self.draws, len(self.problems))
        verdict, step = np.concatenate(self.verdict), np.concatenate(self.step)
        line, digest = np.concatenate(self.line), np.concatenate(self.digest)
        kept = np.flatnonzero(verdict != UNSCORED)
        lack, fix = "were not scored", "name problems= to have the texts verified"
        if self.request.verified:
            lack, fix = "have no text to verify", "leave out problems=, or take a score of the tool with ?score=NAME"
        if not len(kept):
            raise UserError(f"{where}: all of its {everything} samples {' or '.join([*self.unusable, lack])}; {fix}")
        if missing := len(verdict) - len(kept):
            remark(f"{where}: {missing} of {everything} samples {lack} and are left out")
        if self.unclosed:
            remark(
                f"{where}: {self.unclosed} of {everything} responses never close the thought that their prompt opens, "
                "and so have no answer"
            )
        for name, values in self.settings.items():
            if len(values) > 1:
                remark(f"{where}: samples were drawn with {name} = {' and '.join(sorted(values))}, yet are read as one")
        self._say_repeated(draws.problem[kept], step[kept], digest[kept])
        one, evaluated = self.options.step is not None, evaluated_steps(files[0])
        policies = divided(where, draws.problem[kept], step[kept], one=one, evaluated=evaluated)
        if len(policies) > 1 and self.options.model:
            raise UserError(f"{where}: model= is one checkpoint, but this is read as {len(policies)}; choose by ?step=")
        self._say_asked_twice(where)
        ids, found = self._ids(), {}
        several = (of_tasks and len(self.variants) > 1) or len({name for name, _ in ids}) < len(ids)
        for policy in policies:
            rows = kept[policy.rows]
            stepped = len(policies) > 1 or (self.options.step is not None and not self.options.name)
            name = policy.name(self.options.name or str(self.request.path), stepped=stepped)
            if policy.first in evaluated.rewards and self.binary and not self.request.verified:
                mean = float((verdict[rows] == 1).mean())
                say_unlike_log(where, policy.first, mean, evaluated.rewards[policy.first])
            found[name] = replace(
                self._stored(files, ids, draws, rows, line, digest, several=several),
                responses=policy.span,
                saved=_saved(files[0], policy.last),
            )
        return found

    def _say_asked_twice(self, where: str) -> None:
        """Warn of problems that ask what another one asks, as where two tasks share documents."""
        if self.problems_named:
            return
        asked = Counter((each.text, each.truth, each.context) for each in self.asked.values() if each.text)
        if again := asked.total() - len(asked):
            warn(
                f"{where}: warning: {again} of {len(self.problems)} problems ask the same as another one: each counts, "
                "so that intervals are too narrow; choose one task with ?task=, or leave the others out"
            )

    def _say_repeated(self, problem: Ints, step: Ints, digest: Ints) -> None:
        """Say it if every response seems to be there several times, or two steps seem to be copies of each other."""
        where = self.request.text
        _, group = np.unique(problem * PRIME + step, return_inverse=True)
        say_repeated(where, group * PRIME + digest, int(group.max()) + 1)
        steps: dict[bytes, int] = {}
        for each, rows in by_step(step):
            mine = np.sort(problem[rows] * PRIME + digest[rows]).tobytes()
            if (other := steps.setdefault(mine, each)) != each:
                remark(f"{where}: the steps {other} and {each} have the same responses: one seems to be a copy")

    def _conditions(self) -> dict[str, str]:
        """How the samples were drawn, and which filter and which score the outcomes are of."""
        o = self.options
        score = f"the score {self.score}" + (f" from {o.threshold:g} on" if o.threshold is not None else "")
        drawn = {name: " and ".join(sorted(values)) for name, values in self.settings.items()}
        filtered = {"filter": o.filter} if o.filter else {}
        return drawn | filtered | {JUDGED: VERIFIED if self.request.verified else score}

    def _stored(
        self,
        files: Sequence[Path],
        names: Sequence[tuple[str, str]],
        draws: Draws,
        rows: Ints,
        line: Ints,
        digest: Ints,
        *,
        several: bool,
    ) -> Stored:
        """The samples ``rows`` as those of one checkpoint; ``names`` are the ids and variants of all problems."""
        o = self.options
        there, problem = np.unique(draws.problem[rows], return_inverse=True)
        bare, variants = ([names[code][part] for code in there] for part in (0, 1))
        ids = list(map(with_variant, bare, variants)) if several else bare
        pending = []
        if self.request.verified:
            pending = [
                Pending(at, int(line[row]), ids[problem[at]], self.texts[row], None)
                for at, row in enumerate(rows.tolist())
            ]
        of_problem = np.fromiter(map(hash, bare), dtype=np.int64, count=len(ids))
        first = digest[rows][np.unique(problem, return_index=True)[1]]
        return Stored(
            path=str(_common(files, self.request.path)),
            options=TableOptions(filter=o.filter, n=o.n, name=o.name, model=o.model),
            origin=Origin(self.request.text, "row"),
            total=self.total,
            problem_ids=ids,
            draws=replace(draws.take(rows), problems=len(ids), problem=problem.astype(np.int64)),
            order=np.arange(len(rows)),
            pending=pending,
            conditions=self._conditions(),
            copied=bool((digest[rows] == first[problem]).all()) and len(rows) > len(ids),
            responses="",
            asked={ids[at]: self.asked[code] for at, code in enumerate(there.tolist()) if code in self.asked},
            apart=several,
            variants=() if several else variants,
            texts=int((of_problem[problem] * PRIME ^ digest[rows]).sum()) if (digest[rows] != hash(None)).any() else 0,
        )


@contextmanager
def _without_cycles() -> Iterator[None]:
    """Do not look for cycles of objects: rows of JSON have none, and it takes 40 % of the time of parsing them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _step(value: Any) -> int:
    if value is None:
        return 0
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value <= MOST_STEPS:
        raise Refused(f"step must be a whole number from 0 to {MOST_STEPS:,}, not {str(value)[:40]!r}")
    return int(value)


def _saved(file: Path, step: int) -> str:
    """The checkpoint that TRL saved at a step, in the folder whose completions a file is among; "" if there is none."""
    saved = file.parent.parent / f"checkpoint-{step}"
    return str(saved) if file.parent.name == "completions" and saved.is_dir() else ""


def _common(files: Sequence[Path], path: Path) -> Path:
    """The folder that holds all files, which is hashed: of TRL's output not its checkpoints; or the only file."""
    if len(files) == 1:
        return files[0]
    folders = {file.parent for file in files}
    return folders.pop() if len(folders) == 1 else path / "rollouts" if (path / "rollouts").is_dir() else path
