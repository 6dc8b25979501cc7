"""What an accuracy depends on besides the model: only those that were measured alike are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

from pydantic import JsonValue

from rlready.core.errors import UserError
from rlready.evaluate.result import EvaluateResult
from rlready.evaluate.settings import free_limit
from rlready.runs.record import RunRecord
from rlready.tasks.source import parse_source

CHOICE = ("n", "select")  # options for the choice of problems, whose ids tell more
DIGEST = re.compile("[0-9a-f]{64}")
VARIED = ("num_waits", "end_think_bias")
Conditions = dict[str, JsonValue]


def conditions_of(record: RunRecord, result: EvaluateResult) -> Conditions:
    """The conditions, by name, of the accuracy at the largest budget, apart from the ids of the problems.

    The number of samples is none of them, as the accuracy is an unbiased mean at any number; settings without effect
    on this accuracy are left out.
    """
    config, budget = record.config, result.budgets[-1].budget
    names = ["temperature"]
    if budget is None:
        names += ["unconstrained"]
    else:
        names += [] if result.response_limits else ["max_answer_tokens", "answer_prefix"]
        names += ["reference", *(["beta"] if config.get("reference") else [])]
    found = problems_of(record, "test") or {"problems": result.task.source}
    found |= written_by(config) | ({"max_response_tokens": _free_limit(config)} if budget is None else {})
    found |= {result.limit: budget} | {name: config.get(name) for name in names}
    return found if budget is None or result.response_limits else found | _variant(config)


def _free_limit(config: Mapping[str, JsonValue]) -> JsonValue:
    """The limit of responses without a budget, which depends on other settings unless it was given."""
    names = ("max_response_tokens", "thinking_budgets", "max_answer_tokens")
    given, budgets, answer = (config.get(name) for name in names)
    if given is None and isinstance(answer, int):
        return free_limit(None, [int(str(each)) for each in budgets] if isinstance(budgets, list) else [], answer)
    return given


def written_by(config: Mapping[str, JsonValue]) -> Conditions:
    """How a record's prompts are written: by the chat template or not, and the delimiters, "" where it tells them."""
    given = config.get("delimiters")
    delimiters = ",".join(map(str, given)) if isinstance(given, list) else ""
    return {"apply_chat_template": config.get("apply_chat_template", True), "delimiters": delimiters}


def problems_of(record: RunRecord, role: str) -> Conditions:
    """The content of the problems that a run has noted in this role, and the options with which they were read.

    Files of the same content are the same, wherever they are, and so are verifiers.  Empty if there are none.
    """
    noted = next((each for each in record.data if each.role == role), None)
    if noted is None:
        return {}
    try:
        source = parse_source(noted.id)
    except UserError:  # of another version
        return {"problems": noted.id}
    left_out = {*CHOICE, "seed"} if noted.sha256 else {*CHOICE}
    found: Conditions = {"problems": noted.sha256 or f"{source.kind}:{source.path}".rstrip(":")}
    found |= {key: value for key, value in source.options.items() if key not in left_out}
    code = sorted(each.sha256 or "" for each in record.data if each.is_code)  # with the modules that it imports
    if code:
        found |= {"code of the verifier": code[0] if len(code) == 1 else sha256(" ".join(code).encode()).hexdigest()}
    if "verifier" in found:
        found["verifier"] = str(found["verifier"]).rpartition(":")[2]
    return found


def unlike(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> list[str]:
    """The conditions in which two accuracies differ, with both values unless these are digests."""
    pairs = {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}
    return [
        key if any(map(DIGEST.fullmatch, map(str, pair))) else f"{key}: {' and '.join(map(_shown, pair))}"
        for key, pair in pairs.items()
    ]


def _shown(value: JsonValue) -> str:
    return "the default" if value is None else str(value) or "none"


def _variant(config: Mapping[str, JsonValue]) -> Conditions:
    """Waits and bias of the main setting: none if that is among those that were compared (`settings.settings_of`)."""
    waits, biases = (value if isinstance(value := config.get(name), list) else [value] for name in VARIED)
    plain = 0 in waits and 0 in biases
    found: Conditions = dict(zip(VARIED, (0, 0.0) if plain else (waits[0], biases[0]), strict=True))
    return found | ({"wait_text": config.get("wait_text")} if found["num_waits"] else {})
