"""The response of a stored sample in pieces: what the policy chose, what was forced, and what has its own credit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rlready.core.errors import UserError
from rlready.core.records import SampleRow
from rlready.runs.content import ADAPTER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_REPEATED = 8  # tokens that are likely to follow each other again, as an answer or a forced text


@dataclass(frozen=True)
class Piece:
    """A part of a response; ``credit`` is the advantage of its token, where every token has its own."""

    text: str
    forced: bool = False
    credit: float | None = None


class TokenTexts:
    """Finds tokens in the texts of a model's samples, by its tokenizer, which is loaded when it is needed."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._texts: dict[tuple[int, ...], str] = {}

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase | None:
        from rlready.models.adapter import base_here
        from rlready.models.checkpoint_files import has_vocabulary
        from rlready.models.hub import cached, local_folder
        from rlready.models.tokenizer import tokenizer_of

        folder = local_folder(self.model) or cached(self.model)
        try:
            if folder and (folder / ADAPTER).exists() and not has_vocabulary(folder):
                folder = base_here(folder)  # a page fetches no model
            return tokenizer_of(str(folder)) if folder else None
        except UserError:  # it was moved, or is no checkpoint any more: the text alone is shown
            return None

    @cached_property
    def _vocabulary(self) -> frozenset[int]:
        return frozenset(self._tokenizer.get_vocab().values() if self._tokenizer else ())

    def pieces(self, row: SampleRow) -> list[Piece] | None:
        """The text of a sample in pieces, one if its row has no tokens; None if they are not found in the text."""
        text, tokens, mask = row["text"], row.get("tokens") or [], row.get("mask") or []
        if not tokens:
            return [Piece(text)]
        if advantages := row.get("advantages"):
            each = enumerate(zip(mask, advantages, strict=True))
            runs = [(at, not chosen, value if chosen else None) for at, (chosen, value) in each]
        else:
            begins = [at for at, chosen in enumerate(mask) if not at or chosen != mask[at - 1]]
            runs = [(at, not mask[at], None) for at in begins]
        pieces = self._cut(text, tokens, runs) if self._tokenizer else []
        return pieces if any(p.forced or p.credit is not None for p in pieces) else None

    def _cut(self, text: str, tokens: Sequence[int], runs: Sequence[tuple[int, bool, float | None]]) -> list[Piece]:
        """The text cut where ``runs`` of tokens begin, which are (index of the first token, forced, credit).

        From the end, so that the first run, most of the text, is not decoded.  A run that ends or begins within a
        character is part of the run before it.
        """
        pieces, end, last = list[Piece](), len(text), len(tokens)
        for at, forced, credit in reversed(runs):
            added = self._added(tokens[max(0, at - 1) : last]) if at else text[:end]
            if added is None or not text[:end].endswith(added):
                continue
            pieces.append(Piece(text[end - len(added) : end], forced, credit))
            end, last = end - len(added), at
        return [piece for piece in reversed(pieces) if piece.text]

    def _added(self, tokens: Sequence[int]) -> str | None:
        """What the tokens behind the first one add to its text; None if the first one is part of a character."""
        before, whole = self._text(tokens[:1]), self._text(tokens)
        return whole[len(before) :] if whole.startswith(before) else None

    def _text(self, tokens: Sequence[int]) -> str:
        key = tuple(tokens)
        if key in self._texts or self._tokenizer is None:
            return self._texts.get(key, "")
        known = [token for token in tokens if token in self._vocabulary]
        text = str(self._tokenizer.decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        if len(key) <= MOST_REPEATED:
            self._texts[key] = text
        return text
