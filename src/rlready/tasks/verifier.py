"""A verifier that the user names: how it is called, and what it may return.

The names of the parameters say which of three signatures a function has:

- ``(problem, answer)``: a `Problem` and the text after the thought.
- TRL's reward functions, which have a parameter ``completions``: called with one completion at a time, by keyword, with
  ``prompts`` and every other column of the row as lists (TRL 1.16, ``GRPOTrainer._calculate_rewards``).
- verl's, which have ``solution_str`` and ``ground_truth``: called by keyword, also with ``data_source`` and
  ``extra_info`` (verl 0.9.1, ``NaiveRewardManager``).

The last two get the whole response, thought included, as in those libraries.

Here a function is called in the process that has imported it, which is `verifier_worker.py`'s.
"""

from __future__ import annotations

import inspect
import math
import reprlib
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Literal

import numpy as np

from rlready.core.errors import UserError
from rlready.core.import_path import load_object
from rlready.core.records import Problem, Thought
from rlready.models.chat import CLOSE
from rlready.tasks.answers.extract import own_part
from rlready.tasks.protocol import Asked, Verdict
from rlready.tasks.strictjson import Fields
from rlready.tasks.table import value_of
from rlready.tasks.turns import MESSAGES

GROUND_TRUTH = "reward_model.ground_truth"  # where verl keeps an answer
SIGNATURES = "(problem, answer), TRL's (completions, **kwargs) or verl's (data_source, solution_str, ground_truth)"
SHOWN = 200  # characters of an error
PACKAGE = str(Path(__file__).parents[1])
RESPONSES = {"answer", "completion", "output", "pred", "prediction", "response", "solution", "text"}
TRL_GIVES = {"prompts", "completions", "answer", "log_extra", "log_metric", "trainer_state"}
TEXTS = (
    "The completions were texts, because the prompts of the file are. If the function reads completion[0]['content'], "
    "write each prompt as a list of messages."
)
Kind = Literal["problem", "trl", "verl"]
VERL_GIVES = {"data_source", "solution_str", "ground_truth", "extra_info"}
VERL_SERVES = {"reward_router_address", "reward_model_tokenizer"}  # given only where verl runs a reward model


class Columns(dict[str, object]):
    """The columns of a row that have no other place in a problem; ``row`` has all of them as they are in the table."""

    row: Fields


@dataclass(frozen=True)
class Named:
    """What a source string says of a verifier: its import path, and from which score on a response is correct.

    ``threshold`` is None if it returns no scores.  ``answer`` is the column of the answer if the user named one,
    ``prompt`` that of the prompt.
    """

    path: str
    threshold: float | None
    prompt: str
    answer: str | None

    def ground_truth(self, row: Fields) -> object:
        """verl's ``ground_truth`` as it is in the row, None if there is none."""
        found = None if self.answer else value_of(row, GROUND_TRUTH)
        return value_of(row, self.answer or "answer") if found is None else found


@dataclass(frozen=True)
class UserVerifier:
    """The function at an import path; ``needs`` are the parameters that only columns of the table can fill."""

    named: Named
    function: Callable[..., object]
    kind: Kind
    accepts: frozenset[str] | None  # names of parameters; None: any
    needs: frozenset[str]

    def verify_batch(self, _: Asked) -> None:
        """None, as the function takes one response at a time."""

    def __call__(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """The verdict on a response; UserError if the function returns what is no verdict."""
        with redirect_stdout(sys.stderr):  # standard output is for the result
            if self.kind == "problem":
                value = self.function(problem, answer)
            else:
                text = f"{thinking}{CLOSE}{answer}" if thinking else answer
                text = thinking.whole if isinstance(thinking, Thought) else text
                given = self._trl(problem, text) if self.kind == "trl" else self._verl(problem, text)
                try:
                    value = self.function(
                        **{k: v for k, v in given.items() if self.accepts is None or k in self.accepts}
                    )
                except TypeError as error:
                    if given.get("completions") == [text]:
                        error.add_note(TEXTS)
                    raise
        where, threshold = f"verifier={self.named.path}", self.named.threshold
        if self.kind == "trl":
            values = value.tolist() if hasattr(value, "tolist") else value
            if not isinstance(values, (list, tuple)) or len(values) != 1:
                raise UserError(_refusal(where, problem, value, "return a list with one score for each completion"))
            if (value := values[0]) is None:
                return Verdict(False, None, "it returned None, which is no score", undecided=True)
        elif self.kind == "verl" and isinstance(value, Mapping):
            value = value["acc"] if "acc" in value and threshold is None else value.get("score", value)
        return replace(read_verdict(where, problem, value, threshold), run_on=own_part(answer)[1])

    def _trl(self, problem: Problem, text: str) -> dict[str, object]:
        row, prompt = _row(problem), value_of(_row(problem), self.named.prompt)
        chat = isinstance(prompt, list) or any(isinstance(row.get(column), list) for column in MESSAGES)
        if not isinstance(prompt, list):
            prompt = [{"role": "user", "content": problem.prompt}] if chat else problem.prompt
        given: dict[str, object] = {"answer": [problem.answer]}
        given |= {key: [value] for key, value in row.items() if key not in ("prompt", "completion")}
        given |= {"log_extra": _ignore, "log_metric": _ignore, "trainer_state": None, "prompts": [prompt]}
        return given | {"completions": [[{"role": "assistant", "content": text}] if chat else text]}

    def _verl(self, problem: Problem, text: str) -> dict[str, object]:
        row = _row(problem)
        given = {"data_source": row.get("data_source") or "", "extra_info": row.get("extra_info") or {}}
        return given | {"solution_str": text, "ground_truth": self.named.ground_truth(row)}


def load_function(named: Named) -> UserVerifier:
    """The verifier at an import path, imported into this process; UserError if it cannot be called as one."""
    where, function = f"verifier={named.path}", load_object("verifier", named.path)
    if not callable(function):
        raise UserError(
            f"{where}: is of type {type(function).__name__}, but must be a function that takes {SIGNATURES}"
        )
    if inspect.isclass(function):
        raise UserError(f"{where}: is a class; name a function, or an instance that can be called")
    if why := _asks_model(function):
        raise UserError(f"{where}: {why}; name a function that decides by the text of a response alone")
    for each in (function, type(function).__call__):
        if inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each):
            raise UserError(f"{where}: is an async function; name an ordinary one, which may call it by asyncio.run")
        if inspect.isgeneratorfunction(each):
            raise UserError(f"{where}: is a generator, because it uses yield; return the verdict instead")
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return UserVerifier(named, function, "problem", None, frozenset())
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    accepts = None if open_ended else frozenset(parameters)
    fixed = [key for key, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    required = {key for key in fixed if parameters[key].default is inspect.Parameter.empty}
    if "completions" in parameters:
        return UserVerifier(named, function, "trl", accepts, frozenset(required - TRL_GIVES))
    if {"solution_str", "ground_truth"} <= parameters.keys():
        if more := sorted(required - VERL_GIVES):
            raise UserError(f"{where}: needs {more[0]}, which is none of verl's {', '.join(sorted(VERL_GIVES))}")
        return UserVerifier(named, function, "verl", accepts, frozenset())
    shown = f"({', '.join(parameters)})"
    try:
        inspect.signature(function).bind(None, "")
    except TypeError:
        raise UserError(f"{where}: takes {shown}, but must take {SIGNATURES}") from None
    if fixed and fixed[0] in RESPONSES:
        raise UserError(
            f"{where}: takes {shown}, but is called with (problem, answer): the first is the problem, whose reference "
            "answer is problem.answer, and the second the text of the response"
        )
    return UserVerifier(named, function, "problem", accepts, frozenset())


def _asks_model(function: Callable[..., object]) -> str:
    """How a reward asks a model that only the trainer runs, as far as its type and its parameters say; "" if not."""
    if any(base.__module__.startswith("torch.nn.") for base in type(function).__mro__):
        return f"is a reward model ({type(function).__name__})"
    with suppress(TypeError, ValueError):  # a builtin without a signature
        for name, parameter in inspect.signature(function).parameters.items():
            if name in VERL_SERVES and parameter.default is parameter.empty:
                return f"needs {name}, by which it asks a reward model of verl"
    return ""


def read_verdict(where: str, problem: Problem, value: object, threshold: float | None = None) -> Verdict:
    """What a verifier returned: exactly a bool, 0 or 1, a score if there is a threshold, or a record with ``correct``.

    UserError, which begins with ``where``, for anything else.
    """
    if isinstance(value, Verdict) and type(value.correct) is bool:
        return value
    record = value if hasattr(value, "correct") and not isinstance(value, type) else None
    judged = getattr(record, "correct", value)
    correct = _correct(judged, threshold)
    if correct is not None:
        reason = str(getattr(record, "reason", "") or ("" if correct else "the answer is incorrect"))
        strict = getattr(record, "strict", None)
        return Verdict(correct, None if strict is None else bool(strict), reason)
    if inspect.iscoroutine(value):
        value.close()
    fix = "return True or False"
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        fix = "it is an async function; call it by asyncio.run in an ordinary one"
    elif threshold is None and _number(judged) is not None:
        fix += ", or say behind verifier= from which score on it is correct, such as &threshold=0.5"
    raise UserError(_refusal(where, problem, judged, fix))


def undecided(error: BaseException) -> Verdict:
    """The verdict on a response on which the verifier raised."""
    try:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN]
    except Exception:  # of the user's class
        said = type(error).__name__
    return Verdict(False, None, f"it raised {said}", undecided=True, traceback=_traceback(error))


def _traceback(error: BaseException) -> str:
    """The traceback from the first line outside of this package on; all of it if there is none."""
    inner = error.__traceback__
    while inner and inner.tb_frame.f_code.co_filename.startswith(PACKAGE):
        inner = inner.tb_next
    return "".join(traceback.format_exception(type(error), error, inner or error.__traceback__)).rstrip()


def _correct(value: object, threshold: float | None) -> bool | None:
    """None for what is no verdict."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = _number(value)
    if number is None:
        return None
    if threshold is not None:
        return number >= threshold
    return bool(number) if number in (0, 1) else None


def _number(value: object) -> float | None:
    """A finite number as a float, None for anything else."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _refusal(where: str, problem: Problem, value: object, fix: str) -> str:
    try:
        shown = reprlib.repr(value)
    except Exception:  # the user's class
        shown = "a value"
    return f"{where}: returned {shown} ({type(value).__name__}) for problem {problem.id}; {fix}"


def _row(problem: Problem) -> Fields:
    return problem.meta.row if isinstance(problem.meta, Columns) else dict(problem.meta)


def _ignore(*_: object, **__: object) -> None:
    """What TRL would log."""
