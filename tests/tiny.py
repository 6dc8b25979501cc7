"""Tiny models and tokenizers shared by the tests: random weights, every family, every kind of thought delimiter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models

from rlready.models.chat import CLOSE, OPEN
from rlready.models.chat_template import OPENER
from rlready.models.lm import LM

SPECIAL = ("<pad>", "<bos>", "<eos>")
CHARS = "\n </>abcdefghijklmnopqrstuvwxyzWF0123456789+=.:"
MERGES = [("<", "/"), (">", "\n"), ("t", "h"), ("i", "n"), ("th", "in"), ("thin", "k")]

# sizes of the random models; every number differs from the others where the family allows it
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def tiny_tokenizer(*, one_token: bool = True, template: str = "opens") -> Any:
    """A character tokenizer with a few merges.

    ``one_token``: whether ``</think>`` is one token or ``</``, ``think``, ``>`` (where ``>`` joins a line break).
    ``template``: ``opens`` the thought, ``knows`` how to write one without opening it, or ``plain`` (no delimiters).
    """
    pieces = [*SPECIAL, *CHARS, *(a + b for a, b in MERGES)]
    raw = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, MERGES))
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIAL])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=[OPEN, CLOSE] if one_token and template != "plain" else [],
        model_max_length=128,
    )
    thought = "{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n' if m.reasoning_content else '' }}"
    tokenizer.chat_template = (
        "{{ '<bos>' }}{% for m in messages %}"
        + (thought if template == "knows" else "")
        + "{{ m['content'] }}{{ '<eos>' if m.role == 'assistant' else '\\n' }}{% endfor %}"
        + (OPENER if template == "opens" else "")
    )
    return tokenizer


def tiny_model(family: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of a family ("Llama", "Qwen3", "GPT2", ...), biases and norms random too, logits of order 1."""
    config_class = getattr(transformers, f"{family}Config")
    sizes = SIZES
    if family == "GPT2":
        sizes = {"vocab_size": 50, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 128}
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    model = transformers.AutoModelForCausalLM.from_config(config_class(**{**sizes, **special, **changes}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            norm = "norm" in name or ".ln_" in name
            weight.copy_(1 + 0.3 * noise if norm and not name.endswith("bias") else 0.15 * noise)
    return model.eval()


def tiny_lm(
    *, one_token: bool = True, template: str = "opens", family: str = "Llama", seed: int = 0, **changes: Any
) -> LM:
    """A random model that closes thoughts and ends responses now and then, so that lengths vary."""
    tokenizer = tiny_tokenizer(one_token=one_token, template=template)
    model = tiny_model(family, seed, **{"vocab_size": len(tokenizer), "hidden_size": 32, "head_dim": 8} | changes)
    if template != "plain":
        ids = tokenizer.encode(CLOSE, add_special_tokens=False)
        favour(model, {b: {a: 30.0} for a, b in pairwise(ids)})  # once begun, mostly completed
        favour(model, {ids[0]: dict.fromkeys(range(3, len(tokenizer)), 1.4)})
    favour(model, {2: dict.fromkeys(range(3, len(tokenizer)), 1.0)})
    return LM(model, tokenizer, f"tiny {family}")


def favour(model: Any, bonus: dict[int, dict[int, float]]) -> None:
    """Raise the logit of a token (key) after some tokens: {token: {token before it: about how much}}."""
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    with torch.no_grad():
        for token, before in bonus.items():
            for last, much in before.items():
                direction = embedding[last] / embedding[last].norm()
                head[token] += much / head.shape[1] ** 0.5 * direction


def full_logits(model: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """(B, V) logits after each row's last token, by the model's own forward without cache, mask or holes."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):  # padded on the right, where causal attention cannot see it
        ids[i, : len(row)] = torch.tensor(list(row))
    ids = ids.to(model.device)
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[torch.arange(len(rows)), torch.tensor([len(r) - 1 for r in rows])]
