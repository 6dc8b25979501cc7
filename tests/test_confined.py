"""The verbs write to their run folder alone, and reach no network: SECURITY.md promises both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys

def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("NETWORK", event, args[1:], file=sys.stderr, flush=True)
        os._exit(3)
    if event == "open" and isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = os.path.realpath(args[0])
        if not path.startswith((os.environ["ALLOWED"], "/dev/", "/proc/")):
            print("WRITES", path, file=sys.stderr, flush=True)
            os._exit(4)

sys.addaudithook(watch)
from rlready.cli.main import main

ROWS, PROBLEMS = "dagmath?ops=2&n=24&seed=1", "dagmath?ops=2&n=6&seed=2"
for command in (
    ["sft", "embedded", f"rows={ROWS}", f"heldout={PROBLEMS}", "epochs=1", "--out", "sft"],
    ["readiness", "embedded", f"problems={PROBLEMS}", f"heldout={PROBLEMS}", "samples=4", "--out", "ready"],
    ["rl", "embedded", f"problems={ROWS}", f"validation={PROBLEMS}", "steps=2", "prompts_per_step=4", "--out", "rl"],
    ["evaluate", "embedded", f"problems={PROBLEMS}", "thinking_budgets=8,16", "--out", "eval"],
    ["inject", f"rows={ROWS}", "--out", "inject"],
    ["report", "rl"],
    ["show", "rl", "eval"],
):
    if code := main(command):
        sys.exit(f"{command[0]}: {code}")
"""


def test_nothing_is_written_elsewhere_and_no_network_is_reached(tmp_path: Path) -> None:
    """In a network namespace without any interface, where the system allows one; the audit hook watches in any case."""
    folders = {name: tmp_path / name for name in ("work", "home", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    environment = os.environ | {
        "HOME": str(folders["home"]),
        "TMPDIR": str(folders["temporary"]),
        "ALLOWED": str(tmp_path.resolve()),
    }
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlready"
    if cache.is_dir():  # else the kernels are compiled here
        shutil.copytree(cache, folders["home"] / ".cache" / "rlready")
    environment.pop("XDG_CACHE_HOME", None)
    alone = ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        alone = []
    command = [*alone, sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folders["work"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(p.name for p in folders["work"].iterdir()) == ["eval", "inject", "ready", "rl", "sft"]
    assert [p for p in folders["temporary"].rglob("*") if p.is_file()] == []  # torch makes an empty folder
    files = [p.relative_to(folders["home"]) for p in folders["home"].rglob("*") if p.is_file()]
    assert {file.parts[:2] for file in files} <= {(".cache", "rlready")}
