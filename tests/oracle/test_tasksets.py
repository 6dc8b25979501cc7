"""Tasksets of verifiers itself as problems: a small package, scored by its own rewards in the bounded process."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from rlready.cli.main import main
from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.readiness.stage import readiness
from rlready.tasks import open_task, verify_all

PACKAGE = """
import verifiers.v1 as vf

class SumsConfig(vf.TasksetConfig):
    split: str = "train"
    largest: int = 5

class SumsData(vf.TaskData):
    answer: str

class SumsTask(vf.Task[SumsData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def correct(self, trace):
        return float(trace.last_reply.split()[-1:] == [self.data.answer])

    @vf.reward(weight=0.5)
    async def short(self, task, trace):
        assert trace.messages[-2].role == "user" and trace.task.data == task
        return float(len(trace.last_reply) < 20)

class SumsTaskset(vf.Taskset[SumsTask, SumsConfig]):
    def load(self):
        for n in range(self.config.largest if self.config.split == "train" else 2):
            yield SumsTask(SumsData(prompt=f"{n} + 1?", answer=str(n + 1)), self.config.task)

__all__ = ["SumsTaskset"]
"""
NUMBERS = itertools.count()  # of packages, each of which is imported once


def package(folder: Path, *changes: str) -> str:
    """The name of a new package like the one above, with a text in place of another."""
    name, text = f"sums_{next(NUMBERS)}", PACKAGE
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    (folder / f"{name}.py").write_text(text)
    return f"verifiers:{name}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages; one for all tests, so that they share the process that scores."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(autouse=True)
def here(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages can be imported as installed ones can, and the modules of the tests, such as verifiers, cannot."""
    tests = Path(__file__).parents[1]
    monkeypatch.setattr(sys, "path", [str(packages), *(p for p in sys.path if Path(p).resolve() != tests)])
    if not hasattr(sys.modules.get("verifiers"), "__path__"):
        monkeypatch.delitem(sys.modules, "verifiers", raising=False)
    return packages


def test_problems_and_verdicts_are_those_of_the_taskset(here: Path) -> None:
    source = package(here)
    task = open_task(f"{source}?largest=4")
    first, *rest = task.problems()
    assert (first.id, first.prompt, first.answer, first.system) == (f"{source[10:]}-00000", "0 + 1?", "1", "")
    assert len(rest) == 3
    assert open_task(f"{source}?n=2").problems() == open_task(source).problems()[:2]
    assert len(open_task(f"{source}?split=test").problems()) == 2
    texts = ["so 1", "2", "1<|im_end|>1 + 1? 2", "a very long text that ends in 1", ""]
    verdicts = verify_all(task, [(first, ("a thought", text)) for text in texts])
    assert [v.correct for v in verdicts] == [True, False, True, True, False]
    assert not any(v.undecided for v in verdicts)
    assert [v.correct for v in verify_all(open_task(f"{source}?threshold=1.5"), [(first, ("", t)) for t in texts])] == [
        *(True, False, True, False, False)
    ]


def test_a_system_prompt_is_kept_wherever_it_stands(here: Path) -> None:
    data = 'prompt=f"{n} + 1?"'
    turns = '[{"role": "system", "content": "Add."}, {"role": "user", "content": f"{n} + 1?"}]'
    apart, inside = package(here, data, f'{data}, system_prompt="Add."'), package(here, data, f"prompt={turns}")
    for source in (apart, inside):
        task = open_task(source)
        problem = task.problems()[0]
        assert (problem.prompt, problem.system) == ("0 + 1?", "Add.")
        assert verify_all(task, [(problem, ("", "1"))])[0].correct


REWARD = "async def correct(self, trace):"
LOAD = "    def load(self):"
JUDGE = """
        judge = vf.Judge()
        judge.prompt = "?"
        await judge.evaluate(trace=trace)
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (REWARD, "async def correct(self, trace, runtime):", "its reward correct acts in a runtime, so that its tasks"),
        (
            REWARD,
            "async def setup(self, trace, runtime): ...\n\n    @vf.reward\n    " + REWARD,
            "has a setup of its own",
        ),
        ("    @vf.reward\n", "    NEEDS_CONTAINER = True\n\n    @vf.reward\n", "needs a container"),
        ("answer=str(n + 1)", 'answer="1", image="python"', "task 0: has image"),
        (
            LOAD,
            "    @classmethod\n    def toolsets(cls, config):\n        return [vf.Toolset(vf.ToolsetConfig())]\n\n"
            + LOAD,
            "has tools",
        ),
        ('prompt=f"{n} + 1?"', 'prompt=[{"role": "user", "content": "a"}] * 2', "task 0: its prompt must be .*user"),
        ('prompt=f"{n} + 1?"', "prompt=None", "task 0: has no prompt"),
        (LOAD, "    INFINITE = True\n\n" + LOAD, "has no end; say how many problems with n="),
        (LOAD, LOAD + "\n        1 / 0", "its tasks cannot be loaded: ZeroDivisionError"),
        ("import verifiers.v1 as vf", "import sys\nsys.exit(3)", "not a taskset of verifiers 0.4: SystemExit: 3"),
        ("__all__", "_all", "not a taskset of verifiers 0.4: .*no `__all__`"),
        (
            "import verifiers.v1 as vf",
            "import verifiers.v1 as vf, missing_library",
            "cannot be imported, as no package missing_library is installed",
        ),
        ("    @vf.reward\n", "    @vf.metric\n", None),
    ],
)
def test_what_is_not_answered_by_one_text_is_refused(here: Path, old: str, new: str, message: str | None) -> None:
    source = package(here, old, new)
    if message is None:  # the other reward is left
        assert open_task(source).problems()
        return
    with pytest.raises(UserError, match=message) as caught:
        open_task(source).problems()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?larges=3", "unknown key 'larges'; did you mean largest"),
        ("?largest=x", "largest=x is not a whole number"),
        ("?threshold=no", "threshold=no is not a number"),
        ("?n=0", "n=0 leaves no problem"),
        ("?split=test&n=2&largest=0", None),
    ],
)
def test_options_that_cannot_be_used(here: Path, query: str, message: str | None) -> None:
    source = package(here)
    if message is None:
        assert len(open_task(source + query).problems()) == 2
        return
    with pytest.raises(UserError, match=message):
        open_task(source + query)


def test_a_judge_model_is_never_called(here: Path) -> None:
    """It is refused when the problems are read, and not after responses have been sampled."""
    task = open_task(package(here, REWARD, REWARD + JUDGE))
    said = r"^verifiers:sums_\d+: sums_\d+-00000: a reward asks a judge model, so that its tasks"
    with pytest.raises(UserError, match=said):
        task.problems()


def test_rewards_that_are_no_number_are_refused(here: Path) -> None:
    task = open_task(package(here, REWARD, REWARD + "\n        return float('nan')"))
    with pytest.raises(UserError, match="the rewards of its task add up to nan"):
        verify_all(task, [(task.problems()[0], ("", "1"))])


def test_a_reward_that_raises_stops_the_run_and_one_without_end_is_bounded(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = open_task(package(here, REWARD, REWARD + "\n        1 / 0"))
    with pytest.raises(UserError, match=r"gave no verdict on 1 of 1 responses .*ZeroDivisionError"):
        verify_all(task, [(task.problems()[0], ("", "1"))])
    task = open_task(package(here, REWARD, REWARD + "\n        while 'y' in trace.last_reply: pass"))
    first = task.problems()[0]
    assert not any(v.undecided for v in verify_all(task, [(first, ("", text)) for text in ("1", "2", "3")]))
    monkeypatch.setattr("rlready.tasks.verifier_process.SECONDS", 2.0)  # now that verifiers is imported there
    assert verify_all(task, [(first, ("", "y"))])[0].undecided


def test_readiness_and_trust(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = package(here)
    config = ReadinessConfig(checkpoints=("embedded",), problems=f"{source}?n=2", samples=2, max_answer_tokens=8)
    result = readiness(config, tmp_path / "run")
    assert result.task.source == f"{source}?n=2"
    (tmp_path / "rl.toml").write_text(f'problems = "{source}"\n')
    assert main(["rl", "--config", str(tmp_path / "rl.toml"), "--out", str(tmp_path / "rl")]) == 2
    assert f"names code to be run, problems = '{source}'" in capsys.readouterr().err


def test_without_verifiers_or_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="verifiers:no_such: cannot be imported, as no package no_such is installed"):
        open_task("verifiers:no_such")
    with pytest.raises(UserError, match="name a taskset: verifiers:NAME"):
        open_task("verifiers")
    monkeypatch.setitem(sys.modules, "rlready.tasks.verifiers_library", None)  # as its import fails without verifiers
    monkeypatch.delattr("rlready.tasks.verifiers_library", raising=False)
    with pytest.raises(UserError, match=r"verifiers 0\.4 is missing .*; pip install 'rlready\[verifiers\]'"):
        open_task("verifiers:sums_1")
