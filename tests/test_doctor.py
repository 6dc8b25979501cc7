"""`rlready doctor`: what is found, what is missing, and what would fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import rlready
from rlready.cli import doctor
from rlready.cli.main import main
from rlready.core.errors import UserError
from rlready.models import checkpoint
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from test_memory_plan import H200, QWEN, RECIPE, STEP
from tiny import tiny_lm


def test_the_weights_of_an_adapter_are_those_of_peft() -> None:
    peft = pytest.importorskip("peft")
    lm = tiny_lm(family="Qwen2")
    shape = doctor.shape_of(lm)
    assert shape.parameters == sum(p.numel() for p in lm.model.parameters())
    wrapped = peft.get_peft_model(lm.model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert 4 * shape.linear == sum(p.numel() for p in wrapped.parameters() if p.requires_grad)


def test_a_machine_and_a_model_are_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["plans"] == alone["checkpoint"] == []
    assert alone["speed"]["gflops"] > 0
    shutil.copytree(EMBEDDED_FOLDER, "CKPT")
    (tmp_path / "CKPT" / "model.safetensors").chmod(0o644)
    assert main(["doctor", "CKPT", "response_tokens=20000", "prompts_per_step=2"]) == 0
    shown = capsys.readouterr().out
    assert "2 prompts x 16 samples, 256 + 20,000 tokens" in shown
    assert "no sequence of 20,256 tokens fits its context of 512" in shown.splitlines()[0]
    assert "lower response_tokens" in shown
    assert "rl lora_r=16" in shown
    assert "Next: rlready readiness CKPT" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"CKPT"}  # no run folder


def test_what_is_missing_is_named_with_a_command(tmp_path: Path) -> None:
    model = tiny_lm(template="plain")
    model.tokenizer.chat_template = None
    model.tokenizer.pad_token = None
    model.model.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    found = rlready.doctor(model=tmp_path / "base", response_tokens=16, prompt_tokens=16)
    checks = {check.name: check for check in found.checkpoint}
    assert checks["chat template"].status == "warning"
    assert checks["chat template"].fix.startswith("hf download ")
    assert "no padding token, and none is needed" in checks["tokenizer"].found
    assert checks["tokenizer"].status == "ok"
    assert checks["context"].status == "ok"
    model.model.generation_config.eos_token_id = 20
    model.model.save_pretrained(tmp_path / "base")
    wrong = rlready.doctor(model=tmp_path / "base").checkpoint
    assert "also ends in the ordinary token 'm'" in next(c.found for c in wrong if c.name == "tokenizer")
    (vllm,) = (check for check in found.machine if check.name == "vLLM")
    assert vllm.status == "ok" or "pip install 'rlready[vllm" in vllm.fix
    assert all(check.fix for check in (*found.machine, *found.checkpoint) if check.status == "missing")


def test_runs_warn_of_an_ordinary_token_that_ends_a_response(tmp_path: Path) -> None:
    """As doctor does, and once for all checkpoints."""
    model = tiny_lm(template="plain")
    model.model.generation_config.eos_token_id = 20
    for name in ("a", "b"):
        model.model.save_pretrained(tmp_path / name)
        model.tokenizer.save_pretrained(tmp_path / name)
    for name, prompts in (("p", "12345"), ("v", "67")):
        rows = [json.dumps({"prompt": prompt, "answer": "m"}) for prompt in prompts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    both, small = (tmp_path / "a", tmp_path / "b"), {"problems": tmp_path / "p.jsonl", "max_answer_tokens": 2}
    rlready.readiness(checkpoints=both, samples=2, group_size=2, out=tmp_path / "readiness", **small)
    rlready.evaluate(models=both, samples=1, out=tmp_path / "evaluate", **small)
    training = {"steps": 1, "prompts_per_step": 2, "group_size": 2, "validation": tmp_path / "v.jsonl"}
    rlready.rl(model=both[0], out=tmp_path / "rl", **training, **small)
    for verb in ("readiness", "evaluate", "rl"):
        warnings = RunRecord.load(tmp_path / verb).warnings
        assert len([each for each in warnings if "also ends in the ordinary token 'm'" in each]) == 1


def test_a_job_that_does_not_fit_says_with_what_it_would() -> None:
    found = doctor._plan("", QWEN, STEP, RECIPE, replace(H200, memory=24 * 10**9))
    assert not found.fits
    assert found.change == "max_tokens_per_microbatch=5120"
    tight = doctor._plan("", QWEN, STEP, RECIPE, replace(H200, memory=16 * 10**9))
    assert tight.change == "gradient_checkpointing=true max_tokens_per_microbatch=5120"
    huge = replace(QWEN, parameters=7_600_000_000)
    assert doctor._plan("", huge, STEP, RECIPE, replace(H200, memory=80 * 10**9)).change.endswith("fsdp on 4 GPUs")
    assert doctor._plan("", huge, STEP, replace(RECIPE, job="sampling"), H200).change == ""


def test_with_out_it_is_a_run(tmp_path: Path) -> None:
    result = rlready.doctor(model="embedded", out=tmp_path / "run")
    assert rlready.DoctorResult.load(tmp_path / "run") == result
    assert "rl lora_r=16" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    with Run(tmp_path / "run", "doctor", rlready.DoctorConfig(model="embedded")) as run:
        assert run.finished


def test_a_checkpoint_that_cannot_be_used_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "/nowhere/at/all"]) == 2
    assert capsys.readouterr().err.startswith("rlready: /nowhere/at/all: no such folder")


def test_sizes_that_the_weights_do_not_have_are_refused_as_by_loading(tmp_path: Path) -> None:
    """A vocabulary of 10**12 in config.json, from the header of the weights alone."""
    folder = shutil.copytree(EMBEDDED_FOLDER, tmp_path / "model")
    config = folder / "config.json"
    config.chmod(0o644)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 10**12}))
    for load in (checkpoint.load_without_weights, checkpoint.load):
        with pytest.raises(UserError, match="1000000000000"):
            load(str(folder))
