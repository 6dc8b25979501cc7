"""``rlready show``: what run folders hold, on a terminal: a line for each run, then the tables of every run.

With ``--diff``: rows of a run of ``inject``, before and after.  With ``--credit``: the dense reward of every
token of a text or of samples.  With ``--template``: how a checkpoint's chat template is interpreted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlready.cli.show_result import (
    CreditShown,
    PlantedErrors,
    RowsShown,
    RunsShown,
    RunStatus,
    ShowResult,
    TemplateExample,
    TemplateShown,
    TokenCredit,
)
from rlready.core.config import CreditConfig
from rlready.core.errors import UserError
from rlready.core.missing import did_you_mean
from rlready.core.records import Row
from rlready.core.result import RESULT, with_warning
from rlready.core.terminal import has_colour
from rlready.core.text import visible
from rlready.inject.diff import row_pairs
from rlready.runs import lock
from rlready.runs.folders import status_of
from rlready.runs.record import BY_HAND, DONE, RECORD, RunRecord, is_edited
from rlready.runs.results import load_result, own_command, way_back

if TYPE_CHECKING:
    from rlready.credit.probe import Probe


def show_runs(paths: Sequence[Path], *, diff: Sequence[str] | None = None) -> ShowResult:
    """Status, time, headline and tables of every run; a run whose process has ended counts as killed, not as running.

    With ``diff``, which are ids of rows of a single run of ``inject``: instead these rows before and after; without an
    id the first row that was changed.

    A path that is not a run gets a line that says so, as ``runs/*`` may contain such paths; UserError if none is a run,
    and for a path that does not exist.
    """
    if diff is not None:
        pairs = row_pairs(paths[0], diff)
        return RowsShown(headline=f"{len(pairs)} row{'s' * (len(pairs) > 1)} before and after.", rows=pairs)
    runs = [_status(path) for path in {path.resolve(): path for path in reversed(paths)}.values()][::-1]
    if all(run.record is None for run in runs):
        what = "" if runs[0].status == "not there" else "not a run folder, "
        raise UserError(f"{paths[0]}: {what}{runs[0].message}")
    counts = Counter(re.split("[;:]", run.status)[0] for run in runs)
    found = ", ".join(f"{n} {status}" for status, n in counts.items())
    ended = [
        (run.folder, run.record) for run in runs if run.record and run.status.startswith(("killed", "interrupted"))
    ]
    stopped = (own_command(Path(folder), record) for folder, record in ended)
    return RunsShown(
        headline=f"{len(runs)} folder{'s' * (len(runs) > 1)}: {found}.",
        next_command=next(filter(None, stopped), ""),
        runs=runs,
    )


def _status(path: Path) -> RunStatus:
    if not path.exists():
        missing = f"no such folder{did_you_mean(str(path))}"
        return RunStatus(folder=str(path), verb="–", status="not there", message=missing)
    if not (path / RECORD).is_file():
        return RunStatus(folder=str(path), verb="–", status="not a run", message=f"{RECORD} is missing")
    try:
        record = RunRecord.load(path)
    except UserError as error:
        return RunStatus(folder=str(path), verb="–", status="not a run", message=str(error))
    result, message = None, ""
    if (path / RESULT).exists():
        try:
            found = load_result(path)
            found.tables()
            found = with_warning(found, BY_HAND) if is_edited(path) else found
            result, message = found, found.headline
        except UserError as error:
            message = str(error)
        except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            message = f"{path / RESULT}: not as rlready writes it ({type(error).__name__})"
    elif record.status == DONE:
        message = f"{RESULT} is missing; {way_back(path, path / RESULT)}"
    ended = not lock.is_locked(path)
    if ended and record.status != DONE and (command := own_command(path, record)):
        message = f"to continue: {command}"
    return RunStatus(
        folder=str(path),
        verb=record.verb,
        status=status_of(path, record),
        seconds=record.seconds,
        message=message,
        record=record,
        result=result,
    )


def show_credit(run: Path, inputs: Sequence[str], config: CreditConfig, out: Path | None = None) -> CreditShown:
    """r̂ of every token of texts and samples, by the last checkpoint of an SFT run; see ``credit/token_credit.py``.

    With ``config.probe`` also of worked rows with one number changed, and how well r̂ finds that number; see
    ``credit/probe.py``.  With ``out`` also as a page, ``credit.html``.  UserError for a folder that is not a finished
    SFT run, for a missing reference, and for an argument that is neither a text nor a table of samples.
    """
    from rlready.credit import reference, token_credit
    from rlready.credit.probe import planted_error
    from rlready.report import credit
    from rlready.train.reference_checkpoint import find_reference, last_checkpoint

    model = last_checkpoint(run)
    against = config.reference or str(find_reference(str(model), config.reference_at))
    frozen = reference.load_pair(str(model), against)
    responses = token_credit.credit_of_inputs(frozen, inputs) if inputs else []
    probe = planted_error(frozen, _right_rows(config.probe), seed=config.seed) if config.probe else None
    responses += token_credit.credit_of_copies(frozen, probe) if probe else []
    against = frozen.reference.source if frozen.reference else "nothing"
    about = f"Reward of a token: its log-probability under {model} minus that under {against}, in nats."
    return CreditShown(
        headline=about,
        text=credit.terminal(responses, colour=has_colour()),
        responses=[
            TokenCredit(name=r.name, prompt=r.prompt, pieces=list(r.pieces), dense=r.dense.tolist(), sum=r.total)
            for r in responses
        ],
        probe=_planted(probe) if probe else None,
        page=str(credit.write_page(responses, about, out)) if out else None,
    )


def _planted(probe: Probe) -> PlantedErrors:
    return PlantedErrors(
        solutions=len(probe.copies),
        auc=probe.auc,
        top=probe.top,
        ranked=probe.ranked,
        auc_sft=probe.auc_sft,
        ranked_sft=probe.ranked_sft,
    )


def show_template(
    checkpoint: str, *, apply_chat_template: bool = True, delimiters: Sequence[str] = ()
) -> TemplateShown:
    """How a checkpoint's chat template is interpreted: a table, and a worked row as tokens; no weights are loaded.

    The tokens in the loss are coloured on a terminal; ``example`` has them as text.  UserError as for
    `checkpoint.load`.
    """
    from rlready.models.checkpoint import load_without_weights

    lm = load_without_weights(checkpoint, apply_chat_template=apply_chat_template, delimiters=delimiters)
    thought = "6 times 7 is 42." if lm.thinks else None
    prompt, response = lm.worked_ids(Row("example", "What is 6 times 7?", "#### 42", thought), think=lm.thinks)
    drawn = lm.prompt_ids("What is 6 times 7?", think=lm.thinks)
    example = TemplateExample(prompt=lm.pieces(prompt), in_loss=lm.pieces(response), sampled_after=lm.decode(drawn))
    colour = ("\x1b[7m", "\x1b[0m") if has_colour() else ("", "")
    tokens = "|".join(visible(piece).replace("\n", "\\n") for piece in example.in_loss)
    text = (
        f"A worked row; its {len(prompt)} prompt tokens are not in the loss:\n{visible(lm.decode(prompt))}\n\n"
        f"its {len(response)} response tokens are:\n{colour[0]}{tokens}{colour[1]}\n\n"
        f"A response is sampled after:\n{visible(example.sampled_after)}"
    )
    template = lm.chat.describe() | {"stops": [*lm.stop_texts]}
    return TemplateShown(headline=f"{lm.chat}.", text=text, checkpoint=checkpoint, template=template, example=example)


def _right_rows(source: str) -> list[Row]:
    """The worked rows of a source whose answer is correct; UserError if there are none."""
    from rlready.tasks import open_task, verify_all

    task = open_task(source)
    rows = task.rows()
    asked = [(p, (r.thinking or "", r.response)) for p, r in zip(task.problems(), rows, strict=True)]
    right = [row for row, verdict in zip(rows, verify_all(task, asked), strict=True) if verdict.correct]
    if not right:
        raise UserError(f"{source}: no row has a correct answer, so there is no solution to plant an error in")
    return right
