"""``samples.html``: a viewer of all samples that a run has stored, which needs neither a server nor a network.

The page holds no sample.  Beside it, ``samples_files/index.js`` has the few numbers of each sample that filters need,
and ``samples_files/0001.js`` and so on have the texts, which the page loads when they are looked at: as scripts, since
a page that was opened from a file may load nothing else.  They hold data alone, ``samplesLoaded(NUMBER, JSON)``, made
visible, and no tag can begin in it.  By the page's content policy no script runs but its own and those that it loads
itself, and no text can become markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Template
from pydantic import Field

from rlready.core.records import SampleRow
from rlready.core.result import Record, Result
from rlready.core.text import visible, with_system
from rlready.models.chat import CLOSE
from rlready.models.one_line import one_line
from rlready.readiness.result import ReadinessResult
from rlready.report.stored_samples import StoredSample, StoredSamples
from rlready.report.token_texts import Piece
from rlready.runs.checkpoint_order import labels
from rlready.runs.files import write_folder, write_text
from rlready.tasks.answers.extract import marked
from rlready.tasks.answers.ownpart import LAST_TOKEN

VIEWER, FILES = "samples.html", "samples_files"
PARTS = ("page.css", "credit.css", "viewer.css", "viewer.js", "viewer.html")
CHUNK = 500_000  # characters of text in a file, about
SAID = 80  # characters of an answer that are shown on its own
# the bits of a sample in the index, in the order in which viewer.js names them
FLAGS = ("correct", "truncated", "extended", "flipped", "informative", "undecided", "run_on", "unanswered", "fault")


class Index(Record):
    """What the page knows of all samples; lists of the samples (N,) hold a value for each.

    ``problem`` and ``condition`` are places in ``problems`` and ``conditions``, ``flags`` the bits of `FLAGS`,
    ``tokens`` the length of the response without delimiters, ``step`` what its first wrong step is, as one plus the
    place in ``steps``, 0 for none; ``first`` (F,) is the first sample in each file of texts.
    ``chosen`` is the checkpoint to start RL from, "" where the run does not choose one.
    ``credit_unit`` is three standard deviations of the credit of tokens, 0 without any.
    """

    verb: str
    task: str
    description: str
    total: int
    unmarked: list[str]
    conditions: list[tuple[str, str]]
    problems: list[str]
    chosen: str
    steps: list[str]
    credit_unit: float
    problem: list[int]
    condition: list[int]
    number: list[int]
    flags: list[int]
    tokens: list[int]
    step: list[int]
    first: list[int] = Field(default_factory=list)


class SampleText(Record):
    """What the page shows of one sample; ``prompt`` and ``answer`` are places in the texts of the file.

    A piece of the ``response`` is ``[text]``, ``[text, null]`` if it was forced, or ``[text, credit]``.  The ``fault``
    is the first wrong step: where it begins and ends in the response, in UTF-16 units, why it is wrong, and whether
    the thought ends there.  ``said``
    is the answer of a wrong response: empty if there is none, None if the response is correct, or long without a mark.
    """

    prompt: int
    answer: int
    response: list[tuple[str] | tuple[str, float | None]]
    finish: str
    thinking_tokens: int
    answer_tokens: int
    reward: float | None
    credit: float | None
    strict: bool | None
    fault: tuple[int, int, str, bool] | None
    said: str | None


class Texts(Record):
    """One file of texts: of samples that follow each other, with what they share once."""

    prompts: list[str]
    answers: list[str]
    samples: list[SampleText]


def write_viewer(folder: Path, result: Result, stored: StoredSamples) -> None:
    """Write the page and its files into the run folder."""
    index = _index(result, stored)

    def fill(target: Path) -> None:
        first = 0
        for number, texts in enumerate(_files(stored.samples), start=1):
            (target / f"{number:04d}.js").write_text(_script(number, texts), encoding="utf-8")
            index.first.append(first)
            first += len(texts.samples)
        (target / "index.js").write_text(_script(0, index), encoding="utf-8")

        for kept in _of_the_user(folder / FILES):
            (shutil.copytree if kept.is_dir() else shutil.copy2)(kept, target / kept.name)

    write_folder(folder / FILES, fill)
    parts = {name: files(__package__).joinpath(name).read_text(encoding="utf-8") for name in PARTS}
    style = "".join(parts[name] for name in PARTS if name.endswith(".css"))
    script = parts["viewer.js"]
    hashes = {"style_hash": _source_hash(style), "script_hash": _source_hash(script)}
    write_text(folder / VIEWER, Template(parts["viewer.html"]).render(style=style, script=script, **hashes))


def _of_the_user(folder: Path) -> list[Path]:
    """What stands in the folder of an earlier page beside its own files."""
    if not folder.is_dir():
        return []
    return [each for each in folder.iterdir() if not re.fullmatch(r"(\d{4,}|index)\.js", each.name)]


def _index(result: Result, stored: StoredSamples) -> Index:
    samples = stored.samples
    conditions = {key: i for i, key in enumerate(dict.fromkeys(s.condition for s in samples))}
    problems = {key: i for i, key in enumerate(dict.fromkeys(s.problem for s in samples))}
    task = getattr(result, "task", None)
    credit = [s.credit for s in samples] + [p.credit for s in samples for p in s.response]
    steps = {kind: i for i, kind in enumerate(stored.kinds_of_wrong_steps, start=1)}
    known = np.array([value for value in credit if value is not None])
    return Index(
        verb=result.verb,
        task=visible(task.source) if task else "",
        description=visible(task.description) if task else "",
        total=stored.total,
        unmarked=[visible(model) for model in stored.unmarked],
        conditions=[(visible(checkpoint), visible(budget)) for checkpoint, budget in conditions],
        problems=[visible(name) for name in problems],
        chosen=visible(_chosen(result)),
        steps=[visible(kind) for kind in steps],
        credit_unit=3 * float(known.std()) if len(known) else 0.0,
        problem=[problems[s.problem] for s in samples],
        condition=[conditions[s.condition] for s in samples],
        number=[s.row["sample_id"] for s in samples],
        flags=[_flags(s) for s in samples],
        tokens=[s.row["thinking_tokens"] + s.row["answer_tokens"] for s in samples],
        step=[steps.get(s.wrong_step, 0) for s in samples],
    )


def _chosen(result: Result) -> str:
    """What the viewer calls the checkpoint that a run of readiness has chosen."""
    if not isinstance(result, ReadinessResult):
        return ""
    short = labels(c.name for c in result.checkpoints)
    return next((short[c.name] for c in result.checkpoints if c.chosen), "")


def _flags(sample: StoredSample) -> int:
    row = sample.row
    truncated, extended = row["truncated"] or row["finish"] == "length", row["num_waits"] > 0
    found = (
        row["correct"],
        truncated,
        extended,
        sample.flipped,
        sample.informative,
        row.get("undecided"),
        row.get("run_on"),
        _said(row) == "",
        sample.has_wrong_step,
    )
    return sum(1 << bit for bit, flag in enumerate(found) if flag)


def _files(samples: Sequence[StoredSample]) -> Iterator[Texts]:
    """The texts of all samples, in files of about `CHUNK` characters."""
    prompts, answers, found, size = dict[str, int](), dict[str, int](), list[SampleText](), 0
    for sample in samples:
        if size > CHUNK:
            yield Texts(prompts=list(prompts), answers=list(answers), samples=found)
            prompts, answers, found, size = {}, {}, [], 0
        row = sample.row
        prompt = visible(with_system(row.get("prompt") or "", row.get("system")))
        answer = visible(row.get("answer") or "")
        size += len(row["text"]) + (len(prompt) if prompt not in prompts else 0)
        found.append(
            SampleText(
                prompt=prompts.setdefault(prompt, len(prompts)),
                answer=answers.setdefault(answer, len(answers)),
                response=[_piece(piece) for piece in sample.response],
                finish=row["finish"],
                thinking_tokens=row["thinking_tokens"],
                answer_tokens=row["answer_tokens"],
                reward=row["reward"],
                credit=sample.credit,
                strict=row.get("strict"),
                fault=_fault(sample),
                said=_said(row),
            )
        )
    yield Texts(prompts=list(prompts), answers=list(answers), samples=found)


def _said(row: SampleRow) -> str | None:
    """Of a wrong response the text after its thought if that is short, otherwise what it marks as its answer."""
    if row["correct"]:
        return None
    if not row["answer_tokens"]:
        return ""
    _, closed, after = row["text"].partition(CLOSE)
    answer = LAST_TOKEN.sub("", after if closed else row["text"]).strip()
    said = answer if len(answer) <= SAID else marked(row["text"])
    return None if said is None else visible(one_line(said, SAID))


def _fault(sample: StoredSample) -> tuple[int, int, str, bool] | None:
    if sample.fault is None:
        return None
    shown = (visible(sample.row["text"][:at]) for at in (sample.fault.begin, sample.fault.end))
    begin, end = (len(text.encode("utf-16-le", "surrogatepass")) // 2 for text in shown)
    return begin, end, visible(sample.fault.reason), sample.fault.open


def _piece(piece: Piece) -> tuple[str] | tuple[str, float | None]:
    text = visible(piece.text)
    if piece.forced:
        return text, None
    return (text,) if piece.credit is None else (text, round(piece.credit, 4))


def _script(number: int, content: Record) -> str:
    """A call with the content, in which no ``<`` can begin a tag."""
    text = content.model_dump_json().replace("<", "\\u003c")
    return f"samplesLoaded({number}, {text});\n"


def _source_hash(source: str) -> str:
    """The source expression of a content policy that lets this one inline script or style through."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() + "'"
