"""Answers that consist of several values: lists, tuples, intervals, unions, matrices, inequalities and assignments.

``1 < x <= 2`` and ``x \\in (1,2]`` become the interval ``(1,2]``; ``x = 5`` is 5 called x; ``1 \\pm \\sqrt{2}`` is two
values.  Single values are compared by the argument ``equal`` of ``same``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rlready.tasks.answers.notation import enclosed, split_top, unwrapped
from rlready.tasks.answers.quantity import quantity

CONJUNCTION = re.compile(r"(?<=[\s\d)}\]])(?:and|or)(?=[\s({\[\\A-Z\d-])|\\cup(?![a-z])|;|\\text\s*(?=and|or)")
RELATION = re.compile(r"<=|>=|!=|<|>|:?=|\\in(?![a-z])|\\approx(?![a-z])")
MATRIX = re.compile(r"\\begin\{([pb]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
ARRAY = re.compile(r"[\[(]\s*(\\begin\{array\}.*\\end\{array\})\s*[\])]", re.DOTALL)
SUBSCRIPT = re.compile(r"_\s*(?:\{([^{}]*)\}|(\w))")
NAMED = re.compile(r"[A-Za-z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega|epsilon|rho|sigma|tau)")
NO_NAME = re.compile(r"[\d+\-*/^!%.;]|\\(?:pi|infty|sqrt|pm|mp|cdot|times|emptyset|begin)(?![a-z])|\s(?:and|or)\s")
COMMAND = re.compile(r"\\[A-Za-z]+")
REALS = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?|(?:all |the )?real numbers|all reals", re.IGNORECASE)
WITHOUT = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?\s*\\(?:setminus|backslash)\s*\\\{(.+)\\\}")
INFINITE = re.compile(r"-\s*\\infty\s*,\+?\s*\\infty\s*")
FLIP = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
NESTED = 8  # brackets in brackets that are taken apart

Equal = Callable[[str, str, str], bool]  # (kind, one text, another): kinds are "value" and "relation"


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


def same(one: Node, other: Node, equal: Equal) -> bool:
    """Whether two answers are the same; the order counts in brackets, but not in lists and sets."""
    if isinstance(one, Relation) or isinstance(other, Relation):
        left, right = _relation(one), _relation(other)
        return bool(left and right) and equal("relation", left, right)
    if isinstance(one, Named) and isinstance(other, Named):
        return _same_name(one, other) and same(one.value, other.value, equal)
    if isinstance(one, Named):
        return same(one.value, other, equal)
    if isinstance(other, Named):
        return same(one, other.value, equal)
    values = isinstance(one, Value) + isinstance(other, Value)
    if values == 2 or (values and one.text and other.text):
        return equal("value", one.text, other.text)
    return _same_groups(_listed(one), _listed(other), equal)


def _listed(node: Value | Group) -> Group:
    return node if isinstance(node, Group) else Group(",", ",", (node,))


def _same_groups(one: Group, other: Group, equal: Equal) -> bool:
    bare = [group.opening == "," for group in (one, other)]
    strict = not any(bare) or "!=" in (one.opening, other.opening)
    if strict and (one.opening, one.closing) != (other.opening, other.closing):
        return False
    joined = {one.joined, other.joined}
    if "and" in joined and len(joined - {"", "and"}):
        return False
    if all(bare) and "cup" in joined and len(joined) > 1:
        listed = other if one.joined == "cup" else one
        if not any(isinstance(item, Named) for item in listed.items):
            return False
    names = [{name for item in group.items if (name := _called(item))} for group in (one, other)]
    ordered = any(g.opening in "([|" for g in (one, other)) or (min(map(len, names)) == 0 and max(map(len, names)) > 1)
    if ordered:
        pairs = list(zip(one.items, other.items, strict=False))
        return len(one.items) == len(other.items) and all(same(a, b, equal) for a, b in pairs)
    return (
        max(len(one.items), len(other.items)) <= 30
        and all(any(same(a, b, equal) for b in other.items) for a in one.items)
        and all(any(same(a, b, equal) for a in one.items) for b in other.items)
    )


def _called(node: Node) -> str:
    """The name or the words before a member of a list."""
    if isinstance(node, Value) and (number := quantity(node.text, False)):
        return " ".join(sorted(number.label))
    return node.name if isinstance(node, Named) else ""


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
    if kinds == {"!="} and len(parts) == 2 and _is_name(parts[0]):
        return Named(_name(parts[0]), Group("!=", "!=", (structure(parts[1], depth + 1),)), text)
    interval = _interval(parts, relations, depth)
    return Named(*interval, text) if interval else Relation(text)


def _equation(text: str, parts: list[str], relations: list[str], depth: int) -> Node:
    if "\\approx" in relations[1:]:
        parts = parts[: relations.index("\\approx", 1) + 1]
    if _is_name(parts[0]) and (not _is_name(parts[-1]) or len(parts) == 2):
        return Named(_name(parts[0]), structure(parts[-1], depth + 1), f"{parts[0]}={parts[-1]}")
    if len(parts) > 2 and _is_name(parts[-2]):
        return Named(_name(parts[-2]), structure(parts[-1], depth + 1), f"{parts[-2]}={parts[-1]}")
    if len(parts) == 2 and _is_name(parts[1]) and not NAMED.search(parts[0]):
        return Named(_name(parts[1]), structure(parts[0], depth + 1), text)
    if not any(NAMED.search(COMMAND.sub("", part)) for part in parts):  # 5 + 6 = 11
        return structure(parts[-1], depth + 1)
    return Relation(text)


def _interval(parts: list[str], relations: list[str], depth: int) -> tuple[str, Group] | None:
    """(name, the interval that an inequality of it gives); None if it is of more than one name."""
    where = [i for i, part in enumerate(parts) if _is_name(part)]
    if len(where) != 1 or len(parts) > 3 or (len(parts) == 3 and where != [1]):
        return None
    if not all(r in FLIP for r in relations):
        return None
    if relations[0] in (">", ">="):
        parts, relations = parts[::-1], [FLIP[r] for r in relations[::-1]]
    if any(r not in ("<", "<=") for r in relations):
        return None
    at = next(i for i, part in enumerate(parts) if _is_name(part))
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


def _is_name(text: str) -> bool:
    """Whether ``text`` names something: a variable, f(x), AB, (p,q), but no number and no expression."""
    if enclosed(text):
        return all(_is_name(part) for part in split_top(text[1:-1], ",;"))
    bare = re.sub(r"\([^()]*\)", "", SUBSCRIPT.sub("", text))
    return bool(NAMED.search(bare)) and not NO_NAME.search(bare) and len(text) < 60


def _name(text: str) -> str:
    return re.sub(r"\s", "", SUBSCRIPT.sub(lambda m: "_" + (m[1] or m[2]), text))


def _same_name(one: Named, other: Named) -> bool:
    """Equal names; of a function with a number as value, whatever the argument is called: W(n) = 1, W(x) = 1."""
    if one.name == other.name:
        return True
    functions = [re.fullmatch(r"(\w+)\([a-z]\)", named.name) for named in (one, other)]
    if not (functions[0] and functions[1] and functions[0][1] == functions[1][1]):
        return False
    return all(isinstance(n.value, Value) and quantity(n.value.text) is not None for n in (one, other))


def _relation(node: Node) -> str:
    """A relation as text again; empty if the answer is none."""
    return node.text if isinstance(node, Relation | Named) else ""
