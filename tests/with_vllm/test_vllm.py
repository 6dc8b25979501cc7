"""vLLM itself, its CPU build, as `make test-vllm` installs it: what it promises, the verbs, and servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import test_engine_contract as contract
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SweepConfig
from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.engine.budget import Budget
from rlready.engine.factory import open_engine
from rlready.engine.protocol import Request, forcing_for, requests_for
from rlready.engine.vllm import VLLMEngine
from rlready.engine.vllm_client import CALL
from rlready.engine.vllm_server import ServerEngine
from rlready.evaluate.stage import evaluate
from rlready.models.batch import Example
from rlready.models.checkpoint import load, load_adapted, save
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.models.lora import Lora
from rlready.readiness.stage import readiness
from rlready.runs.files import read_table
from rlready.sweep.stage import sweep
from rlready.tasks import open_task
from rlready.train.rl import rl

pytestmark = pytest.mark.usefixtures("one_thread")
vllm = partial(open_engine, "vllm")
PROBLEMS = "dagmath?ops=5&split=test&seed=7&n=4"
SWEEP = f"""
[sft]
heldout = "dagmath?ops=5&split=test&n=4&seed=2"
save_every = 1
[[sft.recipes]]
name = "one"
rows = "dagmath?ops=5&n=16&seed=1"
epochs = 1
[readiness]
problems = "{PROBLEMS}"
samples = 2
engine = "vllm"
[rl]
problems = "dagmath?ops=5&n=8"
validation = "{PROBLEMS}"
engine = "vllm"
steps = 1
prompts_per_step = 2
group_size = 2
eval_samples = 1
thinking_budget = 16
max_answer_tokens = 8
[evaluate]
problems = "dagmath?ops=5&split=test&seed=8&n=4"
samples = 1
engine = "vllm"
"""


def test_the_same_requests_give_the_same_samples_and_leave_the_generators() -> None:
    lm, budget = contract.tiny_lm(seed=4), Budget(12, 5)
    before = torch.get_rng_state(), np.random.get_state()[2]
    pairs = contract.drawn(vllm, lm, budget)
    assert contract.tokens(contract.drawn(vllm, lm, budget)) == contract.tokens(pairs)
    assert contract.tokens(contract.drawn(vllm, lm, budget, seed=1)) != contract.tokens(pairs)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[2]
    with vllm(lm, forcing_for(lm)) as engine:
        requests = [replace(r, sample_id=r.sample_id + 8) for r, _ in pairs]
        others = [s.tokens.tolist() for s in engine.sample(requests, temperature=1.1, seed=0)]
    assert sum(a != b for a, b in zip(others, contract.tokens(pairs), strict=True)) > 32


def worst(lm: LM, pairs: Sequence[tuple[Request, Sample]], temperature: float) -> float:
    """The largest difference of the samples' log-probabilities to those of the model's own forward pass."""
    rows = [Example(r.prompt_ids, s.tokens.tolist(), s.mask, s.logprobs, s.logprobs) for r, s in pairs]
    with torch.no_grad():
        expected = token_logprobs(lm.model, rows, temperature=temperature)[0]
    drawn = torch.tensor(np.concatenate([s.logprobs[s.mask == 1] for _, s in pairs]))
    return float((expected - drawn).abs().max())


def test_smaller_budgets_continue_the_trace() -> None:
    continues_the_trace(vllm)


def continues_the_trace(opened: contract.Open) -> None:
    """What the smaller budget leaves of the trace is kept, and a sample that fits in it is the trace."""
    lm = contract.tiny_lm(seed=4)
    pairs = contract.drawn(opened, lm, Budget(20, 5))
    with opened(lm, forcing_for(lm)) as engine:
        requests = [replace(r, budget=Budget(9, 5), trace=trace) for r, trace in pairs]
        cut = engine.sample(requests, temperature=1.1, seed=0)
    for (_, trace), sample in zip(pairs, cut, strict=True):
        n = min(9, trace.thinking_tokens)
        assert sample.thinking_tokens == n
        assert sample.tokens[:n].tolist() == trace.tokens[:n].tolist()
        assert sample.truncated == (n == 9)
        if trace.thinking_tokens < 9:
            assert sample.tokens.tolist() == trace.tokens.tolist()
    assert len({s.truncated for s in cut}) == 2


def test_bans_and_biases_keep_the_distribution() -> None:
    """The share of thoughts that end at once is the one that the odds say, for a bias of either sign."""
    lm = contract.tiny_lm(seed=4)
    requests = requests_for(lm, contract.problems(1), 400, Budget(1, 1))
    (close,) = lm.encode(lm.close)
    with torch.no_grad():
        p = contract.full_logits(lm.model, [list(requests[0].prompt_ids)])[0].softmax(-1)[close].item()
    with vllm(lm, forcing_for(lm)) as engine:
        for bias in (3.0, -1.0):
            biased = [replace(r, budget=Budget(1, 1, end_think_bias=bias)) for r in requests]
            ends = [not s.forced_close for s in engine.sample(biased, temperature=1.0, seed=0)]
            expected = p * np.exp(bias) / (1 + p * np.expm1(bias))
            assert np.mean(ends) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 400))


def test_weights_that_were_not_updated_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that leaves the old head, as vLLM 0.32 does with tied embeddings."""
    lm = contract.tiny_lm(seed=4)
    requests = requests_for(lm, contract.problems(4), 2, Budget(5, 5))
    with vllm(lm, forcing_for(lm)) as engine:
        engine.sample(requests, temperature=1.0, seed=0)
        contract.shift_weights(lm, 0.2)
        engine.update_weights(lm)
        monkeypatch.setattr("rlready.engine.vllm._Program.load", lambda *_: None)
        with pytest.raises(UserError, match=r"differ from the model's own by .* nats on average"):
            engine.sample(requests, temperature=1.0, seed=0)


def test_an_adapter_beside_its_base_is_sampled_from() -> None:
    """The log-probabilities are those of the adapted model, which vLLM is not given as an adapter."""
    lm = load_adapted("embedded", Lora(4))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    (problem,) = open_task(PROBLEMS, limit=1).problems()
    requests = requests_for(lm, [problem], 4, Budget(12, 5))
    with vllm(lm, forcing_for(lm)) as engine:
        samples = engine.sample(requests, temperature=1.0, seed=0)
    rows = [Example(requests[0].prompt_ids, s.tokens.tolist(), s.mask, s.logprobs, s.logprobs) for s in samples]
    drawn = torch.tensor(np.concatenate([s.logprobs[s.mask == 1] for s in samples]))
    with torch.no_grad():
        assert (token_logprobs(lm.model, rows)[0] - drawn).abs().max() < 1e-4
        with lm.starting.active():
            assert (token_logprobs(lm.model, rows)[0] - drawn).abs().max() > 0.05


def test_rl_with_vllm_is_close_to_the_learner(tmp_path: Path) -> None:
    """The embedded model's head is tied: its log-probabilities are compared in every step."""
    config = RLConfig(
        problems="dagmath?ops=5&n=40", validation=PROBLEMS, engine="vllm", steps=3, prompts_per_step=4, group_size=4,
        eval_every=3, eval_samples=1, thinking_budget=16, max_answer_tokens=8, device="cpu",
    )  # fmt: skip
    rl(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    means = [line["mismatch"] for line in lines if line.get("mismatch")]
    assert means
    assert max(means) < 1e-4
    assert "draws depends on" in (tmp_path / "record.json").read_text()


def test_vllm_serves_an_adapter_beside_its_base(tmp_path: Path) -> None:
    """A checkpoint of `lora_r` as vLLM's own LoRA request: log-probabilities are those of the adapted model."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    save(contract.tiny_lm(seed=4), base, "")
    lm = load_adapted(str(base), Lora(4))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    save(lm, adapter, "")
    prompts = [list(each.prompt_ids) for each in requests_for(lm, contract.problems(8), 1, Budget(None, 8))]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    words = [sys.executable, str(Path(__file__).with_name("lora_request.py")), str(base), str(adapter)]
    done = subprocess.run([*words, str(tmp_path / "prompts.json")], check=True, capture_output=True, text=True)
    differences = []
    for drawn in json.loads(done.stdout.splitlines()[-1]):
        rows = [
            Example(tuple(ids), said, np.ones(len(said), dtype=np.int8), np.array(p), np.array(p))
            for ids, said, p in drawn
        ]
        with torch.no_grad():
            expected = token_logprobs(lm.model, rows)[0].numpy()
        differences.append(np.abs(expected - np.concatenate([p for _, _, p in drawn])).max())
    assert differences[0] < 1e-3
    assert differences[1] > 0.05  # without the request it is the base


def test_a_sweep_takes_the_engine(tmp_path: Path) -> None:
    """For readiness, RL and the evaluation of a recipe."""
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP)
    found = sweep(SweepConfig(file=str(file), workers=0), tmp_path / "out")
    assert len(found.starts) == 1
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("record.json")]
    engines = {record["verb"]: record["config"].get("engine") for record in records}
    assert {engines[verb] for verb in ("readiness", "rl", "evaluate")} == {"vllm"}


def test_readiness_and_evaluate_take_the_engine(tmp_path: Path) -> None:
    settings = {"problems": PROBLEMS, "engine": "vllm", "samples": 4, "max_answer_tokens": 8}
    found = readiness(ReadinessConfig(**settings, thinking_budget=24), tmp_path / "readiness")
    assert found.checkpoints[0].pass_at_k
    waits = EvaluateConfig(**settings, thinking_budgets=(8, 24), num_waits=(0, 1), wait_text="budget")
    curve = evaluate(waits, tmp_path / "evaluate")
    assert curve.models


def test_in_process_engines_do_not_mix_their_weights() -> None:
    one, other = contract.tiny_lm(seed=4), contract.tiny_lm(seed=7)
    requests = requests_for(one, contract.problems(4), 2, Budget(5, 5))
    with VLLMEngine(one, forcing_for(one)) as first, VLLMEngine(other, forcing_for(other)) as second:
        before = [s.tokens.tolist() for s in first.sample(requests, temperature=1.0, seed=0)]
        second.sample(requests, temperature=1.0, seed=0)
        assert [s.tokens.tolist() for s in first.sample(requests, temperature=1.0, seed=0)] == before


@pytest.fixture(scope="module")
def for_rl() -> Iterator[str]:
    """The address of a server of the embedded model that takes weights."""
    lm = load("embedded")
    with pytest.MonkeyPatch.context() as patch, ServerEngine(lm, forcing_for(lm)) as engine:
        patch.setenv("VLLM_SERVER_DEV_MODE", "1")
        problems = list(open_task(PROBLEMS).problems())
        engine.sample(requests_for(lm, problems, 1, Budget(120, 8)), temperature=1.0, seed=0)
        yield url_of(engine)


RL = {
    "problems": "dagmath?ops=5&n=40", "validation": PROBLEMS, "steps": 4, "prompts_per_step": 10, "group_size": 4,
    "eval_every": 4, "eval_samples": 1, "thinking_budget": 100, "max_answer_tokens": 8, "device": "cpu",
    "temperature": 1.4,  # so that steps without an informative group are rare
}  # fmt: skip


def test_rl_hands_its_weights_to_a_server(for_rl: str, tmp_path: Path) -> None:
    """The server draws from the policy in every step, also with a tied head; in the end it has the last weights."""
    rl(RLConfig(**RL, engine=for_rl), tmp_path / "rl")
    lines = [json.loads(line) for line in (tmp_path / "rl/log.jsonl").read_text().splitlines()]
    means = [line["mismatch"] for line in lines if line.get("mismatch")]
    assert len(means) > 1
    assert max(means) < 1e-4
    assert not (tmp_path / "rl/handover").exists()
    trained, start = load(str(tmp_path / "rl/checkpoints/step-4")), load("embedded")
    pairs = zip(trained.model.parameters(), start.model.parameters(), strict=True)
    assert max(float((now - then).detach().abs().max()) for now, then in pairs) > 1e-4
    drawn = contract.drawn(partial(open_engine, for_rl), trained, Budget(20, 6), temperature=1.0)
    assert worst(trained, drawn, 1.0) < 1e-4


def test_a_server_that_only_seems_to_take_weights_is_refused(for_rl: str, tmp_path: Path) -> None:
    """It has the right ones at the start, and would have nearly the right ones for many small steps."""
    said = Forwarder(for_rl, left=10_000, ignored=(CALL,))
    config = RLConfig(**RL, engine=f"http://127.0.0.1:{said.server_port}")
    with pytest.raises(UserError, match="has not taken the weights that it was sent: its log-probabilities differ"):
        rl(config, tmp_path)
    said.shutdown()


@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
def test_two_processes_share_a_server(for_rl: str, distributed: str, tmp_path: Path) -> None:
    settings = [f"{name}={value}" for name, value in RL.items() if name != "validation"]
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "rlready"]
    words += ["rl", *settings, "validation=dagmath?ops=5&split=test&seed=7&n=1"]  # none for the second process
    words += [f"engine={for_rl}", f"distributed={distributed}", "--out", str(tmp_path / "rl")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "rl/log.jsonl").read_text().splitlines()]
    means = [line["mismatch"] for line in lines if line.get("mismatch")]
    assert len(means) > 1
    assert max(means) < 1e-4


@pytest.fixture(scope="module")
def started() -> Iterator[ServerEngine]:
    """An engine over a server that it has started, which the other tests name by its address."""
    lm = contract.tiny_lm(seed=4)
    with ServerEngine(lm, forcing_for(lm, "Wait")) as engine:
        engine.sample(requests_for(lm, contract.problems(8), 1, Budget(30, 30)), temperature=1.0, seed=0)
        yield engine


def url_of(engine: ServerEngine) -> str:
    assert engine._server
    return engine._server.url


def test_a_server_keeps_the_contract(started: ServerEngine) -> None:
    opened = partial(open_engine, url_of(started))
    for budget in contract.BUDGETS:
        contract.test_no_sample_exceeds_its_budget(opened, True, budget)
    waits = set[int]()
    for _ in range(10):  # a server's draws have no seed: one time in a few no sample of 64 has the second wait
        pairs = contract.drawn(opened, contract.tiny_lm(seed=4), Budget(12, 5, 2), prefix="so:")
        assert all(not s.logprobs[s.mask == 0].any() and s.logprobs[s.mask == 1].all() for _, s in pairs)
        waits |= {s.num_waits for _, s in pairs}
        if len(waits) > 2:
            break
    assert waits == {0, 1, 2}
    contract.test_a_bias_shortens_thoughts_and_leaves_the_log_probabilities(opened)
    contract.test_every_sample_is_reported_once_when_it_has_ended(opened, 2)
    for temperature in (0.8, 1.3):
        pairs = contract.drawn(opened, contract.tiny_lm(seed=4), Budget(20, 6, 1), temperature=temperature)
        assert worst(started.lm, pairs, temperature) < 1e-4
    (greedy,) = {tuple(s.tokens) for _, s in contract.drawn(opened, started.lm, Budget(12, 6), temperature=0.0)[:8]}
    row = list(pairs[0][0].prompt_ids)
    assert greedy[0] == contract.full_logits(started.lm.model, [row])[0].argmax()
    continues_the_trace(opened)


def test_a_server_of_another_model_is_refused(started: ServerEngine) -> None:
    with pytest.raises(UserError, match=r"serves another model than tiny Llama: .*engine=vllm-server"):
        contract.drawn(partial(open_engine, url_of(started)), contract.tiny_lm(seed=5), Budget(5, 5))


class Forwarder(ThreadingHTTPServer):
    """An address that forwards to a server until ``left`` completions have been answered."""

    request_queue_size = 1024

    def __init__(self, url: str, left: int, ignored: Sequence[str] = ()) -> None:
        """What is sent to the addresses ``ignored`` is answered as if all were well."""
        self.url, self.left, self.ignored = url, left, ignored
        super().__init__(("127.0.0.1", 0), Forward)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Forward(BaseHTTPRequestHandler):
    server: Forwarder

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        self.server.left -= 1
        if self.server.left >= 0:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes | None) -> None:
        if self.path in self.server.ignored:
            self.send_response(200)
            self.end_headers()
            return
        asked = urllib.request.Request(self.server.url + self.path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as found:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(found.read())


def test_a_run_whose_server_dies_is_continued(started: ServerEngine, tmp_path: Path) -> None:
    """What was drawn before is kept, and drawn once."""
    (tmp_path / "model").mkdir()
    save(started.lm, tmp_path / "model", "")
    lines = [{"id": f"p{n}", "prompt": f"{n}+1", "answer": "1"} for n in range(10)]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, lines)))
    dying = Forwarder(url_of(started), left=700)
    url = f"http://127.0.0.1:{dying.server_port}"
    config = ReadinessConfig(
        checkpoints=(str(tmp_path / "model"),), problems=str(tmp_path / "problems.jsonl"), engine=url, samples=64,
        sampling="full", max_answer_tokens=5, thinking_budget=12, device="cpu",
    )  # fmt: skip
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"does not answer .*what was drawn before is kept"):
        readiness(config, out)
    kept = [row["text"] for file in sorted((out / "state").rglob("*.parquet")) for row in read_table(file)]
    assert 0 < len(kept) < 640
    dying.left = 10_000  # it is started again
    readiness(config, out)
    dying.shutdown()
    rows = read_table(out / "parts" / "0.parquet")
    assert [row["text"] for row in rows[: len(kept)]] == kept
    assert len({(row["problem_id"], row["sample_id"]) for row in rows}) == len(rows) == 640


def test_a_server_that_dies_is_one_line(started: ServerEngine) -> None:
    assert started._server
    requests = requests_for(started.lm, contract.problems(4), 2, Budget(5, 5))
    started._server.stop()
    with pytest.raises(UserError, match=r"does not answer .*repeat the command$"):
        started.sample(requests, temperature=1.0, seed=0)
