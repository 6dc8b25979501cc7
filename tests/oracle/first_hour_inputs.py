"""What tests/first_hour.sh works on: `python first_hour_inputs.py FOLDER` makes it in half a minute.

outputs/checkpoint-80, -160, -240   TRL's SFTTrainer on a small Llama, a chat model that does not think
thinker/checkpoint-20, -40          the same on rows with thoughts, with a template that writes them
base/                               random weights, and a tokenizer without a chat template
problems.jsonl, .csv, .parquet      24 sums with the columns `question` and `answer`; dev.jsonl, test.jsonl: 12 others
train.jsonl                         TRL's messages; heldout.jsonl: TRL's prompt and completion
verify.py                           verifiers of one's own, right and wrong ones
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

import families
from test_chat import CHATML, QWEN3
from tiny import tiny_model

VERIFIERS = '''\
def exact(problem, answer):
    """Whether the last word of the answer is the right one."""
    return answer.split()[-1:] == [problem.answer]


def minus_one(problem, answer):
    return 1.0 if exact(problem, answer) else -1.0


def trl_reward(completions, answer, **kwargs):
    return [float(text.split()[-1:] == [wanted]) for text, wanted in zip(completions, answer)]


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return float(solution_str.split()[-1:] == [ground_truth])


def broken(problem, answer):
    raise KeyError("gold")
'''


def turn(a: int, b: int, *, thinks: bool = False) -> list[dict[str, str]]:
    thought = {"reasoning_content": f"we add {a} and {b}"} if thinks else {}
    return [
        {"role": "user", "content": f"What is {a} + {b}?"},
        {"role": "assistant", "content": f"#### {a + b}"} | thought,
    ]


def sft(folder: Path, sums: list[tuple[int, int]], steps: int, *, thinks: bool) -> None:
    tokenizer = families.family("byte-level")
    tokenizer.chat_template, tokenizer.pad_token = QWEN3 if thinks else CHATML, "<unk>"
    model = tiny_model("Llama", vocab_size=len(tokenizer), hidden_size=64, head_dim=16, max_position_embeddings=256)
    rows = [{"prompt": turn(a, b)[:1], "completion": turn(a, b, thinks=thinks)[1:]} for a, b in sums]
    config = SFTConfig(
        output_dir=str(folder), max_steps=steps, save_steps=steps // (2 if thinks else 3), learning_rate=3e-3,
        per_device_train_batch_size=8, completion_only_loss=True, save_only_model=True, report_to="none", use_cpu=True,
        bf16=False, logging_strategy="no", disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer).train()


def write_lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sums = [(a, b) for a in range(2, 10) for b in range(1, 10)]
    random.Random(0).shuffle(sums)
    train, heldout, dev, test = sums[:24], sums[24:32], sums[32:44], sums[44:56]
    sft(folder / "outputs", train, 240, thinks=False)
    sft(folder / "thinker", train, 40, thinks=True)
    base = families.family("byte-level")
    base.save_pretrained(folder / "base")
    tiny_model("Llama", vocab_size=len(base), max_position_embeddings=256).save_pretrained(folder / "base")
    own = [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in train]
    write_lines(folder / "problems.jsonl", own)
    pyarrow.csv.write_csv(pa.Table.from_pylist(own), folder / "problems.csv")
    pyarrow.parquet.write_table(pa.Table.from_pylist(own), folder / "problems.parquet")
    for name, part in (("dev", dev), ("test", test)):
        write_lines(
            folder / f"{name}.jsonl", [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in part]
        )
    write_lines(folder / "train.jsonl", [{"messages": turn(a, b)} for a, b in train])
    write_lines(
        folder / "heldout.jsonl", [{"prompt": turn(a, b)[:1], "completion": turn(a, b)[1:]} for a, b in heldout]
    )
    (folder / "verify.py").write_text(VERIFIERS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
