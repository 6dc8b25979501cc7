"""Final answers are read and compared rightly, and no text can stop or stall a verifier."""

import json
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.records import Problem
from rlready.tasks import Task, open_task, verify
from rlready.tasks.verify import same_answer


@pytest.mark.parametrize(
    ("gold", "text", "same"),
    [
        ("72", "#### 72", True),
        ("72", "#### 71\n#### $72.00", True),
        ("72", "#### 72 clips\nand so on", True),
        ("72", "**The answer is: 72.**", True),
        ("72", "\\boxed{71}, no, \\boxed{72}", True),
        ("72", "70 + 2 = 72", True),
        ("72", "#### 72\n#### 71", False),
        ("72", "72 ####", False),
        ("72", "", False),
        ("2280", "#### 2,280", True),
        ("1000", "\\boxed{1{,}000\\text{ dollars}}", True),
        ("50", "#### 50%", True),
        ("-3", "#### −3", True),
        ("3", "#### -3", False),
        ("12", "#### 1 2", False),
        ("12345", "#### 1,2345", False),
        ("5", "#### 1,2,3,4,5", False),
        ("5", "#### 4 or 5", False),
        ("0.5", "#### 1/2", True),
        ("\\frac{1}{2}", "\\boxed{0.5}", True),
        ("2", "\\boxed{2x}", False),
        ("x^2+1", "\\boxed{1+x^2}", True),
        ("Paris", "The answer is Paris.", True),
        ("Paris", "Rome", False),
    ],
)
def test_final_answers(gold: str, text: str, same: bool) -> None:
    assert same_answer(gold, text) is same


def test_endless_powers_are_cut_off_also_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    same_answer("1/2", "0.5")  # starts the process
    monkeypatch.setattr(verify, "SECONDS", 0.3)
    thread = threading.Thread(target=lambda: found.append(same_answer("3", "\\boxed{9^{9^{9}}}")))
    thread.start()
    thread.join(20)
    monkeypatch.undo()
    assert found == [False]
    assert same_answer("1/2", "0.5")


@pytest.fixture(scope="module")
def verifiers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Task, Problem]]:
    folder = tmp_path_factory.mktemp("data")
    for name, row in {
        "train": {"question": "1+1?", "answer": "1+1=<<1+1=2>>2\n#### 2"},
        "rows": {"prompt": "?", "answer": "x"},
    }.items():
        Path(folder / f"{name}.jsonl").write_text(json.dumps(row))
    dag = "dagmath?ops=8&asked=3&n=1"
    sources = (dag, f"{dag}&rendering=words", f"gsm8k:{folder}", f"rows:{folder / 'rows.jsonl'}")
    tasks = [open_task(source) for source in sources]
    return [(task, task.problems()[0]) for task in tasks]


NASTY = (
    "(" * 50_000,
    "a= " + "( " * 50_000,
    "a= " + " + ".join(["1"] * 50_000) + " a: 1",
    "9" * 50_000,
    "Let x be the number of each A's B. x = " + "1 * " * 20_000 + "1.",
    "Let x be the number of " + "a. b = " * 20_000,
    "\\boxed{" * 5_000 + "1" + "}" * 5_000,
    "#### " * 20_000,
    "answer is \n" * 20_000,
    "1,111" * 20_000,
    "\ud800\x00\u2028 ²³ ٣",
)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_text_gets_a_verdict_soon(text: str, verifiers: list[tuple[Task, Problem]]) -> None:
    for task, problem in verifiers:
        began = time.perf_counter()
        assert not task.verify(problem, text, text).correct
        task.verify(problem, text, problem.answer)
        assert time.perf_counter() - began < 3


@settings(max_examples=40)
@given(st.text(), st.lists(st.sampled_from(["a:", "b=", "a", "=", "+", "(", ")", "-", "5", "Let", ".", "\n"])))
def test_any_text_gets_a_verdict(verifiers: list[tuple[Task, Problem]], text: str, words: list[str]) -> None:
    for task, problem in verifiers:
        assert task.verify(problem, " ".join(words), text).correct in (True, False)
        assert task.verify(problem, text, " ".join(words)).correct in (True, False)
