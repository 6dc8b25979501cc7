"""Which columns of a table hold prompts, answers, responses and ids, where they have other names than the usual ones.

The first name of a list that is a column with a fitting value is taken, and what was taken is said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rlready.core.errors import UserError
from rlready.tasks.source import options_of, source_string
from rlready.tasks.table import Table, column_names, has_column, value_of
from rlready.tasks.turns import MESSAGES
from rlready.tasks.verifier import GROUND_TRUTH


@dataclass(frozen=True)
class Kind:
    """What a column may hold: names in the order in which they are tried, and the types of its values.

    ``columns``: how the column is called in a sentence.
    """

    columns: str
    names: tuple[str, ...]
    types: tuple[type, ...]


KINDS: Mapping[str, Kind] = {
    "prompt": Kind("problems", ("prompt", "question", "problem", "query", "instruction", "input"), (str, list)),
    "answer": Kind(
        "answers",
        ("answer", GROUND_TRUTH, "final_answer", "ground_truth", "target", "expected_answer", "gold", "solution"),
        (str, int, float, Decimal, list),
    ),
    "response": Kind("responses", ("response", "output", "solution"), (str, list)),
    "id": Kind("ids", ("id",), (str, int)),
}


def guess_columns(table: Table, named: Collection[str]) -> dict[str, str]:
    """The column of each kind that is not ``named``, where it has not the usual name; upper case does not matter."""
    known = set[str]().union(*(row for _, row in table.rows))
    known |= {GROUND_TRUTH} if GROUND_TRUTH.partition(".")[0] in known else set()
    actual = {name.lower(): name for name in known} | {name: name for name in known}

    def has(name: str, kind: Kind) -> bool:
        return name in actual and _holds(table, actual[name], kind.types)

    chats = any(has(column, KINDS["prompt"]) for column in MESSAGES)
    found = {}
    for key, kind in KINDS.items():
        whole = chats if key == "prompt" else key == "response" and (chats or has("completion", kind))
        if key not in named and not whole:
            column = next((actual[name] for name in kind.names if has(name, kind)), kind.names[0])
            if column != kind.names[0]:
                found[key] = column
    return found


def describe_columns(table: Table, columns: Mapping[str, str], keys: Collection[str]) -> str:
    """ "problems from column 'question', answers from 'answer'", without columns that the table does not have."""
    there = [key for key in keys if any(has_column(row, columns.get(key, "")) for _, row in table.rows)]
    parts = [f"{KINDS[key].columns} from {columns[key]!r}" for key in there]
    return ", ".join(parts).replace(" from ", " from column ", 1)


def no_columns(table: Table, source: str, keys: Sequence[str], used: Collection[str], fix: str = "") -> UserError:
    """The error for a table without columns of some kinds: what columns it has, and ``source``, as it was given, with
    the missing options."""
    names = column_names(table.rows[0][1])
    plain = [name for name in names if name.replace(".", "_").isidentifier() and name not in used]
    head, _, query = source.partition("?")
    options = options_of(source, query)
    for key in keys:
        options[key] = next((name for name in plain if _holds(table, name, KINDS[key].types)), "COLUMN")
        plain = [name for name in plain if name != options[key]]
    wanted = " and none of ".join(f"{KINDS[key].columns} ({', '.join(KINDS[key].names)})" for key in keys)
    known = ", ".join(name if name.isprintable() else ascii(name) for name in names)
    return UserError(
        f"{table.where}: no column of {wanted}; its columns are {known}: name the right "
        f'{"one" if len(keys) == 1 else "ones"}, as in "{source_string(head, options)}"{fix}'
    )


def _holds(table: Table, column: str, types: tuple[type, ...]) -> bool:
    """Whether the first value of a column that is not null has one of the types."""
    values = (value_of(row, column) for _, row in table.rows)
    return isinstance(next((value for value in values if value is not None), None), types)
