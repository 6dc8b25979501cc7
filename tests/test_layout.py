"""Imports go down the order of packages only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import rlready

SOURCE = Path(rlready.__file__).parent
# from the bottom up; a package imports from those before it and from itself
ORDER = [
    *("core", "runs", "models", "tasks", "credit", "engine", "influence", "interchange", "readiness"),
    *("inject", "train", "evaluate", "predict", "export", "sweep", "report", "checklist", "cli"),
]


def imported(file: Path) -> Iterator[str]:
    """The packages of rlready that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rlready":
            inside = (node.module or "").split(".")[1:2]
            yield from inside or (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("rlready."))


def test_imports_go_down_the_order_of_packages() -> None:
    packages = {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()}
    assert packages == set(ORDER)
    against = [
        f"{file.relative_to(SOURCE)} imports {name}"
        for package in ORDER
        for file in (SOURCE / package).rglob("*.py")
        for name in imported(file)
        if ORDER.index(name) > ORDER.index(package)
    ]
    assert not against


def test_the_root_holds_packages_only() -> None:
    assert sorted(file.name for file in SOURCE.glob("*.py")) == ["__init__.py", "__main__.py"]
