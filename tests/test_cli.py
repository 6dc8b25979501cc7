"""The command line: words, exit codes, signals, and no heavy import before a verb runs."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import rlready
from rlready.cli.main import main
from rlready.cli.parser import Typed, parse_command_line
from rlready.cli.verbs import VERBS
from rlready.core.config import EvaluateConfig
from rlready.core.records import Real
from rlready.core.result import Result, Table
from rlready.core.verbs import FUNCTIONS
from rlready.runs.files import read_json
from rlready.runs.run import Run


class Printed(Result):
    """What the command line prints of a result."""

    printed: list[Table]

    def __init__(self, tables: list[Table]) -> None:
        super().__init__(verb="show", headline="Shown.", printed=tables)

    def tables(self) -> list[Table]:
        return self.printed


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """A module whose functions stand for the verbs."""
    module = ModuleType("fake_verbs")
    monkeypatch.setitem(sys.modules, "fake_verbs", module)
    for name in FUNCTIONS:
        monkeypatch.setitem(FUNCTIONS, name, f"fake_verbs:{name}")
    module.report = lambda folder: folder / "report.html"  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    return module


class Measured(Result):
    """A small result with a figure that is not finite."""

    accuracy: Real

    def tables(self) -> list[Table]:
        columns, rows = ["model", "accuracy", "more"], [["runs/a", "0.5", "c"], ["b", "10.25", "d"]]
        return [Table(columns, rows, narrow=["model", "accuracy"])]

    def remarks(self) -> list[str]:
        return ["It is 1 a."]


def evaluate(config: EvaluateConfig, out: Path) -> Measured:
    with Run(out, "evaluate", config) as run:
        if run.finished:
            return Measured.load(out)
        run.claim()
        said, command = "Accuracy 50 %.", "rlready show runs/a"
        result = Measured(
            verb="evaluate", headline=said, notes=["Of two models."], next_command=command, accuracy=float("nan")
        )
        run.write_result(result)
        return result


def test_importing_the_package_is_instant() -> None:
    code = (
        "import time; begin = time.process_time(); import rlready; assert time.process_time() - begin < 0.1\n"
        "assert rlready.__version__.count('.') == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, os, rlready, rlready.cli.main; code = rlready.cli.main.main(['rl', '--help'])\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'\n"
        "sys.exit(code)"
    )
    libraries, _ = _cpu_seconds("import pydantic, typer.main")
    for words in ("'rl', '--help'", "'--help'"):
        seconds, shown = _cpu_seconds(code.replace("'rl', '--help'", words))
        assert seconds < 4 * libraries  # no fixed time: processors differ by a factor of four
        assert "rewards" in shown


def _cpu_seconds(code: str) -> tuple[float, str]:
    """The least CPU time of three runs of a program, and what it printed."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took), done.stdout


def read(*words: str) -> Typed:
    typed = parse_command_line(words)
    assert isinstance(typed, Typed)
    return typed


def test_settings_in_every_spelling() -> None:
    for words in (
        ["--learning-rate", "1"],
        ["--learning_rate", "1"],
        ["--learning-rate=1"],
        ["--learning_rate=1"],
        ["learning_rate=1"],
        ["learning-rate=1"],
    ):
        assert read("sft", *words).settings == {"learning_rate": "1"}
    typed = read("readiness", "a/b=c", "--samples", "-5", "--answer-prefix=x=y", "--out", "d", "-q", "--", "z=1")
    assert typed.arguments == ["a/b=c", "z=1"]
    assert typed.settings == {"samples": "-5", "answer_prefix": "x=y"}
    assert (typed.out, typed.config, typed.switches) == ("d", None, {"quiet"})
    assert read("readiness", "--out=~/d").out == str(Path.home() / "d")  # which a shell leaves as it is


def test_a_boolean_is_a_switch_or_has_a_value() -> None:
    for words, value in (
        (["--yes"], "true"),
        (["--no-yes"], "false"),
        (["--yes=false"], "false"),
        (["yes=true"], "true"),
    ):
        assert read("sweep", "a.toml", *words).settings == {"yes": value}
    assert read("sweep", "--yes", "a.toml").arguments == ["a.toml"]


def test_an_existing_path_with_an_equals_sign_is_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("learning_rate=1e-5/checkpoint-10", "seed=0", "kl_coef=0.1"):
        Path(folder).mkdir(parents=True)
    Path("kl_coef=0.1/config.json").touch()
    places = ["learning_rate=1e-5/checkpoint-10", "kl_coef=0.1"]
    typed = read("readiness", *places, "learning_rate=1e-5/checkpoint-20", "seed=0")
    assert typed.arguments == places
    assert typed.settings == {"learning_rate": "1e-5/checkpoint-20", "seed": "0"}
    Path("seed=0/record.json").touch()  # as after --out seed=0
    assert read("show", "seed=0").arguments == ["seed=0"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_of_its_settings(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    for cls in VERBS[verb].configs.values():
        for key in cls.model_fields:
            assert f"  --{key.replace('_', '-')} " in shown, key


@pytest.mark.parametrize("words", [[], ["rl"]])
def test_help_is_a_command_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    expected = capsys.readouterr().out
    assert main(["help", *words]) == 0
    assert capsys.readouterr().out == expected


def test_the_shell_completes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"COMP_WORDS": "rlready rl --learn", "COMP_CWORD": "2", "_RLREADY_COMPLETE": "complete_bash"}
    line = [sys.executable, "-c", "import sys, rlready.cli.main as c; sys.exit(c.main([]))"]
    done = subprocess.run(line, env=os.environ | words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--learning-rate"]


def test_a_verb_gets_its_configuration_and_prints_a_table(verbs, capsys, tmp_path: Path) -> None:
    verbs.evaluate = evaluate
    assert main(["evaluate", "runs/a", "x,y", "--seed", "4", "--thinking_budgets=1,2"]) == 0
    printed = capsys.readouterr()
    table = "model   accuracy\nruns/a       0.5\nb          10.25\n"
    last = "It is 1 a.\nNext: rlready show runs/a\nReport: runs/evaluate/report.html\n"
    assert printed.out == f"Accuracy 50 %.\nOf two models.\n\n{table}\n{last}"
    assert printed.err == "rlready evaluate: writing to runs/evaluate\n"
    assert main(["evaluate", "runs/a", "--out", "runs/evaluate"]) == 2
    assert capsys.readouterr().err.startswith("rlready: runs/evaluate holds a run with ")  # and is not written to
    record = read_json(tmp_path / "runs/evaluate/record.json")
    assert record["command"] == "rlready evaluate runs/a x,y --seed 4 --thinking_budgets=1,2 --out runs/evaluate"
    assert record["config"]["models"] == ["runs/a", "x,y"]
    assert {key for key, origin in record["origins"].items() if origin == "command line"} == {
        "models",
        "seed",
        "thinking_budgets",
    }


def test_the_version_is_printed(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{rlready.__version__}\n"


def test_wide_tables_have_all_columns(verbs, capsys) -> None:
    verbs.evaluate = evaluate
    assert main(["evaluate", "--wide"]) == 0
    assert "model   accuracy  more\nruns/a       0.5  c\n" in capsys.readouterr().out


def test_json_is_the_only_output(verbs, capsys) -> None:
    verbs.evaluate = evaluate
    for _ in range(2):  # computed, then found finished
        assert main(["evaluate", "--json", "--quiet"]) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["accuracy"] is None
        assert printed.err == ""


def test_show_and_report_take_folders(verbs, capsys) -> None:
    verbs.show = lambda paths: Printed([Table(["runs"], [[str(len(paths))]])])
    verbs.report = lambda folder: folder / "report.html"
    assert main(["show", "a", "b"]) == 0
    Path("a").mkdir()
    Path("a/result.json").touch()
    assert main(["report", "a", "--json"]) == 0
    assert capsys.readouterr().out == 'Shown.\n\nruns\n   2\n\n{\n "written": "a/report.html"\n}\n'
    verbs.show = lambda paths: Printed([Table(["run"], [["a"]]), Table(["step", "loss"], [["1", "2.5"]], "a")])
    assert main(["show", "a"]) == 0
    assert capsys.readouterr().out == "Shown.\n\nrun\na\n\na\nstep  loss\n   1   2.5\n\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("redines", "unknown command 'redines' (rlready --help lists all); did you mean readiness?"),
        ("sft learning_rate=fast", "command line: learning_rate = 'fast' is not a number"),
        ("sft lerning_rate=1", "command line: unknown key 'lerning_rate'; did you mean learning_rate?"),
        ("sft --lerning-rate 1", "command line: unknown option --lerning-rate; did you mean --learning-rate?"),
        ("sft --lerning-rate=1", "command line: unknown option --lerning-rate; did you mean --learning-rate?"),
        ("sft --model --json", "--model needs a value: --model VALUE"),
        ("sft --model", "--model needs a value: --model VALUE"),
        ("sft --seed 1 seed=2", "command line: seed is given twice"),
        ("sft --config none.toml", "cannot read none.toml: No such file or directory"),
        ("demo runs/a", "command line: 'runs/a' is not key=value; see rlready demo --help"),
        ("evaluate a models=b", "command line: models is given twice, as a setting and without its name"),
        ("sweep a.toml b.toml", "command line: only one value of file is possible; leave out 'b.toml'"),
        ("report", "rlready report needs a run folder"),
        ("show a --out b", "--out belongs to rlready show --credit"),
        ("show a --diff --credit", "rlready show takes one view at a time, not --credit and --diff"),
        ("sft -x", "No such option: -x; see rlready sft --help"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(verbs, capsys, line: str, says: str) -> None:
    assert main([*line.split(), "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"rlready: {says}\n"


def test_an_internal_error_keeps_its_traceback(verbs, capsys) -> None:
    verbs.sft = lambda config, out: 1 / 0
    assert main(["sft"]) == 1
    assert capsys.readouterr().err.endswith("ZeroDivisionError: division by zero\n")


STOPPABLE = """
import sys, time, types, rlready
from rlready.cli.main import main
from rlready.core.result import Result
from rlready.core.verbs import FUNCTIONS
from rlready.runs.log import append_line
from rlready.runs.run import Run
def sft(config, out):
    with Run(out, "sft", config) as run:
        run.claim()
        append_line(out / "log.jsonl", {"step": 1})
        if run.record.attempts[1:]:
            return Result(verb="sft", headline="continued")
        print("ready", flush=True)
        time.sleep(60)
sys.modules["fake_verbs"] = types.ModuleType("fake_verbs")
sys.modules["fake_verbs"].sft, sys.modules["fake_verbs"].report = sft, lambda folder: folder / "report.html"
FUNCTIONS |= {name: f"fake_verbs:{name}" for name in ("sft", "report")}
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_continue_and_continues(number: signal.Signals, tmp_path: Path) -> None:
    line = [sys.executable, "-c", STOPPABLE, "sft", "--out", str(tmp_path / "out")]
    heed = partial(signal.signal, number, signal.SIG_DFL)  # tests run in the background may have Ctrl-C ignored
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(line, preexec_fn=heed, **pipes)  # noqa: PLW1509
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    again = f"rlready: stopped; to continue: rlready sft --out {tmp_path / 'out'}"
    assert err.splitlines()[-1] == again
    assert read_json(tmp_path / "out" / "record.json")["status"] == "interrupted"
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.startswith("continued\n")


def test_a_closed_pipe_is_not_an_error() -> None:
    code = (
        "import sys, rlready.cli.main as c; from rlready.cli.show_result import RowsShown as R; "
        "from rlready.core.result import Table; "
        "rows = [['x' * 99]] * 9999; R.tables = lambda self: [Table(['x'], rows)]; "
        "c._call = lambda *a: R(headline='', rows=[]); "
        "sys.exit(c.main(['show', 'a']))"
    )
    line = f'{sys.executable} -c "{code}" | head -1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_folder_for_temporary_files_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which libraries want while they are imported, where a disk is full."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    assert main(["checklist", str(tmp_path)]) == 2
    assert "no folder for temporary files can be written: free some space, or set TMPDIR" in capsys.readouterr().err


def test_a_working_directory_that_was_removed_is_one_clear_line(tmp_path: Path) -> None:
    """Else libraries die of it in ways of their own."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from rlready.cli.main import main; "
    command = [sys.executable, "-P", "-c", f"{code}raise SystemExit(main(['doctor']))"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rlready: the working directory was removed: change to one that is there\n"
