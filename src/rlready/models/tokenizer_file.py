"""Check the file of a tokenizer before any library reads it: it decides how much memory is taken."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from math import prod
from pathlib import Path
from typing import TypeAlias

from rlready.core.errors import UserError
from rlready.core.regular import read_whole
from rlready.models.one_line import one_line
from rlready.models.weights import AGAIN

Content: TypeAlias = object  # of JSON

_sound = set[bytes]()  # digests of files without a fault: the checkpoints of a run have one tokenizer

LARGEST_ID = 10**7
MOST = 4096  # characters that one may become; those of ALBERT, about the longest chain there is, allow some 1,200
BY_TYPE = {"ByteLevel": 2, "NFC": 4, "NFD": 4, "NFKC": 18, "NFKD": 18}  # how many times as long a text becomes at most


def check_tokenizer_file(path: Path) -> None:
    """UserError for a token id that no vocabulary has, as a table of that size is allocated, and for a normaliser,
    pre-tokeniser or decoder that makes a short text a very long one; and for a SentencePiece model in its place, which
    cannot be checked, and which Transformers reads only where two more packages are installed."""
    other = "" if path.exists() else next((each.name for each in path.parent.glob("*.model")), "")
    if other:
        raise UserError(
            f"{path.parent}: the tokenizer is in {one_line(other)} alone; to add {path.name}: "
            "pip install sentencepiece protobuf, then in Python: from transformers import AutoTokenizer; "
            f"AutoTokenizer.from_pretrained({str(path.parent)!r}).save_pretrained({str(path.parent)!r})"
        )
    try:
        raw = read_whole(path, links=True) if path.exists() else b"{}"
        if (digest := hashlib.sha256(raw).digest()) in _sound:
            return
        content = json.loads(raw.decode("utf-8"))
    except (UserError, OSError, ValueError, RecursionError):  # the library says more about it
        return
    parts = content if isinstance(content, dict) else {}
    model, added = parts.get("model"), parts.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids = [*vocabulary.items()] if isinstance(vocabulary, dict) else []
    _refuse_shared_id(path, ids)
    if isinstance(added, list):
        ids += [(each.get("content"), each.get("id")) for each in added if isinstance(each, dict)]
    for token, number in ids:
        if isinstance(number, int) and number >= LARGEST_ID:
            raise UserError(f"{path}: the token {one_line(token)!r} has the id {number}: damaged; {AGAIN}")
    steps = [step for name in ("normalizer", "pre_tokenizer", "decoder") for step in _steps(parts.get(name))]
    if prod(map(_growth, steps)) > MOST:
        raise UserError(
            f"{path}: its normaliser, pre-tokeniser and decoder may make a text more than {MOST} times as long: no "
            f"tokeniser needs that; {AGAIN}"
        )
    _sound.add(digest)


def _refuse_shared_id(path: Path, ids: list[tuple[str, Content]]) -> None:
    """UserError for a vocabulary in which two tokens have one id, so that one of them is decoded as the other."""
    tokens: dict[Content, str] = {}
    for token, number in ids:
        first = tokens.setdefault(number, token) if isinstance(number, int) else token
        if first != token:
            raise UserError(
                f"{path}: the tokens {one_line(first)!r} and {one_line(token)!r} both have the id {number}: damaged; "
                f"{AGAIN}"
            )


def _steps(part: Content) -> list[dict[str, Content]]:
    """The steps of a sequence, also those of sequences in it."""
    found, todo = list[dict[str, Content]](), [part]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            found.append(each)
            todo += each.values()
        elif isinstance(each, list):
            todo += each
    return found


def _growth(step: dict[str, Content]) -> float:
    """How many times as long a text a step makes at most."""
    kind, content, pattern = step.get("type"), step.get("content"), step.get("pattern")
    if kind == "Replace" and isinstance(content, str) and isinstance(pattern, dict):
        text = str(pattern.get("String", ""))  # an expression may match nothing, as an empty text does
        return max(1, len(content) / len(text)) if text else len(content) + 1
    if kind == "Precompiled":
        return _longest_mapped(step.get("precompiled_charsmap"))
    return BY_TYPE.get(str(kind), 1)


def _longest_mapped(charsmap: Content) -> int:
    """Bytes of the longest text that a map of SentencePiece has for a character: a trie, then the texts."""
    try:
        content = b64decode(str(charsmap))
    except ValueError:  # refused when it is loaded
        return 1
    texts = content[4 + int.from_bytes(content[:4], "little") :]
    return max(1, *map(len, texts.split(b"\0")))
