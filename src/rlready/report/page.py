"""The report of a run folder as one HTML page that needs no network.

A section is there if its data are.  All of it is text that others wrote, model output above all: every value
passes ``visible`` and autoescape on its way out, and the page's content policy lets no script run and nothing load from
anywhere.  All samples are in the viewer beside it (`viewer.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby, zip_longest
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.records import Finish
from rlready.core.result import Result
from rlready.core.text import visible
from rlready.evaluate.result import EvaluateResult, Example
from rlready.export.result import ExportResult
from rlready.inject.result import NAMES, BehaviourCount, InjectResult
from rlready.predict.result import PredictResult
from rlready.readiness.result import ReadinessResult
from rlready.report.budget_charts import budget_section, names_of
from rlready.report.checkpoint_charts import influence_section, readiness_section, sft_section
from rlready.report.compare import compare
from rlready.report.demo_result import DemoResult, ModelScores
from rlready.report.doctor_result import DoctorResult
from rlready.report.figures import COUNT, PERCENT, SECONDS, TOKENS
from rlready.report.first_screen import numbers
from rlready.report.folder import RunFolder, kinds, read_folder
from rlready.report.log_charts import rl_charts
from rlready.report.neighbours import neighbours
from rlready.report.overlap_section import overlap_section
from rlready.report.picture import picture
from rlready.report.predict_charts import predict_sections
from rlready.report.section import Column, Section, as_printed, bullets, side_by_side, small, table
from rlready.report.stored_samples import budget_name, stored_samples
from rlready.report.sweep_charts import sweep_sections
from rlready.report.text import environment
from rlready.report.unfinished import UnfinishedResult, read_unfinished, unfinished_sections
from rlready.report.viewer import VIEWER, write_viewer
from rlready.report.wrong_steps import wrong_steps_section
from rlready.runs.files import write_text
from rlready.runs.folders import PAGE, new_folder
from rlready.runs.results import is_finished
from rlready.sweep.result import SweepResult
from rlready.train.result import RLResult, SFTResult

EVERY_STEP = (
    "Every step correct: the answer is correct, and each step of the thought is complete, uses an equation of the "
    "problem and values that are given or solved before it, and calculates correctly. A step about a quantity that the "
    "problem does not have counts as wrong, needed or not."
)
ENDS: dict[Finish, str] = {
    "stop": "by itself",
    "length": "at its limit of tokens",
    "reopened": "when its answer began another thought",
}
VALIDATION = "Validation during RL"
OUTER = ("demo", "sweep")  # verbs whose runs are of several others
WARNING = "Warning"  # begins notes that stand before the decision, where there are several
MOST_EXAMPLES = 6  # wrong samples that are on the page itself


def write(folder: Path, *others: Path) -> Path:
    """Write ``report.html`` and return its path; UserError as `render` and `compare`.

    It goes into the run folder, with a viewer if the run has finished and has samples; the comparison with ``others``
    goes into a new folder, such as ``runs/report``.
    """
    if others:
        result, sections = compare([folder, *others])
        path, text = new_folder("report") / PAGE, _page(RunFolder(result, [], [], [], {}, [], []), sections)
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in (result.headline, *result.notes):
            note(line)
    else:
        path = Path(folder) / PAGE
        if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
            raise UserError(
                f"{path.parent}: its page belongs there, but it cannot be written: copy the folder, and name the copy"
            )
        if not is_finished(path.parent):
            write_text(path, render(path.parent))
            if not is_finished(path.parent):  # by now: a run that ends while this is written draws its own page later
                return path
        run = read_folder(path.parent)
        stored = stored_samples(path.parent, run.result, run.algorithm, run.left_out)
        if stored.samples:
            write_viewer(path.parent, run.result, stored)
        steps = [] if isinstance(run.result, RLResult) else wrong_steps_section(stored, VIEWER)
        text = _page(run, [*_sections(run), *steps], len(stored.samples), neighbours(path.parent))
    write_text(path, text)
    return path


def render(folder: Path) -> str:
    """The page of a run folder as text, without a viewer; UserError if its ``result.json`` cannot be shown."""
    run = read_folder(folder) if is_finished(folder) else read_unfinished(folder)
    return _page(run, list(_sections(run)))


def _page(run: RunFolder, sections: Sequence[Section], viewed: int = 0, linked: Sequence[tuple[str, str]] = ()) -> str:
    """The page, with links to the viewer if that has samples, and to the pages of other runs."""
    result = run.result
    examples = _wrong(run)
    named = names_of(result) if isinstance(result, (DemoResult, EvaluateResult)) else str
    demo = result if isinstance(result, DemoResult) else None
    notes = [*result.notes, *(result.remarks() if isinstance(result, EvaluateResult | RLResult) else [])]
    above = notes if len(notes) < 2 else [line for line in notes if line.startswith(WARNING)]
    return (
        _environment()
        .get_template("page.html")
        .render(
            result=result,
            numbers=numbers(run),
            picture=picture(run),
            sections=sections,
            notes={*(note for s in sections for note in s.notes), *(["hidden"] if examples else [])},
            times=[("time", demo.seconds), *((s.name, s.seconds) for s in demo.stages)] if demo else [],
            rewritten=run.rewritten,
            examples=examples,
            several=len({e.model for e in run.examples}) > 1,
            viewed=viewed,
            neighbours=linked,
            forced=any(not chosen for e in examples for _, chosen in e.pieces),
            response_limits=isinstance(result, EvaluateResult) and result.response_limits,
            named=named,
            ends=ENDS,
            record=run.record,
            part_of=_outer(run),
            left_out=run.left_out,
            above=above,
            below=[line for line in notes if line not in above],
            wrong=_wrong_samples(result) if viewed and examples else "",
        )
    )


def _outer(run: RunFolder) -> str:
    """The verb of a run whose job this is and which does what is next; "" if there is none, and for what others do."""
    verb = run.record.get("part_of")
    waits = isinstance(run.result, UnfinishedResult | ExportResult)
    return verb if isinstance(verb, str) and verb in OUTER and not waits else ""


def _wrong(run: RunFolder) -> list[Example]:
    """A few wrong samples at the largest budget, of each model in turn: first of problems that another model has solved
    there, and of models that solve some."""
    budgets = run.result.budgets if isinstance(run.result, (DemoResult, EvaluateResult)) else []
    there = [e for e in run.examples if budgets and e.budget == budgets[-1].budget] or run.examples
    solved, able = ({getattr(e, name) for e in there if e.correct} for name in ("problem_id", "model"))
    chosen = list[Example]()
    for skilled, beside in ((True, True), (True, False), (False, True), (False, False)):
        of_model = dict[str, list[Example]]()
        for e in there:
            if not e.correct and ((e.model in able), (e.problem_id in solved)) == (skilled, beside):
                of_model.setdefault(e.model, []).append(e)
        chosen += [e for turn in zip_longest(*of_model.values()) for e in turn if e]
    return chosen[:MOST_EXAMPLES]


def _sections(run: RunFolder) -> Iterator[Section]:
    """What the verb's result holds, then the log of RL."""
    match result := run.result:
        case DemoResult():
            yield _stages(result)
            yield budget_section(result)
            yield readiness_section(result, run.sft_log)
            yield from influence_section(result.checkpoints)
        case EvaluateResult():
            yield budget_section(result)
        case SFTResult():
            yield sft_section(result)
        case RLResult():
            yield Section(VALIDATION, [as_printed(each, VALIDATION) for each in result.tables()])
        case ReadinessResult():
            yield readiness_section(result, run.sft_log)
            yield from influence_section(result.checkpoints)
        case PredictResult():
            yield from predict_sections(result)
        case SweepResult():
            yield from sweep_sections(result)
        case InjectResult():
            yield _behaviours(result)
            if result.unfit:
                yield _left_out(result)
        case DoctorResult() | ExportResult():
            yield from (Section(each.title, [as_printed(each, each.title)]) for each in result.tables())
        case UnfinishedResult():
            yield from unfinished_sections(run, result)
    charts = rl_charts(run.rl_log)
    if drawn := side_by_side(charts[1:] if isinstance(run.result, RLResult) else charts):
        yield Section("Reinforcement learning", [drawn])
    yield from overlap_section(run.record)


def _stages(result: DemoResult) -> Section:
    rows = list(zip(result.short.values(), (result.base, result.sft, result.rl), strict=True))
    column = Column[tuple[str, ModelScores]]
    columns = [
        column("model", lambda row: row[0], heads=True),
        column("accuracy", lambda row: row[1].accuracy, PERCENT),
        column("every step correct", lambda row: row[1].strict_accuracy, PERCENT),
        column("accuracy, greedy", lambda row: row[1].greedy_accuracy, PERCENT),
        column("every step correct, greedy", lambda row: row[1].greedy_strict_accuracy, PERCENT),
        column("thinking tokens", lambda row: row[1].thinking_tokens, TOKENS),
    ]
    parts = [table("Base, SFT and RL", [rows], columns), small(EVERY_STEP), bullets(result.recipe, "steps")]
    return Section("Base, SFT and RL", parts if result.recipe else parts[:-1], ["paired"])


def _behaviours(result: InjectResult) -> Section:
    column = Column[tuple[str, BehaviourCount]]
    columns = [
        column("behaviour", lambda row: row[0], heads=True),
        column("times", lambda row: row[1].times),
        column("rows with it", lambda row: row[1].rows),
        column("share of rows", lambda row: row[1].share, PERCENT),
    ]
    rows = [(NAMES[name], count) for name, count in result.behaviours.items()]
    return Section("What was added", [table("What was added", [rows], columns)])


def _left_out(result: InjectResult) -> Section:
    column = Column[tuple[str, int]]
    columns = [column("reason", lambda row: row[0], heads=True), column("rows", lambda row: row[1], COUNT)]
    return Section("Rows left out", [table("Rows left out", [[*result.unfit.items()]], columns)])


@cache
def _environment() -> Environment:
    made = environment(__package__)
    made.filters.update(duration=SECONDS.show, compact=_compact, spans=_spans, kinds=kinds)
    made.filters.update(length_of=_length_of, link=_link)
    return made


def _spans(example: Example) -> list[tuple[str, bool]]:
    """A response as spans of text that were all chosen by the model or all forced by the decoder."""
    return [("".join(t for t, _ in span), bool(chosen)) for chosen, span in groupby(example.pieces, key=lambda p: p[1])]


def _length_of(example: Example, response_limits: bool) -> str:
    """``30 of 96 thinking tokens``; tokens of the response where there is no thought to limit."""
    response = response_limits or (example.budget is None and not example.thinking_tokens)
    tokens, kind = (len(example.pieces), "response") if response else (example.thinking_tokens, "thinking")
    return f"{tokens}{'' if example.budget is None else f' of {example.budget}'} {kind} tokens"


def _link(example: Example, name: str) -> str:
    """The address of an example, of a model of this name, in the viewer."""
    budget = "unconstrained" if example.budget is None else str(example.budget)
    values = {"problem": example.problem_id, "checkpoint": name, "budget": budget_name(budget)}
    return f"{VIEWER}#{urlencode({**{key: visible(value) for key, value in values.items()}, 'sample': 0})}"


def _wrong_samples(result: Result) -> str:
    """The address of the wrong samples of the best model at the largest budget."""
    match result:
        case DemoResult():
            name, largest = result.short["rl"], result.budgets[-1].budget
        case EvaluateResult():
            model = result.closest.best if result.closest else result.models[-1]
            name, largest = names_of(result)(model), result.budgets[-1].budget
        case _:
            return ""
    budget = budget_name("unconstrained" if largest is None else str(largest))
    values = {"outcome": "wrong", "checkpoint": visible(name), "budget": visible(budget)}
    return f"{VIEWER}#{urlencode(values)}"


def _compact(value: object) -> str:
    """A part of the record: an object of plain values as lines, anything deeper as JSON."""
    if isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values()):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
