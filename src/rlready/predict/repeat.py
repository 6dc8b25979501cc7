"""An earlier run of RL repeated from another checkpoint, so that the two outcomes can be compared."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from rlready.predict.outcome import Outcome
from rlready.runs.record import CONFIG, RECORD, RunRecord
from rlready.train.result import RLResult


def repeated(outcomes: Iterable[Outcome], model: str) -> tuple[str, str]:
    """The command and what it does, in words; both "" where nothing is known of the earlier runs.

    Runs that differ in more than model and seed are of two families (`outcomes.py`): all other settings stay.  Where
    another trainer has run there is no command.
    """
    elsewhere = False
    for outcome in outcomes:
        verbs = {RunRecord.load(run).verb: run for run in outcome.runs if (run / RECORD).is_file()}
        if (trained := verbs.get("rl")) and (trained / CONFIG).is_file():
            command = shlex.join(["rlready", "rl", "--config", str(trained / CONFIG), f"model={model}"])
            said = f"The same problems and settings as {trained}, so that the outcomes can be compared."
            evaluated = verbs.get("evaluate")
            then = f" Then evaluate the checkpoint that it chooses as in {evaluated}." if evaluated else ""
            return command, said + then
        if (exported := verbs.get("export")) and (waiting := _exported(exported, model)):
            return "", f"It is exported to {waiting}: train that, and run the command of the sweep again."
        elsewhere |= bool(exported or outcome.curve)
    same = "Use the trainer and the settings of the earlier runs: outcomes of others cannot be compared."
    return "", same if elsewhere else ""


def evaluation_of(left_out: Outcome, evaluation: Path) -> tuple[str, str]:
    """That what a run of RL has chosen is to be evaluated as others were in ``evaluation``, in words, and the command,
    "" if that checkpoint is gone."""
    run = left_out.runs[0]
    said = (
        f"Evaluate what {run} has chosen as in {evaluation}: RL has been run from {left_out.checkpoint}, but without "
        "that its outcome cannot be compared with the others."
    )
    best = RunRecord.load(run).located(run, RLResult.load(run).best.path)
    if not (best.exists() and (evaluation / CONFIG).is_file()):
        return said, ""
    return said, shlex.join(["rlready", "evaluate", os.path.relpath(best), "--config", str(evaluation / CONFIG)])


def _exported(earlier: Path, model: str) -> Path | None:
    """The export of a model beside an earlier export, as a sweep has them."""
    for folder in sorted(earlier.parent.iterdir()):
        record = RunRecord.load(folder) if (folder / RECORD).is_file() else None
        starts = (
            [each.id for each in record.models if each.role == "start"] if record and record.verb == "export" else []
        )
        if os.path.realpath(model) in map(os.path.realpath, starts):
            return folder
    return None
