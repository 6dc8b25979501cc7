"""The conversation of a row: prompt, response, thought and system prompt, each from the columns that may hold it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rlready.models.chat import KEYS
from rlready.tasks.strictjson import Fields
from rlready.tasks.table import Table, value_of
from rlready.tasks.turns import MESSAGES, Chat, read_system, read_turns
from rlready.tasks.unread import refuse_preferences, refuse_unread

SYSTEM = ("system", "system_prompt")


def chats_of(
    table: Table, line: int, row: Fields, columns: Mapping[str, str], named: Collection[str]
) -> dict[str, Chat]:
    """The part of the conversation in each column; UserError for rows with content that cannot be represented.

    ``columns`` has the column of each kind, of which the user has named those of the kinds in ``named``.
    """
    place = table.place(line)
    refuse_unread(row, place, columns["prompt"], {column.partition(".")[0] for column in columns.values()})
    if not {"prompt", "response"} & {*named}:
        refuse_preferences(row, place, columns["response"])
    texts = {columns["prompt"]: "prompt", columns["response"]: "response"}
    defaults = dict.fromkeys(SYSTEM, "system")
    if "response" not in named:
        defaults["completion"] = "response"
    if "thinking" in named:
        texts[columns["thinking"]] = "thinking"
    else:
        defaults |= dict.fromkeys(KEYS, "thinking")
    taken = {columns[key] for key in named}
    texts |= {column: what for column, what in defaults.items() if column not in taken}
    chats = {}
    for column, what in texts.items():
        value = value_of(row, column)
        if isinstance(value, list) and what in ("prompt", "response"):
            last = "user" if what == "prompt" else "assistant"
            chats[column] = read_turns(value, f"{place}: {column}", last=last)
        elif what == "system" and isinstance(value, (str, list, dict)):
            chats[column] = read_system(value, f"{place}: {column}")
        elif value is not None and what != "system":
            chats[column] = Chat(**{what: table.text(line, row, column) or None})
    for column in MESSAGES if "prompt" not in named else ():
        if row.get(column) is not None:
            chats[column] = read_turns(row[column], f"{place}: {column}", last="user")
    return chats
