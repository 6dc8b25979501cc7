"""Whether a checkpoint knows its rows as plain text, without the chat template that it is measured with.

TRL trains on rows whose prompt and completion are texts without a chat template, and saves that of the tokenizer all
the same.  The rows tell: as plain text they cost such a checkpoint far less.  The limits are a choice of this package.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.records import Row
from rlready.models.batch import supervised
from rlready.models.heldout_loss import HeldOut, heldout_loss
from rlready.models.lm import LM
from rlready.models.plain_template import begins_texts

ROWS = 16  # that are tried as plain text
LESS, SHARE = 0.5, 0.5  # nats per token by which plain text must cost less, and the share of the loss that it may cost


def doubt_of_template(lm: LM, rows: Sequence[Row], losses: HeldOut, max_tokens: int) -> str:
    """What is to be said of a checkpoint to which rows with these losses are more likely as plain text; else ""."""
    end, first = lm.tokenizer.eos_token_id, [lm.tokenizer.bos_token_id] if begins_texts(lm.tokenizer) else []
    few = [at for at, row in enumerate(rows[:ROWS]) if not row.system and (row.thinking is None or row.turn)]
    if not few or end is None or max(end, *first, 0) >= lm.vocabulary:  # a token that was added without its weights
        return ""
    texts = [(rows[at].prompt, rows[at].turn or rows[at].response) for at in few]
    examples = [supervised([*first, *lm.encode(one)], [*lm.encode_behind(one, other), end]) for one, other in texts]
    plain = heldout_loss(lm, examples, max_tokens).token_mean.value
    rendered = float(losses.nll[few].sum() / losses.tokens[few].sum())
    if rendered - plain < LESS or plain > SHARE * rendered:
        return ""
    return (
        f"held-out rows cost it {rendered:.2f} nats per token by its chat template, and {plain:.2f} as plain text: if "
        "it was trained without the template, as TRL does where prompt and completion are texts, it is measured on "
        "prompts that it does not know; apply_chat_template=false takes the texts as they are"
    )
