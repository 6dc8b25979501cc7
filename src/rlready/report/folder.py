"""What the report reads of a run folder, checked against its shape before anything is drawn.

``result.json`` must be there and fit; the files beside it are optional, and lines that a killed run left torn
are counted, not fatal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.text import visible
from rlready.inject.diff import BEFORE, RowPair, RowText

SCORES = {"accuracy": Estimate, "thinking_tokens": Estimate}
STAGE = {**SCORES, "strict_accuracy": Estimate, "greedy_accuracy": Estimate}
SPENT = {
    **{**SCORES, "answer_tokens": Estimate, "truncated": Estimate, "unfinished": Estimate},
    **{"gain": Estimate, "change": Estimate},
}
CHECKPOINT = {
    **{"name": str, "epoch": float, "step": float, "picked": bool, "heldout_loss": Estimate},
    **{"pass": {"*": Estimate}, "never": Estimate, "sometimes": Estimate, "always": Estimate},
    **{"mixed": Estimate, "behind": Estimate, "spread": Estimate, "entropy": Estimate, "truncated": Estimate},
    **{"length_right": Estimate, "length_wrong": Estimate, "turned_up": bool},
    **{"label": str, "sft": str, "advice": str, "why": str, "p_best": float, "rank": float, "expected": Estimate},
    **{
        "turn_up": {"loss": Estimate, "pass_1": Estimate, "flagged": bool},
        "outcomes": [{"value": float, "cost": float}],
    },
    "histogram": [{"right": float, "problems": Estimate}],
    "influence": {
        **{"step": Estimate, "spread": Estimate, "co_influence": Estimate, "k_right": Estimate, "k_wrong": Estimate},
        **{"cosine": Estimate, "error": float, "problems": float, "all_right": float, "all_wrong": float},
        "parameters": float,
    },
}
SCORE = {
    **{"predictor": str, "spearman": Estimate, "gain": Estimate, "p": float, "p_any": float},
    **{
        "r2": Estimate,
        "r2_sd": float,
        "r2_median": float,
        "mae": Estimate,
        "regret": Estimate,
        "regret_cost": Estimate,
    },
    "few": [{"runs": float, "mae": float, "covered": float, "half_width": float}],
}
FAMILY = {
    **{"name": str, "runs": float, "trained": float, "recipes": float, "seed_sd": float, "mean": Estimate},
    "lines": {"*": [[float]]},
    "points": [{"label": str, "predictors": {"*": Estimate}, "outcome": Estimate}],
    "scores": [SCORE],
}
RESULT = {
    **{
        "verb": str,
        "verdict": str,
        "rows": str,
        "seed": float,
        "seconds": float,
        "task": {"source": str, "description": str},
    },
    **{"base": STAGE, "sft": STAGE, "rl": STAGE, "rl_minus_sft": Estimate, "chance": {"*": float}},
    "checkpoints": [CHECKPOINT],
    "budgets": [{"budget": float, "*": SPENT}],
    "untouched": {"*": SPENT},
    "arms": [
        {
            **{"model": str, "budget": float, "extensions": float, "bias": float, "stated": bool, **SPENT},
            **{"mended": Estimate, "broken": Estimate, "extended": Estimate, "off": Estimate},
        }
    ],
    "metrics": [
        {
            **{"model": str, "extensions": float, "bias": float, "stated": bool},
            **{"control": float, "scaling": Estimate, "performance": Estimate, "at": float},
        }
    ],
    "votes": [
        {
            **{"model": str, "budget": float, "n": float, "tokens": float},
            **{"vote": Estimate, "best": Estimate, "any": Estimate},
        }
    ],
    "lengths": {"edges": [float], "models": {"*": {"right": [float], "wrong": [float]}}},
    "stages": [{"name": str, "seconds": float}],
    **{
        "group": float,
        "evaluations": [{"step": float, "accuracy": Estimate}],
        "best": {"step": float, "accuracy": Estimate},
        **{"by": str, "next": [str], "notes": [str], "families": [FAMILY]},
        "predictors": [{"name": str, "better": str, "order": [str], "best": [float], "beats": [[float]]}],
        "starts": [{"family": str, "checkpoint": str, "runs": float, "outcome": Estimate, "cost": float}],
    },
}
EXAMPLE = {
    **{"model": str, "problem_id": str, "prompt": str, "answer": str, "finish": str, "budget": float},
    **{"thinking_tokens": float, "correct": bool, "strict": bool, "truncated": bool},
}
REWRITTEN = 3  # rows of an ``inject`` run that are shown
NAMES = {dict: "an object", list: "a list", str: "text", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class RunFolder:
    """The content of a run folder; ``left_out`` says in words what could not be read."""

    result: dict[str, Any]
    logs: Mapping[str, list[dict[str, Any]]]
    examples: list[dict[str, Any]]
    record: dict[str, Any]
    left_out: list[str] = field(default_factory=list)
    rewritten: list[dict[str, Any]] = field(default_factory=list)


def read(folder: Path) -> RunFolder:
    """Read a run folder; a ``UserError`` if its ``result.json`` is missing or no result."""
    result = read_result(folder / "result.json")
    left_out: list[str] = []
    logs = {}
    for stage in ("sft", "rl"):
        path = folder / ("log.jsonl" if result["verb"] == stage else f"{stage}/log.jsonl")
        logs[stage] = _read_lines(path, folder, left_out)
    examples = []
    for row in _read_lines(folder / "examples.jsonl", folder, left_out):
        try:
            examples.append({**_fit(row, EXAMPLE, "examples.jsonl"), "runs": _runs(row.get("pieces") or [])})
        except UserError as error:
            left_out.append(str(error))
    record = folder / "record.json"
    content = _read_lines(record, folder, left_out, whole=True)
    rewritten = _rewritten(folder, Path(result["rows"] or "").name, left_out)
    return RunFolder(result, logs, examples, content[0] if content else {}, left_out, rewritten)


def read_result(path: Path) -> dict[str, Any]:
    """``result.json`` in the shape of RESULT: whatever is missing is None or empty, figures are ``Estimate``."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"no report without {path}: {error.strerror}; name the folder of a finished run") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} should hold an object with verdict and figures, not {_brief(raw)}")
    result: dict[str, Any] = _fit(raw, RESULT, str(path))
    for entry in result["checkpoints"]:
        if odd := [k for k in entry["pass"] if not (k.isascii() and k.isdigit() and 0 < int(k[:10]) < 10**9)]:
            raise UserError(f"{path}: checkpoints.pass has {_brief(odd[0])} where a number of samples should be")
        entry["pass"] = {int(k): f for k, f in entry["pass"].items() if f is not None}
    return result


def _fit(value: Any, shape: Any, where: str) -> Any:
    """``value`` as ``shape`` has it, or a ``UserError`` that says where it differs.

    A shape is a type, a list of one shape, or an object of shapes in which "*" stands for any other key.
    Missing is None, an empty list or an object of missing things; keys that the shape lacks are left out.
    """
    if isinstance(shape, dict):
        value = _of_type(value, dict, where) or {}
        keys = [*(k for k in shape if k != "*"), *(k for k in value if "*" in shape and k not in shape)]
        return {k: _fit(value.get(k), shape.get(k, shape.get("*")), f"{where}: {k}") for k in keys}
    if isinstance(shape, list):
        return [_fit(v, shape[0], f"{where}[{i}]") for i, v in enumerate(_of_type(value, list, where) or [])]
    return _figure(value, where) if shape is Estimate else _of_type(value, shape, where)


def _figure(value: Any, where: str) -> Estimate | None:
    """A number that was stored as null (it was not finite) is not-a-number again."""
    if value is None:
        return None
    if not isinstance(value, dict) or "value" not in value:
        raise UserError(visible(f"{where} should be a figure with value, low, high and n, not {_brief(value)}"))
    got = _fit(value, {"value": float, "low": float, "high": float, "n": float, "varies": str}, where)
    number, low, high, n = (math.nan if got[k] is None else float(got[k]) for k in ("value", "low", "high", "n"))
    return Estimate(number, low, high, int(n) if math.isfinite(n) else 0, got["varies"] or "problems")


def _of_type(value: Any, kind: type, where: str) -> Any:
    whole = kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e100
    if value is None or whole or isinstance(value, kind):
        return value
    raise UserError(visible(f"{where} should be {NAMES[kind]}, not {_brief(value)}"))


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _read_lines(path: Path, folder: Path, left_out: list[str], whole: bool = False) -> list[dict[str, Any]]:
    """The objects of a JSONL file (or of a JSON file that is one object, if ``whole``); none without the file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows, torn = [], 0
    for line in [text] if whole else text.split("\n"):
        try:
            row = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            torn += 1
    if torn:
        what = f"{torn} unreadable line{'s' if torn > 1 else ''}" if not whole else "no JSON object"
        left_out.append(f"{path.relative_to(folder).as_posix()}: {what}")
    return [row for row in rows if row]


def _rewritten(folder: Path, rows: str, left_out: list[str]) -> list[dict[str, Any]]:
    """Some of the rows that ``inject`` changed, those first in which the most kinds of change meet."""
    lines = _read_lines(folder / BEFORE, folder, left_out)
    before = {line["id"]: line for line in lines if isinstance(line.get("id"), str)}
    found: list[dict[str, Any]] = []
    for line in _read_lines(folder / rows, folder, left_out) if before else []:
        old = before.get(str(line.get("id")))
        if not old:
            continue
        try:
            pair = RowPair(before=RowText.of(old, BEFORE), after=RowText.of(line, rows))
        except UserError as error:
            left_out.append(str(error))
            continue
        if pair.changed and pair.after.thinking:
            parts = pair.pieces()
            kinds = sorted({k for _, k in parts if k})
            found.append({"now": pair.after, "was": pair.before, "pieces": parts, "kinds": kinds})
    return sorted(found, key=lambda row: -len(row["kinds"]))[:REWRITTEN]


def _runs(pieces: Any) -> list[tuple[str, bool]]:
    """A response as runs of text that were all chosen by the model or all forced by the decoder."""
    good = isinstance(pieces, list) and all(
        isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) and p[1] in (0, 1) for p in pieces
    )
    if not good:
        raise UserError("examples.jsonl: pieces should be a list of [text, 0 or 1]")
    return [("".join(text for text, _ in run), bool(chosen)) for chosen, run in groupby(pieces, key=lambda p: p[1])]
