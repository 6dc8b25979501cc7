"""Responses with the dense reward of every token, as ``rlready show --credit`` shows them.

Inputs are texts (``PROMPT<think>RESPONSE``) and tables with a column ``prompt`` and either ``tokens`` and ``mask``, as
run folders keep their samples, or ``pieces``, as their examples, or ``response`` and, if there is one, ``thinking``.
The system turn of a prompt is in the column ``system`` or ``system_prompt``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.messages import warn
from rlready.core.records import Row
from rlready.core.text import with_system
from rlready.credit.probe import Probe
from rlready.credit.reference import ReferencePair
from rlready.models.batch import Example, supervised
from rlready.models.chat import OPEN
from rlready.models.encode import encode
from rlready.models.lm import LM
from rlready.tasks.files import TABLES
from rlready.tasks.table import read_table

SHOWN = 20  # responses of a table, at most
SYSTEM = ("system", "system_prompt")  # columns of a system turn


@dataclass(frozen=True)
class TokenCredit:
    """One response; ``pieces`` (T,) are what its tokens add to the text, ``dense`` (T,) their r̂ in nats.

    ``prompt`` begins with the system turn, if there is one.
    """

    name: str
    prompt: str
    pieces: Sequence[str]
    dense: NDArray[np.float32]

    @property
    def total(self) -> float:
        return float(self.dense.sum(dtype=np.float64))


def credit_of_inputs(
    pair: ReferencePair, inputs: Sequence[str], *, max_tokens_per_microbatch: int = 16384
) -> list[TokenCredit]:
    """The credit of each input, a table of samples or a text; UserError for an input that is neither."""
    found: list[tuple[str, str, Example]] = []
    for each in inputs:
        path = Path(each)
        if path.name.endswith(TABLES):
            found += _table(pair.sft, path)
        else:
            found.append(_text(pair.sft, _content(path) if _is_file(path) else each))
    return _scored(pair, found, max_tokens_per_microbatch)


def credit_of_copies(pair: ReferencePair, probe: Probe, *, max_tokens_per_microbatch: int = 16384) -> list[TokenCredit]:
    """The first copies of the planted-error probe, named by the token that was changed."""
    copies = probe.copies[:SHOWN]
    names = [f"{row.id}, changed at token {at + 1}" for row, at in zip(copies, probe.planted_at, strict=False)]
    rows = encode(pair.sft, copies, "the solutions")
    asked = [with_system(row.prompt, row.system) for row in copies]
    found = list(zip(names, asked, rows, strict=True))
    return _scored(pair, found, max_tokens_per_microbatch)


def _scored(
    pair: ReferencePair, found: Sequence[tuple[str, str, Example]], max_tokens_per_microbatch: int
) -> list[TokenCredit]:
    dense, _ = pair.score([e for _, _, e in found], max_tokens_per_microbatch=max_tokens_per_microbatch)
    return [
        TokenCredit(name, prompt, pair.sft.pieces(list(e.response_ids)), r)
        for (name, prompt, e), r in zip(found, dense, strict=True)
    ]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a file name, or with a character that none can have
        return False


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def _text(lm: LM, text: str) -> tuple[str, str, Example]:
    prompt, opened, response = text.partition(OPEN)
    if not opened or not response.strip():
        raise UserError(f"{text[:60]!r}: neither a table of samples nor a text of the form PROMPT{OPEN}RESPONSE")
    return "text", prompt, _example(lm, lm.prompt_ids(prompt.strip(), think=True), lm.encode(response), "text")


def _table(lm: LM, path: Path) -> list[tuple[str, str, Example]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    table = read_table(str(path))
    if any(_system_unknown(row) for _, row in table.rows[:SHOWN]):
        warn(
            f"show: {path}: warning: some rows do not say whether their prompt has a system turn, as in tables of "
            "earlier versions; they are scored without one. If there was one, add it as a column system"
        )
    return [_row(lm, row, table.place(line)) for line, row in table.rows[:SHOWN]]


def _system_unknown(row: Mapping[str, object]) -> bool:
    """Whether a row that a run has stored lacks the system turn of its prompt."""
    stored = row.get("tokens") is not None or row.get("pieces") is not None
    return stored and all(row.get(key) is None for key in SYSTEM)


def _row(lm: LM, row: Mapping[str, object], where: str) -> tuple[str, str, Example]:
    """A response from its tokens if the row has them, otherwise from its pieces or its text."""
    name = str(row.get("problem_id") or row.get("id") or where)
    prompt = row.get("prompt")
    if not isinstance(prompt, str):
        raise UserError(f"{where}: no column prompt, which scoring a response needs")
    system = next((row[key] for key in SYSTEM if row.get(key) is not None), "")
    if not isinstance(system, str):
        raise UserError(f"{where}: the system turn must be text")
    asked = with_system(prompt, system)
    if row.get("tokens") is not None:
        ids, mask = row["tokens"], row.get("mask")
        if not isinstance(ids, list) or not all(isinstance(t, int) for t in ids):
            raise UserError(f"{where}: tokens must be a list of whole numbers")
        think = row.get("thinking_budget") is not None
        return name, asked, _example(lm, lm.prompt_ids(prompt, system, think=think), ids, where, mask)
    if row.get("pieces") is not None:
        text, mask = _joined(row["pieces"], where)
        ids = lm.encode(text)
        if len(ids) != len(mask):  # then it is unknown which of its tokens were forced
            raise UserError(
                f"{where}: the tokenizer makes {len(ids)} tokens of {len(mask)} pieces; give tokens and mask instead"
            )
        think = row.get("budget") is not None
        return name, asked, _example(lm, lm.prompt_ids(prompt, system, think=think), ids, where, mask)
    response, thinking = row.get("response"), row.get("thinking")
    if not isinstance(response, str):
        raise UserError(f"{where}: has none of the columns tokens, pieces and response")
    if not isinstance(thinking, str | None):
        raise UserError(f"{where}: thinking must be text, or left out")
    worked = Row(name, prompt, response, thinking, system)
    think = worked.thinking is not None
    return name, asked, _example(lm, *lm.worked_ids(worked, think=think), where)


def _joined(pieces: object, where: str) -> tuple[str, list[object]]:
    """The text of the pieces of a response, and of each of them whether the model chose it (1) or it was forced (0)."""
    pairs = [(piece[0], piece[1]) for piece in pieces if _is_pair(piece)] if isinstance(pieces, list) else []
    if not isinstance(pieces, list) or len(pairs) < len(pieces):
        raise UserError(f"{where}: pieces must be a list of [text, 0 or 1]")
    return "".join(text for text, _ in pairs), [chosen for _, chosen in pairs]


def _is_pair(piece: object) -> bool:
    return isinstance(piece, list | tuple) and len(piece) == 2 and isinstance(piece[0], str)


def _example(lm: LM, prompt: Sequence[int], ids: Sequence[int], where: str, mask: object = None) -> Example:
    if not ids:
        raise UserError(f"{where}: the response is empty")
    strange = next((t for t in ids if not 0 <= t < lm.vocabulary), None)
    if strange is not None:
        raise UserError(f"{where}: token {strange} is not in the model's vocabulary of {lm.vocabulary} tokens")
    if len(prompt) + len(ids) > lm.context:
        raise UserError(f"{where}: longer than the context of {lm.context} tokens")
    made = supervised(prompt, ids)
    if mask is None:
        return made
    if not isinstance(mask, list) or any(m not in (0, 1) for m in mask):
        raise UserError(f"{where}: mask must be a list of 0 (forced) and 1 (chosen)")
    if len(mask) != len(ids):
        raise UserError(f"{where}: {len(ids)} tokens, but a mask of length {len(mask)}")
    return Example(prompt, ids, np.asarray(mask, dtype=np.uint8), made.advantage, made.weight)
