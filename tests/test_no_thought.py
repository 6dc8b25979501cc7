"""Models that do not think: one limit on the response in every command, and what is refused before weights are read."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import families
from rlready.cli.main import main
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.core.errors import UserError
from rlready.core.records import Group, Problem, Sample
from rlready.core.truncation import many_truncated
from rlready.credit.reward import RewardFn
from rlready.engine import precheck
from rlready.engine.rollout import rewarded, sample_row, warn_run_ons
from rlready.evaluate.result import EvaluateResult
from rlready.evaluate.settings import settings_of
from rlready.models.chat_template import learn_format, with_thought
from rlready.runs.record import RunRecord
from rlready.train.log import RolloutStats
from test_chat import CHATML, QWEN3
from test_docs import commands, small, write
from tiny import tiny_lm, tiny_model, tiny_tokenizer


@pytest.fixture
def trl_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints in the layout of a TRL output folder, and the files that the README names."""
    monkeypatch.chdir(tmp_path)
    tokenizer = families.family("byte-level")
    tokenizer.chat_template, tokenizer.pad_token = QWEN3 if request.param else CHATML, "<unk>"
    for seed, step in enumerate((150, 300)):
        folder = Path(f"outputs/checkpoint-{step}")
        tiny_model("Llama", seed, vocab_size=len(tokenizer)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        assert (folder / "chat_template.jinja").exists()
    for name in ("problems", "train", "dev", "test", "heldout"):
        write(f"{name}.jsonl", [{"prompt": f"{name} {i} + 2?", "answer": "5", "response": "#### 5"} for i in range(3)])
    return tmp_path


@pytest.mark.parametrize("trl_folder", [False, True], ids=["plain", "thinks"], indirect=True)
def test_the_readme_on_a_trl_output_folder(
    trl_folder: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    """As typed, but for sizes: the limit of responses comes from the preset where the command sets none."""
    thinks = "thinks" in request.node.callspec.id
    for words in commands("README.md"):
        if words[0] == "evaluate":
            shutil.copytree("runs/rl/checkpoints/step-1", "runs/rl/checkpoints/step-50", dirs_exist_ok=True)
        typed = [w for w in small(words) if thinks or not w.startswith(("thinking_budget=", "max_answer_tokens="))]
        assert main(typed) == 0, shlex.join(typed)
    config = RunRecord.load(Path("runs/ready")).config
    limits = {"thinking_budget": 8, "max_answer_tokens": 4} if thinks else {"max_answer_tokens": 64}
    assert {key: config.get(key) for key in ("thinking_budget", *limits)} == {"thinking_budget": None} | limits
    result = EvaluateResult.load(Path("runs/eval"))
    assert result.response_limits is not thinks
    assert bool(result.unconstrained) is thinks
    assert [row.budget for row in result.budgets] == ([8, 16] if thinks else [4, 8, 16, 32, 64])
    scores, *others = result.tables()
    assert scores.columns[0] == ("budget" if thinks else "response limit")
    assert any(table.title.startswith("Control") for table in others) is thinks
    page = Path("runs/eval/report.html").read_text()
    lengths = re.findall("(?<!budget )of (?:8|16) thinking tokens" if thinks else "of 64 response tokens", page)
    assert 0 < len(lengths) == page.count('class="sample"')
    for word in ("Control", "forced, and the model", "A thinking budget", "largest budget"):
        assert (word in page) is thinks, word
    warned = "thinking_budgets does not apply, as no model thinks: max_answer_tokens=64 limits the whole response"
    assert (warned in capfd.readouterr().err) is not thinks


def test_response_limits_are_compared_unless_a_model_thinks() -> None:
    config = EvaluateConfig(max_answer_tokens=64)
    settings = settings_of(config, thinks=False)
    assert [s.name for s in settings.main] == ["4", "8", "16", "32", "64"]
    assert settings.unconstrained is None
    assert settings_of(config.replace(thinking_budgets=(32,)), thinks=False) == settings
    assert all(s.budget.thinking_budget is None and s.budget.max_answer_tokens == s.tokens for s in settings.all)
    free = settings_of(config.replace(max_response_tokens=90), thinks=False)
    assert [s.budget.max_answer_tokens for s in free.all] == [90, 4, 8, 16, 32, 64]
    alone = settings_of(config.replace(unconstrained=True), thinks=False)
    assert [(s.name, s.budget.max_answer_tokens) for s in alone.all] == [("unconstrained", 64)]


def response(tokens: int, *, thinking: int | None, correct: bool = True) -> Sample:
    ids, budget = np.zeros(tokens, np.int32), None if thinking is None else 99
    return Sample(
        *("p", 0, ids, np.ones(tokens, np.uint8), np.zeros(tokens, np.float32), thinking or 0),
        tokens - (thinking or 0),
        thinking_budget=budget,
        correct=correct,
        reward=0.0,
    )


def test_length_rewards_count_the_response_where_there_is_no_thought() -> None:
    reward = RewardFn("arora_zanette")

    def rewards(*samples: Sample) -> list[float]:
        (group,) = rewarded([Group(Problem("p", "?", "1"), [1], samples)], reward, [64])
        return group.rewards.tolist()

    short, long = rewards(response(5, thinking=None), response(50, thinking=None))
    assert short - long > 0.04
    same = rewards(response(5, thinking=3), response(50, thinking=3))  # thoughts of one length, answers of two
    assert same[0] == pytest.approx(same[1])
    stats = RolloutStats.of([Group(Problem("p", "?", "1"), [1], [response(5, thinking=None)] * 3)])
    assert (stats.thinking_tokens, stats.response_tokens) == (0, 5)


def test_many_truncated_responses_are_warned_of() -> None:
    assert not many_truncated({"rollouts": 0.2}, RLConfig())
    said = many_truncated({"a": 0.54, "b": 0.1}, ReadinessConfig())
    assert "(a 54%)" in said
    assert said.endswith("; with a larger max_answer_tokens more may be correct")
    assert "a larger thinking_budget or max_answer_tokens" in many_truncated({"_": 0.21}, RLConfig(thinking_budget=8))


def test_a_sample_that_runs_on_counts_once_and_the_warning_says_what_to_type(capfd: pytest.CaptureFixture[str]) -> None:
    """At five limits the same response would be counted five times."""
    samples = [replace(response(4, thinking=None), sample_id=i, run_on=i == 1) for i in range(3)]
    rows = [sample_row(sample, Problem("p", "?", "1")) for sample in samples]
    warn_run_ons("evaluate", "my models/a", 5 * rows)
    said = capfd.readouterr().err
    assert said.startswith("evaluate: my models/a: warning: 1 of 3 responses continue into another turn")
    assert said.endswith(": rlready show --template 'my models/a'\n")
    warn_run_ons("evaluate", "a", rows[:1])
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("template", "config", "message"),
    [
        ("plain", RLConfig(num_waits=1), "num_waits needs a model that thinks"),
        ("plain", ReadinessConfig(answer_prefix="so"), "answer_prefix needs a model that thinks"),
        ("plain", EvaluateConfig(end_think_bias=(1.0,)), "end_think_bias needs a model that thinks"),
        ("plain", EvaluateConfig(length_prompt=" use {N}"), "length_prompt needs a model that thinks"),
        ("plain", ReadinessConfig(delimiters=("[§", "§]")), r"'§\]' \(delimiters\)"),
        ("opens", ReadinessConfig(answer_prefix="§"), r"'§' \(answer_prefix\); choose other texts"),
        ("opens", RLConfig(num_waits=1, wait_text="§"), r"'§' \(wait_text\)"),
        ("opens", RLConfig(length_prompt=" {N} §", length_targets=(5,)), r"'§?.*' \(length_prompt\)"),
    ],
)
def test_settings_are_checked_before_weights_are_read(
    monkeypatch: pytest.MonkeyPatch, template: str, config: Any, message: str
) -> None:
    lm = tiny_lm(template=template)
    lm.tokenizer.unk_token = "<pad>"
    lm.tokenizer.backend_tokenizer.model.unk_token = "<pad>"
    monkeypatch.setattr(precheck, "load_without_weights", lambda source, delimiters, **_: replace(lm, given=delimiters))
    with pytest.raises(UserError, match=message):
        precheck.check_sampling(config.replace(max_answer_tokens=4), ["it"])


def test_rl_states_and_rewards_response_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """A length reward and a length prompt need no thought in RL, where they are about the response."""
    monkeypatch.setattr(precheck, "load_without_weights", lambda source, **_: tiny_lm(template="plain"))
    config = RLConfig(reward="lcpo_max", length_prompt=" in {N}", max_answer_tokens=40)
    assert not precheck.check_sampling(config, ["it"])
    assert precheck.length_targets(config, tiny_lm(template="plain")) == (40,)
    assert precheck.length_targets(config.replace(thinking_budget=30), tiny_lm()) == (30,)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UserError, match=r"contains U\+D83D, half of a surrogate pair.*remove it"):
        tiny_lm().prompt_ids("what is \ud83d?", think=True)


def test_delimiters_of_sft_are_written_into_the_template() -> None:
    for pair in (("<think>", "</think>"), ("<reason>", "</reason>")):
        tokenizer = tiny_tokenizer(template="plain")
        with_thought(learn_format(tokenizer, "it", pair))
        saved = learn_format(tokenizer, "it")
        assert saved.thinks
        assert (saved.thought.opener, saved.thought.closer) == pair


def test_a_format_without_thoughts_lists_none() -> None:
    assert "thought" not in tiny_lm(template="plain").chat.describe()
    assert tiny_lm().chat.describe()["thought"] == ["<think>\n", "\n</think>\n"]
