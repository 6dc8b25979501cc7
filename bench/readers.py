"""Readiness from a million samples of each tool that is read: `python bench/readers.py`.

A file, or for trainers a folder of 1,000 steps, holds 1,000,000 samples in the tool's layout, with responses of 200
characters, mostly blanks: 1,000 problems with 1,000 samples each, or ten passes over these with 100 samples each.
prime-rl's have 20 tokens each with log-probabilities; lm-eval and lighteval store one score for each document, so that
a problem has one sample there.  The benchmark measures CPU seconds (user and system) and peak memory of a child process
that reads the samples with their scores, as readiness does before it ranks, imports included; ranking takes as long as
for a table of as many problems.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import Goal, Row, main

CODE = """
import json, resource, sys
from rlready.readiness.sources import read_sources
names, found = read_sources(sys.argv[1:], problems_named=False)
used = resource.getrusage(resource.RUSAGE_SELF)
samples = sum(len(each.draws.problem) for each in found.values())
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20, samples]))
"""
TARGETS = {"CPU seconds": "< 20", "peak memory, GiB": "< 1.5"}
FORMATS = ("trl", "trl chats", "verl", "prime-rl", "skyrl", "lm-eval", "inspect json", "inspect eval", "lighteval")
GOALS = {
    (name, what): Goal(f"reading 1,000,000 samples of {name}: {what}", target)
    for name in FORMATS
    for what, target in TARGETS.items()
}
PROBLEMS, EACH = 1000, 1000  # problems, and samples of each
PER_STEP, GROUP = 10, 100  # problems of a step of RL, and samples of each
QUESTION = "A train leaves at {} and arrives two hours later, after a stop of ten minutes. When did it arrive?"
TOKENS = list(range(20))
LOGPROBS = [-0.123456 * (i + 1) for i in range(20)]
Sample = tuple[int, int, str, float]  # problem, number, response, score


def samples(problems: int, each: int) -> Iterator[Sample]:
    """Samples of problems whose pass@1 differs, problem by problem."""
    rng = np.random.default_rng(0)
    for problem, rate in enumerate(rng.beta(0.5, 1, problems).tolist()):
        for number, right in enumerate((rng.random(each) < rate).tolist()):
            yield problem, number, f"{problem * each + number:<200}", float(right)


def steps(problems: int, each: int) -> Iterator[tuple[int, list[Sample]]]:
    """As many samples in steps of `PER_STEP` problems with `GROUP` samples each, in 10 passes over the problems."""
    problems = problems * each // (10 * GROUP)
    rng = np.random.default_rng(0)
    rates = rng.beta(0.5, 1, problems)
    size = min(PER_STEP, problems)
    for step in range(10 * problems // size):
        which = [(step * size + i) % problems for i in range(size)]
        yield (
            step + 1,
            [(p, n, f"{step}-{p}-{n:<190}", float(rng.random() < rates[p])) for p in which for n in range(GROUP)],
        )


def write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def trl(folder: Path, problems: int, each: int, *, chats: bool) -> str:
    (folder / "completions").mkdir(parents=True)
    for step, rows in steps(problems, each):
        asked, said = [QUESTION.format(p) for p, *_ in rows], [text for _, _, text, _ in rows]
        columns = {
            "step": [step] * len(rows),
            "prompt": [[{"role": "user", "content": text}] for text in asked] if chats else asked,
            "completion": [[{"role": "assistant", "content": text}] for text in said] if chats else said,
            "accuracy_reward": [score for *_, score in rows],
            "advantage": [0.0] * len(rows),
        }
        pq.write_table(pa.table(columns), folder / "completions" / f"completions_{step:05d}.parquet")
    return f"trl:{folder}"


def verl(folder: Path, problems: int, each: int) -> str:
    for step, rows in steps(problems, each):
        write_lines(
            folder / f"{step}.jsonl",
            (
                {"input": QUESTION.format(p), "output": text, "gts": "4", "score": score, "step": step}
                | {"acc": score, "uid": f"{step}-{p}_{n}_0"}
                for p, n, text, score in rows
            ),
        )
    return f"verl:{folder}"


def prime_rl(folder: Path, problems: int, each: int) -> str:
    for step, rows in steps(problems, each):
        write_lines(
            folder / "rollouts" / f"step_{step}" / "train" / "all" / "traces.jsonl",
            (episode(*row) for row in rows),
        )
    return f"prime-rl:{folder}"


def episode(problem: int, number: int, text: str, score: float) -> dict[str, Any]:
    task = {"type": "Task", "key": f"p{problem}", "hash": f"h{problem}", "data": {"prompt": QUESTION.format(problem)}}
    asked = {"message": {"role": "user", "content": QUESTION.format(problem)}, "sampled": False, "token_ids": TOKENS}
    said = {"message": {"role": "assistant", "content": text}, "sampled": True, "token_ids": TOKENS}
    nodes = [asked | {"mask": [False] * 20, "logprobs": []}, said | {"mask": [True] * 20, "logprobs": LOGPROBS}]
    trace = {"nodes": nodes, "rewards": {"correct": {"score": score, "weight": 1.0}}, "stop_condition": None}
    return {"id": f"{problem}-{number}", "task": task, "group": {"id": f"g{problem}"}, "traces": [trace]}


def skyrl(folder: Path, problems: int, each: int) -> str:
    rows = (
        {"input_prompt": QUESTION.format(p), "output_response": f"{text}<|im_end|>", "score": score}
        | {"stop_reason": "stop", "env_class": "gsm8k", "env_extras": {}, "data_source": "gsm8k"}
        for p, _, text, score in samples(problems, each)
    )
    return f"skyrl:{write_lines(folder / 'gsm8k.jsonl', rows)}"


def lm_eval(folder: Path, problems: int, each: int) -> str:
    rows = (
        {"doc_id": p * each + n, "doc": {"question": QUESTION.format(p)}, "target": "4", "resps": [[text]]}
        | {"filtered_resps": ["4"], "filter": "strict-match", "metrics": ["exact_match"], "exact_match": score}
        for p, n, text, score in samples(problems, each)
    )
    return f"lm-eval:{write_lines(folder / 'samples_gsm8k_2026.jsonl', rows)}"


def inspect_sample(problem: int, number: int, text: str, score: float) -> dict[str, Any]:
    said = {"message": {"role": "assistant", "content": text}, "stop_reason": "stop"}
    return {
        "id": problem,
        "epoch": number + 1,
        "input": QUESTION.format(problem),
        "target": "4",
        "output": {"model": "m", "choices": [said], "completion": text},
        "scores": {"match": {"value": "C" if score else "I", "answer": "4"}},
    }


def inspect_json(folder: Path, problems: int, each: int) -> str:
    path = folder / "log.json"
    folder.mkdir()
    with path.open("w", encoding="utf-8") as file:
        file.write('{"version": 2, "status": "success", "eval": {"task": "t"}, "samples": [\n')
        for at, sample in enumerate(samples(problems, each)):
            file.write((",\n" if at else "") + json.dumps(inspect_sample(*sample), indent=2))
        file.write("]}\n")
    return f"inspect:{path}"


def inspect_eval(folder: Path, problems: int, each: int) -> str:
    path = folder / "log.eval"
    folder.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("_journal/start.json", "{}")
        for sample in samples(problems, each):
            row = inspect_sample(*sample)
            archive.writestr(f"samples/{row['id']}_epoch_{row['epoch']}.json", json.dumps(row))
    return f"inspect:{path}"


def lighteval(folder: Path, problems: int, each: int) -> str:
    rows = (
        {"doc": {"id": str(p * each + n), "query": QUESTION.format(p)}, "metric": {"em": score}}
        | {"model_response": {"text": [text], "output_tokens": [TOKENS]}}
        for p, n, text, score in samples(problems, each)
    )
    folder.mkdir()
    with ExitStack() as stack:
        writer = None  # a part at a time, as a process begins with the peak memory of the one that starts it
        while some := list(islice(rows, 10_000)):
            part = pa.Table.from_pylist(some)
            path = folder / "details_gsm8k_2026.parquet"
            writer = writer or stack.enter_context(pq.ParquetWriter(path, part.schema))
            writer.write_table(part)
    return f"lighteval:{folder}"


WRITERS: dict[str, Callable[[Path, int, int], str]] = {
    "trl": partial(trl, chats=False),
    "trl chats": partial(trl, chats=True),
    "verl": verl,
    "prime-rl": prime_rl,
    "skyrl": skyrl,
    "lm-eval": lm_eval,
    "inspect json": inspect_json,
    "inspect eval": inspect_eval,
    "lighteval": lighteval,
}


def measured(source: str, samples: int) -> tuple[float, float]:
    """CPU seconds and peak GiB of a process that reads a source; RuntimeError if it reads another number of samples."""
    done = subprocess.run([sys.executable, "-c", CODE, source], capture_output=True, text=True, check=True)
    seconds, memory, read = json.loads(done.stdout.splitlines()[-1])
    if read != samples:
        raise RuntimeError(f"{source}: {read} of {samples} samples were read")
    return seconds, memory


def run(quick: bool) -> list[Row]:
    problems, each = (20, 1000) if quick else (PROBLEMS, EACH)
    found: list[Row] = []
    for name, write in WRITERS.items():
        with TemporaryDirectory() as folder:
            source = write(Path(folder) / "samples", problems, each)
            used = [measured(source, problems * each) for _ in range(1 if quick else 2)]
        for at, what in enumerate(TARGETS):
            found.append(GOALS[name, what].row([each[at] for each in used], varies="runs", samples=problems * each))
            print(found[-1]["claim"], found[-1]["value"], file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main(list(GOALS.values()), run)
