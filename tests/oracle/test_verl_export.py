"""verl's own configuration takes the overrides that ``rlready export`` has written."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from rlready.export.verl import _written
from test_export import exported, here  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("here")
LORA = 'lora_r = 4\nlora_target_modules = ["q_proj", "v_proj"]\nsave_total_limit = 2\ngradient_checkpointing = true\n'


def overrides(launch: Path) -> list[str]:
    """What the launch script passes to verl."""
    words = shlex.split(
        launch.read_text().partition("main_ppo")[2].replace("$HERE", "/export").replace("${GPUS:-1}", "1")
    )
    return [word for word in words if "=" in word]


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
    assert OmegaConf.select(config, "reward.custom_reward_function.path") == "/export/reward.py"


@pytest.mark.parametrize(
    "text", ["a b", "it's", "/a/${oc.env:HOME}", "a\\b", "a\\", "a\\'b", "a\\${b}", "\\\\", "$HOME", "[a,b]", "a=b"]
)
def test_hydra_reads_a_text_as_it_is(text: str) -> None:
    (word,) = shlex.split(_written(text))
    value = OverridesParser.create().parse_override(f"k={word}").value()
    assert OmegaConf.to_container(OmegaConf.create({"k": value}), resolve=True) == {"k": text}
