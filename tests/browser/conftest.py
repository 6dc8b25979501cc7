"""Pages in the system's Chromium, from files, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        # no sandbox: it does not start for root, and the pages are our own
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file in a page of its own; the test fails in the end if a page has written an error, or asked for
    anything but files."""
    problems, contexts = list[str](), []

    def opened(path: Path, *, size: dict[str, int] = WIDE, scheme: str = "light", fragment: str = "") -> Page:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))

        def only_files(route: Route) -> None:
            if route.request.url.startswith("file:"):
                route.continue_()
            else:
                problems.append(f"asked for {route.request.url}")
                route.abort()

        page.route("**/*", only_files)
        page.goto(path.absolute().as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not problems


def too_wide(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {[n['target'] for n in v['nodes']][:5]}" for v in found if v["impact"] in SERIOUS]
