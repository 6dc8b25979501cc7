"""Imports point one way: packages and top-level modules depend on each other without a cycle."""

from __future__ import annotations

import ast
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
