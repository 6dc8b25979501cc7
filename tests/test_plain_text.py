"""A checkpoint that was trained on plain texts, and carries a chat template that it has never seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from families import MADE, REAL, available, family, published
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.records import Row
from rlready.evaluate.result import EvaluateResult
from rlready.evaluate.stage import evaluate
from rlready.models.batch import supervised
from rlready.models.checkpoint import load
from rlready.models.encode import encode
from rlready.models.heldout_loss import heldout_loss
from rlready.models.lm import LM
from rlready.models.plain_template import passing_through
from rlready.readiness import measure
from rlready.readiness.plain_text import doubt_of_template
from rlready.readiness.stage import readiness
from rlready.train.rl import rl
from rlready.train.sft import sft
from tiny import tiny_lm

ROWS = [Row(str(n), f"{n}+{n}= ", str(2 * n)) for n in range(5)]


def doubt(lm: LM, rows: list[Row] = ROWS) -> str:
    return doubt_of_template(lm, rows, heldout_loss(lm, encode(lm, rows, "rows"), 4096), 4096)


def mean(result: EvaluateResult) -> float:
    """The accuracy of the only model at the largest budget."""
    (scores,) = result.per_problem.values()
    return fmean(scores[str(result.budgets[-1].budget)])


def test_an_end_of_texts_that_the_model_has_no_weights_for_is_no_doubt() -> None:
    """As of a token that was added to the tokenizer alone."""
    lm = tiny_lm()
    lm.tokenizer.add_special_tokens({"eos_token": "<|added|>"})
    assert lm.tokenizer.eos_token_id >= lm.vocabulary
    losses = heldout_loss(lm, [supervised([1], [2]) for _ in ROWS], 4096)
    assert doubt_of_template(lm, ROWS, losses, 4096) == ""


class Wide:
    """A model with more tokens than any tokenizer here."""

    config = generation_config = None

    def get_output_embeddings(self) -> Any:
        return SimpleNamespace(weight=torch.empty(1 << 20, 1, device="meta"))


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


@pytest.mark.parametrize("name", [*MADE, *REAL])
def test_without_the_template_texts_have_the_tokens_that_trl_trains_on(name: str) -> None:
    """TRL encodes the prompt, and the prompt with the completion and the end-of-sequence token (`SFTTrainer`)."""
    if not available(name):
        pytest.skip("run make tokenizers")
    tokenizer = published(name, "for plain texts") if name in REAL else family(name)
    tokenizer.chat_template = passing_through(tokenizer)
    lm = replace(tiny_lm(), tokenizer=tokenizer, model=Wide())
    for prompt, said in (
        ("Reason step by step,", " then"),
        ("step", "\nfinal"),
        ("dog in Spanish is", " perro"),
        ("  by \n", "answer. "),
    ):
        asked, response = lm.worked_ids(Row("1", prompt, said, turn=said), think=False)
        assert asked == tokenizer(prompt)["input_ids"] == lm.prompt_ids(prompt, think=False)
        whole = list(tokenizer(prompt + said)["input_ids"])
        assert whole[: len(asked)] != asked or response == [*whole[len(asked) :], tokenizer.eos_token_id]
    assert "as plain texts, without a chat template" in str(lm.chat)


def test_a_checkpoint_of_plain_texts_is_measured_and_trained_as_it_was_trained(tmp_path: Path) -> None:
    """Each verb gives a model, trained on plain texts, prompts that it knows, and saves a template that passes them."""
    torch.manual_seed(0)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": r.prompt, "completion": r.response}) + "\n" for r in ROWS))
    problems = f"{rows}?answer=completion"
    plain = tiny_lm(template="plain")
    end = plain.tokenizer.eos_token_id
    trained(plain, [(plain.encode(r.prompt), [*plain.encode_behind(r.prompt, r.response), end]) for r in ROWS])
    start = str(tmp_path / "start")
    plain.model.save_pretrained(start)
    plain.tokenizer.save_pretrained(start)
    options = EvaluateConfig(models=(start,), problems=problems, temperature=0, samples=1, max_answer_tokens=4)
    known = evaluate(options.replace(apply_chat_template=False), tmp_path / "known")
    assert mean(known) == 1
    assert mean(evaluate(options, tmp_path / "unknown")) < 1
    more = tmp_path / "more.jsonl"  # of which RL can learn
    other = {"prompt": ROWS[0].prompt * 2, "completion": "it cannot know"}
    more.write_text(rows.read_text() + json.dumps(other) + "\n")
    asked = ReadinessConfig(
        checkpoints=(start,), problems=f"{more}?answer=completion", heldout=str(rows), samples=4, max_answer_tokens=4
    )
    said = readiness(asked, tmp_path / "odd")
    assert "apply_chat_template=false takes the texts as they are" in " ".join(said.notes)
    ready = readiness(asked.replace(apply_chat_template=False), tmp_path / "ready")
    assert "apply_chat_template" not in " ".join(ready.notes)
    assert "apply_chat_template=false" in str(ready.next_command)
    training = SFTConfig(model=start, rows=str(rows), heldout=str(rows), epochs=1, learning_rate=1e-5)
    learned = sft(training.replace(apply_chat_template=False), tmp_path / "sft").checkpoints[-1].path
    one_step = RLConfig(model=start, problems=problems, validation=problems, steps=1, prompts_per_step=2, group_size=2)
    rl(one_step.replace(max_answer_tokens=4, apply_chat_template=False), tmp_path / "rl")
    for checkpoint in (learned, str(tmp_path / "rl" / "checkpoints" / "step-1")):
        lm = load(checkpoint)
        assert lm.prompt_ids("1+1= ", think=False) == lm.encode("1+1= ")
        result = evaluate(options.replace(models=(checkpoint,)), tmp_path / Path(checkpoint).parents[1].name / "after")
        assert mean(result) == 1
