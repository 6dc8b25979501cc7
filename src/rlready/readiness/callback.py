"""Readiness of every checkpoint that a Hugging Face trainer saves, measured while it trains."""

from __future__ import annotations

import json
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

import rlready
from rlready.core.config import ReadinessConfig
from rlready.core.distributed import working_alone
from rlready.core.errors import UserError
from rlready.core.messages import warn
from rlready.runs.invocation import Invocation, invocation
from rlready.runs.record import RECORD
from rlready.runs.results import is_finished
from rlready.tasks import open_task


class ReadinessCallback(TrainerCallback):
    """Measures each checkpoint that a ``transformers.Trainer``, such as TRL's, has saved: OUTPUT_DIR/readiness/step-N.

    The settings are those of `ReadinessConfig`, but for ``checkpoints``.  Each folder is a run folder, and ``rlready
    predict OUTPUT_DIR/readiness/*`` ranks them.  Training that is resumed replaces those of the steps that it repeats.
    It begins with the checkpoint that it starts from if measuring that one was broken off.

    The process of rank 0 measures, on its device, and the others wait in their next exchange, for ``ddp_timeout``
    seconds at most.  Training goes on with the random numbers that it would have had.  It also goes on if the
    measurement fails, which is printed: the checkpoint is there, and can be measured later.

    Raises UserError for settings, problems and rows that cannot be used, when it is made, and before the first step
    if OUTPUT_DIR/readiness has measurements of another training.  A second callback of one trainer measures nothing.
    """

    def __init__(self, problems: str | PathLike[str], **settings: Any) -> None:
        if problems is None:  # a variable that a script has not set
            raise UserError("ReadinessCallback needs problems to measure, such as problems.jsonl")
        if "checkpoints" in settings:
            raise UserError("ReadinessCallback measures what the trainer saves: leave out checkpoints")
        self.config = ReadinessConfig(problems=problems, **settings)  # type: ignore[arg-type]  # a path becomes text
        open_task(self.config.problems).problems()
        if self.config.heldout:
            open_task(self.config.heldout).rows()
        self._seen: dict[Path, int] = {}  # when the records there were written, as far as this callback knows

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = _folder(args) / "readiness"
        self._seen = {record: record.stat().st_mtime_ns for record in folder.glob(f"*/{RECORD}")}
        if state.global_step:
            _refuse_other_training(args, state)
            with suppress(UserError):  # there is no measurement
                if is_finished(_measured(args, state)):
                    return
            if _checkpoint(args, state).is_dir():
                self.on_save(args, state, control)
        elif folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder} holds measurements of an earlier training, with which those of this one would mix: move "
                "it, or choose another output_dir; training that is resumed goes on there"
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        checkpoint = _checkpoint(args, state)
        record = _measured(args, state) / RECORD
        try:
            if record.exists() and record.stat().st_mtime_ns != self._seen.get(record):
                raise UserError(f"{record.parent} was written by another ReadinessCallback: use one alone")
            try:
                with working_alone(), _random_state_kept(), _overwriting():
                    rlready.readiness(self.config, checkpoints=[checkpoint], out=record.parent)
            finally:
                self._seen |= {file: file.stat().st_mtime_ns for file in [record] if file.exists()}
        except Exception as error:  # of any kind: hours of training are worth more than a measurement
            known = isinstance(error, UserError)
            reason = str(error) if known else f"{type(error).__name__}, whose traceback is above"
            if not known:
                traceback.print_exc()
            warn(f"readiness of {checkpoint} was not measured, and training goes on: {reason}")


def _refuse_other_training(args: TrainingArguments, state: TrainerState) -> None:
    """UserError if the checkpoint of the step that is resumed from has the log of another training."""
    file = _checkpoint(args, state) / TRAINER_STATE_NAME
    if file.is_file() and any((_folder(args) / "readiness").glob(f"*/{RECORD}")):
        with suppress(ValueError, TypeError):  # a file that is none
            here = TrainerState.load_from_json(str(file)).log_history
            if json.dumps(here) != json.dumps(state.log_history):
                raise UserError(
                    f"{file.parent} is of another training than the one that is resumed, whose measurements would mix "
                    "with those in readiness: choose another output_dir"
                )


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return _folder(args) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def _measured(args: TrainingArguments, state: TrainerState) -> Path:
    return _folder(args) / "readiness" / f"step-{state.global_step}"


def _folder(args: TrainingArguments) -> Path:
    assert args.output_dir is not None  # the arguments have set it
    return Path(args.output_dir)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """The generators of Python, numpy and torch are afterwards as they were."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _overwriting() -> Iterator[None]:
    token = invocation.set(Invocation(overwrite=True))
    try:
        yield
    finally:
        invocation.reset(token)
