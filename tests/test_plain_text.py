"""A checkpoint that was trained on plain texts, and carries a chat template that it has never seen."""

from __future__ import annotations

from dataclasses import replace

import torch

from rlready.core.records import Row
from rlready.models.batch import supervised
from rlready.models.encode import encode
from rlready.models.heldout_loss import heldout_loss
from rlready.models.lm import LM
from rlready.readiness.plain_text import doubt_of_template
from tiny import tiny_lm

ROWS = [Row(str(n), f"{n}+{n}= ", str(2 * n)) for n in range(5)]


def doubt(lm: LM, rows: list[Row] = ROWS) -> str:
    return doubt_of_template(lm, rows, heldout_loss(lm, encode(lm, rows, "rows"), 4096), 4096)


def trained(lm: LM, examples: list[tuple[list[int], list[int]]]) -> LM:
    """The model after some steps on these prompts and responses."""
    optimizer = torch.optim.AdamW(lm.model.parameters(), 0.02)
    for _ in range(60):
        for prompt, response in examples:
            ids = torch.tensor([[*prompt, *response]])
            labels = torch.tensor([[-100] * len(prompt) + response])
            lm.model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return lm


def test_rows_that_are_known_as_plain_text_are_a_doubt_of_the_template() -> None:
    torch.manual_seed(0)
    end = tiny_lm().tokenizer.eos_token_id
    assert doubt(tiny_lm()) == ""
    plain = tiny_lm()
    plain = trained(plain, [(plain.encode(r.prompt), [*plain.encode_behind(r.prompt, r.response), end]) for r in ROWS])
    assert "as plain text: if it was trained without the template, as TRL does" in doubt(plain)
    assert doubt(plain, [replace(row, system="Add.") for row in ROWS]) == ""
    chat = tiny_lm()
    chat = trained(chat, [chat.worked_ids(row, think=False) for row in ROWS])
    assert heldout_loss(chat, [supervised(*chat.worked_ids(r, think=False)) for r in ROWS], 4096).token_mean.value < 1
    assert doubt(chat) == ""
