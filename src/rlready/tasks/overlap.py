"""Equal texts in data: repeated within a set, or shared by two; and a held-out part that shares none with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.runs.run import Run

Item = TypeVar("Item", Problem, Row)

SHARE, LEAST, MOST = 0.1, 16, 200  # of the items that are held out, before the limits below
SHOWN = 60  # characters of a prompt in a warning
TOO_FEW = 24  # items that are not split: a third of them, the most that is held out, would be below eight


def prompt_of(item: Problem | Row) -> str:
    """The system turn and the prompt, with every run of white space as one space."""
    return " ".join(f"{item.system} {item.prompt}".split())


def warn_of_repeats(run: Run, setting: str, items: Sequence[Problem | Row]) -> str:
    """Warn of items that repeat an earlier one: the prompt of a problem; prompt, thought and response of a row.

    Returns what copies of problems do to intervals over them, or "".
    """
    texts = {
        (prompt_of(item), item.thinking, item.response) if isinstance(item, Row) else prompt_of(item) for item in items
    }
    again = len(items) - len(texts)
    if not again:
        return ""
    repeats = f"{setting}: {again} of {len(items)} repeat the text of an earlier one under another id"
    run.warn(repeats)
    answers: dict[str, set[str]] = {}
    for item in items:
        if isinstance(item, Problem) and item.answer:
            answers.setdefault(prompt_of(item), set()).add(item.answer)
    if several := [prompt for prompt, found in answers.items() if len(found) > 1]:
        run.warn(f"{setting}: {len(several)} prompts have several answers, first {several[0][:SHOWN]!r}")
    return f"{repeats}, yet count as independent, so that intervals are too narrow: leave copies out"


def shared_ids(training: Sequence[Problem | Row], held: Sequence[Problem | Row]) -> int:
    """How many held-out items have the id of a training item with another prompt."""
    known = {item.id: prompt_of(item) for item in training}
    return sum(known.get(item.id, prompt_of(item)) != prompt_of(item) for item in held)


def split_off(items: Sequence[Item], source: str, setting: str) -> tuple[list[Item], list[Item]]:
    """(training, held-out) items, each in the given order: 10 %, at least 16 and at most 200, never above a third.

    Prompts are chosen by a hash of their text with a fixed key, so the same ones are held out whatever the seed of the
    run and the order of the file, and no prompt is in both parts.  Raises UserError below 24 different prompts;
    ``setting`` would name another source.
    """
    prompts = {prompt_of(item) for item in items}
    if len(prompts) < TOO_FEW:
        raise UserError(
            f"{setting} is missing, and the {len(prompts)} different prompts of {source} are too few to split it from "
            f"(at least {TOO_FEW}): name it with {setting}="
        )
    number = min(max(round(SHARE * len(prompts)), LEAST), len(prompts) // 3, MOST)
    chosen = set(sorted(prompts, key=lambda text: blake2b(text.encode(), key=b"validation").digest())[:number])
    training: list[Item] = []
    held: list[Item] = []
    for item in items:
        (held if prompt_of(item) in chosen else training).append(item)
    return training, held
