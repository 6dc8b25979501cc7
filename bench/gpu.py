"""An RL step on one GPU: rlready, TRL with vLLM in its process, and vLLM alone.

`python bench/gpu.py --model qwen3-0.6b TOKENIZER --model smollm2-135m TOKENIZER`, each with a folder of its tokenizer.

16 prompts x 16 samples, 256 + 1,024 tokens, of models with random weights in the shapes of SmolLM2-135M and Qwen3-0.6B,
in bfloat16 with fp32 master weights.  No sample ends before its limit, and rewards are 1 and 0 in turn, so that all
sides do the same work.  Every side is a process that has the GPU for itself; they take turns, and the first steps,
which compile, are not counted.  A side whose packages are not installed is left out.  FLOPs are 6 a weight and token,
and 12 a layer, hidden element and half the length for attention; MFU is their rate over the GPU's dense bfloat16 peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import rlready  # noqa: F401  before torch: it sets how idle threads wait
from rlready.report.claims import Claim, write_claims
from rlready.runs.files import read_json, write_json
from rlready.runs.provenance import revision

LINES = Path(__file__).parent / "gpu" / "lines.jsonl"
COMMAND = "python bench/gpu.py --model qwen3-0.6b TOKENIZER"
WORDS = """# An RL step on one GPU

16 prompts x 16 samples of 256 + 1,024 tokens, bfloat16 with fp32 master weights, random weights in a model's shape, so
that no response ends early and all sides do the same work. Each side had the GPU for itself, one after another in one
call; the first two steps, which compile, are not counted (rlready's first took 41 s, TRL's 29 s).

{table}

What it shows: a step of `rlready rl` with its own engine takes about half the time of TRL's GRPOTrainer with vLLM in
its process, and less memory (of TRL's, vLLM reserves 35 % of the GPU). rlready's engine reads the keys and values of a
prompt once for its 16 samples and decodes by CUDA graphs; its update compiles the layers and the log-softmax.

What it does not show: this is one GPU, one shape and two timed steps of each side, without an interval over
machines. TRL 1.16 and vLLM
0.22.1 ran with their defaults where the settings above do not say otherwise: vLLM's engine in the trainer's process
(`VLLM_ENABLE_V1_MULTIPROCESSING=0`, which TRL's colocated mode needs), with log-probabilities, its model runner V1 and
without FlashInfer's sampler, from a build without the kernels that these models do not use; TRL without gradient
checkpointing and without Liger's kernels. vLLM in a process of its own, or without log-probabilities and
detokenisation, may sample faster than this. SmolLM2's shape and an H100 were not measured.
"""
PROMPTS, GROUP, PROMPT, RESPONSE = 16, 16, 256, 1024
LR = 1e-6
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16 FLOP/s, by the vendor's data sheets
MODELS: dict[str, dict[str, Any]] = {
    "smollm2-135m": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "qwen3-0.6b": {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    },
}


def make_model(name: str, tokenizer_folder: Path, folder: Path) -> None:
    """A folder with a model of random weights; its tokenizer has no chat template, so all sides see the same prompt."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.chat_template = None
    settings = dict(MODELS[name])
    size = min(settings["vocab_size"], len(tokenizer))
    shape = {"tie_word_embeddings": True, "max_position_embeddings": 4096, "eos_token_id": tokenizer.eos_token_id}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings, **shape)
    if size < len(tokenizer):
        raise SystemExit(f"{tokenizer_folder}: has more tokens than {name}")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def prompts(tokenizer: Any, count: int) -> list[str]:
    """Texts of exactly `PROMPT` tokens."""
    found = []
    for at in range(count):
        words = f"Problem {at}:"
        while len(tokenizer.encode(words + " and")) <= PROMPT:
            words += " and"
        while len(tokenizer.encode(words)) < PROMPT:
            words += "."
        assert len(tokenizer.encode(words)) == PROMPT
        found.append(words)
    return found


def ours(folder: Path, steps: int, micro: int) -> dict[str, Any]:
    import torch
    from transformers import AutoTokenizer

    from grpo import InTurn
    from rlready.core.config import RLConfig
    from rlready.core.records import Problem
    from rlready.engine.budget import Budget
    from rlready.models.checkpoint import load
    from rlready.tasks import Task
    from rlready.train.fast_learner import make_learner
    from rlready.train.learner import OptimizerSettings
    from rlready.train.trainer import Trainer

    texts = prompts(AutoTokenizer.from_pretrained(folder), PROMPTS * steps)

    class Texts(Task):
        source = "texts"

        def __init__(self) -> None:
            pass

        def problems(self) -> list[Problem]:
            return [Problem(f"p{i}", text, "1") for i, text in enumerate(texts)]

    config = RLConfig(
        prompts_per_step=PROMPTS,
        group_size=GROUP,
        learning_rate=LR,
        max_answer_tokens=RESPONSE,
        max_tokens_per_microbatch=micro,
        dtype="bfloat16",
        device="cuda",
    )
    lm = load(str(folder), device="cuda")
    learner = make_learner(lm, OptimizerSettings(LR, max_tokens_per_microbatch=micro), bfloat16=True)
    with TemporaryDirectory() as samples:
        trainer = Trainer(config, learner, None, Path(samples))
        trainer.budget, trainer.cap = Budget(None, RESPONSE), RESPONSE
        trainer.forcing = replace(trainer.forcing, stop_ids=frozenset())
        trainer.engine.forcing = trainer.forcing
        task, lines = InTurn(Texts()), []
        for at in range(steps):
            some = task.problems()[at * PROMPTS : (at + 1) * PROMPTS]
            line = trainer.step(task, some, at)
            lines.append(dict(line.timing) | {"mismatch": line.update.mismatch, "fed": line.update.forward_tokens})
            say(f"rlready: step {at + 1}: " + " ".join(f"{k}={v:.3g}" for k, v in lines[-1].items() if v))
    counted = lines[2:]
    sampling = median(line["seconds_prefill"] + line["seconds_decode"] for line in counted)
    update = median(line["seconds_logprobs"] + line["seconds_backward"] + line["seconds_optimizer"] for line in counted)
    flops = flops_of(lm.model, PROMPTS * GROUP)
    return {
        "step": median(line["seconds"] for line in counted),
        "each": [round(line["seconds"], 3) for line in counted],
        "sampling": sampling,
        "update": update,
        "tokens_per_second": PROMPTS * GROUP * RESPONSE / sampling,
        "mfu": flops / update / peak(),
        "mismatch": counted[-1]["mismatch"],
        "memory": torch.cuda.max_memory_allocated() / 2**30,
    }


def flops_of(model: Any, sequences: int) -> float:
    """Of a forward and a backward pass over all sequences."""
    config, length = model.config, PROMPT + RESPONSE
    weights = sum(p.numel() for p in model.parameters())
    width = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    return float(sequences * length * (6 * weights + 12 * config.num_hidden_layers * width * length / 2))


def peak() -> float:
    import torch

    name = torch.cuda.get_device_name()
    return next(rate for part, rate in PEAKS.items() if part in name)


def vllm_alone(folder: Path, steps: int, micro: int) -> dict[str, Any]:
    """Sampling only, with the log-probability of every chosen token, as RL needs them."""
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(folder)
    llm = LLM(
        str(folder),
        dtype="bfloat16",
        gpu_memory_utilization=0.85,
        max_model_len=PROMPT + RESPONSE + 16,
        max_num_seqs=PROMPTS * GROUP,
    )
    params = SamplingParams(n=GROUP, max_tokens=RESPONSE, ignore_eos=True, temperature=1.0, logprobs=0)
    texts, seconds = prompts(tokenizer, PROMPTS * steps), []
    for at in range(steps):
        some = [{"prompt_token_ids": tokenizer.encode(t)} for t in texts[at * PROMPTS : (at + 1) * PROMPTS]]
        begun = time.perf_counter()
        outputs = llm.generate(some, params, use_tqdm=False)
        seconds.append(time.perf_counter() - begun)
        assert all(len(o.token_ids) == RESPONSE for output in outputs for o in output.outputs)
        say(f"vLLM: {seconds[-1]:.3g} s")
    sampling = median(seconds[1:])
    each = [round(spent, 3) for spent in seconds[1:]]
    return {"each": each, "sampling": sampling, "tokens_per_second": PROMPTS * GROUP * RESPONSE / sampling}


def trl(folder: Path, steps: int, micro: int) -> dict[str, Any]:
    """GRPOTrainer with vLLM in its process; ``micro`` tokens become as many whole sequences."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from trl_peer import _Between

    rows, seconds = micro // (PROMPT + RESPONSE), []
    while PROMPTS * GROUP % rows:
        rows -= 1

    def after(spent: float) -> None:
        seconds.append(spent)
        say(f"TRL: step {len(seconds)}: {spent:.3g} s")

    calls = 0

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        nonlocal calls
        assert all(len(ids) == RESPONSE for ids in completion_ids)
        calls += 1
        return [float(i % 2) for i in range(len(completion_ids))]

    with TemporaryDirectory() as out:
        args = GRPOConfig(
            output_dir=out,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=PROMPTS * GROUP // rows,
            num_generations=GROUP,
            max_steps=steps,
            max_completion_length=RESPONSE,
            beta=0.0,
            bf16=True,
            gradient_checkpointing=False,
            use_vllm=True,
            vllm_mode="colocate",
            vllm_gpu_memory_utilization=0.35,
            vllm_max_model_length=PROMPT + RESPONSE + 16,
            generation_kwargs={"ignore_eos": True},
            learning_rate=LR,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            model_init_kwargs={"dtype": "float32"},
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
        GRPOTrainer(
            str(folder),
            reward_funcs=reward,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": prompts(tokenizer, PROMPTS * steps)}),
            processing_class=tokenizer,
            callbacks=[_Between(lambda _: None, after)],
        ).train()
    each = [round(spent, 3) for spent in seconds[2:]]
    return {"each": each, "step": median(seconds[2:]), "memory": torch.cuda.max_memory_allocated() / 2**30}


SIDES: dict[str, Callable[[Path, int, int], dict[str, Any]]] = {"rlready": ours, "vllm": vllm_alone, "trl": trl}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs=2, action="append", default=[], help="its name and a folder with a tokenizer")
    parser.add_argument("--sides", nargs="*", default=list(SIDES))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--micro", type=int, default=20480, help="tokens of a micro-batch")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(SIDES[given.sides[0]](given.child, given.steps, given.micro)))
        return
    import torch

    for model, tokenizer in given.model:
        with TemporaryDirectory() as folder:
            make_model(model, Path(tokenizer), Path(folder))
            for side in given.sides:
                words = ["--sides", side, "--child", folder, "--steps", given.steps, "--micro", given.micro]
                argv = [sys.executable, __file__, *map(str, words)]
                begun = time.time()
                child = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
                found = json.loads(child.stdout.splitlines()[-1]) if not child.returncode else {"failed": True}
                line = {"model": model, "side": side, "gpu": torch.cuda.get_device_name(), "steps": given.steps}
                line |= {"date": datetime.now(UTC).date().isoformat(), "revision": revision()}
                text = json.dumps(line | found | {"total": round(time.time() - begun, 1)})
                print(text, flush=True)
                with LINES.open("a") as file:
                    file.write(text + "\n")
    write_page()


def write_page() -> None:
    """``gpu/result.json`` and ``gpu/README.md`` from the lines measured so far, the last of each model and side."""
    lines = [json.loads(text) for text in LINES.read_text().splitlines()]
    found = {(line["model"], line["side"]): line for line in lines if not line.get("failed")}
    claims, rows = [], []
    for model in MODELS:
        ours, peer = found.get((model, "rlready")), found.get((model, "trl"))
        if ours and peer:
            name = f"RL step, {model}: TRL's and vLLM's seconds over rlready's"
            ratios = [theirs / mine for theirs, mine in zip(peer["each"], ours["each"], strict=True)]
            claims.append(Claim.of_each(name, ratios, "steps of each side", "> 1"))
        if ours and model == "qwen3-0.6b":
            mfu = ours["mfu"]
            claims.append(Claim.exact(f"MFU of the update, {model}", mfu, "steps", ">= 0.3", n=len(ours["each"])))
        for side in SIDES:
            if line := found.get((model, side)):
                cells = [line.get(key) for key in ("step", "sampling", "update", "tokens_per_second", "mfu", "memory")]
                shown = " | ".join("" if cell is None else f"{cell:.3g}" for cell in cells)
                rows.append(f"| {model} | {side} | {line['gpu']} | {line['date']} | {shown} |")
    head = "| model | | GPU | date | step (s) | sampling (s) | update (s) | tokens/s sampled | MFU | GiB |"
    table = "\n".join([head, "|" + "---|" * 10, *rows])
    last = lines[-1]
    write_claims(
        LINES.parent,
        command=COMMAND,
        seconds=sum(line["total"] for line in lines),
        claims=claims,
        words=WORDS.format(table=table),
    )
    result = read_json(LINES.parent / "result.json")
    write_json(
        LINES.parent / "result.json", result | {k: last[k] for k in ("date", "revision")} | {"machine": last["gpu"]}
    )


if __name__ == "__main__":
    main()
