"""Samples that another tool wrote, in place of checkpoints: read by `tool_collector.py`, and divided into checkpoints.

The samples of one step are those of one policy.  A folder with several steps stands for several checkpoints if these
have problems in common (`tool_policies.py`); ``step=`` chooses one step, or a range that is taken as one checkpoint.

The task verifies the texts if problems are named.  The tool's own scores are taken if none are, if ``score=`` or
``threshold=`` asks for them.  A sample that ended in an error, that has no score or no text to verify is left out, and
so is a problem that then has fewer samples than most have, as one whose group was cut by a crash.  All are counted and
said.

Shapes: N = samples.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.messages import remark, warn
from rlready.interchange.formats import open_tool, parse_tool_source
from rlready.interchange.rollouts import UNSCORED
from rlready.interchange.trl import evaluated_steps
from rlready.readiness.conditions import JUDGED, VERIFIED
from rlready.readiness.offline_checks import say_repeated
from rlready.readiness.offline_samples import Pending, Stored, TableOptions, with_variant
from rlready.readiness.passk import Ints
from rlready.readiness.sample_stats import Draws
from rlready.readiness.tool_collector import Collector
from rlready.readiness.tool_policies import by_step, divided, say_unlike_log
from rlready.tasks.table import Origin

PRIME = 1_000_003  # which mixes numbers with digests of texts


@dataclass(frozen=True)
class _Samples:
    """All samples that were collected, in the order of the files; arrays (N,)."""

    collected: Collector
    files: Sequence[Path]
    draws: Draws
    verdict: NDArray[np.int8]
    step: Ints
    line: Ints
    digest: Ints
    model: Ints


def read_tool_samples(source: str, *, problems_named: bool) -> dict[str, Stored]:
    """The samples of each checkpoint that a source stands for, by its name, in the order of their steps."""
    format, request = parse_tool_source(source)
    request = replace(request, verified=problems_named and not request.options.takes_scores)
    collected = Collector(request, problems_named=problems_named)
    with _without_cycles():
        for batch in open_tool(format, request):
            collected.add(batch)
    files = format.files(request.path)
    named = [file for file in files if str(file) in collected.files] if request.options.task else files
    return _checkpoints(collected, named, of_tasks="task" in format.choices)


def _checkpoints(collected: Collector, files: Sequence[Path], *, of_tasks: bool) -> dict[str, Stored]:
    """The samples of each checkpoint; ``of_tasks``: whether variants are tasks or environments."""
    options, where = collected.options, collected.request.text
    samples = _joined(collected, files)
    kept = _kept(samples)
    _say_repeated(where, *(each[kept] for each in (samples.draws.problem, samples.step, samples.digest)))
    one, evaluated = options.step is not None, evaluated_steps(files[0])
    policies = divided(where, samples.draws.problem[kept], samples.step[kept], one=one, evaluated=evaluated)
    if len(policies) > 1 and options.model:
        raise UserError(f"{where}: model= is one checkpoint, but this is read as {len(policies)}; choose by ?step=")
    _say_asked_twice(collected)
    ids, found = collected.ids(), dict[str, Stored]()
    several = (of_tasks and len(collected.variants) > 1) or len({name for name, _ in ids}) < len(ids)
    for policy in policies:
        rows = kept[policy.rows]
        _refuse_models(collected, samples.step[rows], samples.model[rows])
        name = policy.name(
            options.name or str(collected.request.path), stepped=len(policies) > 1 or (one and not options.name)
        )
        if policy.first in evaluated.rewards and collected.binary and not collected.request.verified:
            mean = float((samples.verdict[rows] == 1).mean())
            say_unlike_log(where, policy.first, mean, evaluated.rewards[policy.first])
        stored = _stored(samples, ids, rows, several=several)
        found[name] = replace(stored, responses=policy.span, saved=_saved(files[0], policy.last))
    return found


def _joined(collected: Collector, files: Sequence[Path]) -> _Samples:
    """All samples in one; UserError if there is none of the policy."""
    where = collected.request.text
    if not collected.problems:
        chosen = "-".join(map(str, dict.fromkeys(collected.options.step or ())))
        raise UserError(f"{where}: has no samples" + (f" of step={chosen}" if chosen else ""))
    if not collected.draws:
        why = " or ".join(collected.unusable)
        raise UserError(f"{where}: all of its {collected.everything} samples {why}, so that there is none to measure")
    for why, count in collected.unusable.items():
        remark(f"{where}: {count} of {collected.everything} samples {why} and are left out")
    return _Samples(
        collected,
        files,
        Draws.joined(collected.draws, len(collected.problems)),
        np.concatenate(collected.verdict),
        np.concatenate(collected.step),
        np.concatenate(collected.line),
        np.concatenate(collected.digest),
        np.concatenate(collected.model),
    )


def _kept(samples: _Samples) -> Ints:
    """The samples that have a verdict, or a text to get one; those without are said."""
    collected, where = samples.collected, samples.collected.request.text
    kept = np.flatnonzero(samples.verdict != UNSCORED)
    lack, fix = "were not scored", "name problems= to have the texts verified"
    if collected.request.verified:
        lack, fix = "have no text to verify", "leave out problems=, or take a score of the tool with ?score=NAME"
    if not len(kept):
        why = " or ".join([*collected.unusable, lack])
        raise UserError(f"{where}: all of its {collected.everything} samples {why}; {fix}")
    if missing := len(samples.verdict) - len(kept):
        remark(f"{where}: {missing} of {collected.everything} samples {lack} and are left out")
    if collected.unclosed:
        remark(
            f"{where}: {collected.unclosed} of {collected.everything} responses never close the thought that their "
            "prompt opens, and so have no answer"
        )
    for name, values in collected.settings.items():
        if len(values) > 1:
            remark(f"{where}: samples were drawn with {name} = {' and '.join(sorted(values))}, yet are read as one")
    return kept


def _refuse_models(collected: Collector, step: Ints, model: Ints) -> None:
    """UserError for samples of several policies in one step, of which there is one for each step."""
    names = list(collected.models)
    each = ([names[at] for at in np.unique(model[rows]).tolist() if names[at]] for _, rows in by_step(step))
    if several := next((found for found in each if len(found) > 1), []):
        shown = ", ".join(repr(name[:80]) for name in several[:3])
        raise UserError(
            f"{collected.request.text}: samples of different models ({shown}) would be counted as those of one "
            "checkpoint; keep the samples of one model in a file"
        )


def _say_asked_twice(collected: Collector) -> None:
    """Warn of problems that ask what another one asks, as where two tasks share documents."""
    if collected.problems_named:
        return
    asked = Counter((each.text, each.truth, each.context) for each in collected.asked.values() if each.text)
    if again := asked.total() - len(asked):
        warn(
            f"{collected.request.text}: warning: {again} of {len(collected.problems)} problems ask the same as another "
            "one: each counts, so that intervals are too narrow; choose one task with ?task=, or leave the others out"
        )


def _say_repeated(where: str, problem: Ints, step: Ints, digest: Ints) -> None:
    """Say it if every response seems to be there several times, or two steps seem to be copies of each other."""
    _, group = np.unique(problem * PRIME + step, return_inverse=True)
    say_repeated(where, group * PRIME + digest, int(group.max()) + 1)
    steps: dict[bytes, int] = {}
    for each, rows in by_step(step):
        mine = np.sort(problem[rows] * PRIME + digest[rows]).tobytes()
        if (other := steps.setdefault(mine, each)) != each:
            remark(f"{where}: the steps {other} and {each} have the same responses: one seems to be a copy")


def _conditions(collected: Collector) -> dict[str, str]:
    """How the samples were drawn, and which filter and which score the outcomes are of."""
    o = collected.options
    score = f"the score {collected.score}" + (f" from {o.threshold:g} on" if o.threshold is not None else "")
    drawn = {name: " and ".join(sorted(values)) for name, values in collected.settings.items()}
    filtered = {"filter": o.filter} if o.filter else {}
    return drawn | filtered | {JUDGED: VERIFIED if collected.request.verified else score}


def _stored(samples: _Samples, names: Sequence[tuple[str, str]], rows: Ints, *, several: bool) -> Stored:
    """The samples ``rows`` as those of one checkpoint; ``names`` are the ids and variants of all problems."""
    collected, draws = samples.collected, samples.draws
    o, request, digest = collected.options, collected.request, samples.digest[rows]
    there, problem = np.unique(draws.problem[rows], return_inverse=True)
    bare, variants = ([names[code][part] for code in there] for part in (0, 1))
    ids = list(map(with_variant, bare, variants)) if several else bare
    pending = []
    if request.verified:
        pending = [
            Pending(at, int(samples.line[row]), ids[problem[at]], collected.texts[row], None)
            for at, row in enumerate(rows.tolist())
        ]
    of_problem = np.fromiter(map(hash, bare), dtype=np.int64, count=len(ids))
    first = digest[np.unique(problem, return_index=True)[1]]
    return Stored(
        path=str(_common(samples.files, request.path)),
        options=TableOptions(filter=o.filter, n=o.n, name=o.name, model=o.model),
        origin=Origin(request.text, "row"),
        total=collected.total,
        problem_ids=ids,
        draws=replace(draws.take(rows), problems=len(ids), problem=problem.astype(np.int64)),
        order=np.arange(len(rows)),
        pending=pending,
        conditions=_conditions(collected),
        copied=bool((digest == first[problem]).all()) and len(rows) > len(ids),
        responses="",
        asked={ids[at]: collected.asked[code] for at, code in enumerate(there.tolist()) if code in collected.asked},
        apart=several,
        variants=() if several else variants,
        texts=int((of_problem[problem] * PRIME ^ digest).sum()) if (digest != hash(None)).any() else 0,
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
