"""What tools read beside the code: the lock, the manifest of claims, and metadata of archives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    found = [line.lower().replace("_", "-").split("==") for line in lines if line and line[0] != "#"]
    assert all(len(pin) == 2 for pin in found)  # nothing but NAME==VERSION: no address of a registry
    return {pin[0]: pin[1] for pin in found}


def test_the_lock_has_the_versions_of_the_constraints() -> None:
    lock, constraints = pins("requirements.lock"), pins("constraints.txt")
    assert {"torch", "transformers", "numpy", "pytest"} <= lock.keys()
    assert {name: lock[name] for name in lock.keys() & constraints.keys()} == {
        name: constraints[name] for name in lock.keys() & constraints.keys()
    }


def test_the_manifest_says_what_the_results_say() -> None:
    spec = importlib.util.spec_from_file_location("make_manifest", ROOT / "scripts/make_manifest.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.claims()
    assert len(found) > 100
    counts = {len(claim["seeds"]) for claim in found if "seeds" in claim}
    assert counts == {5}  # a claim over some seeds only, such as dense modulo 17 over 1 and 4, names none
    for path, content in module.written().items():
        assert (ROOT / path).read_text() == content, f"{path}: run scripts/make_manifest.py"
