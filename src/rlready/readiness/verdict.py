"""From measurements to an answer: which checkpoint, by how much, and when they cannot be told apart.

Checkpoints are ranked by pass@k at the planned group size: RL can only turn what a group already contains into habit
(Kang et al., arXiv 2510.01624, rank by pass@64).  "Cannot be told apart" (ours): the paired difference to the best
reaches 0 in an interval that holds for all pairs of checkpoints together (Bonferroni), because the best on these
problems was chosen for it: among twelve equal ones a plain 95 % interval calls some other worse nearly every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlready.config import ReadinessConfig
from rlready.readiness.heldout import HeldOut
from rlready.readiness.naming import labels, run_of
from rlready.readiness.passk import powers
from rlready.readiness.sequential import Counts
from rlready.readiness.spread import histogram, mixed_share, spread_figure, variance_figure
from rlready.readiness.turnup import TurnUp, turn_up
from rlready.records import Figure
from rlready.stats import paired_figure, simultaneous

DASH = "–"
NAMED = 3  # checkpoints that cannot be told apart are named up to this many


def compare(config: ReadinessConfig, measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``checkpoints`` (a row of figures each), ``picked``, ``verdict`` and ``table`` of a result."""
    counts = [_counts(facts["counts"]) for facts in measured]
    losses = [HeldOut(*(np.array(v) for v in f["heldout"].values())) if f["heldout"] else None for f in measured]
    group = min(config.group, config.samples)
    small = min(group, *(int(c.head[0].min()) for c in counts))
    rows = [_row(config, facts, c, loss, small) for facts, c, loss in zip(measured, counts, losses, strict=True)]
    _follow(rows, counts, losses)
    skill = [c.pass_at_k([group])[:, 0] for c in counts]
    order = sorted(range(len(rows)), key=lambda i: -float(skill[i].mean()))
    best = order[0]
    for i, row in enumerate(rows):
        row["picked"] = i == best
        if i != best:
            behind = paired_figure(skill[best], skill[i], bounds=(0.0, 1.0))
            row["behind"] = simultaneous(behind, len(rows) * (len(rows) - 1) // 2, span=1.0)
            row["told_apart"] = row["behind"].low > 0
    return {
        "verdict": _verdict(rows, order, group, float(skill[best].mean())),
        "group": group,
        "mixed_group": small,
        "checkpoints": rows,
        "picked": rows[best]["name"],
        "table": _table(rows, group, config.samples),
    }


def _row(
    config: ReadinessConfig, facts: Mapping[str, Any], counts: Counts, loss: HeldOut | None, group: int
) -> dict[str, Any]:
    """The figures of one checkpoint alone."""
    n, c = counts.head
    never, sometimes, always = counts.shares(config.samples)
    ks = sorted({*powers(config.samples), min(config.group, config.samples)})
    return {
        "name": facts["name"],
        "heldout_loss": loss.token_mean if loss else None,
        "heldout_loss_examples": loss.example_mean if loss else None,
        "pass": {str(k): figure for k, figure in counts.curve(ks).items()},
        **{"never": never, "sometimes": sometimes, "always": always},
        "mixed": mixed_share(n, c, group),
        "spread": spread_figure(n, c, group),
        "variance": variance_figure(n, c) if n.min() > 1 else None,
        **{key: Figure(**figure) if figure else None for key, figure in facts["figures"].items()},
        "histogram": histogram(n, c),
        "influence": _influence(facts["influence"]),
        "correct": counts.correct,
        "samples": facts["drawn_samples"],
        "tokens": facts["drawn_tokens"],
    }


def _influence(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {k: Figure(**v) if isinstance(v, Mapping) else v for k, v in facts.items()} if facts else None


def _follow(rows: Sequence[dict[str, Any]], counts: Sequence[Counts], losses: Sequence[HeldOut | None]) -> None:
    """Add the differences along every SFT run, of checkpoints that have a loss; one without a step has no others."""
    runs = [run_of(row["name"]) or row["name"] for row in rows]
    for run in dict.fromkeys(runs):
        mine = [i for i, of in enumerate(runs) if of == run]
        _follow_run([rows[i] for i in mine], [counts[i] for i in mine], [losses[i] for i in mine])


def _follow_run(rows: Sequence[dict[str, Any]], counts: Sequence[Counts], losses: Sequence[HeldOut | None]) -> None:
    known = [i for i, loss in enumerate(losses) if loss]
    found = [loss for loss in losses if loss]
    turns: list[TurnUp | None] = turn_up(found, [counts[i].pass_at_k([1])[:, 0] for i in known]) if found else []
    for at, (i, turn) in enumerate(zip(known, turns, strict=True)):
        rows[i]["loss_since_before"] = found[at].minus(found[at - 1]) if at else None
        rows[i]["loss_above_least"] = turn.loss if turn else None
        rows[i]["pass_1_since_least"] = turn.pass_1 if turn else None
        rows[i]["turned_up"] = bool(turn and turn.flagged)


def _verdict(rows: Sequence[Mapping[str, Any]], order: Sequence[int], group: int, skill: float) -> str:
    short = labels(row["name"] for row in rows)
    best, others = rows[order[0]], [rows[i] for i in order[1:]]
    verdict = f"Start RL from {short[best['name']]}: its pass@{group} is the highest, {skill:.1%}."
    close = [short[row["name"]] for row in others if not row["told_apart"]]
    if close:
        named = f" ({', '.join(close)})" if len(close) <= NAMED else ""
        verdict += f" {len(close)} of {len(others)} others cannot be told apart from it on these problems{named}."
    if best.get("turned_up"):
        rise = best["loss_above_least"]
        rest = next((short[row["name"]] for row in others if not row.get("turned_up")), "none")
        verdict += (
            f" But its held-out loss has turned up, {rise.value:.3f} [{rise.low:.3f}, {rise.high:.3f}] nats per token "
            f"above its minimum, while pass@1 did not fall: Kang et al. would pass it over. Best of the others: {rest}."
        )
    return verdict


def _table(rows: Sequence[Mapping[str, Any]], group: int, most: int) -> list[list[str]]:
    ks = [str(k) for k in sorted({1, group, most})]
    head = ["checkpoint", "held-out loss", *(f"pass@{k}" for k in ks), "never", "mixed", "spread", "entropy"]
    influenced = any(row["influence"] for row in rows)
    factors = ("step", "co_influence", "cosine") if influenced else ()
    titles = ("ΔJ/η", "co-influence", "cosine") if influenced else ()
    table = [[*head, "tokens right", "wrong", "cut", *titles, ""]]
    short = labels(row["name"] for row in rows)
    for row in rows:
        numbers = [_brief(row[key], 2) for key in ("never", "mixed")] + [
            _brief(row[k], 3) for k in ("spread", "entropy")
        ]
        lengths = [_brief(row[f"length_{kind}"], 0) for kind in ("right", "wrong")]
        table.append(
            [
                short[row["name"]],
                str(row["heldout_loss"] or DASH),
                *(str(row["pass"].get(k, DASH)) for k in ks),
                *numbers,
                *lengths,
                f"{row['truncated'].value:.0%}" if row["truncated"] else DASH,
                *(_magnitude((row["influence"] or {}).get(key)) for key in factors),
                _note(row),
            ]
        )
    return table


def _note(row: Mapping[str, Any]) -> str:
    notes = ["← picked"] if row["picked"] else [] if row["told_apart"] else ["cannot be told apart"]
    return "; ".join(notes + (["loss has turned up"] if row.get("turned_up") else []))


def _brief(figure: Figure | None, digits: int) -> str:
    return f"{figure.value:.{digits}f}" if figure else DASH


def _magnitude(figure: Figure | None) -> str:
    return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]" if figure else DASH


def _counts(facts: Mapping[str, Any]) -> Counts:
    arrays = {key: np.array(facts[key], dtype=np.int64) for key in ("since", "drawn", "correct")}
    return Counts(facts["first"], facts["cap"], **arrays)
