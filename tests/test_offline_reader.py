"""What is read of a table of stored samples, row by row, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.models.hub import refuse_folder_names
from rlready.predict.candidates import read_candidates
from rlready.readiness.conditions import drawn_alike, with_doubts
from rlready.readiness.offline_reader import parse_table_source, read_samples
from rlready.readiness.offline_samples import Stored, verify_pending
from rlready.readiness.stage import readiness
from rlready.runs.files import write_table
from rlready.runs.record import RunRecord

THOUGHT = "<think>{}</think>{}"


def table(folder: Path, rows: Sequence[dict[str, Any]], query: str = "") -> str:
    path = folder / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return f"{path}{query}"


def read(folder: Path, rows: Sequence[dict[str, Any]], query: str = "") -> Stored:
    return read_samples(table(folder, rows, query))


def drawn(stored: Stored) -> list[tuple[str, bool]]:
    """The problem of every sample, and whether it is right."""
    pairs = zip(stored.draws.problem.tolist(), stored.draws.correct.tolist(), strict=True)
    return [(stored.problem_ids[problem], correct) for problem, correct in pairs]


def test_rows_are_samples_of_problems(tmp_path: Path) -> None:
    rows = [{"problem_id": p, "correct": c} for p, c in (("b", 1), ("a", 0), ("b", False), ("c", True))]
    found = read(tmp_path, rows)
    assert (found.total, found.problem_ids, found.pending) == (4, ["b", "a", "c"], [])
    assert drawn(found) == [("b", True), ("a", False), ("b", False), ("c", True)]
    first = read(tmp_path, rows, "?n=2")
    assert (first.total, first.problem_ids) == (4, ["b", "a"])
    assert drawn(first) == [("b", True), ("a", False), ("b", False)]


def test_what_is_not_verified_is_pending(tmp_path: Path) -> None:
    """With its place among the samples, its line, its problem, and its thought before its text."""
    rows: list[dict[str, Any]] = [
        {"problem_id": "a", "correct": True, "text": "1"},
        {"problem_id": "b", "text": "2", "thinking": "so"},
        {"problem_id": "a", "correct": False, "text": "3"},
        {"problem_id": "a", "text": THOUGHT.format("own", "4"), "thinking": "so"},
        {"problem_id": "b", "tokens": [5, 6], "thinking": "so"},
        {"problem_id": "b", "text": None, "thinking": "so far"},
    ]
    found = read(tmp_path, rows)
    assert [(p.at, p.line, p.problem_id, p.text, p.tokens) for p in found.pending] == [
        (1, 2, "b", THOUGHT.format("so", "2"), None),
        (3, 4, "a", THOUGHT.format("own", "4"), None),
        (4, 5, "b", None, [5, 6]),
        (5, 6, "b", "<think>so far", None),
    ]
    with pytest.raises(UserError, match=r"without text to verify \(line 7\)"):
        read(tmp_path, [*rows, {"problem_id": "a", "thinking": ""}])
    with pytest.raises(UserError, match=r"without text to verify \(line 1\)"):  # which has another name
        read(tmp_path, [{"problem_id": "a", "completion_text": "1", "thinking": "so"}])


def test_texts_and_ids_of_other_types_of_parquet(tmp_path: Path) -> None:
    """Views of texts, and decimals as databases write whole numbers."""
    ids = pa.array([Decimal(1), Decimal(2)], pa.decimal128(20, 0))
    table = pa.table({"problem_id": ids, "text": pa.array(["1", "2"], pa.string_view())})
    pq.write_table(table, tmp_path / "samples.parquet")
    found = read_samples(str(tmp_path / "samples.parquet"))
    assert [(each.problem_id, each.text) for each in found.pending] == [("1", "1"), ("2", "2")]


def test_empty_rows_of_a_spreadsheet_are_none(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("problem_id,correct\na,1\n,\nb,0\n,\n")
    assert drawn(read_samples(str(tmp_path / "samples.csv"))) == [("a", True), ("b", False)]


def test_several_responses_of_a_row_are_as_many_samples(tmp_path: Path) -> None:
    """As lm-eval writes them, under its own column names."""
    rows = [{"doc_id": i, "resps": [[f"{i}x", f"{i}y"]]} for i in range(2)]
    found = read(tmp_path, rows)
    assert [(p.at, p.line, p.problem_id, p.text) for p in found.pending] == [
        (0, 1, "0", "0x"),
        (1, 1, "0", "0y"),
        (2, 2, "1", "1x"),
        (3, 2, "1", "1y"),
    ]
    numbered = [row | {"sample_id": 7} for row in rows]
    assert [p.text for p in read(tmp_path, numbered).pending] == ["0x", "0y", "1x", "1y"]
    with pytest.raises(UserError, match="sample 7-0 of problem '0' is given twice"):
        read(tmp_path, [*numbered, numbered[0]])
    other = [row | {"said": "z"} for row in rows]
    assert [p.text for p in read(tmp_path, other, "?text=said").pending] == ["z", "z"]
    with pytest.raises(UserError, match="2 responses, but correct is one verdict"):
        read(tmp_path, [row | {"correct": True} for row in rows])
    alone = [{"doc_id": 0, "resps": [["x"]], "correct": True}]
    assert drawn(read(tmp_path, alone)) == [("0", True)]
    turns = [{"doc_id": 0, "resps": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}]
    assert [p.text for p in read(tmp_path, turns).pending] == ["y"]
    with pytest.raises(UserError, match="must be text, a list of turns or a list of responses, not '5'"):
        read(tmp_path, [{"doc_id": 0, "resps": 5}])


def test_rows_of_one_budget_and_of_one_filter(tmp_path: Path) -> None:
    rows = [
        {"problem_id": "a", "correct": budget == 8, "thinking_budget": budget, "filter": name}
        for budget in (8, 16)
        for name in ("strict", "loose")
    ]
    assert drawn(read(tmp_path, rows, "?thinking_budget=8&filter=loose")) == [("a", True)]
    assert drawn(read(tmp_path, rows, "?thinking_budget=16&filter=strict")) == [("a", False)]
    with pytest.raises(UserError, match=r"once for each filter \('strict', 'loose'\)"):
        read(tmp_path, rows)
    numbered = [row | {"sample_id": at} for at, row in enumerate(rows)]
    assert len(drawn(read(tmp_path, numbered, "?thinking_budget=8"))) == 2
    for query, message in (
        ("?filter=lose", "no row has filter = lose; did you mean loose"),
        ("?thinking_budget=9", "no row has thinking_budget = 9"),
    ):
        with pytest.raises(UserError, match=message):
            read(tmp_path, rows, query)
    twice = [row | {"sample_id": 0} for row in rows[::2]]
    with pytest.raises(UserError, match=r"given twice \(lines 1, 2\); \?thinking_budget=16 behind the table keeps"):
        read(tmp_path, twice)


@pytest.mark.parametrize("column", ["metric", "metric_name", "scorer", "scorer_name", "grader"])
def test_several_scores_of_one_response_are_not_several_responses(column: str, tmp_path: Path) -> None:
    rows = [
        {"problem_id": str(i), column: name, "correct": name == "loose"}
        for i in range(3)
        for name in ("strict", "loose")
    ]
    with pytest.raises(UserError, match=rf"once for each {column} \('strict', 'loose'\) and would be counted"):
        read(tmp_path, rows)
    assert drawn(read(tmp_path, rows, "?filter=loose")) == [("0", True), ("1", True), ("2", True)]
    assert read(tmp_path, rows, "?filter=loose").conditions == {"filter": "loose"}
    with pytest.raises(UserError, match=f"no row has {column} = lose; did you mean loose"):
        read(tmp_path, rows, "?filter=lose")
    assert len(drawn(read(tmp_path, [row | {"sample_id": at} for at, row in enumerate(rows)]))) == 6
    assert len(drawn(read(tmp_path, [row | {column: "one"} for row in rows]))) == 6
    other = [row | {column: "strict" if i < 2 else "loose"} for i, row in enumerate(rows)]  # by problem
    assert len(drawn(read(tmp_path, other))) == 6
    said = [row | {"text": f"response {i}"} for i, row in enumerate(rows)]  # each once
    assert len(drawn(read(tmp_path, said))) == 6


def test_rows_of_one_setting_of_an_evaluation(tmp_path: Path) -> None:
    """What an error advises is accepted, also where several settings have one budget."""
    rows = [
        {"problem_id": name, "sample_id": 0, "correct": waits == 1, "thinking_budget": budget}
        | {"setting": f"{budget}+{waits}" if waits else str(budget)}
        | {"num_waits": waits * (name == "a")}  # the wait that was forced may not have been needed
        for name in "ab"
        for budget in (8, 16)
        for waits in (0, 1)
    ]
    with pytest.raises(
        UserError, match=r"given twice \(lines 1, 2\); \?setting=8\+1 behind the table keeps the rows of"
    ):
        read(tmp_path, rows)
    assert drawn(read(tmp_path, rows, "?setting=8+1")) == [("a", True), ("b", True)]
    assert drawn(read(tmp_path, rows, "?setting=16")) == [("a", False), ("b", False)]
    numbered = [row | {"sample_id": at} for at, row in enumerate(rows)]
    with pytest.raises(UserError, match=r"samples of different thinking_budget .* \?thinking_budget=8, or in a table"):
        read(tmp_path, numbered)
    assert len(drawn(read(tmp_path, rows, "?thinking_budget=8&setting=8"))) == 2


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("thinking_budget", (64, 1024)),
        ("thinking_budget", (None, 64)),
        ("temperature", (0.6, 1.0)),
        ("model", ("one", "other")),
        ("step", (10, 20)),
    ],
)
def test_samples_that_were_drawn_in_different_ways_are_not_counted_together(
    tmp_path: Path, column: str, values: tuple[object, object]
) -> None:
    """Whatever their numbers are; a column that is the same throughout says nothing."""
    rows = [{"problem_id": "a", "sample_id": i, "correct": i > 1, column: values[i % 2]} for i in range(4)]
    with pytest.raises(UserError, match=f"samples of different {column} "):
        read(tmp_path, rows)
    assert len(drawn(read(tmp_path, [row | {column: values[1]} for row in rows]))) == 4


@pytest.mark.parametrize(
    ("one", "other", "queries", "said"),
    [
        ({"temperature": 0.1}, {"temperature": 1.5}, ("", ""), "of different temperature, 0.1 and 1.5"),
        ({"top_k": 20}, {"top_k": -1}, ("", ""), "of different top_k, 20 and -1"),
        ({"max_new_tokens": 64}, {"max_new_tokens": 128}, ("", ""), "of different max_new_tokens, 64 and 128"),
        ({"thinking_budget": 64}, {"thinking_budget": None}, ("", ""), "of different thinking_budget, 64 and None"),
        ({"filter": "a"}, {"filter": "b"}, ("?filter=a", "?filter=b"), "of different filter, a and b.*filter= behind"),
        ({"filter": "a"}, {"filter": "b"}, ("", ""), "of different filter"),
        ({"temperature": 1, "model": "x"}, {"temperature": "1.0", "model": "y"}, ("", ""), ""),
        ({"temperature": 1}, {}, ("", ""), ""),  # not known
        ({"thinking_budget": 64}, {}, ("?thinking_budget=64", ""), ""),
    ],
)
def test_tables_are_ranked_only_if_their_samples_were_drawn_alike(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], queries: tuple[str, str], said: str
) -> None:
    """In one run of readiness, and in two that predict ranks."""
    places = []
    for name, columns, query in zip(("one", "other"), (one, other), queries, strict=True):
        rows = [{"problem_id": i // 4, "sample_id": i % 4, "correct": i % 3 == 0, **columns} for i in range(20)]
        (tmp_path / name).mkdir()
        places.append(table(tmp_path / name, rows, query))
        readiness(ReadinessConfig(checkpoints=(places[-1],), samples=4), tmp_path / name / "run")
    with pytest.raises(UserError, match=f"samples.jsonl hold samples {said}") if said else nullcontext():
        readiness(ReadinessConfig(checkpoints=tuple(places), samples=4), tmp_path / "both")
    runs = [tmp_path / name / "run" for name in ("one", "other")]
    with pytest.raises(UserError, match="of different") if said and None not in other.values() else nullcontext():
        read_candidates(runs)


@pytest.mark.parametrize("texts", [True, False])
def test_two_verdicts_of_the_same_responses_are_no_two_checkpoints(tmp_path: Path, texts: bool) -> None:
    """A table of verdicts alone may have a column for each checkpoint."""
    rows = [{"problem_id": str(i // 4), "sample_id": i % 4, "a": i % 3 == 0, "b": i % 2 == 0} for i in range(20)]
    rows = [row | {"text": f"answer {i}"} for i, row in enumerate(rows)] if texts else rows
    checkpoints = tuple(table(tmp_path, rows, f"?correct={name}&name={name}") for name in "ab")
    with pytest.raises(UserError, match=r"a and b are the same samples of .* no two") if texts else nullcontext():
        readiness(ReadinessConfig(checkpoints=checkpoints, samples=4), tmp_path / "run")
    again = tuple(each.replace("&name=b", "").replace("correct=b", "correct=a") for each in checkpoints)
    with pytest.raises(UserError, match=r"are the same samples of .* no two"):
        readiness(ReadinessConfig(checkpoints=(again[0], f"{again[1]}&name=c"), samples=4), tmp_path / "again")


@pytest.mark.parametrize(
    ("word", "truncated"),
    [
        *(("length", 1.0), ("LENGTH", 1.0), ("MAX_TOKENS", 1.0), ("max_length", 1.0), ("STOP", 0.0), ("abort", None)),
        *(("FinishReason.MAX_TOKENS", 1.0), ("tool_calls", 0.0), ("content_filter", 0.0)),
    ],
)
def test_how_a_response_ended_is_read_in_any_case_and_not_guessed(
    tmp_path: Path, word: str, truncated: float | None
) -> None:
    rows = [{"problem_id": "a", "sample_id": i, "correct": i > 0, "finish_reason": word} for i in range(4)]
    found = read(tmp_path, rows).draws.stats().truncated
    assert (found and found.value) == truncated


def test_numbers_of_csv_are_read_as_those_of_other_formats(tmp_path: Path) -> None:
    head = "problem_id,sample_id,correct,thinking_budget,thinking_tokens,wave,planned\n"
    rows = [(f"p{i // 4}", i % 4, int(i % 3 == 0), 64 if i < 12 else "", i + 1, 0, 4) for i in range(16)]
    (tmp_path / "s.csv").write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    found = read_samples(f"{tmp_path / 's.csv'}?thinking_budget=64")
    assert len(found.draws.problem) == 12
    assert found.draws.thinking.tolist() == list(range(1, 13))
    assert found.draws.planned == 4
    bad = head + "p0,0,1,64,many,0,4\n"
    (tmp_path / "bad.csv").write_text(bad)
    with pytest.raises(UserError, match="thinking_tokens must be a number of tokens, not 'many'"):
        read_samples(str(tmp_path / "bad.csv"))


@pytest.mark.parametrize(("column", "meant"), [("Temperature", "temperature"), ("trucated", "truncated"), ("note", "")])
def test_a_column_that_seems_misnamed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, meant: str
) -> None:
    read(tmp_path, [{"problem_id": "a", "sample_id": i, "correct": i > 0, column: 0} for i in range(2)])
    said = capsys.readouterr().err
    assert (f"column {column!r} is not read; if it is {meant}, rename it" in said) if meant else not said


@pytest.mark.parametrize("column", ["response", "Responses", "output", "completion", "generation"])
def test_a_column_that_seems_to_hold_responses_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    """But not where another one is read as them."""
    row = {"problem_id": "a", "correct": True, column: "4"}
    read(tmp_path, [row])
    assert f"column {column!r} is not read; if it is text, rename it" in capsys.readouterr().err
    for name, rows, query in (
        ("named", [row], f"?text={column}"),
        ("text", [row | {"text": "4"}], ""),
        ("lm-eval", [{"doc_id": 0, "correct": True, "resps": [["4"]], column: "4"}], ""),
    ):
        (tmp_path / name).mkdir()
        read(tmp_path / name, rows, query)
        assert "is not read" not in capsys.readouterr().err


@pytest.mark.parametrize(("column", "value", "alike"), [("temperature", 0.5, False), ("temperature", 1, True)])
def test_tables_beside_a_model_are_of_its_settings(tmp_path: Path, column: str, value: float, alike: bool) -> None:
    found = read(tmp_path, [{"problem_id": "a", "sample_id": i, "correct": i > 0, column: value} for i in range(2)])
    with nullcontext() if alike else pytest.raises(UserError, match=r"model and table .* temperature, 1 and 0\.5"):
        drawn_alike(ReadinessConfig(thinking_budget=64), ["model"], {"table": found})
    drawn_alike(ReadinessConfig(thinking_budget=64), [], {"table": found})
    bare = read(tmp_path, [{"problem_id": "a", "sample_id": i, "correct": i > 0} for i in range(2)])
    doubted = with_doubts(
        ReadinessConfig(thinking_budget=64), ["model", "table", "bare"], {"table": found, "bare": bare}
    )
    assert "it does not say temperature" in doubted["bare"].doubt
    assert "temperature" not in doubted["table"].doubt


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "all samples of every problem are equal"),
        ({"text": "its own"}, ""),
        ({"thinking": "its own"}, ""),
        ({"temperature": 0.0, "text": None}, "drawn at temperature 0"),
        ({"text": None}, ""),  # not known
        ({"text": None, "tokens": [1, 2]}, "all samples of every problem are equal"),
    ],
)
def test_samples_that_repeat_one_of_their_problem_are_warned_of(
    tmp_path: Path, suffix: str, changes: dict[str, Any], said: str
) -> None:
    """In the notes and in the record; in a Parquet file, texts are read only if nothing else tells."""
    rows: list[dict[str, Any]] = [
        {"problem_id": str(i // 4), "sample_id": i % 4, "correct": i < 12, "text": str(i // 4)} for i in range(20)
    ]
    for i, row in enumerate(rows):
        row |= {key: f"{value}{i}" if value == "its own" else value for key, value in changes.items()}
    path = Path(table(tmp_path, rows))
    if suffix == "parquet":
        write_table(path := tmp_path / "samples.parquet", rows)
    notes = readiness(ReadinessConfig(checkpoints=(str(path),), samples=4), tmp_path / "run").notes
    warnings = RunRecord.load(tmp_path / "run").warnings
    assert [said in " ".join(each) for each in (notes, warnings)] == [True, True]
    assert ("such as pass@k" in str(notes)) == bool(said)


def _stopping(least: int, successes: int = 1, batch: int = 1, *, at_success: bool = False) -> list[list[bool]]:
    """The outcomes of 20 problems, at most 24 samples each, drawn in batches until enough of them are right."""
    draw, rows = Random(0), list[list[bool]]()
    for problem in range(20):
        rows.append([])
        while len(rows[-1]) < 24:
            rows[-1] += [draw.random() < 0.1 + problem / 40 for _ in range(batch)]
            enough = rows[-1][-1] if at_success else sum(rows[-1]) >= successes
            if len(rows[-1]) >= least and enough:
                break
    return rows


@pytest.mark.parametrize(
    "drawn_until",
    [
        _stopping(4),  # four samples first
        _stopping(1, successes=2),
        _stopping(4, at_success=True),  # four samples first, then to the next success
        _stopping(4, batch=4),
        [[not right for right in each] for each in _stopping(2)],  # to a failure
    ],
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_samples_whose_outcomes_decided_when_to_stop_are_refused(
    tmp_path: Path, drawn_until: list[list[bool]], shuffled: bool
) -> None:
    """In whatever order the rows are, if samples have numbers."""
    rows: list[dict[str, Any]] = [
        {"problem_id": f"p{p}", "sample_id": i, "correct": right}
        for p, each in enumerate(drawn_until)
        for i, right in enumerate(each)
    ]
    if shuffled:
        Random(1).shuffle(rows)
    with pytest.raises(UserError, match="sampling seems to have stopped at"):
        verify_pending(read(tmp_path, rows), None, [], None)


def test_numbers_of_samples_that_do_not_depend_on_outcomes_are_no_stopping(tmp_path: Path) -> None:
    """Also if the table is sorted by outcome, so that each problem ends in its successes."""
    draw = Random(0)
    for _ in range(20):
        rows = [
            {"problem_id": f"p{p}", "correct": right}
            for p in range(20)
            for right in sorted(draw.random() < 0.2 + p / 40 for _ in range(draw.choice((6, 12))))
        ]
        assert verify_pending(read(tmp_path, rows), None, [], None) == 0
        draw.shuffle(rows)
        assert verify_pending(read(tmp_path, rows), None, [], None) == 0


def _tables(folder: Path, *ids: Sequence[object]) -> tuple[str, ...]:
    """A table for each list of ids, with four samples of each problem, of which half are right."""
    for number, mine in enumerate(ids):
        (folder / str(number)).mkdir(parents=True)
        table(folder / str(number), [{"problem_id": i, "correct": n < 2} for i in mine for n in range(4)])
    return tuple(str(folder / f"{number}/samples.jsonl") for number in range(len(ids)))


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (["a", "b", "c"], ["c", "d", "a"], "measured on the 2 problems that all have, of up to 3"),
        ([*range(7), *range(8, 12)], range(12), "measured on the 11 problems that all have, of up to 12"),
        (["b", "a"], ["a", "b"], ""),
    ],
)
def test_tables_are_ranked_on_the_problems_that_all_have(
    one: Sequence[object], other: Sequence[object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In either order, with a line that counts them."""
    for order in (1, -1):
        sources = _tables(tmp_path / str(order), one, other)[::order]
        result = readiness(ReadinessConfig(checkpoints=sources, samples=4), tmp_path / f"run{order}")
        warned = capsys.readouterr().err
        assert {*result.problems} == {str(i) for i in one} & {str(i) for i in other}
        assert said in warned
        assert ("measured on" in warned) == bool(said)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([range(5), range(3)], r"3 of 3 and 5 problems in common: .*'0' in .*, and '3' is in .* alone; ids that count"),
        ([range(5), range(1, 6)], r"4 of 5 and 5 problems in common: .* keep the same ones in each, as with n="),
        ([["0.0", "1.0"], ["0", "1"]], r"0 of 2 and 2 problems .*'0\.0' in .*, and '0' is in .*with problem=COLUMN"),
        ([["a"], ["a"], ["a", "b"], ["c"]], r"1 of 1 and 2 problems in common: .*'a' in .*, and 'b' is in .* alone"),
    ],
)
def test_tables_of_problems_that_may_be_others_are_not_ranked(
    ids: Sequence[Sequence[object]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        readiness(ReadinessConfig(checkpoints=_tables(tmp_path, *ids), samples=4), tmp_path / "run")
    if message.endswith("count"):
        first, other = _tables(tmp_path / "again", *ids)
        result = readiness(ReadinessConfig(checkpoints=(f"{first}?n=3", other), samples=4), tmp_path / "same")
        assert result.problems == ["0", "1", "2"]


def test_a_lost_sample_is_no_stopping_at_the_first_success(tmp_path: Path) -> None:
    """Though the problem that lacks it ends in its only success: others went on after one."""
    draw = Random(0)
    outcomes = [[False, False, True], *([draw.random() < 0.5 for _ in range(4)] for _ in range(59))]
    rows = [{"problem_id": str(p), "correct": right} for p, each in enumerate(outcomes) for right in each]
    verify_pending(read(tmp_path, rows), None, [], None)
    with pytest.raises(UserError, match="stopped at the first success"):
        verify_pending(read(tmp_path, rows[:3] + [{"problem_id": "1", "correct": False}] * 4), None, [], None)


def test_samples_without_a_number_get_their_place(tmp_path: Path) -> None:
    """Within their problem; a number that is given may be the place of another."""
    rows: list[dict[str, Any]] = [{"problem_id": p, "correct": True} for p in ("a", "b", "a", "b")]
    assert len(drawn(read(tmp_path, rows))) == 4
    assert len(drawn(read(tmp_path, [*rows, {"problem_id": "a", "correct": True, "sample_id": 5}]))) == 5
    with pytest.raises(UserError, match=r"sample 1 of problem 'b' is given twice \(lines 4, 5\)"):
        read(tmp_path, [*rows, {"problem_id": "b", "correct": True, "sample_id": 1}])


@pytest.mark.parametrize(
    ("times", "columns", "said"),
    [
        (2, {}, "every response is there 2 times, or a multiple of that"),
        (3, {"correct": None}, "every response is there 3 times, or a multiple of that"),
        (1, {}, ""),
        (2, {"text": "4", "correct": True}, ""),  # all samples of a problem are equal, which the result says
        (2, {"text": None}, ""),  # not known
    ],
)
def test_rows_that_are_repeated_are_said(
    times: int, columns: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"problem_id": p, "correct": n > 1, "text": f"{p}{n}"} | columns for p in "ab" for n in range(4)]
    read(tmp_path, rows * times)
    warned = capsys.readouterr().err
    assert said in warned
    assert ("every response" in warned) == bool(said)


def test_one_response_is_not_both_right_and_wrong(tmp_path: Path) -> None:
    """Unless samples are numbered, or the problems or thoughts differ."""
    rows: list[dict[str, Any]] = [
        {"problem_id": "a", "correct": True, "text": "1"},
        {"problem_id": "a", "correct": True, "text": "1"},
        {"problem_id": "b", "correct": False, "text": "1"},
        {"problem_id": "a", "correct": False, "text": "2"},
        {"problem_id": "a", "correct": False, "text": "1", "thinking": "so"},
        {"problem_id": "a", "correct": False, "text": None},
    ]
    assert len(drawn(read(tmp_path, rows))) == 6
    both = [*rows, {"problem_id": "a", "correct": False, "text": "1"}]
    with pytest.raises(UserError, match=r"both right and wrong \(lines 1, 7\)"):
        read(tmp_path, both)
    assert len(drawn(read(tmp_path, [row | {"sample_id": at} for at, row in enumerate(both)]))) == 7


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (2, "not '2'; write a column that says from which score on a sample is right"),
        (0.5, "not '0.5'; write a column"),
        ("yes", "not 'yes'$"),
        (float("nan"), "NaN, which was not scored; make it null to have the text verified"),
    ],
)
def test_verdicts_are_true_or_false(tmp_path: Path, verdict: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, [{"problem_id": "a", "correct": verdict}])


def test_waves_are_counted_from_0(tmp_path: Path) -> None:
    rows = [{"problem_id": "a", "correct": False, "wave": 0}, {"problem_id": "a", "correct": True, "wave": 999_999}]
    assert read(tmp_path, rows).draws.wave.tolist() == [0, 999_999]
    for wave in (-1, 10**6, True, 0.5):
        with pytest.raises(UserError, match=f"wave must be a whole number from 0, not '{wave}'"):
            read(tmp_path, [rows[0], rows[1] | {"wave": wave}])


def test_the_variance_needs_two_samples_of_every_problem(tmp_path: Path) -> None:
    few, more = ("a",), ("a", "a")
    for extra, known in ((few, False), (more, True)):
        rows = [{"problem_id": p, "correct": i % 3 == 2} for i, p in enumerate((*extra, "b", "b", "b", "b"))]
        config = ReadinessConfig(checkpoints=(table(tmp_path, rows),), samples=1, group_size=1)
        (found,) = readiness(config, tmp_path / f"run-{known}").checkpoints
        assert (found.variance is not None) is known


def test_a_table_of_readiness_rounds_each_figure(tmp_path: Path) -> None:
    """Shares in per cent with one decimal, signals and entropies to three, lengths to whole tokens."""
    rows = [
        {"problem_id": i % 3, "correct": i == 4, "tokens": [7] * i**3, "truncated": i % 4 == 0, "logprobs": [-0.5]}
        for i in range(9)
    ]
    config = ReadinessConfig(checkpoints=(table(tmp_path, rows),), samples=3, group_size=2)
    (printed,) = readiness(config, tmp_path / "run").tables()
    (row,) = printed.rows
    figures = dict(zip(printed.columns, row, strict=True))
    expected = {"unsolved in 3 (%)": "66.7", "informative (%)": "22.2", "group signal": "0.111", "entropy": "0.500"}
    expected |= {"tokens if correct": "64", "tokens if wrong": "154", "truncated (%)": "33.3", "held-out loss": "–"}
    assert {name: figures[name] for name in expected} == expected
    assert [name for name in figures if name.startswith("pass@")] == ["pass@1 (%)", "pass@2 (%)", "pass@3 (%)"]


def test_of_equally_good_checkpoints_that_with_the_higher_pass_1_is_first(tmp_path: Path) -> None:
    sources = []
    for name, right in (("few", 1), ("most", 3)):
        (tmp_path / name).mkdir()
        rows = [{"problem_id": i % 2, "correct": i // 2 < right} for i in range(8)]
        sources.append(table(tmp_path / name, rows, f"?name={name}"))
    config = ReadinessConfig(checkpoints=tuple(sources), samples=4, group_size=4)
    few, most = readiness(config, tmp_path / "run").checkpoints
    assert few.pass_at_k[4] == most.pass_at_k[4]
    assert (few.rank, most.rank) == (2, 1)


def test_problems_in_the_place_of_a_checkpoint_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"is read as samples; if it holds problems, write problems=p.jsonl[?]answer=a$"
    ):
        parse_table_source("p.jsonl?answer=a")
    with pytest.raises(UserError, match=r"a table has no threshold=; add a column of true and false, and name it as"):
        parse_table_source("p.csv?correct=score&threshold=0.5")


def test_options_behind_a_folder_are_said_to_be_for_a_table(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    with pytest.raises(
        UserError, match=r"options belong to a table of samples, and .*samples is a folder: name a file"
    ):
        refuse_folder_names(f"{tmp_path}/samples?problem=a")
