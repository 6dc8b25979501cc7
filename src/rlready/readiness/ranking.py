"""From measurements to an answer: which checkpoint RL should start from, and which are not significantly different.

The one rule by which readiness and predict rank, after Kang et al. (arXiv 2510.01624): checkpoints past overfitting
onset are dropped (`turnup.py`), the others are ranked by pass@k at large k, 64 or as many samples as there are.  Ours:

- *Ties.*  Of equal pass@k, which are frequent where k is the number of samples, the higher pass@1 comes first, then the
  earlier checkpoint.
- *Not significantly different*: the paired difference to the first reaches 0 in an interval that holds for all pairs of
  checkpoints together (Bonferroni), because the first on these problems was chosen for it: among twelve equal ones a
  plain 95 % interval calls some other worse nearly every time.

Shapes: C = checkpoints, P = problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlready.core.config import ReadinessConfig
from rlready.core.records import Estimate
from rlready.core.stats import paired_figure, simultaneous
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.adaptive_sampling import Counts
from rlready.readiness.group_signal import histogram, mixed_share, spread_figure, variance_figure
from rlready.readiness.overfitting import TurnUp, along_runs
from rlready.readiness.passk import Floats, powers
from rlready.runs.checkpoint_order import labels, runs_of

LARGE = 64  # the paper's k
DIGITS = 12  # means that agree so far differ by rounding alone
NAMED = 4  # checkpoints listed in a sentence
DASH = "–"

Advice = Literal["rl", "tie", "drop"]
WORDS: dict[Advice, str] = {"rl": "RL first", "tie": "not significantly different", "drop": "drop"}
ONSET = "past overfitting onset"
Gap = Callable[[int, int], Estimate]  # how far one checkpoint is ahead of another, for all pairs together


def large(most: int) -> int:
    """The k of "pass@k at large k": 64, or the most that was sampled, if less."""
    return max(k for k in powers(most) if k <= LARGE)


def comparisons(checkpoints: int) -> int:
    """How many pairs of checkpoints there are."""
    return checkpoints * (checkpoints - 1) // 2


def gap_of_shares(shares_CP: Floats, most: float = 1.0) -> Gap:
    """Differences of means over the same problems, of values between 0 and ``most``."""
    pairs = comparisons(len(shares_CP))

    def gap(a: int, b: int) -> Estimate:
        return simultaneous(paired_figure(shares_CP[a], shares_CP[b], bounds=(0.0, most)), pairs, span=most)

    return gap


@dataclass(frozen=True)
class Ranking:
    """Checkpoints as starts for RL: ``order`` has their places, best first, those past overfitting onset last.

    The other fields are in the order in which checkpoints were given: ``values`` (C,) of what they are ranked ``by``,
    how far each is ``behind`` the first (None for itself), and how its loss has ``turned``.
    """

    by: str
    values: Floats
    order: list[int]
    behind: list[Estimate | None]
    turned: Sequence[TurnUp | None]

    def dropped(self, i: int) -> bool:
        """Whether a checkpoint is past overfitting onset."""
        turn = self.turned[i]
        return turn is not None and turn.flagged

    def row(self, i: int, named: Sequence[str]) -> dict[str, Any]:
        """What a result says of one checkpoint's place; ``named`` are labels of all."""
        words = WORDS[self._advice(i)] + (f": {ONSET}" if self.dropped(i) else "")
        place = {"picked": i == self.order[0], "rank": self.order.index(i) + 1, "behind": self.behind[i]}
        return place | {"advice": self._advice(i), "next": words, "why": self._why(i, named[self.order[0]])}

    def sentences(self, named: Sequence[str]) -> list[str]:
        """Where to start RL, what is as good as far as can be told, and what to drop and why."""
        first, *others = self.order
        past = [named[i] for i in others if self.dropped(i)]
        ties = [named[i] for i in others if self._advice(i) == "tie"]
        worse = [named[i] for i in others if self._advice(i) == "drop" and not self.dropped(i)]
        best = "the best of those before overfitting onset" if past else "the best"
        said = [f"Start RL from {named[first]}: its {self.by} is {best}, {self.values[first]:.3f}."]
        if ties:
            said.append(
                f"Not significantly different from it on these problems: {listed(ties)}. "
                "Measure more problems, or run RL from the first few."
            )
        if past:
            said.append(f"Drop {listed(past)}: {ONSET}, as held-out loss has risen while pass@1 has not fallen.")
        if worse:
            said.append(f"Drop {listed(worse)}: {self.by} is significantly worse.")
        return said

    def _advice(self, i: int) -> Advice:
        behind = self.behind[i]
        if behind is None:
            return "rl"
        return "drop" if self.dropped(i) or behind.low > 0 else "tie"

    def _why(self, i: int, first: str) -> str:
        behind, turn = self.behind[i], self.turned[i]
        if turn is not None and turn.flagged:
            gain = f"pass@1 {turn.pass_1.value * 100:+.1f} points"
            return f"{ONSET}: held-out loss is {turn.loss} above its minimum, {gain}"
        if behind is None:
            return f"best {self.by}"
        return f"{self.by} is {'' if behind.low > 0 else 'not '}significantly worse than {first}'s: {behind} behind"


def rank(
    by: str, values_C: Floats, gap: Gap, *, pass_1_C: Floats, turned: Sequence[TurnUp | None], sign: int = 1
) -> Ranking:
    """The rule above; ``sign`` -1 where less is better.  At least one checkpoint has not ``turned``."""
    score_C, tie_C = (np.round(v, DIGITS) for v in (sign * values_C, pass_1_C))
    dropped = [turn is not None and turn.flagged for turn in turned]
    order = sorted(range(len(values_C)), key=lambda i: (dropped[i], -score_C[i], -tie_C[i]))
    behind = [None if i == order[0] else gap(order[0], i) for i in range(len(order))]
    return Ranking(by, values_C, order, behind, turned)


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    shown, more = list(names[:NAMED]), len(names) - NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def compare(config: ReadinessConfig, measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``checkpoints`` (a row of figures each), ``picked``, ``verdict`` and ``table`` of a result."""
    counts = [_counts(facts["counts"]) for facts in measured]
    losses = [HeldOut(*(np.array(v) for v in f["heldout"].values())) if f["heldout"] else None for f in measured]
    names = [facts["name"] for facts in measured]
    named = list(labels(names).values())
    group, k = min(config.group_size, config.samples), large(config.samples)
    small = min(group, *(int(c.head[0].min()) for c in counts))
    pass_CPK = np.array([c.pass_at_k([1, k]) for c in counts])
    skill_CP, pass_1_CP = (np.ascontiguousarray(pass_CPK[:, :, i]) for i in (1, 0))
    turned = along_runs(names, losses, list(pass_1_CP))
    ranking = rank(f"pass@{k}", skill_CP.mean(1), gap_of_shares(skill_CP), pass_1_C=pass_1_CP.mean(1), turned=turned)
    rows = [_row(config, facts, c, loss, small) for facts, c, loss in zip(measured, counts, losses, strict=True)]
    _follow(rows, losses, turned)
    rows = [row | ranking.row(i, named) for i, row in enumerate(rows)]
    return {
        "verdict": " ".join(ranking.sentences(named)),
        "group": group,
        "mixed_group": small,
        "ranked_by": ranking.by,
        "checkpoints": rows,
        "picked": names[ranking.order[0]],
        "table": _table(rows, named, {1, group, k, config.samples}),
    }


def _row(
    config: ReadinessConfig, facts: Mapping[str, Any], counts: Counts, loss: HeldOut | None, group: int
) -> dict[str, Any]:
    """The figures of one checkpoint alone."""
    n, c = counts.head
    never, sometimes, always = counts.shares(config.samples)
    ks = sorted({*powers(config.samples), min(config.group_size, config.samples)})
    return {
        "name": facts["name"],
        "heldout_loss": loss.token_mean if loss else None,
        "heldout_loss_examples": loss.example_mean if loss else None,
        "pass": {str(k): figure for k, figure in counts.curve(ks).items()},
        **{"never": never, "sometimes": sometimes, "always": always},
        "mixed": mixed_share(n, c, group),
        "spread": spread_figure(n, c, group),
        "variance": variance_figure(n, c) if n.min() > 1 else None,
        **{key: Estimate(**figure) if figure else None for key, figure in facts["figures"].items()},
        "histogram": histogram(n, c),
        "influence": _influence(facts["influence"]),
        "correct": counts.correct,
        "samples": facts["drawn_samples"],
        "tokens": facts["drawn_tokens"],
    }


def _influence(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {k: Estimate(**v) if isinstance(v, Mapping) else v for k, v in facts.items()} if facts else None


def _follow(rows: Sequence[dict[str, Any]], losses: Sequence[HeldOut | None], turned: Sequence[TurnUp | None]) -> None:
    """Add the differences along every SFT run, of checkpoints that have a loss; one without a step has no others."""
    runs = runs_of(row["name"] for row in rows)
    before: dict[str, HeldOut] = {}
    for row, loss, turn in zip(rows, losses, turned, strict=True):
        if loss:
            run = runs[row["name"]] or row["name"]
            row["loss_since_before"] = loss.minus(before[run]) if run in before else None
            row["loss_above_least"] = turn.loss if turn else None
            row["pass_1_since_least"] = turn.pass_1 if turn else None
            row["turned_up"] = bool(turn and turn.flagged)
            before[run] = loss


def _table(rows: Sequence[Mapping[str, Any]], named: Sequence[str], shown: set[int]) -> list[list[str]]:
    ks = [str(k) for k in sorted(shown)]
    head = ["checkpoint", "held-out loss", *(f"pass@{k}" for k in ks), "never", "mixed", "spread", "entropy"]
    influenced = any(row["influence"] for row in rows)
    factors = ("step", "co_influence", "cosine") if influenced else ()
    titles = ("ΔJ/η", "co-influence", "cosine") if influenced else ()
    table = [[*head, "tokens right", "wrong", "cut", *titles, "next"]]
    for row, name in zip(rows, named, strict=True):
        numbers = [_brief(row[key], 2) for key in ("never", "mixed")] + [
            _brief(row[k], 3) for k in ("spread", "entropy")
        ]
        lengths = [_brief(row[f"length_{kind}"], 0) for kind in ("right", "wrong")]
        table.append(
            [
                name,
                str(row["heldout_loss"] or DASH),
                *(str(row["pass"].get(k, DASH)) for k in ks),
                *numbers,
                *lengths,
                f"{row['truncated'].value:.0%}" if row["truncated"] else DASH,
                *(_magnitude((row["influence"] or {}).get(key)) for key in factors),
                row["next"],
            ]
        )
    return table


def _brief(figure: Estimate | None, digits: int) -> str:
    return f"{figure.value:.{digits}f}" if figure else DASH


def _magnitude(figure: Estimate | None) -> str:
    return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]" if figure else DASH


def _counts(facts: Mapping[str, Any]) -> Counts:
    arrays = {key: np.array(facts[key], dtype=np.int64) for key in ("since", "drawn", "correct")}
    return Counts(facts["first"], facts["cap"], **arrays)
