"""Whether every SFT run will keep the checkpoints that a sweep needs: this is known before any job has run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from rlready.core.config import SFTConfig
from rlready.core.config.format import format_of
from rlready.core.errors import UserError
from rlready.core.presets import own_data, preset
from rlready.sweep.jobs import Job


def refuse_too_few_steps(jobs: Sequence[Job], done: Collection[str]) -> None:
    """UserError for a job whose checkpoint would not be the one that is meant, as its SFT run has too few steps.

    Rows and models that cannot be read are left to the job that trains on them.
    """
    deepest: dict[str, Job] = {}  # by the SFT job, the one that needs its earliest checkpoint
    for job in jobs:
        if job.place < -1 and job.place < (deepest[job.start].place if job.start in deepest else 0):
            deepest[job.start] = job
    for job in jobs:
        if job.key in deepest and job.key not in done and isinstance(job.config, SFTConfig):
            kept = None
            with suppress(UserError):
                kept = _kept(job.config)
            if kept is not None:
                deepest[job.key].refuse_missing(kept)


def _kept(config: SFTConfig) -> int | None:
    """How many checkpoints a run would keep, without references; None: surely as many as it should.

    There are enough steps if there is more than one step between two checkpoints, which the first rows may show.
    """
    from rlready.models.checkpoint import load_without_weights  # imports torch, which planning alone does not need
    from rlready.models.lm import with_thought
    from rlready.models.preset import model_traits
    from rlready.tasks import open_task
    from rlready.tasks.overlap import split_off
    from rlready.train.sft import planned

    chosen = preset("sft", model_traits(config.model, **format_of(config)), "cpu")
    left = ("tokens_per_batch",) if own_data(config) else ("rows", "heldout", "tokens_per_batch")
    config = config.replace(**{key: chosen[key] for key in left if not getattr(config, key)})
    rows = open_task(str(config.rows)).rows()
    if not config.heldout:
        rows = split_off(rows, str(config.rows), "heldout")[0]
    lm = load_without_weights(config.model, **format_of(config))
    think = any(row.thinking is not None for row in rows)
    lm = with_thought(lm) if think else lm
    lengths, tokens, limit = list[int](), 0, config.tokens_per_batch or 0
    shortest = min(config.save_every, config.epochs % config.save_every or config.save_every)  # epochs between two
    for row in rows:
        lengths.append(sum(map(len, lm.worked_ids(row, think=think))))
        tokens += min(lengths[-1], limit)
        if tokens * shortest > limit:
            return None
    return len(planned(lengths, config).saves)
