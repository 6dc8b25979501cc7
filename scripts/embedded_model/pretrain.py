"""Make the embedded base model: a Llama of about a million parameters, pretrained on easy symbolic problems.

Its text is easier than the demo's task: fewer operations, fewer questions.  The curriculum goes from
looking up values over single steps to short chains; problems are generated, so no problem is seen twice.  Loss on the
solution only, as the problems themselves are random.  Muon for the matrices, AdamW for the rest.  ``python
scripts/embedded_model/pretrain.py --out DIR`` writes the checkpoint and ``record.json``.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
from curriculum import IGNORE, STAGES, Problems, collate, encode, example, vocabulary
from muon import Muon
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

from rlready.runs.files import write_json
from rlready.runs.log import append_line
from rlready.runs.provenance import host, revision, software
from rlready.tasks.dagmath.vocabulary import build_tokenizer


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that shapes the embedded model."""

    out: str = "runs/pretrain"
    steps: int = 2400
    batch: int = 96
    lr: float = 5e-3
    warmup: int = 100
    decay: float = 0.5
    weight_decay: float = 0.01
    hidden: int = 128
    layers: int = 5
    heads: int = 2
    ffn: int = 384
    seed: int = 1
    save_every: int = 125


def build_model(config: PretrainConfig, vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=config.hidden,
            intermediate_size=config.ffn,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            initializer_range=0.04,
        )
    )


def loss_of(model: LlamaForCausalLM, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over labelled tokens and the (N, V) logits at them; the head runs only there."""
    hidden = model.model(input_ids=ids_BL, use_cache=False).last_hidden_state[:, :-1]
    labels = labels_BL[:, 1:]
    at = labels != IGNORE
    logits_NV = model.lm_head(hidden[at])
    return F.cross_entropy(logits_NV, labels[at]), logits_NV


ROLES = ("next", "define", "operand", "result", "answer", "end")


def roles_of(words: list[str]) -> list[str]:
    """What each solution token is: which ability predicts it."""
    roles, answering, equals = [], False, 0
    for i, word in enumerate(words):
        if word in ("</think>", "<eos>"):
            roles.append("end")
            answering = answering or word == "</think>"
        elif answering:
            roles.append("answer")
        elif (word[-1] == ":" and equals == 0) or (word[-1] == "=" and len(word) == 2):
            roles.append("next")
            equals = 1 if word[-1] == "=" else 0
        elif word == "=":
            roles.append("define")
            equals = 2
        elif i and words[i - 1][-1] == ":":
            roles.append("result" if equals == 2 else "define")
            equals = 0
        elif equals == 2 and word[-1] != ":":
            roles.append("operand")
        else:
            roles.append("define")
    return roles


def schedule(step: int, config: PretrainConfig) -> float:
    """Warm-up, plateau, linear decay over the last ``decay`` share of the run."""
    left = (config.steps - step) / (config.steps * config.decay)
    return min(1.0, (step + 1) / config.warmup, max(left, 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(PretrainConfig()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    pretrain(PretrainConfig(**vars(parser.parse_args())))


def pretrain(config: PretrainConfig) -> None:
    """Train from scratch, or on from the state of a run that was killed."""
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    model = build_model(config, len(vocabulary()))
    optimizers = optimizers_of(model, config)
    step, seconds = 0, 0.0
    state = out / "state.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, values in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        step, seconds = saved["step"], saved["seconds"]
    rng = random.Random(f"pretrain-eval:{config.seed}")
    held = [encode(*example(*STAGES[-1][2:], rng)) for _ in range(256)]
    loader = DataLoader(
        Problems(config.seed, config.batch, config.steps, step),
        batch_size=None,
        collate_fn=collate,
        num_workers=1,
        prefetch_factor=32,
    )
    begun = time.time() - seconds
    for ids_BL, labels_BL in loader:
        if step >= config.steps:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * schedule(step, config)
        loss, _ = loss_of(model, ids_BL, labels_BL)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        if not math.isfinite(loss.item()):
            raise SystemExit(f"step {step}: the loss is not finite")
        if step % config.save_every == 0 or step == config.steps:
            line = {"step": step, "loss": round(loss.item(), 4), **abilities(model, held)}
            line["seconds"] = round(time.time() - begun)
            append_line(out / "log.jsonl", line)
            print(line, flush=True)
            model.save_pretrained(out / "model")
            build_tokenizer().save_pretrained(out / "model")
            optimizer_states = [o.state_dict() for o in optimizers]
            facts = {"step": step, "seconds": time.time() - begun}
            torch.save({"model": model.state_dict(), "optimizers": optimizer_states, **facts}, state)
    record = {
        "command": "python scripts/embedded_model/pretrain.py",
        "config": asdict(config),
        "stages": STAGES,
        "parameters": sum(p.numel() for p in model.parameters()),
        "sequences": step * config.batch,
        "seconds": round(time.time() - begun),
        "revision": revision(),
        "machine": host(),
        "software": software(),
        "abilities": abilities(model, held),
    }
    write_json(out / "model" / "pretraining.json", record)


def optimizers_of(model: LlamaForCausalLM, config: PretrainConfig) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return (
        Muon(matrices, lr=config.lr, weight_decay=config.weight_decay),
        torch.optim.AdamW(others, lr=config.lr, weight_decay=0.0, betas=(0.9, 0.95)),
    )


@torch.no_grad()
def abilities(model: LlamaForCausalLM, held: list[tuple[list[int], int]]) -> dict[str, float]:
    """Held-out loss, and the share of tokens predicted right by what predicting them takes: what forms when."""
    words = {i: w for w, i in vocabulary().items()}
    roles = [r for ids, n in held for r in roles_of([words[i] for i in ids[n:]])]
    ids_BL, labels_BL = collate(held)
    loss, logits_NV = loss_of(model, ids_BL, labels_BL)
    labels = labels_BL[:, 1:]
    right = (logits_NV.argmax(-1) == labels[labels != IGNORE]).tolist()
    found = {"held": round(loss.item(), 4)}
    for role in ROLES:
        hits = [r for r, k in zip(right, roles, strict=True) if k == role]
        found[role] = round(sum(hits) / len(hits), 3)
    return found


if __name__ == "__main__":
    main()
