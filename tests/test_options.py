"""Configurations: round trip, origins, and one clear line for everything that does not fit."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rlready.core import config
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.options import fill_config, read_toml, to_toml
from rlready.core.settings import Config, InnerShares, Share, Texts, TokenCounts, WaitCounts, option


class Sample(Config):
    name: str = option("base", "a name")
    steps: int = option(5, "how many", ge=-(2**63))
    rate: float = option(0.5, "how fast")
    fast: bool = option(False, "whether")
    kind: Literal["linear", "cosine"] = option("linear", "which")
    models: Texts = option(("a",), "some")
    caps: WaitCounts = option((1, 2), "more")


class Bounded(Config):
    above: float = option(1.0, "above 0", gt=0)
    count: int = option(1, "from 1 on", gt=0)
    seed: int = option(0, "from 0 on", ge=0)
    share: Share = option(0.5, "between 0 and 1")
    inner: InnerShares = option((0.5,), "strictly between")
    sizes: TokenCounts = option((1,), "from 1 on", min_length=1)


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
        caps=st.lists(st.integers(0, 1000)).map(tuple),
    )
)
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, value: Sample) -> None:
    file = tmp_path_factory.getbasetemp() / "round.toml"
    file.write_bytes(to_toml(value).encode())
    assert fill_config(Sample, file, {}).value == value


CONFIGS = [cls for cls in vars(config).values() if isinstance(cls, type) and issubclass(cls, Config) and cls != Config]


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_verbs_defaults_round_trip_and_have_help(cls: type[Config], tmp_path: Path) -> None:
    assert len(CONFIGS) == 14
    assert fill_config(cls, read(tmp_path, to_toml(cls())), {}).value == cls()
    for name, field in cls.model_fields.items():
        text = field.description or ""
        assert text[:1].isupper() or text.split()[0].strip(",") in ("adaptive", "behaviours"), (name, text)
        assert text.endswith((".", ")")), (name, text)


def test_the_command_line_takes_precedence_and_origins_record_it(tmp_path: Path) -> None:
    file = read(tmp_path, 'steps = 7\nrate = 1\nmodels = ["x,y", "z"]')
    filled = fill_config(Sample, file, {"steps": "1_000", "caps": "3, 4", "fast": "yes", "name": "a=b"})
    assert filled.value == Sample(
        name="a=b", steps=1000, rate=1.0, fast=True, kind="linear", models=("x,y", "z"), caps=(3, 4)
    )
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
        ("zzzz=3", "command line: unknown key 'zzzz'; see rlready sample --help"),
        ("steps=1.5", "command line: steps = '1.5' is not a whole number"),
        ("rate=nan", "command line: rate = 'nan' is not a number"),
        ("rate=fast", "command line: rate = 'fast' is not a number"),
        ("fast=maybe", "command line: fast = 'maybe' is not true or false"),
        ("kind=cosin", "command line: kind = 'cosin' is not one of linear, cosine; did you mean cosine?"),
        ("caps=1,b", "command line: caps = '1,b' is not a list of whole numbers, separated by commas"),
        ("caps=1,,2", "command line: caps = '1,,2' is not a list of whole numbers, separated by commas"),
        ("name=\udcff", "command line: name = '\\udcff' is not UTF-8 text"),
    ],
)
def test_an_invalid_setting_is_one_line(word: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        fill_config(Sample, None, dict([word.split("=", 1)]))
    assert str(refused.value) == says


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("above=0", "above must be above 0, got 0"),
        ("above=-0.5", "above must be above 0, got -0.5"),
        ("count=0", "count must be at least 1, got 0"),
        ("seed=-1", "seed must not be negative, got -1"),
        ("share=1.5", "share must be at most 1, got 1.5"),
        ("inner=0.2,1", "inner must be below 1, got 1"),
        ("inner=0", "inner must be above 0, got 0"),
        ("sizes=4,0", "sizes must be at least 1, got 0"),
        ("sizes=", "sizes is empty; give at least one value"),
    ],
)
def test_a_value_out_of_range_is_one_line(word: str, says: str) -> None:
    key, _, text = word.partition("=")
    with pytest.raises(UserError) as refused:
        fill_config(Bounded, None, {key: text})
    assert str(refused.value) == f"command line: {says}"
    value = [float(part) if "." in part else int(part) for part in text.split(",") if part]
    with pytest.raises(UserError) as refused:  # the same from Python, with values in place of text
        Bounded(**{key: value if key in ("inner", "sizes") else value[0]})
    assert str(refused.value) == says


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RLConfig(stepz=1), "unknown setting 'stepz' of RLConfig; did you mean steps?"),
        (lambda: RLConfig(steps="3"), "steps = '3' is not a whole number"),
        (lambda: RLConfig(steps=True), "steps = True is not a whole number"),
        (lambda: RLConfig(group_size=1), "group_size must be at least 2, got 1"),
        (lambda: RLConfig(gamma=0.5), "gamma does not apply to algorithm=dr_grpo; set algorithm=dense"),
        (lambda: RLConfig(algorithm="dense", kl_coef=0.1), "kl_coef does not apply to algorithm=dense"),
        (lambda: RLConfig(algorithm="dense", gamma=0.0, return_type="full_return"), "only the first token"),
        (lambda: RLConfig(reward_coef=0.1), "reward_coef=0.1 does not apply to reward=correctness"),
        (lambda: RLConfig(reward="grpo_lambda", reward_coef=1.5), "must be at most 1, so that no wrong answer"),
        (lambda: RLConfig(length_prompt="short"), "length_prompt='short' states no length"),
        (lambda: EvaluateConfig(num_waits=(0, 0)), "num_waits contains a value twice: 0, 0"),
        (lambda: EvaluateConfig(unconstrained=True, num_waits=(1,)), "num_waits does not apply to unconstrained=true"),
        (lambda: EvaluateConfig(unconstrained=True, reference="a"), "reference does not apply to unconstrained=true"),
        (lambda: ReadinessConfig(influence=True, samples=1), "influence needs correct and wrong samples"),
        (lambda: ReadinessConfig(samples=2).replace(samples=0), "samples must be at least 1, got 0"),
    ],
)
def test_a_contradictory_configuration_is_refused(make: Callable[[], Config], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        make()


@pytest.mark.parametrize(
    "caps",
    [[64, 128], range(64, 129, 64), np.array([64, 128]), deque([64, 128]), {64: "", 128: ""}.keys(), iter([64, 128])],
)
def test_a_list_is_anything_with_an_order(caps: Iterable[int]) -> None:
    sample = Sample(caps=caps, steps=np.int64(3))
    assert (sample.caps, sample.steps) == ((64, 128), 3)
    assert {type(number) for number in (*sample.caps, sample.steps)} == {int}


@pytest.mark.parametrize("caps", [{64, 128}, {64: 1}, np.array([64.5]), True, np.array([True])])
def test_what_has_no_order_and_what_is_no_list_is_refused(caps: object) -> None:
    with pytest.raises(UserError, match=r"caps = .* is not a list of whole numbers"):
        Sample(caps=caps)


def test_a_configuration_is_frozen_and_replaced_by_a_copy() -> None:
    config = RLConfig(steps=3, device="cuda")
    with pytest.raises(ValidationError, match="frozen"):
        config.steps = 4  # type: ignore[misc]
    changed = config.replace(steps=4)
    assert (config.steps, changed.steps, changed.device) == (3, 4, "cuda")
    assert changed.model_fields_set == {"steps", "device"}


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
        ("models = 3", "models = 3 is not a list of text, separated by commas"),
        ("caps = [1.5]", "caps = [1.5] is not a list of whole numbers, separated by commas"),
        ("[steps]\nx = 1", "steps = {'x': 1} is not a whole number"),
        ("steps == 3", "not TOML: Invalid value (at line 1, column 8)"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = read(tmp_path, text)
    with pytest.raises(UserError) as refused:
        fill_config(Sample, file, {})
    assert str(refused.value) == f"{file}: {says}"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("1" + "0" * 5000, "not TOML: Exceeds the limit"),
        (".".join("a" * 50_000) + " = 1", "nested too deeply to be read"),
        ("0x1" + "0" * 5000, "seed must be at most 4,294,967,295, got a number of thousands of digits"),
        ("1" + "0" * 4000, "seed must be at most 4,294,967,295, got 1" + "0" * 56 + r"\.\.\.$"),
    ],
)
def test_a_number_of_thousands_of_digits_is_not_printed(tmp_path: Path, number: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        fill_config(config.SFTConfig, read(tmp_path, f"seed = {number}"), {})


@pytest.mark.parametrize(
    "text", ["# " + ("a" * 79 + ".") * 99 + "\n", "# " + "a" * 5_000 + "\n", "x = [" + "0.5," * 500 + "]\n"]
)
def test_a_large_file_is_read_in_time_and_its_numbers_are_no_deep_key(tmp_path: Path, text: str) -> None:
    """A search for deep keys took 42 s for half a megabyte of comments."""
    file = tmp_path / "large.toml"
    file.write_text(text if text.startswith("x") else text * (1_000_000 // len(text)))
    begun = time.process_time()
    read_toml(file)
    assert time.process_time() - begun < 2


def test_a_setting_that_a_file_gives_twice_is_refused(tmp_path: Path) -> None:
    """TOML itself takes these for two keys."""
    file = tmp_path / "sft.toml"
    file.write_text("learning_rate = 0.001\nlearning-rate = 0.5\n")
    with pytest.raises(UserError, match=r"sft\.toml: learning_rate is given twice, once as 'learning-rate'"):
        fill_config(SFTConfig, file, {})


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot read .*none.toml: No such file or directory$"):
        fill_config(Sample, tmp_path / "none.toml", {})


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_number_has_bounds(cls: type[Config]) -> None:
    """Beyond them a number means nothing, and costs hours or all memory before the first step."""
    for name, described in cls.model_json_schema()["properties"].items():
        for kind in described.get("anyOf", [described]):
            kind = kind.get("items", kind)
            if kind.get("type") in ("number", "integer"):
                assert kind.keys() & {"minimum", "exclusiveMinimum"}, name
                assert kind.keys() & {"maximum", "exclusiveMaximum"}, name


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: config.PredictConfig(resamples=2147483648), "resamples must be at most 100,000, got 2147483648"),
        (lambda: config.PredictConfig(splits=-1), "splits must be at least 1, got -1"),
        (lambda: RLConfig(epsilon_high=-5.0), "epsilon_high must not be negative, got -5"),
        (lambda: RLConfig(temperature=1e300), "temperature must be at most 100, got 1e+300"),
        (lambda: RLConfig(seed=2**63), "seed must be at most 4,294,967,295"),
        (lambda: config.SFTConfig(learning_rate=1e-300), "learning_rate must be at least 1e-12, got 1e-300"),
        (lambda: config.SFTConfig(save_every=1e-4), "save_every=0.0001 would keep 20,000 checkpoints in 2 epochs"),
        (
            lambda: EvaluateConfig(temperature=1e-3),
            "temperature must be 0 (greedy decoding) or at least 0.01, got 0.001",
        ),
        (lambda: EvaluateConfig(end_think_bias=(0.0, 1e9)), "end_think_bias must be at most 1000, got 1e+09"),
    ],
)
def test_numbers_without_meaning_are_refused(make: Callable[[], Config], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        make()


def test_texts_are_no_deep_keys(tmp_path: Path) -> None:
    file = tmp_path / "texts.toml"
    file.write_text(
        'a = "' + "Do. " * 200 + '"\nb = """' + "0. " * 200 + '"""\nc = \'' + "x.y. " * 100 + "'\n# " + "a." * 200
    )
    assert set(read_toml(file)) == {"a", "b", "c"}
