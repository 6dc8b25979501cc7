"""Real weights and real data through every verb: `python evidence/smoke-gsm8k/run.py GSM8K_FOLDER`.

SmolLM2-135M-Instruct (see examples/smollm2.py) and GSM8K: SFT on 200 rows, readiness on 16 problems with 8 samples,
three GRPO steps, evaluation at two budgets on 16 test problems.  No claim about accuracy: it shows that real input
goes through unchanged code, with time and peak memory.  Each stage is a separate process and resumes after a kill.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.core.stats import t_estimate
from rlready.evaluate.result import EvaluateResult
from rlready.readiness.result import ReadinessResult
from rlready.report.claims import Claim, write_claims
from rlready.runs.files import read_table
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.train.result import RLResult, SFTResult

HERE = Path(__file__).parent
RUNS = Path("runs/smoke-gsm8k")
MODEL = Path("runs/smollm2")
Line = dict[str, Any]
VERBS = ("sft", "readiness", "rl", "evaluate")
COOL = "temperature=0.5"  # at 1 a model of this size is correct so rarely that few groups are informative
SHOWN = 3  # samples to read, and the first correct one if there is one


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
            *("rl", f"model={last}", f"problems={train}?n=64&seed=3", f"validation={train}?n=8&seed=4"),
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
    records = {verb: RunRecord.load(RUNS / verb) for verb in VERBS}
    tuned = SFTResult.load(RUNS / "sft")
    headlines = {
        "sft": tuned.headline,
        "readiness": ReadinessResult.load(RUNS / "readiness").headline,
        "rl": RLResult.load(RUNS / "rl").headline,
        "evaluate": EvaluateResult.load(RUNS / "evaluate").headline,
    }
    losses = [line["loss"] for line in read_log(RUNS / "sft" / "log.jsonl") if "loss" in line]
    steps = [line for line in read_log(RUNS / "rl" / "log.jsonl") if "reward" in line]
    examples = [e for e in read_log(RUNS / "evaluate" / "examples.jsonl") if e["budget"] == 192]
    shown = examples[:SHOWN] + [e for e in examples[SHOWN:] if e["correct"]][:1]
    write_claims(
        HERE,
        command="python evidence/smoke-gsm8k/run.py GSM8K_FOLDER",
        seconds=sum(record.seconds for record in records.values()),
        claims=claims_of(records),
        words=page(records, headlines, tuned, losses, steps, shown),
    )


def claims_of(records: dict[str, RunRecord]) -> list[Claim]:
    heldout: dict[str, list[float]] = {}
    for row in read_table(RUNS / "sft" / "heldout.parquet"):
        heldout.setdefault(row["checkpoint"], []).append(row["nll"] / row["tokens"])
    first, *_, last = heldout.values()
    fall = t_estimate([b - a for a, b in zip(first, last, strict=True)], varies="held-out examples")
    drawn = [s for number in (0, 1) for s in read_table(RUNS / "evaluate" / "parts" / f"{number}.parquet")]
    samples = [s for s in drawn if s["thinking_budget"] is not None]  # unconstrained samples have no budget
    above = float(max(s["thinking_tokens"] - s["thinking_budget"] for s in samples))
    done = float(sum(record.status == "done" for record in records.values()))
    said = "thinking tokens above the budget, the most of any test sample"
    return [
        Claim.of("held-out loss of an example, last checkpoint minus first (nats per token)", fall, "< 0"),
        Claim.exact("verbs that ran to their end on real weights and data", done, "verbs", "== 4", n=len(VERBS)),
        Claim.exact(said, above, "samples", "<= 0", n=len(samples)),
    ]


def page(
    records: dict[str, RunRecord],
    headlines: dict[str, str],
    tuned: SFTResult,
    losses: Sequence[float],
    steps: Sequence[Line],
    shown: Sequence[Line],
) -> str:
    table = [
        f"| {verb} | {r.seconds:.0f} | {r.cpu_seconds:.0f} | {r.peak_memory_bytes / 2**30:.1f} | {headlines[verb]} |"
        for verb, r in records.items()
    ]
    lines = [f"    rlready {' '.join(words)} --out {RUNS / verb}" for verb, words in commands(Path("GSM8K")).items()]
    return f"""# Real input: SmolLM2-135M-Instruct and GSM8K

A public model of 135 million parameters and grade-school word problems go through four verbs on
{records["sft"].host.cores} processor cores. In the commands, GSM8K stands for the folder that holds train.jsonl and
test.jsonl:

{chr(10).join(lines)}

| verb | seconds | CPU seconds | peak memory (GiB) | headline |
|---|---|---|---|---|
{chr(10).join(table)}

SFT loss at each of {len(losses)} steps, in nats per token: {", ".join(f"{loss:.3f}" for loss in losses)}. Held-out loss
at the two checkpoints: {" and ".join(str(c.heldout_loss) for c in tuned.checkpoints)}.

| GRPO step | accuracy | informative groups | gradient norm |
|---|---|---|---|
{chr(10).join(map(step_line, steps))}

## What it shows, and what it does not

Real weights and real data go through the same verbs without a change to the code: 4-bit weights from a package, a chat
template without thought delimiters (SFT adds them), and delimiters of three tokens each. With one seed and a handful of
problems, the page makes **no claim about accuracy**. A model of this size solves few of these problems.

## Samples

These are the responses of the SFT model to the first {SHOWN} test problems, followed by the first correct one if there
is another. Text that the decoder forced stands in ⟦ ⟧.

{chr(10).join(map(sample_text, shown))}
"""


def step_line(line: Line) -> str:
    kinds = ("groups_informative", "groups_solved", "groups_unsolved", "groups_equal")
    groups = f"{line['groups_informative']} of {sum(line[kind] for kind in kinds)}"
    norm = "no update" if line["grad_norm"] is None else f"{line['grad_norm']:.2f}"
    return f"| {line['step']} | {line['accuracy']:.1%} | {groups} | {norm} |"


def sample_text(example: Line) -> str:
    """A sample as an indented block, so that nothing in it is read as Markdown."""
    text = "".join(f"⟦{piece}⟧" if not chosen else piece for piece, chosen in example["pieces"]).replace("⟧⟦", "")
    verdict = "correct" if example["correct"] else "wrong"
    tokens = f"{example['thinking_tokens']} thinking tokens"
    head = f"`{example['problem_id']}`, answer {example['answer']}, {verdict}, {tokens}:"
    lines = [*example["prompt"].strip().splitlines(), "---", *f"<think>{text}".splitlines()]
    return head + "\n\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
