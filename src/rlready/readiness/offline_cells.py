"""What the cells of a table of samples mean: responses, thoughts and verdicts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.models.chat import CLOSE, OPEN
from rlready.readiness.passk import Ints
from rlready.tasks.answers.ownpart import in_thought
from rlready.tasks.columns import Batch
from rlready.tasks.strictjson import Refused
from rlready.tasks.turns import read_turns, split_sample


def with_thoughts(batch: Batch, column: str, tokens: str, index: Ints) -> list[str | None]:
    """The texts of some rows; a thought from the column ``thinking`` is put before a text that has none.

    A thought with neither text nor ``tokens`` was cut off, as servers write it.
    """
    texts: list[str | None] = batch.values(column, index)
    for at, (thought, ids) in enumerate(zip(batch.values("thinking", index), batch.values(tokens, index), strict=True)):
        text = texts[at]
        if not isinstance(thought, str):
            continue
        if text is None:
            texts[at] = OPEN + thought if thought and ids is None and column in batch.columns else None
        elif split_sample(text) == ("", text):
            texts[at] = f"{OPEN}{thought}{CLOSE}{text}"
    return texts


def with_thoughts_opened(batch: Batch, columns: Iterable[str], texts: Sequence[str | None]) -> list[str | None]:
    """The texts of all rows, behind the opener of their thought if a prompt in one of the columns ends in it."""
    found = list(texts)
    for name in columns:
        codes, prompts = batch.distinct(name)
        opens = np.array([in_thought(prompt, "") != "" for prompt in prompts])
        for at in np.flatnonzero(opens[codes]).tolist():
            text = found[at]
            found[at] = None if text is None else in_thought(prompts[codes[at]], text)
    return found


def texts_of(value: Any, where: str, *, needed: bool) -> list[str | None]:
    """The responses of a row: one text or list of turns, or lm-eval's [[r1, r2, ...]]; [None] for none."""
    match value:
        case None | str():
            return [value]
        case [[str(), *_] as several] | ([str(), *_] as several) if all(isinstance(text, str) for text in several):
            return list(several)
        case [dict(), *_]:
            chat = read_turns(value, where)
            thought = f"{OPEN}{chat.thinking}{CLOSE}" if chat.thinking else ""
            return [thought + (chat.response or "")]
    if needed:
        raise UserError(f"{where} must be text, a list of turns or a list of responses, not {str(value)[:40]!r}")
    return [None]


CELLS = {"true": 1, "false": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0}  # of CSV, which are texts


def verdict_of(value: Any) -> int:
    """1 for right, 0 for wrong, -1 if the sample is still to be verified."""
    if isinstance(value, str):
        value = CELLS.get(value.lower(), value)
    if value is None or (isinstance(value, bool | int | float) and value in (0, 1)):
        return -1 if value is None else int(value)
    known = "correct must be true or false, 1 or 0"
    if isinstance(value, float) and math.isnan(value):
        raise Refused(f"{known}, not NaN, which was not scored; make it null to have the text verified")
    score = re.fullmatch(r"-?[\d.]+", str(value))
    fix = "; write a column that says from which score on a sample is right" if score else ""
    raise Refused(f"{known}, not {str(value)[:40]!r}{fix}")
