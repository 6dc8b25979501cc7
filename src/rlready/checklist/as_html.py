"""The document of a filled form as one HTML page that needs no network, in the style of the report."""

from __future__ import annotations

from importlib.resources import files
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from rlready.checklist.result import LEFT, ChecklistResult
from rlready.checklist.runs import link_to
from rlready.report.text import environment

MOST = 1000  # pieces of evidence of a group; --json has all


def html(result: ChecklistResult, folder: Path) -> str:
    """The page, whose links start in ``folder``."""
    css = files("rlready.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        environment(__package__)
        .get_template("checklist.html")
        .render(
            result=result,
            sections=[(name, list(items)) for name, items in groupby(result.items, lambda item: item.section)],
            css=Markup(css),
            most=MOST,
            left=LEFT,
            link=lambda file: link_to(file, folder),
        )
    )
