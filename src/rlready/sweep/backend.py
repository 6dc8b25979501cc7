"""``backend`` in ``[rl]`` of a sweep file: what trains by RL, which is rlready itself or another tool."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from rlready.core.config import Tool
from rlready.core.errors import UserError
from rlready.core.options import TomlTable

BACKENDS: dict[str, Tool | None] = {"rlready": None, **{f"export:{tool}": tool for tool in get_args(Tool)}}


def take_tool(file: Path, rl: TomlTable) -> Tool | None:
    """Remove ``backend`` from ``[rl]``; the tool that it names, None for rlready itself."""
    recipes = rl.get("recipes")
    if isinstance(recipes, list) and any(isinstance(recipe, dict) and "backend" in recipe for recipe in recipes):
        raise UserError(f"{file} [[rl.recipes]]: backend is one for all recipes; write it in [rl]")
    backend = rl.pop("backend", "rlready")
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise UserError(f"{file} [rl]: backend = {backend!r} is not one of {', '.join(BACKENDS)}")
    return BACKENDS[backend]
