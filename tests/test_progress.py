"""Progress: a line at once and then at a pace a log can bear; the whole run's time left follows the measurement."""

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlready.cli.main import main
from rlready.core.messages import breaking_silence, note
from rlready.core.progress import SCREEN, Plan, Progress, Screen, counted
from rlready.core.result import Table
from rlready.core.sampling_progress import SamplingProgress
from rlready.core.tables import print_tables

HOSTILE = "[red]\x1b[2Jx\u202e[/red]"
HARMLESS = "[red]⟨U+001B⟩[2Jx⟨U+202E⟩[/red]"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_lines_in_a_file_are_few_and_say_rate_and_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("sampling", total=1000, unit="tokens", screen=Screen(stream, clock)) as bar:
        assert stream.getvalue() == "sampling  0/1,000 tokens\n"
        for _ in range(40):
            clock.now += 0.25
            bar.update(25, loss=0.25)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "sampling  200/1,000 tokens  100 tokens/s  0:08 left  loss 0.25"
    assert lines[-1] == "sampling  1,000/1,000 tokens  100 tokens/s  0:10 in all  loss 0.25"
    assert len(lines) == 6


def test_sampling_is_counted_in_tokens_as_they_are_decoded() -> None:
    """The time left follows from the lengths in ended batches and the mean rate; before, it is an upper bound."""
    clock, stream = Clock(), io.StringIO()
    with SamplingProgress("sampling", 40, 100, screen=Screen(stream, clock)) as bar:
        bar.skip(20)  # of an earlier attempt
        bar.decoded(0, 0, 0)  # nothing was replayed
        for step in range(1, 11):
            bar.decoded(4 if step <= 6 else 2, 2 * (step == 6), step)
            clock.now += 0.5
        assert bar.status == "22/40 samples  6 tokens/s  up to 4:38 left"  # 16 samples of 100 tokens, 2 have 90 left
        bar.decoded(2, 2, 11)
        assert bar.status.startswith("24/40 samples  7 tokens/s  0:20 left")
        assert bar.tokens_left == pytest.approx(16 * (6 + 11) / 2)
        bar.decoded(4, 0, 7)  # so 6 of 8 are longer than 6
        assert bar.tokens_left == pytest.approx(12 * (6 + 0.75 * 5) + 4 * (11 - 7))
        bar.decoded(4, 0, 12)  # longer than any before
        assert bar.tokens_left == pytest.approx(12 * (6 + 0.75 * 5 + 0.5 * 2) + 4)
        bar.decoded(4, 4, 13)
        bar.decoded(12, 12, 8)
        assert bar.share == 1
    assert stream.getvalue().splitlines()[-1].startswith("sampling  40/40 samples")


@pytest.mark.parametrize("spread", [0.2, 0.8])
def test_the_time_left_to_sample_is_steady(spread: float) -> None:
    """Batches of growing size, the first ones slower for each token: the end does not jump."""
    clock, rng, seen = Clock(), np.random.default_rng(0), list[tuple[float, float]]()
    lengths = np.clip(rng.lognormal(4, spread, 1200), 1, 1000).astype(int)
    with SamplingProgress("sampling", 1200, 1000, screen=Screen(io.StringIO(), clock)) as bar:
        for batch in np.split(lengths, [32, 160, 416, 672, 928]):
            clock.now += 1
            for step in range(1, int(batch.max()) + 1):
                running = int((batch >= step).sum())
                clock.now += 0.02 + running * 0.003
                bar.decoded(running, int((batch == step).sum()), step)
                if not bar.is_upper_bound and bar.left is not None:
                    seen.append((clock.now, bar.left))
    whole = clock.now - 100
    ends = np.array([now + left for now, left in seen]) - 100
    assert len(seen) > 100
    assert np.abs(np.diff(ends))[10:].max() < 0.05 * whole  # before, the rate is that of one small batch
    assert np.abs(ends - whole).max() < 0.4 * whole


def test_a_slow_start_is_told_unless_something_else_has_been(capsys: pytest.CaptureFixture[str]) -> None:
    for said in ([], ["preset"]):
        with breaking_silence("checking", after=0.01):
            for text in said:
                note(text)
            time.sleep(0.1)
    with breaking_silence("checking", after=0.1):
        pass
    time.sleep(0.15)
    assert capsys.readouterr().err == "checking\npreset\n"


def test_a_bar_within_a_bar_is_shown_once_it_stays() -> None:
    """The rollouts of a fast step must not hide the metrics of the run."""
    clock, stream = Clock(), io.StringIO()
    screen = Screen(stream, clock)
    with Progress("rl", total=4, screen=screen) as outer, SamplingProgress("rollouts", 8, 5, screen=screen) as inner:
        clock.now += 1.9
        inner.decoded(8, 1, 1)
        clock.now += 0.05
        inner.decoded(7, 1, 2)
        outer.update(1, reward=0.5)
        clock.now += 2
        inner.decoded(6, 1, 3)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "rl  0/4"
    assert lines[1].startswith("rl 1/4  rollouts  3/8 samples")


def test_a_line_names_the_bars_around_it() -> None:
    clock, stream = Clock(), io.StringIO()
    screen = Screen(stream, clock)
    with Progress("sweep", total=4, screen=screen) as outer, Progress("sft", total=10, screen=screen) as inner:
        outer.update(1)
        clock.now += 2
        inner.update(5)
    assert stream.getvalue().splitlines()[1] == "sweep 1/4  sft  5/10  2.5 steps/s  0:02 left"


def test_a_resumed_bar_does_not_count_the_earlier_attempt_as_speed() -> None:
    clock = Clock()
    with Progress("rl", total=100, done=90, screen=Screen(io.StringIO(), clock)) as bar:
        clock.now += 5
        bar.update(5)
        assert bar.left == pytest.approx(5)


def test_a_terminal_shows_bars_below_what_is_printed(terminal: Terminal) -> None:
    clock = Clock()
    screen = Screen(terminal, clock)
    with Progress("sft", total=4, screen=screen) as bar:
        screen.print("saved")
        clock.now += 3
        bar.update(3, loss=0.5)
        shown = terminal.getvalue()
    drawings = [re.sub(r"\x1b\[[0-9;?]*\w", "", line) for line in re.split(r"[\r\n]+", shown)]
    assert re.fullmatch(r"sft  ━{10}  0/4 *", drawings[0])
    assert drawings[1].rstrip() == "saved"
    assert re.fullmatch(r"sft  ━{7}[╸━]━{2}  3/4  1 steps/s  0:01 left  loss 0.5 *", drawings[-1])
    end = terminal.getvalue().removeprefix(shown)
    assert "\x1b[2K" in end  # the bar is erased, its summary stays
    assert end.endswith("sft  3/4  1 steps/s  0:01 left  loss 0.5\n")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is seen, should the process be killed


def test_text_cannot_control_the_terminal(terminal: Terminal) -> None:
    for stream in (terminal, io.StringIO()):
        screen = Screen(stream)
        with Progress(HOSTILE, total=4, screen=screen) as bar:
            bar.update(1, text=HOSTILE)
            screen.print(HOSTILE)
        assert stream.getvalue().count(HARMLESS) >= 2
        assert "\x1b[2J" not in stream.getvalue()


def test_a_closed_stream_does_not_stop_a_run() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    with Progress("sft", total=4, screen=screen) as bar:
        stream.close()
        screen.print("saved")
        bar.update(4)
    with Progress("rl", total=4, screen=screen) as bar:
        bar.update(4)


def test_quiet_keeps_warnings(terminal: Terminal) -> None:
    for stream in (terminal, io.StringIO()):
        screen = Screen(stream)
        screen.quiet = True
        screen.print("loading")
        with Progress("sft", total=4, screen=screen) as bar:
            screen.print("beta=0 removes the KL penalty", warning=True)
            bar.update(4)
        assert stream.getvalue() == "beta=0 removes the KL penalty\n"


def test_the_plan_adapts_to_the_speed_of_the_machine() -> None:
    clock = Clock()
    screen = Screen(io.StringIO(), clock)
    plan = Plan([("sft", 60.0), ("readiness", 30.0), ("rl", 100.0)], screen)
    with plan.stage("sft"):
        assert plan.left == pytest.approx(190)
        with Progress("sft", total=10, screen=screen) as bar:
            clock.now += 60
            bar.update(5)
            assert "1:00 left  whole run: 5:20 left" in str(bar)  # twice as slow as planned
            clock.now += 60
            bar.update(5)
        assert plan.left == pytest.approx(2 * 130)
    with plan.stage("readiness"):
        pass  # found finished: says nothing about the speed
    with plan.stage("rl"):
        assert plan.left == pytest.approx(200)
        clock.now += 150
        assert plan.left == pytest.approx(50)
    assert screen.plan is None


TABLES = [
    Table(["model", "pass@1"], [["a", "0.25"], ["[b]long[/b]", "−1 [−2, 3]"], ["c", ""]], "Scores"),
    Table(["text"], [[HOSTILE]]),
]


def test_tables_in_a_file_are_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(TABLES)
    assert capsys.readouterr().out.splitlines() == [
        "Scores",
        "model            pass@1",
        "a                  0.25",
        "[b]long[/b]  −1 [−2, 3]",
        "c",
        "",
        "text",
        HARMLESS,
    ]


def test_tables_on_a_terminal_wrap_their_cells(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_tables([*TABLES, Table(["words", "n"], [["three words here, and more", "12345"]])])
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in terminal.getvalue().splitlines()]
    assert all(len(line) <= 20 for line in lines)
    assert "three words    12345" in lines
    assert "\x1b[2J" not in terminal.getvalue()


def test_rich_is_imported_where_it_draws() -> None:
    code = "import sys, rlready.core.progress, rlready.core.tables; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_quiet_ends_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls the command line keeps its own progress afterwards."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", "nosuch", "--quiet"]) == 2
    assert not SCREEN.quiet


@pytest.mark.parametrize(("seconds", "shown"), [(0.1, False), (0.4, True)])
def test_a_loop_that_takes_long_gets_a_bar_and_a_short_one_none(seconds: float, shown: bool) -> None:
    stream, clock = io.StringIO(), Clock()
    screen, found = Screen(stream, clock), list[int]()
    for item in counted("tokenising", [1, 2, 3, 4, 5, 6, 7, 8], "rows", screen):
        found.append(item)
        clock.now += seconds
    assert found == [1, 2, 3, 4, 5, 6, 7, 8]
    assert ("tokenising" in stream.getvalue()) == shown
    assert not screen.open
