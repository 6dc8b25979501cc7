"""Mutation testing of the mathematics: plant small faults one at a time and report which the tests find.

    python scripts/mutate.py --seed 1                       a random sample of 100 mutants of the files in MODULES
    python scripts/mutate.py --modules 'credit/*.py' --sample 0      all mutants of some modules
    python scripts/mutate.py --survivors                    run again what survived, after tests were added

A first run of the tests, with a tracer, notes which lines every test reaches and how long it takes.  A mutant then gets
only the tests that reach its line (all that use the module, if that line runs at import), the fastest first, up to
the first failure.  It is killed if a test fails, if the module cannot be imported, or if the tests take three times as
long as they did.  Equivalent mutants, which no test can detect, are listed with the reason in
``mutants_equivalent.json`` beside this file, by the line before and after, and do not count.

Everything runs in a copy of the tree, in forks of one process that has loaded torch and transformers: a mutant takes a
second or two in addition to its tests.  ``--out`` holds the results so far, and a stopped run continues from there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import pkgutil
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from mutants import Mutant, mutants
from scipy.stats import binomtest

os.environ.update(OMP_WAIT_POLICY="PASSIVE", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.json")
PACKAGE = "src/rlready"
MODULES = ("credit/*.py", "train/*.py", "readiness/*.py", "influence/*.py", "core/stats.py", "tasks/answers/*.py")
# a file that runs in a process of its own, where no line is traced, and the file whose tests start that process
STARTED_BY = {"tasks/answers/mathworker.py": "tasks/answers/mathpool.py"}
# not used for mutants: tests that depend on the machine, and whole runs that reach every line but check few
LEFT_OUT = tuple(
    f"test_{name}.py"
    for name in (
        *("layout", "sweep", "stages", "cli", "chat", "engine", "engine_contract"),
        *("extending", "native", "checkpoint", "select", "store", "report", "progress", "options", "preset"),
        *(
            "predict_charts",
            "budget",
            "dagmath",
            "rows",
            "docs",
            "evaluate",
            "budget_curve",
            "evidence_scripts",
            "inject",
        ),
        *("verbose", "vocabulary"),
    )
)
HEAVY = (
    "torch",
    "transformers",
    "pytest",
    "hypothesis",
    "pyarrow.parquet",
    "scipy.stats",
    "sympy",
    "safetensors.torch",
)
QUIET = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "--tb=no"]
GRACE = 60.0  # seconds in addition to three times those of the tests
Reach = dict[str, dict[str, Any]]  # of each test: "seconds", and for each module the lines it runs


@dataclass
class Tracer:
    """A pytest plugin: which lines of the package each test runs, and its seconds."""

    package: str
    reach: Reach = field(default_factory=dict)
    shared: dict[str, dict[str, set[int]]] = field(default_factory=dict)  # of a test file: what fixtures run
    now: set[tuple[str, int]] = field(default_factory=set)  # paths and lines

    def pytest_sessionstart(self) -> None:
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        ours = code.co_filename.startswith(self.package) and code.co_name != "<module>"  # not what runs at import
        return self.line if ours else None

    def line(self, frame: FrameType, event: str, _: object) -> Any:
        self.now.add((frame.f_code.co_filename, frame.f_lineno))
        return self.line

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Lines run in setup count for all tests of the file, as they may share a fixture."""
        lines: dict[str, set[int]] = {}
        for path, line in self.now:
            lines.setdefault(path[len(self.package) :], set()).add(line)
        self.now = set()
        if report.when == "setup":
            into = self.shared.setdefault(report.nodeid.partition("::")[0], {})
        else:
            test = self.reach.setdefault(report.nodeid, {"seconds": 0.0, "passed": True, "lines": {}})
            into = test["lines"]
            test["seconds"] += report.duration
            test["passed"] &= report.passed
        for name, found in lines.items():
            into.setdefault(name, set()).update(found)

    def result(self) -> Reach:
        """Of the tests that passed."""
        for node, test in self.reach.items():
            for name, found in self.shared.get(node.partition("::")[0], {}).items():
                test["lines"].setdefault(name, set()).update(found)
            test["lines"] = {name: sorted(found) for name, found in test["lines"].items()}
        return {node: test for node, test in self.reach.items() if test["passed"]}


@dataclass
class Chosen:
    """A pytest plugin: run these tests only, in this order; ``failed`` is the first to fail."""

    order: dict[str, int]
    failed: str = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


class Workshop:
    """A copy of the tree, and forks of this process that run tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in files:
            if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        os.chdir(folder)
        sys.path[:0] = [str(folder / "src"), str(folder / "tests")]
        os.environ["PYTHONPATH"] = str(folder / "src")
        for name in (*HEAVY, *(found.name for found in pkgutil.walk_packages([PACKAGE], "rlready."))):
            with contextlib.suppress(ImportError):  # an extra that is not installed
                importlib.import_module(name)
        for name in [n for n in sys.modules if n.partition(".")[0] == "rlready"]:
            del sys.modules[name]  # what it imports stays loaded; it is imported anew, mutated, in every fork

    def fork(self, work: Callable[[], str], seconds: float) -> str | None:
        """The result of ``work`` in a separate process; None if it takes too long."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            try:
                os.write(writer, (work() or "passed").encode())
            finally:
                os._exit(0)
        os.close(writer)
        late = not select.select([reader], [], [], seconds)[0]
        said = "" if late else os.read(reader, 1 << 16).decode()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # also what tests left running
        os.waitpid(child, 0)
        os.close(reader)
        return None if late else said or "crashed"

    def trace(self, test_file: str) -> Reach:
        """Which lines each test of a file runs."""
        target = self.folder / "reach.json"

        def work() -> str:
            import pytest

            tracer = Tracer(str(self.folder / PACKAGE) + "/")
            pytest.main([*QUIET[:1], *QUIET[2:], test_file], plugins=[tracer])
            sys.settrace(None)
            target.write_text(json.dumps(tracer.result()))
            return "traced"

        if self.fork(work, 1800) != "traced":
            sys.exit(f"{test_file} cannot be run")
        reach: Reach = json.loads(target.read_text())
        return reach

    def judge(self, mutant: Mutant, tests: dict[str, float]) -> str:
        """What killed a mutant, or empty; ``tests`` are node ids, in order, and their seconds."""
        path = self.folder / PACKAGE / mutant.module
        original = path.read_text()
        cached = Path(importlib.util.cache_from_source(str(path)))

        def work() -> str:
            import pytest

            chosen = Chosen({name: i for i, name in enumerate(tests)})
            files = dict.fromkeys(name.partition("::")[0] for name in tests)
            code = pytest.main([*QUIET, *files], plugins=[chosen])
            return "" if code == 0 else chosen.failed or f"pytest ended with {int(code)}"

        try:
            path.write_text(mutant.source)
            cached.unlink(missing_ok=True)
            said = self.fork(work, GRACE + 3 * sum(tests.values()))
        finally:
            path.write_text(original)
            cached.unlink(missing_ok=True)
        return "timeout" if said is None else "" if said == "passed" else said


def reached(workshop: Workshop, store: Path, wanted: list[str]) -> Reach:
    """Lines and seconds of every test; from ``store`` for test files that have not changed since, nor the package."""
    known: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    found: Reach = {}
    sources = b"".join(p.read_bytes() for p in sorted((workshop.folder / PACKAGE).rglob("*.py")))
    helpers = b"".join(p.read_bytes() for p in sorted((workshop.folder / "tests").glob("[!t]*.py")))
    names = wanted or sorted(p.name for p in (workshop.folder / "tests").glob("test_*.py") if p.name not in LEFT_OUT)
    for name in names:
        test_file = workshop.folder / "tests" / name
        digest = hashlib.sha256(sources + helpers + test_file.read_bytes()).hexdigest()
        if known.get(name, {}).get("digest") != digest:
            print(f"tracing {name}", flush=True)
            known[name] = {"digest": digest, "reach": workshop.trace(f"tests/{name}")}
            store.write_text(json.dumps(known))
        found |= known[name]["reach"]
    return found


def tests_for(mutant: Mutant, reach: Reach, seconds: float) -> dict[str, float]:
    """The fastest tests that reach a mutant's line, or use its module where no test reaches the line itself."""
    module = STARTED_BY.get(mutant.module, mutant.module)
    using = {n: t for n, t in reach.items() if module in t["lines"]}
    hit = {n: t for n, t in using.items() if mutant.line in t["lines"][module]} if module == mutant.module else {}
    ordered = sorted((t["seconds"], n) for n, t in (hit or using).items())
    chosen: dict[str, float] = {}
    for took, name in ordered:
        if sum(chosen.values()) + took > seconds and chosen:
            break
        chosen[name] = took
    return chosen


def in_turns(tests: dict[str, float], killers: Counter[str]) -> Iterator[dict[str, float]]:
    """First the tests of the file that has killed most mutants so far, as collecting files costs more than most tests.

    Otherwise the file with the most tests per second.
    """
    files: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for name, took in tests.items():
        files[name.partition("::")[0]] += 1
        seconds[name.partition("::")[0]] += took
    if files:
        first = max(files, key=lambda f: (killers[f], files[f] / (1 + seconds[f])))
        yield {name: took for name, took in tests.items() if name.startswith(f"{first}::")}
    if len(files) > 1:
        yield {name: took for name, took in tests.items() if not name.startswith(f"{first}::")}


def table(results: dict[str, dict[str, Any]], equivalents: dict[tuple[str, str], str]) -> Iterator[str]:
    """Share killed of each module's mutants, then what survived."""
    modules: dict[str, list[dict[str, Any]]] = {}
    for result in results.values():
        modules.setdefault(result["module"], []).append(result)
    counted = {
        m: [r for r in rs if r["killed_by"] or (r["before"], r["after"]) not in equivalents]
        for m, rs in sorted(modules.items())
    }
    yield f"{'module':<32}{'mutants':>8}{'run':>6}{'equivalent':>12}{'killed':>8}{'share':>8}"
    for module, rows in [*counted.items(), ("all", [r for rs in counted.values() for r in rs])]:
        ran = modules.get(module) or list(results.values())
        of = sum({r["module"]: r["of"] for r in ran}.values())
        killed = sum(bool(r["killed_by"]) for r in rows)
        share = f"{killed / len(rows):.1%}" if rows else "-"
        yield f"{module:<32}{of:>8}{len(ran):>6}{len(ran) - len(rows):>12}{killed:>8}{share:>8}"
    if rows:
        interval = binomtest(killed, len(rows)).proportion_ci()
        yield f"killed: {killed} of {len(rows)}, {share} (95 % interval {interval.low:.1%} to {interval.high:.1%})"
    for module, rows in counted.items():
        for r in sorted((r for r in rows if not r["killed_by"]), key=lambda r: int(r["line"])):
            yield f"\n{module}:{r['line']} survived {r['tests']} tests ({r['kind']})"
            yield f"  - {r['before']}\n  + {r['after']}"


def equivalent_mutants() -> dict[tuple[str, str], str]:
    """Reasons, by the changed line before and after."""
    listed = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else []
    return {(e["before"], e["after"]): e["reason"] for e in listed}


def sampled(modules: list[str], sample: int, seed: int) -> tuple[list[tuple[Mutant, int]], dict[str, set[str]]]:
    """A simple random sample of the mutants of all files whose path fits a pattern; and the ids of all.

    Each mutant comes with the number of mutants of its file.
    """
    package, every, ids = ROOT / PACKAGE, [], {}
    for path in dict.fromkeys(p for pattern in modules for p in sorted(package.glob(pattern)) if p.suffix == ".py"):
        name = path.relative_to(package).as_posix()
        found = mutants(name, path.read_text())
        ids[name] = {mutant.id for mutant in found}
        every += [(mutant, len(found)) for mutant in found]
    kept = sorted(random.Random(seed).sample(range(len(every)), min(sample or len(every), len(every))))
    return [every[i] for i in kept], ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="+", default=list(MODULES), help="patterns of paths inside the package")
    parser.add_argument("--tests", nargs="+", default=[], help="test files to ask; all by default")
    parser.add_argument("--sample", type=int, default=100, help="mutants, drawn at random; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=float, default=40.0, help="of tests that a mutant gets at most")
    parser.add_argument("--survivors", action="store_true", help="run what survived once more, and nothing else")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutants", help="folder of results")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    store, equivalents = given.out.resolve() / "result.json", equivalent_mutants()
    results: dict[str, dict[str, Any]] = json.loads(store.read_text()) if store.exists() else {}
    reach_store = given.out.resolve() / "reach.json"
    picked, ids = sampled(given.modules, given.sample, given.seed)
    # results of sources that have changed since are void
    results = {key: r for key, r in results.items() if key in ids.get(r["module"], {key})}
    killers: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder).resolve())
        reach = reached(workshop, reach_store, given.tests)
        for mutant, of in picked:
            before = results.get(mutant.id)
            if given.survivors and (before is None or (mutant.before, mutant.after) in equivalents):
                continue
            if before and (before["killed_by"] or not given.survivors):
                continue
            tests, began, killed_by = tests_for(mutant, reach, given.seconds), time.monotonic(), ""
            for part in in_turns(tests, killers.setdefault(mutant.module, Counter())):
                if killed_by := workshop.judge(mutant, part):
                    killers[mutant.module][killed_by.partition("::")[0]] += 1
                    break
            facts = {key: getattr(mutant, key) for key in ("module", "line", "kind", "before", "after")}
            facts |= {"of": of, "tests": len(tests), "killed_by": killed_by}
            results[mutant.id] = facts
            store.write_text(json.dumps(results, indent=1))
            print(
                f"{time.monotonic() - began:6.1f} s  {mutant.module}:{mutant.line}  {killed_by or 'SURVIVED'}",
                flush=True,
            )
    print("\n".join(table({key: r for key, r in results.items() if r["module"] in ids}, equivalents)))


if __name__ == "__main__":
    main()
