"""Defaults that belong to the model: chosen from its files, printed, recorded, and never those of the embedded one."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.presets import EMBEDDED, ModelTraits, preset
from rlready.core.settings import Config
from rlready.models import preset as module
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.models.preset import is_open, model_traits, resolve
from rlready.runs.log import append_line
from rlready.runs.record import RunRecord
from rlready.runs.run import Run

SMALL, MIDDLE, LARGE = (
    ModelTraits(n, context=32768, thinks=False) for n in (135_000_000, 1_500_000_000, 7_000_000_000)
)


@pytest.fixture
def other(tmp_path: Path) -> str:
    """A folder with the files of a model of 135M parameters, whose weights are a hole in a file."""
    folder = tmp_path / "other"
    shutil.copytree(EMBEDDED_FOLDER, folder)
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 576, "max_position_embeddings": 8192}
    (folder / "config.json").write_text(json.dumps(config))
    size = 2 * 135_000_000
    header = json.dumps({"w": {"dtype": "BF16", "shape": [135_000_000], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    return str(folder)


def cut_off(config: RLConfig, source: str, out: Path) -> RLConfig:
    """The resolved configuration of a run that is killed as soon as it has one."""
    with suppress(KeyboardInterrupt), Run(out, "rl", config) as run:
        resolved = resolve(config, [source], run)
        run.claim()
        append_line(out / "log.jsonl", {"step": 1})
        raise KeyboardInterrupt
    return resolved


def test_a_larger_model_learns_slower_and_adapters_faster() -> None:
    rates = {
        verb: [preset(verb, facts, "cpu")["learning_rate"] for facts in (SMALL, MIDDLE, LARGE)]
        for verb in ("sft", "rl")
    }
    assert rates == {"sft": [1e-4, 2e-5, 1e-5], "rl": [5e-6, 1e-6, 1e-6]}
    lora = ModelTraits(7_000_000_000, context=32768, thinks=False, lora=True)
    assert preset("rl", lora, "cpu")["learning_rate"] == pytest.approx(1e-5)
    assert preset("sft", lora, "cpu")["learning_rate"] == pytest.approx(1e-4)
    embedded = ModelTraits(1_000_000, context=2048, thinks=True, embedded=True, lora=True)
    assert preset("sft", embedded, "auto")["learning_rate"] == pytest.approx(1e-2)


def test_budgets_follow_the_template_and_the_context() -> None:
    def lengths(context: int, *, thinks: bool, budgeted: bool = False) -> tuple[Any, Any]:
        found = preset("rl", ModelTraits(1_500_000_000, context, thinks), "cpu", budgeted=budgeted)
        return found.get("thinking_budget", 0), found["max_answer_tokens"]

    assert lengths(32768, thinks=True) == (3072, 1024)
    assert lengths(2048, thinks=True) == (768, 256)
    assert lengths(32768, thinks=False) == (0, 1024)  # one limit on the response
    assert lengths(1024, thinks=False) == (0, 512)
    assert lengths(32768, thinks=False, budgeted=True) == (0, 256)  # added to the budget that was set
    for context in (1, 7, 64, 512, 4096):
        for thinks in (True, False):
            assert sum(lengths(context, thinks=thinks)) <= max(2, context // 2)
    assert "thinking_budgets" not in preset("evaluate", MIDDLE, "cpu")
    thinker = replace(MIDDLE, context=2048, thinks=True)
    assert preset("evaluate", thinker, "cpu")["thinking_budgets"] == (48, 96, 192, 384, 768)


def test_a_gpu_computes_in_bfloat16() -> None:
    assert [preset("rl", MIDDLE, device)["dtype"] for device in ("cuda", "cuda:1", "mps", "cpu")] == [
        *("bfloat16", "bfloat16", "float32", "float32")
    ]


def test_the_embedded_model_keeps_its_settings_on_a_cpu() -> None:
    facts = model_traits("embedded")
    assert (facts.embedded, facts.thinks, facts.context) == (True, True, 512)
    for verb, settings in EMBEDDED.items():
        assert preset(verb, facts, "auto") == settings | {"device": "cpu", "dtype": "float32"}
    assert preset("rl", facts, "cuda")["dtype"] == "float32"


def test_facts_come_from_headers_and_template(other: str, tmp_path: Path) -> None:
    facts = model_traits(other)
    assert (facts.parameters, facts.context, facts.embedded, facts.thinks) == (135_000_000, 8192, False, True)
    shutil.copytree(EMBEDDED_FOLDER, tmp_path / "checkpoint-7")
    assert model_traits(str(tmp_path / "checkpoint-7")).embedded
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": other}))
    assert model_traits(str(adapter)) == facts


@pytest.mark.parametrize(
    ("verb", "config", "missing"),
    [
        ("sft", SFTConfig(), "rows"),
        ("rl", RLConfig(), "problems"),
        ("readiness", ReadinessConfig(), "problems"),
        ("evaluate", EvaluateConfig(), "problems"),
    ],
)
def test_data_must_be_named_for_any_other_model(
    other: str, tmp_path: Path, verb: str, config: Config, missing: str
) -> None:
    with Run(tmp_path / "run", verb, config) as run, pytest.raises(UserError) as refused:
        resolve(config, ["embedded", other], run)
    assert str(refused.value).startswith(f"{verb}: {missing} is missing: name the ")
    assert f" for {other}, as {missing}=" in str(refused.value)


def test_a_preset_is_printed_recorded_and_continued(other: str, tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    config = RLConfig(model=other, problems="a", validation="b", max_answer_tokens=9)
    monkeypatch.setattr(module, "best_device", lambda: "cpu")
    resolved = cut_off(config, other, tmp_path / "run")
    assert (resolved.learning_rate, resolved.thinking_budget, resolved.max_answer_tokens) == (5e-6, 3072, 9)
    assert (resolved.device, resolved.dtype) == ("cpu", "float32")
    assert not any(is_open(resolved, name) for name in ("learning_rate", "device", "dtype", "thinking_budget"))
    line = "rl: preset for a model of 135M parameters: learning_rate=5e-06, thinking_budget=3072, device=cpu, "
    assert line + "dtype=float32" in capfd.readouterr().err
    record = RunRecord.load(tmp_path / "run")
    assert record.config["learning_rate"] == 5e-6
    assert {key for key, origin in record.origins.items() if origin == "preset"} == {
        *("learning_rate", "thinking_budget", "device", "dtype")
    }
    assert "learning_rate = 5e-06" in (tmp_path / "run" / "config.toml").read_text()
    assert record.differences(config) == []
    assert record.differences(resolved) == []
    assert record.differences(config.replace(learning_rate=1e-5, max_answer_tokens=8)) == [
        *("learning_rate", "max_answer_tokens")
    ]
    with Run(tmp_path / "run", "rl", config) as run:
        assert resolve(config, [other], run) == resolved
    with (
        pytest.raises(UserError, match="holds a run with max_answer_tokens = 9"),
        Run(tmp_path / "run", "rl", config.replace(max_answer_tokens=None)),
    ):
        pass


def test_a_run_is_not_continued_on_another_device(other: str, tmp_path: Path, monkeypatch: Any) -> None:
    config = RLConfig(model=other, problems="a", validation="b")
    for device in ("cuda", "cpu"):
        monkeypatch.setattr(module, "best_device", lambda device=device: device)
        if device == "cuda":
            cut_off(config, other, tmp_path / "run")
    with pytest.raises(UserError, match="holds a run with device = 'cuda': set device=cuda, or choose another folder"):
        cut_off(config, other, tmp_path / "run")


def test_a_learning_rate_far_above_the_preset_is_warned_of(other: str, tmp_path: Path, capfd: Any) -> None:
    for number, (rate, warned) in enumerate([(1.4e-4, False), (1.6e-4, True)]):
        config = RLConfig(model=other, problems="a", validation="b", learning_rate=rate, device="cpu")
        with Run(tmp_path / str(number), "rl", config) as run:
            resolve(config, [other], run)
        assert ("is 32 times the preset" in capfd.readouterr().err) is warned


def test_readiness_of_another_model_measures_no_held_out_loss_unasked(other: str, tmp_path: Path) -> None:
    config = ReadinessConfig(checkpoints=(other,), problems="a", device="cpu")
    with Run(tmp_path / "run", "readiness", config) as run:
        assert resolve(config, [other], run).heldout == ""


def test_a_folder_called_embedded_is_not_the_embedded_model(tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for number, named in enumerate([False, True]):
        config = RLConfig(device="cpu")
        with Run(tmp_path / str(number), "rl", config) as run:
            resolve(config, ["embedded"], run)
        assert ("write ./embedded for the folder of that name" in capfd.readouterr().err) is named
        Path("embedded").mkdir(exist_ok=True)
