"""The same problems in each form in which people keep them give the same problems, and so the same samples."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.progress import SCREEN
from rlready.readiness.stage import readiness
from rlready.tasks import open_task

PROBLEMS = open_task("dagmath?ops=2&split=all&n=6&seed=1").problems()
QUESTIONS = [(p.prompt, p.answer.rpartition(" ")[2]) for p in PROBLEMS]
Rows = list[dict[str, Any]]


def turns(text: str) -> Rows:
    return [{"role": "user", "content": text}]


SHAPES: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    "prompt": lambda q, a: {"prompt": q, "answer": a},
    "gsm8k": lambda q, a: {"question": q, "answer": f"We add.\n#### {a}"},
    "math": lambda q, a: {"Problem": q, "Solution": f"It is \\boxed{{{a}}}.", "Answer": int(a)},
    "query": lambda q, a: {"query": q, "ground_truth": a},
    "input": lambda q, a: {"input": q, "target": a, "instruction": None},
    "trl": lambda q, a: {"prompt": turns(q), "completion": None, "solution": a},
    "messages": lambda q, a: {"messages": [*turns(q), {"role": "assistant", "content": a}], "final_answer": a},
    "verl": lambda q, a: {
        "data_source": "d",
        "prompt": turns(q),
        "reward_model": {"style": "rule", "ground_truth": a},
        "extra_info": {"split": "train"},
    },
}


def jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Rows, separator: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def shards(folder: Path, rows: Rows) -> Path:
    """Ten and more, of which part-10 comes after part-9; with a file that is no table."""
    folder.mkdir()
    (folder / "README.md").write_text("about")
    for at in range(11):
        pq.write_table(
            pa.Table.from_pylist(rows[:1] if at == 9 else rows[1:] if at == 10 else []), folder / f"p-{at}.parquet"
        )
    return folder


def compressed(path: Path, rows: Rows) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def parquet(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def listed(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps(rows, indent=1))
    return path


FILES: Mapping[str, Callable[[Path, Rows], Path]] = {
    "p.jsonl": jsonl,
    "p.json": listed,
    "lines/p.json": jsonl,
    "p.jsonl.gz": compressed,
    "p.parquet": parquet,
    "p": shards,
}


def rows_of(shape: str) -> Rows:
    return [SHAPES[shape](question, answer) for question, answer in QUESTIONS]


def asked(source: str) -> list[tuple[str, str, str]]:
    return [(p.id, p.prompt, p.answer) for p in open_task(source).problems()]


@pytest.mark.parametrize("name", FILES)
def test_every_shape_in_every_file(name: str, tmp_path: Path) -> None:
    want = [(f"p-{at:06d}", q, a) for at, (q, a) in enumerate(QUESTIONS, start=1)]
    for shape in SHAPES:
        path = tmp_path / shape / name
        path.parent.mkdir(parents=True)
        assert asked(str(FILES[name](path, rows_of(shape)))) == want, shape


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_keeps_every_character(separator: str, tmp_path: Path) -> None:
    rows = [{"question": 'say "a, b;\tc"\nand é ', "answer": "007"}, {"question": "q", "answer": "1.50"}]
    path = write_csv(tmp_path / "p.csv", rows, separator)
    assert asked(str(path)) == [(f"p-{at:06d}", r["question"], r["answer"]) for at, r in enumerate(rows, start=1)]
    assert asked(str(compressed_copy(path))) == asked(str(path))
    write_csv(path, [*rows, {"question": "r", "answer": ""}], separator)
    with pytest.raises(UserError, match=r"p\.csv: a row without an answer to verify against \(row 3\)"):
        asked(str(path))


def compressed_copy(path: Path) -> Path:
    copy = path.with_name(f"{path.name}.gz")
    copy.write_bytes(gzip.compress(path.read_bytes()))
    return copy


def test_the_same_samples_from_every_form(tmp_path: Path) -> None:
    sources = [
        write_csv(tmp_path / "p.csv", rows_of("gsm8k")),
        jsonl(tmp_path / "p.jsonl", rows_of("messages")),
        shards(tmp_path / "p", rows_of("verl")),
    ]
    found = []
    for at, source in enumerate(sources):
        config = ReadinessConfig(checkpoints=("embedded",), problems=str(source), heldout="", samples=4, group_size=2)
        result = readiness(config, tmp_path / f"out-{at}")
        found.append((result.per_problem, result.checkpoints))
    assert found[0] == found[1] == found[2]
    assert sum(sum(counts.correct) for counts in found[0][0].values()) > 0


def test_what_was_guessed_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(SCREEN, "print", lambda text, **_: said.append(text))
    path = jsonl(tmp_path / "p.jsonl", rows_of("gsm8k"))
    for _ in range(2):
        task = open_task(str(path))
        task.problems()
    assert said == [f"{path}: reading problems from column 'question', answers from 'answer'"]
    assert "problems from column 'question', verified" in task.description
    assert task.problems()[0].meta == {"question": QUESTIONS[0][0]}
    with pytest.raises(UserError, match=r"without a response .*; for the solutions of GSM8K, write gsm8k:.*p\.jsonl"):
        task.rows()
    asked(str(jsonl(tmp_path / "q.jsonl", rows_of("prompt"))))
    assert len(said) == 2  # only the responses that were not there
    alpaca = jsonl(tmp_path / "r.jsonl", [{"instruction": "p", "input": "", "output": "r"}])
    assert open_task(str(alpaca)).rows()[0].response == "r"
    assert said[2:] == [f"{alpaca}: reading problems from column 'instruction', responses from 'output'"]


def test_ids_of_verl_are_read_where_they_are_named(tmp_path: Path) -> None:
    """The index counts within a split, so it is no id by itself."""
    rows = rows_of("verl")
    for at, row in enumerate(rows):
        row["extra_info"]["index"] = at + 7
    path = str(parquet(tmp_path / "p.parquet", rows))
    assert asked(path)[0][0] == "p-000001"
    named = asked(f"{path}?id=extra_info.index")
    assert [id for id, *_ in named] == ["7", "8", "9", "10", "11", "12"]


def test_splits_in_a_folder(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001-0123456789abcdef"):
        parquet(tmp_path / f"{name}.parquet", [{"prompt": name, "answer": "1"}])
    (tmp_path / "up/down").mkdir(parents=True)
    jsonl(tmp_path / "up/down/train.jsonl", rows_of("prompt"))
    assert len(asked(f"{tmp_path}?split=train")) == 2
    assert len(asked(f"{tmp_path}?split=test")) == 1
    for source, line in {
        str(tmp_path): r"holds several tables \(test, train\); name a file in it, or choose: \?split=test",
        f"{tmp_path}?split=dev": "no file of the split 'dev'; the folder has test, train",
        f"{tmp_path}?config=main&split=test": "config= is for a data set on the hub, but .* is a folder",
        str(tmp_path / "up"): "a folder without tables; those are in its folders down: name one of them",
    }.items():
        with pytest.raises(UserError, match=line):
            asked(source)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.txt", "a folder without tables; name a file"),
        ("data-00000-of-00001.arrow", r"written by save_to_disk; .*to_parquet\(\"problems.parquet\"\)"),
    ],
)
def test_folders_without_tables(name: str, line: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=line):
        open_task(str(tmp_path))


def refused(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    with pytest.raises(UserError) as caught:
        asked(str(jsonl(path, [dict(row) for row in rows])))
    return str(caught.value)


def test_columns_that_cannot_be_guessed(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    line = refused(path, [{"aufgabe": "p", "loesung": "1", "\x1b[31m": 1}])
    assert "its columns are aufgabe, loesung, '\\x1b[31m': name the right ones, as in " in line
    assert f'"{path}?prompt=aufgabe&answer=loesung"' in line
    line = refused(path, [{"question": "p", "loesung": "1"}])
    assert f'"{path}?answer=loesung", or a verifier=pkg.module:function in place of answer=' in line
    assert asked(f"{path}?answer=loesung") == [("p-000001", "p", "1")]


@pytest.mark.parametrize(
    ("given", "proposed"),
    [
        ("", "prompt=exercise&answer=result"),
        ("?prompt=exercise", "prompt=exercise&answer=result"),
        ("?answer=result&n=1", "answer=result&n=1&prompt=exercise"),
        ("?n=1&seed=3", "n=1&seed=3&prompt=exercise&answer=result"),
    ],
)
def test_a_proposal_names_all_missing_columns_and_works(given: str, proposed: str, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"result": 1, "exercise": "p"}])
    with pytest.raises(UserError) as caught:
        asked(f"{path}{given}")
    assert f'as in "{path}?{proposed}"' in str(caught.value)
    assert asked(f"{path}?{proposed}") == [("p-000001", "p", "1")]


def test_a_proposal_for_worked_rows_names_their_responses(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"exercise": "p", "worked": "r"}])
    with pytest.raises(
        UserError, match=r"no column of problems .* and none of responses .*\?prompt=exercise&response=wor"
    ):
        open_task(str(path)).rows()
