"""Hooks of mkdocs.yml: what the site needs beside the pages in docs/.

The README is the site's first page. CONTRIBUTING, CHANGELOG, SECURITY and the pages of evidence/ and bench/ are taken
from where they are, with every file that a page links to, so that the site links to itself alone. Formulas
(```math, in LaTeX) become MathML, which browsers draw without a script.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LOG = get_plugin_logger("docs_site")
ROOT = Path(__file__).parents[1]
PATTERNS = ("README.md", "C*.md", "SECURITY.md", "bench/**/README.md", "evidence/**/README.md")
OUTSIDE = sorted(str(path.relative_to(ROOT)) for pattern in PATTERNS for path in ROOT.glob(pattern))
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Formulas are drawn by `formula`; the pages outside docs/ are the last two sections."""
    measured = [path for path in OUTSIDE if "/" in path]
    project = [path for path in OUTSIDE if "/" not in path and path != "README.md"]
    config.nav = [*(config.nav or []), {"Measured": measured}, {"Project": project}]
    fence = {"name": "math", "class": "math", "format": formula}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def formula(source: str, *_: object, **__: object) -> str:
    """LaTeX as MathML."""
    scrolls = 'class="formula" role="region" aria-label="Formula" tabindex="0"'
    return f"<div {scrolls}>{convert(source, display='block')}</div>"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and the files that pages link to."""
    inside = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    linked = {target for page in [*OUTSIDE, *inside] for target in _linked(page)}
    for path in sorted({*OUTSIDE, *(target for target in linked if not target.startswith("docs/"))}):
        files.append(File.generated(config, in_site(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """A wide table scrolls in a box that the keyboard reaches; the theme's own box is out of its reach."""
    opened = '<div class="wide" role="region" aria-label="Table" tabindex="0"><table class="plain">'
    return html.replace("<table>", opened).replace("</table>", "</table></div>")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links between files of the repository become links between pages of the site."""
    here = page.file.src_uri
    path = next((outside for outside in OUTSIDE if in_site(outside) == here), f"docs/{here}")

    def relative(link: re.Match[str]) -> str:
        target = _target(path, link[1])
        return os.path.relpath(in_site(target), os.path.dirname(here) or ".") if target else link[1]

    return LINK.sub(relative, markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Warn, which `mkdocs build --strict` refuses, of a page that would load something from a network.

    The theme's search dialog gets a name, which it lacks.
    """
    for found in re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?(https?:[^\"' >]+)", output):
        LOG.warning(f"{page.file.src_uri} loads {found}")
    return output.replace('data-md-component="search"', 'data-md-component="search" aria-label="Search"')


def in_site(path: str) -> str:
    """Where a file of the repository is in the site's sources."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _linked(page: str) -> Iterator[str]:
    """The files of the repository that a page links to."""
    for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        if target := _target(page, link):
            yield target


def _target(page: str, link: str) -> str | None:
    """The file that a page links to, from the root of the repository; None for any other link."""
    path = os.path.normpath(os.path.join(os.path.dirname(page), link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None
