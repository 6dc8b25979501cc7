"""The documentation as a site, which `make docs` builds, in a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser.conftest import PHONE, WIDE, too_wide, violations

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = (
    "index.html",
    "tutorial.html",
    "which-checkpoint.html",
    "verbs/readiness.html",
    "verbs/predict.html",
    "reference.html",
    "evidence/predict/index.html",
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site over HTTP: axe-core reads its style sheets, which a browser forbids a page on a disk."""
    if not SITE.exists():
        pytest.skip("make docs has not built the site")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_the_site_fit_and_are_accessible(browser: Browser, address: str, name: str) -> None:
    """Wide and on a phone, light and dark, and without a request to anywhere else."""
    for size, scheme in ((WIDE, "light"), (WIDE, "dark"), (PHONE, "light")):
        with browser.new_context(viewport=size, color_scheme=scheme) as context:
            page, asked = context.new_page(), list[str]()
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(f"{address}/{name}")
            assert too_wide(page) <= 0
            assert violations(page) == []
            assert all(url.startswith(address) for url in asked if not url.startswith("data:"))
