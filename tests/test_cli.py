"""The command line: words, exit codes, signals, and no heavy import before a verb runs."""

import json
import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from rlready.cli.main import FUNCTIONS, main, parse, table
from rlready.core.config import EvaluateConfig
from rlready.core.errors import UserError
from rlready.runs.run import Run, read_json, write_json


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


def evaluate(config: EvaluateConfig, out: Path) -> dict:
    with Run(out, "evaluate", config) as run:
        result = {"accuracy": float("nan"), "table": [["model", "accuracy"], ["runs/a", "0.5"], ["b", "10.25"]]}
        if not run.finished:
            write_json(out / "result.json", result)
        return read_json(out / "result.json")


def test_the_api_is_plain_python() -> None:
    code = (
        "import time; begin = time.process_time(); import rlready; assert time.process_time() - begin < 0.1\n"
        "import types, rlready.readiness as readiness\n"
        "assert type(readiness) is types.ModuleType and rlready.readiness is readiness\n"
        "from rlready import RLConfig, SFTConfig, rl, sft\n"
        "from rlready.readiness import ReadinessConfig, readiness as measure\n"
        "assert callable(rl) and callable(sft) and callable(measure) and type(rlready.readiness) is types.ModuleType\n"
        "assert rlready.__version__.count('.') == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, os, rlready, rlready.cli.main; code = rlready.cli.main(['rl', '--help'])\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'\n"
        "sys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    assert "most thinking tokens in a rollout" in done.stdout


def test_words_in_every_spelling() -> None:
    words = parse(
        ["a/b=c", "learning_rate=1", "--batch-tokens", "-5", "--name=x=y", "--out", "d", "config=f", "-q", "--", "z=1"]
    )
    assert words.places == ["a/b=c", "z=1"]
    assert words.pairs == ["learning_rate=1", "batch-tokens=-5", "name=x=y"]
    assert words.values == {"out": "d", "config": "f"}
    assert words.switches == {"quiet"}
    with pytest.raises(UserError, match="--lr needs a value"):
        parse(["--lr", "--json"])


def test_a_path_that_exists_is_a_place_though_it_has_an_equals_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("learning_rate=1e-5/checkpoint-10", "seed=0", "kl_coef=0.1"):
        Path(folder).mkdir(parents=True)
    Path("kl_coef=0.1/config.json").touch()
    words = parse(["learning_rate=1e-5/checkpoint-10", "learning_rate=1e-5/checkpoint-20", "seed=0", "kl_coef=0.1"])
    assert words.places == ["learning_rate=1e-5/checkpoint-10", "kl_coef=0.1"]
    assert words.pairs == ["learning_rate=1e-5/checkpoint-20", "seed=0"]


def test_a_verb_gets_its_configuration_and_prints_a_table(verbs, capsys, tmp_path: Path) -> None:
    verbs.evaluate = evaluate
    assert main(["evaluate", "runs/a", "x,y", "--seed", "4", "--thinking_budgets=1,2"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "model   accuracy\nruns/a       0.5\nb          10.25\n"
    first, last = "rlready evaluate: into runs/evaluate\n", "evaluate: the report is runs/evaluate/report.html\n"
    assert printed.err.startswith(first)
    assert printed.err.endswith(last)
    record = read_json(tmp_path / "runs/evaluate/record.json")
    assert record["command"] == "rlready evaluate runs/a x,y --seed 4 --thinking_budgets=1,2"
    assert record["config"]["models"] == ["runs/a", "x,y"]
    assert {key for key, origin in record["origins"].items() if origin == "command line"} == {
        "models",
        "seed",
        "budgets",
    }


def test_json_is_all_there_is_on_standard_output(verbs, capsys) -> None:
    verbs.evaluate = evaluate
    for _ in range(2):  # computed, then found finished
        assert main(["evaluate", "--json", "--quiet"]) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["accuracy"] is None
        assert printed.err == ""


def test_show_and_report_take_folders(verbs, capsys) -> None:
    verbs.show = lambda paths: {"runs": len(paths)}
    verbs.report = lambda folder: folder / "report.html"
    assert main(["show", "a", "b"]) == 0
    assert main(["report", "a", "--json"]) == 0
    assert capsys.readouterr().out == 'runs  2\n{\n "written": "a/report.html"\n}\n'
    verbs.show = lambda paths: {"table": [["run"], ["a"]], "tables": {"a": [["step", "loss"], ["1", "2.5"]]}}
    assert main(["show", "a"]) == 0
    assert capsys.readouterr().out == "run\na\n\na\nstep  loss\n   1   2.5\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("redines", "unknown verb 'redines'; did you mean readiness?"),
        ("sft learning_rate=fast", "command line: lr = 'fast' is not a number"),
        ("sft --config none.toml", "cannot read none.toml: No such file or directory"),
        ("sft runs/a", "command line: 'runs/a' is not key=value; see rlready sft --help"),
        ("evaluate a models=b", "command line: models given twice, with models= and without"),
        ("report", "rlready report needs one run folder"),
        ("report a b", "rlready report needs one run folder"),
        ("show a --out b", "rlready show takes RUNS and no keys; got 'out'"),
        ("sft -x", "unknown option -x; see rlready --help"),
    ],
)
def test_bad_input_is_one_line_and_2(verbs, capsys, line: str, says: str) -> None:
    assert main([*line.split(), "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"rlready: {says}\n"


def test_a_fault_of_the_program_keeps_its_traceback(verbs) -> None:
    verbs.sft = lambda config, out: 1 / 0
    with pytest.raises(ZeroDivisionError):
        main(["sft"])


def test_table_aligns_numbers_to_the_right() -> None:
    assert table([["a", "n"], ["long", "1"], ["b", "20"]]) == "a      n\nlong   1\nb     20"


STOPPABLE = """
import sys, time, types, rlready
from rlready.cli.main import FUNCTIONS, main
from rlready.runs.run import Run
def sft(config, out):
    with Run(out, "sft", config) as run:
        if run.record.attempts[1:]:
            return {"continued": True}
        print("ready", flush=True)
        time.sleep(60)
sys.modules["fake_verbs"] = types.ModuleType("fake_verbs")
sys.modules["fake_verbs"].sft, sys.modules["fake_verbs"].report = sft, str
FUNCTIONS |= {name: f"fake_verbs:{name}" for name in ("sft", "report")}
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on_and_does(number: signal.Signals, tmp_path: Path) -> None:
    line = [sys.executable, "-c", STOPPABLE, "sft", "--out", str(tmp_path / "out")]
    heed = partial(signal.signal, number, signal.SIG_DFL)  # tests run in the background may have Ctrl-C ignored
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(line, preexec_fn=heed, **pipes)  # noqa: PLW1509
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.splitlines()[-1] == f"rlready: stopped; the same command continues: rlready sft --out {tmp_path / 'out'}"
    assert read_json(tmp_path / "out" / "record.json")["status"] == "interrupted"
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "continued  True\n"


def test_a_reader_that_stops_reading_is_no_fault(tmp_path: Path) -> None:
    line = (
        f"{sys.executable} -c \"import rlready.cli.main as c; c._call = lambda *a: {{'table': [['x' * 99]] * 9999}}; "
        "import sys; sys.exit(c.main(['show', 'a']))\" | head -1; exit ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
