"""The runs that are tortured, and what must be the same about a run that was killed and one that was not."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from process import Forks

from rlready.tasks import open_task

RUN = "run"  # the run folder, in the folder of a trial
TASK = "dagmath?ops=2&split=all"
PROBLEMS = "problems=in/problems.jsonl"  # not DAG maths, whose chance level is computed from thousands of problems
BUDGETS = ("thinking_budget=16", "max_answer_tokens=6")
SFT = f"rows={TASK}&n=8&seed=1 heldout={TASK}&n=3&seed=2 tokens_per_batch=250 epochs=1 save_every=0.5"
CASES: dict[str, list[str]] = {
    "sft": ["sft", *SFT.split()],
    "rl": [
        "rl", "model=in/sft/checkpoints/step-2", f"{PROBLEMS}?n=6", f"validation={TASK}&n=2&seed=4",
        "steps=3", "prompts_per_step=2", "group_size=4", "eval_every=2", "eval_samples=1", "learning_rate=1e-3",
        "temperature=2.5", *BUDGETS,
    ],
    "readiness": [
        "readiness", "in/sft/checkpoints/step-1", "in/sft/checkpoints/step-2", f"{PROBLEMS}?n=4",
        f"heldout={TASK}&n=2&seed=2", "samples=4", "group_size=2", "temperature=2.5",
        *BUDGETS,
    ],
    "evaluate": [
        "evaluate", "in/sft/checkpoints/step-1", "in/sft/checkpoints/step-2", f"{PROBLEMS}?n=2",
        "samples=2", "temperature=2.5", "thinking_budgets=8,16", "max_answer_tokens=6",
        "max_response_tokens=16",
    ],
    "inject": ["inject", f"{TASK}&n=6&seed=7", "p=0.5"],
    "predict": ["predict", "in/readiness", "in/outcomes.jsonl", "resamples=50", "splits=20"],
    "sweep": ["sweep", "in/sweep.toml", "workers=0"],
    "demo": ["demo"],
    "export": ["export", "in/rl.toml", "to=trl"],
    "report": ["report", RUN],
}  # fmt: skip
SWEEP = f"""
[sft]
heldout = "{TASK}&n=2&seed=2"
epochs = 1
save_every = 1
tokens_per_batch = 250
[[sft.recipes]]
name = "one"
rows = "{TASK}&n=4&seed=1"
[readiness]
problems = "in/problems.jsonl?n=2"
samples = 2
group_size = 2
thinking_budget = 16
max_answer_tokens = 6
[rl]
problems = "in/problems.jsonl?n=4"
validation = "{TASK}&n=2&seed=4"
steps = 2
prompts_per_step = 2
group_size = 2
eval_every = 1
eval_samples = 1
temperature = 2.5
thinking_budget = 16
max_answer_tokens = 6
[evaluate]
problems = "in/problems.jsonl?n=2"
samples = 2
thinking_budgets = [8, 16]
max_answer_tokens = 6
max_response_tokens = 16
"""
EXPORTED = f"""
model = "in/sft/checkpoints/step-2"
problems = "in/problems.jsonl?n=6"
validation = "{TASK}&n=2&seed=4"
steps = 3
prompts_per_step = 2
group_size = 2
thinking_budget = 16
max_answer_tokens = 6
"""
# fields that hold a time, or what follows from one: seconds, rates, costs, the attempts of a run, checksums of times
TIMES = re.compile(
    r"(cpu_)?seconds(_\w+)?|gflops_\w+|tokens_per_second|start|end|attempts|overwritten|counts|cost|peak_memory_bytes|files"
    r"|startTime|datePublished"
)
FOOTER = re.compile(r"<footer>.*</footer>", re.DOTALL)  # of a page: its times, and the record, which is compared itself
DURATION = re.compile(r"\b\d[\d.]* (?:s|min|hours)\b")
LEFTOVER = re.compile(r"\.tmp-\d+")


def command(name: str) -> list[str]:
    """The command line of a case."""
    return [*CASES[name], *([] if name == "report" else ["--out", RUN])]


def small_demo() -> None:
    """Make the demo a matter of a second."""
    from rlready.cli import demo
    from rlready.tasks.dagmath import task

    task.REFERENCE = 20
    sizes = demo.Sizes(
        rows=24, heldout=3, epochs=0.5, readiness_problems=2, readiness_samples=4, rl_steps=2, validation=2,
        eval_every=1, prompts_per_step=2, group_size=2, test=3,
    )  # fmt: skip
    demo.demo.__defaults__ = (sizes,)
    demo.BUDGETS = (8, 16)


def make_inputs(forks: Forks, folder: Path) -> None:
    """Inputs of the runs: checkpoints, measurements and outcomes, made by runs that nothing disturbs."""
    (folder / "in").mkdir(parents=True)
    problems = open_task(f"{TASK}&n=8&seed=3").problems()
    table = [{"id": each.id, "prompt": each.prompt, "answer": each.answer} for each in problems]
    (folder / "in/problems.jsonl").write_text("".join(json.dumps(line) + "\n" for line in table))
    verbs = ("sft", "readiness", "rl", "evaluate", "inject")
    forks.warm([[*CASES[verb], "--out", f"in/{verb}"] for verb in verbs], folder)
    (folder / "in/sweep.toml").write_text(SWEEP)
    (folder / "in/rl.toml").write_text(EXPORTED)
    outcomes = [{"checkpoint": f"in/sft/checkpoints/step-{step}", "outcome": 0.1 * step} for step in (1, 2)]
    (folder / "in/outcomes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in outcomes))


def new_folder(name: str, inputs: Path, folder: Path) -> Path:
    """An empty folder for a trial, with the inputs in ``in/``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "in").symlink_to(os.path.relpath(inputs / "in", folder))
    if name == "report":
        shutil.copytree(inputs / "in/sft", folder / RUN)
    return folder


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a run folder that are not temporary, by their path in it."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.name != ".lock" and not LEFTOVER.search(name):
            yield name, path


def is_finished(folder: Path) -> bool:
    """Whether a record that can be read says that the run is done."""
    try:
        return bool(json.loads((folder / "record.json").read_bytes())["status"] == "done")
    except (OSError, ValueError, KeyError):
        return False


def content(folder: Path, was: str = "", now: str = "") -> dict[str, object]:
    """What must be the same of every file; ``was`` is replaced by ``now`` in texts, if the folder has moved."""
    found: dict[str, object] = {}
    for name, path in files(folder):
        data = path.read_bytes()
        if was and b"\0" not in data:
            data = data.replace(was.encode(), now.encode())
        if name.startswith("logs/") or (name == "log.jsonl" and (folder / "sft").is_dir()):
            continue  # of a sweep: what its attempts printed, and when a job ended
        if path.suffix == ".json":
            found[name] = _without_times(json.loads(data))
        elif path.name == "log.jsonl":
            found[name] = [_without_times(json.loads(line)) for line in data.splitlines()]
        elif path.suffix == ".html":
            found[name] = DURATION.sub("?", FOOTER.sub("", data.decode()))
        elif path.name == "runs.jsonl":
            found[name] = [_without_times(json.loads(line)) for line in data.splitlines()]
        else:
            found[name] = data
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        own = "sha256" if "attempts" in value else ""  # of a record, whose times it covers
        return {key: _without_times(each) for key, each in value.items() if not TIMES.fullmatch(key) and key != own}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def differences(found: dict[str, object], whole: dict[str, object]) -> list[str]:
    """The files that differ, or that only one of two runs has."""
    said = []
    for name in sorted(found.keys() | whole.keys()):
        if name not in found:
            said.append(f"{name} is missing")
        elif name not in whole:
            said.append(f"{name} is left over")
        elif found[name] != whole[name]:
            said.append(f"{name} differs{_where(found[name], whole[name])}")
    return said


def _where(found: Any, whole: Any, path: str = "") -> str:
    """The first place where two JSON values differ."""
    if isinstance(found, dict) and isinstance(whole, dict) and found.keys() == whole.keys():
        return next(_where(found[key], whole[key], f"{path}.{key}") for key in found if found[key] != whole[key])
    if not path and isinstance(found, (bytes, str)):
        return ""
    return f" at {path}: {str(found)[:60]!r}, not {str(whole)[:60]!r}"


def half_written(folder: Path, whole: dict[str, object]) -> list[str]:
    """The files of a killed run under their final names that are not whole, each with the reason."""
    said = []
    for name, path in files(folder):
        try:
            if reason := _broken(name, path, whole):
                said.append(f"{name}: {reason}")
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            said.append(f"{name}: {error}")
    return said


def _broken(name: str, path: Path, whole: dict[str, object]) -> str:
    data = path.read_bytes()
    if path.name == "tensors.pt":
        return zipfile.ZipFile(path).testzip() or ""
    if path.suffix == ".json":
        json.loads(data)
    elif path.name in ("log.jsonl", "examples.jsonl", "runs.jsonl"):  # they grow: the last line may be incomplete
        for line in data.split(b"\n")[:-1]:
            json.loads(line)
    elif path.suffix == ".html":
        return "" if data.endswith(b"</html>\n") or data.endswith(b"</html>") else "no end"
    elif path.suffix == ".toml":
        tomllib.loads(data.decode())
    elif isinstance(whole.get(name), bytes):
        return "" if data == whole[name] else "other bytes than in a run that was not killed"
    elif path.suffix == ".parquet":
        return "" if data[:4] == data[-4:] == b"PAR1" else "no Parquet file"
    return ""
