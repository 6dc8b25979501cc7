"""What `test_distributed.py` has torchrun start: runs in several processes, some of which end in the middle.

    torchrun --nproc-per-node 2 tests/processes.py PLAN.json

The plan is a list of runs, each with the verb, its settings, and the folder, made from Python one after another.  One
with ``how`` is made by the command line, and process 1 fails in ``step``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from rlready.cli.main import main
from rlready.core.errors import UserError
from rlready.core.verbs import Verb, VerbFunction
from rlready.runs.pace import Pace
from rlready.train.learner import PlainLearner, StepStats


def fail_in(step: int, how: str) -> None:
    """Have process 1 fail in its ``step``-th optimiser step; the state is saved after every step."""
    real, calls = PlainLearner.step, [0]

    def stop(self: PlainLearner, *args: object, **kwargs: object) -> StepStats:
        calls[0] += 1
        if calls[0] == step and os.environ["RANK"] == "1":
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise UserError("the moon is full")
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    PlainLearner.step = stop  # type: ignore[method-assign, assignment]


def run(plan: list[dict[str, object]]) -> int:
    import rlready

    Pace.due = lambda self: True  # type: ignore[method-assign]
    for each in plan:
        settings = dict(each["settings"])  # type: ignore[call-overload]
        if "how" in each:
            fail_in(int(str(each["step"])), str(each["how"]))
            words = [f"{key}={value}" for key, value in settings.items()]
            return main([str(each["verb"]), *words, "--out", str(each["out"])])
        verb: Verb = getattr(rlready, str(each["verb"]))
        assert isinstance(verb, VerbFunction) or each["verb"] == "readiness"
        verb(out=each["out"], **settings)
    return 0


if __name__ == "__main__":
    sys.exit(run(json.loads(Path(sys.argv[1]).read_text())))
