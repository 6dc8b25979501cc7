"""The page of a run in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browser.conftest import PHONE, WIDE, too_wide, violations
from rlready import EvaluateConfig, evaluate
from rlready.report.page import write


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "evaluate"
    problems = "dagmath?ops=5&asked=3&n=6&seed=1"
    evaluate(EvaluateConfig(models=("embedded",), problems=problems, thinking_budgets=(8, 16), samples=2), out)
    return write(out)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_page_fits_its_window_and_can_be_read_by_everyone(
    open_page: Callable[..., Page], evaluated: Path, size: dict[str, int], scheme: str
) -> None:
    page = open_page(evaluated, size=size, scheme=scheme)
    assert page.locator("h1").is_visible()
    assert too_wide(page) <= 0
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_column_of_a_table_stays_in_sight_on_a_phone(
    open_page: Callable[..., Page], evaluated: Path, scheme: str
) -> None:
    """Over what scrolls beneath it, which its background hides."""
    page = open_page(evaluated, size=PHONE, scheme=scheme)
    found = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth).flatMap((e) => {
          e.scrollLeft = 60;
          const left = e.getBoundingClientRect().left;
          return [...e.querySelectorAll("thead > tr > :first-child, tbody th:first-child")].map((cell) => [
            cell.getBoundingClientRect().left - left, cell.getBoundingClientRect().width / innerWidth,
            getComputedStyle(cell).backgroundColor === "rgba(0, 0, 0, 0)",
          ]);
        })"""
    )
    assert len(found) > 4
    assert all(abs(offset) < 1 and width < 0.5 and not clear for offset, width, clear in found)
