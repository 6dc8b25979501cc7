"""A verifier of the user's own: every way to call it, everything it may return, and nothing by silence."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from rlready.cli.main import main
from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.core.import_path import load_object
from rlready.core.records import Thought
from rlready.readiness.result import ReadinessResult
from rlready.runs.log import append_line
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from rlready.tasks import Task, open_task, verify_all
from rlready.tasks.turns import split_sample

MODULE = """
import functools, sys
import numpy as np
from types import SimpleNamespace
from rlready.tasks import Verdict

def always(value):
    return lambda problem, answer: value

def equal(problem, answer):
    return answer == problem.answer

class Equal:
    def __call__(self, problem, answer):
        return np.bool_(answer == problem.answer)

class Later:
    async def __call__(self, problem, answer):
        return True

async def later(problem, answer):
    return True

def yields(problem, answer):
    yield True

def within(limit, problem, answer):
    return int(answer == problem.answer)

def raises(problem, answer):
    raise ValueError("always\\x1b[31m")

def some(problem, answer):
    return {"1": True, "2": True, "3": False}[answer]

def exits(problem, answer):
    sys.exit(0)

def prints(problem, answer):
    print("PRINTED")
    return True

def score(problem, answer):
    return 0.7 if answer == problem.answer else 0.2

def trl(prompts, completions, answer, level, log_extra, **kwargs):
    log_extra("answer", answer)
    assert prompts == ["one?"] or prompts == ["two?"]
    return [1.0 if c == a and n > 0 else 0.0 for c, a, n in zip(completions, answer, level)]

def messages(completions, solution, **kwargs):
    return np.array([float(c[0]["content"] == str(s)) for c, s in zip(completions, solution)])

def unscored(completions, **kwargs):
    return [None] * len(completions)

def one_score(completions, **kwargs):
    return 1.0

def column(completions, nowhere, **kwargs):
    return [1.0]

def verl(data_source, solution_str, ground_truth, extra_info=None):
    return float(solution_str == str(ground_truth) and extra_info["index"] >= 0 and data_source == "sums")

def dapo(solution_str, ground_truth, **kwargs):
    right = solution_str == str(ground_truth)
    return {"score": 1.0 if right else -1.0, "acc": right}

def minus(solution_str, ground_truth):
    return 1.0 if solution_str == str(ground_truth) else -1.0

def formatted(solution_str, ground_truth):
    whole = solution_str.startswith("<think>") and solution_str.count("</think>") == 1
    return whole and solution_str.endswith(ground_truth)

def thought(solution_str, ground_truth):
    return solution_str == f"<think>so</think>{ground_truth}"

obj, aobj = Equal(), Later()
part = functools.partial(within, 3)
coroutine = lambda problem, answer: later(problem, answer)
no_argument = lambda: True
swapped = lambda answer, gold: answer == gold
half, minus_one, nan = always(0.5), always(-1.0), always(float("nan"))
text, nothing, pair = always("wrong"), always(None), always((True, "fine"))
listed, array = always([True]), always(np.array([1]))
tensor = lambda problem, answer: __import__("torch").tensor(True)
one, true_record = always(1.0), always(SimpleNamespace(correct=True))
record, half_record = always(Verdict(True)), always(SimpleNamespace(correct=0.5))
"""
PLAIN = [
    {"id": "a", "prompt": "one?", "answer": "1", "level": 1},
    {"id": "b", "prompt": "two?", "answer": "2", "level": 2},
]
CHAT = [
    {
        "id": name,
        "prompt": [{"role": "user", "content": f"{name}?"}],
        "data_source": "sums",
        "reward_model": {"style": "rule", "ground_truth": value},
        "solution": value,
        "extra_info": {"index": value},
    }
    for name, value in (("a", 1), ("b", 2))
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, rows in {"plain": PLAIN, "chat": CHAT}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    samples = [{"problem_id": p, "text": t} for p, t in (("a", "1"), ("a", "5"), ("b", "2"), ("b", "3"))]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, samples)))
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def judged(task: Task, thinking: str = "") -> list[bool]:
    """The verdicts on a right answer and a wrong one to the first problem, and on a right one to the second."""
    first, second = task.problems()
    return [
        v.correct
        for v in verify_all(task, [(p, (thinking, t)) for p, t in ((first, "1"), (first, "5"), (second, "2"))])
    ]


@pytest.mark.parametrize(
    "source",
    [
        *(f"plain.jsonl?verifier=mine:{name}" for name in ("equal", "obj", "part", "trl", "score&threshold=0.5")),
        *(f"chat.jsonl?verifier=mine:{name}" for name in ("messages", "verl", "dapo", "minus&threshold=1")),
        "plain.jsonl?verifier=./mine.py:equal",
        "plain.jsonl?n=2&select=longest&verifier=mine:equal",
    ],
)
def test_every_kind_of_verifier_judges(folder: Path, source: str) -> None:
    if "select" in source:
        (folder / "plain.jsonl").write_text("\n".join(json.dumps(row | {"response": "x"}) for row in PLAIN))
    assert judged(open_task(source)) == [True, False, True]


@pytest.mark.parametrize("name", ["one", "true_record", "record"])
def test_what_else_means_correct(folder: Path, name: str) -> None:
    assert judged(open_task(f"plain.jsonl?verifier=mine:{name}")) == [True, True, True]


def test_reward_functions_get_the_thought(folder: Path) -> None:
    assert judged(open_task("chat.jsonl?verifier=mine:thought"), "<think>so") == [True, False, True]
    whole = "<think>\nso\n</think>\n1"  # as it was written, and no delimiter where the thought was cut
    task = open_task("plain.jsonl?verifier=mine:formatted")
    (problem, *_) = task.problems()
    for text, right in ((whole, True), (whole.removeprefix("<think>"), False), ("<think>\nso 1", False)):
        assert task.verify(problem, *Thought.cut(split_sample(text), text)).correct is right


@pytest.mark.parametrize(
    ("verifier", "line"),
    [
        ("half", r"returned 0.5 \(float\) for problem a; return True or False, or say .* &threshold=0.5"),
        ("minus_one", r"returned -1.0 \(float\) for problem a; return True or False, or say"),
        ("minus", r"returned -1.0 \(float\) for problem a"),
        ("half_record", r"returned 0.5 \(float\) for problem a"),
        ("nan", r"returned nan \(float\) for problem a; return True or False$"),
        ("nan&threshold=0.5", r"returned nan \(float\) for problem a; return True or False$"),
        ("text", r"returned 'wrong' \(str\) for problem a; return True or False$"),
        ("nothing", r"returned None \(NoneType\)"),
        ("pair", r"returned \(True, 'fine'\) \(tuple\)"),
        ("listed", r"returned \[True\] \(list\)"),
        ("array", r"returned array\(\[1\]\) \(ndarray\)"),
        ("tensor", r"returned tensor\(True\) \(Tensor\)"),
        ("coroutine", "it is an async function; call it by asyncio.run"),
        ("later", "is an async function"),
        ("aobj", "is an async function"),
        ("yields", "is a generator"),
        ("Equal", "is a class"),
        ("no_argument", r"takes \(\), but must take \(problem, answer\)"),
        ("swapped", r"takes \(answer, gold\), but is called with \(problem, answer\)"),
        ("one_score", "return a list with one score for each completion"),
        ("column", "needs the argument 'nowhere', but plain.jsonl has no such column; known: id, prompt"),
        ("equal&threshold=0", "and above 0"),
    ],
)
def test_anything_else_is_one_line_before_any_sampling(folder: Path, verifier: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as refused:
        open_task(f"plain.jsonl?verifier=mine:{verifier}").problems()
    assert "verifier=" in str(refused.value) or "threshold" in verifier


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("raise RuntimeError('no key')", r"RuntimeError: no key \(.*broken.py:1\)"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("def f(:", r"SyntaxError: invalid syntax \(broken.py, line 1\)"),
        ("f = 3", "is of type int, but must be a function"),
        ("import torch\nf = torch.nn.Linear(1, 1)", r"is a reward model \(Linear\); name a function that decides by"),
        (
            "async def f(solution_str, ground_truth, reward_router_address): ...",
            "needs reward_router_address, by which it asks a reward model of verl; name a function",
        ),
        ("", "has no 'f'"),
    ],
)
@pytest.mark.parametrize("module", ["broken", "./broken.py"])
def test_a_module_that_cannot_be_used_is_one_line(folder: Path, code: str, line: str, module: str) -> None:
    (folder / "broken.py").write_text(code)
    sys.modules.pop("broken", None)
    with pytest.raises(UserError, match=line):
        open_task(f"plain.jsonl?verifier={module}:f")


def measured(verifier: str) -> list[str]:
    return ["readiness", "samples.jsonl", f"problems=plain.jsonl?verifier=mine:{verifier}", "samples=2", "group_size=2"]


@pytest.mark.parametrize(("verifier", "said"), [("raises", "ValueError: always⟨U+001B⟩"), ("exits", "SystemExit: 0")])
def test_a_verifier_that_raises_on_most_stops_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str], verifier: str, said: str
) -> None:
    assert main(measured(verifier)) == 2
    error = capsys.readouterr().err
    assert error.count("Traceback (most recent call last)") == 1
    assert "gave no verdict on 4 of 4 responses (problem a: it raised" in error.splitlines()[-1]
    assert error.count(said) == 2
    assert "\x1b" not in error
    assert not (folder / "runs" / "readiness" / "result.json").exists()


def test_a_reward_function_that_reads_messages_says_what_it_got(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "plain.jsonl").write_text("\n".join(json.dumps(row | {"solution": row["answer"]}) for row in PLAIN))
    with pytest.raises(UserError, match="gave no verdict on 3 of 3"):
        judged(open_task("plain.jsonl?verifier=mine:messages"))
    assert "write each prompt as a list of messages" in capsys.readouterr().err


def test_scores_that_are_all_none_stop_the_run(folder: Path) -> None:
    with pytest.raises(UserError, match=r"gave no verdict on 3 of 3 responses .*None, which is no score"):
        judged(open_task("plain.jsonl?verifier=mine:unscored"))


def test_a_few_that_raise_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(measured("some")) == 0
    out, error = capsys.readouterr()
    assert "1 of 4 responses could not be verified and count as incorrect (problem a: it raised KeyError: '5')" in error
    assert "not verified" in out
    assert "1 of 4" in out
    assert ReadinessResult.load(folder / "runs" / "readiness").checkpoints[0].undecided == 1


def test_a_verifier_that_gives_equal_responses_two_verdicts_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "moody.py").write_text(
        "asked = []\n\n\ndef odd(problem, answer):\n    asked.append(1)\n    return len(asked) % 2 == 1\n"
    )
    task = open_task("plain.jsonl?verifier=moody:odd")
    problem, other = task.problems()[:2]
    verify_all(task, [(problem, ("", "1")), (other, ("", "1"))])
    assert "different verdicts" not in capsys.readouterr().err
    verify_all(task, [(problem, ("", "1")), (problem, ("", "1"))])
    said = f"the verifier gives equal responses different verdicts, as to {problem.id}"
    assert said in capsys.readouterr().err


def test_formulas_that_sympy_does_not_decide_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "samples.jsonl").write_text(
        "\n".join(json.dumps({"problem_id": p, "text": t}) for p, t in (("a", "\\boxed{9^{9^{9}}}"), ("b", "2")))
    )
    command = ["readiness", "samples.jsonl", "problems=plain.jsonl", "samples=1", "group_size=1"]
    assert main(command) == 0
    assert "1 of 2 responses could not be verified" in capsys.readouterr().err
    assert ReadinessResult.load(folder / "runs" / "readiness").checkpoints[0].undecided == 1


def test_what_a_verifier_prints_is_no_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*measured("prints"), "--json"]) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["verb"] == "readiness"
    assert "PRINTED" in error


@pytest.mark.parametrize("edited", ["mine.py", "my_loss.py", "my_inner.py"])
def test_a_stopped_run_does_not_go_on_with_other_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    """The file of the module that was named, and that of the object in it, if this comes from another module."""
    (folder / "my_loss.py").write_text("from my_inner import loss")
    (folder / "my_inner.py").write_text("def loss(inputs, settings): ...")
    for name in ("my_loss", "my_inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    config = RLConfig(problems="plain.jsonl?verifier=mine:equal", loss="my_loss:loss")

    def attempt() -> None:
        with suppress(KeyboardInterrupt), Run(folder / "run", "rl", config) as run:
            open_task(config.problems or "")
            load_object("loss", config.loss)
            run.claim()
            append_line(folder / "run" / "log.jsonl", {"step": 1})
            raise KeyboardInterrupt

    attempt()
    attempt()
    roles = ["code of verifier", "code of loss", "code of loss"]
    assert [note.role for note in RunRecord.load(folder / "run").data] == roles
    with (folder / edited).open("a") as file:
        file.write("\n# another version\n")
    with pytest.raises(UserError, match=f"holds a run whose input .*{edited} has changed since"):
        attempt()
