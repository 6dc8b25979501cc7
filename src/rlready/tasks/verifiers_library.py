"""What is taken of verifiers 0.4: the tasks of a taskset, and their scores.  No other file imports verifiers.

The process that scores imports this file, too, when its verifier is loaded; verifiers takes seconds to import.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from itertools import islice
from typing import Any, NoReturn

from pydantic import ValidationError
from verifiers.v1.graph import MessageNode
from verifiers.v1.state import state_cls

from rlready.core.errors import UserError
from rlready.core.import_path import code_files, note_code, on_load
from rlready.core.records import Problem
from rlready.core.result import first_error
from rlready.models.one_line import one_line
from rlready.tasks.answers.extract import own_part
from rlready.tasks.turns import Chat, read_turns
from verifiers import v1 as vf

Value = bool | int | float | str  # of a setting
SCORER = f"{__name__}:score"
SIMPLE = (int, float, bool, str)
HOOKS = ("setup", "finalize", "stage_verifier")  # of a task, which act in a runtime
MOST = 100_000  # problems of a taskset
JUDGE = "a reward asks a judge model"
NEEDS = "so that its tasks are not answered by one text; it cannot be a source of problems"


def simple_settings(where: str, name: str) -> dict[str, Value]:
    """The settings of a taskset's config that are single values, with their defaults; its package is imported."""
    fields = _config_type(where, name).model_fields.items()
    return {key: field.default for key, field in fields if key != "id" and type(field.default) in SIMPLE}


def problems_of(where: str, name: str, settings: Mapping[str, Value], n: int | None) -> list[Problem]:
    """The first n tasks (None: all) as problems; UserError for a taskset that is not answered by texts."""
    taskset = _taskset(name, tuple(settings.items()))
    if n is None and not taskset.bounded:
        raise UserError(f"{where}: has no end; say how many problems with n=")
    _refuse_more_than_text(where, taskset)
    short = name.rpartition("/")[2].partition("@")[0]  # of owner/name@version
    found = []
    for index, task in enumerate(_tasks(where, taskset, MOST if n is None else n)):
        place = f"{where}: task {index}"
        _refuse_runtime(place, task)
        asked = _asked(place, task.data)
        meta = {"taskset": name, "settings": dict(settings), "data": _as_json(place, task.data)}
        answer = getattr(task.data, "answer", None)
        written = "" if answer is None else str(answer)
        found.append(Problem(f"{short}-{index:05d}", asked.prompt or "", written, meta, asked.system or ""))
    if not found:
        raise UserError(f"{where}: has no tasks")
    return found


def score(problem: Problem, answer: str) -> float:
    """The sum of a task's weighted rewards for the text of a response; UserError if one of them asks a judge model."""
    settings = problem.meta["settings"]
    assert isinstance(settings, dict)
    taskset = _taskset(str(problem.meta["taskset"]), tuple(settings.items()))
    kind = type(taskset).task_type()
    task = kind(kind.data_type().model_validate(problem.meta["data"]), taskset.config.task)
    vf.Judge.complete = _refuse_judge
    turns = [
        *([vf.SystemMessage(content=problem.system)] if problem.system else []),
        vf.UserMessage(content=problem.prompt),
        vf.AssistantMessage(content=own_part(answer)[0]),
    ]
    trace = vf.Trace(
        task=vf.TraceTask(type=kind.__name__, data=task.data, key=task.key, hash=task.hash),
        state=state_cls(kind)(),
        agent=vf.AgentInfo(config=vf.AgentConfig()),
        nodes=[
            MessageNode(parent=at - 1 if at else None, message=turn, sampled=turn.role == "assistant")
            for at, turn in enumerate(turns)
        ],
    )
    try:
        asyncio.run(task.score(trace))
    except vf.TaskError as error:
        if isinstance(error.__cause__, _JudgeAsked):
            raise UserError(f"{problem.id}: {JUDGE}, {NEEDS}") from None
        raise
    if not math.isfinite(trace.reward):
        raise UserError(f"{problem.id}: the rewards of its task add up to {trace.reward}, which is no score")
    return float(trace.reward)


class _JudgeAsked(Exception):
    """A reward has called a judge model."""


async def _refuse_judge(*_: object, **__: object) -> NoReturn:
    raise _JudgeAsked


def _tasks(where: str, taskset: Any, most: int) -> Iterator[Any]:
    """The tasks, up to so many; UserError for whatever loading them raises."""
    with redirect_stdout(sys.stderr):
        try:
            yield from islice(taskset, most)
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: its tasks cannot be loaded: {_described(error)}") from error


@cache
def _taskset(name: str, settings: tuple[tuple[str, object], ...]) -> Any:
    """The taskset of a package with these settings of its config; UserError for settings that it refuses."""
    where = f"verifiers:{name}"
    try:
        with redirect_stdout(sys.stderr):
            return vf.load_taskset(_config_type(where, name)(id=name, **dict(settings)))
    except ValidationError as error:
        raise UserError(f"{where}: {first_error(error)}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: cannot be made: {_described(error)}") from error


def _config_type(where: str, name: str) -> Any:
    """The config of a taskset, whose package is imported; UserError if it cannot be."""
    try:
        with redirect_stdout(sys.stderr):
            module = vf.import_taskset(name)
            config = vf.taskset_config_type(name)
    except ModuleNotFoundError as error:
        missing = getattr(error.__cause__, "name", None) or name
        raise UserError(f"{where}: cannot be imported, as no package {missing} is installed") from None
    except (Exception, SystemExit) as error:  # whatever the package raises while it is imported
        raise UserError(f"{where}: not a taskset of verifiers 0.4: {_described(error)}") from error
    note_code(on_load.get(), "verifiers", name, code_files(module, config))
    return config


def _refuse_more_than_text(where: str, taskset: Any) -> None:
    """UserError for a taskset whose package or type needs more than the text of one response."""
    name, kind = taskset.config.id, type(taskset).task_type()
    tools = [*type(taskset).toolsets(taskset.config), *kind.toolsets(taskset.config.task)]
    why = ""
    if not issubclass(vf.environment_class(name), vf.SingleAgentEnv):
        why = "has an environment of its own"
    elif vf.default_harness_id(name) == name:
        why = "has a harness of its own"
    elif tools:
        why = f"has tools ({type(tools[0]).__name__})"
    elif kind.NEEDS_CONTAINER:
        why = "needs a container"
    elif hooks := [hook for hook in HOOKS if getattr(kind, hook) is not getattr(vf.Task, hook)]:
        why = f"has a {hooks[0]} of its own"
    elif taskset.config.task.judges:
        why = "is scored by a judge model"
    if why:
        raise UserError(f"{where}: {why}, {NEEDS}")


def _refuse_runtime(where: str, task: Any) -> None:
    """UserError for a task that needs files or commands, or has no reward without them."""
    rewards: Sequence[Callable[..., object]] = task.hooks("reward")
    needed = [name for name in ("image", "workdir", "skills") if getattr(task.data, name)]
    if needed:
        raise UserError(f"{where}: has {needed[0]}, {NEEDS}")
    if not rewards:
        raise UserError(f"{where}: has no reward, by which a response could be verified")
    for reward in rewards:
        parameter = inspect.signature(reward).parameters.get("runtime")
        if parameter and parameter.default is parameter.empty:
            raise UserError(f"{where}: its reward {reward.__name__} acts in a runtime, {NEEDS}")


def _asked(where: str, data: Any) -> Chat:
    """The question of a task and its system prompt; UserError for anything but one question of text."""
    if data.prompt is None:
        raise UserError(f"{where}: has no prompt, {NEEDS}")
    if isinstance(data.prompt, str):
        return Chat(system=data.system_prompt, prompt=data.prompt)
    turns = [message.model_dump(exclude_none=True) for message in data.prompt]
    chat = read_turns(turns, f"{where}: its prompt", last="user")
    if chat.response is not None or chat.thinking is not None:
        raise UserError(f"{where}: its prompt has a turn of the assistant; only a question is asked")
    if chat.system and data.system_prompt:
        raise UserError(f"{where}: has two system prompts, one in its prompt; remove one")
    return Chat(system=chat.system or data.system_prompt, prompt=chat.prompt)


def _as_json(where: str, data: Any) -> object:
    """The data of a task, from which the process that scores makes it again; UserError if they are no JSON."""
    try:
        return data.model_dump(mode="json")
    except ValueError as error:
        raise UserError(f"{where}: its data cannot be written as JSON: {_described(error)}") from None


def _described(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:300]
