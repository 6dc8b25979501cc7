"""The licence of a file or folder, where one is stated: in its card, in a file beside it, or by its Python package."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import metadata, packages_distributions
from pathlib import Path
from typing import Literal, NamedTuple

from rlready.core.text import visible
from rlready.runs.front_matter import CARD, beginning, card_of, front_matter, hub_bases
from rlready.runs.licences import UNKNOWN, terms_of
from rlready.runs.lineage import models_behind

FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")
PACKAGE = "rlready"
PLACEHOLDERS = ("", "unknown", "license", "licence", "none", "[more information needed]")  # TRL writes "license"
TEXTS = {  # what a licence says in its first lines, in lower case, and its id on the hub
    r"spdx-license-identifier: ?([\w.+-]+)": r"\1",
    r"apache license.{0,20}version 2|apache software license|apache[- ]2\.0": "apache-2.0",
    r"mit license|permission is hereby granted, free of charge, to any person": "mit",
    r"bsd 3-clause|redistribution and use in source.*neither the name": "bsd-3-clause",
    r"bsd 2-clause|redistribution and use in source": "bsd-2-clause",
    r"cc0 1\.0|creative commons zero": "cc0-1.0",
    r"gnu affero general public license.{0,20}version (\d)": r"agpl-\1.0",
    r"gnu lesser general public license.{0,20}version (\d)": r"lgpl-\1.0",
    r"gnu general public license.{0,20}version (\d)": r"gpl-\1.0",
    r"mozilla public license.{0,20}version 2|mozilla public license 2": "mpl-2.0",
    r"llama ?(\d(?:\.\d)?) (?:community )?license": r"llama\1",
    r"gemma terms of use": "gemma",
    r"open data commons attribution": "odc-by",
    r"open database license": "odbl",
}
CREATIVE_COMMONS = r"attribution(-? ?non-?commercial)?(-? ?share-?alike)?(-? ?no-?deriv\w*)? (\d\.\d)"


class Stated(NamedTuple):
    """A licence by its id, in lower case, and the name of the file or package that states it; "" if none does."""

    licence: str
    where: str


NOT_STATED = Stated(UNKNOWN, "")


def licence_of(path: Path) -> Stated:
    """The licence of a file or folder; the stricter one where its card and its licence file differ."""
    folder = path if path.is_dir() else path.parent
    card = licence_in_card(card_of(folder))
    file = next((name for name in FILES if (folder / name).is_file()), "")
    text = _in_text(beginning(folder / file)) if file and not (folder / file).is_symlink() else ""
    found = [each for each in (card, Stated(text, file)) if each.licence not in ("", UNKNOWN)]
    if not found:
        return _of_package(path)
    strictest = max(found, key=lambda each: terms_of(each.licence).rank)
    differing = [f"{each.where} says {each.licence}" for each in found if each.licence != strictest.licence]
    return Stated(strictest.licence, " but ".join([strictest.where, *differing]))


def licence_of_model(folder: Path) -> Stated:
    """The licence of a model, or else of what it was made from, as far as that is on this machine."""
    for path in models_behind(folder):
        if (stated := licence_of(path)).where:
            return stated if path == folder.resolve() else Stated(stated.licence, f"{stated.where} of {path.name}")
        for base in hub_bases(path):
            if (stated := licence_on_hub(base, "model")).where:
                return Stated(stated.licence, f"{stated.where} of {base}")
    return NOT_STATED


def licence_on_hub(id: str, kind: Literal["model", "dataset"], revision: str | None = None) -> Stated:
    """The licence in the card of a model or data set of the hub, if it was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    with suppress(ValueError):  # no hub id
        if isinstance(found := try_to_load_from_cache(id, CARD, repo_type=kind, revision=revision), str):
            return licence_in_card(Path(found))
    return NOT_STATED


def licence_in_card(card: Path) -> Stated:
    """The licence in the front matter of a card in the Hugging Face format."""
    data = front_matter(card)
    stated = data.get("license")
    if stated == "other":
        stated = data.get("license_name") or stated
    ids = stated if isinstance(stated, list) else [stated]
    named = ", ".join(_id(each) for each in ids if isinstance(each, str) and each.lower() not in PLACEHOLDERS)
    return Stated(named, card.name) if named else NOT_STATED


def _of_package(path: Path) -> Stated:
    """What the metadata of an installed package say of a file in it."""
    parts = path.resolve().parts
    own = Path(__file__).resolve().parents[1]
    if path.resolve().is_relative_to(own):
        names = [PACKAGE]
    elif "site-packages" in parts[:-1]:
        names = packages_distributions().get(parts[parts.index("site-packages") + 1], [])
    else:
        return NOT_STATED
    for name in names[:1]:
        about = metadata(name)
        stated = about["License-Expression"] or about["License"] or ""
        if stated and stated.lower() not in PLACEHOLDERS:
            return Stated(_in_text(stated), f"metadata of the package {name}")
    return NOT_STATED


def _in_text(text: str) -> str:
    """The id of a licence from its text; the first line of one that is not known, and "" of an empty text."""
    words = " ".join(text.lower().split())
    if found := re.search(CREATIVE_COMMONS, words):
        terms = zip(("by", "nc", "sa", "nd"), (True, *found.groups()[:3]), strict=True)
        return f"cc-{'-'.join(name for name, there in terms if there)}-{found[4]}"
    for pattern, licence in TEXTS.items():
        if found := re.search(pattern, words):
            return _id(found.expand(licence))
    first = next((line.strip("# ").strip() for line in text.splitlines() if line.strip("# ").strip()), "")
    return _id(first)


def _id(text: str) -> str:
    """An id as the hub writes it, in one short line that can be printed."""
    short = " ".join(visible(text).split())[:60]
    return re.sub(r"-(or-later|only)$|\+$", "", short.lower()) if " " not in short else short
