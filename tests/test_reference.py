"""The reference page and the schemas are those of the models."""

import json
import re
from pathlib import Path

import pytest

from rlready.cli.main import main
from rlready.cli.schema import CONFIGS, RESULTS

ROOT = Path(__file__).parents[1]


def test_the_reference_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_reference
    import make_stub

    assert (ROOT / "docs" / "reference.md").read_text() == make_reference.page(), f"run {make_reference.__file__}"
    assert not re.findall(r"^.*\| +\|$", make_reference.page(), re.MULTILINE)  # everything has a meaning
    assert make_stub.STUB.read_text() == make_stub.stub(), f"run {make_stub.__file__}"


@pytest.mark.parametrize("name", [*CONFIGS, *(cls.__name__ for cls in CONFIGS.values()), *RESULTS])
def test_every_schema_is_printed_as_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert schema["properties"]


def test_constraints_are_in_the_schema() -> None:
    steps = CONFIGS["rl"].model_json_schema()["properties"]
    assert steps["steps"]["minimum"] == 1
    assert steps["group_size"]["minimum"] == 2


def test_an_unknown_schema_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "RLResults"]) == 2
    assert capsys.readouterr().err == "rlready: RLResults: no such schema; did you mean RLResult?\n"


def test_every_setting_is_in_the_glossary() -> None:
    page = (Path(__file__).parents[1] / "docs" / "glossary.md").read_text()
    explained = {
        name for cell in re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE) for name in re.findall(r"\w+", cell)
    }
    for cls in CONFIGS.values():
        assert cls.model_fields.keys() <= explained, cls.__name__
