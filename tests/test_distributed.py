"""Two real processes, which torchrun starts, are one: the same weights, one writer, one line where they end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import rlready
from rlready.cli.main import main
from rlready.core import distributed
from rlready.core.config import SFTConfig
from rlready.models.batch import supervised
from rlready.runs import run as runs
from rlready.runs.files import read_table
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.train import parallel
from tiny import tiny_lm

TESTS = Path(__file__).parent
Case = tuple[str, str]  # verb, distributed
CASES: list[Case] = [("sft", "ddp"), ("sft", "fsdp"), ("rl", "ddp"), ("rl", "fsdp"), ("readiness", "")]
BROKEN = [("sft", "fsdp", "killed"), ("sft", "ddp", "killed"), ("rl", "fsdp", "killed"), ("rl", "ddp", "refuses")]
ADAPTER = {"lora_r": 2, "distributed": "ddp"}
PLACE = ("second", "gflop", "forward_tokens")  # a prompt that both processes feed counts twice


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The settings of each verb, for a random model with a tied head."""
    lm = tiny_lm(tie_word_embeddings=True, pad_token_id=None)  # whose row the plain learner would not train
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    problems = [{"id": f"p{i}", "prompt": f"{i}+{i % 7}=", "answer": str(i + i % 7)} for i in range(11)]
    rows = [{**row, "thinking": "so " * (i % 5 + 1), "response": row["answer"]} for i, row in enumerate(problems)]
    for name, lines in (("problems", problems), ("rows", rows)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = f"{tmp_path}/problems.jsonl?verifier=verifiers:even"
    sampling = {"problems": source, "thinking_budget": 6, "max_answer_tokens": 3, "group_size": 4}
    model = {"model": str(tmp_path / "model"), "learning_rate": 1e-2}
    return {
        "sft": model
        | {
            "rows": f"{tmp_path}/rows.jsonl",
            "heldout": f"{tmp_path}/rows.jsonl?n=5",
            "epochs": 2.0,
            "tokens_per_batch": 80,
        },
        "rl": model
        | sampling
        | {"validation": source, "steps": 4, "prompts_per_step": 3, "eval_every": 2, "eval_samples": 2},
        "readiness": sampling | {"checkpoints": str(tmp_path / "model"), "samples": 4},
    }


def torchrun(plan: Sequence[Mapping[str, Any]], folder: Path) -> subprocess.CompletedProcess[str]:
    """The plan in two processes; see `processes.py`."""
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    return subprocess.run(
        [*command, str(TESTS / "processes.py"), str(file)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def said_by(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines in which a run says why it ended."""
    return [line for line in done.stderr.splitlines() if line.startswith("rlready: ")]


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted(run.glob("checkpoints/*/*model.safetensors"))  # of an adapter, too
    return {f"{file.parent.name} {name}": value for file in files for name, value in load_file(file).items()}


def lines_of(run: Path) -> list[dict[str, Any]]:
    """The log without what depends on the machine and on the number of processes."""
    return [
        {k: v for k, v in line.items() if not any(word in k for word in PLACE)} for line in read_log(run / "log.jsonl")
    ]


def test_two_processes_are_one(settings: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """One test, as starts of torchrun take seconds: runs that end early, then they continue beside unbroken ones."""
    plan = []
    for verb, kind, how in BROKEN:
        out = tmp_path / f"{how}-{verb}{kind}"
        run = {"verb": verb, "settings": settings[verb] | {"distributed": kind}, "out": str(out)}
        ends_with_one_line(torchrun([run | {"how": how, "step": 3}], tmp_path), verb, how)
        assert (out / "state").is_dir()
        plan.append(run)
    for verb, kind in CASES:
        both = settings[verb] | ({"distributed": kind} if kind else {})
        plan.append({"verb": verb, "settings": both, "out": str(tmp_path / f"{verb}{kind}")})
    for verb in ("sft", "rl"):
        plan.append({"verb": verb, "settings": settings[verb] | ADAPTER, "out": str(tmp_path / f"{verb}-lora")})
    done = torchrun(plan, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("continuing a run that was") == len(BROKEN)
    for verb, kind, how in BROKEN:
        has_the_bits_of(tmp_path / f"{how}-{verb}{kind}", tmp_path / f"{verb}{kind}")
    for verb, values in settings.items():
        getattr(rlready, verb)(out=tmp_path / f"{verb}-one", **values)
    for verb, kind in CASES[:4]:
        equals_one_process(tmp_path / f"{verb}{kind}", tmp_path / f"{verb}-one")
    for verb in ("sft", "rl"):
        getattr(rlready, verb)(out=tmp_path / f"{verb}-lora-one", **settings[verb] | ADAPTER)
        equals_one_process(tmp_path / f"{verb}-lora", tmp_path / f"{verb}-lora-one")
    draws_the_same_samples(tmp_path / "readiness", tmp_path / "readiness-one")


def ends_with_one_line(done: subprocess.CompletedProcess[str], verb: str, how: str) -> None:
    """All processes have ended, and one of them said why."""
    assert done.returncode != 0
    why = "the moon is full" if how == "refuses" else "(another process of the run has ended|stopped)"
    (said,) = said_by(done)
    assert re.match(f"rlready: {why}; .*to continue: torchrun --nproc-per-node 2 -m rlready {verb} ", said)


def has_the_bits_of(continued: Path, unbroken: Path) -> None:
    assert lines_of(continued) == lines_of(unbroken)
    known = weights(unbroken)
    assert all(torch.equal(value, known.pop(name)) for name, value in weights(continued).items())
    assert not known
    assert RunRecord.load(continued).attempts[-1].status == "done"
    assert not (continued / "state").exists()


def equals_one_process(two: Path, one: Path) -> None:
    """Every number of the log and every weight of every checkpoint, to 1e-5; and the same files, so that one wrote."""
    assert len(lines_of(one)) > 4
    for a, b in zip(lines_of(one), lines_of(two), strict=True):
        assert b == pytest.approx(a, abs=1e-5)
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0)
    assert RunRecord.load(two).processes == 2
    names = [sorted(path.relative_to(run).as_posix() for path in run.rglob("*")) for run in (one, two)]
    assert names[0] == names[1]


def draws_the_same_samples(two: Path, one: Path) -> None:
    results = [rlready.ReadinessResult.load(run) for run in (one, two)]
    assert results[0].per_problem == results[1].per_problem
    assert results[0].checkpoints[0].length_right == results[1].checkpoints[0].length_right
    tables = [read_table(run / "parts" / "0.parquet") for run in (one, two)]
    drawn = [[(row["problem_id"], row["sample_id"], row["tokens"]) for row in table] for table in tables]
    assert drawn[0] == drawn[1]


def test_what_both_refuse_is_printed_once(tmp_path: Path) -> None:
    run = {"verb": "sft", "settings": {"model": "missing", "rows": "rows.jsonl"}, "out": str(tmp_path / "out")}
    done = torchrun([run | {"how": "", "step": 0}], tmp_path)
    assert len(said_by(done)) == 1
    assert "rows.jsonl" in said_by(done)[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("[tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:40123", "another process of the run has ended"),
        (
            "[tcp/unbound_buffer.cc:84] Timed out waiting 3600000ms for recv operation to complete",
            "another process of the run has not answered for 1:00:00",
        ),
        ("mat1 and mat2 shapes cannot be multiplied", ""),
    ],
)
def test_a_process_that_is_gone_or_silent_is_named(monkeypatch: pytest.MonkeyPatch, message: str, why: str) -> None:
    """By what gloo says in the others; a process alone has no others."""
    assert distributed.why_lost(RuntimeError(message)) == ""
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    assert distributed.why_lost(RuntimeError(message)) == why
    assert distributed.why_lost(ValueError(message)) == ""


def test_other_verbs_run_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(rlready.UserError, match=r"^rlready evaluate runs in one process: start it without torchrun$"):
        rlready.evaluate(out=tmp_path / "out")


def test_examples_are_dealt_in_equal_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them once, and no process has more than one example's tokens above another."""
    examples = [supervised([1] * (i * i % 13), [2] * (1 + i)) for i in range(17)]
    dealt = []
    for number in range(3):
        monkeypatch.setattr(parallel, "rank", lambda number=number: number)
        monkeypatch.setattr(parallel, "world_size", lambda: 3)
        dealt.append(parallel.examples_of_process(examples))
    assert sorted(id(e) for part in dealt for e in part) == sorted(map(id, examples))
    loads = [sum(map(len, part)) for part in dealt]
    assert max(loads) - min(loads) <= max(map(len, examples))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"learning_rate": "0.1"}, "other settings: learning_rate=0.1 instead of 0.001; "),
        (
            {"heldout": "h", "epochs": "2.0"},
            "other settings: heldout=h instead of none, epochs=2.0 instead of 1.0; ",
        ),
        ({"out": "b"}, "other settings: out=b instead of none; "),
        ({"overwrite": "true"}, "other settings: overwrite=true instead of none; "),
        ({"command": "rl"}, "another command: command=rl instead of sft; "),
    ],
)
def test_a_process_with_other_settings_is_refused(
    other: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything that the processes do together, where other settings would be a wrong result or no end."""

    def gathered(mine: dict[str, str]) -> list[dict[str, str]]:
        return [mine, mine | {k: v for k, v in other.items() if ("command" in other) == ("command" in mine)}]

    monkeypatch.setattr(distributed, "gathered", gathered)
    assert main(["sft", "model=m", "rows=missing.jsonl", "learning_rate=0.001", "epochs=1"]) == 2
    assert capsys.readouterr().err.startswith(f"rlready: process 1 was started with {said}")
    settings: dict[str, Any] = {"model": "m", "rows": "missing.jsonl", "learning_rate": 0.001, "epochs": 1.0}
    with pytest.raises(rlready.UserError, match=f"^process 1 was started with {said}"):
        rlready.sft(**settings)


def test_a_process_with_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as on another machine, before anything is written."""
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out"
    rows.write_text("{}")

    def gathered(mine: Any) -> list[Any]:
        return [mine, mine | {str(rows): "0" * 64} if str(rows) in (mine or {}) else mine]

    monkeypatch.setattr(distributed, "gathered", gathered)
    monkeypatch.setattr(runs, "world_size", lambda: 2)
    said = rf"^process 1 has read other data \(SHA-256\): {rows}=0+ instead of "
    with runs.Run(out, "sft", SFTConfig()) as own:
        own.note_data(id="rows", role="training", path=rows)
        with pytest.raises(rlready.UserError, match=said):
            own.claim()
    assert not out.exists()


def test_a_process_with_other_presets_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "gathered", lambda mine: [mine, mine | {"device": "cpu"} if mine else mine])
    said = r"^process 1 has other presets: device=cpu instead of cuda; all need "
    with runs.Run(tmp_path / "out", "sft", SFTConfig()) as own, pytest.raises(rlready.UserError, match=said):
        own.resolve(own.config, {"device": "cuda"})
