"""What machines read about a data set: tests/oracle lets mlcroissant validate it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from rlready.core.config import InjectConfig
from rlready.inject.metadata import CRATE, CROISSANT
from rlready.inject.stage import inject
from rlready.runs.files import read_json, write_text


def referred(value: JsonValue) -> Iterator[str]:
    """The ids of all entities that a value names."""
    if isinstance(value, list):
        for each in value:
            yield from referred(each)
    elif isinstance(value, dict):
        if value.keys() == {"@id"}:
            yield str(value["@id"])
        for each in value.values():
            yield from referred(each)


@pytest.mark.parametrize("licence", ["MIT", ""])
def test_both_files_name_the_rows_by_hash_and_the_licence_only_if_it_is_known(licence: str, tmp_path: Path) -> None:
    inject(InjectConfig(rows="dagmath?ops=2&split=all&n=3&seed=1", method="vanilla"), tmp_path / "rows")
    source = tmp_path / "source"
    write_text(source / "train.jsonl", (tmp_path / "rows" / "rows.jsonl").read_text())
    if licence:
        write_text(source / "LICENSE", "MIT License\n")
    inject(InjectConfig(rows=str(source / "train.jsonl"), method="vanilla"), tmp_path / "made")
    crate, croissant = (read_json(tmp_path / "made" / name) for name in (CRATE, CROISSANT))
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    ids = {each for each in referred(crate["@graph"]) if not each.startswith("https://")}
    assert ids <= entities.keys()
    for file in (*(e for e in entities.values() if e["@type"] == "File"), *croissant["distribution"]):
        content = (tmp_path / "made" / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    stated = [entities["./"].get("license", ""), croissant.get("license", "")]
    assert [text.split(" ")[0].upper() for text in stated] == [licence, licence]
    digest = hashlib.sha256((source / "train.jsonl").read_bytes()).hexdigest()
    assert digest in croissant["prov:wasDerivedFrom"]
    assert digest in entities["#source"]["identifier"]
    assert croissant["rai:hasSyntheticData"] is False
