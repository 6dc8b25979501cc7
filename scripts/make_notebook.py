"""Write docs/tutorial.ipynb from docs/tutorial.md: text, commands and Python as cells.

python scripts/make_notebook.py           # after the tutorial has changed
"""

from __future__ import annotations

import json
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
# a block of Python, or an indented block of commands; other indented blocks are output, and stay in the text
CODE = re.compile(r"^```python\n(?P<python>(?:.*\n)*?)```\n|^(?P<shell>    rlready .*\n(?:    .*\n)*)", re.MULTILINE)


def notebook() -> str:
    """The notebook as JSON (nbformat 4.5)."""
    text, cells, begin = PAGE.read_text(encoding="utf-8"), list[dict[str, object]](), 0
    for found in CODE.finditer(text):
        cells += _text(text[begin : found.start()], len(cells))
        cells.append(_code(found["python"] or _shell(found["shell"]), len(cells)))
        begin = found.end()
    cells += _text(text[begin:], len(cells))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    written_in = {"language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": kernel | written_in, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _shell(block: str) -> str:
    """Commands as a notebook runs them: each begins with an exclamation mark."""
    return re.sub(r"^    (?=rlready )", "!", block, flags=re.MULTILINE)


def _code(source: str, number: int) -> dict[str, object]:
    cell = {"cell_type": "code", "execution_count": None, "id": f"cell-{number}", "metadata": {}, "outputs": []}
    return cell | {"source": _lines(source)}


def _text(source: str, number: int) -> list[dict[str, object]]:
    cell = {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": _lines(source)}
    return [cell] if source.strip() else []


def _lines(source: str) -> list[str]:
    return source.strip("\n").splitlines(keepends=True)


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(), encoding="utf-8")
