"""What is wrong with the value of a setting, in one line, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
PLURALS = {str: "text", int: "whole numbers", float: "numbers"}


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message: the known word that is nearest, or all known words."""
    known = list(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def explain(error: ValidationError, cls: type[BaseModel]) -> str:
    """The first setting that does not fit a ``cls``, in one line."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r} of {cls.__name__}; {nearest(name, cls.model_fields)}"
    return describe(first, name, cls.model_fields[name].annotation, first["input"])


def describe(error: ErrorDetails, name: str, annotation: Any, raw: object) -> str:
    """What is wrong with ``raw``, the value of a setting, and what would be right."""
    annotation, bounds = plain_type(annotation), error.get("ctx", {})
    found = error["input"]
    number = float in (annotation, *map(plain_type, get_args(annotation)))
    if error["type"] == "too_short":
        return f"{name} is empty; give at least one value"
    for bound, relation in (("gt", "above"), ("ge", "at least"), ("le", "at most"), ("lt", "below")):
        if bound in bounds:
            limit = bounds[bound]
            if bound == "gt" and not number:
                relation, limit = "at least", limit + 1
            wanted = f"must be {relation} {limit:g}" if (bound, limit) != ("ge", 0) else "must not be negative"
            return f"{name} {wanted}, got {found:g}" if isinstance(found, float) else f"{name} {wanted}, got {found}"
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        hint = f"; {nearest(raw, choices)}" if isinstance(raw, str) else ""
        expected = f"one of {', '.join(choices)}{hint}"
    elif get_origin(annotation) is tuple:
        expected = f"a list of {PLURALS[plain_type(get_args(annotation)[0])]}, separated by commas"
    else:
        expected = KINDS[annotation]
    shown = repr(raw)
    return f"{name} = {shown if len(shown) <= 60 else shown[:57] + '...'} is not {expected}"


def type_name(annotation: Any) -> str:
    """The type of a setting as help shows it: text, int, float, bool, a list or the choices."""
    annotation = plain_type(annotation)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"{type_name(get_args(annotation)[0])},..."
    return "text" if annotation is str else str(annotation.__name__)


def plain_type(annotation: Any) -> Any:
    """An annotation without None and metadata."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) is Union or "|" in type(annotation).__name__ or type(annotation).__name__ == "UnionType":
        return plain_type(next(each for each in get_args(annotation) if each is not type(None)))
    return annotation
