"""The first screen of the pages in a browser: the decision without scrolling, at every width, and on paper."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browser.conftest import PHONE, WIDE, too_wide, violations
from measured import checkpoint, write_readiness
from rlready.core.config import PredictConfig
from rlready.predict.stage import predict
from rlready.report.page import write
from rlready.runs.files import write_json
from test_report import HOSTILE, demo_folder, fig, sweep_result

HEIGHT = 800
NAMES = ("ready", "many", "predict", "tried", "sweep", "demo")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    found = [
        checkpoint(str(root / f"sft/checkpoints/step-{i}"), reach=reach, skill=0.3, seed=i)
        for i, reach in enumerate((0.5, 0.7, 0.76, 0.78))
    ]
    ready = write_readiness(root / "ready", found)
    nine = [
        checkpoint(str(root / f"nine/checkpoints/step-{i}"), reach=0.1 + 0.09 * i, skill=0.3, seed=i) for i in range(9)
    ]
    write_readiness(root / "many", nine)
    rows = [{"checkpoint": c.name, "outcome": 0.1 + 0.8 * c.pass_64} for c in found]
    (root / "rl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, runs in (("predict", [ready]), ("tried", [ready, root / "rl.jsonl"])):
        predict(PredictConfig(runs=tuple(map(str, runs)), splits=20, resamples=100), root / name)
    (first, *_) = sweep_result().starts
    starts = [
        first.model_copy(update={"checkpoint": f"recipe-{i}/{HOSTILE if i == 7 else 'step-9'}", "outcome": fig(i / 60)})
        for i in range(51)
    ]
    (root / "sweep").mkdir()
    write_json(root / "sweep/result.json", sweep_result().model_copy(update={"starts": starts, "runs": 153}))
    demo_folder(root / "demo")
    return {name: write(root / name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_page_fits_and_is_accessible(open_page: Callable[..., Page], pages: dict[str, Path], name: str) -> None:
    """Light and dark, wide and on a phone; at 1280 pixels no table has to be scrolled."""
    for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", PHONE)):
        page = open_page(pages[name], size=size, scheme=scheme)
        assert too_wide(page) <= 0
        assert violations(page) == []
        scrolled = page.locator(".scroll").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth).length")
        assert size is PHONE or scrolled == 0


@pytest.mark.parametrize("name", ["ready", "predict", "tried", "demo"])
def test_the_decision_needs_no_scrolling(open_page: Callable[..., Page], pages: dict[str, Path], name: str) -> None:
    """Headline, picture and three numbers."""
    page = open_page(pages[name], size={"width": 1280, "height": HEIGHT})
    assert page.locator(".numbers .big").count() == 3
    for part in ("h1", ".decision > figure", ".numbers"):
        box = page.locator(part).bounding_box()
        assert box
        assert box["y"] + box["height"] <= HEIGHT


@pytest.mark.parametrize("size", [{"width": 1280, "height": HEIGHT}, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("name", ["many", "predict"])
def test_what_to_do_next_needs_no_scrolling(
    open_page: Callable[..., Page], pages: dict[str, Path], name: str, size: dict[str, int]
) -> None:
    """With nine checkpoints, and on a phone."""
    title, following = (open_page(pages[name], size=size).locator(part).bounding_box() for part in ("h1", ".next"))
    assert title
    assert following
    assert title["y"] < following["y"]
    assert following["y"] + following["height"] <= size["height"]


def test_the_command_has_a_line_of_its_own_with_the_reason_beneath(
    open_page: Callable[..., Page], pages: dict[str, Path]
) -> None:
    """Two short sentences at most."""
    following = open_page(pages["predict"]).locator(".next")
    command, reason = (following.locator(part).bounding_box() for part in ("code", "span"))
    assert command
    assert reason
    assert reason["y"] >= command["y"] + command["height"]
    assert reason["x"] == command["x"]
    said = following.locator("span").inner_text()
    assert said.count(". ") <= 1
    assert len(said) <= 160


def test_bars_stand_where_their_numbers_are(open_page: Callable[..., Page], pages: dict[str, Path]) -> None:
    """The first is at the line, the others left of it in the order of the ranking."""
    page = open_page(pages["ready"])
    dots = page.locator(".forest .dot").evaluate_all("all => all.map(e => e.getBoundingClientRect().x)")
    assert len(dots) == 4
    assert dots == sorted(dots, reverse=True)
    line = page.locator(".forest table").evaluate("e => parseFloat(e.style.getPropertyValue('--line'))")
    assert page.locator(".forest .dot").first.evaluate("e => parseFloat(e.style.left)") == line


def test_the_page_of_a_large_sweep_opens_at_once(open_page: Callable[..., Page], pages: dict[str, Path]) -> None:
    page = open_page(pages["sweep"])
    spent = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert spent < 2000
    assert page.locator(".forest tbody tr").count() == 10
    assert pages["sweep"].stat().st_size < 8e6
    assert pages["demo"].stat().st_size < 1e6


def test_the_choice_is_visible_on_paper(open_page: Callable[..., Page], pages: dict[str, Path]) -> None:
    page = open_page(pages["ready"])
    page.emulate_media(media="print")
    assert page.locator(".forest .chosen .dot").evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"


@pytest.mark.parametrize("name", NAMES)
def test_tables_fit_on_paper(open_page: Callable[..., Page], pages: dict[str, Path], name: str) -> None:
    """A4 upright, with margins of 1 cm."""
    page = open_page(pages[name], size={"width": 718, "height": 1046})
    page.emulate_media(media="print")
    assert page.locator(".scroll").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth).length") == 0
