"""Choosing rows of a pool by length, the same for every kind of source."""

import json
from pathlib import Path

import pytest

from rlready.core.errors import UserError
from rlready.core.records import Row
from rlready.tasks import Task, open_task
from rlready.tasks.held_out import held_out_of
from rlready.tasks.overlap import split_off

POOL = "dagmath?ops=3-8&asked=2&n=60&seed=4"


def length(row: Row) -> int:
    return len(row.thinking or "") + len(row.response)


def chosen(kind: str, n: int, of: int = 60) -> Task:
    return open_task(POOL.replace("n=60", f"n={n}&select={kind}&of={of}"))


def test_each_kind_selects_the_documented_rows() -> None:
    """Lengths are those of the sorted pool; problems go with their rows; a smaller n is a prefix of a larger one."""
    pool = open_task(POOL)
    ordered = sorted(map(length, pool.rows()))
    found = {kind: chosen(kind, 10) for kind in ("shortest", "longest", "halves", "random")}
    lengths = {kind: [length(row) for row in task.rows()] for kind, task in found.items()}
    assert lengths["shortest"] == ordered[:10]
    assert lengths["longest"] == ordered[::-1][:10]
    assert sorted(lengths["halves"]) == ordered[:5] + ordered[-5:]
    assert len({row.id for row in found["random"].rows()}) == 10
    assert lengths["random"] != [length(row) for row in pool.rows()[:10]]
    by_id = {p.id: p for p in pool.problems()}
    for kind, task in found.items():
        assert [by_id[row.id] for row in task.rows()] == task.problems()
        assert chosen(kind, 4).rows() == task.rows()[:4]
        assert {row.id for row in chosen(kind, 60).rows()} == by_id.keys()
        problem, row = task.problems()[0], task.rows()[0]
        assert task.verify(problem, row.thinking or "", row.response).strict


def test_ties_keep_their_order(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    lengths = (2, 1, 2, 3, 2)
    lines = [{"id": i, "prompt": "p", "response": "x" * size} for i, size in enumerate(lengths)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    wanted = {"shortest": "10243", "longest": "30241", "halves": "13024"}
    for kind, ids in wanted.items():
        assert "".join(row.id for row in open_task(f"{rows}?n=5&select={kind}").rows()) == ids


def test_an_escaped_option_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"Q&A": f"{n}?", "answer": "1", "response": "1" * n}) + "\n" for n in (3, 1, 2)))
    task = open_task(f"{file}?n=2&select=shortest&prompt=Q%26A")
    assert [problem.prompt for problem in open_task(task.source).problems()] == ["1?", "2?"]


def test_sources_are_canonical_and_read_back() -> None:
    default = open_task("dagmath?ops=3-8&seed=0&n=10&select=random&of=60")
    assert "seed" not in default.source
    assert open_task(default.source).rows() == default.rows()
    task = open_task("dagmath?of=60&seed=4&select=shortest&asked=2&ops=3-8&n=10")
    assert task.source == "dagmath?ops=3-8&asked=2&seed=4&n=10&select=shortest&of=60"
    assert open_task(task.source).rows() == task.rows()
    assert open_task(task.source, limit=3).rows() == task.rows()[:3]
    assert "10 of the first 60 rows, the shortest" in task.description


def test_rows_and_gsm8k_files(tmp_path: Path) -> None:
    """Without of= the whole file is the pool; a file of rows without answers will do for SFT."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": i, "prompt": "p", "response": "x" * i}) + "\n" for i in (3, 1, 2)))
    assert [r.id for r in open_task(f"{rows}?n=2&select=longest").rows()] == ["3", "2"]
    gsm8k = tmp_path / "train.jsonl"
    lines = [{"question": f"q{i}", "answer": f"{'step ' * i}\n#### {i}"} for i in (5, 1, 3)]
    gsm8k.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = open_task(f"gsm8k:{gsm8k}?n=2&select=shortest")
    assert [p.answer for p in task.problems()] == ["1", "3"]
    assert task.path == gsm8k


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("n=5&of=9", "add select=random"),
        ("select=short&n=5&of=9", "select=short is not one of shortest, longest"),
        ("select=random&of=9", "needs n="),
        ("select=random&n=5", "of="),
        ("select=random&n=9&of=5", "n=9 is more than the 5 rows"),
        ("select=random&n=5&of=many", "of=many is not a whole number"),
    ],
)
def test_bad_selections_are_one_clear_line(options: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_task(f"dagmath?{options}").rows()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choice", ["held_out=1", "n=12&select=random"])
def test_the_verifier_of_the_pool_gets_a_batch(tmp_path: Path, choice: str) -> None:
    """One request for all responses, as of the whole file, and not one for each."""
    (tmp_path / "judge.py").write_text("def same(problem, answer):\n    return answer == problem.answer\n")
    lines = [json.dumps({"prompt": f"{i}?", "response": "5", "answer": "5"}) for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    task = open_task(f"{tmp_path}/rows.jsonl?verifier={tmp_path}/judge.py:same&{choice}")
    problems = task.problems()
    verdicts = task.verify_batch([(problem, ("", str(i % 2 + 4))) for i, problem in enumerate(problems)])
    assert verdicts is not None
    assert [verdict.correct for verdict in verdicts] == [i % 2 == 1 for i in range(len(problems))]


def test_what_training_holds_out_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows that sft splits off its rows, whatever else is chosen of them."""
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"id": f"r{i}", "prompt": f"{i}?", "response": "5", "answer": "5"}) for i in range(40)]
    Path("rows.jsonl").write_text("\n".join(lines))
    for source in ("rows.jsonl", "rows.jsonl?n=30", "rows.jsonl?n=30&select=random"):
        task = open_task(held_out_of(source))
        assert task.rows() == split_off(open_task(source).rows(), source, "heldout")[1]
        assert [p.id for p in task.problems()] == [row.id for row in task.rows()]
        assert open_task(task.source).rows() == task.rows()
    with pytest.raises(UserError, match="held_out=0 is not 1; leave it out for all rows"):
        open_task("rows.jsonl?held_out=0")
