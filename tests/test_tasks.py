"""Sources, verifiers, the chance level, and one clear line for every bad input."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.tasks import open_task
from rlready.tasks.dagmath.graph import template
from rlready.tasks.dagmath.meta import from_meta
from rlready.tasks.guess_baseline import guess_pass_at_k, majority, two_fold
from rlready.tasks.other_problems import other_problems, training_problems

DEMO = "dagmath?ops=8&asked=3"
WORDS = "dagmath?ops=8&asked=2&rendering=words&split=test&n=5"


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


# ------------------------------------------------------------------------------------------- dagmath


def test_same_source_same_problems_and_n_is_a_prefix() -> None:
    small, large = (open_task(f"{DEMO}&split=test&seed=5&n={n}") for n in (20, 40))
    assert large.problems()[:20] == small.problems()
    assert large.rows()[:20] == small.rows()
    assert open_task(large.source).problems() == open_task(large.source, limit=900).problems() == large.problems()
    assert open_task(large.source, limit=20).source == small.source == f"{DEMO}&split=test&n=20&seed=5"
    assert [p.id for p in small.problems()][:2] == ["dag-test-5-000000", "dag-test-5-000001"]
    assert [(r.id, r.prompt) for r in small.rows()] == [(p.id, p.prompt) for p in small.problems()]
    assert len({p.prompt for p in large.problems()}) == 40
    assert open_task(f"{DEMO}&seed=6&n=20").problems() != open_task(f"{DEMO}&seed=7&n=20").problems()


def test_other_problems_are_like_those_of_the_source_and_none_of_them() -> None:
    """Another seed of a file would choose some of the same."""
    assert other_problems("dagmath?ops=5&split=test&n=64&seed=1005") == "dagmath?ops=5&split=test&n=64&seed=1006"
    assert other_problems("dagmath") == "dagmath?seed=1"
    assert other_problems("gym:chain_sum?seed=2&n=48", at_least=100) == "gym:chain_sum?seed=3&n=100"
    source = "dagmath?ops=6&split=train&n=48&seed=1003"
    found = other_problems(source, at_least=1000)
    assert found
    others = {problem.prompt for problem in open_task(found).problems()}
    assert len(others) > 900
    assert not others & {problem.prompt for problem in open_task(source).problems()}
    assert other_problems("problems.jsonl?n=64&seed=1005") is None
    assert training_problems("problems.jsonl?n=64&seed=1005", 1000) is None


def test_problems_to_train_on_are_never_of_the_test_split() -> None:
    assert training_problems("dagmath?ops=5&split=test", 1000) == "dagmath?ops=5&split=train&seed=1"
    assert training_problems("dagmath?ops=5&split=all&n=2000", 1000) == "dagmath?ops=5&split=all&n=2000&seed=1"


def test_train_and_test_share_no_template() -> None:
    templates = [
        {template(from_meta(p.meta)[0]) for p in open_task(f"{DEMO}&split={split}&n=150").problems()}
        for split in ("train", "test")
    ]
    assert not templates[0] & templates[1]


@pytest.mark.parametrize("source", [f"{DEMO}&n=5", WORDS, f"{WORDS}&modulus=23"])
def test_worked_rows_verify_also_from_a_file(source: str) -> None:
    task = open_task(source)
    for problem, row in zip(task.problems(), task.rows(), strict=True):
        stored = Problem(**json.loads(json.dumps(vars(problem))))
        assert task.verify(stored, row.thinking or "", f" \n{row.response} ").strict
        assert task.verify(stored, "", row.response).correct
        assert not task.verify(stored, row.thinking or "", row.response.replace("1", "2") + " 3").correct


def test_strict_means_that_steps_count() -> None:
    loose, strict = open_task(f"{DEMO}&n=1"), open_task(f"{DEMO}&n=1&strict=1")
    problem, row = loose.problems()[0], loose.rows()[0]
    lucky = loose.verify(problem, "", row.response)
    assert (lucky.correct, lucky.strict) == (True, False)
    assert "was asked for but not solved" in lucky.reason
    assert not strict.verify(problem, "", row.response).correct
    assert strict.verify(problem, row.thinking or "", row.response).correct


def test_words_answers_are_read_from_prose() -> None:
    task = open_task(WORDS)
    problem = task.problems()[0]
    a, b = problem.answer.split(", ")
    for text in (f"The answer is {a} and {b}.", f"\\boxed{{{a}, {b}}}", f"so\n#### {a}, {b}\n"):
        assert task.verify(problem, "", text).correct, text
    for text in (f"{b}1, {a}", a, f"{a}, {b}, {b}", ""):
        assert not task.verify(problem, "", text).correct, text


def test_the_chance_level_of_the_demo_is_low() -> None:
    task = open_task(f"{DEMO}&split=test&n=400&seed=5")
    chance = task.chance([1, 8, 64])
    assert 0 <= chance[1] <= chance[8] <= chance[64] < 0.05
    assert majority([task.answer_key(p) for p in task.problems()])[1] < 0.02


def test_the_chance_level_is_estimated_on_other_problems() -> None:
    assert majority(["a", "b", "b"]) == ("b", 2 / 3)
    assert guess_pass_at_k(["a", "a", "b", "c"], ["a", "b", "c", "d"], 2) == 0.5
    assert two_fold([str(i) for i in range(10)], [100]) == {100: 0.0}
    assert two_fold(["x"] * 5, [1]) == {1: 1.0}


# ---------------------------------------------------------------------------------------- gsm8k, rows

GSM8K = [
    {"question": "Half of 48?", "answer": "48/2 = <<48/2=24>>24\n#### 24"},
    {"question": "Twice 1140?", "answer": "It is 1140*2 = $<<1140*2=2280>>2280.\n#### 2,280"},
    {"question": "None?", "answer": "Nothing.\n#### 0"},
]


def test_gsm8k_rows_and_verifier(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", GSM8K)
    task = open_task(f"gsm8k:{tmp_path}?split=test")
    assert [p.answer for p in task.problems()] == ["24", "2280", "0"]
    row = task.rows()[1]
    assert (row.id, row.thinking, row.response) == ("gsm8k-test-00001", "It is 1140*2 = $2280.", "#### 2280")
    assert "<<48/2=24>>" in (open_task(f"gsm8k:{tmp_path}/train.jsonl?calculator=keep").rows()[0].thinking or "")
    for problem, worked, raw in zip(task.problems(), task.rows(), GSM8K, strict=True):
        assert task.verify(problem, "", worked.response).correct
        assert task.verify(problem, "", raw["answer"]).correct
        assert not task.verify(problem, "", "#### 7").correct
    shuffled = [open_task(f"gsm8k:{tmp_path}?seed=1&n={n}").problems() for n in (2, 3)]
    assert shuffled[1][:2] == shuffled[0]


def test_answers_of_gsm8k_keep_their_value(tmp_path: Path) -> None:
    for last, want in {"1 1/2": "1 1/2", "$1,000": "1000", "1 000.": "1000", "0,25": "0,25", "-\u00a03": "-3"}.items():
        (tmp_path / "g.jsonl").write_text(json.dumps({"question": "q", "answer": f"so\n#### {last}"}))
        assert open_task(f"gsm8k:{tmp_path / 'g.jsonl'}").problems()[0].answer == want


def test_data_sets_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real data set, in memory; a small download with large rows is refused."""
    asked, size = [], 1 << 10

    def load_dataset(*args: object, **options: object) -> datasets.Dataset:
        asked.append((args, options))
        return datasets.Dataset.from_list(GSM8K, info=datasets.DatasetInfo(download_size=size))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: None)
    task = open_task("gsm8k:openai/gsm8k?split=test")
    assert (task.licence, len(task.problems())) == ("mit", 3)
    assert [p.answer for p in open_task("openai/gsm8k?config=main&revision=v1").problems()] == ["24", "2,280", "0"]
    assert asked == [
        (("openai/gsm8k", "main"), {"split": "test", "revision": None}),
        (("openai/gsm8k", "main"), {"split": "train", "revision": "v1"}),
    ]
    monkeypatch.setattr("rlready.runs.parquet.LEAST", 1 << 10)
    assert len(open_task("openai/gsm8k?config=main").problems()) == 3
    size = 10
    with pytest.raises(UserError, match=r"openai/gsm8k: its rows need more than 0.0 GiB, 100 times its size or more"):
        open_task("openai/gsm8k?config=main")


def test_the_hub_is_asked_once_and_only_for_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "problems.jsonl", GSM8K)
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/train.jsonl", GSM8K)
    asked = []

    def dataset_info(self: object, path: str, **_: object) -> None:
        asked.append(path)
        if path == "nobody/nothing":
            raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)
        if path == "some/configs":
            return
        raise OSError("no route to host")

    def load_dataset(path: str, *_: object, **__: object) -> None:
        if path == "some/configs":
            raise ValueError(
                "Config name is missing.\nPlease pick one among the available configs: ['a', 'b']\nExample"
            )
        assert offline.HF_HUB_OFFLINE  # else it retries for half a minute
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub")

    offline = SimpleNamespace(HF_HUB_OFFLINE=False)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, config=offline))
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
    for source, line in {
        "problms.jsonl": "problms.jsonl: no such file or folder; did you mean problems.jsonl?",
        "data/trian": "data/trian: no such file or folder; did you mean data/train.jsonl?",
        "gsm8k:dat": "dat: no such file or folder; did you mean data?",
        "problms": "problms: no such file or folder; did you mean problems.jsonl?",
        "/nowhere/p.jsonl": "/nowhere/p.jsonl: no such file or folder; there is no /nowhere",
        "~/n0thing.jsonl": "/n0thing.jsonl: no such file or folder",
        "some/offline": "some/offline: no such file or folder, and the Hugging Face hub cannot be reached",
        "nobody/nothing": "nobody/nothing: no such file or folder, and no such data set on the Hugging Face hub",
        "some/configs": "some/configs: choose one of its configurations with ?config=: ['a', 'b']",
    }.items():
        with pytest.raises(UserError) as caught:
            open_task(source)
        assert line in str(caught.value)
    assert asked == ["some/offline", "nobody/nothing", "some/configs"]
    assert not offline.HF_HUB_OFFLINE
    Path("broken.csv").symlink_to("broken.csv")
    with pytest.raises(UserError, match=r"^broken\.csv: no such file or folder$"):  # it is not the one that is meant
        open_task("broken.csv")


def test_rows_of_every_kind_of_file_and_shape(tmp_path: Path) -> None:
    rows: list[object] = [
        {"prompt": "1+1?", "response": "<think>one and one</think> 2", "answer": 2, "level": 1},
        {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}], "answer": "4"},
        {"prompt": "3+3?", "thinking": "three twice", "response": "6", "answer": "6", "id": "three"},
    ]
    jsonl = write(tmp_path / "r.jsonl", rows)
    (tmp_path / "r.json").write_text(json.dumps(rows))
    found = [(r.prompt, r.thinking, r.response) for r in open_task(jsonl).rows()]
    assert found == [("1+1?", "one and one", "2"), ("2+2?", None, "4"), ("3+3?", "three twice", "6")]
    assert open_task(jsonl).rows() == open_task(f"rows:{tmp_path / 'r.json'}").rows()
    problems = open_task(jsonl).problems()
    assert [p.id for p in problems] == ["r-000001", "r-000002", "three"]
    assert problems[0].meta == {"level": 1}
    assert open_task(jsonl).verify(problems[0], "", "I say \\boxed{2}").correct
    pq.write_table(pa.table({"q": ["a", "b"], "a": ["1", "2"]}), tmp_path / "r.parquet")
    task = open_task(f"rows:{tmp_path / 'r.parquet'}?prompt=q&answer=a&n=1")
    assert [(p.prompt, p.answer) for p in task.problems()] == [("a", "1")]


def test_verifier_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mychecks.py").write_text(
        "def longest(problem, answer):\n    return len(answer) <= problem.meta['most']\n\ndef one(problem): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = write(tmp_path / "r.jsonl", [{"prompt": "Be brief.", "most": 3}, {"prompt": "Be brief!"}])
    task = open_task(f"rows:{path}?verifier=mychecks:longest")
    first, second = task.problems()
    assert task.verify(first, "", "yes").correct
    assert not task.verify(first, "", "certainly").correct
    assert task.verify(second, "", "yes").reason == "it raised KeyError: 'most'"
    for name, line in {
        "mychecks": "write it as pkg.module:name",
        "nowhere:f": "nowhere cannot be imported",
        "mychecks:nothing": "has no 'nothing'",
        "mychecks:one": r"takes \(problem\), but must take \(problem, answer\)",
    }.items():
        with pytest.raises(UserError, match=line):
            open_task(f"rows:{path}?verifier={name}")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("dagmath?opps=8", "unknown key 'opps'; did you mean ops?"),
        ("dagmath?ops=many", "ops=many is not a whole number or a range such as 6-8"),
        ("dagmath?ops=8-6", "ops=8-6 is not a range that ascends, as 6-8"),
        ("dagmath?ops=0-3", "ops must satisfy 1 <= low <= high"),
        ("dagmath?ops=20-24", "up to 29 parameters, but symbols has only 26 variable names"),
        ("dagmath?rendering=word", "rendering=word is not one of symbols, words"),
        ("dagmath?modulus=x", "modulus=x is not a whole number"),
        ("dagmath?strict=maybe", "strict=maybe is not 0 or 1"),
        ("dagmath?abstract=2", "abstract and keep_zero are probabilities"),
        ("dagmath?n=0", "n=0 leaves no problem"),
        ("dagmath?n=1&n=2", "'n=2' is given twice"),
        ("dagmath?ops", "'ops' is not key=value"),
        ("dagmath:file", "dagmath takes no path"),
        ("dagmth?ops=8", "its kind 'dagmth' is unknown, did you mean dagmath?"),
        ("gsm8k", "name a file: gsm8k:PATH"),
        ("missing.jsonl", "missing.jsonl: no such file"),
        ("gsm8k:no-owner", "no-owner: no such file"),
        ("gsm8k:openai/gsm8k", "pip install 'rlready[hub]'"),
    ],
)
def test_bad_sources(source: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError) as caught:
        open_task(source)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_split_that_never_comes_up_is_an_error() -> None:
    with pytest.raises(UserError, match="too few templates, ask for more operations"):
        open_task("dagmath?ops=1&redundant=0&abstract=0&split=test").problems()


GOOD = {"prompt": "p", "response": "r", "answer": "1"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "r.jsonl: empty"),
        ('{"prompt": "p"}\n\n{"prompt": oops}\n', "r.jsonl:3: not JSON (Expecting value at column 12)"),
        ("[1, 2]\n", "r.jsonl:1: expected an object with named columns, not list"),
        (
            '{"q": "p", "a": 1}\n',
            "response, output, solution); its columns are q, a: name the right ones, as in ",
        ),
        ('{"prompt": "p"}\n{"question": "p"}\n', "r.jsonl:2: no column 'prompt'; known: question"),
        ('{"prompt": ["p"]}\n', "r.jsonl:1: prompt must be a list of {role, content}, not list of str"),
        (
            '{"prompt": "p", "answer": [1, 2]}\n',
            "r.jsonl:1: answer must be one text or number, not list; write it as one text",
        ),
        ('{"prompt": " "}\n', "r.jsonl:1: the prompt is empty"),
        ('{"prompt": "p", "id": "x"}\n' * 2, "the id 'x' is given twice (lines 1, 2)"),
        ('{"messages": "hello"}\n', "r.jsonl:1: messages must be a list of {role, content}"),
        (
            '{"messages": [{"role": "assistant", "content": "x"}]}\n',
            "must be [system,] user[, assistant], not assistant",
        ),
        (json.dumps(GOOD) + '\n{"prompt": "p"}\n', "r.jsonl: a row without a response (line 2); add it"),
        ('{"prompt": "p"}\n' * 7, "7 of 7 rows without a response (lines 1, 2, 3, 4, 5, …)"),
        ('{"prompt": "p", "response": "<think>cut off"}\n', "a row without a response (line 1)"),
    ],
)
def test_bad_rows(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(UserError) as caught:
        open_task(str(tmp_path / "r.jsonl")).rows()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path: Path) -> None:
    unanswered = write(tmp_path / "r.jsonl", [GOOD, {"prompt": "p"}])
    bad_number = write(tmp_path / "g.jsonl", [GSM8K[0], {"question": "?", "answer": "no idea"}])
    (tmp_path / "x.parquet").write_text("no")
    (tmp_path / "x.json").write_text('{"prompt": "p"}')
    for source, line in {
        unanswered: "a row without an answer to verify against (line 2)",
        f"gsm8k:{bad_number}": "g.jsonl:2: the answer does not end in '#### <number>'",
        f"gsm8k:{bad_number}?split=test": "split= chooses a file in a folder",
        f"{unanswered}?split=test": "split= is for a data set on the hub",
        str(tmp_path / "x.parquet"): "not a Parquet file",
        str(tmp_path / "x.json"): "expected a list of objects, not dict",
    }.items():
        with pytest.raises(UserError) as caught:
            open_task(source).problems()
        assert line in str(caught.value)


def test_fewer_rows_than_are_asked_for_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "three.jsonl"
    path.write_text("".join(f'{{"prompt": "1 + {n}", "answer": "{n + 1}"}}\n' for n in range(3)))
    assert len(open_task(f"{path}?n=3").problems()) == 3
    assert "fewer" not in capsys.readouterr().err
    assert len(open_task(f"{path}?n=100").problems()) == 3
    assert f"{path}: has 3 rows, fewer than n=100 asks for" in capsys.readouterr().err
