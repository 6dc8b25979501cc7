"""The report page: honest numbers, hostile text kept harmless, and no section without its data."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlready.core.errors import UserError
from rlready.core.text import visible
from rlready.report import page
from rlready.report.axes import nice_ticks
from rlready.report.claims import Claim
from rlready.report.plots import Point, Series, line_chart

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\x00\x1b\u202e\ud800🙂"
EMPTY_TAGS = {"meta", "img", "br", "link", "input"}
KS = (1, 2, 4, 8, 16, 32, 64)


def fig(value: float, width: float = 0.03, n: int = 200, varies: str = "problems") -> dict[str, Any]:
    return {"value": value, "low": value - width, "high": value + width, "n": n, "varies": varies}


def checkpoint(i: int) -> dict[str, Any]:
    alpha = (0.04, 0.16, 0.33, 0.41)[i]
    return {
        **{"name": f"step-{43 * (i + 1)}", "epoch": 0.5 * (i + 1), "step": 43 * (i + 1), "picked": i == 2},
        "heldout_loss": fig((0.81, 0.62, 0.553, 0.571)[i], 0.02, 200, "rows"),
        "pass": {str(k): fig((1 - (1 - alpha) ** k) * (0.93, 0.94, 0.95, 0.9)[i], 0.03, 64) for k in KS},
        **{"never": fig(0.31 - 0.08 * i, 0.05, 64), "sometimes": fig(0.66 - 0.03 * i, 0.05, 64)},
        "always": fig(0.03 + 0.11 * i, 0.02, 64),
    }


def budget(cap: int) -> dict[str, Any]:
    def at(top: float, scale: float, used: float) -> dict[str, Any]:
        share = 1 - math.exp(-cap / scale)
        return {
            "accuracy": fig(top * share),
            "thinking_tokens": fig(used * share, 1.1),
            "truncated": fig(0.5 - share / 3),
        }

    return {"budget": cap, "base": at(0.21, 60, 71), "sft": at(0.55, 45, 66), "rl": at(0.86, 24, 48)}


def demo_result() -> dict[str, Any]:
    return {
        **{"verb": "demo", "seed": 0, "seconds": 543.2},
        "verdict": "RL from step-129 lifts accuracy from 41.3 % to 83.7 % and thinks in 26 % fewer tokens.",
        "task": {"source": "dagmath?ops=8&asked=3", "description": "Eight sums over a hidden graph, three answers."},
        "base": {"accuracy": fig(0.1284), "thinking_tokens": fig(70.32, 1.2)},
        "sft": {"accuracy": fig(0.4131), "strict_accuracy": fig(0.3879), "thinking_tokens": fig(65.08, 0.9)},
        "rl": {
            **{"accuracy": fig(0.8372), "strict_accuracy": fig(0.8017), "greedy_accuracy": fig(0.8561)},
            "thinking_tokens": fig(47.96, 0.7),
        },
        "rl_minus_sft": fig(0.4241, 0.051),
        "chance": {"pass@1": 0.00021, "pass@64": 0.0134, "majority": 0.0472},
        "checkpoints": [checkpoint(i) for i in range(4)],
        "budgets": [budget(cap) for cap in (24, 40, 56, 72, 96)],
        "stages": [{"name": "sft", "seconds": 171.4}, {"name": "rl", "seconds": 268.9}],
    }


def logs() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = random.Random(0)
    sft: list[dict[str, Any]] = []
    for step in range(1, 173):
        loss = 0.5 + 1.4 * math.exp(-step / 25) + rng.gauss(0, 0.03)
        sft.append({"step": step, "epoch": step / 86, "loss": loss, "tokens": 8192, "lr": 1e-3})
        if step % 43 == 0:
            held = 0.56 + 0.9 * math.exp(-step / 30)
            interval = {"heldout_low": held - 0.03, "heldout_high": held + 0.03}
            sft.append(
                {"step": step, "epoch": step / 86, "heldout_loss": held, **interval, "checkpoint": f"step-{step}"}
            )
    rl: list[dict[str, Any]] = []
    for step in range(50):
        share = 0.35 + 0.5 * (1 - math.exp(-step / 15)) + rng.gauss(0, 0.02)
        row = {"step": step, "reward": share - 0.02, "accuracy": share, "thinking": 60.0, "entropy": 0.6 - step / 110}
        row |= {"thinking_right": 58 - step / 4, "thinking_wrong": 70 + rng.gauss(0, 2) if step != 7 else None}
        row |= {"truncated": 0.3 * math.exp(-step / 20), "groups_used": 12 - step // 8, "groups_all_right": step // 8}
        rl.append(row | {"groups_all_wrong": 4, "loss": 0.01, "grad_norm": 0.4, "seconds": 5.0})
        if step % 10 == 0:
            value = 0.4 + 0.43 * (1 - math.exp(-step / 14))
            band = {"eval_low": value - 0.04, "eval_high": value + 0.04}
            rl.append({"step": step, "eval_accuracy": value, **band, "eval_thinking": 62 - step / 3.4})
    return sft, rl


def example(i: int) -> dict[str, Any]:
    model, right = ("base", "sft", "rl")[i % 3], i % 3 > 0 and i % 7 != 0
    pieces = [[f"c=4+{i}. ", 1], ["d=c+7", 1], [" so d=1", 1]] + (
        [["\n</think>", 0], ["\nFinal answer: ", 0]] if i % 2 else []
    )
    return {
        **{"model": model, "problem_id": f"dag-{1000 + i}", "prompt": f"b=3. c=4+{i}. d=c+7. What are b, c and d?"},
        **{"answer": "3 11 18", "correct": right, "strict": right and i % 5 > 0, "finish": "stop"},
        **{"truncated": bool(i % 2), "budget": 96, "thinking_tokens": 30 + i, "pieces": [*pieces, ["3 11 18", 1]]},
    }


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def demo_folder(folder: Path) -> Path:
    sft, rl = logs()
    write_jsonl(folder / "sft/log.jsonl", sft)
    write_jsonl(folder / "rl/log.jsonl", rl)
    write_jsonl(folder / "examples.jsonl", [example(i) for i in range(60)])
    (folder / "result.json").write_text(json.dumps(demo_result()))
    record = {"status": "done", "command": "rlready demo", "revision": "0e5ce1a", "packages": {"torch": "2.9.0"}}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


class Strict(HTMLParser):
    """Tags must close in the order in which they opened; keeps tags, attributes and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th"))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def svgs(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.S)]


def test_full_folder_is_one_whole_page_that_loads_nothing(tmp_path: Path) -> None:
    html = page.write(demo_folder(tmp_path)).read_text()
    parsed = Strict(html)
    plots = [svg for svg in svgs(html) if svg.get("class") == "plot"]
    titles = [svg.findtext("title") for svg in plots]
    assert len(plots) == 7
    assert titles[:3] == ["Accuracy against thinking spent", "SFT loss", "pass@k of each checkpoint"]
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in parsed.tags:
        assert not {"src", "href", "srcset", "data", "action"} & set(attributes), tag
        assert tag not in ("link", "iframe", "object", "img", "base")
    assert not re.search(r"https?:|url\(|@import|innerHTML", html)
    assert [a["data-outcome"] for t, a in parsed.tags if a.get("class") == "sample"].count("wrong") == 26


def test_numbers_are_those_of_the_result(tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", Strict(page.render(demo_folder(tmp_path))).text)
    for expected in (
        *("RL accuracy 83.7 % [80.7, 86.7]", "SFT accuracy 41.3 % [38.3, 44.3]", "+42.4 points [+37.3, +47.5]"),
        *("Thinking tokens, RL 48.0 [47.3, 48.7]", "Base 70.3 · SFT 65.1", "Chance, one guess 0.02 %"),
        *(
            "step-129 ★ picked 1.5 129 0.553 [0.533, 0.573]",
            "step-43 0.5 43",
            "95 % intervals, n = 200 rows and n = 64 problems",
        ),
    ):
        assert expected in text, expected
    curve = line_chart(
        [Series("a", [Point(0, 0.2), Point(10, 0.9)])], title="t", x_label="x", y_label="y", percent=True
    )
    ticks = {t.text: float(t.get("y", "")) for t in svgs(curve)[0].iter("text") if t.text and t.text.endswith("%")}
    path = next(p.get("d", "") for p in svgs(curve)[0].iter("path") if p.get("class", "").startswith("line"))
    end = float(path.split()[-1])
    assert end == pytest.approx(0.9 * ticks["100\u202f%"] + 0.1 * ticks["0\u202f%"] - 4, abs=0.05)


@pytest.mark.parametrize("verb", ["demo", "sft", "rl", "evaluate", "readiness"])
def test_hostile_text_in_every_field_stays_text(tmp_path: Path, verb: str) -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: poison(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v) for v in value]
        return HOSTILE if isinstance(value, str) else value

    result = poison(demo_result()) | {"verb": verb}
    result["budgets"][0][HOSTILE] = result["budgets"][0].pop("base")
    result["chance"][HOSTILE] = 0.5
    if verb != "demo":
        result = {k: v for k, v in result.items() if k not in ("base", "sft", "rl", "rl_minus_sft")}
    (tmp_path / "result.json").write_text(json.dumps(result))
    write_jsonl(tmp_path / "examples.jsonl", [poison(example(i)) for i in range(4)])
    (tmp_path / "record.json").write_text(json.dumps({HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}}))
    for name in ("log.jsonl", "sft/log.jsonl", "rl/log.jsonl"):
        write_jsonl(tmp_path / name, [poison(row) | {"checkpoint": HOSTILE} for log in logs() for row in log])
    html = page.write(tmp_path).read_text(encoding="utf-8")
    parsed = Strict(html)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert not [tag for tag, a in parsed.tags if tag == "img" or any(name.startswith("on") for name in a)]
    assert parsed.text.count("alert(1)</script>") > 30
    assert "{{ 7*7 }}⟨U+0000⟩⟨U+001B⟩⟨U+202E⟩⟨U+D800⟩🙂" in parsed.text
    assert not re.search("[\x00\x1b\u202e]", html)
    assert len(svgs(html)) > 3


@pytest.mark.parametrize("kept", [(), *[(k,) for k in demo_result() if k != "verb"]])
def test_any_part_of_a_result_is_enough(tmp_path: Path, kept: tuple[str, ...]) -> None:
    whole = demo_result()
    (tmp_path / "result.json").write_text(json.dumps({k: whole[k] for k in kept}))
    headings = {"budgets": "Accuracy at each thinking budget", "checkpoints": "Which checkpoint to start RL from"}
    text = Strict(page.render(tmp_path)).text
    for key, heading in headings.items():
        assert (heading in text) == (key in kept)
    assert "Samples" not in text
    assert "Reinforcement learning" not in text


def test_what_single_verbs_add(tmp_path: Path) -> None:
    def text_of(result: dict[str, Any]) -> str:
        (tmp_path / "result.json").write_text(json.dumps(result))
        return re.sub(r"\s+", " ", Strict(page.render(tmp_path)).text)

    points = [checkpoint(i) | {"mixed": fig(0.52), "behind": fig(0.113) if i != 2 else None} for i in range(4)]
    ready = text_of({"verb": "readiness", "group": 16, "checkpoints": points})
    assert "pass@1 pass@16 pass@64 behind the picked mixed groups never right sometimes always" in ready
    assert "11.3 points [8.3, 14.3] 52.0 % [49.0, 55.0]" in ready
    assert "Picked: pass@16" in ready
    assert "Held-out loss" in ready
    assert "past overfitting onset" not in ready
    more = {key: fig(0.21) for key in ("spread", "entropy", "length_right", "length_wrong", "truncated")}
    full = text_of(
        {"verb": "readiness", "checkpoints": [p | more | {"turned_up": i == 3} for i, p in enumerate(points)]}
    )
    assert "of entropy per token tokens, right tokens, wrong cut at the budget" in full
    assert full.count("past overfitting onset") == 1
    steps = [{"step": 0, "accuracy": fig(0.301)}, {"step": 20, "accuracy": fig(0.502)}]
    rl = text_of({"verb": "rl", "evaluations": steps, "best": steps[1]})
    assert "before RL 30.1 % [27.1, 33.1] n = 200 problems step 0 Held-out accuracy, best of RL 50.2 %" in rl
    natural = text_of({"verb": "evaluate", "budgets": [{"budget": None, "a/b": budget(96)["sft"]}]})
    assert "Accuracy, no budget 48.5 %" in natural
    assert "none b 48.5 %" in natural
    held = {"budget": 24, "a/b": {**budget(24)["sft"], "unfinished": fig(0.25), "change": fig(-0.1)}}
    beside = text_of({"verb": "evaluate", "budgets": [held]})
    assert "cut at the budget without an end minus the largest budget" in beside
    assert "minus the first model" not in beside
    assert "−10.0 points" in beside
    arm = {"model": "sft", "budget": 24, "stated": False, **budget(24)["sft"], "change": fig(0.1)}
    arms = [arm | {"extensions": e, "bias": 0.0} for e in (1, 2)]
    line = {"model": "sft", "stated": False, "bias": 0.0, "control": 1.0, "performance": fig(0.5), "at": 24}
    forced = {"verb": "evaluate", "budgets": [budget(24)]}
    alone = text_of(forced | {"arms": arms, "metrics": [line | {"extensions": 0}]})
    assert "Against budget alone at the same budget" in alone
    assert "tokensbudget alone1 extensions2 extensions" in alone
    extended = text_of(forced | {"arms": arms[:1], "metrics": [line | {"extensions": 2}]})
    assert "Against 2 extensions at the same budget" in extended
    assert "tokens2 extensions1 extensions" in extended
    both = {"budget": 24, "runs/a/step-1": budget(24)["sft"], "runs/b/step-1": budget(24)["rl"]}
    assert "24 a/step-1 " in (apart := text_of({"verb": "evaluate", "budgets": [both]}))
    assert " b/step-1 " in apart
    odd = {"budget": 24, "runs/budget": budget(24)["sft"]}
    assert "24 runs/budget " in text_of({"verb": "evaluate", "budgets": [odd]})


def test_forced_tokens_are_marked_and_chosen_ones_are_not(tmp_path: Path) -> None:
    html = page.render(demo_folder(tmp_path))
    marked = re.findall(r'<mark class="forced">(.*?)</mark>', html, re.S)
    assert marked == ["like this"] + 30 * ["\n&lt;/think&gt;\nFinal answer: "]
    assert "c=4+1. d=c+7 so d=1<mark" in html
    broken = [{"pieces": [["a", 2]]}, {"pieces": "text"}, {"correct": "yes"}, {"pieces": [["b" * 9, 1]]}]
    write_jsonl(tmp_path / "examples.jsonl", [{"model": "m", **row} for row in broken])
    text = Strict(page.render(tmp_path)).text
    assert text.count("examples.jsonl: ") == 3
    assert "b" * 9 in text


def test_logs_at_the_top_of_a_stage_folder_resumed_and_torn(tmp_path: Path) -> None:
    sft, rl = logs()
    for verb, log, title in (("sft", sft, "SFT loss"), ("rl", rl, "Groups that teach")):
        folder = tmp_path / verb
        write_jsonl(folder / "log.jsonl", log)
        (folder / "result.json").write_text(json.dumps({"verb": verb}))
        once = page.render(folder)
        assert title in once
        write_jsonl(folder / "log.jsonl", [*log, *log[-5:]])
        assert page.render(folder) == once
        with (folder / "log.jsonl").open("a") as file:
            file.write('{"step": 9')
        assert "log.jsonl: 1 unreadable line" in page.render(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *[("{", "not JSON"), ("[1]", "should hold an object"), ('{"budgets": {}}', "budgets should be a list")],
        *[
            ('{"rl": {"accuracy": 0.5}}', "rl: accuracy should be a figure"),
            ('{"verdict": 3}', "verdict should be text"),
        ],
        *[
            ('{"checkpoints": [{"pass": {"x": {"value": 1}}}]}', "checkpoints.pass"),
            ('{"chance": {"a": "b"}}', "a number"),
        ],
    ],
)
def test_a_result_that_is_none_is_one_clear_line(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(UserError, match=r"no report without .*result\.json"):
        page.write(tmp_path)
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError, match=re.escape(said)) as error:
        page.write(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_numbers_that_are_not_finite_are_left_out_not_drawn(tmp_path: Path) -> None:
    nan, inf = math.nan, math.inf
    assert line_chart([Series("a", [Point(1, nan), Point(inf, 2)])], title="t", x_label="x", y_label="y") == ""
    assert line_chart([], title="t", x_label="x", y_label="y") == ""
    points = [Point(0, 1.0), Point(1, nan), Point(2, 3.0, nan, 4.0), Point(3, 2.0, 1.5, 2.5), Point(4, -inf)]
    drawn = str(line_chart([Series("a", points)], title="t", x_label="x", y_label="y"))
    assert drawn.count('class="mark') == 3
    assert not re.search(r"\b(nan|inf)\b", drawn)
    result = {"rl": {"accuracy": {"value": nan, "low": None, "high": inf, "n": None}}, "budgets": [{"budget": 9}]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert "RL accuracy – [–, –]" in re.sub(r"\s+", " ", Strict(page.render(tmp_path)).text)


def test_charts_say_what_the_logs_say(tmp_path: Path) -> None:
    folder = demo_folder(tmp_path)
    described = {
        svg.findtext("title"): svg.findtext("desc") or "" for svg in svgs(page.render(folder)) if svg.get("role")
    }
    assert "mixed: 75\u202f% at RL step 0, 37.5\u202f% at 49, 50 points" in described["Groups that teach"]
    assert "wrong: " in described["Thinking length during RL"]
    assert ", 49 points" in described["Thinking length during RL"]  # one of the fifty is null
    assert "RL: 54.36\u202f% at mean" in described["Accuracy against thinking spent"]
    assert "step-129 ★: " in described["pass@k of each checkpoint"]
    assert (
        "chance: 0.021\u202f% at samples per problem, k 1, 1.34\u202f% at 64" in described["pass@k of each checkpoint"]
    )
    write_jsonl(folder / "sft/log.jsonl", [{"step": i, "loss": float(i)} for i in range(401)])
    html = page.render(folder)
    assert "training: 1 at step 1, 399.5 at 400, 134 points" in html
    assert "Training: means over 3 steps." in html


def test_only_the_script_of_the_page_may_run(tmp_path: Path) -> None:
    html = page.render(demo_folder(tmp_path))
    script = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert len(script) == 1
    assert f"script-src 'sha256-{digest}'\"" in unescape(html)
    assert "default-src 'none'" in html


@given(st.floats(-1e60, 1e60), st.floats(-1e60, 1e60), st.booleans())
def test_ticks_are_few_even_round_and_enclose(a: float, b: float, whole: bool) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high, whole=whole)
    slack = 1e-6 * (high - low) + 1e-6 * (ticks[-1] - ticks[0])
    assert 2 <= len(ticks) <= 9
    assert ticks[0] - slack <= low <= high <= ticks[-1] + slack
    steps = [y - x for x, y in pairwise(ticks)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert not whole or all(t == round(t) for t in ticks)


def test_ticks_of_common_axes() -> None:
    assert nice_ticks(0, 0.97) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert nice_ticks(1, 3, whole=True) == [1, 2, 3]
    assert nice_ticks(5, 5) == pytest.approx([4.4, 4.6, 4.8, 5.0, 5.2, 5.4, 5.6])


def test_text_keeps_its_lines_and_letters() -> None:
    assert visible("a\r\nb\tc é 漢字 👩‍🚀 שלום") == "a\nb\tc é 漢字 👩‍🚀 שלום"
    assert visible("a\rb\u2066\x7f") == "a⟨U+000D⟩b⟨U+2066⟩⟨U+007F⟩"


@pytest.mark.parametrize(
    ("target", "met"),
    [("> 0", True), (">= 2", False), ("interval > 0", False), ("interval > -2", True), ("interval < 3", False)],
)
def test_a_claim_is_checked_against_its_value_or_its_whole_interval(target: str, met: bool) -> None:
    assert Claim("a gain", 1.0, -1.0, 3.0, 5, "seeds", target).met is met
