"""A vLLM server, asked for completions of token ids over HTTP: one that runs already, or one that is started here."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from rlready.core.errors import UserError
from rlready.core.progress import note
from rlready.core.stopping import heed_stop
from rlready.engine.budget import Forcing
from rlready.engine.completions import BANNED, Completer, CompletionEngine, Continuation, Drawn
from rlready.models.lm import LM

WAIT = 0.2  # seconds between two looks at what has ended
ANSWER_SECONDS = 3600.0  # the longest that one completion may take
START_SECONDS = 1800.0  # the longest that a server may take to start
# the module is that of `vllm serve`, which does not run in the CPU build, as that has another package's name;
# the server is sent SIGTERM when this process has ended, however it has (PR_SET_PDEATHSIG of Linux)
SERVE = """
import ctypes, os, runpy, sys
os.environ["VLLM_NO_USAGE_STATS"] = "1"
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
"""
ERROR = re.compile(r"\w*Error: .+")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class _Logprobs(BaseModel):
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]


class _Choice(BaseModel):
    token_ids: list[int]
    logprobs: _Logprobs


class _Completion(BaseModel):
    choices: list[_Choice]


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


class ServerEngine(CompletionEngine):
    """Engine over a server at ``url``, or, without one, over a server that is started with the model's weights."""

    def __init__(self, lm: LM, forcing: Forcing, *, bfloat16: bool = False, url: str = "") -> None:
        super().__init__(lm, forcing, bfloat16=bfloat16)
        self.url, self._longest = url, 0
        self._server: Server | None = None
        self._client: _Client | None = None
        if url:
            self.name, self.dtype = f"the server at {url}", "bfloat16"  # which is not known: the wider bound
            self._client = _Client(url, self.batch_size)

    def completer(self, longest: int, *, stale: bool) -> Completer:
        if not self.url and (self._server is None or stale or self._longest < longest):
            self._stop()
            self._longest = longest = min(self.lm.context, 1 << (longest - 1).bit_length())
            options = self.start_options(longest) | {"max_model_len": longest, "max_num_seqs": self.batch_size}
            self._server = Server(self.lm, self.dtype, options)
            self._client = _Client(self._server.url, self.batch_size)
        assert self._client is not None
        return self._client

    def reseed(self, seed: int) -> None:
        """A server has the seed that it was started with: seeds of requests end vLLM's CPU build."""

    def wrong_weights(self, difference: float, bound: float) -> UserError:
        if not self.url:
            return super().wrong_weights(difference, bound)
        return UserError(
            f"{self.name} serves another model than {self.lm.source}: its log-probabilities differ by "
            f"{difference:.2g} nats on average (rounding stays below {bound}); name the server of this model, or use "
            "engine=vllm-server, which starts one"
        )

    def close(self) -> None:
        super().close()
        self._stop()

    def _stop(self) -> None:
        if self._client:
            self._client.close()
        if self._server:
            self._server.stop()
        self._client = self._server = None


class _Client(Completer):
    """Each continuation is one request, made by a thread of its own."""

    def __init__(self, url: str, most: int) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._pool = ThreadPoolExecutor(most, "vllm-client")
        self._ended: queue.SimpleQueue[Drawn | UserError] = queue.SimpleQueue()
        self._round = 0  # requests of earlier rounds were aborted
        self.model = _Models.model_validate_json(self._ask("/v1/models")).data[0].id

    def submit(self, asked: Continuation) -> None:
        self._pool.submit(self._complete, asked, self._round)

    def drawn(self) -> tuple[list[Drawn], int]:
        found: list[Drawn] = []
        try:
            ended = self._ended.get(timeout=WAIT)
            while True:
                if isinstance(ended, UserError):
                    raise ended
                found.append(ended)
                ended = self._ended.get_nowait()
        except queue.Empty:
            return found, 0

    def abort(self) -> None:
        self._round += 1
        self._ended = queue.SimpleQueue()

    def close(self) -> None:
        self.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _complete(self, asked: Continuation, round: int) -> None:
        if round != self._round:
            return
        ended = self._ended
        watched = [] if asked.watched is None else [asked.watched]
        wanted = {
            "model": self.model,
            "prompt": list(asked.prompt_ids),
            "max_tokens": asked.max_tokens,
            "temperature": asked.temperature,
            "stop_token_ids": sorted(asked.stop_ids),
            "ignore_eos": True,  # the stop tokens are given
            "logprobs": len(watched),
            "logprob_token_ids": watched or None,
            "logit_bias": {str(token): BANNED for token in asked.banned} or None,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            # what the model's generation config may set otherwise
            **{"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
        }
        try:
            answer = self._ask("/v1/completions", json.dumps(wanted).encode())
            (choice,) = _Completion.model_validate_json(answer).choices
            at = [by_token[f"token_id:{token}"] for token in watched for by_token in choice.logprobs.top_logprobs]
            ended.put(Drawn(asked.row, choice.token_ids, choice.logprobs.token_logprobs, at))
        except UserError as error:
            ended.put(error)
        except Exception as error:  # an answer that is not understood
            ended.put(UserError(f"the server at {self.url} gave an unexpected answer ({error}); use vLLM 0.30 to 0.33"))

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with DIRECT.open(request, timeout=ANSWER_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace").replace("\n", " ")
            raise UserError(f"the server at {self.url} refused a request ({error.code}): {said}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(
                f"the server at {self.url} does not answer ({reason}); start it again and repeat the command: what was "
                "drawn before is kept"
            ) from None


class Server:
    """A vLLM server for the weights that a model has now, which ends with this process; ``options`` are vLLM's."""

    def __init__(self, lm: LM, dtype: str, options: Mapping[str, int | float]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rlready-vllm-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        model, log = Path(self._folder.name) / "model", Path(self._folder.name) / "log"
        lm.model.save_pretrained(model)
        lm.tokenizer.save_pretrained(str(model))
        given = {
            "host": "127.0.0.1",
            "port": port,
            "served_model_name": "model",
            "generation_config": "vllm",
            **options,
        }
        given |= {"model": str(model), "dtype": dtype, "logprobs_mode": "processed_logprobs"}
        note(f"starting a vLLM server at {self.url}")
        words = [f"--{name.replace('_', '-')}" + f"={value}" * (value is not True) for name, value in given.items()]
        words = [sys.executable, "-c", SERVE, *words]
        with log.open("wb") as output:
            self._process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
        self._wait(log)

    def _wait(self, log: Path) -> None:
        """Return when the server answers; UserError if it ends or takes too long."""
        try:
            limit = time.monotonic() + START_SECONDS
            while not _healthy(self.url):
                heed_stop()
                if self._process.poll() is not None or time.monotonic() > limit:
                    why = ERROR.search(log.read_text(errors="replace"))
                    raise UserError(f"the vLLM server did not start: {why.group()[:300] if why else 'no reason given'}")
                time.sleep(WAIT)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and its children."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._folder.cleanup()


def _healthy(url: str) -> bool:
    try:
        with DIRECT.open(url + "/health", timeout=5):
            return True
    except OSError:
        return False
