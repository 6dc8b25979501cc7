"""Configurations: round trip, origins, and one clear line for everything that does not fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlready.core import config
from rlready.core.config import option
from rlready.core.errors import UserError
from rlready.core.options import fill, help_text, to_toml


@dataclass(frozen=True)
class Sample:
    name: str = option("base", "a name")
    steps: int = option(5, "how many")
    rate: float = option(0.5, "how fast")
    fast: bool = option(False, "whether")
    kind: Literal["linear", "cosine"] = option("linear", "which")
    models: tuple[str, ...] = option(("a",), "some")
    caps: tuple[int, ...] = option((1, 2), "more")


def read(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "given.toml"
    file.write_text(text, encoding="utf-8")
    return file


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Sample,
        name=TEXT,
        steps=st.integers(-(2**63), 2**63 - 1),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        fast=st.booleans(),
        kind=st.sampled_from(["linear", "cosine"]),
        models=st.lists(TEXT).map(tuple),
        caps=st.lists(st.integers()).map(tuple),
    )
)
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, value: Sample) -> None:
    file = tmp_path_factory.getbasetemp() / "round.toml"
    file.write_bytes(to_toml(value).encode())
    assert fill(Sample, file, []).value == value


@pytest.mark.parametrize(
    "cls",
    [config.DemoConfig, config.SFTConfig, config.RLConfig, config.EvaluateConfig, config.ReadinessConfig],
)
def test_every_verbs_defaults_round_trip_and_have_help(cls: type, tmp_path: Path) -> None:
    assert fill(cls, read(tmp_path, to_toml(cls())), []).value == cls()
    for key in cls.__dataclass_fields__:
        assert f"  {key} " in help_text(cls)


def test_line_wins_over_file_and_origins_say_so(tmp_path: Path) -> None:
    file = read(tmp_path, 'steps = 7\nrate = 1\nmodels = ["x,y", "z"]')
    filled = fill(Sample, file, ["steps=1_000", "caps=3, 4", "fast=yes", "name=a=b"])
    assert filled.value == Sample("a=b", 1000, 1.0, True, "linear", ("x,y", "z"), (3, 4))
    assert type(filled.value.rate) is float
    assert filled.origins == {
        "name": "command line",
        "steps": "command line",
        "rate": "file",
        "fast": "command line",
        "kind": "default",
        "models": "file",
        "caps": "command line",
    }


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("stpes=3", "command line: unknown key 'stpes'; did you mean steps?"),
        ("zzzz=3", "command line: unknown key 'zzzz'; known: name, steps, rate, fast, kind, models, caps"),
        ("steps=1.5", "command line: steps = '1.5' is not a whole number"),
        ("rate=nan", "command line: rate = 'nan' is not a number"),
        ("rate=fast", "command line: rate = 'fast' is not a number"),
        ("fast=maybe", "command line: fast = 'maybe' is not true or false"),
        ("kind=cosin", "command line: kind = 'cosin' is not one of linear, cosine; did you mean cosine?"),
        ("caps=1,b", "command line: caps = '1,b' is not a list of whole numbers, with commas between"),
        ("name=\udcff", "command line: name = '\\udcff' is not UTF-8 text"),
        ("steps", "command line: 'steps' is not key=value"),
    ],
)
def test_a_word_that_does_not_fit_is_one_line(word: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        fill(Sample, None, [word])
    assert str(refused.value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step = 3", "unknown key 'step'; did you mean steps?"),
        ("steps = 3.0", "steps = 3.0 is not a whole number"),
        ("steps = true", "steps = True is not a whole number"),
        ("rate = inf", "rate = inf is not a number"),
        ("name = 3", "name = 3 is not text"),
        ("fast = 1", "fast = 1 is not true or false"),
        ("kind = 3", "kind = 3 is not one of linear, cosine"),
        ("models = 3", "models = 3 is not a list of text, with commas between"),
        ("caps = [1.5]", "caps = [1.5] is not a list of whole numbers, with commas between"),
        ("[steps]\nx = 1", "steps = {'x': 1} is not a whole number"),
        ("steps == 3", "not TOML: Invalid value (at line 1, column 8)"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = read(tmp_path, text)
    with pytest.raises(UserError) as refused:
        fill(Sample, file, [])
    assert str(refused.value) == f"{file}: {says}"


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot read .*none.toml: No such file or directory$"):
        fill(Sample, tmp_path / "none.toml", [])
