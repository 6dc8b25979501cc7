"""Checkpoints of a run, and the state from which it continues exactly where it was.

The state is one folder (the weights that are trained, optimiser, the run's counters) that is replaced atomically, at a
pace that costs about 3 % of the time and when RL is stopped while it samples, and removed when the run is done.  Its
checksums are in the run's record; the log is on the disk before it, and has a checksum in it.  Everything else follows
from the configuration and the step, so a run that was killed and started again ends with the same bits.

Of several processes (torchrun) rank 0 writes the whole state, and all read it when the run continues.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel

from rlready.core.distributed import from_rank0, gathered, wait_for_all, world_size
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.models.checkpoint import save
from rlready.models.checksums import verify_checksums
from rlready.models.fsdp import is_sharded, load_whole_state, whole_state, whole_weights
from rlready.runs.checksums import CHECKSUMS
from rlready.runs.files import discard, write_folder
from rlready.runs.log import LOG, log_digest, sync_log, truncate_log
from rlready.runs.pace import Pace
from rlready.runs.run import STATE, Run
from rlready.train.learner import Learner

OF_THE_MACHINE = (MemoryError, OSError, torch.OutOfMemoryError)
LOG_DIGEST = "log.sha256"  # in the state: the checksum of the log at that step
COPIES = 3  # of the weights in a state: themselves, and the two moments of AdamW
S = TypeVar("S", bound=BaseModel)


class Checkpointer:
    """Checkpoints and resumable state of one run folder."""

    def __init__(self, run: Run, learner: Learner) -> None:
        self.run, self.out, self.learner = run, run.out, learner
        self._frozen = {n for n, p in self._model.named_parameters(remove_duplicate=False) if not p.requires_grad}
        self._pace = Pace(
            COPIES * sum(p.numel() * p.element_size() for p in self._model.parameters() if p.requires_grad)
        )

    @property
    def _model(self) -> torch.nn.Module:
        return self.learner.lm.model

    def _trained(self) -> dict[str, torch.Tensor]:
        """The weights that change: all, or those of an adapter, whose base is read again."""
        return {name: weight for name, weight in self._model.state_dict().items() if name not in self._frozen}

    @property
    def folder(self) -> Path:
        return self.out / STATE

    def restore(self, fresh: S) -> S:
        """Load weights and optimiser and return the saved state; return ``fresh`` if nothing was saved.

        UserError for a state that is damaged or not of this run, and for a checkpoint of which a file besides the
        weights is missing or damaged.
        """
        there = gathered(os.path.lexists(self.folder))
        if not all(there):
            if any(there):
                raise UserError(f"{self.out} has to be on a disk that all processes share, to continue from its state")
            return fresh
        advice = f"delete {self.folder} to begin the run again"
        self.run.refuse_changed(self.folder, advice)
        for checkpoint in sorted((self.out / "checkpoints").glob("step-*")):  # not in half a copy
            verify_checksums(checkpoint, weights=False)
        try:
            sharded = is_sharded(self._model)
            place = "cpu" if sharded else self.learner.device
            saved = torch.load(self.folder / "tensors.pt", weights_only=True, map_location=place, mmap=sharded)
            if saved["model"].keys() != self._trained().keys():
                raise ValueError("other weights")
            load_whole_state(self._model, self.learner.optimizer, saved)
            return type(fresh).model_validate_json((self.folder / "facts.json").read_bytes())
        except Exception as error:  # any: a state without checksums may be anything
            if isinstance(error, OF_THE_MACHINE) and not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise  # says nothing of the state, which must not be deleted
            raise UserError(f"{self.folder}: not the state of this run ({type(error).__name__}): {advice}") from error

    def restore_log(self, last_step: int, pending: str = "") -> None:
        """`truncate_log` to the step that was restored; UserError if the log was edited since its state was saved."""
        digest = self.folder / LOG_DIGEST
        truncate_log(self.out / LOG, last_step, pending, digest.read_text() if digest.exists() else None)

    def save_state(self, state: BaseModel) -> None:
        """Save the state if it is time to."""
        if from_rank0(self._pace.due):
            self._save(state)

    def save_stopped(self, state: BaseModel, step: int, pending: str) -> None:
        """Save the state of a run that is being stopped before its next step has changed anything but the log.

        Not that of several processes, which are stopped at different places.
        """
        if world_size() > 1:
            return
        note(f"saving the state of step {step}, so that no step is lost; Ctrl-C again ends at once")
        truncate_log(self.out / LOG, step, pending)
        self._save(state)

    def _save(self, state: BaseModel) -> None:
        tensors = {
            "model": whole_state(self._trained()),
            "optimizer": whole_state(self.learner.optimizer.state_dict()),
        }

        def fill(folder: Path) -> None:
            with (folder / "tensors.pt").open("wb") as file:  # of a path, torch does not say why it cannot be written
                torch.save(tensors, file)
            (folder / "facts.json").write_text(state.model_dump_json())
            (folder / LOG_DIGEST).write_text(log_digest(self.out / LOG))

        with self._pace.saving(), self.run.writing(self.folder):
            sync_log(self.out / LOG)  # which a power cut must not leave behind the state
            write_folder(self.folder, fill)

    def delete(self, steps: Sequence[int]) -> None:
        """Delete the checkpoints of these steps, if they are there."""
        for step in steps:
            self.run.forget(self._checkpoint(step))
            discard(self._checkpoint(step))

    def _checkpoint(self, step: int) -> Path:
        return self.out / "checkpoints" / f"step-{step}"

    def save_checkpoint(self, step: int, card: str) -> Path:
        """Write the current weights as a Hugging Face folder in fp32, or an adapter alone, and return its path.

        The weights are fp32 whatever ``dtype`` is, so that the next stage continues without a rounding error; loading
        the folder in bfloat16 gives the weights that were used for sampling.
        """
        path, weights = self._checkpoint(step), whole_weights(self._model)
        with self.run.writing(path / CHECKSUMS):  # which has those of the other files
            write_folder(path, lambda folder: save(self.learner.lm, folder, card, weights))
        wait_for_all()
        return path
