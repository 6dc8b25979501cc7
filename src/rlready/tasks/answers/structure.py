"""Answers that consist of several values: lists, tuples, intervals, unions, matrices, inequalities and assignments.

``1 < x <= 2`` and ``x \\in (1,2]`` become the interval ``(1,2]``; ``x = 5`` is 5 called x; ``1 \\pm \\sqrt{2}`` is two
values.  `same_structure.py` compares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlready.tasks.answers.notation import enclosed, split_top, unwrapped
from rlready.tasks.answers.quantity import quantity

CONJUNCTION = re.compile(r"(?<=[\s\d)}\]])(?:and|or)(?=[\s({\[\\A-Z\d-])|\\cup(?![a-z])|;|\\text\s*(?=and|or)")
RELATION = re.compile(r"<=|>=|!=|<|>|:?=|\\in(?![a-z])|\\approx(?![a-z])")
MATRIX = re.compile(r"\\begin\{([pb]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
SYSTEM = re.compile(r"(?:\\\{\s*)?\\begin\{cases\}(.*)\\end\{cases\}", re.DOTALL)  # of equations, or of a case each
EQUATION = re.compile(r"[^=<>&,;]*[^=<>&,;:!]=(?:(?!\\(?:text|quad|[lg]eq?\b|ne))[^=<>&,;])+")  # without a condition
ARRAY = re.compile(r"[\[(]\s*(\\begin\{array\}.*\\end\{array\})\s*[\])]", re.DOTALL)
SUBSCRIPT = re.compile(r"_\s*(?:\{([^{}]*)\}|(\w))")
INVERSE = re.compile(r"(?<![A-Za-z\\])([f-hF-H])\s*\^\s*(?:\{\s*-\s*1\s*\}|-1)(?=\s*\()")  # of a function
NAMED = re.compile(r"[A-Za-z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega|epsilon|rho|sigma|tau)")
NO_NAME = re.compile(r"[\d+\-*/^!%.;]|\\(?:pi|infty|sqrt|pm|mp|cdot|times|emptyset|begin)(?![a-z])|\s(?:and|or)\s")
COMMAND = re.compile(r"\\[A-Za-z]+")
REALS = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?|(?:all |the )?real numbers|all reals", re.IGNORECASE)
SUCH_THAT = re.compile(  # {x : x > 2}
    r"\\\{\s*([a-zA-Z])(?:\s*\\in\s*\\mathbb\s*\{?\s*R\s*\}?)?\s*(?:\\mid(?![a-z])|\||:)((?:(?!\\[{}]).)+)\\\}",
    re.DOTALL,
)
AND_OR = re.compile(r"(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])")
WITHOUT = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?\s*\\(?:setminus|backslash)\s*\\\{(.+)\\\}")
INFINITE = re.compile(r"-\s*\\infty\s*,\+?\s*\\infty\s*")
FLIP = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
NESTED = 8  # brackets in brackets that are taken apart


@dataclass(frozen=True)
class Value:
    """One value, in the plain notation."""

    text: str


@dataclass(frozen=True)
class Group:
    """Values in brackets: ``(`` and ``[`` as they are written, ``{`` a set, ``,`` a list without, ``|`` a matrix row.

    ``joined``: "cup" for a union, "and" or "or" between statements and words.  ``text``: a matrix
    as it was written, as it may equal a sum of others.
    """

    opening: str
    closing: str
    items: tuple[Node, ...]
    joined: str = ""
    text: str = ""


@dataclass(frozen=True)
class Named:
    """``name = value``, ``name \\in value`` or an inequality of ``name``, and as it was written."""

    name: str
    value: Node
    text: str


@dataclass(frozen=True)
class Relation:
    """An equation or inequality that is not of the form ``name = value``."""

    text: str


Node = Value | Group | Named | Relation


def structure(text: str, depth: int = 0) -> Node:
    """What ``text``, in the plain notation, is made of."""
    text = unwrapped(text)
    if REALS.fullmatch(text):
        text = "(-\\infty,\\infty)"
    if system := SYSTEM.fullmatch(text):
        rows = [row.strip(" ,;.") for row in system[1].split("\\\\")]
        text = ",".join(rows) if all(map(EQUATION.fullmatch, rows)) else text
    text = _condition(text)
    if depth > NESTED or quantity(text, False):
        return Value(text)
    parts = _members(text)
    if len(parts) > 1:
        items = tuple(structure(part, depth + 1) for part in parts)
        if "\\cup" in text:
            return _holes(items) or Group(",", ",", items, "cup")
        named = [item for item in items if isinstance(item, Named)]
        values = {item.name for item in named if not isinstance(item.value, Group)}  # "x = 1 and x = 2" lists values
        joins = len(values) != 1 if len(named) == len(items) else not re.search(r"\d", text)
        word = re.search(r"(?<![a-z])(?:and|or)(?![a-z])", text) if joins else None
        return Group(",", ",", items, word[0] if word else "")
    return _single(text, depth)


def _condition(text: str) -> str:
    """The condition of a set, {x : x > 2}; the set itself if several conditions do not read as a list of values.

    In a set a comma and "and" mean that all hold, but "x = 2, x = 3" alone means that one does.
    """
    if not (such := SUCH_THAT.fullmatch(text)) or not RELATION.search(such[2]):
        return text
    condition = such[2].strip()
    if not re.search(rf"(?<![a-zA-Z\\]){such[1]}(?![a-zA-Z])", condition):
        return text
    parts, words = _split(AND_OR, condition)
    parts = [part for each in parts for part in split_top(each, ",;")]
    if words and {*words} == {"or"} and len(parts) == len(words) + 1:
        return text if "!=" in condition else condition
    excluded = sum("!=" in part for part in parts)
    return condition if "or" not in words and excluded in (0, len(parts)) and len(parts) - excluded < 2 else text


def _holes(items: tuple[Node, ...]) -> Group | None:
    """A union of open intervals that leaves out points only, as these points: of all but 2."""
    ends: list[str] = []
    for item in items:
        if not isinstance(item, Group) or item.opening + item.closing != "()":
            return None
        ends += [end.text for end in item.items if isinstance(end, Value)]
    if len(ends) != 2 * len(items) or not INFINITE.fullmatch(f"{ends[0]},{ends[-1]}") or ends[1:-1:2] != ends[2:-1:2]:
        return None
    return _holed(ends[1:-1:2])


def _holed(points: list[str]) -> Group:
    holes = tuple(Group("!=", "!=", (Value(point),)) for point in points)
    return holes[0] if len(holes) == 1 else Group(",", ",", holes)


def _members(text: str) -> list[str]:
    """The members of a list: what "and", "or", semicolons and unions separate, and commas that are in no number."""
    parts: list[str] = []
    lists = split_top(text, ";")
    if len(lists) > 1 and any(len(split_top(part, ",")) > 1 for part in lists):  # lists in a list
        return lists
    for part in _split(CONJUNCTION, text)[0]:
        name, _, value = part.rpartition("=")
        whole = quantity(part, False) or (quantity(value.strip(), False) and len(split_top(name, ",")) == 1)
        parts += [part] if whole else split_top(part, ",")
    found = [part for part in parts if part]
    return [each for part in found for each in _both_signs(part)]


def _both_signs(text: str) -> list[str]:
    if "\\pm" not in text and "\\mp" not in text:
        return [text]
    if enclosed(text) or text.startswith("\\{"):
        return [text]
    return [
        re.sub(r"\\mp(?![a-z])", other, re.sub(r"\\pm(?![a-z])", sign, text)).strip().removeprefix("+").strip()
        for sign, other in ("+-", "-+")
    ]


def _split(pattern: re.Pattern[str], text: str) -> tuple[list[str], list[str]]:
    """(the parts of ``text`` between matches that stand in no bracket, those matches)."""
    parts, found, start = [], [], 0
    depth, at = 0, 0
    for match in pattern.finditer(text):
        for c in text[at : match.start()].replace("\\{", "{").replace("\\}", "}"):
            depth += (c in "([{") - (c in ")]}")
        at = match.start()
        if depth == 0:
            parts.append(text[start : match.start()].strip())
            found.append(match[0])
            start = match.end()
    return [*parts, text[start:].strip()], found


def _single(text: str, depth: int) -> Node:
    parts, relations = _split(RELATION, text)
    if relations:
        return _related(text, parts, relations, depth)
    if array := ARRAY.fullmatch(text):
        text = array[1]
    if without := WITHOUT.fullmatch(text):
        return _holed(_bracketed(without[1]))
    if (matrix := MATRIX.fullmatch(text)) and "\\begin" not in matrix[2]:
        rows = [row for row in matrix[2].split("\\\\") if row.strip()]
        cells = [tuple(structure(cell.strip(), depth + 1) for cell in row.split("&")) for row in rows]
        return Group("|", "|", tuple(Group("|", "|", row) for row in cells), text=text)
    if text.startswith("\\{") and text.endswith("\\}") and "\\}" not in text[2:-2]:
        inner = text[2:-2].strip()
        return Group("{", "{", tuple(structure(part, depth + 1) for part in _bracketed(inner)))
    if enclosed(text) and len(inside := _bracketed(text[1:-1])) > 1:
        return Group(text[0], text[-1], tuple(structure(part, depth + 1) for part in inside))
    return Value(text)


def _bracketed(text: str) -> list[str]:
    parts = split_top(text, ";")
    parts = parts if len(parts) > 1 else split_top(text, ",")
    return [each for part in parts if part for each in _both_signs(part)]


def _related(text: str, parts: list[str], relations: list[str], depth: int) -> Node:
    kinds = {r.removeprefix(":") for r in relations}
    if not all(parts):
        return Relation(text)
    if kinds <= {"=", "\\approx"}:
        return _equation(text, parts, relations, depth)
    if kinds == {"\\in"} and len(parts) == 2:
        return Named(_name(parts[0]), structure(parts[1], depth + 1), text)
    if kinds == {"!="} and len(parts) == 2 and is_name(parts[0]):
        return Named(_name(parts[0]), Group("!=", "!=", (structure(parts[1], depth + 1),)), text)
    interval = _interval(parts, relations, depth)
    return Named(*interval, text) if interval else Relation(text)


def _equation(text: str, parts: list[str], relations: list[str], depth: int) -> Node:
    if "\\approx" in relations[1:]:
        parts = parts[: relations.index("\\approx", 1) + 1]
    if is_name(parts[0]) and (not is_name(parts[-1]) or len(parts) == 2):
        return Named(_name(parts[0]), structure(parts[-1], depth + 1), f"{parts[0]}={parts[-1]}")
    if len(parts) > 2 and is_name(parts[-2]):
        return Named(_name(parts[-2]), structure(parts[-1], depth + 1), f"{parts[-2]}={parts[-1]}")
    if len(parts) == 2 and is_name(parts[1]) and not NAMED.search(parts[0]):
        return Named(_name(parts[1]), structure(parts[0], depth + 1), text)
    named = [NAMED.search(COMMAND.sub("", part)) is not None for part in parts]
    if not any(named[:-1]) and (not named[-1] or quantity(parts[-1], False)):  # 5 + 6 = 11, also 11 apples
        return structure(parts[-1], depth + 1)
    return Relation(text)


def _interval(parts: list[str], relations: list[str], depth: int) -> tuple[str, Group] | None:
    """(name, the interval that an inequality of it gives); None if it is of more than one name."""
    where = [i for i, part in enumerate(parts) if is_name(part)]
    if len(where) != 1 or len(parts) > 3 or (len(parts) == 3 and where != [1]):
        return None
    if not all(r in FLIP for r in relations):
        return None
    if relations[0] in (">", ">="):
        parts, relations = parts[::-1], [FLIP[r] for r in relations[::-1]]
    if any(r not in ("<", "<=") for r in relations):
        return None
    at = next(i for i, part in enumerate(parts) if is_name(part))
    low, high = (parts[0], relations[0]) if at else ("-\\infty", "<"), (parts[-1], relations[-1])
    if at == len(parts) - 1:
        high = ("\\infty", "<")
    name = parts[at]

    def between(low: tuple[str, str], high: tuple[str, str]) -> Group:
        brackets = ("(" if low[1] == "<" else "[", ")" if high[1] == "<" else "]")
        return Group(*brackets, (structure(low[0], depth + 1), structure(high[0], depth + 1)))

    if name[0] == name[-1] == "|" and name.count("|") == 2 and len(name) > 2:
        name, below = name[1:-1].strip(), (f"-({high[0]})", high[1])
        if low[0] == "-\\infty":
            return _name(name), between(below, high)
        both = (between(below, (f"-({low[0]})", low[1])), between(low, high))
        return _name(name), Group(",", ",", both, "cup")
    return _name(name), between(low, high)


def is_name(text: str) -> bool:
    """Whether ``text`` names something: a variable, f(x), AB, (p,q), but no number and no expression."""
    if enclosed(text):
        return all(is_name(part) for part in split_top(text[1:-1], ",;"))
    bare = re.sub(r"\([^()]*\)", "", SUBSCRIPT.sub("", INVERSE.sub(r"\1", text)))
    return bool(NAMED.search(bare)) and not NO_NAME.search(bare) and len(text) < 60


def _name(text: str) -> str:
    return re.sub(r"\s", "", SUBSCRIPT.sub(lambda m: "_" + (m[1] or m[2]), text))
