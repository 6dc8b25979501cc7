"""Shared n-grams and near-duplicates, against a slow implementation of the same definition, and on planted ones."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from rlready.tasks.ngrams import COMMON, SHINGLE, SIMILAR, WORD, N, shared_and_near

Word = str | tuple[str, ...]
ASKED = " Reason step by step, then give the final answer on a last line of the form: #### <number>"


def words(text: str) -> list[Word]:
    return list(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def grams(text: Sequence[Word], n: int) -> set[tuple[Word, ...]]:
    return {tuple(text[i : i + n]) for i in range(max(1, len(text) - n + 1))} if text else set()


def in_many(sets: Sequence[Mapping[str, Sequence[Word]]]) -> set[tuple[Word, ...]]:
    """The 5-grams in more than 10 texts of a set, or in more than half of them."""
    found = set()
    for texts in sets:
        counts = Counter(gram for text in texts.values() for gram in grams(text, SHINGLE))
        found |= {gram for gram, count in counts.items() if count > max(1, min(COMMON, len(texts) // 2))}
    return found


def slow(texts: Sequence[str], others: Sequence[str]) -> tuple[set[str], set[str]]:
    sets: list[dict[str, list[Word]]] = [{text: words(text) for text in each} for each in (texts, others)]
    template = in_many(sets)
    for each in sets:
        for text, all_words in each.items():
            out = {
                i + k
                for i in range(max(1, len(all_words) - SHINGLE + 1))
                if tuple(all_words[i : i + SHINGLE]) in template
                for k in range(SHINGLE)
            }
            kept = [word for i, word in enumerate(all_words) if i not in out]
            each[text] = kept if len(kept) >= N else [("all of", *map(str, all_words))] if all_words else []
    again = in_many(sets)
    shared, near = set[str](), set[str]()
    for text, mine in sets[0].items():
        for theirs in sets[1].values():
            a, b = grams(mine, SHINGLE) - again, grams(theirs, SHINGLE) - again
            shared |= {text} if grams(mine, N) & grams(theirs, N) else set()
            near |= {text} if a and len(a & b) >= SIMILAR * len(a | b) else set()
    return shared, near


def test_the_counts_are_those_of_the_definition() -> None:
    total = Counter[str]()
    for seed in range(40):
        rng = random.Random(seed)

        def some(rng: random.Random = rng) -> list[str]:
            letters = "abcdefgh"[: rng.randint(1, 8)]
            return [" ".join(rng.choices(letters, k=rng.randint(0, 30))) for _ in range(rng.randint(0, 40))]

        texts, others = some(), some()
        others += [f"{text} z" for text in texts[:5]]
        found = shared_and_near(texts, others)
        assert found == slow(texts, others)
        total.update(shared=len(found[0]), near=len(found[1]))
    assert min(total["shared"], total["near"]) > 50


def test_planted_overlap_is_found_behind_a_common_instruction() -> None:
    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(500)]

    def question(n: int = 50) -> list[str]:
        return rng.choices(vocabulary, k=n)

    training = [question() for _ in range(200)]
    held = [question() for _ in range(100)]
    held[0] = training[0]
    held[1] = [*training[1][:20], "other", *training[1][21:]]  # one word of fifty
    held[2] = [*question(20), *training[2][10:23], *question(17)]  # 13 words in a row
    held[3] = [*question(20), *training[2][10:22], *question(18)]  # 12
    texts, others = ([" ".join(each) + ASKED for each in some] for some in (held, training))
    assert shared_and_near(texts, others) == (set(texts[:3]), set(texts[:2]))


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("What is 1+2?", "WHAT  is 1 + 2", True),
        ("What is 1+2?", "What is 1-2?", False),
        ("ﬁve Ａ", "five a", True),  # NFKC
        ("app\u00adles \u200bare", "apples a\u034fre\ufeff", True),
        ("三个苹果", "三个苹果。", True),
        ("", "", False),
        ("...", "?", False),
    ],
)
def test_short_texts_are_compared_as_a_whole(text: str, other: str, same: bool) -> None:
    assert shared_and_near([text], [other]) == (({text}, {text}) if same else (set(), set()))
