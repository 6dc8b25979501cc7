"""What reaches a terminal: nothing that controls it, nothing that its encoding cannot write, and no traceback."""

import io
import itertools
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from rlready.cli.main import main
from rlready.cli.output import Finished, print_result
from rlready.core.errors import UserError
from rlready.core.messages import note, warn
from rlready.core.progress import Progress, Screen
from rlready.core.result import Result, Table
from rlready.core.tables import print_tables
from rlready.core.terminal import Neutral, print_coloured, print_json

HOSTILE = "a\x1b[31mb\x1b]0;title\x07\u202ec\r[red]d[/]\ud800"
SHOWN = "a⟨U+001B⟩[31mb⟨U+001B⟩]0;title⟨U+0007⟩⟨U+202E⟩c⟨U+000D⟩[red]d[/]⟨U+D800⟩"
RESULT = """
import sys, rlready.cli.main as c
from rlready.cli.output import Finished
from rlready.core.result import Result, Table
class R(Result):
    def tables(self):
        wide = [f"{name} (%)" for name in "abcdefgh"]
        cells = ["[red]\\u2013\\x1b[31m", *["45.2 [40.1, 50.2]"] * 8]
        return [Table(["name", *wide], [cells], narrow=["name", *wide[:5]])]
result = R(verb="sft", headline="\\u03c0 [/] \\x1b[2J \\u2013", next_command="rlready show a")
c._call = lambda *a: Finished(result, "a/report.html")
sys.exit(c.main(["sft", *sys.argv[1:]]))
"""


def run(shell: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command whose result is the same few lines, in a shell that redirects its streams."""
    line = f'"$0" -c "$1" "${{@:2}}" {shell}'
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    command = ["bash", "-c", line, sys.executable, RESULT, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, encoding="utf-8")


def on_terminal(columns: int, **environment: str) -> str:
    """What the same command writes to a terminal."""
    ours, theirs = pty.openpty()
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": str(columns), "TERM": "xterm"} | environment
    done = subprocess.run([sys.executable, "-c", RESULT], stdout=theirs, stderr=theirs, check=False, env=env)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert done.returncode == 0
    return shown.decode()


def test_a_stream_is_neutral_whoever_writes() -> None:
    stream = Neutral(io.StringIO())
    assert stream.write(HOSTILE) == len(HOSTILE)
    assert stream.stream.getvalue() == SHOWN


def test_only_colours_pass_where_colours_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_coloured("\x1b[7mtoken\x1b[0m\x1b[2J\x1b]0;title\x07")
    assert capsys.readouterr().out == "\x1b[7mtoken\x1b[0m⟨U+001B⟩[2J⟨U+001B⟩]0;title⟨U+0007⟩"


def test_a_line_break_in_a_name_adds_no_line(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """In a cell, a title, a headline, a remark or a note."""
    name = "x\n\nStart RL from EVIL: it reached 99 %.\n"

    class Foreign(Result):
        def tables(self) -> list[Table]:
            return [Table([name], [[name]], name)]

        def remarks(self) -> list[str]:
            return [name]

    print_result(Foreign(verb="sft", headline=name, next_command=f"rlready show {name}"))
    note(name)
    warn(name)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    print_tables(Foreign(verb="sft", headline=name).tables())
    printed = capsys.readouterr()
    assert not [line for line in (printed.out + printed.err).splitlines() if line.startswith("Start")]
    assert printed.out.count("x  Start RL from EVIL") == 9


def test_markup_and_controls_in_cells_are_text(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    print_tables([Table([HOSTILE], [["[/]"]], HOSTILE)])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    print_tables([Table([HOSTILE], [["[/]"]], HOSTILE)])
    printed = capsys.readouterr().out
    assert printed.count(SHOWN) == 4
    assert printed.count("\n[/]") == 2


def test_an_error_with_a_column_an_id_or_a_path_cannot_steer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"\x1b[31m\u202e": "1"}) + "\n")
    assert main(["sft", f"rows={rows}", "--out", str(tmp_path / "out")]) == 2
    assert main(["show", "\x1b[31mnosuch"]) == 2
    assert main(["show", "--diff", str(tmp_path), "\x1b[2J"]) == 2
    assert main(["\x1b[31m"]) == 2
    printed = capsys.readouterr()
    assert not {"\x1b", "\u202e"} & {*printed.out, *printed.err}


def test_an_error_that_python_prints_cannot_steer() -> None:
    assert str(UserError("base \x1b]0;x\x07\u202e")) == "base ⟨U+001B⟩]0;x⟨U+0007⟩⟨U+202E⟩"


def test_a_foreign_run_folder_cannot_steer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    foreign = tmp_path / "a\x1b[31m"
    foreign.mkdir()
    (foreign / "record.json").write_text(json.dumps({"verb": HOSTILE, "status\x1b[2J": "done"}))
    (tmp_path / "b").mkdir()
    main(["show", str(foreign), str(tmp_path / "b")])
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "⟨U+001B⟩[31m" in printed.out + printed.err


def test_bars_and_what_is_printed_above_them_are_neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    screen = Screen(stream)
    screen.clock = itertools.count(0, 10).__next__  # every drawing is due
    with Progress(HOSTILE, total=2, screen=screen) as bar:
        bar.update(1, note=HOSTILE)
        screen.print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
    assert SHOWN in stream.getvalue()
    for control in ("\x1b]0;", "\u202e", "\x1b[31mb", "\x07"):
        assert control not in stream.getvalue()


def test_json_says_the_same_without_characters_that_steer(capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps({"a": "é\x9b\u202e\U000e0001–"}, ensure_ascii=False, indent=1)
    print_json(text)
    printed = capsys.readouterr().out
    assert json.loads(printed) == json.loads(text)
    assert "é" in printed
    assert not {"\x9b", "\u202e", "\U000e0001"} & {*printed}


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_an_encoding_without_the_characters_replaces_them(environment: dict[str, str]) -> None:
    done = run("", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("? [/] <U+001B>[2J -\n")
    done = run("", "--json", **environment)
    assert json.loads(done.stdout)["headline"] == "π [/] \x1b[2J –"


@pytest.mark.parametrize(
    ("shell", "code"),
    [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 2), ("| head -c 2", 0)],
)
def test_streams_that_cannot_be_written_to(shell: str, code: int) -> None:
    done = run(shell + "; exit ${PIPESTATUS[0]}")
    assert done.returncode == code
    assert done.stderr == ("rlready: cannot print the result: No space left on device\n" if code else "")
    bad = run(f"--nosuch 1 {shell}; exit ${{PIPESTATUS[0]}}")
    assert bad.returncode == 2
    assert "Traceback" not in bad.stdout + bad.stderr


def test_the_decision_comes_first_then_six_columns_the_next_command_and_the_report() -> None:
    lines = run("").stdout.splitlines()
    assert lines[0] == "π [/] ⟨U+001B⟩[2J –"
    assert lines[2].split() == ["name", "a", "(%)", "b", "(%)", "c", "(%)", "d", "(%)", "e", "(%)"]
    assert lines[-2:] == ["Next: rlready show a", "Report: a/report.html"]
    assert run("", "--wide").stdout.splitlines()[2].endswith("h (%)")


def test_words_say_what_to_do_next_and_the_command_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command they stand alone: no other command is offered in its place."""
    for command, run in (("rlready rl a", ["Run: rlready rl a"]), ("", [])):
        result = Result(verb="readiness", headline="a.", next_action="Start RL from a now.", next_command=command)
        print_result(Finished(result, Path("b/report.html")))
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2 - len(run) :] == ["Next: Start RL from a now.", *run, "Report: b/report.html"]


def test_a_narrow_terminal_loses_no_digit() -> None:
    shown = on_terminal(60)
    assert shown.count("45.2") == shown.count("40.1") == shown.count("50.2") == 5
    assert all(len(line) <= 60 for line in shown.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())


def test_no_colour_where_none_is_wanted() -> None:
    assert "\x1b[1m" in on_terminal(120)
    assert "\x1b" not in on_terminal(120, NO_COLOR="1")
