"""Imports point one way, and the map of the layout in the README names every file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import rlready

SOURCE = Path(rlready.__file__).parent


def imported(file: Path) -> Iterator[str]:
    """The packages or top-level modules of ours that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rlready":
            inside = (node.module or "").split(".")[1:2]
            yield from inside or (alias.name for alias in node.names)


def test_imports_have_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        name = file.relative_to(SOURCE).with_suffix("").parts[0]
        if name != "__init__":  # it names the verbs, which are imported when they are called
            graph.setdefault(name, set()).update(set(imported(file)) - {name})
    assert {"train", "engine", "tasks"} < graph.keys()
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_the_map_names_every_file() -> None:
    readme = (SOURCE.parents[1] / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("    src/rlready/\n")[2].partition("    tests/")[0]
    named = re.findall(r"\b[a-z0-9_]+\.py\b", shown)
    files = [f.name for f in SOURCE.rglob("*.py") if not f.name.startswith("__")]
    assert sorted({*named}) == sorted({*files})
    # one name may stand for files in several packages, each shown there
    assert len(named) == len(files), sorted(f for f in {*files} if named.count(f) != files.count(f))
