"""The metadata of a data set made by inject, validated and read by mlcroissant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlready.core.config import InjectConfig
from rlready.inject.stage import inject

mlcroissant = pytest.importorskip("mlcroissant")


@pytest.mark.parametrize("method", ["behaviours", "premises"])
def test_mlcroissant_finds_no_fault_and_reads_the_rows(method: str, tmp_path: Path) -> None:
    config = InjectConfig(rows="dagmath?ops=2&split=all&n=6&seed=1", method=method)
    result = inject(config, tmp_path / "made")
    found = mlcroissant.Dataset(jsonld=str(tmp_path / "made" / "croissant.json"))
    issues = found.metadata.ctx.issues
    assert not issues.errors
    assert all("citeAs" in warning for warning in issues.warnings)  # which the run cannot know
    records = list(found.records("rows"))
    written = [json.loads(line) for line in (tmp_path / "made" / "rows.jsonl").read_text().splitlines()]
    assert len(records) == result.rows_out
    for record, row in zip(records, written, strict=True):
        read = {key.removeprefix("rows/"): value for key, value in record.items()}
        assert {name: value.decode() for name, value in read.items()} == {name: row[name] for name in read}
        assert read.keys() == {"id", "prompt", "thinking", "response", "answer"}
