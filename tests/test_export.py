"""What ``rlready export`` writes: every setting is accounted for, verdicts and rewards are those of ``rlready rl``."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import tomllib
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import families
import rlready
from rlready.cli.main import main
from rlready.core.config import ExportConfig, RLConfig, SweepConfig, Tool
from rlready.core.errors import UserError
from rlready.credit.reward import RewardFn
from rlready.export.result import ExportResult
from rlready.export.reward import ExportedReward, Response
from rlready.export.stage import export
from rlready.models.chat_template import OPENER
from rlready.models.checkpoint import load_without_weights
from rlready.train.rl import rl
from test_chat import CHATML
from tiny import tiny_model

TOOLS: tuple[Tool, ...] = ("trl", "verl", "prime-rl")
DENSE = {name for name, field in RLConfig.model_fields.items() if "algorithm" in str(field.json_schema_extra)}
# what names the model and the data, and what is in the problems or in reward.py
INSIDE = {"model", "problems", "validation", "reward", "reward_coef", "length_prompt", "loss", "apply_chat_template"}
INSIDE |= {"keep_samples"}  # of rlready's own files
OFF = {"answer_prefix", "num_waits", "wait_text", "length_targets", "delimiters"}  # without effect by default
BASE = 'model = "model"\nproblems = "sums.jsonl"\nvalidation = "sums.jsonl?n=2"\nprompts_per_step = 2\ngroup_size = 2\n'
VERIFIER = "def right(problem, answer):\n    return answer.strip() == f'<{problem.answer}>'\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a model that thinks between ordinary tokens, four problems and a verifier."""
    monkeypatch.chdir(tmp_path)
    save_thinking_model("model")
    rows = [{"id": f"p{n}", "prompt": f"{n} + 1?", "answer": str(n + 1)} for n in range(4)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("check.py").write_text(VERIFIER)
    return tmp_path


def save_thinking_model(folder: str) -> None:
    tokenizer = families.family("characters")
    tokenizer.chat_template = CHATML + OPENER
    tiny_model("Llama", vocab_size=len(tokenizer), hidden_size=16, head_dim=4).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def exported(settings: str, to: Tool, out: str = "out") -> ExportResult:
    Path("rl.toml").write_text(BASE + settings)
    return export(ExportConfig(run="rl.toml", to=to), Path(out))


def nested(file: Path, name: str) -> Any:
    """The value of a dotted name in a TOML file."""
    value: Any = tomllib.loads(file.read_text())
    for part in name.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("to", TOOLS)
@pytest.mark.parametrize(
    "settings", ["", 'engine = "vllm"\nlora_r = 4\nlora_alpha = 8\nlora_target_modules = ["q_proj"]\n']
)
def test_every_setting_is_translated_or_named(here: Path, to: Tool, settings: str) -> None:
    everything = (
        'device = "cuda"\ndtype = "float32"\nsave_total_limit = 2\nupdates_per_batch = 2\nkl_coef = 0.1\n'
        'epsilon = 0.1\nepsilon_high = 0.3\ngradient_checkpointing = true\nnum_waits = 1\nanswer_prefix = "so"\n'
        'seed = 3\nlength_targets = [8, 16]\nreward = "lcpo_max"\ndelimiters = ["<think>", "</think>"]\n'
    )
    result = exported(everything + settings, to)
    settled = [*result.translated, *result.untranslated]
    named = {name for each in settled for name in each.setting.split(" + ")}
    off = {"engine"} if settings else {"lora_r", "lora_alpha", "lora_target_modules"}  # prime-rl has vLLM only
    off |= {"distributed"}  # how weights are spread over GPUs changes nothing
    off |= {"importance_correction", "importance_cap"} if to == "trl" and not settings else set()
    assert set(RLConfig.model_fields) - named <= INSIDE | DENSE | off
    readme = (here / "out" / "README.md").read_text()
    named_files = set(re.findall(r"`([\w.]+\.py)`", readme))
    reward = {"rlready_taskset.py" if to == "prime-rl" else "reward.py"}
    assert named_files == reward | ({"train.py"} if to == "trl" else set())
    assert named_files < set(result.files)
    assert "rlready import out" in readme
    (names_model,) = re.findall(rf"from `{here / 'model'}` \(if you move this, change it in `([\w.]+)`\)", readme)
    assert str(here / "model") in (here / "out" / names_model).read_text()
    assert all(f"{each.setting}={each.value}" in readme for each in result.untranslated)


@pytest.mark.parametrize("to", TOOLS)
def test_a_run_over_a_server_is_one_by_vllm(here: Path, to: Tool) -> None:
    address = "http://localhost:8000"
    by_vllm = exported('engine = "vllm"\n', to, "one")
    by_server = exported(f'engine = "{address}"\n', to, "other")
    assert by_server.translated == by_vllm.translated
    (lacking,) = [each for each in by_server.untranslated if each not in by_vllm.untranslated]
    assert (lacking.setting, lacking.value) == ("engine", address)


@pytest.mark.parametrize("to", TOOLS)
def test_a_setting_without_effect_is_not_named(here: Path, to: Tool) -> None:
    assert not OFF & {each.setting for each in exported("", to).untranslated}


def test_an_export_that_was_moved_gives_the_verdicts_of_the_verifier(here: Path) -> None:
    """Without the files that it was made from; a thought is not part of the answer."""
    Path("rl.toml").write_text(BASE.replace('"sums.jsonl"', '"sums.jsonl?verifier=check.py:right"'))
    export(ExportConfig(run="rl.toml"), Path("other"))
    (here / "other").rename(here / "moved")
    for name in ("sums.jsonl", "check.py"):
        (here / name).unlink()
    reward = ExportedReward(here / "moved")
    texts = ["<think>\n<9>\n</think>\n<2>", "\nmaybe\n</think><2></s>", "</think>2", "<2>", "</think><2><think>"]
    scored = reward.score([Response("train", "p1", 1, text) for text in texts])
    assert [each.reward for each in scored] == [1.0, 1.0, 0.0, 0.0, 1.0]
    assert reward.score([Response("validation", "p0", 1, "</think>1")])[0].correct


@pytest.mark.parametrize("opened", [False, True])
def test_a_thought_that_is_never_closed_has_no_answer(here: Path, opened: bool) -> None:
    """Whether the response opens it or the prompt."""
    exported("", "trl")
    manifest = json.loads(Path("out/export.json").read_text())
    assert manifest["opened"] is True
    Path("out/export.json").write_text(json.dumps(manifest | {"opened": opened}))
    reward = ExportedReward(here / "out")
    texts = ["<think>it is 2", "<think>so</think>2", "so</think>2", "it is 2"]
    scored = reward.score([Response("train", "p1", 1, text) for text in texts])
    assert [each.correct for each in scored] == [False, True, True, not opened]


@pytest.mark.parametrize(("prefix", "verified"), [("so: ", "<2>"), (r"\boxed{", r"\boxed{<2>")])
def test_what_is_forced_before_an_answer_is_not_verified(here: Path, prefix: str, verified: str) -> None:
    """As in RL: unless a verifier finds the answer by it."""
    exported(f"thinking_budget = 8\nmax_answer_tokens = 8\nanswer_prefix = {prefix!r}\n", "trl")
    reward = ExportedReward(here / "out")
    text = f"a</think>\n{prefix}<2>"
    assert reward.parts(text, truncated=True)[1].strip() == verified
    assert reward.parts(text)[1] == f"\n{prefix}<2>"  # what the model has written itself


def test_problems_that_another_version_would_make_are_refused(here: Path) -> None:
    exported("", "trl")
    manifest = json.loads(Path("out/export.json").read_text())
    Path("out/export.json").write_text(json.dumps(manifest | {"makers": "rlready 0.0.1"}))
    assert ExportedReward(here / "out").score([Response("train", "p1", 1, "</think>2")])[0].correct
    table = here / "out" / "data" / "train" / "sums.jsonl"
    table.write_text(table.read_text().replace('"answer": "4"', '"answer": "5"'))
    with pytest.raises(UserError, match=r"are not those of the export, which rlready 0\.0\.1 made; here is rlready \d"):
        ExportedReward(here / "out").score([Response("train", "p1", 1, "2")])


@pytest.mark.parametrize(("kind", "limits"), [("arora_zanette", ""), ("lcpo_exact", "length_targets = [12]\n")])
def test_length_rewards_are_those_of_rl(here: Path, kind: Any, limits: str) -> None:
    """Of whole groups, also where one problem has two; thoughts are measured in tokens."""
    exported(f'reward = "{kind}"\n{limits}', "trl")
    reward, target = ExportedReward(here / "out"), 12
    thoughts, answers = ["abc", "a", "abcdefgh", "ab"], ["2", "2", "2", "3"]
    texts = [f"{thought}</think>{answer}" for thought, answer in zip(thoughts, answers, strict=True)]
    scored = reward.score([Response("train", "p1", target, text) for text in texts])
    correct, lengths = np.array([True, True, True, False]), np.array([3, 1, 8, 2])
    expected = [RewardFn(kind)(correct[at : at + 2], lengths[at : at + 2], target) for at in (0, 2)]
    np.testing.assert_allclose([each.reward for each in scored], np.concatenate(expected))


def test_verl_gets_parquet_overrides_and_a_reward(here: Path) -> None:
    result = exported('algorithm = "dr_grpo"\nkl_coef = 0.5\nsteps = 7\n', "verl")
    (first, *_), held = (
        pq.read_table(here / "out" / f"{name}.parquet").to_pylist() for name in ("train", "validation")
    )
    assert first == {
        "data_source": "sums.jsonl",
        "prompt": [{"content": "0 + 1?", "role": "user"}],
        "ability": "reasoning",
        "reward_model": {"ground_truth": "1", "style": "rule"},
        "extra_info": {"index": 0, "length_target": result_target(result), "problem_id": "p0", "split": "train"},
    }
    assert [row["extra_info"]["problem_id"] for row in held] == ["p0", "p1"]
    words = shlex.split((here / "out" / "launch.sh").read_text().partition("exec")[2])
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert {name: given[name] for name in (each.counterpart for each in result.translated)}.keys()
    actor = "actor_rollout_ref.actor."
    assert given[actor + "loss_agg_mode"] == "seq-mean-token-sum-norm"
    assert given["algorithm.norm_adv_by_std_in_grpo"] == "False"
    assert given[actor + "loss_scale_factor"] == given["data.max_response_length"]
    assert (given[actor + "kl_loss_coef"], given["trainer.total_training_steps"]) == ("0.5", "7")
    compute = runpy.run_path(str(here / "out" / "reward.py"))["compute_score"]
    for text, right in (("so</think>1", 1.0), ("1</think>so", 0.0)):
        assert compute("any", text, "1", first["extra_info"]) == {"score": right, "acc": right}


@pytest.mark.parametrize(
    ("to", "name"),
    [("verl", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"), ("prime-rl", "trainer.model.seq_len")],
)
def test_a_micro_batch_has_room_for_the_longest_sequence(here: Path, to: Tool, name: str) -> None:
    """verl and prime-rl end with an error, or leave tokens out, where it has not."""
    prompt = len(load_without_weights("model").prompt_ids("0 + 1?", "", think=False))
    for tokens, expected in ((8, prompt + 100 + 16), (4000, 4000)):
        settings = f"max_tokens_per_microbatch = {tokens}\nthinking_budget = 100\nmax_answer_tokens = 16\n"
        result = exported(settings, to, f"out{tokens}")
        assert {each.counterpart: each.value for each in result.translated}[name] == expected


def result_target(result: ExportResult) -> int:
    """The target length without one: the thinking budget."""
    return int(next(each.value for each in result.untranslated if each.setting == "thinking_budget"))


def test_prime_rl_gets_toml_and_a_taskset(here: Path) -> None:
    result = exported("steps = 7\n", "prime-rl")
    file = here / "out" / "rl.toml"
    assert all(nested(file, each.counterpart) == each.value for each in result.translated)
    assert "seq_len" not in tomllib.loads(file.read_text())  # prime-rl refuses it beside that of the trainer
    assert nested(file, "orchestrator.seq_len") == nested(file, "inference.vllm.max_model_len")
    (source,) = nested(file, "orchestrator.eval.source")
    module = here / "out" / f"{source['env']['taskset']['id']}.py"
    compile(module.read_text(), str(module), "exec")
    rows = [json.loads(line) for line in (here / "out" / "train.jsonl").read_text().splitlines()]
    assert [row["problem_id"] for row in rows] == ["p0", "p1", "p2", "p3"]
    assert {"algorithm", "importance_cap"} <= {each.setting for each in result.untranslated}


def test_a_run_folder_is_exported_with_what_it_trained_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another working directory; what was chosen for it is kept."""
    settings = {"steps": 1, "prompts_per_step": 2, "group_size": 2, "eval_samples": 1, "thinking_budget": 4}
    rl(
        RLConfig(model="model", problems="sums.jsonl", validation="sums.jsonl?n=2", max_answer_tokens=2, **settings),
        Path("runs/rl"),
    )
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    result = export(ExportConfig(run="../runs/rl", to="verl"), Path("out"))
    values = {each.counterpart: each.value for each in result.translated}
    assert (values["data.max_response_length"], values["actor_rollout_ref.rollout.n"]) == (6, 2)
    assert str(here / "model") in Path("out/launch.sh").read_text()
    file = here / "runs/rl/config.toml"
    file.write_text(file.read_text().replace("group_size = 2", "group_size = 4"))
    with pytest.raises(UserError, match=r"config\.toml: group_size = 4, but the run had 2: the file was edited"):
        export(ExportConfig(run="../runs/rl", to="verl"), Path("edited"))


def test_the_reward_reads_what_comes_before_a_text_that_ends_a_turn() -> None:
    """Behind which a tool that knows tokens alone samples on."""
    fields = {
        "stops": ["</s>"],
        "ending": "<|ends|>",
        "opened": False,
        "opener": "",
        "closer": "</think>",
        "answer_prefix": "",
    }
    reward: Any = SimpleNamespace(manifest=SimpleNamespace(**fields))
    said = "#### 5<|ends|>\n<|says|>user\n3+4?<|ends|>#### 7<|ends|></s>"
    assert ExportedReward.parts(reward, said)[1] == "#### 5"


def test_an_export_is_made_once(here: Path) -> None:
    first = exported("", "trl")
    assert exported("", "trl") == first
    with pytest.raises(UserError, match=r"rl\.toml"):
        exported("steps = 3\n", "trl")
    exported("", "trl", "again")
    (here / "out" / "train.py").write_text("")
    with pytest.raises(UserError, match=r"train\.py: damaged.*--overwrite"):
        exported("", "trl")
    exported("", "trl", "third")
    (here / "third" / "data" / "train" / "sums.jsonl").unlink()
    with pytest.raises(UserError, match=r"sums\.jsonl: deleted.*--overwrite"):
        exported("", "trl", "third")


@pytest.mark.parametrize(
    ("settings", "to", "said"),
    [
        ('algorithm = "dense"\n', "trl", "algorithm=dense has no counterpart in trl"),
        ('loss = "mine:loss"\n', "verl", "loss=mine:loss: a loss of your own"),
        ('reward = "arora_zanette"\n', "verl", "compares the responses of a group"),
        ("kl_coeff = 1.0\n", "trl", "rl.toml: unknown key 'kl_coeff'"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(here: Path, settings: str, to: Tool, said: str) -> None:
    with pytest.raises(UserError, match=said):
        exported(settings, to)
    assert not (here / "out").exists()


def test_a_name_with_the_place_of_the_export_cannot_travel(here: Path) -> None:
    (here / "sums.jsonl").rename("{here}.jsonl")
    Path("rl.toml").write_text(BASE.replace("sums.jsonl", "{here}.jsonl"))
    with pytest.raises(UserError, match=r"\{here\} stands for the folder of an export; rename"):
        export(ExportConfig(run="rl.toml", to="trl"), Path("out"))


def test_a_verifier_of_several_modules_cannot_travel(here: Path) -> None:
    Path("helper.py").write_text("def same(a, b):\n    return a == b\n")
    Path("check.py").write_text("import helper\n\n\ndef right(problem, answer):\n    return helper.same(answer, '1')\n")
    Path("rl.toml").write_text(BASE.replace('"sums.jsonl"', '"sums.jsonl?verifier=check.py:right"'))
    with pytest.raises(UserError, match=r"cannot travel: check.py:right is made of 2 files \(check.py, helper.py\)"):
        export(ExportConfig(run="rl.toml"), Path("out"))


def test_a_verifier_that_reads_a_file_beside_it_cannot_travel(here: Path) -> None:
    Path("answers.txt").write_text("1")
    for place in ("'answers.txt'", "__file__.replace('check.py', 'answers.txt')"):
        Path("check.py").write_text(f"ANSWER = open({place}).read()\n" + VERIFIER)
        Path("rl.toml").write_text(BASE.replace('"sums.jsonl"', '"sums.jsonl?verifier=check.py:right"'))
        with pytest.raises(
            UserError, match=r"check\.py:right cannot be imported in another folder: FileNotFound.*answers"
        ):
            export(ExportConfig(run="rl.toml"), Path("out"))
        assert not Path("out").exists()


def test_an_escaped_option_stays_one_in_an_export(here: Path) -> None:
    """A column whose name holds "&verifier=" would else become code that runs, and names the reward, unasked."""
    Path("shards").mkdir()
    column = "prompt&verifier=data/train/shards/evil.py:right"
    rows = [{"id": each, "prompt": f"{each}: 1 + 1?", column: f"{each}: 1 + 1?", "answer": "2"} for each in "ab"]
    Path("shards/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("shards/evil.py").write_text("open('ran', 'w')\n\n\ndef right(problem, answer):\n    return True\n")
    source = f"shards?prompt={column.replace('&', '%26')}"
    Path("rl.toml").write_text(BASE.replace('problems = "sums.jsonl"', f'problems = "{source}"'))
    export(ExportConfig(run="rl.toml"), Path("out"))
    manifest = json.loads(Path("out/export.json").read_text())
    assert manifest["sources"]["train"].endswith(f"?prompt={column.replace('&', '%26')}")
    reward = ExportedReward(here / "out")
    scored = reward.score([Response("train", "a", 1, f"</think>{text}") for text in ("3", "2")])
    assert [each.correct for each in scored] == [False, True]
    assert not Path("ran").exists()


def test_special_delimiters_are_refused_where_they_are_not_decoded(here: Path) -> None:
    Path("rl.toml").write_text("steps = 1\n")
    with pytest.raises(UserError, match="</think> is a special token, which verl leaves out"):
        export(ExportConfig(run="rl.toml", to="verl"), Path("out"))


def test_code_that_the_settings_name_is_run_only_if_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("check.py").write_text("open('ran', 'w')\n" + VERIFIER)
    Path("rl.toml").write_text(BASE.replace('"sums.jsonl"', '"sums.jsonl?verifier=check.py:right"'))
    assert main(["export", "rl.toml", "--out", "out"]) == 2
    assert "add --trust-code" in capsys.readouterr().err
    Path("sweep.toml").write_text('[readiness]\nproblems = "sums.jsonl?verifier=check.py:right"\n')
    for call in (partial(rlready.export, run="rl.toml"), partial(rlready.sweep, SweepConfig(file="sweep.toml"))):
        with pytest.raises(UserError, match=r"toml names code to be run, .*add trust_code=True"):
            call(out="other")
    with pytest.raises(UserError, match="unknown"):
        rlready.doctor(trust_code=True)
    assert not Path("ran").exists()
    assert main(["export", "rl.toml", "--out", "out", "--trust-code"]) == 0
    assert Path("ran").exists()
    assert rlready.export(run="rl.toml", out="python", trust_code=True).verb == "export"
