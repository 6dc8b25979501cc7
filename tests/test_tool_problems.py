"""Which samples of another tool count, and of which problem they are."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.interchange.rollouts import drawn_with
from rlready.predict.stage import predict
from rlready.readiness.offline_cells import verdict_of
from rlready.readiness.offline_reader import read_samples
from rlready.runs.record import RunRecord
from rlready.tasks.answers.ownpart import after_thought
from rlready.tasks.source import escaped, options_of
from test_interchange import DATA, Row, alone, counts, lines, ranked, read, trl, verl_rows


def of_inspect(path: Path, samples: Sequence[Row], **header: Any) -> str:
    """An archive of Inspect's with these samples, whose events make them so large that they are read in part."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"status": "success", "eval": {}} | header))
        for at, sample in enumerate(samples):
            usual = {"id": at % 2, "epoch": at // 2, "input": f"{at % 2} + 1?", "output": {"completion": "2"}}
            later = {key: sample[key] for key in ("error", "invalidation") if key in sample}
            whole = usual | {"scores": {"match": {"value": "C"}}} | sample
            for key in later:
                del whole[key]
            archive.writestr(f"samples/{at}.json", json.dumps(whole | {"events": "x" * 20_000} | later))
    return f"inspect:{path}"


def episode(**changes: Any) -> Row:
    """An episode of prime-rl's; changes of the trace are given as ``trace``."""
    found: Row = json.loads((DATA / "prime-rl/rollouts/step_1/train/all/traces.jsonl").read_text().splitlines()[0])
    found["traces"][0] |= changes.pop("trace", {})
    return found | changes


@pytest.mark.parametrize("verified", [False, True])
def test_samples_that_ended_in_an_error_are_left_out_and_counted(
    verified: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"scores": {}, "error": {"message": "the server went away"}}
    source = of_inspect(tmp_path / "log.eval", [{}, {}, failed, failed, {}, {}])
    assert len(alone(source, problems_named=verified).draws.problem) == 4
    assert "2 of 6 samples ended in an error and are left out" in capsys.readouterr().err
    wrong = failed | {"scores": {"match": {"value": "I"}}}
    scored = of_inspect(tmp_path / "scored.eval", [{}, wrong], eval={"config": {"score_on_error": True}})
    assert len(alone(scored, problems_named=verified).draws.problem) == 1
    error = {"type": "ProviderError", "message": "503"}
    rows = [episode(), episode(ok=False), episode(trace={"ok": False}), episode(trace={"errors": [error]}), episode()]
    file = lines(tmp_path / "traces.jsonl", rows)
    assert len(alone(f"prime-rl:{file}", problems_named=verified).draws.problem) == 2
    assert "3 of 5 samples ended in an error and are left out" in capsys.readouterr().err
    lines(file, [episode(ok=False)])
    with pytest.raises(UserError, match="all of its 1 samples ended in an error"):
        alone(f"prime-rl:{file}", problems_named=verified)


def test_samples_of_inspect_that_are_invalidated_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invalid = {"invalidation": {"author": "me", "reason": "contaminated"}}
    source = of_inspect(tmp_path / "log.eval", [{}, {}, {}, invalid], invalidated=True)
    assert len(alone(source).draws.problem) == 3
    assert "1 of 4 samples are invalidated and are left out" in capsys.readouterr().err


def rows_of_verl(truths: Sequence[str], outcomes: Sequence[str]) -> list[Row]:
    """Rows of groups that all ask the same, with these ground truths and outcomes."""
    return [
        {"input": "Find x.", "output": f"{at} {n}", "gts": truth, "score": float(right), "step": 0}
        | {"uid": f"g{at}_{n}_0"}
        for at, (truth, rights) in enumerate(zip(truths, outcomes, strict=True))
        for n, right in enumerate(rights)
    ]


def test_problems_of_one_prompt_and_several_ground_truths_are_different_ones(tmp_path: Path) -> None:
    """Groups that share both are of one problem."""
    found = {"Find x. [1]": "0111", "Find x. [2]": "00"}
    rows = rows_of_verl(["1", "2", "1"], ["01", "00", "11"])
    assert counts(alone(f"verl:{lines(tmp_path / '0.jsonl', rows)}")) == found
    assert counts(alone(f"verl:{tmp_path / '0.jsonl'}?n=1")) == {"Find x.": "0111"}
    assert counts(alone(f"verl:{lines(tmp_path / '1.jsonl', rows_of_verl(['1', '1'], ['01', '11']))}")) == {
        "Find x.": "0111"
    }
    skyrl = [
        {"input_prompt": row["input"], "output_response": row["output"], "score": row["score"]}
        | {"env_extras": {"reward_spec": {"ground_truth": row["gts"]}}}
        for row in rows
    ]
    assert counts(alone(f"skyrl:{lines(tmp_path / 'geo.jsonl', skyrl)}")) == found
    cells = [(row["input"], row["output"], row["score"]) for row in rows]
    trl(tmp_path / "grpo", 1, cells, answer=[row["gts"] for row in rows])
    assert counts(alone(f"trl:{tmp_path / 'grpo'}")) == found
    trl(tmp_path / "found", 1, cells, answer=[row["output"] for row in rows])  # what completions say is no ground truth
    assert counts(alone(f"trl:{tmp_path / 'found'}")) == {"Find x.": "010011"}


def test_a_prompt_of_several_problems_is_matched_with_none(tmp_path: Path) -> None:
    rows = rows_of_verl(["1", "2"], ["01", "00"]) + [
        row | {"input": "Find y.", "uid": f"y{row['uid']}"} for row in rows_of_verl(["1"], ["01"])
    ]
    problems = [{"id": name, "prompt": f"Find {name}.", "answer": "1"} for name in "xy"]
    lines(tmp_path / "0.jsonl", rows)
    source, named = f"verl:{tmp_path / '0.jsonl'}?score=score", str(lines(tmp_path / "problems.jsonl", problems))
    assert ranked(tmp_path / "run", source, problems=named).problems == ["y"]


def test_a_problem_that_is_named_twice_with_one_answer_is_matched_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With two answers it is not known which one was asked."""
    lines(tmp_path / "0.jsonl", rows_of_verl(["1"], ["0111"]))
    source = f"verl:{tmp_path / '0.jsonl'}?score=score"
    twice = [{"id": name, "prompt": "Find x.", "answer": "1"} for name in "ab"]
    again = str(lines(tmp_path / "twice.jsonl", twice))
    assert ranked(tmp_path / "run", source, problems=again).problems == ["a"]
    other = str(lines(tmp_path / "other.jsonl", [twice[0], twice[1] | {"answer": "2"}]))
    with pytest.raises(UserError, match="no problem has the id or the prompt"):
        ranked(tmp_path / "none", source, problems=other)
    assert "1 of 1 problems ask what several of the named ones ask, which have different" in capsys.readouterr().err


def test_a_thought_that_the_prompt_opens_and_nothing_closes_has_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt, said = "What is 1 + 1?\nassistant\n<think>\n", ["so</think>\n2", "it is 2", "<think>so</think>2"]
    verl = [{"input": prompt, "output": text, "gts": "2", "score": 1.0, "step": 0} for text in said]
    skyrl = [{"input_prompt": prompt, "output_response": text, "score": 1.0} for text in said]
    lm_eval = {"doc_id": 1, "arguments": {"gen_args_0": {"arg_0": prompt}}, "resps": [said], "em": 1.0}
    sources = [
        f"verl:{lines(tmp_path / '0.jsonl', verl)}",
        f"skyrl:{lines(tmp_path / 'gsm8k.jsonl', skyrl)}",
        f"lm-eval:{lines(tmp_path / 'samples_a.jsonl', [lm_eval])}",
        f"trl:{trl(tmp_path / 'out', 1, [(prompt, text, 1.0) for text in said])}",
    ]
    for source in sources:
        found = [after_thought(each.text or "").strip() for each in alone(source, problems_named=True).pending]
        assert found == ["2", "", "2"]
        assert "1 of 3 responses never close the thought that their prompt opens" in capsys.readouterr().err
    table = [{"problem_id": prompt, "text": text} for text in said]
    stored = read_samples(str(lines(tmp_path / "table.jsonl", table)))
    assert [after_thought(each.text or "").strip() for each in stored.pending] == ["2", "", "2"]
    for asked in (prompt, [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "<think>"}]):
        table = [{"problem_id": "a", "prompt": asked, "text": text} for text in said]
        stored = read_samples(str(lines(tmp_path / "table.jsonl", table)))
        assert [after_thought(each.text or "").strip() for each in stored.pending] == ["2", "", "2"]


def test_null_among_responses_of_lm_eval_is_an_empty_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"doc_id": 1, "doc": {"q": "1 + 1?"}, "resps": [["2", None, "3"]], "em": 1.0}
    stored = alone(f"lm-eval:{lines(tmp_path / 'samples_a.jsonl', [row])}", problems_named=True)
    assert [each.text for each in stored.pending] == ["2", "", "3"]
    assert "1 responses are empty or null, and so have no answer" in capsys.readouterr().err


def test_two_files_of_one_step_of_verl_are_refused(tmp_path: Path) -> None:
    for name in ("1", "01"):
        lines(tmp_path / f"{name}.jsonl", rows_of_verl(["1"], ["01"]))
    with pytest.raises(UserError, match=r"01?.jsonl and 0?1.jsonl are both of step 1: remove one"):
        alone(f"verl:{tmp_path}")


def test_two_environments_of_prime_rl_have_no_problem_in_common(tmp_path: Path) -> None:
    rows = [episode(env={"id": name, "name": name}) for name in ("math", "math", "science")]
    assert alone(f"prime-rl:{lines(tmp_path / 'a.jsonl', rows)}").problem_ids == ["sum-0 [math]", "sum-0 [science]"]
    assert alone(f"prime-rl:{lines(tmp_path / 'b.jsonl', rows[:2])}").problem_ids == ["sum-0"]


def of_lm_eval(path: Path, prompts: Sequence[str], **more: Any) -> str:
    """Samples of documents that were asked these prompts."""
    rows = [
        {"doc_id": at, "doc": {}, "arguments": {"gen_args_0": {"arg_0": prompt}}, "resps": [["4"]], "metrics": ["acc"]}
        | {"acc": at % 2}
        | more
        for at, prompt in enumerate(prompts)
    ]
    return f"lm-eval:{lines(path, rows)}"


def test_sources_that_ask_different_things_under_one_id_are_not_ranked(tmp_path: Path) -> None:
    """A template or examples around a question are no other question, nor is another text of the same document."""
    sums = of_lm_eval(tmp_path / "a.jsonl", ["What is 1 + 4?", "What is 2 + 4?"])
    shots = of_lm_eval(tmp_path / "b.jsonl", ["Q: 9?\nA: 9\nQ: What is 1 + 4? A:", "Q: What is 2 +  4? A:"])
    assert ranked(tmp_path / "alike", sums, shots).problems == ["0", "1"]
    products = of_lm_eval(tmp_path / "c.jsonl", ["What is 1 + 4?", "What is 2 times 4?", "What is 3 times 4?"])
    message = (
        r"c\.jsonl: 1 of 2 ids are of other problems in \S*a\.jsonl: '1' asks 'What is 2 times 4\?' \(\S*c\.jsonl:2\) "
        r"here and 'What is 2 \+ 4\?' \(\S*a\.jsonl:2\) there; rank samples"
    )
    with pytest.raises(UserError, match=message):
        ranked(tmp_path / "unlike", sums, products)
    named = str(lines(tmp_path / "problems.jsonl", [{"prompt": f"What is {i} + 4?", "answer": "5"} for i in (1, 2)]))
    assert ranked(tmp_path / "named", sums, products.replace("c.jsonl", "c.jsonl?n=1"), problems=named).problems
    first, second = (of_lm_eval(tmp_path / f"{p}.jsonl", [f"{p}: {{}}"], doc_hash="d0") for p in ("Question", "Q"))
    assert ranked(tmp_path / "document", first, second).problems == ["0"]
    geometry = [f"verl:{lines(tmp_path / f'v{truth}' / '0.jsonl', rows_of_verl([truth], ['01']))}" for truth in "12"]
    with pytest.raises(UserError, match=r"asks 'Find x\.', with the ground truth '2'"):
        ranked(tmp_path / "truths", *geometry)


def test_files_of_several_tasks_are_not_proposed_as_checkpoints(tmp_path: Path) -> None:
    for name in ("sums_2026-11-28T10-00-00.1", "sums_2026-11-29T10-00-00.1"):
        of_lm_eval(tmp_path / "dates" / f"samples_{name}.jsonl", ["1 + 4?"])
    with pytest.raises(UserError, match=r"or each that is of a checkpoint: rlready readiness lm-eval:\S+ lm-eval:\S+$"):
        alone(f"lm-eval:{tmp_path / 'dates'}")
    of_lm_eval(tmp_path / "dates" / "samples_products_2026-11-28T10-00-00.1.jsonl", ["1 * 4?"])
    with pytest.raises(UserError, match=r"several tasks \(products, sums\); choose one, as in \?task=products"):
        alone(f"lm-eval:{tmp_path / 'dates'}")
    (tmp_path / "logs").mkdir()
    for name in ("2026-11-28T10-00-00_sums_a1", "2026-11-29T10-00-00_sums_b2"):
        of_inspect(tmp_path / "logs" / f"{name}.eval", [{}])
    with pytest.raises(UserError, match="or each that is of a checkpoint"):
        alone(f"inspect:{tmp_path / 'logs'}")


def test_a_log_likelihood_of_a_single_request_is_no_two_responses(tmp_path: Path) -> None:
    rows = [
        {"doc_id": at, "doc": {}, "arguments": {"gen_args_0": {"arg_0": f"text {at}", "arg_1": " word"}}}
        | {"resps": [[["-3.5", str(bool(acc))]]], "metrics": ["perplexity", "acc"], "perplexity": -3.5, "acc": acc}
        for at, acc in enumerate([1.0, 0.0])
    ]
    source = f"lm-eval:{lines(tmp_path / 'samples_lambada.jsonl', rows)}"
    assert counts(alone(source)) == {"0": "1", "1": "0"}  # by acc
    with pytest.raises(UserError, match="all of its 2 samples have no text to verify; leave out problems="):
        alone(source, problems_named=True)
    said = [{**row, "resps": [["3.5", "True"]], "arguments": {}} for row in rows]
    assert len(alone(f"lm-eval:{lines(tmp_path / 'said.jsonl', said)}", problems_named=True).pending) == 4


def test_a_metric_whose_name_has_marks_of_options_is_chosen(tmp_path: Path) -> None:
    metrics = {"pass@k:k=1&n=1": 1.0, "100%": 0.0}
    rows = [{"doc": {"id": "0", "query": "?"}, "model_response": {"text": ["4"]}, "metric": metrics}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "details_a.parquet")
    source = f"lighteval:{tmp_path / 'details_a.parquet'}"
    with pytest.raises(UserError, match=r"say which is the verdict, as in \?score=(\S+)$") as caught:
        alone(source)
    hint = str(caught.value).rpartition(" ")[2]
    assert counts(alone(source + hint)) == {"0": "1"}
    assert counts(alone(f"{source}?score=100%")) == {"0": "0"}
    message = r"'pass@k:k=1'; did you mean pass@k:k=1%26n=1\? \(%26 stands for & in an option\)"
    with pytest.raises(UserError, match=message):
        alone(f"{source}?score=pass@k:k=1&n=1")


@pytest.mark.parametrize("value", ["pass@k:k=1&n=1", "100%", "%26", "%2526", "a%20b"])
def test_a_value_is_read_as_it_was_written(value: str) -> None:
    """Only & and % are escaped, so that other percent signs in paths and names stay."""
    assert options_of("source", f"key={escaped(value)}") == {"key": value}
    assert options_of("source", "key=a%20b") == {"key": "a%20b"}


def test_prompts_around_a_question_are_compared_where_samples_are_matched_by_them(tmp_path: Path) -> None:
    """Named problems without ids get those of their prompts; TRL and verl have the prompts as ids."""
    named = str(lines(tmp_path / "problems.jsonl", [{"id": "sum", "prompt": "2 + 2?", "answer": "4"}]))
    for name, begin in (("zero", ""), ("few", "1 + 1? 2\n\n")):
        row = {"input": f"{begin}2 + 2?", "gts": "4", "score": 1.0, "step": 1}
        lines(tmp_path / f"{name}.jsonl", [row | {"output": answer} for answer in ("4", "5")])
        turns = [{"role": "system", "content": begin}] * bool(begin) + [{"role": "user", "content": "2 + 2?"}]
        trl(tmp_path / name, 1, [(turns, answer, 1.0) for answer in ("4", "5")])
    for kind in ("verl:{}.jsonl", "trl:{}"):
        sources = [kind.format(tmp_path / name) for name in ("zero", "few")]
        result = ranked(tmp_path / kind[:3], *sources, problems=named)
        assert any("the prompts of 1 of 1 problems are not those of" in note for note in result.notes), kind
        apart = [tmp_path / f"{kind[:3]}-{at}" for at in (0, 1)]
        for folder, source in zip(apart, sources, strict=True):
            ranked(folder, source, problems=named)
        said = predict(PredictConfig(runs=list(map(str, apart))), tmp_path / f"{kind[:3]}-predict")
        assert any("the prompts of 1 of 1 problems are not those of" in note for note in said.notes), kind


def test_limits_and_greedy_decoding_have_one_name_for_all_tools() -> None:
    assert drawn_with({"max_gen_toks": 256, "do_sample": False}) == (("temperature", 0), ("max_tokens", 256))
    assert drawn_with({"max_completion_tokens": 256, "temperature": 1.0}) == (("temperature", 1.0), ("max_tokens", 256))
    assert drawn_with({"max_tokens": 8, "max_gen_toks": None, "do_sample": False, "temperature": 0.7}) == (
        *(("temperature", 0), ("max_tokens", 8)),
    )


@pytest.mark.parametrize("until", [["Q:", "\n"], ["\n", "Q:", "Q:"]])
def test_texts_that_end_a_response_have_no_order(until: list[str]) -> None:
    assert drawn_with({"until": until}) == drawn_with({"until": ["\n", "Q:"]})
    assert drawn_with({"until": "\n"}) == drawn_with({"until": ["\n"]}) != drawn_with({"until": until})


@pytest.mark.parametrize("numbered", [{}, {"sample_id": 0}])
def test_a_table_of_several_checkpoints_is_refused(numbered: Row, tmp_path: Path) -> None:
    rows = [{"problem_id": "a", "correct": at % 2, "ckpt": f"checkpoint-{at}"} | numbered for at in range(4)]
    with pytest.raises(UserError, match=r"samples of different ckpt .* would be counted as samples of one"):
        read_samples(str(lines(tmp_path / "table.jsonl", rows)))


@pytest.mark.parametrize("kind", ["trl", "verl", "prime-rl"])
def test_samples_of_several_models_are_no_checkpoint(kind: str, tmp_path: Path) -> None:
    """Each tool's own field, or a column of the user's; in two steps they are two checkpoints."""
    models = ("sft-1", "sft-2")
    if kind == "trl":
        rows = [(f"{at % 2} + 1?", "2", 1.0) for at in range(4)]
        source = f"trl:{trl(tmp_path, 1, rows, model=[*models, *models])}"
    elif kind == "verl":
        both = [row for name in models for row in verl_rows(1, {"a": "01", "b": "11"}, model=name)]
        both = [row | {"uid": f"{row['uid'][:-4]}_{at}_0"} for at, row in enumerate(both)]
        source = f"verl:{lines(tmp_path / '1.jsonl', both)}"
    else:
        episodes = [episode(trace={"agent": {"config": {"model": name}}}) for name in models]
        source = f"prime-rl:{lines(tmp_path / 'traces.jsonl', episodes)}"
    with pytest.raises(
        UserError, match=r"samples of different models \('sft-1', 'sft-2'\) would be counted as those of"
    ):
        alone(source)
    steps = [verl_rows(step, {"a": "01", "b": "11"}, model=f"sft-{step}") for step in (1, 2)]
    for step, rows_of_step in enumerate(steps, start=1):
        lines(tmp_path / "steps" / f"{step}.jsonl", rows_of_step)
    assert len(read(f"verl:{tmp_path / 'steps'}")) == 2
    assert len(read(f"verl:{tmp_path / 'steps'}?step=1-2")) == 1  # as was asked for


def test_settings_beside_samples_of_verl_and_trl_are_conditions(tmp_path: Path) -> None:
    hot = lines(tmp_path / "verl.jsonl", verl_rows(1, {"a": "01", "b": "11"}, temperature=1.0))
    assert alone(f"verl:{hot}").conditions["temperature"] == "1"
    folder = trl(tmp_path, 1, [("a", "2", 1.0), ("a", "3", 0.0)], temperature=pa.array([0.5, 0.5], pa.float64()))
    assert alone(f"trl:{folder}").conditions["temperature"] == "0.5"  # and no second reward


def test_problems_that_all_have_right_and_wrong_samples_are_a_doubt(tmp_path: Path) -> None:
    """As where a trainer keeps the groups that it learned from; one that was all wrong is enough without it."""
    for number, scores in enumerate((["0111"] * 8, [*["0111"] * 7, "0000"])):
        lines(tmp_path / f"{number}.jsonl", verl_rows(1, {f"{n} + 1?": rights for n, rights in enumerate(scores)}))
    notes = [" ".join(ranked(tmp_path / f"r{n}", f"verl:{tmp_path / f'{n}.jsonl'}").notes) for n in range(2)]
    assert "each of its 8 problems has right and wrong samples: if groups that were all right" in notes[0]
    assert "right and wrong samples" not in notes[1]


def test_samples_of_other_problems_are_blamed_on_the_source_that_has_them(tmp_path: Path) -> None:
    named = str(lines(tmp_path / "problems.jsonl", [{"id": "sum", "prompt": "What is 2 + 2?", "answer": "4"}]))
    for name, prompt in (("whole", "What is 2 + 2?"), ("cut", "Who is it?")):
        lines(tmp_path / f"{name}.jsonl", verl_rows(1, {prompt: "0111"}))
    sources = [f"verl:{tmp_path / name}.jsonl" for name in ("whole", "cut")]
    with pytest.raises(
        UserError, match=r"cut\.jsonl: no problem .* the first is 'Who is it\?' here, 'What is 2 \+ 2\?'"
    ):
        ranked(tmp_path / "run", *sources, problems=named)


@pytest.mark.parametrize(("scores", "said"), [((-1, 0, 1), "0.5"), ((0, 0.1, 1.1), "0.6"), ((0.2, 0.2), "0.2")])
def test_a_threshold_is_suggested_between_two_scores(scores: Sequence[float], said: str, tmp_path: Path) -> None:
    """Where they are furthest apart, so that it is not itself a score."""
    rows = [row | {"score": scores[at % len(scores)]} for at, row in enumerate(verl_rows(1, {"a": "0" * 9}))]
    with pytest.raises(UserError, match=rf"as in \?threshold={said},"):
        alone(f"verl:{lines(tmp_path / '1.jsonl', rows)}")


def test_verdicts_of_csv_may_be_decimals() -> None:
    """As of a column with gaps."""
    assert [verdict_of(text) for text in ("1.0", "0.0", "1", "false")] == [1, 0, 1, 0]


def group_of_lm_eval(folder: Path, **tasks: Sequence[int]) -> str:
    """Samples of several tasks; of each the documents, right where their number is even."""
    for task, documents in tasks.items():
        rows = [
            {"doc_id": i, "arguments": [[f"{task} {i}?", {"temperature": 1}]], "resps": [["4"]], "metrics": ["em"]}
            | {"em": float(i % 2 == 0), "filter": "none"}
            for i in documents
        ]
        lines(folder / f"samples_{task}_2026-11-26T12-00-00.1.jsonl", rows)
    return f"lm-eval:{folder}?task=math_*"


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({"math_a": range(10), "math_b": range(5)}, {"math_a": range(10)}, 10),
        ({"math_a": range(10), "math_b": range(15)}, {"math_a": range(10)}, 10),
        ({"math_a": range(10), "math_b": range(5)}, {"math_a": range(5), "math_b": range(10)}, 10),
        ({"math_a": range(10), "math_b": range(10, 15)}, {"math_b": range(10, 15)}, 5),
    ],
)
def test_a_problem_of_a_task_has_one_name_whatever_else_is_read(
    tmp_path: Path, first: dict[str, range], second: dict[str, range], shared: int
) -> None:
    """A number of a document alone would pair the ones that only one task of a source happens to have."""
    sources = [group_of_lm_eval(tmp_path / name, **tasks) for name, tasks in (("a", first), ("b", second))]
    result = ranked(tmp_path / "run", *sources)
    assert len(result.problems) == shared
    assert all(re.fullmatch(r"\d+ \[math_[ab]\]", name) for name in result.problems)
    one, other = (each.pass_at_k[1].value for each in result.checkpoints)
    assert one == other


def test_problems_that_ask_the_same_are_one_of_the_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first of them; without named problems each counts, which is warned of and recorded."""
    texts = [f"What is {i} + 4?" for i in (1, 2, 3, 1)]
    source = of_lm_eval(tmp_path / "a.jsonl", texts)
    named = str(lines(tmp_path / "p.jsonl", [{"prompt": f"What is {i} + 4?", "answer": "5"} for i in (1, 2, 3)]))
    assert len(ranked(tmp_path / "named", source, problems=named).problems) == 3
    said = "1 of 4 problems ask the same as an earlier one, which alone is kept"
    assert said in capsys.readouterr().err
    assert any(said in each for each in RunRecord.load(tmp_path / "named").warnings)
    assert len(ranked(tmp_path / "alone", source).problems) == 4
    said = "1 of 4 problems ask the same as another one: each counts"
    assert said in capsys.readouterr().err
    assert any(said in each for each in RunRecord.load(tmp_path / "alone").warnings)


def test_the_rewards_of_all_environments_are_known_before_one_is_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the second environment comes long after the first."""
    monkeypatch.setattr("rlready.interchange.lines.BYTES", 1)  # a line at a time
    rewards = {"math": "correct", "code": "passed"}
    episodes = [
        episode(
            env={"name": name},
            task={"key": f"{name}-{i}", "data": {"prompt": f"{name} {i}?"}},
            trace={"rewards": {reward: {"score": 1.0}}},
        )
        for name, reward in rewards.items()
        for i in range(2)
    ]
    source = f"prime-rl:{lines(tmp_path / 'traces.jsonl', episodes)}"
    with pytest.raises(UserError, match="has the scores correct, passed; say which is the verdict"):
        alone(source)
    assert len(alone(f"{source}?task=math").draws.problem) == 2
    capsys.readouterr()
    assert len(alone(f"{source}?score=correct").draws.problem) == 2
    assert "no sample of code has the reward correct: they are left out" in capsys.readouterr().err


def test_a_log_of_inspect_without_its_prefix_is_named(tmp_path: Path) -> None:
    log = {"version": 2, "status": "success", "eval": {}, "samples": []}
    (tmp_path / "log.json").write_text(json.dumps(log))
    with pytest.raises(UserError, match=r"no checkpoint, but samples of Inspect; read them with inspect:.*log\.json"):
        ranked(tmp_path / "run", str(tmp_path / "log.json"))


def test_stored_responses_that_were_cut_are_not_to_be_drawn_longer_by_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"problem_id": str(at // 2), "correct": at % 2, "truncated": True} for at in range(8)]
    ranked(tmp_path / "run", str(lines(tmp_path / "table.jsonl", rows)))
    said = capsys.readouterr().err
    assert "many stored responses were truncated at a limit (" in said
    assert "max_answer_tokens" not in said


@pytest.mark.parametrize("threshold", ["-0.5", "-.5", "-5e-1"])
def test_a_threshold_may_be_negative(threshold: str, tmp_path: Path) -> None:
    """As where a wrong answer costs a point."""
    rows = [row | {"score": row["score"] - 1} for row in verl_rows(1, {"a": "01", "b": "11"})]
    source = f"verl:{lines(tmp_path / '1.jsonl', rows)}"
    with pytest.raises(UserError, match=r"as in \?threshold=-0\.5"):
        alone(source)
    assert counts(alone(f"{source}?threshold={threshold}")) == counts(alone(f"{source}?threshold=-0.5"))
    assert int(alone(f"{source}?threshold={threshold}").draws.correct.sum()) == 3
