"""A checkpoint that was trained on plain texts, and carries a chat template that it has never seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlready.core.config import ReadinessConfig
from rlready.core.records import Row
from rlready.models.batch import supervised
from rlready.models.encode import encode
from rlready.models.heldout_loss import heldout_loss
from rlready.models.lm import LM
from rlready.readiness import measure
from rlready.readiness.plain_text import doubt_of_template
from rlready.readiness.stage import readiness
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


def test_the_doubt_is_in_the_result_of_stored_samples_and_drawn_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what is wrong with the samples."""
    monkeypatch.setattr(measure, "doubt_of_template", lambda *_: "its template is odd")
    table = tmp_path / "samples.jsonl"
    samples = [{"problem_id": f"p{p}", "correct": p > 1, "text": "4"} for p in range(3) for _ in range(2)]
    table.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    heldout = "dagmath?ops=5&asked=3&split=test&n=4&seed=1"
    config = ReadinessConfig(checkpoints=(f"{table}?model=embedded",), heldout=heldout, samples=2)
    said = " ".join(readiness(config, tmp_path / "stored").notes)
    assert f"{table}: its template is odd" in said
    assert f"{table}: all samples of every problem are equal" in said
    drawn = ReadinessConfig(checkpoints=("embedded",), problems=heldout, heldout=heldout, samples=2)
    assert "embedded: its template is odd" in " ".join(readiness(drawn, tmp_path / "drawn").notes)
