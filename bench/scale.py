"""How time and memory grow with the work, beside Hugging Face's own modules: `python bench/scale.py`.

Every point is a process of its own with one thread, whose CPU seconds and peak memory are counted; of one thing at a
time there is more.  A step is 8 samples of one prompt and an update on them: rlready's engine and learner, or
`generate`, the module's forward pass and `loss.backward()`.  Both are done once before they are timed, as the
first sampling packs the weights and the first update makes the optimizer's state, and a machine may take seconds to
hand out that memory; an update is the median of three.  Problems and checkpoints are those of `rlready readiness`
on the embedded model, and have no peer.  Points are kept in ``scale/points.jsonl``, so that a stopped run goes on; the
page is written from them.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rlready  # before torch: it sets how idle threads wait
from rlready.report.claims import Claim, write_claims
from rlready.report.plots import Point, Series, line_chart, standalone
from rlready.runs.files import write_text

HERE = Path(__file__).parent / "scale"
POINTS = HERE / "points.jsonl"
SAMPLES, PROMPT, UPDATES = 8, 32, 3
SIZES: dict[str, tuple[int, ...]] = {
    "length": (64, 256, 1024, 4096),
    "vocabulary": (64, 1_000, 12_000, 150_000),
    "parameters": (1, 10, 100, 500),
    "problems": (100, 1_000, 10_000),
    "checkpoints": (2, 10, 100),
}
WHAT = {
    "length": "tokens of a response",
    "vocabulary": "tokens in the vocabulary",
    "parameters": "million parameters",
    "problems": "problems",
    "checkpoints": "checkpoints",
}
SHAPES = {1: (128, 4), 10: (320, 8), 100: (832, 12), 500: (1600, 16)}  # hidden size and layers by million parameters
MOST = {"length": 2.0, "problems": 1.1, "checkpoints": 1.1, "vocabulary": 1.1, "parameters": 1.1}  # growth allowed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=list(SIZES))
    given = parser.parse_args()
    if given.point:
        kind, size, side = given.point
        print(json.dumps(point(kind, int(size), side)))
        return
    HERE.mkdir(exist_ok=True)
    known = [json.loads(line) for line in POINTS.read_text().splitlines()] if POINTS.exists() else []
    done = {(p["kind"], p["size"], p["side"]) for p in known}
    for kind, size, side in planned():
        if kind in given.only and (kind, size, side) not in done:
            argv = [sys.executable, __file__, "--point", kind, str(size), side]
            found = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
            line = json.dumps({"kind": kind, "size": size, "side": side} | found)
            print(line, flush=True)
            with POINTS.open("a") as file:
                file.write(line + "\n")
    write_page()


def planned() -> list[tuple[str, int, str]]:
    """Every point: what there is more of, its size, and the side."""
    peers = dict.fromkeys(("length", "vocabulary", "parameters"), ("rlready", "transformers"))
    return [(kind, size, side) for kind in SIZES for side in peers.get(kind, ("rlready",)) for size in SIZES[kind]]


def point(kind: str, size: int, side: str) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    if kind in ("problems", "checkpoints"):
        return stage(kind, size)
    length = size if kind == "length" else 128
    hidden, layers = SHAPES[size if kind == "parameters" else 1]
    lm = model(hidden, layers, size if kind == "vocabulary" else 512)
    base = peak()
    sample, update = (ours if side == "rlready" else theirs)(lm, length)
    sample()
    before = time.process_time()
    rows = sample()
    sampled = time.process_time() - before
    updates = list[float]()
    for _ in range(1 + UPDATES):
        begun = time.process_time()
        update(rows)
        updates.append(time.process_time() - begun)
    return {
        "sampling": sampled,
        "update": statistics.median(updates[1:]),
        "memory": peak() - base,
        "model": sum(p.numel() * 4 for p in lm.model.parameters()) / 2**20,
    }


def peak() -> float:
    """Largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def model(hidden: int, layers: int, vocabulary: int) -> Any:
    """A random Llama with the embedded model's tokenizer, which gives tokens beyond its own no text."""
    from dataclasses import replace

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from rlready.models.checkpoint import load

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    return replace(load("embedded"), model=LlamaForCausalLM(config).eval())


Rows = list[list[int]]
Side = tuple[Callable[[], Rows], Callable[[Rows], None]]


def prompt(lm: Any) -> list[int]:
    return [3 + i % (lm.vocabulary - 3) for i in range(PROMPT)]


def ours(lm: Any, length: int) -> Side:
    from dataclasses import replace

    import numpy as np

    from rlready.engine.budget import Budget
    from rlready.engine.protocol import Request, forcing_for
    from rlready.engine.torch import TorchEngine
    from rlready.models.batch import supervised
    from rlready.train.fast_learner import make_learner
    from rlready.train.learner import OptimizerSettings
    from rlready.train.loss import LossOutput, likelihood_loss

    forcing = replace(forcing_for(replace(lm, model=lm.model)), stop_ids=frozenset())

    def sample() -> Rows:
        requests = [Request("p", i, tuple(prompt(lm)), Budget(None, length)) for i in range(SAMPLES)]
        with TorchEngine(lm, forcing) as engine:
            return [s.tokens.tolist() for s in engine.sample(requests, temperature=1.0, seed=0)]

    learner = make_learner(lm, OptimizerSettings(1e-4))

    def update(rows: Rows) -> None:
        weight = np.full(length, 1 / (SAMPLES * length), dtype=np.float32)
        examples = [replace(supervised(prompt(lm), row), weight=weight) for row in rows]
        learner.step(examples, lambda b, lp: LossOutput(likelihood_loss(lp, b.advantage_N, b.weight_N)), rate=1.0)

    return sample, update


def theirs(lm: Any, length: int) -> Side:
    import torch

    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=1e-4, fused=True)

    def sample() -> Rows:
        ids = torch.tensor([prompt(lm)] * SAMPLES)
        settings = {"do_sample": True, "top_k": 0, "max_new_tokens": length, "eos_token_id": None, "pad_token_id": 0}
        with torch.no_grad():
            out = lm.model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
        return [row[PROMPT:].tolist() for row in out]

    def update(rows: Rows) -> None:
        ids = torch.tensor([prompt(lm) + row for row in rows])
        optimizer.zero_grad()
        logits = lm.model(ids, use_cache=False).logits[:, PROMPT - 1 : -1]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, PROMPT:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
        optimizer.step()

    return sample, update


def stage(kind: str, size: int) -> dict[str, float]:
    """`rlready readiness` on that many problems, or of that many checkpoints on 32 problems."""
    from rlready.models.checkpoint_files import EMBEDDED_FOLDER

    problems, copies = (size, 1) if kind == "problems" else (32, size)
    with TemporaryDirectory() as folder:
        checkpoints = [str(shutil.copytree(EMBEDDED_FOLDER, Path(folder) / f"step-{i + 1}")) for i in range(copies)]
        begun, base = time.process_time(), peak()
        rlready.readiness(
            checkpoints=checkpoints,
            problems=f"dagmath?ops=5&asked=3&split=test&n={problems}&seed=1",
            heldout="",
            samples=4,
            group_size=4,
            sampling="full",
            out=str(Path(folder) / "out"),
        )
        written = sum(p.stat().st_size for p in (Path(folder) / "out").rglob("*") if p.is_file())
        return {"seconds": time.process_time() - begun, "memory": peak() - base, "disk": written / 2**20}


def growth(line: list[dict[str, float]], key: str) -> float:
    """The exponent of the growth between the two largest sizes."""
    one, other = line[-2:]
    return math.log(other[key] / one[key]) / math.log(other["size"] / one["size"])


def write_page() -> None:
    points = [json.loads(line) for line in POINTS.read_text().splitlines()]
    claims, rows, charts = list[Claim](), [], []
    for kind in SIZES:
        sides = {
            side: sorted((p for p in points if (p["kind"], p["side"]) == (kind, side)), key=lambda p: p["size"])
            for side in ("rlready", "transformers")
        }
        if not sides["rlready"]:
            continue
        keys = [key for key in ("sampling", "update", "seconds") if key in sides["rlready"][0]]
        for key in keys:
            value = growth(sides["rlready"], key)
            sizes = " to ".join(f"{p['size']:,}" for p in sides["rlready"][-2:])
            name = "readiness" if key == "seconds" else key
            text = f"{name}: exponent of the CPU seconds from {sizes} {WHAT[kind]}"
            claims.append(Claim.exact(text, value, "sizes", f"<= {MOST[kind]}", n=2))
        for side, line in sides.items():
            for p in line:
                spent = " | ".join(f"{p[key]:.3g}" if key in p else "" for key in ("sampling", "update", "seconds"))
                rows.append(f"| {WHAT[kind]} | {p['size']:,} | {side} | {spent} | {p['memory']:.0f} |")
        series = [
            Series(f"{key}, {side}", [Point(p["size"], math.log10(p[key])) for p in line], i, i)
            for i, (side, key) in enumerate((side, key) for side in sides for key in keys)
            if (line := sides[side])
        ]
        labels = {"title": f"CPU seconds by {WHAT[kind]}", "x_label": WHAT[kind], "y_label": "log10 of CPU seconds"}
        chart = line_chart(series, log2_x=True, **labels)
        write_text(HERE / f"{kind}.svg", standalone(chart))
        charts.append(f"![CPU seconds by {WHAT[kind]}]({kind}.svg)")
    there = {(p["kind"], p["size"], p["side"]) for p in points}
    missing = [f"{size:,} {WHAT[kind]} ({side})" for kind, size, side in planned() if (kind, size, side) not in there]
    head = "| more | | | sampling (CPU s) | update (CPU s) | readiness (CPU s) | memory (MiB) |"
    table = "\n".join([head, "|" + "---|" * 7, *rows])
    words = f"""# How the work grows

{(__doc__ or "").partition(chr(10) * 2)[2]}

An exponent of 1 means twice the time for twice the size. Attention grows with the square of the length, everything
else with the length, so an exponent between 1 and 2 is expected there. Memory is what a point added to the process
above what it had with the model loaded.

{table}

{chr(10).join(charts)}

Not measured yet: {", ".join(missing) or "nothing"}.

What it does not show: one thread, one machine and one run for each point, so no interval; GPUs; more than one process.
"""
    seconds = sum(p.get("sampling", 0) + p.get("update", 0) + p.get("seconds", 0) for p in points)
    write_claims(HERE, command="python bench/scale.py", seconds=seconds, claims=claims, words=words)


if __name__ == "__main__":
    main()
