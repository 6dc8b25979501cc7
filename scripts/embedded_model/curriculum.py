"""What the embedded model was pretrained on: from looking up values over single steps to short chains."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from rlready.tasks.dagmath.expression import expression_text
from rlready.tasks.dagmath.generator import DagConfig, generate
from rlready.tasks.dagmath.graph import evaluate, split_of, topological_order
from rlready.tasks.dagmath.render import LETTERS, assign_letters
from rlready.tasks.dagmath.symbols import Symbols
from rlready.tasks.dagmath.vocabulary import build_tokenizer

# (until this share of the run, share of drills, operations, redundant premises); operations uniform within the range.
# Retrieval first and alone: with drills from the start it formed several times more slowly; the tables then come
# within a few hundred steps of drills.
STAGES: tuple[tuple[float, float, tuple[int, int], tuple[int, int]], ...] = (
    (0.15, 0.0, (1, 3), (0, 4)),
    (0.45, 0.0, (1, 4), (0, 4)),
    (0.60, 0.5, (1, 4), (0, 4)),
    (1.00, 0.1, (1, 4), (0, 4)),
)
IGNORE = -100


class Problems(IterableDataset[list[tuple[list[int], int]]]):
    """Endless batches of (token ids, prompt length), training-split problems, stage by stage.

    Batches are taken from length-sorted pools and shuffled, so that there is little padding.
    """

    POOL = 8

    def __init__(self, seed: int, batch: int, steps: int, start: int = 0) -> None:
        self.seed, self.batch, self.steps, self.start = seed, batch, steps, start

    def __iter__(self) -> Iterator[list[tuple[list[int], int]]]:
        size = self.batch
        for pool in range(self.start // self.POOL, self.steps // self.POOL + 1):
            rows = sorted(
                (self._row(pool * size * self.POOL + i) for i in range(size * self.POOL)), key=lambda r: len(r[0])
            )
            batches = [rows[i : i + size] for i in range(0, len(rows), size)]
            random.Random(f"pretrain-order:{self.seed}:{pool}").shuffle(batches)
            yield from batches[self.start % self.POOL if pool == self.start // self.POOL else 0 :]

    def _row(self, index: int) -> tuple[list[int], int]:
        share = index / (self.steps * self.batch)
        _, drills, ops, redundant = next(stage for stage in STAGES if share < stage[0] or stage[0] == 1.0)
        rng = random.Random(f"pretrain:{self.seed}:{index}")
        return encode(*(drill(rng) if rng.random() < drills else example(ops, redundant, rng)))


@cache
def vocabulary() -> dict[str, int]:
    return build_tokenizer().get_vocab()


def encode(prompt: str, response: str) -> tuple[list[int], int]:
    """Token ids of a whole example and the length of its prompt."""
    words = ["<bos>", *prompt.split(), "<think>", *response.split(), "<eos>"]
    return [vocabulary()[w] for w in words], len(prompt.split()) + 2


def example(ops: tuple[int, int], redundant: tuple[int, int], rng: random.Random) -> tuple[str, str]:
    """One (prompt, solution) of the training split in symbols."""
    symbols = Symbols()
    while True:
        count = rng.randint(*ops)
        config = DagConfig(ops=(count, count), asked=min(count, rng.choice((1, 1, 2))), redundant=redundant)
        dag = generate(config, rng)
        if dag.ops < 4 or split_of(dag) == "train":  # small graphs have too few templates to hold any back
            break
    letters = assign_letters(dag, rng)
    steps = [symbols.step(dag, k, letters) for k in topological_order(dag, dag.needed, rng)]
    return symbols.prompt(dag, letters), f"{symbols.join(steps)} </think> {symbols.answer(dag, letters)}"


def drill(rng: random.Random) -> tuple[str, str]:
    """Single steps on plain numbers, several at once: the arithmetic tables, which form last without them."""
    names = rng.sample(LETTERS, rng.randint(3, 9))
    modulus = DagConfig().modulus or 0
    sums: dict[str, tuple[str, int, int]] = {
        n: (rng.choice("+-*"), rng.randrange(modulus), rng.randrange(modulus)) for n in names
    }
    shown = {n: expression_text(e, {}) for n, e in sums.items()}
    values = {n: evaluate(e, {}, modulus) for n, e in sums.items()}
    order = rng.sample(names, len(names))
    prompt = " ".join([f"{n}= {shown[n]}" for n in names] + ["?", *order])
    steps = " ".join(f"{n}= {shown[n]} {n}: {values[n]}" for n in order)
    return prompt, f"{steps} </think> {' '.join(f'{n}: {values[n]}' for n in order)}"


def collate(rows: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    """(B, L) ids and labels, right-padded; labels only on the solution."""
    width = max(len(ids) for ids, _ in rows)
    ids_BL = torch.zeros(len(rows), width, dtype=torch.long)
    labels_BL = torch.full((len(rows), width), IGNORE, dtype=torch.long)
    for i, (ids, prompt) in enumerate(rows):
        ids_BL[i, : len(ids)] = torch.tensor(ids)
        labels_BL[i, prompt : len(ids)] = torch.tensor(ids[prompt:])
    return ids_BL, labels_BL
