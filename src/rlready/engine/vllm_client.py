"""Ask a vLLM server for completions of token ids over HTTP; it may answer late, anything or not at all."""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from email.message import Message
from math import inf
from pathlib import Path
from typing import IO, Annotated, TypeVar

from pydantic import BaseModel, Strict, StrictInt, ValidationError

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.settings import address_of
from rlready.engine.completer import BANNED, Completer, Continuation, Drawn, unexpected, what_is_odd
from rlready.models.one_line import one_line

WAIT = 0.2  # seconds between two looks at what has ended
ANSWER_SECONDS = 3600.0  # the longest that no completion may come
MODEL_SECONDS = 30.0  # the longest that a server may take to name its model
LOAD_SECONDS = 1800.0  # and to load weights
SAY_SECONDS = 20.0  # between two lines that say what is waited for
LONGEST = 1 << 24  # bytes of any answer
PER_TOKEN = 1 << 12  # and of a completion, for each token that it repeats or adds


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Prompts go to the server that was named, and to no other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        raise UserError(
            f"{req.full_url} sends requests on to {one_line(newurl, 200)}, which was not "
            "named: give the address of the server itself"
        )


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)

CALL, FORGET = "/collective_rpc", "/reset_prefix_cache"  # addresses of a server in development mode
DEAD = "EngineCore encountered an issue"  # what a server answers whose engine has ended
Answer = TypeVar("Answer", bound=BaseModel)
Number = Annotated[float, Strict()]  # no text and no truth value


class NoAnswer(UserError):
    """The server does not answer, or no longer."""


class _Refused(UserError):
    """The server has answered with the ``code`` of an error."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Logprobs(BaseModel):
    token_logprobs: list[Number]
    top_logprobs: list[dict[str, Number]]


class _Choice(BaseModel):
    token_ids: list[StrictInt]
    logprobs: _Logprobs


class _Completion(BaseModel):
    choices: list[_Choice]


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


class _Forgot(BaseModel):
    success: bool = True  # which some versions do not say


class Client(Completer):
    """Each continuation is one request, made by one of at most ``most`` threads; token ids are below ``vocabulary``."""

    def __init__(self, url: str, most: int, vocabulary: int) -> None:
        self.url = address_of(url)
        self._most, self._vocabulary = most, vocabulary
        # not an executor's threads: Python would wait for those that a server keeps waiting before it ends
        self._threads: list[threading.Thread] = []
        self._asked: queue.SimpleQueue[tuple[Continuation, int] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Drawn | UserError] = queue.SimpleQueue()
        self._round = 0  # requests of earlier rounds were aborted
        self._heard = self._said = time.monotonic()
        self.model = self._first_model()

    def submit(self, asked: Continuation) -> None:
        self._heard = self._said = time.monotonic()
        self._asked.put((asked, self._round))
        if len(self._threads) < self._most:
            self._threads.append(threading.Thread(target=self._work, name="vllm-client", daemon=True))
            self._threads[-1].start()

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
            if found:
                self._heard = self._said = time.monotonic()
            self._say_waiting("/v1/completions", ANSWER_SECONDS)
            return found, 0

    def abort(self) -> None:
        self._round += 1
        self._ended = queue.SimpleQueue()

    def close(self) -> None:
        self.abort()
        for _ in self._threads:
            self._asked.put(None)

    def load(self, folder: Path) -> None:
        """Have the server load the weights in a folder, which it must see at the same path, and forget the keys and
        values of others.

        UserError if it does not answer, has no development mode, or cannot load them.
        """
        asked = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        try:
            self._patiently(CALL, LOAD_SECONDS, json.dumps(asked).encode())
            self._forget()
        except _Refused as error:
            if error.code == http.HTTPStatus.NOT_FOUND:
                raise UserError(
                    f"the server at {self.url} takes no weights: start it with VLLM_SERVER_DEV_MODE=1 in its "
                    "environment, in a network that you trust"
                ) from None
            raise UserError(
                f"{error}; if it has not found them, it has to see {folder} at this path, on a disk that it shares"
            ) from None

    def _forget(self) -> None:
        """Have the server forget keys and values, which it does once no request runs."""
        limit = time.monotonic() + MODEL_SECONDS
        while answer := self._patiently(FORGET, MODEL_SECONDS, b""):
            if self._parsed(_Forgot, FORGET, answer).success:
                return
            if time.monotonic() >= limit:
                raise UserError(
                    f"the server at {self.url} works on other requests, too, so that it cannot forget the keys and "
                    "values of other weights: give it to this run alone"
                )
            time.sleep(WAIT)

    def _first_model(self) -> str:
        """The name of the model that is served."""
        path = "/v1/models"
        models = self._parsed(_Models, path, self._patiently(path, MODEL_SECONDS)).data
        if not models:
            raise self._odd(path, "it names no model")
        return models[0].id

    def _patiently(self, path: str, most: float, body: bytes | None = None) -> bytes:
        """The answer to one request, made by a thread so that an interrupt ends the waiting, which is said now and
        then."""
        found: queue.SimpleQueue[bytes | UserError] = queue.SimpleQueue()
        self._heard = self._said = time.monotonic()

        def ask() -> None:
            try:
                found.put(self._ask(path, most, body))
            except UserError as error:
                found.put(error)

        threading.Thread(target=ask, daemon=True).start()
        while True:
            try:
                answer = found.get(timeout=WAIT)
            except queue.Empty:
                self._say_waiting(path, most)
                continue
            if isinstance(answer, UserError):
                raise answer
            return answer

    def _say_waiting(self, path: str, most: float) -> None:
        """Say now and then that nothing has come; NoAnswer after ``most`` seconds."""
        now = time.monotonic()
        if now - self._heard >= most:
            raise self._no_answer(f"nothing from {path} in {most:.0f} s")
        if now - self._said >= SAY_SECONDS:
            self._said = now
            note(f"waiting for {self.url}{path} ({now - self._heard:.0f} s; it is given up after {most:.0f} s)")

    def _work(self) -> None:
        while asked := self._asked.get():
            self._complete(*asked)

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
        path, most = "/v1/completions", LONGEST + PER_TOKEN * (len(asked.prompt_ids) + asked.max_tokens)
        try:
            answer = self._parsed(_Completion, path, self._ask(path, ANSWER_SECONDS, json.dumps(wanted).encode(), most))
            ended.put(self._checked(asked, path, answer))
        except UserError as error:
            ended.put(error)
        except Exception as error:
            ended.put(self._odd(path, repr(error)))

    def _checked(self, asked: Continuation, path: str, answer: _Completion) -> Drawn:
        """What was drawn; UserError unless it can be an answer to what was asked."""
        if len(answer.choices) != 1:
            raise self._odd(path, f"{len(answer.choices)} completions of one prompt")
        ((tokens, logprobs),) = [(choice.token_ids, choice.logprobs) for choice in answer.choices]
        watched = [] if asked.watched is None else [f"token_id:{asked.watched}"]
        at = [by_token.get(name, inf) for name in watched for by_token in logprobs.top_logprobs]
        drawn = Drawn(asked.row, tokens, logprobs.token_logprobs, at)
        if odd := what_is_odd(asked, drawn, self._vocabulary):
            raise self._odd(path, odd)
        return drawn

    def _parsed(self, kind: type[Answer], path: str, answer: bytes) -> Answer:
        try:
            return kind.model_validate_json(answer)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            begin = one_line(answer[:400].decode(errors="replace"), 60)
            raise self._odd(path, f"{where}{': ' * bool(where)}{first['msg']}; it begins with {begin!r}") from None

    def _odd(self, path: str, what: str) -> UserError:
        return unexpected(f"{self.url}{path}", what)

    def _no_answer(self, why: str) -> NoAnswer:
        return NoAnswer(f"the server at {self.url} does not answer ({why}); start it again and repeat the command")

    def _ask(self, path: str, seconds: float, body: bytes | None = None, most: int = LONGEST) -> bytes:
        """The answer, of at most so many bytes."""
        try:
            request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
            with DIRECT.open(request, timeout=seconds) as answer:
                # a length that is known is read as a whole, so that a shorter answer is noticed
                content = b"" if (answer.length or 0) > most else answer.read(None if answer.length else most + 1)
                if (answer.length or 0) > most or len(content) > most:
                    raise self._odd(path, f"more than {most:,} bytes")
                return bytes(content)
        except urllib.error.HTTPError as error:
            said = b""
            with suppress(OSError, http.client.HTTPException):
                said = error.read(300)
            reason = one_line(said.decode(errors="replace") or error.reason, 300)
            if DEAD in reason:
                raise self._no_answer("its engine has died") from None
            raise _Refused(f"{self.url}{path} refused a request ({error.code}): {reason}", error.code) from None
        except http.client.IncompleteRead as error:
            raise self._no_answer(f"its answer from {path} ends after {len(error.partial)} bytes") from None
        except OSError as error:
            raise self._no_answer(str(getattr(error, "reason", error))) from None
        except (http.client.HTTPException, ValueError) as error:
            raise self._odd(path, f"not HTTP: {error!r}") from None
