"""Whether a model can be sampled in a batch at all: its decoder compared, once, with the model's forward.

The plain decoder pads prompts on the left, leaves holes where a row has ended, and removes rows from the cache.  A
model that uses columns as positions, or has a state from which nothing can be removed, then gives other logits or fails
inside transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.engine.decoder import HFDecoder

STEPS = 5  # steps that are compared
HOLES = 16  # holes in a row, enough to change the logits of a model that counts them
TYPES = {"full_attention", "sliding_attention", "global"}  # layer types that the decoder has a mask for
WITHOUT_HOLES = {"local"}  # layer type of GPT-Neo, whose window counts columns
ROUNDING = {torch.float64: 1e-3, torch.float32: 1e-3}  # tolerated distance of logits, relative to their size
HALF = 0.05  # the same for types of two bytes


def refuse_unlike_forward(model: Any, *, holes: bool) -> None:
    """UserError unless the plain decoder gives the logits of the model's forward; a model is compared once.

    ``holes``: whether rows will have holes between their tokens, as thinking budgets cause.
    """
    checked: set[bool] = vars(model).setdefault("_rlready_decoder_checked", set())
    if holes in checked:
        return
    config = model.config.get_text_config()
    types = set(getattr(config, "layer_types", None) or getattr(config, "attention_layers", None) or ())
    other = types - (TYPES if holes else TYPES | WITHOUT_HOLES)
    cause = f"it has layers of type {min(other)}" if other else ""
    try:
        if not other and _differ(model, HOLES if holes else 0):
            cause = "its logits in a batch differ from those of its forward"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # architectures fail in different places
        cause = f"its cache cannot be used in a batch ({type(error).__name__})"
    if cause:
        what = "with thinking budgets" if holes and False in checked else "from it"
        raise UserError(
            f"{type(model).__name__}: sampling {what} is not supported: {cause}; sample it with another program, and "
            "pass the stored samples to rlready readiness as a table (TABLE.parquet)"
        )
    checked.add(holes)


@torch.no_grad()
def _differ(model: Any, holes: int) -> bool:
    """Feed two prompts of unequal length, remove and select rows, and compare the last steps with the forward."""
    embedding = model.get_input_embeddings().weight
    device, size = embedding.device, len(embedding)
    # from the middle of the vocabulary: at its ends are special tokens
    ids = size // 4 + 7 * torch.arange(32, device=device) % max(1, size // 2)
    long, short, more, rest = ids[:9], ids[9:13], ids[13:16], ids[16 : 16 + STEPS]
    decoder = HFDecoder(model, 2)

    def feed(row: Tensor, valid: Sequence[bool]) -> Tensor:
        """The same tokens for every row, or holes."""
        kept = torch.tensor(valid, device=device)[:, None].expand(-1, len(row))
        return decoder.extend(row.expand(len(valid), -1), kept)

    padded = torch.stack([long, torch.cat([long[: len(long) - len(short)], short])])
    valid = torch.ones_like(padded, dtype=torch.bool)
    valid[1, : len(long) - len(short)] = False
    decoder.extend(padded, valid)
    decoder.branch(torch.tensor([1, 0, 0], device=device), len(ids) + holes)
    for _ in range(holes):
        feed(more[:1], [False, False, True])
    feed(more, [True] * 3)
    taken = 2 if holes else 0
    if taken:
        decoder.forget(0, taken)
    decoder.select(torch.tensor([0, 1], device=device))
    decoded = torch.stack([feed(token[None], [True] * 2) for token in rest], dim=1).float()
    texts = (torch.cat([short, more[: len(more) - taken], rest]), torch.cat([long, more, rest]))
    expected = torch.stack([model(input_ids=text[None], use_cache=False).logits[0, -STEPS:] for text in texts]).float()
    if not expected.isfinite().all():  # the engine reports broken weights
        return False
    apart = (decoded - expected).norm(dim=-1) / (expected - expected.mean(-1, keepdim=True)).norm(dim=-1)
    # the median over steps, as rounding may send a single token to other experts
    return not bool((apart.median(dim=1).values <= ROUNDING.get(model.dtype, HALF)).all())
