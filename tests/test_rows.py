"""What goes in as rows comes out character for character, or is refused by its line."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.records import Row
from rlready.models.chat import KNOWN
from rlready.readiness.offline_reader import read_samples
from rlready.readiness.stage import readiness
from rlready.runs.parquet_pages import page_sizes
from rlready.tasks import open_task
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.table import read_table
from rlready.tasks.turns import split_sample, split_thought

DELIMITERS = [text for pair in KNOWN for text in pair]
USER, ASSISTANT, SYSTEM = ({"role": role, "content": role[0]} for role in ("user", "assistant", "system"))

texts = st.text(st.one_of(st.sampled_from("\n\r\t \"'\\{}<>/\u2028\u0085\ufeff\0é😀"), st.characters(codec="utf-8")))
said = texts.filter(lambda text: text.strip() and not any(mark in text for mark in DELIMITERS))


def row_of(path: Path, columns: Mapping[str, Any], query: str = "") -> Row:
    """The one row of a file, which is JSON or Parquet by its name."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(columns)]), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps([columns], ensure_ascii=False), encoding="utf-8", newline="")
    else:
        path.write_text(json.dumps(columns, ensure_ascii=False) + "\n", encoding="utf-8", newline="")
    (row,) = open_task(f"rows:{path}{query}").rows()
    return row


def both(source: str) -> None:
    task = open_task(source)
    task.rows()
    task.problems()


def refusal(path: Path, text: str, query: str = "") -> str:
    """The line that refuses the rows of a text, or else its problems."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        both(f"rows:{path}{query}")
    assert str(caught.value).isprintable()
    return str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    system=said,
    prompt=said,
    thinking=said,
    response=said,
    space=st.text("\n ", max_size=3),
    pair=st.sampled_from(KNOWN),
)
def test_texts_come_out_as_they_went_in(
    system: str, prompt: str, thinking: str, response: str, space: str, pair: tuple[str, str]
) -> None:
    asked = [{"role": "developer", "content": system}, {"role": "user", "content": prompt}]
    answered = {"role": "assistant", "content": response, "reasoning_content": thinking}
    parts = [{"type": "thinking", "text": thinking}, {"type": "text", "text": response}]
    shapes: list[dict[str, Any]] = [
        {"system": system, "prompt": prompt, "thinking": thinking, "response": response},
        {"system": system, "prompt": prompt, "reasoning": thinking, "completion": response},
        {"messages": [*asked, answered]},
        {"prompt": asked, "completion": [answered]},
        {"prompt": prompt, "messages": [*asked, answered], "response": response},
        {"messages": [*asked, {"role": "assistant", "content": parts}]},
    ]
    turn = f"{space}{pair[0]}{space}{thinking}{pair[1]}{space}{response}{space}"
    sharegpt = [{"from": "system", "value": system}, {"from": "human", "value": prompt}, {"from": "gpt", "value": turn}]
    with tempfile.TemporaryDirectory() as folder:
        for at, suffix in enumerate((".jsonl", ".json", ".parquet")):
            file = Path(folder) / f"{at}{suffix}"
            want = Row(f"{at}-000001", prompt, response, thinking, system)
            for shape in shapes[:5] if suffix == ".parquet" else shapes:  # Arrow has no lists of texts and lists
                assert row_of(file, shape) == want, shape
            want = Row(want.id, prompt, response.strip(), thinking.strip(), system, turn)
            assert row_of(file, {"system": system, "prompt": prompt, "response": turn}) == want
            assert row_of(file, {"conversations": sharegpt}) == want


def test_thoughts_inside_a_text() -> None:
    for text, want in {
        "<think>a</think>b": ("a", "b"),
        "a\n</think>\n\nb": ("a", "b"),  # opened by the template
        "<think>cut off": ("cut off", ""),
        "[THINK] a [/THINK] b": ("a", "b"),
        "<think></think>b": ("", "b"),
        "write <think> first": None,
        "a</thinking>b": None,
        "plain": None,
    }.items():
        assert split_thought(text) == want, text


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ("0.00005", "0.00005"),
        ("1e22", "10000000000000000000000"),
        ("1E-7", "0.0000001"),
        ("100000000000000000000.5", "100000000000000000000.5"),
        ("5.50", "5.50"),
        ("-3", "-3"),
        ("1e400", "1e400"),
        ("true", "true"),
        ('" 4 "', " 4 "),
        ('"\\ud83d\\ude00"', "😀"),
        ("NaN", ""),
        ("null", ""),
        ('" \\n"', ""),
        ('"\\u200b"', ""),
        ('"so it is\\n####"', ""),
    ],
)
def test_answers_keep_their_value(tmp_path: Path, answer: str, want: str) -> None:
    text = f'{{"prompt": "p", "answer": {answer}, "response": "r"}}\n'
    if want:
        (tmp_path / "r.jsonl").write_text(text)
        (problem,) = open_task(str(tmp_path / "r.jsonl")).problems()
        assert problem.answer == want
    else:
        assert "r.jsonl: a row without an answer to verify against (line 1)" in refusal(tmp_path / "r.jsonl", text)


@pytest.mark.parametrize(
    ("kind", "value", "want"),
    [
        (pa.float64(), 5e-5, "0.00005"),
        (pa.float32(), 0.1, "0.1"),
        (pa.float16(), 0.1, "0.1"),
        (pa.struct([("ground_truth", pa.float32())]), {"ground_truth": 0.1}, "0.1"),
        (pa.decimal128(9, 2), Decimal("1.50"), "1.50"),
        (pa.bool_(), False, "false"),
        (pa.struct([("ground_truth", pa.int64())]), {"ground_truth": 7}, "7"),
    ],
)
def test_answers_of_parquet(tmp_path: Path, kind: Any, value: object, want: str) -> None:
    name = "reward_model" if isinstance(value, dict) else "answer"
    pq.write_table(pa.table({"prompt": ["p"], name: pa.array([value], kind)}), tmp_path / "r.parquet")
    task = open_task(str(tmp_path / "r.parquet"))
    assert [p.answer for p in task.problems()] == [want]
    assert ("answers from column 'reward_model.ground_truth'" in task.description) == (name == "reward_model")


def test_json_inside_parquet_is_decoded(tmp_path: Path) -> None:
    """As `datasets` stores mixed types: JSON text, named in its metadata or by the Arrow type; "4" as the number 4."""
    path, text = tmp_path / "r.parquet", pa.string()
    as_told = {
        "messages": {"feature": {"role": {"dtype": "string", "_type": "Value"}, "content": {"_type": "Json"}}},
        "answer": {"_type": "Json"},
        "turns": {"feature": {"_type": "Json"}, "_type": "List"},
    }
    noted = {"huggingface": json.dumps({"info": {"features": as_told}})}
    parts = json.dumps([{"type": "text", "text": "p"}])
    said = [{"role": "user", "content": parts}, {"role": "assistant", "content": "4"}]
    turn = pa.struct([("role", text), ("content", text)])
    columns = {
        "messages": pa.array([said], pa.list_(turn)),
        "answer": pa.array(['"x y"'], text),
        "turns": pa.array([[json.dumps(t) for t in said]], pa.list_(text)),
    }
    pq.write_table(pa.table(columns).replace_schema_metadata(noted), path)
    (problem,) = open_task(str(path)).problems()
    assert (problem.prompt, problem.answer, problem.meta) == ("p", "x y", {"turns": said})
    assert open_task(str(path)).rows()[0].response == "4"
    pq.write_table(pa.table(columns | {"answer": pa.array(["{"], text)}).replace_schema_metadata(noted), path)
    with pytest.raises(UserError, match=r"r\.parquet row 1: the JSON of answer cannot be kept"):
        open_task(str(path))


def test_columns_inside_columns(tmp_path: Path) -> None:
    verl = {"prompt": [USER], "reward_model": {"ground_truth": "4"}, "extra_info": {"index": 3}, "a.b": "flat"}
    path = tmp_path / "v.jsonl"
    path.write_text(json.dumps(verl))
    (problem,) = open_task(f"{path}?answer=reward_model.ground_truth&id=extra_info.index").problems()
    assert (problem.id, problem.prompt, problem.answer) == ("3", "u", "4")
    assert problem.meta == {key: verl[key] for key in ("reward_model", "extra_info", "a.b")}
    assert open_task(f"{path}?answer=a.b").problems()[0].answer == "flat"
    line = refusal(path, json.dumps(verl), "?answer=reward_model.ground")
    assert "no column 'reward_model.ground'; did you mean reward_model.ground_truth?" in line


def turns(*of: Mapping[str, Any], **more: Any) -> str:
    return json.dumps({"messages": of} | more)


@pytest.mark.parametrize("place", ["columns", "no name", "struct", "list"])
def test_a_parquet_column_named_twice_is_refused(tmp_path: Path, place: str) -> None:
    name = "" if place == "no name" else "answer"
    twice = [pa.array(["1"]), pa.array(["2"])]
    struct = pa.StructArray.from_arrays(twice, fields=[pa.field(name, pa.string()) for _ in twice])
    columns = {"struct": [struct], "list": [pa.ListArray.from_arrays(pa.array([0, 1]), struct)]}.get(place, twice)
    names = ["prompt", *(["x"] if len(columns) == 1 else [name, name])]
    pq.write_table(pa.Table.from_arrays([pa.array(["?"]), *columns], names=names), tmp_path / "p.parquet")
    for read in (lambda: open_task(f"{tmp_path}/p.parquet"), lambda: read_samples(f"{tmp_path}/p.parquet")):
        with pytest.raises(UserError, match=f"p.parquet: two columns are named '{name}'; write it again with one"):
            read()


def test_a_final_answer_is_found_in_linear_time(tmp_path: Path) -> None:
    """Behind the last #### of an answer, however many spaces there are."""
    spaces = " " * 100_000
    rows = {
        f"#### a{spaces}b": f"a{spaces}b",
        f"x\n####{spaces}4 \n{spaces}": "4",
        "#### 1\n2": "#### 1\n2",
    }
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{i}?", "answer": answer}) + "\n" for i, answer in enumerate(rows))
    )
    began = time.process_time()
    found = [problem.answer for problem in open_task(f"{tmp_path}/p.jsonl").problems()]
    assert time.process_time() - began < 2
    assert found == list(rows.values())


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (turns(USER, ASSISTANT, USER, ASSISTANT), "split a conversation of several questions into one row for each"),
        (turns(SYSTEM, ASSISTANT), "messages must be [system,] user[, assistant], not system, assistant"),
        (turns(USER, ASSISTANT | {"thoughts": "t"}), "the turn of the assistant has 'thoughts', which is not read"),
        (turns(USER, ASSISTANT | {"tool_calls": [{"a": 1}]}), "has 'tool_calls', which is not read"),
        (turns(USER, ASSISTANT, tools=[{"a": 1}]), "the column tools is not read"),
        (turns(USER, ASSISTANT, weight=0.5), "the column weight is not read: all rows weigh the same"),
        (turns(USER, ASSISTANT, loss_mask=[0, 1]), "the column loss_mask is not read"),
        (turns(USER | {"content": [{"type": "image_url"}]}), "has a part of type image_url; only text is read"),
        (turns(USER | {"reasoning_content": "t"}, ASSISTANT), "the turn of the user has a thought"),
        (turns(USER, ASSISTANT | {"weight": 0}), "the turn of the assistant is not to be learned (weight is 0)"),
        (turns(USER, ASSISTANT | {"train": False}), "is not to be learned (train is false)"),
        (turns(USER, ASSISTANT | {"value": "b"}), "the turn of the assistant has a content and another value"),
        (turns(USER, ASSISTANT, images=["a.png"]), "the column images is not read (only text is read)"),
        (turns(USER, ASSISTANT, chat_template_kwargs={"x": False}), "the column chat_template_kwargs is not read"),
        (
            turns(SYSTEM, USER, ASSISTANT, system_prompt="v"),
            "system_prompt and messages give two different texts as system",
        ),
        (turns(USER, ASSISTANT, prompt="v"), "prompt and messages give two different texts as prompt"),
        (turns(SYSTEM, USER, ASSISTANT, system="v"), "system and messages give two different texts as system"),
        (turns(USER, ASSISTANT | {"reasoning": "s", "thinking": "t"}), "give two different texts as thinking"),
        (
            turns(USER, ASSISTANT | {"reasoning": "s", "content": "<think>t</think>a"}),
            "a thought that differs from the given one",
        ),
        ('{"prompt": "p", "response": "so <think>t</think>a"}', "the response has text before <think>"),
        ('{"prompt": "p", "chosen": "a", "rejected": "b"}', "a preference row (chosen, rejected)"),
        ('{"prompt": "p", "completion": "a", "label": false}', "a preference row (label true or false"),
        ('{"prompt": "p", "completion": "a", "label": 0}', "a preference row (label true or false"),
        ('{"prompt": "p", "response": "r", "completion": "s"}', "response and completion give two different texts"),
        ('{"prompt": "p", "response": "r", "tools": "[1]"}', "the column tools is not read"),
        ('{"prompt": "p", "response": "r", "history": [["a", "b"]]}', "the column history is not read"),
        (
            '{"prompt": "p", "response": "r", "answer": [1, 2]}',
            "not list; write it as one text, or leave it to a verifier",
        ),
        ('{"prompt": "p", "response": "r", "answer": {"a": 1}}', "not dict; name what is in it, answer=answer.KEY"),
        ('{"prompt": "p", "response": "r", "answer": -Infinity}', "answer: infinity is not a number"),
        ('{"prompt": "p", "response": "r", "id": 1.5}', "id must be text or a whole number, not '1.5'"),
        ('{"prompt": "p", "response": "r", "note": ["\\ud83d"]}', "'note' holds \\ud83d, half of a surrogate pair"),
        ('{"prompt": "p", "response": "r", "prompt": "q"}', "the key 'prompt' is given twice"),
        ('{"prompt": "p", "response": "r", "m": ' + "[" * 200 + "]" * 200 + "}", "'m' is nested more than 100 deep"),
    ],
)
def test_rows_that_cannot_be_kept_are_refused_by_line(tmp_path: Path, row: str, line: str) -> None:
    said = refusal(tmp_path / "r.jsonl", f"\n{row}\n")
    assert "r.jsonl:2: " in said
    assert line in said


def test_columns_that_say_nothing_more_are_no_matter(tmp_path: Path) -> None:
    """Empty, named by an option, or no part of the prompt; flags are of the assistant's turn alone."""
    row = {"prompt": [USER | {"weight": 0, "value": None}], "completion": [ASSISTANT | {"weight": 1}]}
    empty = {"tools": "[]", "images": [], "chat_template_kwargs": {"x": None}, "history": None, "label": "easy"}
    assert row_of(tmp_path / "a.jsonl", row | empty | {"input": "5"}).response == "a"
    alpaca = {"instruction": "p", "input": " ", "output": "r", "history": "h"}
    assert row_of(tmp_path / "b.jsonl", alpaca, "?prompt=instruction&response=output&id=history").id == "h"
    line = refusal(tmp_path / "c.jsonl", json.dumps(alpaca | {"input": "2"}), "?prompt=instruction&response=output")
    assert "c.jsonl:1: the column history is not read" in line
    del alpaca["history"]
    line = refusal(tmp_path / "c.jsonl", json.dumps(alpaca | {"input": "2"}), "?prompt=instruction&response=output")
    assert "c.jsonl:1: prompt=instruction leaves out the column input; join the two" in line


QUESTION = {"question": "Which is red?", "answer": "B"}


@pytest.mark.parametrize(
    ("more", "column"),
    [
        ({"choices": ["A) sky", "B) blood"]}, "choices"),
        ({"Options": {"text": ["sky", "blood"], "label": ["A", "B"]}}, "Options"),
        ({"option_a": "sky", "option_b": "blood"}, "option_a"),
        ({"A": "sky", "B": "blood"}, "A"),
        ({"choices": [3, 4]}, "choices"),
        ({"Context": "Blood is red."}, "Context"),
        ({"Body": "Blood is red."}, "Body"),
        ({"answerA": "sky", "answerB": "blood"}, "answerA"),
        ({"passages": [{"title": "t", "text": "Blood is red."}]}, "passages"),
        ({"instruction": "Answer with a letter."}, "instruction"),
        ({"image": "a.png"}, "image"),
    ],
)
def test_what_a_question_needs_is_in_the_prompt_or_the_row_is_refused(
    tmp_path: Path, more: dict[str, object], column: str
) -> None:
    said = refusal(tmp_path / "p.jsonl", json.dumps(QUESTION | more))
    assert f"p.jsonl:1: the column {column} is " in said
    assert "remove" in said


def test_the_number_of_a_choice_is_no_answer(tmp_path: Path) -> None:
    """Which MMLU has, where a response names the letter; a choice that is this number is one."""
    row = {"question": "Which is red?\nA. the sky\nB. blood", "choices": ["the sky", "blood"], "answer": 1}
    said = refusal(tmp_path / "p.jsonl", json.dumps(row))
    assert "the answer 1 seems to be the number of one of the choices; write its letter" in said
    row = {"question": "How many? 0, 1 or 2", "choices": ["0", "1", "2"], "answer": 1}
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    assert open_task(str(tmp_path / "p.jsonl")).problems()[0].answer == "1"


@pytest.mark.parametrize(
    "more",
    [
        {"question": "Which is red?\n A. the sky\n B. Blood", "choices": ["A) The  sky", "B) blood"]},
        {"question": "Blood is red. Which is red?", "context": "Blood is red.", "options": None, "passage": " "},
        {"A": 1, "a": "x", "optional": "x", "story_id": "x", "instruction": None},
    ],
)
def test_columns_whose_text_is_in_the_prompt_are_no_matter(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(QUESTION | more))
    assert len(open_task(str(tmp_path / "p.jsonl")).problems()) == 1


@pytest.mark.parametrize(
    "system",
    ["s", [{"type": "text", "text": "s"}], ["s"], [SYSTEM], [{"from": "system", "value": "s", "content": None}]],
)
def test_system_prompts(tmp_path: Path, system: object) -> None:
    for column in ("system", "system_prompt"):
        assert row_of(tmp_path / "r.jsonl", {column: system, "prompt": "p", "response": "r"}).system == "s"


def test_a_blank_response_is_none(tmp_path: Path) -> None:
    for row in ({"prompt": "p", "response": " \n"}, {"messages": [USER, ASSISTANT | {"content": " "}]}):
        assert "a row without a response (line 1)" in refusal(tmp_path / "r.jsonl", json.dumps(row))


def test_null_keys_hide_nothing(tmp_path: Path) -> None:
    """Parquet gives every turn the keys of all."""
    mixed = [USER, {"from": "gpt", "value": "r"}]
    row = row_of(tmp_path / "r.parquet", {"conversations": mixed})
    assert (row.prompt, row.response) == ("u", "r")


def test_answers_in_a_list_of_one(tmp_path: Path) -> None:
    for answer, want in (["4"], "4"), ([0.5], "0.5"), ([True], "true"):
        (tmp_path / "r.jsonl").write_text(json.dumps({"prompt": "p", "answer": answer}))
        assert open_task(str(tmp_path / "r.jsonl")).problems()[0].answer == want


def test_whole_numbers_as_ids_are_their_digits(tmp_path: Path) -> None:
    row = {"prompt": "p", "response": "r"}
    text = "".join(json.dumps(row | {"id": id}) + "\n" for id in (5, "5"))
    assert "the id '5' is given twice (lines 1, 2)" in refusal(tmp_path / "r.jsonl", text)
    pq.write_table(pa.Table.from_pylist([row | {"id": id} for id in (5.0, None)]), tmp_path / "r.parquet")
    assert [r.id for r in open_task(str(tmp_path / "r.parquet")).rows()] == ["5", "r-000002"]


def test_row_names_of_pandas_and_r_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(",prompt,response\n7,p,r\n8,q,s\n")
    rows = open_task(str(tmp_path / "r.csv")).rows()
    assert [(row.prompt, row.response) for row in rows] == [("p", "r"), ("q", "s")]


def test_files_that_are_no_text(tmp_path: Path) -> None:
    row = json.dumps({"prompt": "p", "response": "é"}, ensure_ascii=False)
    for content, line in (
        (row.encode("utf-16"), "UTF-16"),
        (b"PAR1", "a Parquet file; name it .parquet"),
        (b"\n" + row.encode("latin-1"), "r.jsonl:2: not UTF-8 text"),
        (b"\xef\xbb\xbf", "empty"),
        (f"[{row}]".encode(), "for a list of objects, name the file .json"),
    ):
        (tmp_path / "r.jsonl").write_bytes(content)
        with pytest.raises(UserError, match=line):
            open_task(str(tmp_path / "r.jsonl"))
    (tmp_path / "r.jsonl").write_bytes(gzip.compress(row.encode())[:-9])
    with pytest.raises(UserError, match="cannot be read: Compressed file ended"):
        open_task(str(tmp_path / "r.jsonl"))
    pandas = r'df\.to_json\("rows\.jsonl", orient="records", lines=True\)'
    for name, content, line in (
        ("r.jsonl", "prompt\tresponse\np\tr\n", r"looks like CSV or TSV; name the file \.csv"),
        ("r.csv", "prompt,response\np,r,s\n", r"r\.csv row 1: 3 cells for 2 columns; quote cells that hold ','"),
        ("r.csv", 'prompt,response\np,"r\n', r"r\.csv: not CSV near line 2 \(unexpected end of data\)"),
        ("r.csv", "prompt,prompt\np,r\n", "its header names 'prompt' twice"),
        ("r.csv", ",prompt,\n0,p,r\n", "a column has no name"),
        ("r.csv", ",prompt,response\n0,p\n", "row 1: 2 cells for 3 columns"),
        ("r.csv", "prompt,response\n", "empty, it has no rows"),
        ("r.csv.gz", "PAR1", "a Parquet file"),
        ("r.json", '{"prompt": {"0": "p"}, "response": {"0": "r"}}', pandas),
        ("r.jsonl", '{"prompt": {"0": "p"}, "response": {"0": "r"}}', pandas),
        ("r.json", '{"prompt": ["p", "q"], "response": ["r", "s"]}', pandas),
        ("r.json", '{"columns": ["prompt"], "index": [0], "data": [["p"]]}', pandas),
        (
            "r.json",
            f'{{"version": "1", "the rows": [{row}]}}',
            r"""jq -c '\.\["the rows"\]\[\]' .*r\.json > rows\.jsonl""",
        ),
        ("r.jsonl", f'{{"data": [{row}]}}', "the rows are in the list 'data'"),
        ("r.json", row, r"name the file \.jsonl"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=line):
            open_task(f"rows:{tmp_path / name}")
    (tmp_path / "r.jsonl").write_bytes(b"\xef\xbb\xbf" + row.encode() + b"\r\n\r\n")
    assert open_task(str(tmp_path / "r.jsonl")).rows()[0].response == "é"


def measured(path: Path, rows: Sequence[Mapping[str, Any]], query: str, **changes: Any) -> list[int]:
    """The number of correct samples of each problem."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"samples": 1, "group_size": 1, "heldout": ""} | changes
    config = ReadinessConfig(checkpoints=(f"{path}{query}",), **options)
    with tempfile.TemporaryDirectory() as out:
        (counts,) = readiness(config, Path(out) / "run").per_problem.values()
    return counts.correct


def test_a_thought_is_no_answer(tmp_path: Path) -> None:
    """Whatever opens it, and where it never ends."""
    problems = tmp_path / "p.jsonl"
    problems.write_text(json.dumps({"id": 1, "prompt": "?", "answer": 4}))
    thoughts = [f"\n{opener}\\boxed{{4}}" for opener, _ in KNOWN]
    wrong = [*thoughts, *(text + close + " so 5" for text, (_, close) in zip(thoughts, KNOWN, strict=True))]
    right = ["\\boxed{4}", "5</think>4", *(f"{opener}5{close}4" for opener, close in KNOWN)]
    for texts, correct in (wrong, 0), (right, len(right)):
        rows = [{"problem_id": 1, "text": text} for text in texts]
        assert measured(tmp_path / "s.jsonl", rows, "", problems=str(problems), samples=len(rows)) == [correct]
    beside = [{"problem_id": 1, "thinking": "\\boxed{4}", "text": text} for text in ("5", "[THINK]4[/THINK]5")]
    assert measured(tmp_path / "s.jsonl", beside, "", problems=str(problems), samples=2) == [0]


def test_a_model_says_what_closes_its_thoughts() -> None:
    assert split_sample("a</think>b", "<end>", [("<begin>", "<end>"), *KNOWN]) == ("", "a</think>b")
    assert split_sample("a<end>b", "<end>", [("<begin>", "<end>"), *KNOWN]) == ("a", "b")
    assert split_sample("<begin>a</think>b<end>c", "<end>", [("<begin>", "<end>"), *KNOWN]) == ("a</think>b", "c")


def test_prompts_as_ids(tmp_path: Path) -> None:
    """As TRL writes completions: verified by the problems of the same prompts, whatever keys are null."""
    prompts = [[SYSTEM, USER], [USER]]
    pq.write_table(pa.Table.from_pylist([{"prompt": p, "answer": "a"} for p in prompts]), tmp_path / "p.parquet")
    rows = [{"prompt": [turn | {"name": None} for turn in p], "completion": [ASSISTANT]} for p in prompts]
    options = {"samples": 1, "problems": f"{tmp_path / 'p.parquet'}?id=prompt"}
    assert measured(tmp_path / "s.jsonl", rows, "?problem=prompt&text=completion", **options) == [1, 1]
    line = "'p-000001' is one of the problems, 'u' one of the table; name columns that hold the same"
    with pytest.raises(UserError, match=line):
        measured(tmp_path / "s.jsonl", rows[1:], "?problem=prompt&text=completion", problems=options["problems"][:-10])


def test_samples_of_other_tools(tmp_path: Path) -> None:
    problems = tmp_path / "p.jsonl"
    problems.write_text("".join(json.dumps({"id": i, "prompt": "?", "answer": i + 4}) + "\n" for i in range(2)))
    judged = {"strict": 0.0, "flexible": 1.0}
    lm_eval = [
        {"doc_id": i, "resps": [["so 4", "#### 5", "4"]], "filter": name, "exact_match": right}
        for i in range(2)
        for name, right in judged.items()
    ]
    alone = [row | {"resps": [row["resps"][0][:1]]} for row in lm_eval]
    path = tmp_path / "s.jsonl"
    assert measured(path, lm_eval, "?filter=strict", samples=3, problems=str(problems)) == [2, 1]
    for name, right in judged.items():
        assert measured(path, alone, f"?filter={name}&correct=exact_match") == [right] * 2
    chats = [
        {"prompt": [USER], "completion": [ASSISTANT | {"content": text}], "reward": float(text == "4")} for text in "45"
    ]
    assert measured(path, chats, "?problem=prompt&text=completion&correct=reward", samples=2, group_size=2) == [1]
    for rows, query, line in (
        (alone, "?correct=exact_match", r"once for each filter \('strict', 'flexible'\)"),
        (alone, "?correct=exact_match&filter=stric", "no row has filter = stric; did you mean strict?"),
        (lm_eval, "?correct=exact_match&filter=strict", "s.jsonl:1: 3 responses, but exact_match is one verdict"),
        (
            [{k: v for k, v in row.items() if k != "filter"} for row in alone],
            "?correct=exact_match",
            r"one response is both right and wrong \(lines 1, 2\)",
        ),
        (
            [{"problem_id": 1, "correct": 1}, {"problem_id": 1, "correct": None}],
            "",
            r"without text to verify \(line 2\)",
        ),
        ([{"problem_id": 1, "correct": float("nan")}], "", "s.jsonl:1: correct must be true or false, 1 or 0, not NaN"),
        ([{"problem_id": 1, "correct": 0.3}], "", "from which score on a sample is right"),
        ([{"problem_id": 1, "text": "x"}], "", "s.jsonl:1 is not verified yet: name its problems with problems="),
        ([{"problem_id": 1, "correct": 1, "logprobs": [None]}], "", "logprobs must be a list of numbers"),
    ):
        with pytest.raises(UserError, match=line):
            measured(path, rows, query)


def test_a_small_file_that_unfolds_to_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a megabyte could fill all memory."""
    monkeypatch.setattr("rlready.tasks.files.LEAST", 1 << 17)
    long = "x" * (1 << 18)
    for name, text in {
        "line.jsonl": f'{{"prompt": "{long}"}}',
        "lines.jsonl": '{"prompt": "x"}\n' * 10_000,
        "list.json": f"[{' ' * len(long)}{{}}]",
        "cell.csv": f'prompt\n"{long}"\n',
    }.items():
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
        with pytest.raises(UserError, match=rf"{name}: unfolds to more than 100 times its size; .*gunzip"):
            read_table(str(tmp_path / name))
        (tmp_path / name).write_bytes(text.encode())
        assert read_table(str(tmp_path / name)).rows


def test_a_small_parquet_file_that_unfolds_to_a_large_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It unfolds by a dictionary, also inside a list, by compression, or by the objects that hold its rows."""
    long, count = "x" * 10_000, 500
    again = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), [long])
    for name, column in {
        "text": pa.array([long] * count),
        "category": again,
        "turns": pa.array([[{"content": long}] * count]),
        "plain": pa.array([long * count]),
        "rows": pa.array([1] * 20_000),
    }.items():
        file = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"prompt": column}), file, compression="zstd")
        with monkeypatch.context() as patch:
            patch.setattr("rlready.runs.parquet.LEAST", 1 << 22)
            with pytest.raises(
                UserError, match=rf"{name}.parquet: its rows need more than 0.0 GiB, 100 times its size"
            ):
                read_table(str(file))
        assert read_table(str(file)).rows


def test_a_large_page_of_a_parquet_file_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the metadata say of it; a column in one page is read if it is compressed as texts are."""
    monkeypatch.setattr("rlready.runs.parquet.PAGE", 1 << 16)
    varied = "".join(map(str, range(40_000)))
    for codec, text, fits in (
        ("zstd", "x" * (1 << 17), False),
        ("gzip", "x" * (1 << 17), False),
        ("zstd", varied, True),
    ):
        pq.write_table(pa.table({"prompt": ["y", text]}), file := tmp_path / "t.parquet", compression=codec)
        if fits:
            assert len(read_table(str(file)).rows) == 2
            continue
        with pytest.raises(UserError, match=r"t.parquet: its rows need more than 0.5 GiB, 100 times its size"):
            read_table(str(file))


def test_a_parquet_file_with_maps_is_read_and_a_year_that_python_has_not_is_named(tmp_path: Path) -> None:
    """As Spark, Polars and DuckDB write them, in columns that no task asks for."""
    path = tmp_path / "t.parquet"
    columns: dict[str, Any] = {"prompt": ["1+1", "1+2"], "answer": ["2", "3"]}
    maps = pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table(columns | {"meta": maps}), path)
    assert [p.answer for p in open_task(str(path)).problems()] == ["2", "3"]
    late = pa.array([1 << 60, 0], pa.timestamp("ms"))
    pq.write_table(pa.table(columns | {"when": late}), path)
    with pytest.raises(
        UserError, match=r"t\.parquet: the column when cannot be read .*; write it as text, or leave it"
    ):
        open_task(str(path)).problems()


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_sizes_of_parquet_pages_are_those_that_arrow_has_written(tmp_path: Path, codec: str, version: str) -> None:
    """With the headers they add up to the size of the column, before and after compression."""
    some = pa.table({"a": [str(n) * (n % 9) for n in range(9000)], "b": [[n, 0.5] * (n % 3) for n in range(9000)]})
    file = tmp_path / "t.parquet"
    pq.write_table(some, file, compression=codec, data_page_version=version, data_page_size=1000, row_group_size=5000)
    for chunk in ParquetTable(file).chunks():
        pages = list(page_sizes(file, chunk))
        headers = chunk.total_uncompressed_size - sum(size for size, _ in pages)
        assert chunk.total_compressed_size - sum(compressed for _, compressed in pages) == headers
        assert 10 * len(pages) < headers < 100 * len(pages)
    damaged = bytearray(file.read_bytes())
    for at in (4, 5, 6, 7):
        damaged[at] = 0xFF
    file.write_bytes(damaged)
    with pytest.raises(UserError, match=r"t.parquet: not a Parquet file that can be read"):
        read_table(str(file))


def test_texts_of_a_parquet_file_are_unfolded_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlready.runs.parquet.AT_ONCE", 10_000)
    pq.write_table(pa.table({"a": ["x" * 1000, "y"] * 50, "b": [[1]] * 100}), tmp_path / "t.parquet")
    sizes = [batch.num_rows for batch, _ in ParquetTable(tmp_path / "t.parquet").batches(["a", "b"])]
    assert max(sizes) <= 10
    assert sum(sizes) == 100


@pytest.mark.parametrize("key", ["verifier", "prompt", "split"])
def test_an_option_that_is_empty_is_refused(key: str, tmp_path: Path) -> None:
    """As from a shell variable that is not set."""
    (tmp_path / "p.jsonl").write_text('{"prompt": "1+1", "answer": "2"}\n')
    with pytest.raises(UserError, match=f"{key}= is empty; leave it out"):
        open_task(f"{tmp_path / 'p.jsonl'}?{key}=")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_many_columns_is_read_in_time(ending: str, tmp_path: Path) -> None:
    """The time must not grow with the square of their number."""
    names = [f"c{i}" for i in range(20_000 if ending == "csv" else 3_000)]
    file = tmp_path / f"wide.{ending}"
    if ending == "csv":
        file.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    else:
        pq.write_table(pa.table({name: [1] for name in names}), file)
    begun = time.process_time()
    ((_, row),) = read_table(str(file)).rows
    assert time.process_time() - begun < 3
    assert len(row) == len(names)


QA = {"prompt": "2+2?", "response": "4"}


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"Complex_CoT": "we add both"}, "Complex_CoT"),
        ({"rationale": "we add both"}, "rationale"),
        ({"chain_of_thought": "we add both"}, "chain_of_thought"),
        ({"deepseek_thinking_trajectory": "we add both"}, "deepseek_thinking_trajectory"),
        ({"extra_info": {"reasoning": "we add both", "index": 3}}, "extra_info.reasoning"),
    ],
)
def test_thoughts_under_another_name_are_not_dropped(columns: dict[str, Any], named: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with pytest.raises(
        UserError, match=f"the column {named} seems to hold a thought, which is not read; write thinking="
    ):
        row_of(file, QA | columns)
    assert row_of(file, QA | columns, f"?thinking={named}").thinking == "we add both"
    assert row_of(file, QA | columns, "?thinking=").thinking is None
    assert [p.prompt for p in open_task(f"rows:{file}?answer=response").problems()] == ["2+2?"]  # RL needs no thought


@pytest.mark.parametrize(
    "columns",
    [
        {"thinking": "we add both", "rationale": "another one here"},
        {"rationale": "4"},  # the response has it
        {"rationale": "", "cot": None},
        {"thinking_tokens": 5, "reasoning_type": "sum", "thoughtful": "no"},
        {"cot": "no", "metadata": {"reasoning": "multi-hop"}},
    ],
)
def test_other_columns_beside_a_response(columns: dict[str, Any], tmp_path: Path) -> None:
    assert row_of(tmp_path / "rows.jsonl", QA | columns).response == "4"
