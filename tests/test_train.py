"""Both learners end to end on a tiny model: resume is exact, silence is refused, bad input is one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate, Group, Problem
from rlready.core.threads import learners, single_threaded, split_tokens
from rlready.evaluate.stage import evaluate
from rlready.readiness.stage import readiness
from rlready.runs.files import read_json
from rlready.runs.log import read_log
from rlready.runs.pace import Pace
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from rlready.tasks import Task
from rlready.tasks.dagmath.vocabulary import build_tokenizer
from rlready.tasks.trained_prompts import _runs_behind
from rlready.train.checkpointer import Checkpointer
from rlready.train.learner import PlainLearner, StepStats
from rlready.train.result import Checkpoint
from rlready.train.rl import rl
from rlready.train.sft import checkpoint_steps, headline, sft
from rlready.train.trainer import Trainer


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return random_model(tmp_path)


def random_model(folder: Path) -> str:
    """A random model of the symbolic world with a folder of its own."""
    tokenizer = build_tokenizer()
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            initializer_range=0.04,
        )
    )
    model.save_pretrained(folder / "tiny")
    tokenizer.save_pretrained(folder / "tiny")
    return str(folder / "tiny")


def sft_config(model: str) -> SFTConfig:
    return SFTConfig(
        model=model,
        rows="dagmath?ops=2&split=all&n=48&seed=1",
        heldout="dagmath?ops=2&split=all&n=8&seed=2",
        epochs=1.5,
        tokens_per_batch=400,
    )


def rl_config(model: str, problems: Path) -> RLConfig:
    source = f"rows:{problems}?verifier=verifiers:even"
    return RLConfig(
        model=model,
        problems=source,
        validation=source,
        steps=4,
        prompts_per_step=3,
        group_size=4,
        thinking_budget=6,
        max_answer_tokens=3,
        eval_every=2,
        eval_samples=2,
        learning_rate=1e-2,
    )


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    lines = [{"id": f"p{i}", "prompt": f"a: {i} b: {i + 1} ? a", "answer": str(i)} for i in range(7)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path / "model.safetensors")


def interrupted_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The learner is stopped, as by Ctrl-C, in the middle of its ``step``-th optimiser step."""
    real, calls = PlainLearner.step, [0]

    def stop(self: PlainLearner, *args: object, **kwargs: object) -> StepStats:
        calls[0] += 1
        if calls[0] == step:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(PlainLearner, "step", stop)


def test_rollouts_and_validation_responses_without_a_verdict_are_counted(
    tiny: str, tmp_path: Path, problems: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"rows:{problems}?verifier=verifiers:shy"
    result = rl(rl_config(tiny, problems).replace(problems=source, validation=source, steps=2), tmp_path / "rl")
    lines = read_log(tmp_path / "rl" / "log.jsonl")
    counts = [line["undecided"] * 12 for line in lines if "undecided" in line]
    shares = [line["eval_undecided"] for line in lines if "eval_undecided" in line]
    assert result.groups
    assert result.groups.undecided == pytest.approx(sum(counts)) != 0
    assert [e.undecided for e in result.evaluations] == shares
    assert any(shares)
    assert result.remarks() == [
        f"{result.groups.undecided} of 24 rollouts were not verified and count as incorrect.",
        f"Up to {max(shares):.1%} of the validation responses were not verified and count as incorrect.",
    ]
    assert capsys.readouterr().err.count("ValueError: too shy\n") == 1  # the traceback


@pytest.mark.parametrize(("saved", "dtype"), [(True, "float32"), (False, "float32"), (True, "bfloat16")])
def test_sft_resumed_equals_unbroken(
    tiny: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: bool,
    dtype: Literal["float32", "bfloat16"],
) -> None:
    """Bit-identical weights and losses, whether state was saved at every step or never; the state is then removed."""
    config = sft_config(tiny).replace(dtype=dtype)
    whole = sft(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "due", lambda self: saved)
        interrupted_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            sft(config, tmp_path / "broken")
    assert (tmp_path / "broken" / "state").exists() is saved
    resumed = sft(config, tmp_path / "broken")
    assert not (tmp_path / "broken" / "state").exists()
    assert [c.heldout_loss for c in resumed.checkpoints] == [c.heldout_loss for c in whole.checkpoints]
    last = f"checkpoints/step-{whole.steps}"
    a, b = weights(tmp_path / "whole" / last), weights(tmp_path / "broken" / last)
    assert all(torch.equal(a[k], b[k]) for k in a)
    steps = [line["step"] for line in read_log(tmp_path / "broken" / "log.jsonl") if "loss" in line]
    assert steps == list(range(1, whole.steps + 1))


def test_a_run_goes_on_where_its_files_have_moved_and_for_longer(
    tiny: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RL with model and problems elsewhere and more steps, and SFT for more epochs: the weights of an unbroken run."""
    config = rl_config(tiny, problems)
    tuning = sft_config(tiny).replace(lr_scheduler_type="constant", warmup_ratio=0.0, keep_at=(), epochs=1.0)
    whole = rl(config.replace(steps=6), tmp_path / "whole")
    learnt = sft(tuning.replace(epochs=2.0), tmp_path / "learnt")
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "due", lambda self: True)
        interrupted_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            rl(config, tmp_path / "rl")
        interrupted_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            sft(tuning, tmp_path / "sft")
    (tmp_path / "elsewhere").mkdir()
    moved = {key: getattr(config, key).replace(str(tmp_path), f"{tmp_path}/elsewhere") for key in ("model", "problems")}
    moved["validation"] = moved["problems"]
    Path(tiny).rename(moved["model"])
    problems.rename(tmp_path / "elsewhere" / problems.name)
    longer = rl(config.replace(steps=6, **moved), tmp_path / "rl")
    assert longer.evaluations == whole.evaluations
    assert_equal(tmp_path / "rl" / "checkpoints" / "step-6", tmp_path / "whole" / "checkpoints" / "step-6")
    assert [note["path"] for note in read_json(tmp_path / "rl" / "record.json")["models"]] == [moved["model"]]
    more = sft(tuning.replace(epochs=2.0, model=moved["model"]), tmp_path / "sft")
    assert more.steps == learnt.steps
    assert_equal(Path(more.checkpoints[-1].path), Path(learnt.checkpoints[-1].path))
    with pytest.raises(UserError, match="with steps = 6, not 7: choose another"):  # its state is gone
        rl(config.replace(steps=7, **moved), tmp_path / "rl")


def assert_equal(a: Path, b: Path) -> None:
    """Assert that two checkpoints have the same weights, bit for bit."""
    first, second = weights(a), weights(b)
    assert all(torch.equal(first[name], second[name]) for name in first | second)


def test_a_setting_that_matters_is_named_with_both_values_and_both_ways_on(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More epochs change a schedule that decays; fewer are fewer."""
    config = sft_config(tiny)
    with monkeypatch.context() as patch:
        interrupted_at(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            sft(config, tmp_path / "run")
    for changes, says in (({"epochs": 3.0}, "epochs = 1.5, not 3.0"), ({"seed": 4}, "seed = 0, not 4")):
        with pytest.raises(UserError, match=f"holds a run with {says}: choose another folder, or delete it$"):
            sft(config.replace(**changes), tmp_path / "run")


def test_inputs_are_validated_before_a_folder_is_claimed(tiny: str, tmp_path: Path) -> None:
    """What cannot be read leaves no folder."""
    with pytest.raises(UserError, match=r"none\.jsonl"):
        sft(sft_config(tiny).replace(rows=str(tmp_path / "none.jsonl")), tmp_path / "new" / "run")
    few = "dagmath?ops=2&split=all&n=2&seed=1"
    with pytest.raises(UserError, match="fewer than prompts_per_step"):
        rl(RLConfig(prompts_per_step=3, problems=few, validation=few), tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_sft_learns_and_keeps_checkpoints(tiny: str, tmp_path: Path) -> None:
    """The held-out loss falls, checkpoints stand at fractions of an epoch, and a finished run is not run again."""
    config = sft_config(tiny).replace(epochs=3.0, learning_rate=3e-3)
    result = sft(config, tmp_path / "run")
    losses = [c.heldout_loss.value for c in result.checkpoints]
    assert losses[-1] < losses[0] - 0.1
    assert len(losses) >= 4
    above = [c.behind and c.behind.value for c in result.checkpoints]
    assert above == [None if loss == min(losses) else pytest.approx(loss - min(losses)) for loss in losses]
    assert result.checkpoints[0].behind.low > 0  # each example has lost as much, though losses of examples differ
    before = (tmp_path / "run" / "result.json").stat().st_mtime_ns
    assert sft(config, tmp_path / "run") == result
    assert (tmp_path / "run" / "result.json").stat().st_mtime_ns == before


def test_a_tie_of_held_out_losses_is_said() -> None:
    """By the paired difference for all pairs; with many checkpoints only how many."""
    figure = Estimate(0.5, 0.4, 0.6, 9)

    def said(*behind: float) -> str:
        found = [
            Checkpoint(
                name=f"step-{i}",
                path="",
                step=i,
                epoch=1.0,
                samples=1.0,
                reference=False,
                heldout_loss=replace(figure, value=0.5 + i / 100),
                heldout_loss_examples=figure,
                behind=None if i == 0 else Estimate(0.01, low, 0.1, 9),
            )
            for i, low in enumerate((0.0, *behind))
        ]
        return headline(found)

    assert said() == "step-0 has a held-out loss: 0.500 nats per token."
    assert said(0.001) == "step-0 has the lowest held-out loss of 2 checkpoints: 0.500 nats per token."
    tied = "not significantly different from it."
    assert said(0.001, 0.0) == f"step-0 has the lowest held-out loss; step-2 is {tied}"
    assert said(-1, -1) == f"step-0 has the lowest held-out loss; step-1 and step-2 are {tied}"
    assert said(*[-1] * 4) == f"step-0 has the lowest held-out loss; 4 others are {tied}"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rl_resumed_equals_unbroken(
    tiny: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Literal["float32", "bfloat16"]
) -> None:
    """Rollouts, evaluations and weights are the same after an interruption; checkpoints are float32 either way."""
    config = rl_config(tiny, problems).replace(dtype=dtype)
    whole = rl(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "due", lambda self: True)
        interrupted_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            rl(config, tmp_path / "broken")
    resumed = rl(config, tmp_path / "broken")
    assert resumed.evaluations == whole.evaluations
    assert resumed.per_problem == whole.per_problem
    assert list(whole.per_problem) == [e.step for e in whole.evaluations]
    for each in whole.evaluations:
        assert np.mean(whole.per_problem[each.step]) == pytest.approx(each.accuracy.value)
    a, b = (weights(tmp_path / run / "checkpoints" / "step-4") for run in ("whole", "broken"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    start = weights(Path(tiny))
    assert any(not torch.equal(a[k], start[k]) for k in a)
    assert all(t.dtype == torch.float32 for t in a.values())
    assert any(not torch.equal(t, t.bfloat16().float()) for t in a.values())
    learners = {m["learner"] for m in read_json(tmp_path / "broken" / "record.json")["models"] if "learner" in m}
    assert learners == {"fast" if dtype == "float32" else "plain"}


@pytest.mark.parametrize("during", ["sample", "update"])
def test_rl_stopped_while_it_samples_loses_no_step(
    tiny: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    """In the third step, long before a state is due; one that is stopped in an update begins again from the last."""
    config = rl_config(tiny, problems)
    whole = rl(config, tmp_path / "whole")
    real, calls = getattr(Trainer, during), [0]

    def counted(self: Trainer, *args: object) -> object:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(Pace, "due", lambda self: False)
    monkeypatch.setattr(Trainer, during, counted)
    with pytest.raises(KeyboardInterrupt):
        rl(config, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "state").exists() is (during == "sample")
    resumed = rl(config, tmp_path / "stopped")
    assert calls[0] == 3 + (2 if during == "sample" else 4)
    assert resumed.evaluations == whole.evaluations
    a, b = (weights(tmp_path / run / "checkpoints" / "step-4") for run in ("whole", "stopped"))
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("during", ["evaluate", "save_checkpoint", "draw_page"])
def test_rl_stopped_while_it_evaluates_loses_no_step(
    tiny: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    """At the evaluation of step 2, long before a state is due: no step is taken twice, and nothing is logged twice."""
    config = rl_config(tiny, problems)
    whole = rl(config, tmp_path / "whole")
    owner = {"evaluate": Trainer, "save_checkpoint": Checkpointer, "draw_page": Run}[during]
    real, sample, steps = getattr(owner, during), Trainer.sample, list[int]()

    def stop(self: object, *args: object) -> object:
        if steps == [0, 1]:
            raise KeyboardInterrupt
        return real(self, *args)

    def noted(self: Trainer, task: Task, chosen: Sequence[Problem], at: int) -> list[Group]:
        steps.append(at)
        return sample(self, task, chosen, at)

    monkeypatch.setattr(Pace, "due", lambda self: False)
    monkeypatch.setattr(Trainer, "sample", noted)
    with monkeypatch.context() as patch:
        patch.setattr(owner, during, stop)
        with pytest.raises(KeyboardInterrupt):
            rl(config, tmp_path / "stopped")
    resumed = rl(config, tmp_path / "stopped")
    assert steps == [0, 1, 2, 3]
    assert resumed.evaluations == whole.evaluations
    for step in (2, 4):
        a, b = (weights(tmp_path / run / "checkpoints" / f"step-{step}") for run in ("whole", "stopped"))
        assert all(torch.equal(a[k], b[k]) for k in a)
    logs = [read_log(tmp_path / run / "log.jsonl") for run in ("whole", "stopped")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]] == [0, 1, 2, 2, 3, 4, 4]


def test_rl_killed_after_an_evaluation_is_logged_logs_it_once(
    tiny: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state on the disk is that of the step before its evaluation, which is done again."""
    config, real, pages = rl_config(tiny, problems), Run.draw_page, list[int]()
    whole = rl(config, tmp_path / "whole")

    def killed(self: Run) -> None:
        pages.append(1)
        if len(pages) == 2:
            raise RuntimeError
        real(self)

    monkeypatch.setattr(Pace, "due", lambda self: True)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "draw_page", killed)
        with pytest.raises(RuntimeError):
            rl(config, tmp_path / "killed")
    assert rl(config, tmp_path / "killed").evaluations == whole.evaluations
    logs = [read_log(tmp_path / run / "log.jsonl") for run in ("whole", "killed")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]] == [0, 1, 2, 2, 3, 4, 4]


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "dapo"])
def test_every_algorithm_takes_steps(tiny: str, problems: Path, tmp_path: Path, algorithm: str) -> None:
    """All credits run with a KL penalty and two updates per batch, and have a gradient."""
    config = rl_config(tiny, problems).replace(
        algorithm=algorithm,
        steps=2,
        updates_per_batch=2,
        kl_coef=0.01,  # type: ignore[arg-type]
    )
    rl(config, tmp_path / algorithm)
    lines = [line for line in read_log(tmp_path / algorithm / "log.jsonl") if "reward" in line]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(line["grad_norm"] > 0 for line in lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon_high": 0.3}, "epsilon_high does nothing at updates_per_batch=1"),
        ({"epsilon": 0.1, "epsilon_high": 0.3}, "epsilon and epsilon_high do nothing at updates_per_batch=1"),
        ({"epsilon": 0.1, "updates_per_batch": 2}, ""),
        ({}, ""),
    ],
)
def test_a_clip_range_without_effect_is_said(
    tiny: str, problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    rl(rl_config(tiny, problems).replace(steps=1, **changes), tmp_path / "run")
    err = capsys.readouterr().err
    assert said in err
    assert ("at updates_per_batch=1" in err) is bool(said)


def test_rl_stops_with_a_reason_without_gradients(tiny: str, problems: Path, tmp_path: Path) -> None:
    """All wrong for ``patience`` steps: the run ends early and says why."""
    source = f"rows:{problems}?verifier=verifiers:never"
    config = rl_config(tiny, problems).replace(problems=source, validation=source, steps=20, patience=2)
    result = rl(config, tmp_path / "run")
    assert result.steps == 2
    assert "all wrong" in result.stopped
    assert result.headline == "RL learned nothing: no step had a gradient."
    assert result.notes[0].startswith("Groups were all wrong (6); ")
    assert result.notes[-1] == "The weights are unchanged."
    assert (result.best.step, result.best.path, result.weights_changed) == (0, config.model, 0.0)


@pytest.mark.parametrize(
    ("changes", "changed", "why"),
    [
        ({}, True, ""),
        ({"dtype": "bfloat16", "learning_rate": 1e-9}, False, "changed in bfloat16; learning_rate=1e-09 is too low"),
        ({"max_grad_norm": 1e-15}, False, "max_grad_norm=1e-15 scales gradients down to the size of AdamW's epsilon"),
    ],
)
def test_updates_that_change_nothing_are_said(
    tiny: str, tmp_path: Path, changes: dict[str, Any], changed: bool, why: str
) -> None:
    result = sft(sft_config(tiny).replace(**changes), tmp_path / "run")
    assert result.weights_changed is not None
    assert (result.weights_changed > 0.5) is changed
    assert [why in note for note in result.notes] == ([] if changed else [True])
    assert [why in text for text in RunRecord.load(tmp_path / "run").warnings] == ([] if changed else [True])


def test_problems_that_a_model_was_trained_on_are_said(
    tiny: str, tmp_path: Path, problems: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By SFT, and by RL from its checkpoint; on the screen, in the result and in the record.  The data has moved."""
    monkeypatch.chdir(tmp_path)
    lines = [json.loads(line) for line in problems.read_text().splitlines()]
    rows = [{"prompt": f" {line['prompt']}", "response": line["answer"], "id": f"r{i}"} for i, line in enumerate(lines)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows[:3])))
    Path("held.jsonl").write_text(json.dumps(rows[3]))
    tuned = sft(SFTConfig(model=tiny, rows="rows.jsonl", heldout="held.jsonl", epochs=1), Path("tuned"))
    Path("rows.jsonl").unlink()
    rl(rl_config(tuned.checkpoints[-1].path, problems).replace(problems=f"{problems}?n=5"), Path("rl"))
    first = "3 of 7 {} have a prompt that the sft run tuned was trained on"
    assert any(first.format("validation problems") in text for text in RunRecord.load(Path("rl")).warnings)
    trained = str(sorted(Path("rl/checkpoints").iterdir())[-1])
    source: dict[str, Any] = {"problems": str(problems), "samples": 1}
    settings: dict[str, Any] = {**source, "max_answer_tokens": 3, "max_response_tokens": 12, "thinking_budgets": (4,)}
    config = EvaluateConfig(models=(trained,), **settings)
    capsys.readouterr()
    notes = evaluate(config, Path("evaluated")).notes
    second = "5 of 7 problems have a prompt that the rl run rl was"
    for said in (notes[-1], " ".join(RunRecord.load(Path("evaluated")).warnings)):
        assert second in said
        assert first.format("problems") in said
    assert capsys.readouterr().err.count("evaluate: warning: ") == 2
    assert evaluate(config, Path("evaluated")).notes == notes
    ready = ReadinessConfig(checkpoints=(tuned.checkpoints[-1].path,), group_size=2, thinking_budget=4, **source)
    (warned,) = readiness(ready.replace(samples=2, max_answer_tokens=3), Path("ready")).notes
    assert f"Warning: {first.format('problems')}" in warned
    monkeypatch.chdir(Path(trained).parent)
    inside = evaluate(config.replace(models=(Path(trained).name,)), Path("../../inside")).notes[-1]
    monkeypatch.chdir(tmp_path)
    assert "was changed or deleted" not in inside
    assert f"sft run {tmp_path / 'tuned'} was" in inside
    assert f"rl run {tmp_path / 'rl'} was" in inside
    Path("elsewhere").mkdir()
    Path("elsewhere/adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(tmp_path / tuned.checkpoints[-1].path)})
    )
    assert [run for run, _ in _runs_behind("elsewhere")] == [Path("tuned")]
    Path("rl/trained_prompts.txt").write_text("")
    edited = evaluate(config, Path("again")).notes[-1]
    assert "rl/trained_prompts.txt was changed or deleted, so it is not known which problems are in it" in edited
    others = config.replace(models=(tiny,))
    assert not any("Warning" in note for note in evaluate(others, Path("others")).notes)


def test_a_loss_that_is_not_finite_stops_the_run(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends in one line, and the checkpoints written before are intact."""
    real, calls = PlainLearner.step, [0]

    def poisoned(self: PlainLearner, *args: object, **kwargs: object) -> StepStats:
        calls[0] += 1
        if calls[0] == 7:
            self.parameters[0].data.fill_(float("nan"))
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(PlainLearner, "step", poisoned)
    with pytest.raises(UserError, match="not finite"):
        sft(sft_config(tiny), tmp_path / "run")
    kept = list((tmp_path / "run" / "checkpoints").iterdir())
    assert kept
    assert all(torch.isfinite(t).all() for path in kept for t in weights(path).values())


def test_rows_longer_than_the_context_are_named(tiny: str, tmp_path: Path) -> None:
    """Truncated answers would teach a model not to answer, so such rows are refused."""
    rows = tmp_path / "long.jsonl"
    rows.write_text(json.dumps({"id": "long-one", "prompt": "? a", "response": "a: 1 " * 400}))
    config = sft_config(tiny).replace(rows=str(rows))
    with pytest.raises(UserError, match="long-one"):
        sft(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0"),
        ({"learning_rate": -1e-3}, "learning_rate must be above 0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm = nan is not a number"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_settings_that_cannot_train_are_one_line(
    tiny: str, problems: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The same ones, and in the same words, for both learners."""
    with pytest.raises(UserError, match=message):
        sft(sft_config(tiny).replace(**changes), tmp_path / "sft")
    with pytest.raises(UserError, match=message):
        rl(rl_config(tiny, problems).replace(**changes), tmp_path / "rl")


def test_a_negative_penalty_is_refused(tiny: str, problems: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"kl_coef must not be negative, got -0\.1"):
        rl(rl_config(tiny, problems).replace(kl_coef=-0.1), tmp_path / "rl")


def test_checkpoint_steps() -> None:
    """Every half epoch and the last step, however the epochs fall."""
    assert checkpoint_steps(20, 10, 0.5) == {5, 10, 15, 20}
    assert checkpoint_steps(7, 10, 0.5) == {5, 7}
    assert checkpoint_steps(1, 1, 0.5) == {1}


@pytest.mark.parametrize(
    ("parameters", "cores", "expected"), [(1 << 20, 64, 64), (1 << 27, 2, 2), (1 << 27, 16, 1), (1 << 30, 2, 1)]
)
def test_the_number_of_update_threads_is_limited_by_memory(
    monkeypatch: pytest.MonkeyPatch, parameters: int, cores: int, expected: int
) -> None:
    """A thread a core, unless their gradients would be too many; micro-batches of all threads keep to the bound."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    weight = torch.empty(1).expand(parameters)  # takes no memory
    assert learners(SimpleNamespace(parameters=lambda: iter([weight]))) == expected
    assert split_tokens(4096, expected) * expected <= 4096


@pytest.mark.parametrize(("parameters", "within"), [(1 << 10, 1), (1 << 30, 3)])
def test_tiny_models_use_one_thread(parameters: int, within: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the block ends."""
    counts = [3]
    monkeypatch.setattr(torch, "get_num_threads", lambda: counts[-1])
    monkeypatch.setattr(torch, "set_num_threads", counts.append)
    weight = torch.empty(1).expand(parameters)
    with single_threaded(SimpleNamespace(parameters=lambda: iter([weight]))):
        assert counts[-1] == within
    assert counts[-1] == 3
