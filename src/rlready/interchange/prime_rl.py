"""prime-rl's rollouts, ``OUTPUT/rollouts/step_N/{train,eval}/{all,effective}/traces.jsonl``, as verifiers writes them.

A line is an episode: ``env``, ``task`` (``key`` or ``hash`` names the problem in its environment) and ``traces``, of
which one agent has one, with ``rewards`` ({name: {score, weight}}, null where scoring has failed), ``stop_condition``
and ``nodes``, the messages with ``token_ids``, ``mask`` (sampled by the model) and the ``logprobs`` of sampled tokens.
``ok`` is false, or there are ``errors``, where either ended in an error, as of a server.  ``effective`` holds those of
``all`` that were learned from and is not read beside it.  ``OUTPUT`` is the folder of one run: ``output_dir`` holds a
folder for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import remark, warn
from rlready.interchange.chosen_files import is_chosen
from rlready.interchange.lines import files_named, read_objects
from rlready.interchange.rollouts import (
    FAILED,
    Format,
    Request,
    asked,
    choose_score,
    context,
    drawn_with,
    said,
    score_first,
    step_of,
)
from rlready.tasks.columns import Batch, Column
from rlready.tasks.table import Origin

TRACES = "traces"
LIMITS = ("max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens", "compaction_failed")  # verifiers'
EFFECTIVE = "effective"
PURPOSES = ("train", "eval")
STEP, DEPTH = re.compile(r"step_\d+"), 4  # the folder of a step, and how far above a file it is looked for


def files_of(path: Path) -> list[Path]:
    """The traces in a folder, or the file that is named."""
    if path.is_file():
        return [path] if ".jsonl" in path.suffixes else []
    inside = path / "rollouts" if (path / "rollouts").is_dir() else path
    found = sorted(files_named(inside, f"**/{TRACES}"), key=lambda file: (_step(file), str(file)))
    return [file for file in found if file.parent.name != EFFECTIVE] or found


def read(request: Request) -> Iterator[Batch]:
    files = files_of(request.path)
    runs = sorted({_run_of(file) for file in files})
    if len(runs) > 1:
        raise UserError(f"{request.text}: holds {len(runs)} runs; name each: {request.each(runs)}")
    purpose = request.options.filter
    there = [each for each in PURPOSES if any(each in _below(file) for file in files)]
    if purpose and purpose not in there:
        raise UserError(f"{request.text}: no rollouts of {purpose}; there are those of {', '.join(there) or 'no kind'}")
    if len(there) > 1 and not purpose:
        raise UserError(f"{request.text}: has rollouts of train and of eval; choose: ?filter=eval, or ?filter=train")
    score, others, environments, scored = "", list[str](), dict[str, None](), set[str]()
    for file in files:
        if (purpose and purpose not in _below(file)) or not request.options.wants(_step(file)):
            continue
        kept = file.parent.name if "train" in _below(file) else ""  # of an evaluation only errors are left out
        rollouts = (("rollouts", kept),) if kept else ()
        if kept == EFFECTIVE:
            warn(f"{file}: warning: has only the groups that were learned from, which makes pass@k and signal too high")
        for lines, rows in _chosen(request, file, environments):
            place = partial("{}:{}".format, file)
            traces = [_trace(row, line, place) for line, row in zip(lines, rows, strict=True)]
            named = dict.fromkeys(name for trace in traces for name in trace.get("rewards") or ())
            if not named.keys() <= {*others}:  # as of another environment
                others = list(dict.fromkeys([*others, *named]))
                score = choose_score(request, others)
            sampled, prompts = [_sampled(trace) for trace in traces], [_prompt(row) for row in rows]
            questions = list(map(asked, prompts))
            scores = [_score(trace, score) for trace in traces]
            scored.update(_environment(row) or "" for row, each in zip(rows, scores, strict=True) if each is not None)
            columns: dict[str, Column] = {
                "problem_id": [_problem(row, line, place) for line, row in zip(lines, rows, strict=True)],
                "variant": [_environment(row) for row in rows],
                "prompt": questions,
                "context": list(map(context, prompts, questions)),
                "truth": [_truth(row) for row in rows],
                "step": [_step(file)] * len(rows),
                "text": [said([nodes[-1].get("message")]) if nodes else None for nodes in sampled],
                "score": scores,
                "truncated": [_truncated(trace) for trace in traces],
                "settings": [_settings(trace) + rollouts for trace in traces],
                "model": list(map(_model, traces)),
                "unusable": [FAILED if any(map(_failed, both)) else None for both in zip(rows, traces, strict=True)],
            } | _tokens(sampled)
            numbers = np.array(lines, dtype=np.int64)
            del rows, traces, sampled  # before the next are parsed, into the same memory
            yield Batch(Origin(str(file), "line"), numbers, columns, score_first(score, others))
    wanted = request.options.task
    if wanted and environments and not any(is_chosen(name, wanted) for name in environments):
        raise UserError(f"{request.text}: no environment {wanted}; {nearest(wanted, list(environments))}")
    chosen = [name for name in environments if not wanted or is_chosen(name, wanted)]
    if scored and not request.verified and (without := [name for name in chosen if name not in scored]):
        warn(
            f"{request.text}: warning: no sample of {', '.join(without)} has the reward {score}: they are left out; "
            "choose environments of one reward with ?task="
        )
    if len(environments) > 1 and not wanted:
        names = ", ".join(environments)
        remark(
            f"{request.text}: problems of several environments ({names}) are read as one set; ?task=NAME chooses one"
        )


def _chosen(
    request: Request, file: Path, environments: dict[str, None]
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """The lines and episodes of the environments that ``task=`` chooses; all are added to ``environments``."""
    wanted = request.options.task
    for lines, rows in read_objects(file):
        names = [_environment(row) or "" for row in rows]
        environments.update(dict.fromkeys(names))
        if wanted:
            kept = [at for at, name in enumerate(names) if is_chosen(name, wanted)]
            lines, rows = [lines[at] for at in kept], [rows[at] for at in kept]
        if rows:
            yield lines, rows


def _run_of(file: Path) -> Path:
    """The folder of a file's run: the one above rollouts or step_N; for an evaluation by verifiers, the file's own."""
    steps = next((folder.parent for folder in file.parents[:DEPTH] if STEP.fullmatch(folder.name)), file.parent)
    return next((folder.parent for folder in file.parents if folder.name == "rollouts"), steps)


def _below(file: Path) -> tuple[str, ...]:
    """The folders between that with rollouts and a file; of a file elsewhere, the two above it."""
    parts = file.parts[:-1]
    return parts[len(parts) - parts[::-1].index("rollouts") :] if "rollouts" in parts else parts[-2:]


def _step(file: Path) -> int:
    """The step in the names of the folders of a file; 0 for none."""
    return next((step_of(folder) or 0 for folder in file.parents[:DEPTH] if STEP.fullmatch(folder.name)), 0)


def _problem(episode: dict[str, Any], line: int, place: Callable[[int], str]) -> str:
    task = episode.get("task")
    found = (task.get("key") or task.get("hash")) if isinstance(task, dict) else None
    if not isinstance(found, str | int):
        raise UserError(f"{place(line)}: no task.key and no task.hash, which verifiers writes")
    return str(found)


def _environment(episode: dict[str, Any]) -> str | None:
    """The environment of an episode, each of which numbers its tasks."""
    found = episode.get("env")
    return (found.get("name") or found.get("id")) if isinstance(found, dict) else None


def _prompt(episode: dict[str, Any]) -> Any:
    data = episode["task"].get("data")
    return data.get("prompt") if isinstance(data, dict) else None


def _truth(episode: dict[str, Any]) -> Any:
    data = episode["task"].get("data")
    return data.get("answer") if isinstance(data, dict) else None


def _trace(episode: dict[str, Any], line: int, place: Callable[[int], str]) -> dict[str, Any]:
    """The trace of an episode's only agent, or of the only one with rewards; {} if it failed before there was one."""
    traces = episode.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise UserError(f"{place(line)}: no list 'traces', which verifiers writes")
    traces = [trace for trace in traces if trace.get("rewards")] if len(traces) > 1 else traces
    if len(traces) > 1:
        raise UserError(
            f"{place(line)}: an episode of {len(traces)} agents, of which it is not known whose reward counts"
        )
    return traces[0] if traces else {}


def _settings(trace: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """How the agent's responses were drawn, as it was set or, where that is not stored, by its first call."""
    first: dict[str, Any] = next(iter(trace.get("calls") or ()), {})
    configured = ((trace.get("agent") or {}).get("config") or {}).get("sampling")
    return drawn_with(configured or first.get("sampling") or {})


def _model(trace: dict[str, Any]) -> Any:
    """The policy of the agent, as it was set or called first; None where neither is stored."""
    first: dict[str, Any] = next(iter(trace.get("calls") or ()), {})
    return ((trace.get("agent") or {}).get("config") or {}).get("model") or first.get("model")


def _failed(record: dict[str, Any]) -> bool:
    """Whether an episode or its trace ended in an error."""
    return record.get("ok") is False or bool(record.get("errors"))


def _score(trace: dict[str, Any], name: str) -> float | None:
    reward = (trace.get("rewards") or {}).get(name)
    return reward.get("score") if isinstance(reward, dict) else reward


def _truncated(trace: dict[str, Any]) -> bool | None:
    if not trace:
        return None
    ends = [call.get("finish_reason") for call in trace.get("calls") or () if not call.get("error")]
    return trace.get("stop_condition") in LIMITS or ends[-1:] == ["length"]


def _sampled(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in trace.get("nodes") or () if node.get("sampled")]


def _tokens(sampled: list[list[dict[str, Any]]]) -> dict[str, Column]:
    """The sampled tokens of every response with their log-probabilities; {} if they were not stored."""
    tokens, logprobs = list[int](), list[float]()
    ends, known = [0], list[bool]()
    for nodes in sampled:
        mine: list[int] = []
        surprise: list[float] = []
        for node in nodes:
            mine.extend(compress(node.get("token_ids") or (), node.get("mask") or ()))
            surprise.extend(node.get("logprobs") or ())
        known.append(bool(mine) and len(surprise) == len(mine))
        if known[-1]:
            tokens += mine
            logprobs += surprise
        ends.append(len(tokens))
    if not tokens:
        return {}
    return {"tokens": _lists(tokens, ends, known), "logprobs": _lists(logprobs, ends, known)}


def _lists(flat: list[Any], ends: list[int], known: list[bool]) -> Column:
    """A column of lists of numbers, cut from ``flat`` at ``ends``; null where not ``known``.

    By way of an array, as Arrow takes several times as long to read lists of Python's numbers.
    """
    import pyarrow as pa

    values = np.array(flat)
    if values.dtype.kind not in "if":
        raise TypeError("token_ids and logprobs must be lists of numbers")
    mask = pa.array(~np.array(known, dtype=bool))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values), mask=mask)


PRIME_RL = Format(
    "prime-rl",
    "prime-rl",
    frozenset({"task", "traces"}),
    files_of,
    read,
    "prime-rl writes rollouts/step_N/.../traces.jsonl: name the output folder",
    "prime-rl does not log the limit of a thought, only whether the response was cut",
    choices=frozenset({"filter", "task"}),
)
