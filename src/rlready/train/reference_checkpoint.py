"""The checkpoint of an SFT run that dense rewards are measured against.

π_ref is the checkpoint after a chosen share of the SFT run's *samples* (half of them in Li et al., arXiv 2510.02493,
eq. 5).  The result of ``rlready sft`` says which checkpoint that is.
"""

from __future__ import annotations

import os
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.result import RESULT
from rlready.runs.content import ADAPTER, CONFIG
from rlready.runs.files import read_json
from rlready.runs.lineage import run_of
from rlready.runs.results import refuse_unfinished
from rlready.train.result import SFTResult


def last_checkpoint(run: Path) -> Path:
    """The last checkpoint of an SFT run; UserError if the folder is not a finished run of ``rlready sft``."""
    refuse_unfinished(run)
    result = _sft_result(run)
    if result is None:
        raise UserError(f"{run}: not the folder of a finished run of rlready sft")
    return run / "checkpoints" / result.checkpoints[-1].name


def find_reference(model: str, share: float) -> Path:
    """The checkpoint after ``share`` of the samples of the SFT run that ``model`` is a checkpoint of.

    The nearest checkpoint is taken if it is at most three steps away, because ``rlready sft`` keeps no second
    checkpoint next to a regular one.  Raises UserError if there is no such run, or no checkpoint there any more.
    """
    folder = run_of(Path(model))
    run = _sft_result(folder) if folder else None
    if folder is None or run is None:
        raise UserError(
            f"{model}: not a checkpoint of a finished run of rlready sft, so no reference can be found; name an "
            "earlier checkpoint of the same training with reference=PATH"
        )
    shown = folder if Path(model).is_absolute() else Path(os.path.relpath(folder))
    nearest = min(run.checkpoints, key=lambda c: abs(c.samples - share))
    if abs(nearest.samples - share) > 3 / run.steps:
        kept = ", ".join(f"{c.samples:.2g}" for c in run.checkpoints)
        raise UserError(
            f"{shown}: no checkpoint was kept within three steps of {share:g} of its samples (kept: {kept}); choose "
            f"another share, or run sft again with keep_at={share:g}"
        )
    found = shown / "checkpoints" / nearest.name
    if not _is_checkpoint(found):
        left = [f"{c.samples:.2g}" for c in run.checkpoints if _is_checkpoint(found.with_name(c.name))]
        raise UserError(
            f"{found}, the reference after {share:g} of the samples, was deleted; choose another share (left: "
            f"{', '.join(left)}), or name a checkpoint with reference=PATH"
        )
    return found


def _is_checkpoint(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIG, ADAPTER))


def _sft_result(run: Path) -> SFTResult | None:
    file = run / RESULT
    return SFTResult.load(file) if file.is_file() and read_json(file).get("verb") == "sft" else None
