"""verl's own configuration takes the overrides that ``rlready export`` has written."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from rlready.export.verl import _inside, _written
from test_export import exported, here  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("here")
LORA = 'lora_r = 4\nlora_target_modules = ["q_proj", "v_proj"]\nsave_total_limit = 2\ngradient_checkpointing = true\n'


def overrides(launch: Path) -> list[str]:
    """What the launch script passes to verl, here to a program of that name that writes it down."""
    python = Path("bin") / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$@" > given\n')
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{python.parent.resolve()}:{os.environ['PATH']}"}
    subprocess.run(["sh", launch], check=True, env=environment)
    module, verl, *found = Path("given").read_text().split("\0")[:-1]
    assert (module, verl) == ("-m", "verl.trainer.main_ppo")
    return found


@pytest.mark.parametrize(
    "settings",
    [
        'algorithm = "grpo"\nkl_coef = 0.1\n',
        'algorithm = "dapo"\nimportance_correction = "none"\n' + LORA,
        'algorithm = "rloo"\nreward = "lcpo_max"\n',
    ],
)
def test_verl_reads_every_override(settings: str) -> None:
    """Hydra refuses a name that the configuration does not have; the values that it has then are setting."""
    result = exported(settings, "verl")
    spec = importlib.util.find_spec("verl")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "trainer" / "config"
    with initialize_config_dir(str(folder), version_base=None):
        config = compose("ppo_trainer", overrides=overrides(Path("out/launch.sh")))
    for each in result.translated:
        value: Any = OmegaConf.select(config, each.counterpart)
        assert (list(value) if isinstance(each.value, list) else value) == each.value, each.counterpart
    assert OmegaConf.select(config, "reward.custom_reward_function.path") == str(Path("out/reward.py").resolve())


@pytest.mark.parametrize(
    "name", ["one-epochs=2", "jürgen, (2)", "it's ~ # [a]", "a\\'b ${c} $HOME `d`", "${oc.env:HOME}"]
)
def test_hydra_reads_the_folder_of_an_export_as_it_is(name: str) -> None:
    """Of a sweep with listed values it has a sign that Hydra reads."""
    exported("", "verl", name)
    parse = OverridesParser.create().parse_override
    given = {parse(word).key_or_group: parse(word).value() for word in overrides(Path(name) / "launch.sh")}
    found = OmegaConf.to_container(OmegaConf.create(given), resolve=True)
    assert isinstance(found, dict)
    assert found["data.train_files"] == str((Path(name) / "train.parquet").resolve())
    assert found["actor_rollout_ref.model.path"] == str(Path("model").resolve())


@pytest.mark.parametrize(
    "text", ["a b", "it's", "/a/${oc.env:HOME}", "a\\b", "a\\", "a\\'b", "a\\${b}", "\\\\", "$HOME", "[a,b]", "a=b"]
)
def test_hydra_reads_a_text_as_it_is(text: str) -> None:
    """Alone, and as a path from the export's folder."""
    (word,) = shlex.split(_written(text))
    assert read_by_hydra(word) == text
    said = subprocess.run(
        ["sh", "-c", f"printf %s {_inside(text)}"], env={"QUOTED": "/x"}, capture_output=True, check=True
    )
    assert read_by_hydra(said.stdout.decode()) == f"/x/{text}"


def read_by_hydra(word: str) -> str:
    value = OverridesParser.create().parse_override(f"k={word}").value()
    found = OmegaConf.to_container(OmegaConf.create({"k": value}), resolve=True)
    assert isinstance(found, dict)
    return str(found["k"])
