"""Samples of other tools are ranked only if they were judged and drawn alike."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.predict.stage import predict
from rlready.runs.record import RunRecord
from test_interchange import Row, alone, counts, lines, ranked, read, trl, verl_rows
from test_problem_match import asking
from test_tool_problems import episode


@pytest.mark.parametrize(
    ("first", "second", "judged"),
    [
        ("", "?score=acc", "by the score score and by the score acc"),
        ("?threshold=0.5", "", "by the score score from 0.5 on and by the score score"),
        ("", "?score=score", "by the verifier of problems= and by the score score"),
    ],
)
def test_outcomes_of_two_scores_are_not_compared(first: str, second: str, judged: str, tmp_path: Path) -> None:
    one, other = (
        lines(tmp_path / name / "1.jsonl", verl_rows(1, {"a": "01", "b": "11"}, acc=1.0)) for name in ("one", "other")
    )
    named = lines(tmp_path / "problems.jsonl", [{"id": name, "prompt": name, "answer": "4"} for name in "ab"])
    settings = {"problems": str(named)} if "verifier" in judged else {}
    with pytest.raises(UserError, match=f"hold samples judged {judged}, and cannot be .*; choose the same score"):
        ranked(tmp_path / "run", f"verl:{one}{first}", f"verl:{other}{second}", **settings)
    same = ranked(tmp_path / "same", f"verl:{one}?score=acc", f"verl:{other}?score=acc", **settings)
    assert same.conditions["correct"] == "the score acc"


@pytest.mark.parametrize("form", ["archive", "json"])
def test_settings_of_sampling_that_a_tool_logs_must_be_the_same(form: str, tmp_path: Path) -> None:
    def of_lm_eval(name: str, **settings: Any) -> str:
        row = {"doc_id": 0, "doc": {}, "resps": [["4"]], "metrics": ["acc"], "acc": 1.0}
        arguments = {"gen_args_0": {"arg_0": "2 + 2?", "arg_1": {"until": ["\n", "Q:"], "do_sample": True} | settings}}
        return f"lm-eval:{lines(tmp_path / f'{name}.jsonl', [row | {'arguments': arguments}])}"

    def of_inspect(name: str, model: Row, plan: Row, steps: Sequence[Row] = ()) -> str:
        log = {"version": 2, "status": "success", "eval": {"model_generate_config": model}, "plan": {"config": plan}}
        log["plan"] |= {"steps": steps}
        sample = {"id": 1, "epoch": 1, "input": "2 + 2?", "output": {"completion": "4"}}
        sample |= {"scores": {"m": {"value": "C"}}}
        path = tmp_path / f"{name}.{'eval' if form == 'archive' else 'json'}"
        if form == "json":
            path.write_text(json.dumps(log | {"samples": [sample]}))
            return f"inspect:{path}"
        with zipfile.ZipFile(path, "w") as archive:
            crashed = name == "short"  # before Inspect wrote the header
            archive.writestr("_journal/start.json" if crashed else "header.json", json.dumps(log))
            archive.writestr("samples/1_epoch_1.json", json.dumps(sample))
        return f"inspect:{path}"

    greedy, warm = of_lm_eval("a", temperature=0.0), of_lm_eval("b", temperature=1)
    with pytest.raises(UserError, match="hold samples of different temperature, 0 and 1,"):
        ranked(tmp_path / "lm-eval", greedy, warm)
    assert ranked(tmp_path / "alike", warm, of_lm_eval("c", temperature=1.0)).conditions == {
        "temperature": "1",
        "do_sample": "True",
        "until": r"'\n', 'Q:'",
        "correct": "the score acc",
    }
    systems = ("Be brief. " * 9, "Think. " * 20)
    for setting, values in (("reasoning_tokens", (1000, 2000)), ("system_message", systems)):
        few, many = (of_inspect(f"{setting}{at}", {setting: value}, {}) for at, value in enumerate(values))
        with pytest.raises(UserError, match=f"hold samples of different {setting}, "):
            ranked(tmp_path / setting, few, many)
    steps = [
        {"solver": "inspect_ai/prompt_template", "params": {"template": text}} for text in ("{prompt}", "Q {prompt}")
    ]
    plain, templated = (
        of_inspect(f"plan{at}", {}, {}, [step, {"solver": "generate", "params": {"cache": bool(at)}}])
        for at, step in enumerate(steps)
    )
    bare = of_inspect("bare", {}, {}, [{"solver": "generate", "params": {}}])
    for at, other in enumerate((templated, bare)):
        with pytest.raises(UserError, match="hold samples of different solvers, prompt_template"):
            ranked(tmp_path / f"solvers{at}", plain, other)
    unsaid = of_lm_eval("unsaid")
    doubts = ranked(tmp_path / "unsaid", warm, unsaid).notes
    assert any("it does not say temperature (1 in " in doubt for doubt in doubts)
    both = ranked(tmp_path / "both-unsaid", unsaid, of_lm_eval("too"))
    assert not any("does not say temp" in note for note in both.notes)
    short = of_inspect("short", {"temperature": 0.6, "max_tokens": 512}, {"max_tokens": 16, "temperature": None})
    long = of_inspect("long", {"temperature": 0.6, "max_tokens": 512}, {})
    with pytest.raises(UserError, match="hold samples of different max_tokens, 16 and 512,"):
        ranked(tmp_path / "inspect", short, long)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"until": ["Q:"]}, True),
        ({"until": ["Q:"], "temperature": None}, True),
        ({"until": ["Q:"], "do_sample": True}, False),
        ({"until": ["Q:"], "temperature": 0.0}, False),
        (None, False),  # a likelihood, or a version that does not log them
    ],
)
def test_samples_of_lm_eval_whose_temperature_depends_on_its_backend_are_said(
    stated: Row | None, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [["2 + 2?", " 4" if stated is None else stated]]
    row = {"doc_id": 0, "doc": {}, "resps": [["4"]], "metrics": ["acc"], "acc": 1.0, "arguments": arguments}
    alone(f"lm-eval:{lines(tmp_path / 'samples.jsonl', [row])}")
    assert ("states neither do_sample nor temperature" in capsys.readouterr().err) == said


def test_settings_of_prime_rl_must_be_the_same(tmp_path: Path) -> None:
    """As the agent was set, or by its first call; a judge without rewards is not the policy."""
    judge = {"rewards": {}, "nodes": [], "calls": []}
    sources = []
    for name, sampling in (("cold", {"temperature": 0.2}), ("warm", {"temperature": 1.0})):
        trace = {"agent": {"config": {"sampling": sampling}}} if name == "cold" else {"calls": [{"sampling": sampling}]}
        row = episode(trace=trace)
        row["traces"].append(judge)
        sources.append(f"prime-rl:{lines(tmp_path / f'{name}.jsonl', [row])}")
    with pytest.raises(UserError, match=r"hold samples of different temperature, 0\.2 and 1"):
        ranked(tmp_path / "run", *sources)


@pytest.mark.parametrize("kind", ["inspect", "lighteval"])
def test_other_prompts_around_one_question_are_a_doubt(kind: str, tmp_path: Path) -> None:
    """Examples in front of it, or a template, change what a model says."""
    shots = ["", "Q: 1 + 1? A: 2 "]
    sources = [asking(kind, tmp_path / str(n), [(0, f"{shot}Q: 2 + 2?")]) for n, shot in enumerate(shots)]
    result = ranked(tmp_path / "run", *sources)
    assert any("the prompts of 1 of 1 problems are not those of" in note for note in result.notes)
    same = [asking(kind, tmp_path / f"same{n}", [(0, "Q: 2 + 2?")]) for n in range(2)]
    assert not any("the prompts of" in note for note in ranked(tmp_path / "same", *same).notes)


@pytest.mark.parametrize("kind", ["inspect", "lighteval", "lm-eval"])
def test_other_conversations_around_one_question_are_a_doubt(kind: str, tmp_path: Path) -> None:
    """A system turn or examples, where the tool logs the question apart from them."""

    def asked(name: str, system: str) -> str:
        turns: list[Row] = [{"role": "user", "content": "2 + 2?", "id": name}]
        turns = [{"role": "system", "content": system, "id": name}, *turns] if system else turns
        path = tmp_path / f"{name}.{'json' if kind == 'inspect' else 'jsonl' if kind == 'lm-eval' else 'parquet'}"
        if kind == "inspect":
            sample = {
                "id": 1,
                "epoch": 1,
                "input": turns,
                "output": {"completion": "4"},
                "scores": {"m": {"value": "C"}},
            }
            path.write_text(json.dumps({"version": 2, "status": "success", "eval": {}, "samples": [sample]}))
        elif kind == "lm-eval":
            said = json.dumps([{"role": turn["role"], "content": turn["content"]} for turn in turns])
            row = {"doc_id": 0, "doc": {}, "resps": [["4"]], "metrics": ["acc"], "acc": 1.0}
            lines(path, [row | {"arguments": [[said, {}]]}])
        else:
            doc = {"id": "1", "query": "2 + 2?", "choices": ["4"], "gold_index": 0}
            response = {"text": ["4"], "input": f"{system}2 + 2?"}
            if name.startswith("both"):  # a chat of one turn
                response["input"] = [{"role": "user", "content": response["input"]}]
            pq.write_table(pa.Table.from_pylist([{"doc": doc, "model_response": response, "metric": {"em": 1}}]), path)
        return f"{kind}:{path}"

    for name, one, other in (("both", "Be brief.", "Think."), ("one", "", "Think.")):
        notes = ranked(tmp_path / name, asked(f"{name}0", one), asked(f"{name}1", other)).notes
        assert any("the prompts of 1 of 1 problems are not those of" in note for note in notes)
    alike = ranked(tmp_path / "alike", asked("alike0", "Think."), asked("alike1", "Think."))
    assert not any("prompts" in note for note in alike.notes)


def test_a_threshold_holds_for_rewards_of_32_bits(tmp_path: Path) -> None:
    rows = verl_rows(1, {"a": "0000"})
    for row, score in zip(rows, (0.699999988079071, 0.7, 0.6999, 0.1), strict=True):
        row["score"] = score
    assert counts(alone(f"verl:{lines(tmp_path / '1.jsonl', rows)}?threshold=0.7")) == {"a": "1100"}


def test_files_of_an_earlier_run_and_problems_that_are_there_twice_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2, 3):
        rows = verl_rows(step, {"a": "0101" if step == 1 else "01", "b": "01", "c": "11"})
        file = lines(tmp_path / f"{step}.jsonl", rows)
        os.utime(file, (10**9, 10**9 - 86400 * (step == 3)))
    read(f"verl:{tmp_path}")
    said = capsys.readouterr().err
    assert "3.jsonl is of a later step than 1.jsonl, but was written before it" in said
    assert "1 of 3 problems have 4 samples or more where most have 2" in said


def attempts(first: int, second: int, apart: float, step: float = 30) -> list[float]:
    """Times of writing of a run of ``first`` steps that began again and is at step ``second``."""
    again = [first * step + apart + at * step for at in range(second)]
    return [*again, *(at * step for at in range(second, first))]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (attempts(12, 8, 60), "9.jsonl is of a later step than 8.jsonl"),
        (attempts(3, 2, 60), "3.jsonl is of a later step than 2.jsonl"),
        (attempts(12, 11, 5, step=5), "12.jsonl is of a later step than 11.jsonl"),
        ([*range(6), *(at + 600 for at in attempts(12, 8, 60)[6:])], "9.jsonl is"),  # which went on from step 6
        (attempts(12, 12, 60), ""),  # none of the first is left
        ([7.0] * 12, ""),
        ([(5 * at) % 12 * 60.0 for at in range(12)], ""),  # copied in any order
        ([(5 * at) % 12 * 600.0 for at in range(12)], "is of a later step"),  # but for more than an hour
        (
            [60.0 * sorted(range(1, 13), key=str).index(at) for at in range(1, 13)],
            "",
        ),  # by name: 1, 10, 11
        ([2.0, 0.0, 1.0], ""),  # few files are copied in a moment
    ],
)
def test_files_that_a_run_has_left_before_it_began_again_are_said(
    times: Sequence[float], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However soon it began again, but not those that a copy has written in another order."""
    for step, time in enumerate(times, start=1):
        file = lines(tmp_path / f"{step}.jsonl", verl_rows(step, {"a": "01", "b": "01"}))
        os.utime(file, (10**9, 10**9 + time))
    read(f"verl:{tmp_path}")
    warned = capsys.readouterr().err
    assert said in warned
    assert ("written before" in warned) == bool(said)


def test_evaluations_that_ended_after_later_steps_of_training_are_of_the_same_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in range(1, 9):
        for kind, late in (("train/all", 0), ("eval/math/all", 200)):
            file = lines(tmp_path / f"rollouts/step_{step}/{kind}/traces.jsonl", [episode(task={"key": "a"})])
            os.utime(file, (10**9, 10**9 + 60 * step + late))
    read(f"prime-rl:{tmp_path}?filter=eval")
    assert "written before" not in capsys.readouterr().err
    os.utime(tmp_path / "rollouts/step_8/train/all/traces.jsonl", (10**9, 10**9))
    read(f"prime-rl:{tmp_path}?filter=eval")
    assert "step_8/train/all/traces.jsonl is of a later step than step_7/train" in capsys.readouterr().err


def test_evaluations_that_the_log_contradicts_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of the same training problems stand before each evaluation, so that only its mean tells."""
    for step, right in ((4, 1), (8, 2)):
        training = [(f"{p}", f"{p} {step} {n}", float(n < 2)) for p in range(2) for n in range(4)]
        trl(tmp_path, step, [*training, *[("e", f"{step} {n}", float(n < right)) for n in range(4)]])
    log = [{"step": step, "eval_reward": value} for step, value in ((4, 0.25), (8, 0.5))]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": log, "global_step": 8, "max_steps": 8}))
    read(f"trl:{tmp_path}")
    said = capsys.readouterr().err
    assert "the samples of step 4 have a mean reward of 0.417, but by its log the evaluation had 0.25" in said
    assert "step 8 have" not in said


def test_rollouts_of_prime_rl_that_were_learned_from_are_not_ranked_beside_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Groups that were all right or all wrong are missing there; of an evaluation only errors are."""
    names = [
        f"{name}/rollouts/step_1/{kind}/traces.jsonl" for name, kind in (("a", "train/all"), ("b", "train/effective"))
    ]
    sources = [f"prime-rl:{tmp_path / name.partition('/')[0]}" for name in names]
    for name in (*names, "c/rollouts/step_1/eval/effective/traces.jsonl"):
        lines(tmp_path / name, [episode(task={"key": key}) for key in "ab"])
    with pytest.raises(UserError, match="hold samples of different rollouts, all and effective,"):
        ranked(tmp_path / "run", *sources)
    capsys.readouterr()
    assert alone(sources[1]).conditions["rollouts"] == "effective"
    assert "has only the groups that were learned from" in capsys.readouterr().err
    assert "rollouts" not in alone(f"prime-rl:{tmp_path / 'c'}").conditions


def graded(file: Path, filters: Sequence[str], target: str = "4") -> str:
    """lm-eval's samples of two documents, each there for every filter."""
    row = {"doc": {}, "resps": [["4"]], "metrics": ["acc"], "acc": 1.0, "target": target}
    arguments = {"gen_args_0": {"arg_0": "2 + 2?", "arg_1": {"temperature": 1}}}
    rows = [row | {"doc_id": at, "filter": each, "arguments": arguments} for each in filters for at in range(2)]
    return f"lm-eval:{lines(file, rows)}"


def test_outcomes_of_two_filters_are_not_compared(tmp_path: Path) -> None:
    """Also where one is not chosen, as it is the only one in its file; a verifier sees the same texts."""
    both = graded(tmp_path / "both.jsonl", ["strict", "flexible"])
    strict, flexible = (graded(tmp_path / f"{name}.jsonl", [name]) for name in ("strict", "flexible"))
    for sources in ([f"{both}?filter=flexible", strict], [strict, flexible]):
        with pytest.raises(UserError, match=r"hold samples of different filter, (flexible and strict|strict and flex)"):
            ranked(tmp_path / "run", *sources)
    assert ranked(tmp_path / "alike", f"{both}?filter=strict", strict).conditions["filter"] == "strict"
    problems = [{"id": name, "prompt": "2 + 2?", "answer": "4"} for name in "01"]
    named = str(lines(tmp_path / "problems.jsonl", problems))
    assert "filter" not in ranked(tmp_path / "verified", strict, flexible, problems=named).conditions


@pytest.mark.parametrize(("targets", "alike"), [(("4", "4.0"), True), (("So #### 4", "4"), True), ("45", False)])
def test_problems_with_other_answers_are_others_for_predict(
    targets: Sequence[str], alike: bool, tmp_path: Path
) -> None:
    """In two readiness runs, whose ids and prompts are the same; an answer may be written in another way."""
    for at, target in enumerate(targets):
        ranked(tmp_path / f"ready-{at}", graded(tmp_path / f"sft-{at}.jsonl", ["strict"], target))
    config = PredictConfig(runs=tuple(str(tmp_path / f"ready-{at}") for at in (0, 1)))
    said = "sft-1.jsonl: the ground truths of 2 of 2 problems are not those of "
    assert any(said in note for note in predict(config, tmp_path / "out").notes) is not alike


def test_answers_of_named_problems_may_be_written_in_two_ways(tmp_path: Path) -> None:
    problems = [{"id": name, "prompt": "2 + 2?", "answer": "4"} for name in "01"]
    named = str(lines(tmp_path / "problems.jsonl", problems))
    for at, target in enumerate(("4", "B. four")):
        ranked(tmp_path / f"ready-{at}", graded(tmp_path / f"sft-{at}.jsonl", ["strict"], target), problems=named)
    config = PredictConfig(runs=tuple(str(tmp_path / f"ready-{at}") for at in (0, 1)))
    assert not any("ground truths" in note for note in predict(config, tmp_path / "out").notes)


@pytest.mark.parametrize(
    ("target", "answer", "doubted"),
    [("So it is #### 4", "4", False), ("#### 4", "four", False), ("3", "D", False), ("#### 4", "5", True)],
)
@pytest.mark.parametrize("prompt", ["Question 0", "2 + 2?", "2 + 2? Say why.", "2 + 2? Double it."])
def test_named_problems_whose_answers_are_not_the_ground_truths_are_a_doubt(
    target: str, answer: str, doubted: bool, prompt: str, tmp_path: Path
) -> None:
    """Whether ids alone are those of the samples, or the prompts, or these hold what was asked."""
    source = graded(tmp_path / "samples.jsonl", ["strict"], target=target)
    problems = [{"id": name, "prompt": prompt, "answer": answer} for name in "01"]
    notes = ranked(tmp_path / "run", source, problems=str(lines(tmp_path / "problems.jsonl", problems))).notes
    said = "of 2 of 2 problems the ground truth beside the samples is not the answer in problems= ('#### 4' in "
    assert any(said in note for note in notes) is doubted


@pytest.mark.parametrize("kind", ["verl", "table"])
def test_samples_that_are_those_of_another_checkpoint_are_a_doubt(kind: str, tmp_path: Path) -> None:
    """As of a server whose weights were not replaced, in whatever order another tool has written them."""
    rows = verl_rows(1, {"a": "01", "b": "11"})
    if kind == "table":
        rows = [{"problem_id": str(at // 2), "text": str(at), "correct": 1 - at % 2} for at in range(4)]
    sources = []
    others = [row | dict.fromkeys({"output", "text"} & {*row}, f"x{at}") for at, row in enumerate(rows)]
    for name, some in (("one", rows), ("copy", rows if kind == "table" else rows[::-1]), ("other", others)):
        path = lines(tmp_path / name / "1.jsonl", some)
        sources.append(f"verl:{path}" if kind == "verl" else str(path))
    notes = [note for note in ranked(tmp_path / "run", *sources).notes if "its responses are those of" in note]
    assert len(notes) == 1
    assert "copy" in notes[0].partition(":")[2].partition("its responses")[0]


def test_short_answers_that_are_as_frequent_are_no_copy(tmp_path: Path) -> None:
    """Nor are two steps of one file whose samples have no texts."""
    sources = []
    for name, answers in (("one", "AB"), ("other", "BA")):
        rows = [row | {"output": said} for row, said in zip(verl_rows(1, {"a": "1", "b": "1"}), answers, strict=True)]
        sources.append(f"verl:{lines(tmp_path / name / '1.jsonl', rows)}")
    assert not any("its responses" in note for note in ranked(tmp_path / "run", *sources).notes)
    bare = [row for step in (1, 2) for row in verl_rows(step, {"a": "01", "b": "11"})]
    path = lines(tmp_path / "all.jsonl", [{key: row[key] for key in row if key != "output"} for row in bare])
    assert not any("its responses" in note for note in ranked(tmp_path / "bare", f"verl:{path}").notes)


def test_copies_of_problems_are_a_doubt_which_predict_repeats(tmp_path: Path) -> None:
    """They count as independent, so that a difference looks more certain than it is."""
    problems = lines(tmp_path / "problems.jsonl", [{"id": name, "prompt": "2 + 2?", "answer": "4"} for name in "abcd"])
    tables = []
    for model, wrong in (("one", 1), ("other", 2)):
        rows = [{"problem_id": p, "sample_id": i, "text": "4" if i >= wrong else "5"} for p in "abcd" for i in range(4)]
        tables.append(str(lines(tmp_path / f"{model}.jsonl", rows)))
    result = ranked(tmp_path / "run", *tables, problems=str(problems))
    said = "problems: 3 of 4 repeat the text of an earlier one under another id, yet count as independent"
    assert any(said in note for note in result.notes)
    outcomes = lines(tmp_path / "rl.jsonl", [{"checkpoint": name, "outcome": n} for n, name in enumerate(tables)])
    predicted = predict(PredictConfig(runs=(str(tmp_path / "run"), str(outcomes))), tmp_path / "predicted")
    assert any(said in note for note in predicted.notes)


def test_every_run_records_what_its_readers_warn_of(tmp_path: Path) -> None:
    """Also the second run of a process, in which the line is not printed again."""
    row = {"doc_id": 0, "doc": {}, "resps": [["4"]], "metrics": ["acc"], "acc": 1.0}
    row |= {"arguments": [["2 + 2?", {"until": ["Q:"]}]]}
    source = f"lm-eval:{lines(tmp_path / 'samples_a_2026.jsonl', [row])}"
    for name in ("first", "second"):
        ranked(tmp_path / name, source)
        (said,) = RunRecord.load(tmp_path / name).warnings
        assert said.endswith("rank it only beside samples that were drawn in the same way")
