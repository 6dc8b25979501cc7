"""Texts that share words with those of another set: n-grams in common, and near-duplicates, both counted exactly.

A text shares an n-gram if any N = 13 of its words in a row, or all of a shorter text, are in one of the other set: the
definition of Brown et al. (arXiv 2005.14165, appendix C) with the N of lm-evaluation-harness.  It is a near-duplicate
if the Jaccard index of its 5-grams with those of one other text is at least 0.8 (Lee et al., arXiv 2107.06499, who
estimate it by MinHash).  Letter case, white space, punctuation and invisible characters do not count.

Choices of this package: arithmetic signs are words; and words in 5-grams that are in more than 10 different texts of
a set, or in more than half of them, are left out, because an instruction that all prompts share would otherwise make
all of them overlap. A text with fewer than 13 words left is compared as a whole.

Shapes: W = words of all texts, D = texts, G = n-grams.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlready.core.text import INVISIBLE

N, SHINGLE, SIMILAR = 13, 5, 0.8
COMMON = 10  # texts of a set
CHUNK = 100_000  # n-grams that are compared at once
CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # whose characters count as words, because no spaces divide them
WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+|[+\-−*/^=<>×÷√%]")
FACTOR = 0x9E3779B97F4A7C15  # of the polynomial hash: odd
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Texts:
    """Texts as numbers: ``words`` (W,), random but the same for the same word, and ``lengths`` (D,) in words."""

    words: Hashes
    lengths: Ints

    def grams(self, n: int) -> Grams:
        """The n-grams of all texts; all of a shorter text is one, if it has any words."""
        counts = np.where(self.lengths > 0, np.maximum(self.lengths - n + 1, 1), 0)
        text = np.repeat(np.arange(len(counts)), counts)
        inside = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)  # place within the text
        place, left = inside + (np.cumsum(self.lengths) - self.lengths)[text], self.lengths[text] - inside
        hashes = np.zeros(len(text), dtype=np.uint64)
        for k in range(n):
            there = left > k
            hashes[there] += self.words[place[there] + k] * np.uint64(pow(FACTOR, k + 1, 2**64))
        return Grams(hashes, text, place)

    def without(self, template: Hashes) -> Texts:
        """The texts without the words in these n-grams of ``SHINGLE`` words; where fewer than ``N`` are left of a text,
        one word stands for all of it."""
        found, number = self.grams(SHINGLE), len(self.lengths)
        left_out = np.zeros(len(self.words) + SHINGLE, dtype=bool)
        for k in range(SHINGLE):
            left_out[found.place[np.isin(found.hash, template)] + k] = True
        text = np.repeat(np.arange(number), self.lengths)
        left = np.bincount(text[~left_out[: len(text)]], minlength=number)
        short = left < N
        kept = ~left_out[: len(text)] & ~short[text]
        there = np.flatnonzero(short & (self.lengths > 0))
        words = np.concatenate([self.words[kept], self.wholes()[there]])
        order = np.argsort(np.concatenate([text[kept], there]), kind="stable")
        return Texts(words[order], np.where(short, self.lengths > 0, left).astype(np.int64))

    def wholes(self) -> Hashes:
        """(D,) one number for all words of each text."""
        begin = np.cumsum(self.lengths) - self.lengths
        inside = np.arange(len(self.words)) - np.repeat(begin, self.lengths)
        powers = np.cumprod(np.full(int(self.lengths.max(initial=0)) + 1, FACTOR, dtype=np.uint64))
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(self.words * powers[inside])])
        whole: Hashes = sums[begin + self.lengths] - sums[begin]
        return whole


@dataclass(frozen=True)
class Grams:
    """N-grams: ``hash`` (G,), number of the ``text`` (G,), which never falls, and ``place`` (G,) of the first word."""

    hash: Hashes
    text: Ints
    place: Ints

    def distinct(self) -> Grams:
        """Each n-gram of a text once."""
        order = np.lexsort((self.hash, self.text))
        hashes, text = self.hash[order], self.text[order]
        first = np.ones(len(text), dtype=bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (text[1:] != text[:-1])
        return Grams(hashes[first], text[first], self.place[order][first])

    def without(self, hashes: Hashes) -> Grams:
        kept = ~np.isin(self.hash, hashes)
        return Grams(self.hash[kept], self.text[kept], self.place[kept])


def shared_and_near(texts: Sequence[str], others: Sequence[str]) -> tuple[set[str], set[str]]:
    """Those of ``texts`` that share an n-gram with one of the others, and the near-duplicates of one of them."""
    named = list(dict.fromkeys(texts))
    both = _as_numbers(named, list(dict.fromkeys(others)))
    template = _template([each.grams(SHINGLE) for each in both], both)
    both = [each.without(template) for each in both]
    mine, theirs = (each.grams(N) for each in both)
    shared = np.unique(mine.text[np.isin(mine.hash, theirs.hash)])
    shingles = [each.grams(SHINGLE).distinct() for each in both]
    again = _template(shingles, both)  # where words are left out, others have become neighbours
    near = _near(*(each.without(again) for each in shingles))
    return {named[i] for i in shared}, {named[i] for i in near}


def word_count(texts: Sequence[str]) -> int:
    """About how many words texts have, by their spaces."""
    return sum(text.count(" ") + 1 for text in texts)


def _as_numbers(*sets: Sequence[str]) -> list[Texts]:
    vocabulary: dict[str, int] = {}
    ids, lengths = list[Ints](), list[Ints]()
    for texts in sets:
        words = [WORD.findall(unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold()) for text in texts]
        lengths.append(np.array([len(each) for each in words], dtype=np.int64))
        ids.append(
            np.array([vocabulary.setdefault(w, len(vocabulary)) for each in words for w in each], dtype=np.int64)
        )
    numbers = np.random.default_rng(0).integers(1, 2**63, len(vocabulary) + 1, dtype=np.uint64)
    return [Texts(numbers[each], length) for each, length in zip(ids, lengths, strict=True)]


def _template(grams: Sequence[Grams], sets: Sequence[Texts]) -> Hashes:
    """The n-grams that are in so many texts of a set that they are part of a template."""
    found = [np.zeros(0, dtype=np.uint64)]
    for each, texts in zip(grams, sets, strict=True):
        hashes, number = np.unique(each.distinct().hash, return_counts=True)
        found.append(hashes[number > max(1, min(COMMON, len(texts.lengths) // 2))])
    return np.concatenate(found)


def _near(mine: Grams, theirs: Grams) -> Ints:
    """The numbers of the texts of ``mine`` whose n-grams have a Jaccard index of at least ``SIMILAR`` with those of one
    of ``theirs``."""
    order = np.argsort(theirs.hash)
    hashes, texts = theirs.hash[order], theirs.text[order]
    my_sizes, sizes = np.bincount(mine.text), np.bincount(theirs.text)
    found = [np.zeros(0, dtype=np.int64)]
    begin = 0
    while begin < len(mine.text):  # whole texts at once
        end = int(np.searchsorted(mine.text, mine.text[min(begin + CHUNK, len(mine.text)) - 1], side="right"))
        first = np.searchsorted(hashes, mine.hash[begin:end])
        matches = np.searchsorted(hashes, mine.hash[begin:end], side="right") - first
        inside = np.arange(matches.sum()) - np.repeat(np.cumsum(matches) - matches, matches)
        other = texts[np.repeat(first, matches) + inside]
        pairs, common = np.unique(np.repeat(mine.text[begin:end], matches) * len(sizes) + other, return_counts=True)
        text, other = pairs // len(sizes), pairs % len(sizes)
        found.append(text[common >= SIMILAR * (my_sizes[text] + sizes[other] - common)])
        begin = end
    return np.unique(np.concatenate(found))
