"""A server's odd answers, or none, from a server that answers as the test says: one line each, which names it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import test_engine_contract as contract
from rlready.core.errors import UserError
from rlready.core.progress import SCREEN
from rlready.core.records import Sample
from rlready.engine import vllm_client
from rlready.engine.budget import Budget
from rlready.engine.completer import Continuation, Drawn
from rlready.engine.factory import open_engine
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.vllm import _Program
from rlready.engine.vllm_client import Client
from rlready.engine.vllm_server import ServerEngine


class Server(ThreadingHTTPServer):
    """Answers with these bytes, status line and all; None: never."""

    daemon_threads = True
    models: bytes | None = b""
    completion: bytes | None = b""
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.ended = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer(self.server.models)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.answer(self.server.completion)

    def answer(self, answer: bytes | None) -> None:
        if answer is None:
            self.server.ended.wait()
        else:
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def http(body: str, code: int = 200) -> bytes:
    return f"HTTP/1.0 {code} x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def completion(tokens: object, logprobs: object, top: object = ()) -> bytes:
    choice = {"token_ids": tokens, "logprobs": {"token_logprobs": logprobs, "top_logprobs": top}}
    return http(json.dumps({"choices": [choice]}))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.models = http('{"data": [{"id": "m"}]}')
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


NO_MODELS = {
    r"unexpected answer \(Invalid JSON.*it begins with '<html>hi</html>'\)": http("<html>hi</html>"),
    "it names no model": http('{"data": []}'),
    "not HTTP: BadStatusLine": b"garbage\r\n\r\n",
    r"does not answer \(its answer from /v1/models ends after 5 bytes\)": http("x" * 99)[:-94],
    r"refused a request \(500\): oops no": http("oops\nno", 500),
    r"does not answer \(its engine has died\)": http('{"error":{"message":"EngineCore encountered an issue."}}', 500),
}


@pytest.mark.parametrize("message", NO_MODELS)
def test_a_server_that_names_no_model(server: Server, message: str) -> None:
    server.models = NO_MODELS[message]
    with pytest.raises(UserError, match=message) as error:
        Client(server.url, 2, 50)
    assert server.url in str(error.value)
    assert "\n" not in str(error.value)
    assert "kept" not in str(error.value)


TWO = [-1.0, -2.0]
COMPLETIONS = {
    "0 tokens where 1 to 3 were asked for": completion([], [], []),
    "4 tokens where 1 to 3": completion([1] * 4, TWO * 2, []),
    "token 50, but the model's vocabulary has 50": completion([1, 50], TWO),
    f"token {10**30}, but": completion([1, 10**30], TWO),
    "token -1, but": completion([-1, 1], TWO),
    "2 tokens with 1 log-probabilities": completion([1, 2], [-1.0]),
    "2 tokens with 3 log-probabilities": completion([1, 2], [*TWO, -1.0]),
    "a log-probability is nan": completion([1, 2], [-1.0, float("nan")]),
    "a log-probability is -inf": completion([1, 2], [-1.0, float("-inf")]),
    "a log-probability is 5.0": completion([1, 2], [-1.0, 5.0]),
    "a log-probability is missing": completion([1, 2], TWO, [{"token_id:7": -1.0}, {}]),
    "2 tokens with 0 log-probabilities": completion([1, 2], TWO, []),
    "a token was drawn whose log-probability is -1e+308": completion(
        [1, 2], [-1.0, -1e308], [{"token_id:7": -1e9}] * 2
    ),
    "the log-probability of a token is -1e+308": completion([1, 2], TWO, [{"token_id:7": -1e308}] * 2),
    "a log-probability is -inf ": completion([1, 2], TWO, [{"token_id:7": -(10**400)}] * 2),
    "choices.0.token_ids.0: Input should be a valid integer": completion(["1", 2], TWO),
    "choices.0.token_ids.1: Input should be a valid integer": completion([1, True], TWO),
    "choices.0.logprobs.token_logprobs.0": completion([1, 2], ["-1", -2]),
    "choices.0.token_ids: Field required": http('{"choices": [{"text": "hello"}]}'),
    "0 completions of one prompt": http('{"choices": []}'),
}


@pytest.mark.parametrize("message", COMPLETIONS)
def test_an_odd_completion_is_refused(server: Server, message: str) -> None:
    server.completion = COMPLETIONS[message]
    assert odd(server, Continuation(0, [1], 3, 1.0, watched=7)).startswith(f"{server.url}/v1/completions gave an")
    assert message.strip() in odd(server, Continuation(0, [1], 3, 1.0, watched=7))


def test_a_token_that_was_banned_is_refused(server: Server) -> None:
    """Or a thought would end right after the text that was to extend it."""
    server.completion = completion([5], [-0.5])
    assert "token 5, which logit_bias forbids" in odd(server, Continuation(0, [1], 1, 1.0, banned=frozenset({5})))


ONE = {1: SimpleNamespace(logprob=-1.0), 7: SimpleNamespace(logprob=-1.5)}
IN_PROCESS: dict[str, tuple[list[int], list[object] | None]] = {
    "0 tokens where 1 to 3 were asked for": ([], []),
    "token 50, but the model's vocabulary has 50": ([50], [{50: ONE[1], 7: ONE[7]}]),
    "1 tokens with 2 log-probabilities": ([1], [ONE, ONE]),
    "a log-probability is missing": ([1], None),
    "a log-probability is missing ": ([1], [{2: ONE[1], 7: ONE[7]}]),
    "a log-probability is missing  ": ([1], [{1: ONE[1]}]),
    "a log-probability is nan": ([1], [{**ONE, 1: SimpleNamespace(logprob=float("nan"))}]),
    "": ([1], [ONE]),
}


@pytest.mark.parametrize("message", IN_PROCESS)
def test_vllm_in_the_process_is_checked_as_a_server_is(message: str) -> None:
    tokens, logprobs = IN_PROCESS[message]
    found = SimpleNamespace(token_ids=tokens, logprobs=logprobs)
    ended = SimpleNamespace(request_id="4", finished=True, outputs=[found])
    program = _Program(SimpleNamespace(llm_engine=SimpleNamespace(step=lambda: [ended])), "", 50, 9, 1)
    program._asked[4] = Continuation(4, [1], 3, 1.0, watched=7)
    if not message:
        assert program.drawn() == ([Drawn(4, [1], [-1.0], [-1.5])], 1)
        return
    with pytest.raises(UserError, match=r"^vLLM gave an unexpected answer \(.*\); use vLLM 0\.30 to 0\.33$") as error:
        program.drawn()
    assert message.strip() in str(error.value)


def odd(server: Server, asked: Continuation) -> str:
    client = Client(server.url, 2, 50)
    client.submit(asked)
    with pytest.raises(UserError, match=r"use vLLM 0\.30 to 0\.33$") as error:
        until_drawn(client)
    client.close()
    return str(error.value)


def until_drawn(client: Client) -> list[Drawn]:
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        if found := client.drawn()[0]:
            return found
    raise TimeoutError


def test_a_completion_that_fits_is_accepted(server: Server) -> None:
    server.completion = completion([1, 49], TWO, [{"token_id:7": -1.5}, {"token_id:7": -9999.0}])
    client = Client(server.url, 2, 50)
    client.submit(Continuation(3, [1], 3, 1.0, watched=7))
    assert until_drawn(client) == [Drawn(3, [1, 49], TWO, [-1.5, -9999.0])]
    client.close()


def test_an_empty_answer_is_not_asked_for_again(server: Server) -> None:
    server.completion = completion([], [])
    lm = contract.tiny_lm(seed=4)
    requests = requests_for(lm, contract.problems(1), 2, Budget(5, 5))
    with (
        open_engine(server.url, lm, forcing_for(lm)) as engine,
        pytest.raises(UserError, match="0 tokens where 1 to 8 were asked for"),
    ):
        engine.sample(requests, temperature=1.0, seed=0)
    assert server.asked == 1


def test_what_was_drawn_is_kept_if_something_was(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerEngine, "_compare", lambda *_: None)
    lm = contract.tiny_lm(seed=4)
    requests = requests_for(lm, contract.problems(1), 2, Budget(None, 5))
    said = []
    with open_engine(server.url, lm, forcing_for(lm)) as engine:
        for answer in (completion([1], [-1.0])[:-9], completion([lm.tokenizer.eos_token_id], [-1.0])):
            server.completion = answer
            kept: list[Sample] = []
            try:
                engine.sample(requests, temperature=1.0, seed=0, ended=kept.append)
            except UserError as error:
                said.append(str(error))
        assert len(kept) == 2
        server.completion = b""
        with pytest.raises(UserError, match=r"does not answer .*: what was drawn before is kept$"):
            engine.sample(requests, temperature=1.0, seed=0)
    (before,) = said
    assert before.endswith("start it again and repeat the command")


def test_a_server_that_does_not_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said that it is waited for, and the wait ends; so it does for one that begins an answer."""
    monkeypatch.setattr(vllm_client, "WAIT", 0.02)
    monkeypatch.setattr(vllm_client, "MODEL_SECONDS", 0.5)
    monkeypatch.setattr(vllm_client, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(vllm_client, "SAY_SECONDS", 0.1)
    monkeypatch.setattr(SCREEN, "quiet", False)
    client = Client(server.url, 2, 50)
    server.completion = None
    client.submit(Continuation(0, [1], 3, 1.0))
    with pytest.raises(UserError, match=r"does not answer .*repeat the command$"):
        until_drawn(client)
    assert f"waiting for {server.url}/v1/completions (0 s; it is given up after 0 s)" in capsys.readouterr().err
    server.models = None
    with pytest.raises(UserError, match=r"does not answer .*repeat the command$"):
        Client(server.url, 2, 50)
    assert f"waiting for {server.url}/v1/models (0 s; it is given up after 0 s)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http("{}", 404), r"takes no weights: start it with VLLM_SERVER_DEV_MODE=1 in its environment"),
        (http("no such file", 500), r"\(500\): no such file; .*it has to see /weights/1 at this path, on a disk"),
        (http('{"error": "EngineCore encountered an issue."}', 500), r"does not answer \(its engine has died\)"),
        (b"", "does not answer"),
        (http('{"success": false}'), "works on other requests, too, .*: give it to this run alone"),
    ],
)
def test_a_server_that_does_not_load_weights(
    server: Server, answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_client, "MODEL_SECONDS", 0.5)
    client = Client(server.url, 2, 50)
    server.completion = answer
    with pytest.raises(UserError, match=said) as error:
        client.load(Path("/weights/1"))
    assert server.url in str(error.value)


@pytest.mark.parametrize("length", ["", "Content-Length: 99999999999\r\n"])
def test_an_endless_answer_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch, length: str) -> None:
    monkeypatch.setattr(vllm_client, "LONGEST", 1000)
    monkeypatch.setattr(Client._ask, "__defaults__", (None, 1000))
    monkeypatch.setattr(vllm_client, "PER_TOKEN", 100)
    endless = f"HTTP/1.0 200 x\r\n{length}\r\n".encode() + b" " * 100_000
    server.completion = endless
    assert "more than 1,400 bytes" in odd(server, Continuation(0, [1], 3, 1.0, watched=7))
    server.models = endless
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        Client(server.url, 2, 50)


def test_a_redirect_is_not_followed(server: Server) -> None:
    elsewhere = "http://localhost:1/v1/models"
    server.models = f"HTTP/1.0 302 x\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
    with pytest.raises(UserError, match=f"sends requests on to {elsewhere}"):
        Client(server.url, 2, 50)


def test_an_interrupt_while_weights_are_halved_is_known(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever it comes, the weights are not to be saved; nothing stays on the disk."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    lm = contract.tiny_lm(seed=4)
    before = [weight.detach().clone() for weight in lm.model.parameters()]
    requests = requests_for(lm, contract.problems(2), 1, Budget(5, 5))
    with ServerEngine(lm, forcing_for(lm), url=server.url, handover=tmp_path / "handover") as engine:
        assert engine.intact
        monkeypatch.setattr(Client, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.sample(requests, temperature=1.0, seed=0)
        assert not engine.intact
    assert all(torch.equal(now, then) for now, then in zip(lm.model.parameters(), before, strict=True))
    assert not list(tmp_path.iterdir())
