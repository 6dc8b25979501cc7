"""Real weights and real data through every verb: `python evidence/smoke-gsm8k/run.py GSM8K_FOLDER`.

SmolLM2-135M-Instruct (see examples/smollm2.py) and GSM8K: SFT on 200 rows, readiness on 16 problems with 8 samples,
three GRPO steps, evaluation at two budgets on 16 test problems.  No claim about accuracy: it shows that real input
goes through unchanged code, with time and peak memory.  Each stage is a process of its own and resumes after a kill.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rlready.core.records import Estimate
from rlready.core.stats import t_figure
from rlready.report.claims import Claim, write_claims
from rlready.runs.run import read_json, read_log, read_table

HERE = Path(__file__).parent
RUNS = Path("runs/smoke-gsm8k")
MODEL = Path("runs/smollm2")
VERBS = ("sft", "readiness", "rl", "evaluate")
COOL = "temperature=0.5"  # at 1 a model of this size is right so rarely that few groups teach anything
SHOWN = 3  # samples to read, and the first right one if there is one


def commands(data: Path) -> dict[str, list[str]]:
    train, test = f"gsm8k:{data / 'train.jsonl'}", f"gsm8k:{data / 'test.jsonl'}"
    tuned = RUNS / "sft" / "checkpoints"
    last = max(tuned.glob("step-*"), key=lambda p: int(p.name[5:]), default=tuned / "step-1")
    return {
        "sft": [
            *("sft", f"model={MODEL}", f"rows={train}?n=200", f"heldout={test}?n=16&seed=1"),
            *(
                "epochs=1",
                "learning_rate=1e-4",
                "tokens_per_batch=4096",
                "max_tokens_per_microbatch=2048",
                "save_every=0.5",
            ),
        ],
        "readiness": [
            *("readiness", str(last), f"heldout={test}?n=16&seed=1", f"problems={train}?n=16&seed=2"),
            *("samples=8", "group_size=8", "thinking_budget=192", "max_answer_tokens=16", COOL),
        ],
        "rl": [
            *("rl", f"model={last}", f"problems={train}?n=64&seed=3", f"heldout={train}?n=8&seed=4"),
            *(
                "algorithm=grpo",
                "steps=3",
                "prompts_per_step=8",
                "group_size=8",
                "learning_rate=1e-5",
                "thinking_budget=192",
                "max_answer_tokens=16",
            ),
            *("eval_every=3", "eval_samples=2", "max_tokens_per_microbatch=2048", COOL),
        ],
        "evaluate": [
            *("evaluate", str(last), str(RUNS / "rl" / "checkpoints" / "step-3"), f"problems={test}?n=16"),
            *("thinking_budgets=96,192", "samples=1", "max_answer_tokens=16", COOL),
        ],
    }


def main(data: Path) -> None:
    if not MODEL.exists():
        subprocess.run([sys.executable, "examples/smollm2.py", str(MODEL)], check=True)
    for verb in VERBS:
        line = [sys.executable, "-m", "rlready", *commands(data)[verb], "--out", str(RUNS / verb)]
        subprocess.run(line, check=True, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})
    report()


def report() -> None:
    records: dict[str, Any] = {verb: read_json(RUNS / verb / "record.json") for verb in VERBS}
    results: dict[str, Any] = {verb: read_json(RUNS / verb / "result.json") for verb in VERBS}
    log = [line for line in read_log(RUNS / "sft" / "log.jsonl") if "loss" in line]
    losses = [line["loss"] for line in log]
    heldout: dict[str, list[float]] = {}
    for row in read_table(RUNS / "sft" / "heldout.parquet"):
        heldout.setdefault(row["checkpoint"], []).append(row["nll"] / row["tokens"])
    first, *_, last = heldout.values()
    fall = t_figure([b - a for a, b in zip(first, last, strict=True)], varies="held-out examples")
    held = ", ".join(str(Estimate(**c["heldout_loss"])) for c in results["sft"]["checkpoints"])
    steps = [line for line in read_log(RUNS / "rl" / "log.jsonl") if "reward" in line]
    drawn = [s for number in (0, 1) for s in read_table(RUNS / "evaluate" / "parts" / f"{number}.parquet")]
    samples = [s for s in drawn if s["thinking_budget"] is not None]  # the untouched models have no budget
    above = float(max(s["thinking_tokens"] - s["thinking_budget"] for s in samples))
    examples = [e for e in read_log(RUNS / "evaluate" / "examples.jsonl") if e["budget"] == 192]
    shown = examples[:SHOWN] + [e for e in examples[SHOWN:] if e["correct"]][:1]
    done = float(sum(r["status"] == "done" for r in records.values()))
    claims = [
        Claim.of("held-out loss of an example, last checkpoint minus first (nats per token)", fall, "< 0"),
        Claim("verbs that ran to their end on real weights and data", done, done, done, len(VERBS), "verbs", "== 4"),
        Claim("thinking tokens above the budget, the most of any test sample", above, above, above, len(samples),
              "samples", "<= 0"),
    ]  # fmt: skip
    words = f"""# Real input: SmolLM2-135M-Instruct and GSM8K

A 135-million-parameter model that anybody can download, and grade-school word problems, through the four verbs, on
{records["sft"]["host"]["cores"]} processor cores. The commands, with GSM8K for the folder that holds train.jsonl and
test.jsonl:

{chr(10).join(f"    rlready {' '.join(words)} --out {RUNS / verb}" for verb, words in commands(Path("GSM8K")).items())}

| verb | seconds | CPU seconds | peak memory (GiB) | what it said |
|---|---|---|---|---|
{chr(10).join(table_line(verb, records[verb], results[verb]) for verb in VERBS)}

SFT loss at each of {len(losses)} steps: {", ".join(f"{loss:.3f}" for loss in losses)} nats per token. Held-out loss at
the checkpoints: {held}.

GRPO, step by step: {"; ".join(map(rl_line, steps))}.

## What it shows, and what not

Real weights and real data go through the same verbs without a change to the code: 4-bit weights from a package, a chat
template without thought delimiters (SFT adds them), delimiters of three tokens each. One seed and a handful of
problems: it makes **no claim about accuracy**. A model of this size solves few of these problems.

## Samples

The answers of the model after SFT to the first {SHOWN} test problems, then the first right one if there is another;
what the decoder forced stands in ⟦ ⟧.

{chr(10).join(map(sample_text, shown))}
"""
    write_claims(
        HERE,
        command="python evidence/smoke-gsm8k/run.py GSM8K_FOLDER",
        seconds=sum(r["seconds"] for r in records.values()),
        claims=claims,
        words=words,
    )


def table_line(verb: str, record: dict[str, Any], result: dict[str, Any]) -> str:
    memory = record["peak_memory_bytes"] / 2**30
    return f"| {verb} | {record['seconds']:.0f} | {record['cpu_seconds']:.0f} | {memory:.1f} | {result['headline']} |"


def rl_line(line: dict[str, Any]) -> str:
    used = f"{line['groups_used']} of {line['groups_used'] + line['groups_all_wrong'] + line['groups_all_right']}"
    norm = "no update" if line["grad_norm"] is None else f"gradient norm {line['grad_norm']:.2f}"
    return f"accuracy {line['accuracy']:.1%}, {used} groups with both right and wrong answers, {norm}"


def sample_text(example: dict[str, Any]) -> str:
    """A sample as an indented block, so that nothing in it is read as Markdown."""
    text = "".join(f"⟦{piece}⟧" if not chosen else piece for piece, chosen in example["pieces"]).replace("⟧⟦", "")
    judged = "right" if example["correct"] else "wrong"
    tokens = f"{example['thinking_tokens']} thinking tokens"
    head = f"`{example['problem_id']}`, answer {example['answer']}, {judged}, {tokens}:"
    lines = [*example["prompt"].strip().splitlines(), "---", *f"<think>{text}".splitlines()]
    return head + "\n\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
