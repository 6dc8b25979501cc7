"""The result from the parts of all checkpoints: their figures, differences along SFT runs, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rlready.core.config import ReadinessConfig
from rlready.core.records import Estimate
from rlready.core.result import TaskRecord
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.adaptive_sampling import Counts
from rlready.readiness.group_signal import histogram, informative_share, mean_group_signal, mean_variance
from rlready.readiness.next_step import next_action, separation
from rlready.readiness.overfitting import along_runs
from rlready.readiness.part import Part
from rlready.readiness.passk import powers
from rlready.readiness.ranking import gap_of_shares, large, rank
from rlready.readiness.ranking_words import drops, headline, no_onset, ranked_checkpoint, rule
from rlready.readiness.result import CheckpointReadiness, RankedCheckpoint, ReadinessResult
from rlready.runs.checkpoint_order import runs_of


def compare(
    config: ReadinessConfig, parts: Sequence[Part], task: TaskRecord, chance_level: Mapping[str, float]
) -> ReadinessResult:
    """The result of checkpoints that were measured on the same problems, in the order of training."""
    names, counts = [part.name for part in parts], [part.sampled.counts.counts for part in parts]
    strayed = {part.name for part in parts if part.strayed}
    runs = {name: None if name in strayed else run for name, run in runs_of(names).items()}
    losses = [part.heldout.heldout if part.heldout else None for part in parts]
    k = large(config.samples)
    group_size = min(config.group_size, config.samples)
    first = min(config.samples, *(int(c.head[0].min()) for c in counts))  # samples of every problem, whatever comes
    informative_size = min(group_size, first)
    pass_CPK = np.array([c.pass_at_k([1, k]) for c in counts])
    skill_CP, pass_1_CP = (np.ascontiguousarray(pass_CPK[:, :, i]) for i in (1, 0))
    fewest = min(c.cap for c in counts)
    ranking = rank(
        names,
        f"pass@{k}",
        skill_CP.mean(1),
        gap_of_shares(skill_CP, step=k / fewest),
        pass_1_CP=pass_1_CP,
        pass_1_step=1 / fewest,
        overfitting=along_runs(names, losses, list(pass_1_CP), runs),
        runs=runs,
    )
    ks = sorted({*powers(config.samples), group_size})
    changes = _changes(names, losses, runs)
    truncated = min(each.value if each else 0.0 for each in (part.sampled.stats.truncated for part in parts))
    places = [ranked_checkpoint(ranking, i, part.name) for i, part in enumerate(parts)]
    return ReadinessResult(
        headline=headline(ranking),
        notes=_smaller_groups(informative_size, config, fewest),
        next_action=next_action(ranking, truncated),
        seed=config.seed,
        task=task,
        chance_level=dict(chance_level),
        group_size=group_size,
        informative_group_size=informative_size,
        ranked_by=ranking.by,
        rule=rule(ranking),
        reasons=[*drops(ranking), *no_onset(ranking), *separation(ranking)],
        chosen=names[ranking.pick],
        checkpoints=[
            _checkpoint(place, part, counts[i], changes[i], ks, informative_size, first)
            for i, (place, part) in enumerate(zip(places, parts, strict=True))
        ],
        problems=parts[0].problems,
        per_problem={part.name: part.sampled.counts for part in parts},
    )


def _smaller_groups(size: int, config: ReadinessConfig, fewest: int) -> list[str]:
    """A note where the groups of the figures are smaller than those of RL; ``fewest`` samples has a problem."""
    if size >= config.group_size:
        return []
    why = f"samples={size} asks for no more" if size == config.samples < fewest else "a problem has no more samples"
    which = "of one sample, which never is" if size == 1 else f"of {size} samples"
    return [
        f"How often a group is informative is measured for groups {which}, as {why}; "
        f"of groups of {config.group_size} (group_size) more are."
    ]


def _checkpoint(
    place: RankedCheckpoint,
    part: Part,
    counts: Counts,
    change: Estimate | None,
    ks: Sequence[int],
    group_size: int,
    first: int,
) -> CheckpointReadiness:
    """The figures of one checkpoint, of which every problem has ``first`` samples at least."""
    n, c = counts.head
    loss, shares = part.heldout.heldout if part.heldout else None, counts.shares(first)
    return CheckpointReadiness(
        **dict(place),
        **dict(part.sampled.stats),
        heldout_loss=loss.token_mean if loss else None,
        heldout_loss_examples=loss.example_mean if loss else None,
        loss_change=change,
        pass_at_k=counts.curve(ks),
        counted_samples=first,
        unsolved=shares.unsolved,
        partially_solved=shares.partially_solved,
        solved=shares.solved,
        informative=informative_share(n, c, group_size),
        group_signal=mean_group_signal(n, c, group_size),
        variance=mean_variance(n, c) if n.min() > 1 else None,
        histogram=histogram(n, c),
        influence=part.influence,
        samples=part.sampled.samples,
        tokens=part.sampled.tokens,
        undecided=part.sampled.undecided,
    )


def _changes(
    names: Sequence[str], losses: Sequence[HeldOut | None], runs: Mapping[str, str | None]
) -> list[Estimate | None]:
    """The loss of each checkpoint minus that of the previous one in its SFT run; None if either is unknown."""
    before: dict[str, HeldOut] = {}
    found: list[Estimate | None] = []
    for name, loss in zip(names, losses, strict=True):
        run = runs[name] or name
        found.append(loss.minus(before[run]) if loss and run in before else None)
        if loss:
            before[run] = loss
    return found
