"""Samples that other tools wrote, from their files to a ranking.

In data/interchange, TRL 1.16.0 trained a tiny model for four steps (``conversation``: two epochs over four problems;
``text``: with an evaluation of two problems at every second step, and a second reward that is None for some samples),
inspect_ai 0.3.285 logged a model that answers from a list, lm-eval 0.4.13 wrote one and four repeats of three
documents, and the models of verifiers 0.4.0 wrote prime-rl's episodes.  The files of verl 0.9.1, SkyRL 0.3.0 and
lighteval 0.13.0 are made here with the fields that these write.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.progress import PAUSE, SCREEN
from rlready.interchange.formats import recognise
from rlready.readiness.offline_samples import Stored
from rlready.readiness.result import ReadinessResult
from rlready.readiness.sources import read_sources
from rlready.readiness.stage import readiness

DATA = Path(__file__).parent / "data" / "interchange"
LM_EVAL = DATA / "lm-eval" / "samples_sums1.jsonl"
Row = dict[str, Any]


def read(source: str, *, problems_named: bool = False) -> dict[str, Stored]:
    return read_sources([source], problems_named=problems_named)[1]


def counts(stored: Stored) -> dict[str, str]:
    """The outcomes of each problem, in the order of the samples."""
    found = dict.fromkeys(stored.problem_ids, "")
    for problem, correct in zip(stored.draws.problem.tolist(), stored.draws.correct.tolist(), strict=True):
        found[stored.problem_ids[problem]] += "10"[not correct]
    return found


def alone(source: str, *, problems_named: bool = False) -> Stored:
    (stored,) = read(source, problems_named=problems_named).values()
    return stored


def ranked(folder: Path, *sources: str, **settings: Any) -> ReadinessResult:
    return readiness(ReadinessConfig(checkpoints=sources, **settings), folder)


def read_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def lines(path: Path, rows: Sequence[Row], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    return path


def trl(folder: Path, step: int, rows: Sequence[tuple[Any, str, float | None]], **more: Any) -> Path:
    """A file of TRL's, of (prompt, completion, reward)."""
    (folder / "completions").mkdir(parents=True, exist_ok=True)
    prompts, said, rewards = zip(*rows, strict=True)
    columns = {"prompt": prompts, "completion": said, "accuracy": pa.array(rewards, pa.float64())} | more
    table = pa.table({"step": [step] * len(rows), **columns, "advantage": [0.0] * len(rows)})
    pq.write_table(table, folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


def verl_rows(step: int, outcomes: dict[str, str], **more: Any) -> list[Row]:
    """Rows of verl's for each problem and its outcomes, such as 0110; groups have new names in every step."""
    return [
        {"input": problem, "output": f"{step} {problem} {n}", "gts": "4", "score": float(right), "step": step}
        | {"uid": f"g{step}-{problem}_{n}_0"}
        | more
        for problem, rights in outcomes.items()
        for n, right in enumerate(rights)
    ]


def test_a_file_of_verl_has_the_step_of_its_name(tmp_path: Path) -> None:
    """A file of several steps is read by its own name, as in a folder its steps could not be chosen."""
    both = lines(tmp_path / "10.jsonl", verl_rows(5, {"a": "01", "b": "00"}) + verl_rows(10, {"a": "11", "b": "01"}))
    with pytest.raises(UserError, match=r"10\.jsonl:1: step 5, in a file that verl names after its step: name this"):
        read(f"verl:{tmp_path}")
    assert [Path(name).name for name in read(f"verl:{both}")] == ["step-5", "step-10"]
    assert [Path(name).name for name in read(f"verl:{both}?step=5")] == ["step-5"]


def test_folders_of_compressed_files_are_those_of_plain_ones(tmp_path: Path) -> None:
    """Also where the plain file has stayed beside its copy; the step is in the name."""
    row = {"input_prompt": "2 + 2?", "output_response": "4", "score": 1.0, "stop_reason": "stop"}
    written = {
        "verl": [
            ("5.jsonl", verl_rows(5, {"a": "01", "b": "00"})),
            ("10.jsonl", verl_rows(10, {"a": "11", "b": "01"})),
        ],
        "skyrl": [("gsm8k.jsonl", [row]), ("aggregated_results.jsonl", [{"avg": 1.0}])],
        "lm-eval": [("model/samples_sums_2026-01-01T00-00-00.jsonl", read_lines(LM_EVAL))],
    }
    for kind, files in written.items():
        chosen = "?filter=strict-match" if kind == "lm-eval" else ""
        plain, packed = (tmp_path / kind / name for name in ("plain", "packed"))
        for name, rows in files:
            for folder in (plain, packed):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                lines(folder / name, rows)
            (packed / f"{name}.gz").write_bytes(gzip.compress((plain / name).read_bytes()))
        expected = {Path(name).name: counts(stored) for name, stored in read(f"{kind}:{plain}{chosen}").items()}
        for _ in range(2):
            found = {Path(name).name: counts(stored) for name, stored in read(f"{kind}:{packed}{chosen}").items()}
            assert [*found.values()] == [*expected.values()]
            assert kind != "verl" or [*found] == [*expected] == ["step-5", "step-10"]
            for name, _ in files:
                (packed / name).unlink(missing_ok=True)


def test_a_folder_of_trl_is_ranked_by_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two epochs are two passes over the problems, each a checkpoint; the number of samples decides k."""
    passes = read(f"trl:{DATA}/trl/conversation")
    assert [Path(name).name for name in passes] == ["steps-1-2", "steps-3-4"]
    first, second = passes.values()
    question = "What is {} + 1?"
    assert counts(first) == {
        question.format(1): "0101",
        question.format(3): "0011",
        question.format(2): "1011",
        question.format(0): "0100",
    }
    assert counts(second)[question.format(3)] == "0000"
    monkeypatch.setattr(SCREEN, "_last", -PAUSE)  # nothing was shown a moment ago
    shutil.copytree(DATA / "trl" / "conversation", tmp_path / "grpo")
    (tmp_path / "grpo" / "checkpoint-2").mkdir()
    result = ranked(tmp_path / "run", f"trl:{tmp_path}/grpo")
    assert f"model={tmp_path}/grpo/checkpoint-2 " in result.next_command  # which TRL saved at the last step of the pass
    assert "0 samples" not in capsys.readouterr().err
    assert [Path(each.name).name for each in result.checkpoints] == ["steps-1-2", "steps-3-4"]
    assert sorted(result.checkpoints[0].pass_at_k) == [1, 2, 4]
    assert result.checkpoints[1].pass_at_k[4].value == 0.75


def test_evaluations_of_trl_are_checkpoints_and_other_steps_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(f"trl:{DATA}/trl/text?score=correct")
    assert [Path(name).name for name in found] == ["step-2", "step-4"]
    assert [counts(each) for each in found.values()] == [
        {"What is 1 + 1?": "0010", "What is 0 + 1?": "1101"},
        {"What is 1 + 1?": "0001", "What is 0 + 1?": "0000"},
    ]
    assert "2 with the same problems stand for as many checkpoints (steps 2, 4)" in capsys.readouterr().err
    assert list(read(f"TRL:{DATA}/trl/text?score=correct")) == list(found)
    one = read(f"trl:{DATA}/trl/text?score=correct&step=3")
    assert list(one) == [f"{DATA}/trl/text/step-3"]
    named = [f"trl:{DATA}/trl/text?score=correct&step={step}" for step in ("1-2", "3-4&name=later", 2)]
    assert list(read_sources(named, problems_named=False)[0]) == [
        f"{DATA}/trl/text/steps-1-2",
        "later",
        f"{DATA}/trl/text/step-2",
    ]
    both = alone(f"trl:{DATA}/trl/text?score=correct&step=1-2")
    assert counts(both)["What is 1 + 1?"] == "00000010"


def test_evaluations_are_not_mixed_with_the_steps_of_training_between_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though passes would have more problems in common."""
    training = {1: "abc", 3: "def", 5: "abd"}
    for step in range(1, 7):
        trl(tmp_path, step, [(p, f"{p}{step}{n}", 1.0) for p in training.get(step, "xy") for n in "01"])
    found = read(f"trl:{tmp_path}")
    assert [Path(name).name for name in found] == ["step-2", "step-4", "step-6"]
    assert all(each.problem_ids == ["x", "y"] for each in found.values())
    assert "3 evaluations of the same problems stand for as many checkpoints (steps 2, 4, 6)" in (
        said := capsys.readouterr().err
    )
    assert "; the other 3 are left out" in said


def test_evaluations_that_the_trainer_has_logged_are_told_from_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Small ones, behind rows of training in their files, and steps of training with equal problems."""
    for step in range(1, 7):
        rows = [(p, f"{p}{step}{n}", 0.0) for p in ("abcd" if step % 3 else "abcdxy") for n in "01"]
        trl(tmp_path, step, [(p, text, float(p in "xy")) for p, text, _ in rows])
    assert [Path(name).name for name in read(f"trl:{tmp_path}")] == [f"step-{step}" for step in (1, 2, 4, 5)]
    log = [{"step": step, "reward": 0.1} for step in range(1, 7)] + [{"step": s, "eval_reward": 0.5} for s in (3, 6)]
    saved = tmp_path / "checkpoint-6" / "trainer_state.json"
    saved.parent.mkdir()
    saved.write_text(json.dumps({"log_history": log, "global_step": 6}))
    found = read(f"trl:{tmp_path}")
    assert {Path(name).name: counts(each) for name, each in found.items()} == {
        "step-3": {"x": "11", "y": "11"},
        "step-6": {"x": "11", "y": "11"},
    }
    assert "of its 6 steps, 2 evaluations of the same problems stand for as many" in capsys.readouterr().err
    saved.write_text(json.dumps({"log_history": [*log, {"step": None, "eval_x": 1}], "global_step": 6}))
    assert len(read(f"trl:{tmp_path}")) == 4  # what is no log says nothing


def test_samples_that_evaluations_may_be_mixed_with_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of training on the problems of an evaluation, and files of an earlier, longer run in the same folder."""
    for step in range(1, 6):
        trl(tmp_path, step, [(p, f"{p}{step}{n}", 1.0) for p in "ab" for n in "01"])
    log = [{"step": step, "eval_reward": 0.5} for step in (2, 4)]
    said = [
        "the problems of its evaluations are trained on",
        "by its log the run ended at step 4, but there are samples",
    ]
    for most, warned in ((9, said[:1]), (4, said)):
        state = {"log_history": log, "global_step": 4, "max_steps": most}
        (tmp_path / "trainer_state.json").write_text(json.dumps(state))
        read(f"trl:{tmp_path}")
        err = capsys.readouterr().err
        assert [each for each in said if each in err] == warned


@pytest.mark.parametrize("place", ["trainer_state.json", "checkpoint-3/trainer_state.json"])
def test_evaluations_behind_the_last_log_are_evaluations(place: str, tmp_path: Path) -> None:
    """Steps with the problems of the one evaluation that the log has."""
    for step in range(1, 8):
        trl(tmp_path, step, [(p, f"{p}{step}{n}", 1.0) for p in ("ab" if step % 3 else "xy") for n in "01"])
    log = [{"step": step, "reward": 0.1} for step in range(1, 4)] + [{"step": 3, "eval_reward": 0.5}]
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps({"log_history": log, "global_step": 3}))
    assert [Path(name).name for name in read(f"trl:{tmp_path}")] == ["step-3", "step-6"]


@pytest.mark.parametrize("steps", ["ab cd ef ab cd", "ab cd ef ab ce df ad be cf"])
def test_steps_of_training_with_the_same_problems_are_no_evaluations(steps: str, tmp_path: Path) -> None:
    """In the same order in every epoch, or by chance."""
    for step, problems in enumerate(steps.split(), start=1):
        lines(tmp_path / f"{step}.jsonl", verl_rows(step, dict.fromkeys(problems, "01")))
    assert "steps-1-3" in [Path(name).name for name in read(f"verl:{tmp_path}")]


def test_a_reward_is_chosen_and_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"scores correct, maybe; say which is the verdict, as in \?score=correct"):
        read(f"trl:{DATA}/trl/text")
    with pytest.raises(UserError, match=r"no reward or metric 'corect'; did you mean correct\?"):
        read(f"trl:{DATA}/trl/text?score=corect")
    message = (
        r"completions_00002.parquet row 2: maybe = 0.5 is neither 0 nor 1; .*\?threshold=0.5, or choose another score"
    )
    with pytest.raises(UserError, match=message + r" \(correct\)"):
        read(f"trl:{DATA}/trl/text?score=maybe&step=2")
    folder = trl(tmp_path, 1, [("a", "x", 0.02), ("a", "y", 1 / 60), ("b", "x", 0.0), ("b", "z", float("nan"))])
    with pytest.raises(
        UserError, match=r"from which score on, of 0 to 0.02 here, .* as in \?threshold=0.00833, or name"
    ):
        read(f"trl:{folder}")
    (folder / "completions" / "completions_00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"00002\.parquet: not a Parquet file .*; if it was cut, .*, or remove it"):
        read(f"trl:{folder}?threshold=0.5")
    folder = trl(tmp_path / "graded", 1, [("a", "x", 0.5), ("a", "y", 0.4), ("b", "x", 0.1), ("b", "z", 1.5)])
    assert counts(alone(f"trl:{folder}?threshold=0.5")) == {"a": "10", "b": "01"}


def test_samples_without_a_score_are_left_out_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = alone(f"trl:{DATA}/trl/text?score=maybe&threshold=0.5&step=2")
    assert counts(found) == {"What is 1 + 1?": "111", "What is 0 + 1?": "111"}
    assert "2 of 8 samples were not scored and are left out" in capsys.readouterr().err
    folder = trl(tmp_path, 1, [("a", "x", None), ("a", "y", None)])
    with pytest.raises(UserError, match="all of its 2 samples were not scored; name problems="):
        read(f"trl:{folder}")


def test_a_step_is_a_number_of_steps(tmp_path: Path) -> None:
    folder = trl(tmp_path, 1, [("a", "x", 1.0), ("a", "y", 0.0)])
    table = pq.read_table(folder / "completions" / "completions_00001.parquet")
    at = table.column_names.index("step")
    for name, step in (("huge", 10**16), ("negative", -1)):
        other = table.set_column(at, "step", pa.array([step] * 2))
        (tmp_path / name).mkdir()
        pq.write_table(other, tmp_path / name / "completions_00001.parquet")
        with pytest.raises(UserError, match=r"step must be a whole number from 0 to 1,000,000,000,000,000, not '"):
            read(f"trl:{tmp_path / name}")


def test_samples_without_a_text_cannot_be_verified(tmp_path: Path) -> None:
    path = lines(tmp_path / "1.jsonl", [row | {"output": None} for row in verl_rows(1, {"a": "01"})])
    with pytest.raises(UserError, match=r"2 samples have no text to verify; leave out problems=, or .*\?score=NAME"):
        read(f"verl:{path}", problems_named=True)
    assert counts(alone(f"verl:{path}?score=score", problems_named=True)) == {"a": "01"}


def test_files_of_trl_that_repeat_the_one_before_are_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As several steps that learn from one batch write them."""
    rows = [("a", "x", 1.0), ("a", "y", 0.0), ("b", "x", 1.0), ("b", "z", 1.0)]
    for step in (1, 2, 3):
        trl(tmp_path, step, rows)
    trl(tmp_path, 4, [(p, f"{text} again", r) for p, text, r in rows])
    assert [Path(name).name for name in read(f"trl:{tmp_path}")] == ["step-1", "step-4"]
    assert "2 files repeat the rows of the one before" in capsys.readouterr().err


def test_evaluations_whose_only_answers_coincide_are_no_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Policies that are sure of every answer write the same rows."""
    for step in (0, 1, 2):
        trl(tmp_path, step, [("a", "x", 1.0), ("a", "x", 1.0), ("b", "y", 0.0), ("b", "y", 0.0)])
    assert [Path(name).name for name in read(f"trl:{tmp_path}")] == ["step-0", "step-1", "step-2"]
    assert "repeat the rows" not in capsys.readouterr().err


def test_a_step_with_twice_as_many_samples_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As two policies in one file, whose figures would be means of both."""
    for step, samples in ((1, "0101"), (2, "01010111")):
        lines(tmp_path / f"{step}.jsonl", verl_rows(step, {"a": samples, "b": samples}))
    assert len(read(f"verl:{tmp_path}")) == 2
    said = capsys.readouterr().err
    assert "warning: step 2 with 8 samples of a problem, step 1 with 4 samples of a problem: if two runs" in said
    for step in (1, 2):
        lines(tmp_path / f"{step}.jsonl", verl_rows(step, {"a": "0101", "b": "0111"}))
    read(f"verl:{tmp_path}")
    assert "if two runs" not in capsys.readouterr().err


@pytest.mark.parametrize(("lacking", "kept"), [(1, 39), (3, 40)])
def test_problems_that_lack_a_sample_stay_where_they_are_many(lacking: int, kept: int, tmp_path: Path) -> None:
    """Errors at random would else cost most problems; one that lacks half of its samples is left out."""
    problems = {f"p{i:02}": "0101" if i >= lacking else "010" for i in range(40)} | {"cut": "01"}
    stored = alone(f"verl:{lines(tmp_path / '3.jsonl', verl_rows(3, problems))}")
    assert len(stored.problem_ids) == kept
    assert not any("cut" in problem for problem in stored.problem_ids)


def test_a_group_that_is_cut_at_step_0_is_said_with_its_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step, third in ((0, "0"), (5, "01")):
        lines(tmp_path / f"{step}.jsonl", verl_rows(step, {"a": "01", "b": "11", "c": third}))
    read(f"verl:{tmp_path}")
    assert "1 of 3 problems have fewer samples than the usual 2 (step 0)" in capsys.readouterr().err


def test_one_problem_and_one_step_are_in_the_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step, problem in ((0, "a"), (5, "a"), (7, "b")):
        lines(tmp_path / "verl" / f"{step}.jsonl", verl_rows(step, {problem: "01"}))
    result = ranked(tmp_path / "run", f"verl:{tmp_path / 'verl'}")
    assert "compared on the 1 problem that all have; the other one is left out" in capsys.readouterr().err
    assert result.headline == "Start RL from step-0; 1 problem does not separate it from step-5."


def test_steps_without_common_problems_are_not_ranked(tmp_path: Path) -> None:
    for step in (1, 2):
        trl(tmp_path, step, [(f"{step}", "x", 1.0), (f"{step}", "y", 0.0)])
    message = r"2 steps, 1 to 2, are of as many policies, and no two of them .*\?step=2, .*\?step=1-2; if some"
    with pytest.raises(UserError, match=message):
        read(f"trl:{tmp_path}")
    assert alone(f"trl:{tmp_path}?step=1-2").problem_ids == ["1", "2"]
    with pytest.raises(UserError, match="has no samples of step=7"):
        read(f"trl:{tmp_path}?step=7")


def test_passes_are_compared_on_the_problems_of_all_and_a_short_last_one_is_dropped(tmp_path: Path) -> None:
    """Problems come back in another order in every epoch, and the third epoch was stopped."""
    epochs = (["ab", "cd", "ef"], ["fc", "ad", "be"], ["ce"])
    for step, pair in enumerate((pair for epoch in epochs for pair in epoch), start=1):
        lines(tmp_path / f"{step}.jsonl", verl_rows(step, dict.fromkeys(pair, "01")))
    found = read(f"verl:{tmp_path}")
    assert [Path(name).name for name in found] == ["steps-1-3", "steps-4-6"]
    assert all(sorted(each.problem_ids) == list("abcdef") for each in found.values())


@pytest.mark.parametrize(("size", "copies"), [(1, 1), (8, 0), (8, 1), (8, 4)])
def test_a_prompt_that_the_data_have_twice_ends_no_pass(tmp_path: Path, size: int, copies: int) -> None:
    """Three shuffled epochs of 48 rows, some with the prompt of another, in batches of ``size``."""
    rng = np.random.default_rng(size + copies)
    rows = [f"p{n}" for n in range(48 - copies)] + [f"p{n}" for n in range(copies)]
    order = [rows[at] for _ in range(3) for at in rng.permutation(48)]
    folder = tmp_path / "verl"
    for step in range(3 * 48 // size):
        batch = [
            {"input": prompt, "gts": "1", "output": "", "score": 1.0, "step": step, "uid": f"g{step}-{at}_{s}_0"}
            for at, prompt in enumerate(order[step * size : (step + 1) * size])
            for s in range(2)
        ]
        lines(folder / f"{step}.jsonl", batch)
    found = read(f"verl:{folder}")
    per = 48 // size
    spans = [(0, per - 1), (per, 2 * per - 1), (2 * per, 3 * per - 1)]
    assert [Path(name).name for name in found] == [f"steps-{first}-{last}" for first, last in spans]
    assert all(len(each.problem_ids) == 48 - copies for each in found.values())


def test_evaluations_without_a_log_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TRL writes their rows among those of training; two epochs over eight problems, and three evaluations of two."""
    for step, pair in enumerate(("ab", "cd", "ef", "gh", "ca", "bd", "hf", "ge"), start=1):
        asked = pair + "xy" * (step in (1, 4, 8))
        trl(tmp_path, step, [(problem, f"{step}{problem}{s}", float(s)) for problem in asked for s in (0, 1)])
    read(f"trl:{tmp_path}")
    said = "the same 2 problems are in the steps 1, 4, 8, as of evaluations, but no log tells which rows are theirs"
    assert said in capsys.readouterr().err


def test_a_cut_validation_and_unshuffled_epochs_are_no_unlogged_evaluations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (0, 10, 20, 30):
        lines(
            tmp_path / "val" / f"{step}.jsonl", verl_rows(step, dict.fromkeys("abcdefgh"[: 8 - 2 * (step == 30)], "01"))
        )
    read(f"verl:{tmp_path / 'val'}")
    for step in range(7):
        lines(tmp_path / "rl" / f"{step}.jsonl", verl_rows(step, dict.fromkeys(("ab", "cd", "ef")[step % 3], "01")))
    read(f"verl:{tmp_path / 'rl'}")
    assert "no log tells" not in capsys.readouterr().err


def test_problems_of_verl_are_inputs_and_a_session_has_one_response(tmp_path: Path) -> None:
    """Its groups are named anew in every step; of a session with two outputs the last one counts."""
    rows = verl_rows(1, {"a": "01", "b": "11"})
    later = rows[1] | {"uid": "g1-a_1_1", "input": "a, and more", "score": 0.0, "output": "last"}
    lines(tmp_path / "1.jsonl", [*rows[:2], later, *rows[2:]])
    lines(tmp_path / "2.jsonl", verl_rows(2, {"b": "00", "a": "10"}))
    lines(tmp_path / "10.jsonl", verl_rows(10, {"a": "11", "b": "11"}))
    found = read(f"verl:{tmp_path}")
    assert [Path(name).name for name in found] == ["step-1", "step-2", "step-10"]
    assert [counts(each) for each in found.values()] == [
        {"a": "00", "b": "11"},
        {"a": "10", "b": "00"},
        {"a": "11", "b": "11"},
    ]
    older = [{key: row[key] for key in row if key != "uid"} for row in verl_rows(1, {"a": "01"})]
    assert counts(alone(f"verl:{lines(tmp_path / 'old' / '1.jsonl', older)}")) == {"a": "01"}
    mixed = [*verl_rows(1, {"a": "01"}), *verl_rows(2, {"a": "11"})]  # the policies of two steps in one file
    assert len(read(f"verl:{lines(tmp_path / 'mixed.jsonl', mixed)}")) == 2
    shaped = [row | {"score": 2 * row["score"] - 1, "acc": row["score"]} for row in rows]
    path = lines(tmp_path / "shaped" / "1.jsonl", shaped)
    with pytest.raises(UserError, match=r"score = -1 is neither 0 nor 1; .* or choose another score \(acc\)"):
        read(f"verl:{path}")
    assert counts(alone(f"verl:{path}?score=acc")) == {"a": "01", "b": "11"}


def test_a_group_that_a_crash_has_cut_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = verl_rows(3, {"a": "0101", "b": "1111", "c": "00"})
    path = lines(tmp_path / "3.jsonl", rows, end='\n{"input": "c", "outp')
    assert counts(alone(f"verl:{path}")) == {"a": "0101", "b": "1111"}
    said = capsys.readouterr().err
    assert "3.jsonl: its last line is incomplete" in said
    assert "1 of 3 problems have fewer samples than the usual 4" in said
    path.write_text(path.read_text().replace('"gts"', "gts", 1))
    with pytest.raises(UserError, match=r"3\.jsonl:1: not JSON"):
        read(f"verl:{path}")


def test_episodes_of_prime_rl(tmp_path: Path) -> None:
    """Tokens and log-probabilities of sampled tokens only; what was learned from is not read a second time."""
    stored = alone(f"prime-rl:{DATA}/prime-rl")
    assert stored.problem_ids == ["sum-0", "sum-1"]  # one episode of sum-2 was not scored
    assert len(stored.draws.problem) == 8
    assert set(stored.draws.length.tolist()) == {3.0}
    assert set(stored.draws.surprise.tolist()) == {0.875}
    assert stored.draws.truncated.tolist() == [0, 0, 1, 0] * 2
    texts = alone(f"prime-rl:{DATA}/prime-rl", problems_named=True).pending
    assert texts[0].text is not None
    assert texts[0].text.startswith("<think>we add</think>so ")
    shutil.copytree(DATA / "prime-rl" / "rollouts", tmp_path / "rollouts")
    shutil.copytree(tmp_path / "rollouts/step_1/train", tmp_path / "rollouts/step_1/eval")
    with pytest.raises(UserError, match=r"rollouts of train and of eval; choose: \?filter=eval"):
        read(f"prime-rl:{tmp_path}")
    assert len(alone(f"prime-rl:{tmp_path}?filter=eval").draws.problem) == 8
    inside = tmp_path / "eval" / "run"  # the name of a folder above says nothing
    shutil.copytree(DATA / "prime-rl", inside)
    with pytest.raises(UserError, match="no rollouts of eval; there are those of train"):
        read(f"prime-rl:{inside}?filter=eval")
    assert len(alone(f"prime-rl:{inside}").draws.problem) == 8
    for step in (1, 2):  # the folder with the steps, under another name
        shutil.copytree(DATA / "prime-rl" / "rollouts" / "step_1", tmp_path / "copied" / f"step_{step}")
    assert len(read(f"prime-rl:{tmp_path / 'copied'}")) == 2
    for run in ("one", "two"):
        shutil.copytree(DATA / "prime-rl", tmp_path / "outputs" / run)
    with pytest.raises(
        UserError, match=r"outputs: holds 2 runs; name each: rlready readiness prime-rl:\S*outputs/one prime"
    ):
        read(f"prime-rl:{tmp_path / 'outputs'}")
    assert len(alone(f"prime-rl:{tmp_path / 'outputs' / 'two'}").draws.problem) == 8
    file = tmp_path / "two.jsonl"
    episode = json.loads((DATA / "prime-rl/rollouts/step_1/train/all/traces.jsonl").read_text().splitlines()[0])
    other = episode | {"task": episode["task"] | {"data": {"prompt": "What else?"}}}
    lines(file, [episode, other])
    with pytest.raises(
        UserError, match=r"two\.jsonl:2: problem 'sum-0' asks something else than its first sample \(.*:1\)"
    ):
        read(f"prime-rl:{file}")
    lines(file, [episode | {"traces": episode["traces"] * 2}])
    with pytest.raises(UserError, match=r"two\.jsonl:1: an episode of 2 agents"):
        read(f"prime-rl:{file}")


def test_evaluations_of_skyrl(tmp_path: Path) -> None:
    """A score for each token is added up; the token that ends a turn is no part of the answer."""
    row = {"stop_reason": "stop", "env_class": "gsm8k", "env_extras": {}, "data_source": "gsm8k"}
    rows = [
        row | {"input_prompt": "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n", "output_response": text, "score": score}
        for text, score in (("4<|im_end|>", [0.0, 1.0]), ("5<|im_end|>", 0.0))
    ]
    dumped = lines(tmp_path / "global_step_5_evals" / "gsm8k.jsonl", rows)
    assert len(read(f"skyrl:{dumped}?step=5")) == 1
    path = lines(tmp_path / "gsm8k.jsonl", [rows[0], rows[1] | {"stop_reason": "length"}])
    stored = alone(f"skyrl:{path}")
    assert list(counts(stored).values()) == ["10"]
    assert stored.draws.truncated.tolist() == [0, 1]
    assert [each.text for each in alone(f"skyrl:{path}", problems_named=True).pending] == ["4", "5"]
    both = lines(tmp_path / "both" / "gsm8k.jsonl", [rows[0], rows[1] | {"data_source": "math"}])
    with pytest.raises(UserError, match=r"gsm8k\.jsonl:2: a second data_source \('gsm8k', 'math'\)"):
        read(f"skyrl:{both}")
    lines(tmp_path / "math.jsonl", rows)
    with pytest.raises(UserError, match=r"several data sets; .*, as in rlready readiness '(.*)'$") as caught:
        read(f"skyrl:{tmp_path}?n=1")
    sources = re.findall("'(.*?)'", str(caught.value))
    assert sources == [f"skyrl:{tmp_path}/gsm8k.jsonl?n=1"]
    assert len(read_sources(sources, problems_named=False)[1]) == 1


def test_tasks_of_lm_eval_are_chosen(tmp_path: Path) -> None:
    """One, or several that count as one: a document's number is that of its task."""

    def write(name: str, metric: str = "em") -> Path:
        rows = [
            {"doc_id": i, "arguments": [[f"{name} {i}?", {}]], "resps": [["4"]], "metrics": [metric], metric: i % 2}
            for i in range(2)
        ]
        return lines(tmp_path / f"samples_{name}.jsonl", rows)

    files = [write(f"{task}_2026-11-26T12-00-00.1") for task in ("gsm8k", "math_algebra", "math_geometry")]
    with pytest.raises(
        UserError, match=r"\(gsm8k, math_algebra, math_geometry\); choose one, as in \?task=gsm8k, or a"
    ):
        read(f"lm-eval:{tmp_path}")
    with pytest.raises(UserError, match=r"no task math; known: gsm8k, math_algebra, math_geometry"):
        read(f"lm-eval:{tmp_path}?task=math")
    one = alone(f"lm-eval:{tmp_path}?task=gsm8k")
    assert (one.path, counts(one)) == (str(files[0]), {"0": "0", "1": "1"})
    group = alone(f"lm-eval:{tmp_path}?task=math_*")
    assert counts(group) == {f"{i} [math_{name}]": str(i) for name in ("algebra", "geometry") for i in range(2)}
    write("math_words", "other")
    with pytest.raises(
        UserError, match=r"samples_math_words\.jsonl: its metric is other, and em that of the task before"
    ):
        read(f"lm-eval:{tmp_path}?task=math_*")
    again = write("gsm8k_2026-11-27T12-00-00.1")
    with pytest.raises(UserError, match=rf"several files of gsm8k; name one .*: rlready readiness .*{again.name}"):
        read(f"lm-eval:{tmp_path}?task=gsm8k")


def test_half_a_character_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "samples_a.jsonl", [{"doc_id": 0, "resps": [["\ud83d"]]}])
    with pytest.raises(UserError, match=r"samples_a\.jsonl:1: not JSON .*; remove the half of a character"):
        read(f"lm-eval:{path}")


def test_environments_of_prime_rl_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = DATA / "prime-rl/rollouts/step_1/train/all/traces.jsonl"
    episodes = [json.loads(line) for line in file.read_text().splitlines()]
    for episode in episodes:
        episode["env"] = {"name": "sums" if episode["task"]["key"] == "sum-0" else "words"}
    lines(tmp_path / "rollouts/step_1/train/all/traces.jsonl", episodes)
    alone(f"prime-rl:{tmp_path}")
    assert "several environments (sums, words) are read as one set; ?task=NAME chooses one" in capsys.readouterr().err
    chosen = [len(alone(f"prime-rl:{tmp_path}?task={name}").draws.problem) for name in ("sums", "words")]
    assert chosen == [4, 7]
    assert "several environments" not in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no environment word; did you mean words\?"):
        read(f"prime-rl:{tmp_path}?task=word")


def test_samples_of_lm_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        UserError, match=r"for each filter \(strict-match, flexible-extract\); choose one, as in \?filter=strict"
    ):
        read(f"lm-eval:{LM_EVAL}")
    stored = alone(f"lm-eval:{LM_EVAL}?filter=strict-match")
    assert stored.problem_ids == ["0", "1", "2"]
    assert (stored.conditions["filter"], stored.conditions["correct"]) == ("strict-match", "the score exact_match")
    assert len(stored.draws.problem) == 3
    several = DATA / "lm-eval" / "samples_sums4.jsonl"
    with pytest.raises(UserError, match=r"sums4\.jsonl:1: 4 responses, but exact_match is one number for all"):
        read(f"lm-eval:{several}")  # a filter would not help
    problems = lines(
        tmp_path / "problems.jsonl", [{"id": i, "prompt": f"What is {i}?", "answer": "4"} for i in range(3)]
    )
    result = ranked(tmp_path / "run", f"lm-eval:{several}", problems=str(problems))
    assert sorted(result.checkpoints[0].pass_at_k) == [1, 2, 4]
    assert result.checkpoints[0].samples == 12
    with pytest.raises(UserError, match="no row has filter = strict; did you mean strict-match"):
        read(f"lm-eval:{LM_EVAL}?filter=strict")
    drawn = tmp_path / "samples_drawn.jsonl"
    rows = [{"doc_id": i, "resps": [["4"]], "metrics": ["em"], "em": 1.0, "filter": "none"} for i in range(2)]
    lines(drawn, [row | {"arguments": [["What?", {"temperature": i}]]} for i, row in enumerate(rows)])
    read(f"lm-eval:{drawn}")
    assert "samples were drawn with temperature = 0 and 1, yet are read as one" in capsys.readouterr().err
    twice = tmp_path / "samples_twice.jsonl"
    twice.write_text(LM_EVAL.read_text() * 2)
    with pytest.raises(
        UserError, match=r"samples_twice\.jsonl:\d+: document \d is there again, which lm-eval writes once"
    ):
        read(f"lm-eval:{twice}?filter=strict-match")


@pytest.mark.parametrize("name", ["log.eval", "log.json"])
def test_logs_of_inspect(name: str) -> None:
    """Both forms hold the same samples; the archive is compressed with zstd."""
    stored = alone(f"inspect:{DATA}/inspect/{name}")
    assert counts(stored) == {"q0": "100", "q1": "010"}
    assert sorted(stored.draws.truncated.tolist()) == [0, 0, 0, 1, 1, 1]
    texts = [each.text for each in alone(f"inspect:{DATA}/inspect/{name}", problems_named=True).pending]
    assert texts.count("ANSWER: 4") == 2


def test_what_else_a_log_of_inspect_may_hold(tmp_path: Path) -> None:
    """An error without scores, a scorer with several values, parts of a message, and a text that is attached."""
    said = {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "so"}, {"type": "text", "text": "4"}]}
    attached = {"role": "assistant", "content": "attachment://abc"}
    samples = [
        {
            "id": 1,
            "epoch": 1,
            "output": {"choices": [{"message": said}]},
            "scores": {"judge": {"value": {"a": 1, "b": "P"}}},
        },
        {"id": 1, "epoch": 2, "output": {"choices": [{"message": attached}]}, "scores": {"judge": {"value": {"a": 0}}}},
        {"id": 1, "epoch": 3, "output": {"choices": []}, "scores": {}, "error": {"message": "x"}},
    ]
    samples[1]["attachments"] = {"abc": "a long text"}
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}")
        for sample in samples:
            archive.writestr(f"samples/1_epoch_{sample['epoch']}.json", json.dumps(sample))
    with pytest.raises(UserError, match=r"scores judge/a, judge/b; say which is the verdict"):
        read(f"inspect:{path}")
    assert counts(alone(f"inspect:{path}?score=judge/a")) == {"1": "10"}
    texts = [each.text for each in alone(f"inspect:{path}", problems_named=True).pending]
    assert texts[:2] == ["<think>so</think>4", "a long text"]
    submitted = [sample | {"output": sample["output"] | {"completion": "5"}} for sample in samples[:2]]
    agent = tmp_path / "agent.json"
    agent.write_text(json.dumps({"version": 2, "status": "success", "eval": {}, "samples": submitted}))
    texts = [each.text for each in alone(f"inspect:{agent}", problems_named=True).pending]
    assert texts == ["<think>so</think>5", "5"]  # what scorers have read
    with zipfile.ZipFile(path, "w") as archive:
        for sample in samples[:2]:
            asked = sample | {"input": f"What is {sample['epoch']}?"}
            archive.writestr(f"samples/1_epoch_{sample['epoch']}.json", json.dumps(asked))
    with pytest.raises(
        UserError, match=r"log\.eval row 2: problem '1' asks something else than its first sample \(.*row 1\)"
    ):
        read(f"inspect:{path}?score=judge/a")
    failed = {
        "version": 2,
        "status": "error",
        "eval": {},
        "samples": [samples[2] | {"epoch": i} for i in range(3, 603)],
    }
    log = tmp_path / "failed.json"
    log.write_text(json.dumps(failed | {"samples": [*failed["samples"], samples[1]]}))
    assert counts(alone(f"inspect:{log}")) == {"1": "0"}  # though none of the first samples has a score
    log.write_text(json.dumps(failed))
    with pytest.raises(UserError, match="all of its 600 samples ended in an error"):
        read(f"inspect:{log}")
    log = tmp_path / "cut.json"
    log.write_text((DATA / "inspect" / "log.json").read_text()[:40_000])
    with pytest.raises(UserError, match=r"cut\.json: (not JSON|ends in the middle)"):
        read(f"inspect:{log}")


@pytest.mark.parametrize("events", [0, 20_000])  # read as a whole, and up to its scores
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive_of_inspect_is_refused(tmp_path: Path, compression: int, events: int) -> None:
    path = tmp_path / "log.eval"
    sample = {"id": 1, "epoch": 1, "output": {"completion": "four"}, "scores": {"match": {"value": "C"}}}
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("samples/1_epoch_1.json", json.dumps(sample | {"events": "x" * events}))
        (member,) = archive.infolist()
    assert counts(alone(f"inspect:{path}")) == {"1": "1"}
    content = bytearray(path.read_bytes())
    data = member.header_offset + 30 + len(member.filename)
    for at in range(data + 1, data + 30):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(UserError, match=r"log\.eval: not a log that can be read"):
            read(f"inspect:{path}")


def test_an_archive_of_inspect_that_unfolds_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    sample = {"id": 1, "output": {"completion": "a" * (1 << 23)}, "scores": {"match": {"value": "C"}}}
    for epochs in (4, 12):  # 32 MiB, which any file may unfold to, and 96 MiB
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for epoch in range(1, epochs + 1):
                archive.writestr(f"samples/1_epoch_{epoch}.json", json.dumps(sample | {"epoch": epoch}))
        if epochs == 4:
            assert counts(alone(f"inspect:{path}")) == {"1": "1111"}
        else:
            with pytest.raises(UserError, match=r"log\.eval: unfolds to more than 100 times its size"):
                read(f"inspect:{path}")


def test_an_archive_of_inspect_may_be_odd_elsewhere(tmp_path: Path) -> None:
    """A header that is nested too deeply, a damaged directory of members, and half of a surrogate pair."""
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "log.eval"
    said = {"choices": [{"message": {"role": "assistant", "content": "four\ud83d"}}]}
    sample = {"id": "\ud800", "epoch": 1, "output": said, "scores": {"match": {"value": "C"}}}
    for header, problem in (("{}", ""), ("[" * 200_000, "recursion")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", header)
            archive.writestr("samples/1_epoch_1.json", json.dumps(sample))
        if problem:
            with pytest.raises(UserError, match=rf"log\.eval: not a log that can be read \(.*{problem}"):
                read(f"inspect:{path}")
        else:
            assert counts(alone(f"inspect:{path}")) == {"?": "1"}
            assert [each.text for each in alone(f"inspect:{path}", problems_named=True).pending] == ["four?"]
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\1\2")] = 0
    path.write_bytes(content)
    for source in (f"inspect:{path}", f"inspect:{folder}"):
        with pytest.raises(UserError, match=r"log\.eval: not a log that can be read"):
            read(source)
    with pytest.raises(UserError, match="read them with inspect:"):
        read(str(folder))


def test_details_of_lighteval(tmp_path: Path) -> None:
    rows = [
        {
            "doc": {"id": str(i), "query": f"What is {i}?"},
            "model_response": {"text": ["4", "5"][: 1 + several], "output_tokens": [[1, 2], [3]][: 1 + several]},
            "metric": {"em": float(i % 2), "extractive_match": 1.0},
        }
        for several in (0, 1)
        for i in range(2)
    ]
    single, double = tmp_path / "details_a_2026.parquet", tmp_path / "b" / "details_b_2026.parquet"
    double.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:2]), single)
    pq.write_table(pa.Table.from_pylist(rows[2:]), double)
    assert counts(alone(f"lighteval:{single}?score=em")) == {"0": "0", "1": "1"}
    assert alone(f"lighteval:{single}?score=em").draws.length.tolist() == [2, 2]
    with pytest.raises(UserError, match="row 1: 2 responses, but em is one number"):
        read(f"lighteval:{double}?score=em")
    assert [p.text for p in alone(f"lighteval:{double}", problems_named=True).pending] == ["4", "5"] * 2
    with pytest.raises(
        UserError, match=r"several tasks \(a_2026, b_2026\); choose one, as in \?task=a_2026, or a group"
    ):
        read(f"lighteval:{tmp_path}?score=em")
    assert counts(alone(f"lighteval:{tmp_path}?score=em&task=a*")) == {"0": "0", "1": "1"}
    for name, metric in (("c", "acc"), ("d", "em")):
        table = pa.Table.from_pylist([{**row, "metric": {metric: 1.0}} for row in rows[:2]])
        pq.write_table(table, tmp_path / f"details_{name}_2026.parquet")
    with pytest.raises(UserError, match=r"details_d_2026\.parquet: its metric is em, and acc that of the task before"):
        read(f"lighteval:{tmp_path}?task=[cd]*")
    with pytest.raises(UserError, match=r"details_c_2026\.parquet: no reward or metric 'em'; known: acc"):
        read(f"lighteval:{tmp_path}?task=c_2026&score=em")
    for name in "cd":
        (tmp_path / f"details_{name}_2026.parquet").unlink()
    both = alone(f"lighteval:{tmp_path}?task=*", problems_named=True)
    assert both.problem_ids == ["0 [a_2026]", "1 [a_2026]", "0 [b_2026]", "1 [b_2026]"]
    pq.write_table(pa.Table.from_pylist(rows[:2] * 2), single)
    with pytest.raises(UserError, match="row 3: document '0' is there again, which lighteval writes once"):
        read(f"lighteval:{single}?score=em")


def test_texts_are_verified_if_problems_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts are matched with the problems, also inside a conversation; the tool's score is taken if asked for."""
    problems = [{"id": f"p{i}", "prompt": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(4)]
    named = str(lines(tmp_path / "problems.jsonl", problems))
    folder = trl(
        tmp_path / "trl",
        1,
        [
            ("What is 1 + 1?", "2", 0.0),
            ("What is 1 + 1?", "3", 1.0),
            ("What is 2 + 1?", "3", 0.0),
            ("What is 2 + 1?", "3", 0.0),
        ],
    )
    result = ranked(tmp_path / "verified", f"trl:{folder}", problems=named)
    assert {name: c.counts.correct.tolist() for name, c in result.per_problem.items()} == {str(folder): [1, 2]}
    assert result.problems == ["p1", "p2"]
    assert "measured on the 2 problems that all have, of up to 4" in capsys.readouterr().err
    scored = ranked(tmp_path / "scored", f"trl:{folder}?score=accuracy", problems=named)
    assert scored.per_problem[str(folder)].counts.correct.tolist() == [1, 0]
    rows = [row | {"input": f"user\n{row['input']}\nassistant\n"} for row in verl_rows(1, {"What is 3 + 1?": "00"})]
    inside = lines(tmp_path / "verl" / "1.jsonl", [rows[0] | {"output": "#### 4"}, rows[1]])
    result = ranked(tmp_path / "inside", f"verl:{inside}", problems=named)
    assert (result.problems, result.checkpoints[0].pass_at_k[1].value) == (["p3"], 0.5)
    other = str(lines(tmp_path / "other.jsonl", [{"id": "x", "prompt": "y", "answer": "1"}]))
    with pytest.raises(
        UserError,
        match=r"has the id or the prompt of one of the named problems: the first is 'What.* here, 'y' there; give",
    ):
        ranked(tmp_path / "none", f"trl:{folder}", problems=other)


def test_two_runs_are_compared_on_the_problems_that_both_have(tmp_path: Path) -> None:
    one = lines(tmp_path / "one" / "1.jsonl", verl_rows(1, {"a": "0111", "b": "1111"}))
    other = lines(tmp_path / "other" / "1.jsonl", verl_rows(1, {"b": "01", "c": "11"}))
    result = ranked(tmp_path / "run", f"verl:{one}", f"verl:{other}")
    assert result.problems == ["b"]
    assert sorted(result.checkpoints[0].pass_at_k) == [1, 2]
    with pytest.raises(UserError, match="named twice"):
        ranked(tmp_path / "twice", f"verl:{one}", f"verl:{one}")


def test_one_run_under_two_rewards_is_not_two_checkpoints(tmp_path: Path) -> None:
    path = lines(tmp_path / "1.jsonl", verl_rows(1, {"a": "01", "b": "11"}, acc=1.0))
    with pytest.raises(UserError, match="A and B are the same samples"):
        ranked(tmp_path / "run", f"verl:{path}?score=score&name=A", f"verl:{path}?score=acc&name=B")


def made(tmp_path: Path) -> dict[str, Path]:
    """A path of each format."""
    rows = [{"doc": {"id": "0"}, "model_response": {"text": ["4"]}, "metric": {"em": 1.0}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "details_a.parquet")
    skyrl = {"input_prompt": "a", "output_response": "b", "score": 1.0}
    return {
        "trl": DATA / "trl" / "conversation",
        "verl": lines(tmp_path / "verl" / "1.jsonl", verl_rows(1, {"a": "01"})).parent,
        "prime-rl": DATA / "prime-rl",
        "skyrl": lines(tmp_path / "sky" / "gsm8k.jsonl", [skyrl]),
        "lm-eval": LM_EVAL,
        "inspect": DATA / "inspect" / "log.eval",
        "lighteval": tmp_path / "details_a.parquet",
    }


def test_a_reader_names_the_right_one(tmp_path: Path) -> None:
    """Whichever reader is pointed at whichever tool's samples, and where a checkpoint or a table is expected."""
    paths = made(tmp_path)
    for kind in paths:
        for other, path in paths.items():
            if kind != other:
                with pytest.raises(UserError, match=f"read them with {other}:{path}"):
                    read(f"{kind}:{path}")
    for kind in ("trl", "verl", "prime-rl", "inspect"):
        with pytest.raises(UserError, match=f"no checkpoint, but samples of .*; read them with {kind}:{paths[kind]}"):
            read(str(paths[kind]))
    for rank in range(2):
        lines(tmp_path / "ranks" / f"rank{rank}.jsonl", [{"problem_id": "a", "sample_id": rank, "correct": True}])
    with pytest.raises(UserError, match=r"no checkpoint, but 2 tables, such as rank0\.jsonl: join those"):
        read(str(tmp_path / "ranks"))
    for file in ("adapter_config.json", "trainer_state.json", "record.json"):  # of an adapter, a trainer and a run
        folder = tmp_path / Path(file).stem
        folder.mkdir()
        for name in (file, "tokenizer.json", *(["log.jsonl"] if file == "record.json" else [])):
            (folder / name).write_text("{}")
        assert read_sources([str(folder)], problems_named=True)[1] == {}
    for kind, tool in (("skyrl", "SkyRL"), ("lighteval", "lighteval")):
        with pytest.raises(UserError, match=f"these are samples of {tool}; read them with {kind}:"):
            read(str(paths[kind]))
    with pytest.raises(UserError, match=f"its folders have some: rlready readiness trl:{DATA}/trl/conversation trl:"):
        read(f"trl:{DATA}/trl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no samples of TRL there; TRL writes completions/"):
        read(f"trl:{tmp_path}/empty")
    with pytest.raises(UserError, match="no such file or folder"):
        read(f"verl:{tmp_path}/missing")
    with pytest.raises(UserError, match="name what to read, trl:PATH"):
        read("trl:")
    with pytest.raises(UserError, match="unknown key 'scor'; did you mean score"):
        read(f"trl:{DATA}/trl/text?scor=x")


@pytest.mark.parametrize("folder", ["run?3", "run?n=3", "run"])
@pytest.mark.parametrize("kind", ["verl:", ""])
def test_a_path_with_a_mark_of_options_is_to_be_renamed(kind: str, folder: str, tmp_path: Path) -> None:
    path = lines(tmp_path / folder / "1.jsonl", [{"problem_id": "a", "correct": True} | verl_rows(1, {"a": "1"})[0]])
    with pytest.raises(UserError, match="rename it without one") if "?" in folder else nullcontext():
        read(f"{kind}{path}")


def test_a_budget_that_cannot_be_known_is_refused_with_its_reason() -> None:
    with pytest.raises(
        UserError, match=r"cannot be told: TRL logs neither tokens .* without special tokens; leave it out"
    ):
        read(f"trl:{DATA}/trl/conversation?thinking_budget=64")


def test_a_table_without_ids_of_problems_says_how_to_name_them(tmp_path: Path) -> None:
    table = lines(tmp_path / "x.jsonl", [{"question": "a", "correct": True}])
    with pytest.raises(UserError, match=r"no column 'problem_id', so it is not known .* \?problem=COLUMN"):
        read(str(table))


def test_a_table_with_few_samples_needs_no_setting(tmp_path: Path) -> None:
    rows = [{"problem_id": p, "correct": c} for p in "ab" for c in (True, False, True)]
    table = str(lines(tmp_path / "x.jsonl", rows))
    result = ranked(tmp_path / "open", table)
    assert sorted(result.checkpoints[0].pass_at_k) == [1, 2, 3]
    assert ranked(tmp_path / "open", table) == result  # the same command finds the finished run
    with pytest.raises(UserError, match="holds a run with samples = 3, not 2"):
        ranked(tmp_path / "open", table, samples=2)
    with pytest.raises(UserError, match="n = 3 samples, fewer than the k = 64"):
        ranked(tmp_path / "given", table, samples=64)
    single = str(lines(tmp_path / "y.jsonl", rows[::3]))
    assert sorted(ranked(tmp_path / "single", single).checkpoints[0].pass_at_k) == [1]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("[1]\n"), "bad.jsonl:1: expected one JSON object on each line, not list"),
        (lambda path: lines(path, [{"output": "x", "score": 1, "step": 1, "input": None}]), "1: no text 'input'"),
        (
            lambda path: lines(path, [row | {"score": "x"} for row in verl_rows(1, {"a": "0"})]),
            "no reward|no score|number",
        ),
        (lambda path: lines(path, [row | {"step": 1.5} for row in verl_rows(1, {"a": "0"})]), "step must be a whole"),
    ],
)
def test_rows_that_are_none_of_verl(write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    write(path)
    with pytest.raises(UserError, match=message) as caught:
        read(f"verl:{path}")
    assert "\n" not in str(caught.value)


def evaluated(epochs: Sequence[int], **more: Any) -> str:
    """A log of Inspect of one problem that was solved in each epoch."""
    samples = [
        {"id": 1, "epoch": epoch, "output": {"choices": []}, "scores": {"judge": {"value": "C"}}} for epoch in epochs
    ]
    return json.dumps({"version": 2, "status": "success", "eval": {}, "samples": samples} | more)


def test_answers_that_differ_between_sources_are_of_other_problems(tmp_path: Path) -> None:
    """Of one id and one question; an answer and a solution that holds it are alike."""
    for kind, of in {
        "inspect": lambda truth: json.loads(evaluated([1]))["samples"][0] | {"input": "What?", "target": truth},
        "lm-eval": lambda truth: {"doc_id": 1, "doc": {"q": "What?"}, "target": truth, "resps": [["4"]], "em": 1.0},
    }.items():
        files = [tmp_path / f"{kind}-{i}.{'json' if kind == 'inspect' else 'jsonl'}" for i in range(3)]
        for file, truth in zip(files, ("4", "5", "2 + 2 = 4"), strict=True):
            log = json.loads(evaluated([1])) | {"samples": [of(truth)]}
            file.write_text(json.dumps(log if kind == "inspect" else of(truth) | {"metrics": ["em"]}))
        sources = [f"{kind}:{file}" for file in files]
        ranked(tmp_path / kind, sources[0], sources[2])
        with pytest.raises(UserError, match=r"1 of 1 ids are of other problems .*, with the ground truth '4'"):
            ranked(tmp_path / "run", *sources[:2])
    for gold, places in enumerate((0, [1])):
        doc = {"id": "0", "query": "What?", "choices": ["4", "5"], "gold_index": places}
        row = {"doc": doc, "model_response": {"text": ["4"]}, "metric": {"em": 1.0}}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"details_{gold}.parquet")
    with pytest.raises(UserError, match=r"'What\?', with the ground truth '5' .*the ground truth '4'"):
        ranked(tmp_path / "run", *(f"lighteval:{tmp_path / f'details_{gold}.parquet'}" for gold in range(2)))


def test_what_was_found_in_completions_is_no_ground_truth(tmp_path: Path) -> None:
    """Yes and no are found often; problems of one prompt have whole groups of each of their truths."""
    rows = [(f"Is {p} odd?", f"{p} {n}", float(n < p)) for p in (2, 4) for n in range(4)]
    found = ["yes" if right else "no" for *_, right in rows]
    assert len(alone(f"trl:{trl(tmp_path / 'found', 1, rows, answer=found)}").problem_ids) == 2
    truths = ["a"] * 4 + ["b"] * 4
    rows = [("What?", f"{n}", 1.0) for n in range(8)]
    both = [*rows, *[("And?", f"{n}", 0.0) for n in range(4)]]
    stored = alone(f"trl:{trl(tmp_path / 'truths', 1, both, answer=[*truths, *'cccc'])}")
    assert len(stored.problem_ids) == 3


def test_whether_a_column_holds_truths_is_decided_by_all_files(tmp_path: Path) -> None:
    """The first file alone cannot tell: all of its completions agree, or it has one completion of each prompt."""
    sure, unsure = ([("What?", f"{step} {n}", float(n < most)) for n in range(4)] for step, most in ((1, 4), (2, 1)))
    trl(tmp_path / "found", 1, sure, answer=["yes"] * 4)
    trl(tmp_path / "found", 2, unsure, answer=["yes", "no", "no", "no"])
    assert alone(f"trl:{tmp_path / 'found'}?step=1-2").problem_ids == ["What?"]
    trl(tmp_path / "truths", 1, sure[:1], answer=["a"])
    trl(tmp_path / "truths", 2, [*sure, *unsure], answer=[*"aaaabbbb"])
    assert alone(f"trl:{tmp_path / 'truths'}?step=1-2").problem_ids == ["What? [a]", "What? [b]"]
    trl(tmp_path / "halves", 1, sure, answer=[*"aaaa"])
    trl(tmp_path / "halves", 2, unsure, answer=[*"bbcc"])  # two answers that were each found twice
    assert alone(f"trl:{tmp_path / 'halves'}?step=1-2").problem_ids == ["What?"]


def trainer(folder: Path, *rewards: dict[str, list[float]]) -> Path:
    """TRL's files of steps 1, 2, ..., with the rewards of two responses in each."""
    for step, columns in enumerate(rewards, start=1):
        trl(folder, step, [("1+1", f"{step} a", None), ("1+1", f"{step} b", None)], **columns)
    return folder


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("inspect", "a.json", evaluated([1, 2, 1]), "id '1' and epoch 1 is given twice"),
        ("inspect", "a.json", evaluated([1]) + evaluated([2]), "goes on after its end"),
        (
            "verl",
            "1.jsonl",
            json.dumps({"input": "1", "output": "1", "acc": 1.0}),
            r"no 'score'.*\?score=acc \(there are acc\)",
        ),
        ("verl", "1.jsonl", json.dumps({"input": "1", "output": "1", "step": 1}), "no 'score'.* with problems=$"),
        (
            "verl",
            "1.jsonl",
            "\n".join(json.dumps(row) for row in verl_rows(1, {"p": "1"}) * 2),
            "1.jsonl:2: uid 'g1-p_0_0' is given twice",
        ),
        (
            "verl",
            "1.jsonl",
            "\n".join(json.dumps(row) for row in verl_rows(1, {"p": "1"}) + verl_rows(1, {"q": "1"}, uid="g1-p_1_0")),
            "1.jsonl:2: another input than the first of its group, 'g1-p'",
        ),
        (
            "verl",
            "1.jsonl?filter=a",
            json.dumps(verl_rows(1, {"p": "1"})[0]),
            "filter= does not apply to samples of verl",
        ),
        ("verl", "1.jsonl?task=a", json.dumps(verl_rows(1, {"p": "1"})[0]), "task= does not apply to samples of verl"),
        ("verl", "1.jsonl", json.dumps(verl_rows(1, {"p": "1"})[0] | {"step": 1e400}), "step must be a whole"),
        ("verl", "1.jsonl", json.dumps(verl_rows(1, {"p": "1"})[0] | {"score": 1e400}), "a finite number, not inf"),
        ("verl", "1.jsonl?step=5-3", json.dumps(verl_rows(1, {"p": "1"})[0]), "not a range that ascends, as 3-5"),
    ],
)
def test_what_is_given_twice_or_must_be_guessed_is_refused(
    kind: str, name: str, content: str, message: str, tmp_path: Path
) -> None:
    path, _, options = name.partition("?")
    (tmp_path / path).write_text(content)
    with pytest.raises(UserError, match=message):
        read(f"{kind}:{tmp_path / path}{'?' * bool(options)}{options}")


def test_rewards_that_change_between_files_of_trl_are_not_guessed(tmp_path: Path) -> None:
    folder = trainer(tmp_path, {"accuracy": [1.0, 0.0]}, {"accuracy": [1.0, 1.0], "form": [0.0, 0.0]})
    with pytest.raises(
        UserError, match=r"completions_00002\.parquet: has the rewards accuracy, form, but files before"
    ):
        read(f"trl:{folder}")
    assert counts(alone(f"trl:{folder}?score=accuracy&step=2")) == {"1+1": "11"}
    with pytest.raises(UserError, match="no reward or metric 'form'"):
        read(f"trl:{folder}?score=form")


def test_a_file_of_trl_that_repeats_missing_rewards_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A NaN equals a NaN here, or the samples of a file that TRL wrote twice would count twice."""
    rows = [("1+1", "a", 1.0), ("1+1", "b", float("nan"))]
    for step in (1, 2):
        trl(tmp_path, step, rows)
    assert counts(alone(f"trl:{tmp_path}")) == {"1+1": "1"}
    assert "repeat" in capsys.readouterr().err


@pytest.mark.parametrize("apart", [False, True])
def test_a_session_of_verl_is_one_response_wherever_its_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    """Also in two parts that are read; verl sorts rows by their lengths, so that later outputs may come first."""
    monkeypatch.setattr("rlready.interchange.lines.BYTES", 1)
    rows = [
        row | {"uid": f"g_{session}_{turn}", "score": float(turn == 2), "input": "p" + f", turn {turn}" * (turn > 0)}
        for turn in (range(2, -1, -1) if apart else range(3))
        for session in range(2)
        for row in verl_rows(1, {"p": "0"})
    ]
    rows = rows if apart else sorted(rows, key=lambda row: row["uid"])
    path = lines(tmp_path / "1.jsonl", [row | {"more": {"uid": "x", "kind": "uid"}} for row in rows])
    assert counts(alone(f"verl:{path}")) == {"p": "11"}
    lines(path, [*rows, rows[-1] | {"uid": "g_9_0", "input": "q"}])
    with pytest.raises(UserError, match=r"1\.jsonl:7: another input than the first of its group, 'g'"):
        read(f"verl:{path}")


def test_a_first_score_that_is_missing_is_no_other_number(tmp_path: Path) -> None:
    rows = [row | {"acc": 0.0} for row in verl_rows(1, {"p": "11"})]
    rows[0]["score"] = None
    assert counts(alone(f"verl:{lines(tmp_path / '1.jsonl', rows)}")) == {"p": "1"}


def test_an_evaluation_that_did_not_end_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(evaluated([1, 2], status="cancelled"))
    read(f"inspect:{tmp_path / 'a.json'}")
    assert "ended with the status 'cancelled', so that samples may be missing" in capsys.readouterr().err
    (tmp_path / "a.json").write_text(evaluated([1, 2]))
    read(f"inspect:{tmp_path / 'a.json'}")
    assert not capsys.readouterr().err


def test_repeated_rows_and_steps_that_are_copies_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = verl_rows(1, {"p": "10", "q": "01"})
    assert not said_of(tmp_path / "a", capsys, once)
    twice = [{name: value for name, value in row.items() if name != "uid"} for row in once * 2]
    assert "every response is there 2 times" in said_of(tmp_path / "b", capsys, twice)
    copied = [row | {"uid": "c" + row["uid"]} for row in once]
    assert "the steps 1 and 2 have the same responses" in said_of(tmp_path / "c", capsys, once, copied)


def said_of(folder: Path, capsys: pytest.CaptureFixture[str], *steps: list[Row]) -> str:
    """What reading these steps of verl says."""
    for step, rows in enumerate(steps, start=1):
        lines(folder / f"{step}.jsonl", [row | {"step": step} for row in rows])
    read(f"verl:{folder}")
    return capsys.readouterr().err


def test_an_id_of_zero_is_an_id(tmp_path: Path) -> None:
    row = {"model_response": {"text": ["4"], "output_tokens": [[1]]}, "metric": {"em": 1.0}}
    path = tmp_path / "details_a_2026.parquet"
    pq.write_table(pa.Table.from_pylist([row | {"doc": {"id": n, "query": "the same"}} for n in (0, 1)]), path)
    assert counts(alone(f"lighteval:{path}")) == {"0": "1", "1": "1"}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_has_a_samples_name_but_is_no_file(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "2.jsonl")
    lines(tmp_path / "1.jsonl", verl_rows(1, {"p": "1"}))
    with pytest.raises(UserError, match=r"2\.jsonl: not a file that can be read"):
        read(f"verl:{tmp_path}")


def test_a_run_folder_is_no_log_of_inspect() -> None:
    """Its record has a status and versions, too."""
    assert recognise(Path(__file__).parent / "data/runs/schema-2/sweep") is None


@pytest.mark.parametrize(
    ("kind", "name"),
    [("verl", "0"), ("skyrl", "gsm8k"), ("lm-eval", "samples_gsm8k_2026"), ("prime-rl", "traces")],
)
def test_a_compressed_log_that_is_cut_or_damaged_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """By what is wrong with the file, before its rows are."""
    path = tmp_path / f"{name}.jsonl.gz"
    whole = gzip.compress("".join(json.dumps({"row": n * n}) + "\n" for n in range(999)).encode())
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"jsonl\.gz: cannot be read: Compressed file ended before .*; copy it again"):
        read(f"{kind}:{path}")
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 255]) + whole[41:])
    with pytest.raises(UserError, match=r"jsonl\.gz: cannot be read: "):
        read(f"{kind}:{path}")


def test_what_is_compressed_with_zstd_is_named(tmp_path: Path) -> None:
    packed = tmp_path / "verl" / "1.jsonl.zst"
    packed.parent.mkdir()
    packed.write_bytes(pa.compress(b'{"input": "a"}\n', "zstd", asbytes=True))
    with pytest.raises(UserError, match=r"no samples of verl there; .*1\.jsonl\.zst is compressed with zstd"):
        read(f"verl:{packed.parent}")
    packed.rename(packed.with_suffix(""))
    with pytest.raises(UserError, match=r"1\.jsonl: compressed with zstd, which is not read; unpack it with unzstd"):
        read(f"verl:{packed.with_suffix('')}")


@pytest.mark.parametrize("events", [0, 20_000])  # read as a whole, and up to its scores
@pytest.mark.parametrize("ending", [".json", ".eval"])
def test_a_sample_of_inspect_that_a_limit_has_cut_is_truncated(tmp_path: Path, ending: str, events: int) -> None:
    """Which stands behind its events, without a choice that had a stop reason; an operator's end is none."""
    path = tmp_path / f"log{ending}"
    said = {"choices": [{"message": {"role": "assistant", "content": "four"}, "stop_reason": "stop"}]}
    samples = []
    for at, kind in enumerate((None, "token", "time", "message", "operator")):
        sample: dict[str, Any] = {"id": at + 1, "epoch": 1, "input": "2+2", "target": "4"}
        sample |= {
            "output": said if kind is None else {"choices": []},
            "scores": {"match": {"value": "C" if kind is None else "I"}},
        }
        sample |= {"events": ["x" * events], "limit": {"type": kind, "limit": 9} if kind else None, "turn_count": 1}
        samples.append(sample)
    if ending == ".json":
        path.write_text(json.dumps({"version": 2, "status": "success", "eval": {}, "samples": samples}))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for sample in samples:
                archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    stored = alone(f"inspect:{path}")
    assert counts(stored) == {"1": "1", "2": "0", "3": "0", "4": "0", "5": "0"}
    assert stored.draws.truncated.tolist()[:4] == [False, True, True, True]
    assert stored.draws.truncated[4] != 1


def test_an_archive_of_inspect_that_was_cut_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/1_epoch_1.json", json.dumps({"id": 1, "epoch": 1}))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"log\.eval: an archive that was cut, .*`inspect log recover`"):
        read(f"inspect:{path}")


def test_an_evaluation_with_some_of_the_problems_is_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (0, 20, 40):
        lines(tmp_path / f"{step}.jsonl", verl_rows(step, dict.fromkeys("abcdefghij"[: 5 if step == 40 else 10], "01")))
    assert [Path(name).name for name in read(f"verl:{tmp_path}")] == ["step-0", "step-20"]
    assert "warning: step 40 has 5 of the 10 problems, and is left out" in capsys.readouterr().err
