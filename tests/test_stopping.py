"""Ctrl-C and SIGTERM end a run within two seconds while threads work, and what they do not end."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core import stopping
from rlready.core.config import ReadinessConfig
from rlready.core.stopping import Stopped, heed_stop, in_threads
from rlready.engine.decoder import HFDecoder
from rlready.engine.llama import LlamaDecoder, LlamaWeights
from rlready.influence.gram import gram
from rlready.models.batch import Example
from rlready.models.checkpoint import load
from rlready.models.frozen import frozen_logprobs
from rlready.models.llama.logprob import packed_logprobs
from rlready.models.logprob import token_logprobs
from rlready.readiness.stage import readiness
from rlready.runs import lock
from rlready.runs.files import read_json, read_table
from rlready.tasks.answers import mathpool
from tiny import tiny_model, tiny_tokenizer

ONES = np.ones(4, dtype=np.float32)
ROWS = [Example([1, 7, 8], [9, 10, 11, 12], np.ones(4, dtype=np.uint8), ONES, ONES)] * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose responses have about a hundred tokens."""
    path = tmp_path_factory.mktemp("model")
    tokenizer = tiny_tokenizer(template="plain")
    sizes = {"hidden_size": 32, "head_dim": 8, "max_position_embeddings": 4096}
    model = tiny_model("Llama", 4, vocab_size=len(tokenizer), **sizes)
    with torch.no_grad():
        model.lm_head.weight[2] = 0.0
    tokenizer.save_pretrained(path)
    model.save_pretrained(path)
    return path


@contextmanager
def told_to_stop() -> Iterator[None]:
    stopping._thread.stop = threading.Event()
    stopping._thread.stop.set()
    yield
    del stopping._thread.stop


def backward(logprobs: Callable[..., Any]) -> Callable[[Any], None]:
    """The backward pass alone is told to stop."""

    def work(model: Any) -> None:
        del stopping._thread.stop
        logp_N, _ = logprobs(model, ROWS)
        with told_to_stop():
            logp_N.sum().backward()

    return work


def decode(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def work(model: Any) -> None:
        make(model).extend(torch.tensor([[1, 7]]), torch.ones(1, 2, dtype=torch.bool))

    return work


WORK: dict[str, Callable[[Any], object]] = {
    "decoding": decode(lambda model: LlamaDecoder(LlamaWeights(model), 1)),
    "decoding, Hugging Face": decode(lambda model: HFDecoder(model, 1)),
    "scoring": lambda model: packed_logprobs(model, ROWS),
    "scoring, Hugging Face": lambda model: token_logprobs(model, ROWS),
    "training": backward(packed_logprobs),
    "training, Hugging Face": backward(token_logprobs),
    "influence": lambda model: gram(model, [ROWS[:1], ROWS[1:]], list(model.parameters())),
}


@pytest.mark.parametrize("threads", [1, 2])  # with one, the compiled kernels serve
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_every_layer_heeds_a_stop(work: Callable[[Any], object], threads: int, folder: Path) -> None:
    model = load(str(folder)).model
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.raises(Stopped), told_to_stop():
            work(model)
    finally:
        torch.set_num_threads(before)
        stopping._thread.__dict__.clear()


def test_an_error_stops_the_other_threads_and_is_raised() -> None:
    ended = []

    def endless() -> None:
        try:
            while True:
                heed_stop()
                time.sleep(0.01)
        finally:
            ended.append(1)

    def broken() -> None:
        raise ValueError("broken")

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="broken"):
        in_threads(pool, [endless, broken, endless])
    assert ended == [1]  # the third was never begun


@contextmanager
def interrupted_in(seconds: float, within: float = 3.0) -> Iterator[None]:
    """Ctrl-C, after which the block must end in a certain time."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    gc.disable()  # in whose callbacks, such as that of hypothesis, an interrupt would be lost
    timer.start()
    begun = time.monotonic()
    try:
        yield
    finally:
        timer.cancel()
        gc.enable()
        assert time.monotonic() - begun < seconds + within


def test_scoring_stops_between_micro_batches(folder: Path) -> None:
    """Ctrl-C in the main thread, while two threads score."""
    model = load(str(folder)).model
    with pytest.raises(KeyboardInterrupt), interrupted_in(0.3):
        frozen_logprobs([model], ROWS * 20_000, max_tokens_per_microbatch=4096)


def test_comparing_formulas_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """No question of a queue is asked after Ctrl-C, and the processes that were asked are ended."""
    monkeypatch.setattr(mathpool.Worker, "ask", lambda self, *_: self.line(60.0, "comparing"))  # never answers
    with pytest.raises(KeyboardInterrupt), interrupted_in(0.5, within=10):  # in which the processes start, too
        mathpool.in_parallel([("formula", f"x+{i}", "y", None) for i in range(50)])


STUBBORN = """
import time
from rlready.core.stopping import stopped_by_signals
with stopped_by_signals():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("stopping", flush=True)
        time.sleep(60)
"""


OFTEN = """
import sys, rlready.core.progress, rlready.core.sampling_progress
rlready.core.progress.PAUSE = rlready.core.sampling_progress.PAUSE = 0.1
from rlready.cli.main import main
sys.exit(main())
"""


def heeding() -> None:
    """Tests that run in the background may have Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(*line: str) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *line], preexec_fn=heeding, **pipes)  # noqa: PLW1509


def test_a_second_signal_ends_at_once_without_a_traceback() -> None:
    process = started("-c", STUBBORN)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGINT)  # what a wrapper sends with the first is the same request
    time.sleep(stopping.SAME)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=2)
    assert (process.returncode, err) == (130, "")


def test_a_run_that_is_stopped_while_threads_decode_ends_and_goes_on(folder: Path, tmp_path: Path) -> None:
    """The process is gone within three seconds, the folder free, and the continued run equal to an unbroken one."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(f'{{"prompt": "{i}+2", "answer": "{i + 2}"}}\n' for i in range(40)))
    settings = {"samples": 4, "group_size": 2, "thinking_budget": 1000, "max_answer_tokens": 1000, "heldout": ""}
    out = tmp_path / "run"
    process = started(
        *("-c", OFTEN, "readiness", str(folder), f"problems={problems}", "--out", str(out)),
        *(f"{name}={value}" for name, value in settings.items()),
    )
    assert process.stderr
    said = iter(process.stderr.readline, "")
    assert any("up to 320,000 tokens" in line for line in said)
    assert any("tokens/s" in line and "left" in line and "pass@1 so far" in line for line in said)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert process.wait(timeout=20) == 130
    assert time.monotonic() - begun < 3
    assert "stopped; to continue: rlready readiness" in process.stderr.read()
    assert not lock.is_locked(out)
    assert read_json(out / "record.json")["status"] == "interrupted"
    config = ReadinessConfig(checkpoints=(str(folder),), problems=str(problems), **settings)  # type: ignore[arg-type]
    readiness(config, out)
    readiness(config, tmp_path / "unbroken")
    ours, theirs = (read_table(path / "parts" / "0.parquet") for path in (out, tmp_path / "unbroken"))
    assert [row["tokens"] for row in ours] == [row["tokens"] for row in theirs]
    assert ours == theirs
