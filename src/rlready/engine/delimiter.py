"""The end of a thought, recognised in a stream of tokens.

If the delimiter is one token it is recognised by its id, otherwise by decoded text: it may then consist of different
tokens, and its first and last token may contain more than the delimiter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlready.core.errors import UserError


class Delimiter:
    """A delimiter of thoughts, recognised by token id or by decoded text.

    ``decode`` maps token ids to text; ``pieces`` are the texts of all tokens: they show which tokens can complete
    the delimiter and which can begin it.
    """

    def __init__(self, text: str, ids: Sequence[int], decode: Callable[[Sequence[int]], str], pieces: Sequence[str]):
        self.text, self.decode = text, decode
        self.single = ids[0] if len(ids) == 1 else None
        if self.single is not None:
            self.completing = frozenset(ids)
            self.opening = frozenset(ids)
        else:
            last, first = text[-1], text[0]
            # a token of some of the bytes of a character has no text of its own
            ends = (last,) if last.isascii() else (last, "\ufffd")
            self.completing = frozenset(i for i, piece in enumerate(pieces) if any(end in piece for end in ends))
            stripped = [piece.strip() for piece in pieces]
            self.opening = frozenset(
                i for i, s in enumerate(stripped) if s[:1] == first and text.startswith(s[: len(text)])
            )
        if not self.completing:
            raise UserError(f"no token of the vocabulary can complete the thought delimiter {text!r}")

    def length(self, tokens: Sequence[int]) -> int:
        """The number of trailing tokens that contain the delimiter, if the last token completes it; otherwise 0."""
        if tokens[-1] not in self.completing:
            return 0
        if self.single is not None:
            return 1
        longest = min(len(tokens), 2 * len(self.text.encode()))
        tail = self.decode(tokens[-longest:])
        if self.text not in tail and "\ufffd" not in tail:  # which a cut inside of a character makes of what follows
            return 0
        for n in range(1, longest + 1):
            if self.text in self.decode(tokens[-n:]):
                return n
        return 0

    def pending(self, tokens: Sequence[int]) -> bool:
        """Whether the last tokens are a proper beginning of a many-token delimiter."""
        if self.single is not None or not tokens:
            return False
        tail = self.decode(tokens[-len(self.text) :])
        return any(tail.endswith(self.text[:n]) for n in range(len(self.text) - 1, 0, -1))
