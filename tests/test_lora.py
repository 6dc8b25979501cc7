"""LoRA: an adapter is trained, its base is frozen, and others read what is saved; it is resumed bit for bit."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.credit.reference import ReferencePair, load_pair
from rlready.engine.handover import merged_weights
from rlready.engine.protocol import budget_for, forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models.batch import Batch, supervised
from rlready.models.checkpoint import load, load_adapted, load_two, save
from rlready.models.llama.support import weight_of
from rlready.models.logprob import token_logprobs
from rlready.models.lora import Adapted, Lora
from rlready.runs.files import read_json
from rlready.runs.log import read_log
from rlready.runs.pace import Pace
from rlready.runs.record import RunRecord
from rlready.train.fast_learner import FastLearner, make_learner
from rlready.train.learner import OptimizerSettings, PlainLearner
from rlready.train.loss import LossOutput
from rlready.train.rl import rl
from rlready.train.sft import sft
from test_engine_contract import tiny_lm
from test_train import interrupted_at, problems, random_model, rl_config, sft_config

peft = pytest.importorskip("peft")
__all__ = ["problems"]  # a fixture
pytestmark = pytest.mark.usefixtures("one_thread")
LORA: dict[str, Any] = {"lora_r": 4, "lora_alpha": 8}
ROWS = [supervised([1, 5, 6, 7], [8, 9, 10, 2]), supervised([1, 5, 6], [11, 12, 2])]


MATRICES = "adapter_model.safetensors"


def result_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run / "result.json")
    return found


def assert_same(one: Path, other: Path) -> None:
    """The checkpoints of two runs are equal to the last byte."""
    for file in sorted((one / "checkpoints").rglob("*")):
        if file.is_file():
            assert (other / file.relative_to(one)).read_bytes() == file.read_bytes(), file


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(3, 20)[None]).logits
    return found


def last(run: Path) -> str:
    return str(max((run / "checkpoints").iterdir(), key=lambda path: int(path.name.removeprefix("step-"))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lora")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> str:
    return random_model(folder)


@pytest.fixture(scope="module")
def adapter(tiny: str, folder: Path) -> str:
    """The last checkpoint of an SFT run that trained an adapter of a model with tied embeddings."""
    sft(sft_config(tiny).replace(**LORA, learning_rate=3e-2), folder / "sft")
    return last(folder / "sft")


def test_an_adapter_is_trained_saved_and_read_by_others(tiny: str, adapter: str) -> None:
    """In PEFT's format, with names and shapes as vLLM wants them; merged it is the same model, and it has learnt."""
    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"], config["bias"]) == (4, 8, "LORA", "none")
    assert config["target_modules"] == sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    assert config["base_model_name_or_path"] == str(Path(tiny).absolute())
    held = load_file(Path(adapter) / "adapter_model.safetensors")
    assert len(held) == 2 * 7 * 2
    assert held["base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"].shape == (4, 64)
    files = {path.name for path in Path(adapter).iterdir()}
    assert {"README.md", "checksums.sha256", "tokenizer.json", "chat_template.jinja"} <= files
    assert not {"config.json", "model.safetensors"} & files
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapter).eval()
    ours = load(adapter)
    assert (logits(theirs) - logits(ours.model)).abs().max() < 1e-5
    assert (logits(load(tiny).model) - logits(ours.model)).abs().max() > 0.1
    losses = [each["heldout_loss"]["value"] for each in result_of(Path(adapter).parents[1])["checkpoints"]]
    assert losses[-1] < losses[0] - 0.01


@pytest.mark.parametrize("learner", [PlainLearner, FastLearner])
def test_the_gradient_is_that_of_the_merged_weights(learner: type[PlainLearner], adapter: str) -> None:
    """dL/dB = (alpha / r) dL/dW Aᵀ and dL/dA = (alpha / r) Bᵀ dL/dW, and nothing else has a gradient."""

    def loss(batch: Batch, logprobs: torch.Tensor) -> LossOutput:
        return LossOutput(-(logprobs * batch.weight_N).sum())

    lm, merged = load_adapted(adapter, Lora(4)), load(adapter)
    assert make_learner(lm, OptimizerSettings(1e-3)).name == "fast"
    for each in (lm, merged):
        learner(each, OptimizerSettings(1e-3)).backward(ROWS, loss, 1.0)
    assert {name.split(".")[-3] for name, p in lm.model.named_parameters() if p.grad is not None} == {
        "lora_A",
        "lora_B",
    }
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"):
        layer, whole = lm.model.get_submodule(name), merged.model.get_submodule(name).weight
        a, b = layer.lora_A.default.weight, layer.lora_B.default.weight
        torch.testing.assert_close(b.grad, 2 * whole.grad @ a.T, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(a.grad, 2 * b.T @ whole.grad, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(weight_of(layer), whole)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_samples_are_drawn_from_the_model_with_the_adapter(adapter: str, fast: bool, dtype: str) -> None:
    """With the log-probabilities that the module gives them, which are not those of the base."""
    lm = load_adapted(adapter, Lora(4), dtype=dtype)
    assert lm.model.lm_head.weight.dtype == getattr(torch, dtype)
    assert all(p.dtype == torch.float32 for p in lm.model.parameters() if p.requires_grad)
    forcing, budget = forcing_for(lm), budget_for(lm, 8, 4)
    engine = TorchEngine(lm, forcing, fast=fast, bfloat16=dtype == "bfloat16")
    assert engine.fast == fast
    assert engine.lm.model is lm.model
    requests = requests_for(lm, [Problem("p", "a: 1 b: 2 ? a", "1")], 4, budget)
    samples = engine.sample(requests, temperature=1.0, seed=0)
    assert engine.sample(requests, temperature=1.0, seed=0)[0].tokens.tolist() == samples[0].tokens.tolist()
    rows = [
        replace(supervised(r.prompt_ids, s.tokens.tolist()), mask=s.mask)
        for r, s in zip(requests, samples, strict=True)
    ]
    drawn = np.concatenate([s.logprobs[s.mask > 0] for s in samples])
    with torch.no_grad():
        module = token_logprobs(lm.model, rows)[0].float().numpy()
        base = token_logprobs(load(str(lm.base)).model, rows)[0].numpy()
    assert np.abs(drawn - module).max() < (1e-4 if dtype == "float32" else 0.1)
    assert np.abs(drawn - base).max() > 0.2


@pytest.mark.parametrize("continued", [False, True])
def test_the_kl_penalty_is_to_the_starting_policy(
    continued: bool, tiny: str, adapter: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base without the adapter, or a frozen copy of the adapter: as a second model in memory gives it."""
    config = rl_config(adapter if continued else tiny, problems).replace(
        lora_r=4, kl_coef=3.0, steps=2, eval_every=2, learning_rate=3e-2
    )
    rl(config, tmp_path / "shared")
    separate = load_adapted(adapter, Lora(4)) if continued else load(tiny)
    monkeypatch.setattr("rlready.train.rl.load_starting_policy", lambda lm, config: separate)
    rl(config, tmp_path / "separate")
    assert_same(tmp_path / "shared", tmp_path / "separate")
    if not continued:
        return
    rl(config.replace(kl_coef=0.0), tmp_path / "without")
    one, other = (load_file(Path(last(tmp_path / name)) / MATRICES) for name in ("shared", "without"))
    assert any((one[name] - other[name]).abs().max() > 1e-3 for name in one)


def test_sft_resumed_equals_unbroken(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, from a state that holds the adapter and its optimiser alone; two runs write the same bytes."""
    config = sft_config(tiny).replace(**LORA, learning_rate=1e-2)
    for name in ("whole", "broken"):
        with monkeypatch.context() as patch:
            patch.setattr(Pace, "due", lambda self: True)
            if name == "broken":
                interrupted_at(patch, 6)
                with pytest.raises(KeyboardInterrupt):
                    sft(config, tmp_path / name)
                saved = torch.load(tmp_path / name / "state" / "tensors.pt")
                assert all(".lora_" in key for key in saved["model"])
                assert len(saved["model"]) == len(saved["optimizer"]["state"]) == 28
        sft(config, tmp_path / name)
    assert_same(tmp_path / "whole", tmp_path / "broken")
    assert result_of(tmp_path / "whole")["final_loss"] == result_of(tmp_path / "broken")["final_loss"]


def test_rl_of_an_adapter_resumed_equals_unbroken(
    tiny: str, adapter: str, problems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 too; a base that has changed meanwhile is refused, because the state does not hold it."""
    config = rl_config(adapter, problems).replace(lora_r=4, kl_coef=0.1, dtype="bfloat16")
    whole = rl(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "due", lambda self: True)
        interrupted_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            rl(config, tmp_path / "broken")
        saved = torch.load(tmp_path / "broken" / "state" / "tensors.pt")
        assert all(".default." in key for key in saved["model"])
    file = Path(tiny) / "generation_config.json"
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    with pytest.raises(UserError, match="changed"):
        rl(config, tmp_path / "broken")
    file.write_bytes(content)
    assert rl(config, tmp_path / "broken").evaluations == whole.evaluations
    assert_same(tmp_path / "whole", tmp_path / "broken")
    start, end = (load_file(Path(folder) / MATRICES) for folder in (adapter, last(tmp_path / "whole")))
    assert all(not torch.equal(start[name], end[name]) for name in start)
    stated = json.loads((Path(last(tmp_path / "whole")) / "adapter_config.json").read_text())
    assert stated == json.loads((Path(adapter) / "adapter_config.json").read_text())


def test_an_adapter_is_merged_where_all_weights_are_trained(adapter: str, tmp_path: Path) -> None:
    sft(sft_config(adapter), tmp_path / "whole")
    assert (Path(last(tmp_path / "whole")) / "model.safetensors").exists()


def test_dense_rewards_of_adapters_share_one_base(adapter: str, problems: Path, tmp_path: Path) -> None:
    """As two merged models give them; in RL of an adapter, which finds the reference, the policy shares it, too."""
    earlier = str(Path(adapter).with_name("step-5"))
    pair = load_pair(adapter, earlier)
    assert isinstance(pair.sft, Adapted)
    assert pair.reference is not None
    assert pair.sft.model is pair.reference.model
    assert {p.dtype for p in pair.sft.model.parameters()} == {torch.float32}
    found = pair.score(ROWS, max_tokens_per_microbatch=64)
    wanted = ReferencePair(load(adapter), load(earlier)).score(ROWS, max_tokens_per_microbatch=64)
    for one, other in zip(found[0] + found[1], wanted[0] + wanted[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(found[0][0]).max() > 1e-3
    with pytest.raises(UserError, match="the reference equals"):
        load_pair(adapter, adapter)
    config = rl_config(adapter, problems).replace(algorithm="dense", steps=2, eval_every=2)
    rewards = []
    for name, lora_r in (("lora", 4), ("whole", 0)):
        rl(config.replace(lora_r=lora_r), tmp_path / name)
        rewards.append(read_log(tmp_path / name / "log.jsonl")[1]["dense_sum"])
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-4)
    lm = load_adapted(adapter, Lora(4))
    pair = load_pair(adapter, earlier, sft=lm.starting)
    assert pair.reference is not None
    assert pair.reference.model is lm.model
    trained = [name for name, p in lm.model.named_parameters() if p.requires_grad]
    pair.score(ROWS, max_tokens_per_microbatch=64)
    assert trained == [name for name, p in lm.model.named_parameters() if p.requires_grad]
    assert all(".default." in name for name in trained)
    with pytest.raises(UserError, match="the reference equals"):
        load_pair(str(lm.base), str(lm.base), sft=replace(lm, adapter="", start=""))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no rank": ({"lora_alpha": 8}, "lora_alpha does not apply to lora_r=0; set lora_r"),
    "modules": ({"lora_r": 4, "lora_target_modules": ("q_proj", "query")}, "no linear layer query; it has down_proj, "),
    "embedding": ({"lora_r": 4, "lora_target_modules": ("embed_tokens",)}, "no linear layer embed_tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_cannot_work_are_one_line(name: str, tiny: str, tmp_path: Path) -> None:
    changes, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        sft(sft_config(tiny).replace(**changes), tmp_path / "run")


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (Lora(8), "an adapter with lora_r=4, which goes on with its own settings, not with lora_r=8; set lora_r=4, or"),
        (Lora(4, alpha=16), "with lora_alpha=8"),
        (Lora(4, target_modules=("q_proj",)), "set lora_target_modules=down_proj,gate_proj,k_proj,o_proj,"),
    ],
)
def test_an_adapter_goes_on_with_its_own_settings(lora: Lora, message: str, adapter: str) -> None:
    with pytest.raises(UserError, match=message):
        load_adapted(adapter, lora)


def test_what_is_more_than_two_matrices_is_not_trained_further(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, changes in {"dora": {"use_dora": True}, "head": {"modules_to_save": ["lm_head"]}}.items():
        model = AutoModelForCausalLM.from_pretrained(tiny)
        settings = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", **changes)
        peft.get_peft_model(model, settings).save_pretrained(tmp_path / name)
        with pytest.raises(UserError, match="cannot be trained further as an adapter; leave lora_r out"):
            load_adapted(str(tmp_path / name), Lora(4))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"lora_r needs the package peft: pip install 'rlready\[peft\]'"):
        load_adapted(tiny, Lora(4))


def test_a_damaged_adapter_is_refused(adapter: str, tmp_path: Path) -> None:
    damaged = shutil.copytree(adapter, tmp_path / "damaged")
    file = damaged / MATRICES
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    for read in (load, lambda source: load_adapted(source, Lora(4))):
        with pytest.raises(UserError, match=r"adapter_model\.safetensors: not as it was saved, by its checksum"):
            read(str(damaged))


def test_an_adapter_beside_another_base_is_refused(tiny: str, tmp_path: Path) -> None:
    """A base that was trained further in its place; one that was only moved, or whose card was edited, is the same."""
    base = shutil.copytree(tiny, tmp_path / "base")
    sft(sft_config(str(base)).replace(**LORA), tmp_path / "sft")
    trained = last(tmp_path / "sft")
    (base / "README.md").write_text("edited")
    load(trained)
    weights = base / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-4] + b"\x00\x00\x00\x40")
    for read in (load, lambda source: load_adapted(source, Lora(4)), lambda source: load_two(str(base), source)):
        with pytest.raises(UserError, match=r"its base .*/base has other weights than the adapter was trained on"):
            read(trained)
    moved = base.rename(tmp_path / "moved")
    (moved / "model.safetensors").write_bytes(before)
    config = Path(trained) / "adapter_config.json"
    config.write_text(config.read_text().replace(str(base), str(moved)))
    (Path(trained) / "checksums.sha256").unlink()
    load(trained)


def test_adapters_of_a_project_that_was_moved_find_their_base(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was trained on from another, if the base is still the same."""
    project = tmp_path / "project"
    shutil.copytree(tiny, project / "base")
    monkeypatch.chdir(project)
    sft(sft_config("base").replace(**LORA), Path("sft"))
    sft(sft_config(last(Path("sft"))).replace(lora_r=4), Path("further"))
    names = [last(Path("sft")), last(Path("further"))]
    before = [logits(load(name).model) for name in names]
    monkeypatch.chdir(project.rename(tmp_path / "moved"))
    for name, wanted in zip(names, before, strict=True):
        assert torch.equal(logits(load(name).model), wanted)
    for file, other in (("model.safetensors", b"\x00\x00\x00\x40"), ("config.json", b" ")):
        kept = Path("base", file).read_bytes()
        Path("base", file).write_bytes(kept[:-4] + other if file != "config.json" else kept + other)
        with pytest.raises(UserError, match=r"an adapter whose base model is not found: .*/project/base"):
            load(names[1])
        Path("base", file).write_bytes(kept)
    load(names[1])
    Path("base").rename("elsewhere")
    with pytest.raises(UserError, match=r"an adapter whose base model is not found: .*/project/base"):
        load(names[0])


def test_adapters_that_started_from_each_other_have_no_base(tiny: str, tmp_path: Path) -> None:
    """By their records, as where a run took the name of the one that it began with, and the base is gone."""
    base = shutil.copytree(tiny, tmp_path / "base")
    sft(sft_config(str(base)).replace(**LORA), tmp_path / "a")
    trained = last(tmp_path / "a")
    record = RunRecord.load(tmp_path / "a")
    record.model_copy(update={"config": record.config | {"model": trained}}).save(tmp_path / "a")
    shutil.rmtree(base)
    with pytest.raises(UserError, match="an adapter whose base model is not found"):
        load(trained)


def test_the_dropout_of_an_adapter_is_said_not_to_be_applied(
    adapter: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = shutil.copytree(adapter, tmp_path / "theirs")
    (theirs / "checksums.sha256").unlink()
    config = theirs / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_dropout": 0.1}))
    lm = load_adapted(str(theirs), Lora(4))
    assert "its lora_dropout of 0.1 is not applied here, and saved as 0" in capsys.readouterr().err
    lm.save(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["lora_dropout"] == 0


def test_an_adapter_of_the_head_is_handed_over(tmp_path: Path) -> None:
    """With the weights that another program gets, the model of the base says what the adapted one does."""
    (tmp_path / "base").mkdir()
    save(tiny_lm(seed=4), tmp_path / "base", "")
    adapted, plain = load_adapted(str(tmp_path / "base"), Lora(4, 8, ("lm_head", "q_proj"))), load(f"{tmp_path}/base")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in adapted.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    assert next(iter(merged_weights(adapted.model)))[0] == "lm_head.weight"
    plain.model.load_state_dict(dict(merged_weights(adapted.model)))
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.allclose(plain.model(ids).logits, adapted.model(ids).logits, atol=1e-5)
