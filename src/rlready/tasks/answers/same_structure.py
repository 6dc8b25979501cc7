"""Whether two answers of several values are the same; single values are compared by the argument ``equal``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from rlready.tasks.answers.quantity import quantity
from rlready.tasks.answers.structure import Group, Named, Node, Relation, Value

Equal = Callable[[str, str, str], bool]  # (kind, one text, another): kinds are "value" and "relation"


MOST = 30  # members of a list whose order does not count


def same(one: Node, other: Node, equal: Equal) -> bool:
    """Whether two answers are the same; the order counts in brackets, but not in lists and sets, how often a single
    value is there in lists, but not in sets."""
    if isinstance(one, Relation) or isinstance(other, Relation):
        left, right = _relation(one), _relation(other)
        return bool(left and right) and equal("relation", left, right)
    if isinstance(one, Named) and isinstance(other, Named):
        return _same_name(one, other) and same(one.value, other.value, equal)
    if isinstance(one, Named) or isinstance(other, Named):
        named, bare = (one, other) if isinstance(one, Named) else (other, one)
        listed = isinstance(bare, Group) and bare.opening == "," and bare.joined != "cup"
        if listed and isinstance(named, Named) and ("<" in named.text or ">" in named.text):
            return False  # an interval is no list of its ends
        return same(getattr(one, "value", one), getattr(other, "value", other), equal)
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
    apart = sum(bare) == 1 and _is_interval(*((one, other) if bare[1] else (other, one)))
    if apart or ("and" in joined and len(joined - {"", "and"})):
        return False
    if all(bare) and "cup" in joined and len(joined) > 1:
        listed = other if one.joined == "cup" else one
        if not any(isinstance(item, Named) for item in listed.items):
            return False
    one, other = _roots(one, other), _roots(other, one)
    names = [{name for item in group.items if (name := _called(item))} for group in (one, other)]
    ordered = any(g.opening in "([|" for g in (one, other)) or (min(map(len, names)) == 0 and max(map(len, names)) > 1)
    if ordered or max(len(one.items), len(other.items)) > MOST:
        pairs = list(zip(one.items, other.items, strict=False))
        return len(one.items) == len(other.items) and all(same(a, b, equal) for a, b in pairs)
    single = all(isinstance(item, Value) for item in (*one.items, *other.items))  # values, not solutions in brackets
    as_often = single and all(bare) and not joined & {"or", "cup"}
    if as_often:
        again = _said_again(one, other, equal) or _said_again(other, one, equal)
        return again or (len(one.items) == len(other.items) and _paired(one.items, other.items, equal))
    return all(any(same(a, b, equal) for b in other.items) for a in one.items) and all(
        any(same(a, b, equal) for a in one.items) for b in other.items
    )


def _roots(one: Group, other: Group) -> Group:
    """``one`` with x_1, x_2 called x if all values of ``other`` are."""
    names = {item.name if isinstance(item, Named) else "" for item in other.items}
    roots = [item for item in one.items if isinstance(item, Named) and item.name.partition("_")[2].isdecimal()]
    if len(names) != 1 or "" in names or len(roots) != len(one.items) or len({item.name for item in roots}) == 1:
        return one
    if {item.name.partition("_")[0] for item in roots} != names:
        return one
    return replace(one, items=tuple(replace(item, name=item.name.partition("_")[0]) for item in roots))


def _is_interval(group: Group, listed: Group) -> bool:
    """Whether a group in brackets is an interval, or a point, that a list of the same values is not."""
    mixed = group.opening + group.closing in ("(]", "[)")
    endless = any(isinstance(item, Value) and "infty" in item.text for item in group.items)
    names = [item.name for item in listed.items if isinstance(item, Named)]
    one_name = group.opening in ("(", "[") and len({*names}) == 1 < len(listed.items)  # x = 1, x = 2
    return mixed or endless or one_name or (listed.joined == "or" and group.opening in ("(", "["))


def _said_again(one: Group, several: Group, equal: Equal) -> bool:
    """Whether ``several`` are one value in other words, as in "3/4 or 75%", not the same again."""
    texts = {item.text for item in several.items if isinstance(item, Value)}
    once = len(one.items) == 1 and len(texts) == len(several.items)
    return once and all(same(one.items[0], item, equal) for item in several.items)


def _paired(one: Sequence[Node], other: Sequence[Node], equal: Equal) -> bool:
    """Whether each member has an equal one of its own, by augmenting paths: 50% equals 50 and 0.5, which differ."""
    owner: dict[int, int] = {}

    def place(at: int, tried: set[int]) -> bool:
        for place_of, each in enumerate(other):
            if place_of not in tried and same(one[at], each, equal):
                tried.add(place_of)
                if place_of not in owner or place(owner[place_of], tried):
                    owner[place_of] = at
                    return True
        return False

    return all(place(at, set()) for at in range(len(one)))


def _called(node: Node) -> str:
    """The name or the words before a member of a list."""
    if isinstance(node, Value) and (number := quantity(node.text, False)):
        return " ".join(sorted(number.label))
    return node.name if isinstance(node, Named) else ""


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
