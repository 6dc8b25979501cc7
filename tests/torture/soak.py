"""``make soak``: 5,000 cheap RL steps in one process, and what grows meanwhile; see ``evidence/trust``.

Every hundred steps a line with the memory, open handles and disk that the run takes, the mean seconds of a step and of
writing its line in the log, and the seconds in which a fork renders the page of the log so far.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

STEPS, EVERY = 5000, 100
PROBLEMS = [{"id": str(n), "prompt": f"a = {n} . b = a + 2 . b ?", "answer": str(n + 2)} for n in range(4)]
SETTINGS = (
    "prompts_per_step=2", "group_size=2", "thinking_budget=2", "max_answer_tokens=2", "temperature=2",
    "eval_every=1000", "eval_samples=1", f"patience={STEPS}", "learning_rate=1e-5",
)  # fmt: skip


def even(problem: object, answer: str) -> bool:
    """A verifier that half of any responses satisfy, so that most groups are informative."""
    return sum(map(ord, answer)) % 2 == 0


class Watcher:
    """Stands in place of the function that appends a line to the log."""

    def __init__(self, lines: Path) -> None:
        from rlready.train import trackers

        self.append, self.lines = trackers.append_line, lines
        self.log_seconds, self.begun = 0.0, time.perf_counter()
        trackers.append_line = self

    def __call__(self, path: Path, content: dict[str, object]) -> None:
        began = time.perf_counter()
        self.append(path, content)
        self.log_seconds += time.perf_counter() - began
        step = content["step"]
        if "reward" not in content or not isinstance(step, int) or step % EVERY:
            return
        taken = time.perf_counter() - self.begun
        with open("/proc/self/statm") as file:
            memory = int(file.read().split()[1]) * resource.getpagesize()
        files = [each for each in path.parent.rglob("*") if each.is_file()]
        line = {
            "step": step,
            "memory_bytes": memory,
            "handles": len(os.listdir("/proc/self/fd")),
            "disk_bytes": sum(each.stat().st_size for each in files),
            "log_seconds": self.log_seconds / EVERY,
            "step_seconds": taken / EVERY,
            "page_seconds": page_seconds(path.parent),
        }
        with self.lines.open("a") as out:
            out.write(json.dumps(line) + "\n")
        self.log_seconds, self.begun = 0.0, time.perf_counter()


def page_seconds(run: Path) -> float:
    """CPU seconds of the page of the run so far; in a fork, whose memory does not count here."""
    from rlready.report.page import render

    reader, writer = os.pipe()
    if not os.fork():
        gc.freeze()  # the run's objects are not the page's to collect
        began = time.process_time()
        render(run)
        os.write(writer, str(time.process_time() - began).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    seconds = float(os.read(reader, 100))
    os.close(reader)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    out: Path = options.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "problems.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).parent))
    from rlready.cli.main import main as rlready

    source = f"{out / 'problems.jsonl'}?verifier=soak:even"
    command = ["rl", "model=embedded", f"problems={source}", f"validation={source}&n=1", *SETTINGS, "--quiet"]
    Watcher(out / "lines.jsonl")
    return rlready([*command, f"steps={options.steps}", "--out", str(out / "rl")])


if __name__ == "__main__":
    sys.exit(main())
