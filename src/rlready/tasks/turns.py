"""Conversations of one question in the formats of OpenAI, TRL, verl and ShareGPT.

A turn is ``{role, content}`` or ``{from, value}``; its content is a text or a list of text parts.  The thought of the
assistant is read from a key of its turn, from a part, or from its text if that begins with a thought between
delimiters.  Anything else is refused, never silently ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlready.core.errors import UserError
from rlready.models.chat import CLOSE, KEYS, KNOWN

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
MESSAGES = ("messages", "conversations")  # columns with whole chats
ORDER = ("system", "user", "assistant")
EXPECTED = {  # by the role whose turn must be present
    "system": "system[, user[, assistant]]",
    "user": "[system,] user[, assistant]",
    "assistant": "[[system,] user,] assistant",
}
READ = ("role", "content", "from", "value")
LEARNED = ("weight", "train", "training", "loss")  # flags of a turn: 0 or false where it is not to be learned
ABOUT = ("name", "id", "model", "date", "timestamp", "finish_reason")  # keys of a turn that are not part of its text
TEXTS, REASONING = ("text", "input_text", "output_text"), ("thinking", "reasoning")  # types of parts


@dataclass(frozen=True)
class Chat:
    """The texts of a question and its answer; None for a missing one."""

    system: str | None = None
    prompt: str | None = None
    response: str | None = None
    thinking: str | None = None


def read_turns(turns: object, where: str, *, last: str = "assistant") -> Chat:
    """The texts of a list of turns; UserError, which begins with ``where``, if it is not one question.

    ``last``: the role whose turn must be present; a question need not have an answer.
    """
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise UserError(f"{where} must be a list of {{role, content}}, not {_type(turns)}")
    names = [turn.get("role") or turn.get("from") for turn in turns]
    roles = [ROLES.get(name, "") if isinstance(name, str) else "" for name in names]
    if last not in roles or roles != [role for role in ORDER if role in roles]:
        shown = ", ".join(name if role else repr(name) for name, role in zip(names, roles, strict=True))[:80] or "empty"
        split = "; split a conversation of several questions into one row for each" if roles.count("user") > 1 else ""
        raise UserError(f"{where} must be {EXPECTED[last]}, not {shown}{split}")
    texts: dict[str, str | None] = {}
    thinking = None
    for role, turn in zip(roles, turns, strict=True):
        texts[role], thought = _said(turn, role, f"{where}: the turn of the {role}")
        thinking = thought if role == "assistant" else None
    return Chat(texts.get("system") or None, texts.get("user"), texts.get("assistant"), thinking)


def read_system(value: object, where: str) -> Chat:
    """A system prompt: a text, a list of parts or a list of turns; UserError, which begins with ``where``."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(turn, dict) and turn.keys() & {"role", "from"} for turn in value)
    ):
        return read_turns(value, where, last="system")
    text, thought = parts_of(value, where)
    if thought:
        raise UserError(f"{where} has a thought; only the assistant's is learned")
    return Chat(system=text or None)


def merge(chats: Mapping[str, Chat], where: str) -> Chat:
    """The chat that several columns give together; UserError if two give different texts of one kind."""
    texts: dict[str, str] = {}
    source: dict[str, str] = {}
    for column, chat in chats.items():
        for name, text in vars(chat).items():
            if text is not None:
                first = source.setdefault(name, column)
                if texts.setdefault(name, text) != text:
                    raise UserError(f"{where}: {first} and {column} give two different texts as {name}; remove one")
    return Chat(**texts)


def split_thought(text: str) -> tuple[str, str] | None:
    """(thought, response) of a text that begins with a thought, both stripped; None for another text.

    ``</think>`` alone is enough, because templates may open the thought in the prompt.  If a thought is not closed, the
    response is empty.  ValueError for a thought that begins inside the text.
    """
    for at, (open_text, close_text) in enumerate(KNOWN):
        before, opened, rest = text.partition(open_text)
        if opened and not before.strip():
            thought, _, response = rest.partition(close_text)
            return thought.strip(), response.strip()
        thought, closed, response = text.partition(close_text)
        if at == 0 and closed:
            if open_text in thought:
                raise ValueError(f"has text before {open_text}")
            return thought.strip(), response.strip()
    return None


def split_sample(text: str, close: str = CLOSE, pairs: Sequence[tuple[str, str]] = KNOWN) -> tuple[str, str]:
    """(thought, answer) of a response, split at the closer of the pair that opens it, or at ``close``.

    If a thought is opened and not closed, the answer is empty; without delimiters, the whole text is the answer.
    """
    if pair := next((pair for pair in pairs if text.lstrip().startswith(pair[0])), None):
        text, close = text.lstrip()[len(pair[0]) :], pair[1]
    thought, closed, answer = text.partition(close)
    return (thought, answer) if closed or pair else ("", text)


def chat_key(turns: Sequence[Mapping[str, object]]) -> str:
    """A text that identifies a list of turns: the text of a single user turn, else JSON without null values."""
    match turns:
        case [{"role": "user", "content": str(text)}]:
            return text
    bare = [{key: value for key, value in turn.items() if value is not None} for turn in turns]
    return json.dumps(bare, ensure_ascii=False, sort_keys=True, default=str)


def asked_in(key: str) -> str:
    """The question in a key that `chat_key` made: the text of its last user turn, or the key if that is no chat."""
    if not key.startswith("[{"):
        return key
    try:
        turns = json.loads(key)
    except ValueError:
        return key
    asked = [turn.get("content") for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
    return asked[-1] if asked and isinstance(asked[-1], str) else key


def _said(turn: Mapping[str, object], role: str, where: str) -> tuple[str | None, str | None]:
    """(text, thought) of a turn."""
    contents = [turn[key] for key in ("content", "value") if turn.get(key) is not None]
    if len(contents) > 1 and contents[0] != contents[1]:
        raise UserError(f"{where} has a content and another value; remove one")
    text, thought = parts_of(contents[0] if contents else None, where)
    thoughts = {"content": Chat(thinking=thought or None)}
    for key, value in turn.items():
        if role == "assistant" and key in LEARNED and value == 0:
            raise UserError(f"{where} is not to be learned ({key} is {json.dumps(value)}); remove it, or this key")
        if key in READ or not value or isinstance(value, (bool, int, float)):
            continue
        if key in KEYS and isinstance(value, str):
            thoughts[key] = Chat(thinking=value)
        elif key not in ABOUT:
            known = f"; a thought is read from {KEYS[0]}" if isinstance(value, str) else ""
            raise UserError(f"{where} has {key!r}, which is not read{known}")
    thinking = merge(thoughts, where).thinking
    if thinking is not None and role != "assistant":
        raise UserError(f"{where} has a thought; only the assistant's is learned")
    return text, thinking


def parts_of(content: object, where: str) -> tuple[str | None, str | None]:
    """(text, thought) of a content: text, null, or a list of parts; UserError for anything else."""
    if content is None or isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        raise UserError(f"{where} must be text or a list of parts, not {type(content).__name__}")
    texts, thoughts = list[str](), list[str]()
    for part in content:
        kind = part.get("type") or "text" if isinstance(part, dict) else "text" if isinstance(part, str) else None
        if kind not in (*TEXTS, *REASONING):
            raise UserError(f"{where} has a part of type {kind or type(part).__name__}; only text is read")
        held = {"text": part} if isinstance(part, str) else part
        value = next((held[key] for key in (kind, "text") if held.get(key) is not None), None)
        if isinstance(value, list):  # Mistral's thoughts are lists of parts
            value = parts_of(value, where)[0]
        if not isinstance(value, str):
            raise UserError(f"{where} has a part of type {kind} without text")
        if kind in REASONING and texts:
            raise UserError(f"{where} has a thought after text; a thought comes before the response")
        (thoughts if kind in REASONING else texts).append(value)
    return "".join(texts), "".join(thoughts) or None


def _type(value: object) -> str:
    """The type of a value that should have been a list of objects, for an error."""
    if isinstance(value, list):
        return f"list of {next(type(item).__name__ for item in value if not isinstance(item, dict))}"
    return type(value).__name__
