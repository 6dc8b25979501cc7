"""What a newcomer mistypes: one line that says what is wrong and what to write instead, before anything is written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rlready.cli.main import main
from rlready.cli.verbs import VERBS
from rlready.core.config import (
    CreditConfig,
    DemoConfig,
    EvaluateConfig,
    InjectConfig,
    ReadinessConfig,
    RLConfig,
    SFTConfig,
)
from rlready.core.config.rl import ALGORITHMS as NAMED
from rlready.core.device import out_of_memory
from rlready.core.errors import UserError
from rlready.core.explain import similar
from rlready.core.progress import Progress, Screen
from rlready.core.settings import Config
from rlready.credit.algorithms import ALGORITHMS
from rlready.runs.files import write_json
from rlready.runs.record import RunRecord
from rlready.runs.results import load_result
from rlready.runs.run import Run

CPU_ONLY = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sft device=gpu", "device = 'gpu' is not a PyTorch device; use auto, cpu, cuda or cuda:1"),
        pytest.param("rl device=cuda", "'cuda': no CUDA GPU here; use device=auto or device=cpu", marks=CPU_ONLY),
        ("--verison", "did you mean --version? Options of a command follow the command: rlready COMMAND --help"),
        ("--verbose sft", "unknown option --verbose; options of a command follow the command: rlready COMMAND --help"),
        ("rl --batch-size 3", "unknown option --batch-size; did you mean --prompts-per-step?"),
        ("sft --output_dir x", "unknown option --output-dir; did you mean --out?"),
        ("sft --foo", "unknown option --foo; see rlready sft --help"),
        ("rl num_generations=4", "unknown key 'num_generations'; did you mean group_size?"),
        ("rl max_completion_length=9", "did you mean thinking_budget and max_answer_tokens?"),
        ("rl beta=0.5", "for TRL's beta use kl_coef"),
        (
            "rl reward=lenght",
            "reward = 'lenght' is not one of correctness, arora_zanette, grpo_lambda, dapo_overlong, ",
        ),
        ("sft seed=1 seed=2", "seed is given twice"),
        ("readiness --influence --no-influence", "influence is given twice"),
        ("readiness embedded --influence yes", "--influence takes no value; write --influence or influence=yes"),
        ("sft model=", "model is empty; name a checkpoint folder, a hub id or embedded"),
        ("sft --out=", "--out is empty"),
        ("sft --config=", "--config is empty"),
        (
            "report x --out y",
            "rlready report has no --out; it writes into the run folder, of several runs into a new one, runs/report;",
        ),
        ("show --reference none arun", "--reference belongs to rlready show --credit"),
        ("schema", "rlready schema needs one of demo, "),
        ("schema RLConfg", "RLConfg: no such schema; did you mean RLConfig?"),
        ("report evall", "evall: no such folder; did you mean eval?"),
        *(
            (
                line,
                "does not read; rank them first: rlready readiness trl:eval --out runs/ready",
            )
            for line in ("evaluate trl:eval", "report trl:eval", "predict trl:eval", "rl model=trl:eval")
        ),
        ("show evall", "evall: no such folder; did you mean eval?"),
        ("predict evall", "then rank them, rlready predict runs/ready; did you mean eval?"),
        (
            "rl --out evall --resume",
            "evall holds no run to be resumed; leave out --resume to start one there; did you mean",
        ),
        ("sft --out file", "--out file is a file; name a folder"),
        ("sft --config c.toml", "c.toml: settings of --config stand at the top level, without [sft]; tables belong"),
        ("rl algorithm=ppo", "algorithm=ppo is not one of grpo, dr_grpo, rloo, dapo, dense; give your own algorithm"),
        ("rl loss=nomod:fn", "loss=nomod:fn: nomod cannot be imported"),
        ("rl algorithm=nomod:X", "algorithm=nomod:X: nomod cannot be imported"),
        ("demo task=dagmath?n=4", "task = 'dagmath?n=4': demo sets split, n, seed and detours itself; leave n out"),
        ("demo task=gsm8k", "task = 'gsm8k': the demo runs on generated DAG maths"),
    ],
)
def test_a_newcomers_mistake_is_one_line_and_writes_nothing(
    line: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("eval").mkdir()
    Path("c.toml").write_text("[sft]\nepochs = 1\n")
    assert main([*line.split(), "--quiet"] if not line.startswith("--") else line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert len(printed.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file", "c.toml", "eval"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RLConfig(length_targets=(64,)), "length_targets does not apply to reward=correctness; set reward="),
        (lambda: RLConfig(wait_text="Hm"), "wait_text does not apply to num_waits=0; set num_waits, or leave it out"),
        (lambda: RLConfig(algorithm="dense", reward="lcpo_max"), "reward=lcpo_max does not apply to dense_weight=1"),
        (lambda: RLConfig(algorithm="dense", reference="a", reference_at=0.1), "reference_at does not apply"),
        (lambda: CreditConfig(reference="a", reference_at=0.1), "reference_at does not apply"),
        (lambda: CreditConfig(seed=1), "seed does not apply without probe"),
        (lambda: ReadinessConfig(influence_rank=4), "does not apply to influence=false; set influence=true"),
        (lambda: ReadinessConfig(samples=4, min_samples=8), "min_samples=8 is more than samples=4"),
        (lambda: ReadinessConfig(sampling="full", min_samples=8), "min_samples does not apply to sampling=full"),
        (lambda: EvaluateConfig(beta=0.5), "beta does not apply without reference; set reference, or leave it out"),
        (lambda: EvaluateConfig(temperature=0.0, samples=4), "samples=4 does not apply to temperature=0"),
        (lambda: InjectConfig(method="vanilla", p=0.5), "p does not apply to method=vanilla"),
        (lambda: DemoConfig(task="dagmath?seed=1"), "leave seed out"),
    ],
)
def test_a_setting_without_effect_is_refused(make: Callable[[], Config], says: str) -> None:
    with pytest.raises(UserError) as refused:
        make()
    assert says in str(refused.value)


def test_a_setting_with_effect_is_taken() -> None:
    assert RLConfig(length_targets=(64,), length_prompt="Use {N}.").length_targets == (64,)
    assert EvaluateConfig(beta=0.5, reference="a").beta == 0.5
    assert EvaluateConfig(temperature=0.0, samples=1).samples == 1
    assert ReadinessConfig(influence=True, influence_rank=4).influence_rank == 4


def test_typing_errors_are_understood_and_unrelated_words_are_not() -> None:
    known = [*RLConfig.model_fields]
    for name in (name for name in known if len(name) > 4):
        assert similar(name[:2] + name[3:], known) == f"did you mean {name}?"
        assert similar(name[:1] + name[2] + name[1] + name[3:], known) == f"did you mean {name}?"
    for part, whole in (("group", "group_size"), ("rate", "learning_rate"), ("tokens", "")):
        assert similar(part, known) == (f"did you mean {whole}?" if whole else "")
    for word in ("wandb", "num_workers", "top_p", "data_path", "verbose"):
        assert similar(word, known) == ""


def test_full_memory_names_settings_that_the_verb_has() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    said = out_of_memory(full, SFTConfig())
    assert "lower max_tokens_per_microbatch from 16384 to 8192, or set gradient_checkpointing=true, or use" in said
    assert "gradient_checkpointing" not in out_of_memory(full, SFTConfig(gradient_checkpointing=True))
    assert "max_tokens_per_microbatch" not in out_of_memory(full, EvaluateConfig())
    assert "main memory is full: lower max_tokens_per_microbatch" in out_of_memory(MemoryError(), SFTConfig())
    mapped = RuntimeError("unable to mmap 4334976 bytes from file <model.safetensors>: Cannot allocate memory (12)")
    assert out_of_memory(mapped, InjectConfig()) == "main memory is full: use a device with more memory"
    assert out_of_memory(RuntimeError("shapes differ"), RLConfig()) == ""


def test_full_memory_names_what_a_preset_has_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By how much to lower it, though the user has set nothing."""

    def step(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("rlready.train.trainer.Trainer.step", step)
    sizes = ["eval_samples=1", "steps=1", "prompts_per_step=2", "group_size=2"]
    words = ["problems=dagmath?ops=2&n=4&split=all", "validation=dagmath?ops=2&n=1&split=all", *sizes]
    assert main(["rl", "embedded", *words, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    for setting, value in re.findall(r"(max_answer_tokens|thinking_budget) from (\d+) to", said):
        assert json.loads((tmp_path / "run" / "record.json").read_text())["config"][setting] == int(value)
    assert "thinking_budget from " in said


def test_a_library_that_does_not_fit_into_memory_is_one_line() -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (400 << 20,) * 2); import rlready.cli.main as m"
    )
    words = [sys.executable, "-c", f"{code}; sys.exit(m.main(sys.argv[1:]))", "show", "--template", "embedded"]
    done = subprocess.run(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "rlready: main memory is full: use a device with more memory\n")


def test_the_summary_of_every_verb_fits_a_narrow_terminal() -> None:
    for verb in VERBS.values():
        assert len(verb.about.partition(". ")[0]) <= 60, verb.about


def test_algorithms_that_settings_name_are_those_that_there_are() -> None:
    assert tuple(ALGORITHMS) == NAMED


def test_progress_prints_its_end_once(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.0, *[5.0] * 20])
    with Progress("sampling", total=4, screen=Screen(clock=lambda: next(times))) as bar:
        bar.update(4)
    assert capsys.readouterr().err.count("4/4") == 1


def test_a_run_without_a_result_says_how_to_go_on(tmp_path: Path) -> None:
    with Run(tmp_path, "demo", DemoConfig()) as run:
        run.claim()
    record = RunRecord.load(tmp_path).model_copy(update={"command": "rlready demo --out here"})
    write_json(tmp_path / "record.json", record)
    with pytest.raises(UserError, match="has not finished; continue it with its own command: rlready demo --out here"):
        load_result(tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("readiness model", "problems is missing: name the problems for model"),
        ("readiness ./mode problems=dagmath?n=2", "mode: no such folder"),
        ("readiness model problems=p.jsonl", 'as in "p.jsonl?prompt=exercise&answer=result"'),
        ("evaluate model problems=p.json", "p.json: no such file or folder; did you mean p.jsonl?"),
        ("report run", "run: no such folder"),
    ],
)
def test_a_mistake_is_found_before_torch_is_imported(line: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "llama", "vocab_size": 9}')
    (tmp_path / "p.jsonl").write_text('{"exercise": "1 + 1", "result": 2}\n')
    code = "import sys; from rlready.cli.main import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert says in done.stderr
    assert done.stdout == "False\n"
