"""Candidates: SFT checkpoints with their readiness, all measured on the same problems.

If its SFT run folder is known, a candidate has the *distribution* of its training rows: the source of the rows without
the options for their number or random choice (n, seed, split, ``select=random``), and the content of its file where the
run has recorded the SHA-256 of that.  Held-out losses are comparable within one distribution only (Kang et al.,
arXiv 2510.01624); this way of identifying it is a choice of this package.

Shapes: P = problems.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import TaskRecord, warnings_of
from rlready.models.heldout_loss import HeldOut
from rlready.predict.measured import Measured, named_apart
from rlready.predict.run_cost import Effort
from rlready.readiness.adaptive_sampling import Counts
from rlready.readiness.conditions import UNLIMITED, difference, unstated
from rlready.readiness.next_step import UNKNOWN_MODEL, rl_command
from rlready.readiness.part import Part
from rlready.runs.checkpoint_order import runs_of, step_of
from rlready.runs.record import RunRecord
from rlready.runs.recorder import BASE
from rlready.tasks.source import parse_source, source_string

# settings that samples must share to be compared
SAME = (
    "problems",
    "temperature",
    "thinking_budget",
    "max_answer_tokens",
    "answer_prefix",
    "apply_chat_template",
    "delimiters",
)
UNKNOWN = "unknown"
TELLING = 12  # problems with right and wrong samples in which two checkpoints are as good by chance once in a million
COUNTING = ("n", "of", "seed", "split")  # options of a source string for the number and choice of rows


@dataclass(frozen=True)
class Candidate:
    """One checkpoint; ``trained``, ``sft`` (the folder of its run), ``run`` (which no other run shares) and
    ``step`` are None where unknown.

    ``sft_seed`` is the seed of its SFT run and ``rows_sha256`` the SHA-256 of the file of its rows, both "" where
    unknown; ``model`` is what a command of RL names to start from it, ``content`` the SHA-256 of what was measured,
    ``bases`` those of the bases of adapters in its run of readiness, and ``place`` where it is, "" for no folder.
    """

    name: str
    counts: Counts
    loss: HeldOut | None
    entropy: Estimate | None
    distinct_answers: Estimate | None
    heldout: str
    trained: str | None
    sft: str | None
    step: int | None
    sft_seed: str = ""
    rows_sha256: str = ""
    model: str = UNKNOWN_MODEL
    content: str = ""
    bases: frozenset[str] = frozenset()
    place: str = ""
    run: str | None = None
    strayed: bool = False

    @property
    def trajectory(self) -> str | None:
        """The run in which its name tells its step."""
        return None if self.strayed else self.run


@dataclass(frozen=True)
class Candidates:
    """All candidates; ``group_size`` is the number of responses per problem that is planned for RL.

    ``most`` is the largest k whose pass@k was requested and is known for every candidate, ``samples`` the largest that
    was requested for any; ``doubts`` are of their samples; by name, ``commands`` run RL from each, and ``efforts`` say
    what one problem of each took.
    """

    all: list[Candidate]
    group_size: int
    most: int
    samples: int
    commands: dict[str, str]
    efforts: dict[str, Effort | None]
    task: TaskRecord
    chance_level: dict[str, float]
    doubts: list[str]

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.all]


def read_candidates(folders: Sequence[Path]) -> Candidates:
    """Candidates of readiness run folders; UserError if they are not measured alike, or fewer than two."""
    runs = named_apart([Measured.load(folder) for folder in folders])
    _refuse_unlike(runs)
    alike = len({run.result.informative_group_size for run in runs}) == 1
    placed = {part.name: run.place(part) for run in runs for part in run.parts}
    _refuse_twice({name: os.path.realpath(place) for name, (place, _) in placed.items()})
    found = {part.name: _candidate(part, run, alike, *placed[part.name]) for run in runs for part in run.parts}
    if not found:
        raise UserError("no readiness was measured: name folders of rlready readiness runs")
    if len(found) == 1:
        raise UserError(f"there is one checkpoint only, {next(iter(found))}: nothing to rank it against")
    sft, places = runs_of(found), runs_of(place for place, _ in placed.values())
    own = {name: str(Path(place).parent.parent) for name, (place, tuned) in placed.items() if tuned}
    candidates = [
        replace(c, sft=c.sft or sft[name], run=own.get(name) or places[placed[name][0]]) for name, c in found.items()
    ]
    most = min([*(run.config.samples for run in runs), *(c.counts.cap for c in candidates)])
    first = runs[0].result
    return Candidates(
        all=candidates,
        group_size=min(run.result.group_size for run in runs),
        most=most,
        samples=max(run.config.samples for run in runs),
        commands={
            p.name: rl_command(p.model_copy(update={"model": run.model(p)}), run.record.config, run.record.origins)
            for run in runs
            for p in run.parts
        },
        efforts={
            p.name: Effort.of_each(run.record, len(p.problems) * len(run.parts)) for run in runs for p in run.parts
        },
        task=first.task,
        chance_level=first.chance_level,
        doubts=[
            *dict.fromkeys(text for run in runs for text in warnings_of(run.result)),
            *_other_problems(runs),
            *_copies(candidates),
            *(f"{at}: {what}" for at, what in unstated({str(r.folder): r.result.conditions for r in runs}).items()),
        ],
    )


def _copies(candidates: Sequence[Candidate]) -> Iterator[str]:
    """A warning for each checkpoint whose files, or whose figures of every problem, are those of another one."""
    first: dict[str, str] = {}
    counted: dict[tuple[bytes, bytes], str] = {}
    for each in candidates:
        if each.content and (other := first.setdefault(each.content, each.name)) != each.name:
            yield f"{each.name} had the same content as {other}: if one is a copy, or was renamed, leave it out"
            continue
        if each.content:  # near checkpoints may draw alike
            continue
        mixed = (each.counts.correct > 0) & (each.counts.correct < each.counts.drawn)
        key = (each.counts.correct.tobytes(), each.counts.drawn.tobytes())
        if mixed.sum() >= TELLING and (other := counted.setdefault(key, each.name)) != each.name:
            yield (
                f"{each.name} has as many samples right of every problem as {other}: if its samples are a copy, leave "
                "it out"
            )


def _other_problems(runs: Sequence[Measured]) -> Iterator[str]:
    """A warning for each checkpoint that was asked in another way than one of an earlier run, and for each of whose
    problems some have another answer.

    Two tools may write one answer in two ways.  Problems that are named are known to be the same.
    """
    unnamed = [run for run in runs if not run.config.problems]
    for part, count, other in _unlike(runs, lambda part: part.prompts):
        yield (
            f"{part.name}: the prompts of {count} of {len(part.problems)} problems are not those of {other}: a "
            "difference may be one of prompts, as of their examples or template"
        )
    for part, count, other in _unlike(unnamed, lambda part: part.truths):
        yield (
            f"{part.name}: the ground truths of {count} of {len(part.truths)} problems are not those of {other}: "
            "unless they are written in another way, these are other problems under the same ids; name them with "
            "problems= in each run of readiness"
        )


def _unlike(runs: Sequence[Measured], digests: Callable[[Part], Mapping[str, str]]) -> Iterator[tuple[Part, int, str]]:
    """Parts with how many digests of problems are not those of an earlier run, and the first part that has others."""
    first: dict[str, tuple[str, Measured, str]] = {}
    for run in runs:
        for part in run.parts:
            pairs = [(first.setdefault(name, (part.name, run, mine)), mine) for name, mine in digests(part).items()]
            unlike = [other for (other, where, theirs), mine in pairs if where is not run and theirs != mine]
            if unlike:
                yield part, len(unlike), unlike[0]


def _refuse_unlike(runs: Sequence[Measured]) -> None:
    """Raise UserError if settings, problems or tokenizers differ, or if a checkpoint was measured twice."""
    places: dict[str, Path] = {}
    stated: dict[str, tuple[Path, str]] = {}
    vocabulary: tuple[str, str] | None = None
    for run in runs:
        first = runs[0]
        for key in SAME:
            here, there = getattr(first.config, key), getattr(run.config, key)
            if here != there:
                raise UserError(
                    f"{first.folder} and {run.folder} measured readiness with different {key}: {_said(here)} and "
                    f"{_said(there)}; measure all checkpoints alike"
                )
        for key, value in run.result.conditions.items():
            earlier, before = stated.setdefault(key, (run.folder, value))
            if before != value and UNLIMITED not in (before, value):
                raise UserError(
                    f"{earlier} and {run.folder} have samples {difference(key, before, value)}; measure all "
                    "checkpoints alike"
                )
        for part in run.parts:
            if part.name in places:
                raise UserError(
                    f"{part.name} is measured twice, in {places[part.name]} and {run.folder}: name one of them; if "
                    "these were two checkpoints of one name, they are not where they were measured, or have changed"
                )
            places[part.name] = run.folder
            if part.problems != first.parts[0].problems:
                raise UserError(f"{first.folder} and {run.folder} measured readiness on different problems")
            if part.vocabulary:
                vocabulary = vocabulary or (part.name, part.vocabulary.digest)
                if part.vocabulary.digest != vocabulary[1]:
                    raise UserError(
                        f"{vocabulary[0]} and {part.name} read text with different tokenizers, {vocabulary[1][:12]} "
                        f"and {part.vocabulary.digest[:12]} (SHA-256 of their vocabularies); compare checkpoints of "
                        "one tokenizer"
                    )


def _said(value: object) -> str:
    return (",".join(value) if isinstance(value, tuple) else str(value)) or "none"


def distribution(source: str) -> str:
    """A source of rows without the options for their number or random choice."""
    try:
        parsed = parse_source(source)
    except UserError:  # written by another trainer
        return source
    kept = {k: v for k, v in parsed.options.items() if k not in COUNTING and (k, v) != ("select", "random")}
    return source_string(f"{parsed.kind}:{parsed.path}", dict(sorted(kept.items())))


def trained_on(candidates: Sequence[Candidate]) -> list[str]:
    """The distributions of rows that candidates learned from: a file by its content, wherever it is, and what has
    no recorded content by its source, as if its file had never changed."""
    contents: dict[str, set[str]] = {}
    for c in candidates:
        contents.setdefault(c.trained or UNKNOWN, set()).update({c.rows_sha256} - {""})
    found: dict[tuple[str, str], str] = {}
    for c in candidates:
        name = c.trained or UNKNOWN
        content = c.rows_sha256 or (next(iter(contents[name])) if len(contents[name]) == 1 else "")
        said = name if len(contents[name]) < 2 else f"{name} with SHA-256 {content[:12] or UNKNOWN}"
        read_as = name.partition(":")[0] + name.partition("?")[2]  # kind and options
        found.setdefault((content, read_as) if content else (name, ""), said)
    return list(found.values())


def _refuse_twice(places: Mapping[str, str]) -> None:
    """UserError for two names of one checkpoint."""
    first: dict[str, str] = {}
    for name, place in places.items():
        if (other := first.setdefault(place, name)) != name:
            raise UserError(f"{other} and {name} are one checkpoint, which is measured twice: leave one of them out")


def _candidate(part: Part, measured: Measured, alike: bool, place: str, tuned: RunRecord | None) -> Candidate:
    """A checkpoint; ``alike``: whether groups are equally large in all runs, so that their answers can be counted;
    ``place`` is where it is, and ``tuned`` the record of its SFT run."""
    return Candidate(
        name=part.name,
        counts=part.sampled.counts.counts,
        loss=part.heldout.heldout if part.heldout else None,
        entropy=part.sampled.stats.entropy,
        distinct_answers=part.sampled.stats.distinct_answers if alike else None,
        heldout=measured.config.heldout or "",
        trained=distribution(str(tuned.config["rows"])) if tuned else None,
        sft=str(Path(part.name).parent.parent) if tuned else None,
        step=step_of(part.name),
        sft_seed=str(tuned.config.get("seed", "")) if tuned else "",
        rows_sha256=next((each.sha256 or "" for each in tuned.data if each.role == "sft"), "") if tuned else "",
        model=measured.model(part) or UNKNOWN_MODEL,
        content=measured.content(part) or "",
        bases=frozenset(each.sha256 for each in measured.record.models if each.role == BASE and each.sha256),
        place=os.path.realpath(place) if os.path.isabs(place) else "",
        strayed=part.strayed,
    )
