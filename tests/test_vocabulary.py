"""Prose uses the words of docs/glossary.md: the words that these replaced do not return."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REPLACED = {  # pattern: what to write instead; the changelog, which names both, is not checked
    r"foretell\w*|foretold": "predict",
    r"(told|tell|tells) apart|for all we know": "distinguishable, not significantly different",
    r"luck|lucky": "chance level",
    r"mend(s|ed|ing)?": "fix",
    r"turn-?up": "overfitting onset",
    r"barren": "zero-signal step",
    r"by force": "forced",
    r"first choice": "top-1",
    r"nobody|somebody|strangers?": "the program, the file or the user",
    r"ours": "rlready's, or: a choice of this package",
    r"leash": "KL penalty",
    r"torn|spoiled": "damaged, incomplete",
    r"answer[ _]caps?": "max_answer_tokens, limit on the answer",
    r"clip_low|clip_high": "epsilon, epsilon_high",
    r"micro_tokens|batch_tokens": "max_tokens_per_microbatch, tokens_per_batch",
    r"at_most|to_go|selective": "lcpo_max, reward_to_go, grpo_lambda",
    r"untouched|natural (run|response|end)s?": "unconstrained",
    r"half as (long|much|many) again": "1.5 times",
    r"held-out accuracy": "validation accuracy, test accuracy",
}
WORDS = [(re.compile(rf"\b({words})\b", re.IGNORECASE), better) for words, better in REPLACED.items()]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"{folder}/**/*.md" for folder in ("docs", "bench", "evidence"))]
SOURCES = [f"{folder}/**/*.py" for folder in ("src", "bench", "evidence", "examples", "scripts")]


def prose(file: Path) -> list[tuple[int, str]]:
    """Numbered lines of a page; of a source its comments and texts; of a test only names and docstrings."""
    if file.suffix == ".md":
        return list(enumerate(file.read_text().splitlines(), start=1))
    with file.open(encoding="utf-8") as source:
        tokens = list(tokenize.generate_tokens(source.readline))
    if file.parent == ROOT / "tests":
        tokens = [t for t in tokens if t.string.startswith(("test_", '"""'))]
    kinds = (tokenize.COMMENT, tokenize.STRING, tokenize.NAME, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    return [(t.start[0], words) for t in tokens if t.type in kinds and " " in (words := named(t))]


def named(token: tokenize.TokenInfo) -> str:
    """A token as words: the name of a test is a sentence."""
    return token.string.replace("_", " ") if token.string.startswith("test_") else token.string


@pytest.mark.parametrize("pattern", [*PAGES, *SOURCES, "tests/test_*.py"])
def test_replaced_words_do_not_return(pattern: str) -> None:
    files = [file for file in ROOT.glob(pattern) if file != Path(__file__)]
    assert files
    found = [
        f"{file.relative_to(ROOT)}:{line}: {hit[0]!r}: write {better}"
        for file in files
        for line, text in prose(file)
        for words, better in WORDS
        if (hit := words.search(text))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("suffix", [".md", ".py"])
def test_a_replaced_word_is_found(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"page{suffix}"
    file.write_text('"""The page."""\nx = "a torn file"  # as it was told apart\n')
    hits = [hit[0] for _, text in prose(file) for words, _ in WORDS if (hit := words.search(text))]
    assert sorted(hits) == ["told apart", "torn"]
