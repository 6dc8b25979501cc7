"""The tables that predict prints: checkpoints with advice, and predictors with their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlready.core.records import Estimate
from rlready.predict.predictors import LOSS
from rlready.predict.score import Family, Score
from rlready.readiness.ranking import large

DASH = "–"


def checkpoint_table(rows: Sequence[dict[str, Any]], by: str, cap: int) -> list[list[str]]:
    """Best first; a column stands only if some checkpoint has it."""
    passes = list(dict.fromkeys(["1", str(large(cap))]))
    has_loss = any(row["heldout_loss"] for row in rows)
    has_outcome, has_expected = any(row["outcomes"] for row in rows), any(row["expected"] for row in rows)
    head = ["checkpoint", *(f"pass@{k}" for k in passes), *(["held-out loss"] if has_loss else [])]
    head += [f"best by {by}", *(["after RL"] if has_outcome else []), *(["expected"] if has_expected else []), "next"]
    table = [head]
    for row in sorted(rows, key=lambda row: row["rank"]):
        line = [row["label"], *(str(row["pass"][k]) for k in passes)]
        line += [str(row["heldout_loss"] or DASH)] if has_loss else []
        line.append(f"{row['p_best']:.0%}")
        line += [f"{np.mean([o['value'] for o in row['outcomes']]):.3f}" if row["outcomes"] else DASH] * has_outcome
        line += [str(row["expected"] or DASH)] * has_expected
        table.append([*line, row["next"]])
    return table


def score_table(family: Family, scores: Sequence[Score]) -> list[list[str]]:
    """Spearman and its p, fit on the other half, and what the first choice loses."""
    costs = any(s.regret_cost for s in scores)
    head = ["predictor", "Spearman", "minus pass@1's", "p", "p, any", "R² on the other half", "mean error", "regret"]
    table = [[*head, *(["seconds before the best"] if costs else [])]]
    for s in scores:
        r2 = DASH if s.r2 is None else f"{_figure(s.r2)} ± {s.r2_sd:.2f}"
        line = [f"{s.predictor} (less is better)" if s.predictor == LOSS else s.predictor, _figure(s.spearman)]
        line += [DASH if s.gain is None else _figure(s.gain), f"{s.p:.2g}", f"{s.p_any:.2g}", r2]
        line += [DASH if s.mae is None else str(s.mae), str(s.regret)]
        line += [DASH if s.regret_cost is None else f"{s.regret_cost.value:,.0f}"] if costs else []
        table.append(line)
    return table


def _figure(figure: Estimate) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
