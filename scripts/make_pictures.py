"""Draw the pictures of docs/pictures again, from the folder of a demo: ``python scripts/make_pictures.py runs/demo``.

Needs the extra ``browser`` (``make .venv/.browser``) and Chromium.  The demo gives the same numbers each time on one
kind of processor.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from rlready.report.demo_result import DemoResult
from rlready.report.page import write

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
COLOURS = 256  # a third of the bytes of all colours, of which text has many shades
PHONE, PAPER = (390, 844), (794, 1123)


def draw(demo: Path) -> None:
    """The first screens of the demo and of its readiness, and two samples side by side in the viewer."""
    report, ready = write(demo), write(demo / "readiness")
    short = DemoResult.load(demo).short

    def two_samples(page: Page) -> None:
        page.get_by_label(f"Sample 0 of {short['sft']} · budget 28").click()
        page.get_by_label("Compare with").select_option(label=f"{short['rl']} · budget 28")
        page.get_by_text("link").nth(1).wait_for()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, path, size in (("report", report, (1280, 780)), ("readiness", ready, (1280, 675))):
            shoot(browser, path, name, size)
            shoot(browser, path, f"{name}-dark", size, scheme="dark")
            shoot(browser, path, f"{name}-phone", PHONE)
        shoot(browser, ready, "readiness-print", PAPER, media="print")
        viewer = demo / "samples.html"
        for scheme in ("light", "dark"):
            shoot(browser, viewer, f"samples-{scheme}", (1280, 640), scheme=scheme, before=two_samples)
        shoot(browser, viewer, "samples-phone", PHONE, before=two_samples)
        browser.close()


def shoot(
    browser: Browser,
    path: Path,
    name: str,
    size: tuple[int, int],
    *,
    scheme: str = "light",
    media: str = "screen",
    before: Callable[[Page], None] = lambda _: None,
) -> None:
    """One picture of what a window of this size shows."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.emulate_media(media=media, color_scheme=scheme)
    page.goto(path.absolute().as_uri())
    if path.name == "samples.html" and size == PHONE:
        page.locator("[role=option]").first.click()
    before(page)
    image = Image.open(BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        PICTURES / f"{name}.png", optimize=True
    )
    context.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
