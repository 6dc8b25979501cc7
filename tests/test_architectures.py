"""Every architecture that users bring, as a tiny random model: loaded, sampled, scored and trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.core.records import Group, Problem, Sample
from rlready.engine.protocol import Budget, forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models.batch import Example, supervised
from rlready.models.checkpoint import load, save
from rlready.models.lm import LM, head_of
from rlready.models.logprob import token_logprobs
from rlready.train.fast_learner import make_learner
from rlready.train.learner import OptimizerSettings
from rlready.train.loss import LossOutput, likelihood_loss
from rlready.train.sft import weighted
from rlready.train.trainer import Trainer
from tiny import tiny_model, tiny_tokenizer

TEMPERATURE = 0.7
SLIDING = {"sliding_window": 6}  # shorter than the responses
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": SLIDING,
    "SmolLM3": {},
    "Gemma2": SLIDING | {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 0.5},
    "Gemma3Text": SLIDING,
    "Cohere2": SLIDING | {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 3.0},
    "Phi": {},
    "Phi3": {},
    "Olmo2": {},
    "GPTNeoX": {},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen3Moe": MIXTURE,
}


def random_model(family: str) -> Any:
    """A model with more tokens than its tokenizer has, as published ones are padded."""
    return tiny_model(family, **{"vocab_size": 80, "hidden_size": 32, "head_dim": 8} | ARCHITECTURES[family])


def full_logprobs(model: Any, prompt: list[int], tokens: list[int]) -> torch.Tensor:
    """(T,) log-probabilities of the tokens by the model's own forward, one row, without padding or cache."""
    logits = model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return (logits / TEMPERATURE).log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None])[:, 0]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("family", ARCHITECTURES)
def test_an_architecture_is_sampled_scored_and_trained(family: str, tmp_path: Path) -> None:
    """Samples under a thinking budget and scores have the log-probabilities of the forward; RL and SFT take a step."""
    save(LM(random_model(family), tiny_tokenizer(), family), tmp_path, "card")
    lm = load(str(tmp_path))
    config = RLConfig(temperature=TEMPERATURE, thinking_budget=12, max_answer_tokens=6, learning_rate=1e-3)
    trainer = Trainer(config, make_learner(lm, OptimizerSettings(1e-3)), None, tmp_path / "samples")
    problems = [Problem(f"p{i}", "what is " + "x" * i, "1") for i in range(2)]
    requests = requests_for(lm, problems, 4, Budget(12, 6))
    samples = trainer.engine.sample(requests, temperature=TEMPERATURE, seed=0)
    assert any(s.truncated for s in samples)  # so that tokens are forced

    rows = [supervised(list(r.prompt_ids), s.tokens.tolist()) for r, s in zip(requests, samples, strict=True)]
    expected = [full_logprobs(lm.model, list(row.prompt_ids), list(row.response_ids)) for row in rows]
    for sample, logp in zip(samples, expected, strict=True):
        chosen = torch.from_numpy(sample.mask.astype(bool))
        torch.testing.assert_close(torch.from_numpy(sample.logprobs)[chosen], logp[chosen], atol=1e-4, rtol=0)
    scored, _ = token_logprobs(lm.model, rows, TEMPERATURE)
    torch.testing.assert_close(scored, torch.cat(expected), atol=1e-4, rtol=0)
    head = lm.model.get_output_embeddings().weight
    found, wanted = (torch.autograd.grad(x.sum(), head)[0] for x in (scored, torch.cat(expected)))
    torch.testing.assert_close(found, wanted, atol=1e-4 * wanted.abs().max().item(), rtol=0)

    done = trainer.update(trainer.credit(with_rewards(problems, rows, samples)), 0)
    assert done.mismatch_max is not None
    assert done.mismatch_max < 1e-4
    assert done.grad_norm is not None
    assert done.grad_norm > 1e-3
    losses = [trainer.learner.step(weighted(rows), sft_loss, rate=1.0).loss for _ in range(2)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("pad", [None, "<eos>"])
def test_the_padding_token_is_never_used(pad: str | None, tmp_path: Path) -> None:
    """A tokenizer without one, or whose padding ends a sequence: the samples and losses of one that has its own."""
    found = []
    for name, token in (("own", "<pad>"), ("other", pad)):
        (tmp_path / name).mkdir()
        tokenizer, model = tiny_tokenizer(), random_model("GPTNeoX")
        tokenizer.pad_token = token
        model.config.pad_token_id = tokenizer.pad_token_id
        save(LM(model, tokenizer, name), tmp_path / name, "card")
        lm = load(str(tmp_path / name))
        requests = requests_for(lm, [Problem(f"p{i}", "x" * i, "") for i in range(1, 4)], 2, Budget(12, 6))
        samples = TorchEngine(lm, forcing_for(lm)).sample(requests, temperature=TEMPERATURE, seed=0)
        rows = [supervised(list(r.prompt_ids), s.tokens.tolist()) for r, s in zip(requests, samples, strict=True)]
        loss = make_learner(lm, OptimizerSettings(1e-3)).step(weighted(rows), sft_loss, rate=1.0).loss
        found.append(([s.tokens.tolist() for s in samples], lm.stop_ids, loss))
    assert found[0] == found[1]


def with_rewards(problems: list[Problem], rows: list[Example], samples: list[Sample]) -> list[Group]:
    """The samples as groups, of which every second one is called correct."""
    paid = [replace(s, correct=i % 2 == 0, reward=float(i % 2 == 0)) for i, s in enumerate(samples)]
    return [Group(p, list(rows[4 * i].prompt_ids), paid[4 * i : 4 * i + 4]) for i, p in enumerate(problems)]


def sft_loss(batch: Any, logprobs: torch.Tensor) -> LossOutput:
    return LossOutput(likelihood_loss(logprobs, batch.advantage_N, batch.weight_N))


def test_the_cap_of_attention_is_not_lost_at_loading(tmp_path: Path) -> None:
    """Transformers' default attention leaves it out without a word; the eager one has it."""
    model = random_model("Gemma2")
    model.set_attn_implementation("eager")
    save(LM(model, tiny_tokenizer(), "gemma"), tmp_path, "card")
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        torch.testing.assert_close(load(str(tmp_path)).model(input_ids=ids).logits, logits, atol=1e-5, rtol=0)
        model.set_attn_implementation("sdpa")
        assert (model(input_ids=ids).logits - logits).abs().max() > 1e-2


@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_another_change_of_the_logits_is_refused(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap that is no tanh, whether the logits reach it or not."""
    model = tiny_model("Llama")
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(size)
    forward = model.forward

    def clamped(*args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        out.logits = out.logits.clamp(-2, 2)
        return out

    monkeypatch.setattr(model, "forward", clamped)
    with pytest.raises(UserError, match="LlamaForCausalLM changes its logits in a way that is neither a scale nor a"):
        head_of(model)
