"""Progress: a line at once and then at a pace a log can bear; the whole run's time left follows the measurement."""

import io

import pytest

from rlready.core.progress import Plan, Progress, Screen


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    assert len(lines) == 7


def test_a_resumed_bar_does_not_count_the_earlier_attempt_as_speed() -> None:
    clock = Clock()
    with Progress("rl", total=100, done=90, screen=Screen(io.StringIO(), clock)) as bar:
        clock.now += 5
        bar.update(5)
        assert bar.left == pytest.approx(5)


def test_a_note_does_not_break_the_line_on_a_terminal() -> None:
    clock, stream = Clock(), Terminal()
    screen = Screen(stream, clock)
    with Progress("sft", total=4, screen=screen) as bar:
        screen.print("saved")
        clock.now += 3
        bar.update(4)
    assert stream.getvalue() == (
        "\rsft  0/4\x1b[K\r\x1b[Ksaved\n\rsft  4/4  1.333 steps/s  0:03 in all\x1b[K"
        "\r\x1b[Ksft  4/4  1.333 steps/s  0:03 in all\n"
    )


def test_quiet_and_a_closed_stream_stop_nothing() -> None:
    for screen in (Screen(io.StringIO()), Screen(io.StringIO())):
        screen.stream.close()
        with Progress("sft", total=4, screen=screen) as bar:
            bar.update(4)
        assert screen.gone


def test_quiet_keeps_warnings() -> None:
    screen = Screen(stream := io.StringIO())
    screen.quiet = True
    screen.print("loading")
    with Progress("sft", total=4, screen=screen) as bar:
        screen.print("beta=0 has no leash", warning=True)
        bar.update(4)
    assert stream.getvalue() == "beta=0 has no leash\n"


def test_the_plan_learns_the_machines_speed() -> None:
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
