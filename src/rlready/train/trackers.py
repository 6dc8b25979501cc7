"""Trackers beside ``log.jsonl``: trackio, Weights & Biases and TensorBoard.

The environment variable ``RLREADY_REPORT_TO`` names those that SFT and RL report to, as ``wandb,tensorboard``.  They
get the numbers of ``log.jsonl``, under the names of TRL 1.16 where it logs the same.  Each writes where its users look:
Weights & Biases to ``wandb`` and TensorBoard to ``tensorboard`` in the working directory (``WANDB_DIR`` and
``TENSORBOARD_LOGGING_DIR`` name others), trackio to its cache.  Nothing is sent over the network, unless
``WANDB_MODE=online`` or a setting of trackio's asks for it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rlready.core.distributed import rank
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import unrecorded, warn
from rlready.core.text import in_one_line
from rlready.runs.files import plain
from rlready.runs.log import LOG, append_line
from rlready.runs.run import Run
from rlready.train.log import EvaluationLog, HeldoutLog, RLStepLog, SFTStepLog, log_line

REPORT_TO = "RLREADY_REPORT_TO"
PROJECT = "rlready"
TRL_NAMES = {
    "clip_ratio": "clip_ratio/region_mean",
    "heldout_loss": "eval_loss",
    "mismatch": "sampling/sampling_logp_difference/mean",
    "mismatch_max": "sampling/sampling_logp_difference/max",
    "seconds": "step_time",
}
Line = SFTStepLog | HeldoutLog | RLStepLog | EvaluationLog


class Tracker(Protocol):
    """What a tracker is asked to do.  ``values`` are finite numbers by name."""

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


def named_trackers() -> list[str]:
    """The trackers that the environment names; UserError for one that is unknown."""
    names = dict.fromkeys(filter(None, map(str.strip, os.environ.get(REPORT_TO, "").split(","))))
    if unknown := [name for name in names if name not in (*TRACKERS, "none")]:
        raise UserError(f"{REPORT_TO}={unknown[0]}: no such tracker; {nearest(unknown[0], TRACKERS)}")
    return [name for name in names if name != "none"]


class StepLog:
    """The log of a run: a file, and the trackers that the environment names.

    UserError for one that is unknown or not installed.  One that fails later is left out with a warning.
    """

    def __init__(self, run: Run, begun: int) -> None:
        """``begun``: the steps that earlier attempts have done."""
        self.path = run.out / LOG
        names = named_trackers()
        self._trackers: dict[str, Tracker] = {}
        for name in names if rank() == 0 else ():
            try:
                with redirect_stdout(sys.stderr):  # standard output is for the result
                    self._trackers[name] = TRACKERS[name](run, begun)
            except ImportError:
                self.close()
                raise UserError(f"{REPORT_TO}={name}: not installed; pip install 'rlready[{name}]'") from None
            except Exception as error:  # of the tracker's own kinds, as where it needs a key
                self.close()
                raise UserError(f"{REPORT_TO}={name}: cannot be started: {in_one_line(str(error))[:300]}") from None

    def close(self) -> None:
        """Close the trackers."""
        for name in list(self._trackers):
            self._ask(name, lambda tracker: tracker.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def write(self, line: Line) -> None:
        """Append a line to the file and report its numbers."""
        flat = log_line(line)
        append_line(self.path, flat)
        values = reported(flat)
        for name in list(self._trackers):
            self._ask(name, lambda tracker: tracker.log(values, line.step))

    def _ask(self, name: str, work: Callable[[Tracker], None]) -> None:
        try:
            with redirect_stdout(sys.stderr):
                work(self._trackers[name])
        except Exception as error:  # a run does not end because a tracker does
            del self._trackers[name]
            with unrecorded():
                warn(f"{name} gets no more of this run, whose log.jsonl has all: {type(error).__name__}: {error}")


def reported(line: Mapping[str, object]) -> dict[str, float]:
    """The finite numbers of a line of the log but its step, by TRL's names where it logs the same."""
    values = {
        TRL_NAMES.get(name, name): float(value)
        for name, value in line.items()
        if name != "step" and isinstance(value, int | float) and isfinite(value)
    }
    kinds = [line.get(f"groups_{kind}") for kind in ("informative", "solved", "unsolved", "equal")]
    counts = [count for count in kinds if isinstance(count, int)]
    if sum(counts):
        values["frac_reward_zero_std"] = 1 - counts[0] / sum(counts)
    return values


def run_name(out: Path) -> str:
    """The path of a run below the working directory; of one elsewhere its name, with a digest of its path."""
    name, place = os.path.relpath(out), out.resolve()
    if not name.startswith(os.pardir) and name != os.curdir:
        return name
    return f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:6]}"


class _Trackio:
    def __init__(self, run: Run, begun: int) -> None:
        import trackio

        self._trackio = trackio  # whose current run is this one
        trackio.init(PROJECT, str(run.out), config=plain(run.config), resume="allow", embed=False)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(values), step)

    def close(self) -> None:
        self._trackio.finish()


class _Wandb:
    def __init__(self, run: Run, begun: int) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run_name(run.out),
            id=hashlib.sha256(f"{run.record.start} {run.out.resolve()}".encode()).hexdigest()[:16],  # of all attempts
            resume="allow",
            config=plain(run.config),
            mode=mode,
            settings=wandb.Settings(silent=True),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step)

    def close(self) -> None:
        self._run.finish()


class _TensorBoard:
    """TensorBoard writes in a thread of its own, whose failure is raised with the next line."""

    def __init__(self, run: Run, begun: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = Path(os.environ.get("TENSORBOARD_LOGGING_DIR", "tensorboard")) / run_name(run.out)
        self._failure: BaseException | None = None
        self._others, threading.excepthook = threading.excepthook, self._failed
        try:
            self._writer = SummaryWriter(str(folder), purge_step=begun + 1)
        except BaseException:
            threading.excepthook = self._others
            raise

    def _failed(self, failure: threading.ExceptHookArgs) -> None:
        if type(failure.thread).__module__.startswith("tensorboard"):
            self._failure = failure.exc_value
        else:
            self._others(failure)

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self._failure:
            self.close()
            raise self._failure
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        try:
            self._writer.close()
        finally:
            threading.excepthook = self._others


TRACKERS: dict[str, type[_Trackio] | type[_Wandb] | type[_TensorBoard]] = {
    "tensorboard": _TensorBoard,
    "trackio": _Trackio,
    "wandb": _Wandb,
}
