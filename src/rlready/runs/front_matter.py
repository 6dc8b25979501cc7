"""The front matter of a card, in the Hugging Face format: what a model or data set says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

CARD = "README.md"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
TRAINER = re.compile(r"checkpoint-\d+")
MOST = 20_000  # characters that are read of a card or a licence


def front_matter(card: Path) -> Mapping[str, object]:
    """The keys and values at the beginning of a card; none without a card, or if they cannot be read."""
    text = beginning(card)
    if not text.lstrip().startswith("---"):
        return {}
    from huggingface_hub import RepoCard  # takes a quarter of a second to import

    with suppress(Exception):  # any: the text may be anything, and its parser raises errors of many types
        return {**vars(RepoCard(text, ignore_metadata_errors=True).data)}
    return {}


def card_of(folder: Path) -> Path:
    """Where the card of a checkpoint is: for the checkpoint-N of a Hugging Face trainer, beside all of them."""
    card = folder / CARD
    return folder.parent / CARD if TRAINER.fullmatch(folder.name) and not card.is_file() else card


def hub_bases(folder: Path) -> list[str]:
    """The hub ids of the models from which a checkpoint says that it was made."""
    named = front_matter(card_of(folder)).get("base_model")
    names = named if isinstance(named, list) else [named]
    return [name for name in names if isinstance(name, str) and HUB_ID.fullmatch(name) and not os.path.exists(name)]


def beginning(file: Path) -> str:
    """The first characters of a file; "" if there is none, or it is no file of text."""
    with suppress(OSError):
        if file.is_file():
            with file.open(encoding="utf-8-sig", errors="replace") as text:
                return text.read(MOST)
    return ""
