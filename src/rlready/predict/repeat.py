"""An earlier run of RL repeated from another checkpoint, so that the two outcomes can be compared."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from rlready.predict.outcome import Outcome
from rlready.runs.record import CONFIG, RECORD, RunRecord


def repeated(outcomes: Iterable[Outcome], model: str) -> tuple[str, str]:
    """The command and what it does, in words; both "" where no folder of a run of RL is at hand.

    Runs that differ in more than model and seed are of two families (`outcomes.py`): all other settings stay.
    """
    for runs in (outcome.runs for outcome in outcomes):
        verbs = {RunRecord.load(run).verb: run for run in runs if (run / RECORD).is_file()}
        if (trained := verbs.get("rl")) and (trained / CONFIG).is_file():
            command = shlex.join(["rlready", "rl", "--config", str(trained / CONFIG), f"model={model}"])
            said = f"The same problems and settings as {trained}, so that the outcomes can be compared."
            evaluated = verbs.get("evaluate")
            then = f" Then evaluate the checkpoint that it chooses as in {evaluated}." if evaluated else ""
            return command, said + then
    return "", ""
