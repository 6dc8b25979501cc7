"""Worked rows as examples to learn from, in the tokens and the template of a model."""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.errors import UserError
from rlready.core.messages import warn
from rlready.core.progress import counted
from rlready.core.records import Row
from rlready.models.batch import Example, supervised
from rlready.models.lm import LM


def encode(lm: LM, rows: Sequence[Row], source: str, *, stops: bool = False) -> list[Example]:
    """Rows as examples, which learn to stop with ``stops``: see `LM.worked_ids`.

    UserError names the rows that do not fit the context.
    """
    if not rows:
        raise UserError(f"{source}: there are no rows")
    think = any(r.thinking is not None for r in rows)
    if not (lm.chat.key or lm.chat.opened) and any(r.thinking is not None and not r.turn for r in rows):
        warn(
            f"{source}: warning: rows have thoughts, but the chat template of {lm.source} writes none, so they are "
            f"written as {lm.open}\\n … \\n{lm.close}\\n; if the checkpoint was trained otherwise, give the rows "
            "as messages with the thought inside the content, as in its training data"
        )
    examples = [supervised(*lm.worked_ids(r, think=think, stops=stops)) for r in counted("tokenising", rows, "rows")]
    long = [r.id for r, e in zip(rows, examples, strict=True) if len(e) > lm.context]
    if long:
        raise UserError(
            f"{source}: {len(long)} rows are longer than the context of {lm.context} tokens of {lm.source} "
            f"(first: {', '.join(long[:3])}); leave them out, because truncated responses teach a model not to answer"
        )
    return examples
