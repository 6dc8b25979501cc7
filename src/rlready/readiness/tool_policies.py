"""Which samples of a training run or a log are those of one checkpoint, and on which problems checkpoints are compared.

Every step of RL samples from another policy, and mostly from other problems, so that most steps cannot be compared.
Where the tool says at which steps it has evaluated, these are the checkpoints, on the problems that all of them and no
other steps have, if there are such, as rows of training may be among their samples.  Later steps, of which its log says
nothing, are evaluations if they have all of these problems.  Otherwise there are two ways to find checkpoints that can
be compared, and the one with more problems in common is taken:

- *Steps*, at least two, that have exactly the same problems, as evaluations have.  Each is a checkpoint.  They are
  taken in any case if they seem to be evaluations between steps of training, which a pass would mix: no other step has
  one of their problems, and no two others have the same problems.
- *Passes*: a pass is a run of steps in which at most single problems come back, as where data have a prompt twice; a
  new one begins where more than a third of the next problems are of the pass.  Each pass stands for one checkpoint:
  its samples are drawn by the policies of its steps, so that its figures are their mean, and the training steps inside
  it blur them.  Passes are compared on the problems that all of them have; one with fewer than half of the problems of
  the fullest, such as the last of a run that was stopped, is left out.

A run that never repeats a problem has no two policies that can be compared, and is refused.  Both ways are choices of
this package.

Shapes: N = samples, P = problems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

import numpy as np

from rlready.core.cells import counted
from rlready.core.errors import UserError
from rlready.core.messages import remark, warn, warn_once
from rlready.interchange.rollouts import Evaluated
from rlready.readiness.passk import Ints

COPIES = 1 / 3  # share of problems that come back within a pass, at most, and of a pass that is looked at ahead
AHEAD, MOST_AHEAD = 4, 512  # problems, at least and at most
TIMES = 3  # that problems come back together, at least, as those of evaluations
LEAST = 0.5  # share of the problems of the fullest pass that a pass needs
CLOSE = 0.01  # difference of mean rewards that rounding may make
FEW = 0.05  # share of problems that are left out although they lack only some samples
NEARLY = 0.75  # share of the usual samples that a problem needs to stay where more than `FEW` lack some
SHOWN = 8  # passes that are listed in a note


@dataclass(frozen=True)
class Policy:
    """The samples of one checkpoint: ``rows`` among those that were divided, of the steps ``first`` to ``last``."""

    rows: Ints
    first: int
    last: int

    @property
    def span(self) -> str:
        """Its steps in words."""
        return f"steps {self.first} to {self.last}" if self.first < self.last else f"step {self.last}"

    def name(self, base: str, *, stepped: bool) -> str:
        """A name that shows the order of training, or the base alone."""
        if not stepped:
            return base
        steps = f"step-{self.last}" if self.first == self.last else f"steps-{self.first}-{self.last}"
        return f"{base.rstrip('/')}/{steps}"


def divided(where: str, problem_N: Ints, step_N: Ints, *, one: bool, evaluated: Evaluated) -> list[Policy]:
    """The checkpoints among samples, each without the problems whose groups are cut; ``one``: all are of one.

    ``evaluated`` is what is known of evaluations.  UserError, which begins with ``where``, if
    there are several steps that cannot be compared.
    """
    steps = np.unique(step_N)
    if one or len(steps) == 1:
        policies = [Policy(np.arange(len(step_N)), int(steps[0]), int(steps[-1]))]
        return [_whole_groups(where, policy, problem_N, stepped=bool(steps[-1])) for policy in policies]
    if evaluated.ended and steps[-1] > evaluated.until:
        warn(
            f"{where}: warning: by its log the run ended at step {evaluated.until}, but there are samples of step "
            f"{steps[-1]}: if they are of an earlier run in the same folder, remove them"
        )
    policies, shared, trained_on = _evaluations(problem_N, step_N, evaluated)
    if not (known := len(policies) > 1 and len(shared) > 0):
        same = _same_steps(problem_N, step_N)
        policies, shared = same[0], _shared(same[0], problem_N)
        known = _are_evaluations(same, problem_N)
    if not known:
        ways = [(policies, shared), _passes(problem_N, step_N)]
        policies, shared = max(ways, key=lambda way: len(way[1]))  # the steps, if as many
        if any(policy.first < policy.last for policy in policies):
            _say_unlogged(where, problem_N, step_N)
    if len(policies) < 2 or not len(shared):
        low, high = steps[0], steps[-1]
        raise UserError(
            f"{where}: its {len(steps)} steps, {low} to {high}, are of as many policies, and no two of them or passes "
            f"over the data have enough problems in common to be compared; choose one step, ?step={high}, or take "
            f"several as one checkpoint, ?step={low}-{high}; if some are evaluations, put the trainer's log beside "
            "them (TRL's trainer_state.json)"
        )
    alike = len({np.unique(problem_N[policy.rows]).tobytes() for policy in policies}) == 1
    kept = np.isin(problem_N, shared)
    policies = [replace(policy, rows=policy.rows[kept[policy.rows]]) for policy in policies]
    policies = [_whole_groups(where, policy, problem_N, stepped=True) for policy in policies]
    shared = _shared(policies, problem_N)
    _say(where, policies, steps, len(shared), evaluated=known, alike=alike)
    _say_partial(where, policies, by_step(step_N), shared, problem_N)
    if known and trained_on:
        warn(
            f"{where}: warning: the problems of its evaluations are trained on, too, so that samples of training steps "
            "may be counted among those of evaluations"
        )
    _say_unequal(where, policies, problem_N)
    return policies


def _evaluations(problem_N: Ints, step_N: Ints, known: Evaluated) -> tuple[list[Policy], Ints, bool]:
    """The steps that are known to have evaluations, with those behind the log that have all of their problems; the
    problems; and whether all of these are trained on."""
    policies = [Policy(rows, step, step) for step, rows in by_step(step_N)]
    logged = [policy for policy in policies if policy.last in known.steps]
    if not logged:
        return [], np.empty(0, dtype=np.int64), False
    shared = reduce(np.intersect1d, [problem_N[policy.rows] for policy in logged])
    trained = problem_N[(step_N <= known.until) & ~np.isin(step_N, list(known.steps))]
    own = np.setdiff1d(shared, trained)
    shared = np.unique(own if len(own) else shared)  # without rows of training, if those evaluated are not trained on
    later = [p for p in policies if p.last > known.until and np.isin(shared, problem_N[p.rows]).all()]
    return [*logged, *later], shared, not len(own)


def _say_partial(
    where: str, policies: Sequence[Policy], steps: Iterable[tuple[int, Ints]], shared: Ints, problem_N: Ints
) -> None:
    """Say which evaluations are left out because they have only some of the problems, as where a file was cut."""
    found = list[str]()
    for step, rows in steps:
        mine = np.unique(problem_N[rows])
        apart = not any(policy.first <= step <= policy.last for policy in policies)
        if apart and len(mine) < len(shared) and np.isin(mine, shared).all():
            found.append(f"step {step} has {len(mine)}")
    if found:
        left = "are left out" if found[1:] else "is left out"
        more = f" and {len(found) - SHOWN} more steps do not have all" if found[SHOWN:] else ""
        warn(f"{where}: warning: {', '.join(found[:SHOWN])} of the {len(shared)} problems{more}, and {left}")


def _say_unlogged(where: str, problem_N: Ints, step_N: Ints) -> None:
    """Warn of problems that come back together between others, as those of evaluations that no log tells."""
    pairs = np.unique(np.stack([problem_N, step_N]), axis=1)
    steps_of = {problem: tuple(steps) for problem, steps in _grouped(*pairs)}
    together = Counter(steps for steps in steps_of.values() if len(steps) >= TIMES)
    usual = float(np.median(np.unique(pairs[1], return_counts=True)[1]))
    for steps, count in together.most_common(1):
        others = [each for each in steps_of.values() if each != steps]
        beside = {step for each in others for step in each if step in steps}  # with problems that are not among them
        if count >= usual / 2 and len(beside) > 1 and len(steps) > max(map(len, others)):
            listed = ", ".join(map(str, steps[:SHOWN])) + (", ..." if len(steps) > SHOWN else "")
            warn(
                f"{where}: warning: the same {count} problems are in the steps {listed}, as of evaluations, but no log "
                "tells which rows are theirs: with the trainer's log beside them (TRL's trainer_state.json) they are "
                "the checkpoints"
            )


def _grouped(keys: Ints, values: Ints) -> Iterator[tuple[int, list[int]]]:
    """(key, its values) for keys in ascending order."""
    found, begin = np.unique(keys, return_index=True)
    yield from zip(found.tolist(), (part.tolist() for part in np.split(values, begin[1:])), strict=True)


def _say_unequal(where: str, policies: Sequence[Policy], problem_N: Ints) -> None:
    """Say that a problem has twice as many samples in some checkpoints, which two policies may have drawn."""
    each = [len(policy.rows) / len(np.unique(problem_N[policy.rows])) for policy in policies]
    most, least = (pick(range(len(each)), key=each.__getitem__) for pick in (max, min))
    if each[most] >= 2 * each[least]:
        (m, few) = (f"step {policies[at].last} with {each[at]:g} samples of a problem" for at in (most, least))
        warn(
            f"{where}: warning: {m}, {few}: if two runs have written there, their policies are mixed; name one of them"
        )


def say_unlike_log(where: str, step: int, mean: float, logged: float) -> None:
    """Warn of an evaluation whose samples have another mean reward than the trainer's log has of it."""
    if abs(mean - logged) > CLOSE:
        warn(
            f"{where}: warning: the samples of step {step} have a mean reward of {mean:.3g}, but by its log the "
            f"evaluation had {logged:.3g}: rows of training may be among them, or rows of a large evaluation missing"
        )


def _same_steps(problem_N: Ints, step_N: Ints) -> list[list[Policy]]:
    """The steps, those with exactly the same problems together, the most numerous of these first."""
    groups: dict[bytes, list[Policy]] = {}
    for step, rows in by_step(step_N):
        groups.setdefault(np.unique(problem_N[rows]).tobytes(), []).append(Policy(rows, step, step))
    return sorted(groups.values(), key=len, reverse=True)


def _shared(policies: Sequence[Policy], problem_N: Ints) -> Ints:
    """The problems that several policies have in common; none for a single policy."""
    problems = [np.unique(problem_N[policy.rows]) for policy in policies]
    return reduce(np.intersect1d, problems) if len(policies) > 1 else np.empty(0, dtype=np.int64)


def _are_evaluations(same: Sequence[Sequence[Policy]], problem_N: Ints) -> bool:
    """Whether the first steps of `_same_steps` are evaluations, and the others steps of training between them."""
    first, *others = same
    if len(first) < 2 or not others or len(others[0]) > 1:
        return False
    rows = np.concatenate([policy.rows for (policy,) in others])
    return not np.isin(problem_N[rows], _shared(first[:2], problem_N)).any()


def _passes(problem_N: Ints, step_N: Ints) -> tuple[list[Policy], Ints]:
    """The passes over the problems that are full enough, and the problems that all of them have."""
    steps = [*by_step(step_N)]
    starts = _starts([np.unique(problem_N[rows]) for _, rows in steps])
    parts = [steps[begin:end] for begin, end in pairwise([*starts, len(steps)])]
    passes = [Policy(np.sort(np.concatenate([rows for _, rows in p])), p[0][0], p[-1][0]) for p in parts]
    problems = [np.unique(problem_N[policy.rows]) for policy in passes]
    least = LEAST * max(map(len, problems))
    full = [policy for policy, mine in zip(passes, problems, strict=True) if len(mine) >= least]
    return full, reduce(np.intersect1d, (mine for mine in problems if len(mine) >= least))


def _starts(problems: Sequence[Ints]) -> list[int]:
    """Where passes begin, in the problems of each step: where not single ones come back, as copies in the data do.

    From a step with problems of the same pass on, more than `COPIES` of those of the next steps must be of it.
    """
    starts, at = [0], 0
    seen_P = np.zeros(1 + max((int(each.max()) for each in problems if len(each)), default=0), dtype=bool)
    seen = 0
    while at < len(problems):
        ahead, size, best = 0.0, 0, (0.0, at)
        if seen_P[problems[at]].any():
            end = at
            while end < len(problems) and size < min(max(AHEAD, seen * COPIES), MOST_AHEAD):
                size, end = size + len(problems[end]), end + 1
            for step in range(end - 1, at - 1, -1):
                ahead += float(seen_P[problems[step]].sum()) - COPIES * len(problems[step])
                best = max(best, (ahead, step))
        if ahead > 0:
            at, seen, seen_P = best[1], 0, np.zeros_like(seen_P)
            starts.append(at)
        seen += int((~seen_P[problems[at]]).sum())
        seen_P[problems[at]] = True
        at += 1
    return starts


def by_step(step_N: Ints) -> Iterator[tuple[int, Ints]]:
    """(step, the rows of its samples in their order), from the first step on."""
    order = np.argsort(step_N, kind="stable")
    steps, begin = np.unique(step_N[order], return_index=True)
    yield from zip(steps.tolist(), np.split(order, begin[1:]), strict=True)


def _whole_groups(where: str, policy: Policy, problem_N: Ints, *, stepped: bool) -> Policy:
    """Without the problems that have fewer samples than most have, if those are fewer than half of all.

    If more than `FEW` lack only some, these stay, and the fewest samples decide the k of pass@k.
    ``stepped``: whether the samples are of steps, not all of step 0 because the tool knows none.
    """
    mine = problem_N[policy.rows]
    drawn_P = np.bincount(mine)
    sizes, problems = np.unique(drawn_P[drawn_P > 0], return_counts=True)
    usual = int(sizes[np.argmax(problems)])
    if (more := drawn_P >= 2 * usual).any():
        warn_once(
            f"{where}: warning: {int(more.sum())} of {int(problems.sum())} problems have {2 * usual} samples or more "
            f"where most have {usual}: problems that ask the same are read as one, unless data sets differ in it"
        )
    cut = (drawn_P > 0) & (drawn_P < usual)
    some = cut & (drawn_P >= NEARLY * usual)
    if some.sum() > max(1, FEW * problems.sum()):
        cut &= ~some
    if not cut.any() or 2 * cut.sum() >= problems.sum():
        return policy
    span = f" ({policy.span})" if stepped else ""
    remark(
        f"{where}: {int(cut.sum())} of {int(problems.sum())} problems have fewer samples than the usual {usual}{span} "
        "and are left out"
    )
    return Policy(policy.rows[~cut[mine]], policy.first, policy.last)


def _say(where: str, policies: Sequence[Policy], steps: Ints, shared: int, *, evaluated: bool, alike: bool) -> None:
    """Say which steps became checkpoints, and what that costs; ``alike``: all of these have the same problems."""
    spans = [policy.span.partition(" ")[2] for policy in policies]
    listed = ", ".join(spans[:SHOWN]) + (", ..." if len(spans) > SHOWN else "")
    passes = any(policy.first < policy.last for policy in policies)
    left = sum(not any(policy.first <= step <= policy.last for policy in policies) for step in steps.tolist())
    notes = [f"compared on the {counted(shared, 'problem')} that all have"]
    notes += ["the samples of a pass are of the policies of all its steps"] * passes
    notes += [f"the other {left} are left out" if left > 1 else "the other one is left out"] * bool(left)
    what = "with the same problems" if alike else "with some problems in common"
    what = "evaluations of the same problems" if evaluated else "passes over the same problems" if passes else what
    remark(
        f"{where}: of its {len(steps)} steps, {len(policies)} {what} stand for as many checkpoints "
        f"(steps {listed}), {'; '.join(notes)}"
    )
