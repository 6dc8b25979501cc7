"""Bounds on what a chat template may make: no operation of it takes long inside C, where no time limit reaches it.

Transformers compiles templates in its own environment of Jinja; `bound_templates` puts one in its place in which each
operation that can make a large value from small ones is looked at before it is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import GeneratorType
from typing import Any, TypeAlias

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer
from transformers.utils import chat_template_utils

LARGEST = 1 << 24  # characters of one value; an item of a list counts as `ITEM` of them
ITEM = 64
TOTAL = 1 << 28  # characters of all values that one render makes
PARAMETER = 1 << 16  # the largest whole number that a filter or a method takes, such as a width
BITS = 1 << 14  # of a whole number
FORMATS = {"format", "format_map"}
REPEATING = {  # results as long as a product
    *("expandtabs", "indent", "join", "replace", "tojson", "translate", "urlize", "wordwrap"),
    *FORMATS,
}
LINEAR = {"urlize", "wordwrap", *FORMATS}  # of them, those to which a number is no factor
DATE = "strftime_now"
DATES = re.compile(r"(?:[^%]|%%|%(?![^a-zA-Z%]*\d{3})[^%]){,1000}", re.DOTALL)  # formats of a date without large widths
WIDE = re.compile(r"%[-+ #0]*(\*|\d*\.\*|\d*\.?\d{3})|\{[^{}]*(\d{3}|\{)")  # a width or precision above 99, or unknown

Value: TypeAlias = Any  # of a template
_left: ContextVar[list[int]] = ContextVar("_left")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The environment of Transformers; a template that makes too much raises SecurityError."""

    intercepted_binops = frozenset({"+", "*", "**", "%", "/", "//"})

    @staticmethod
    def concat(parts: Iterator[str]) -> str:  # type: ignore[override]  # any iterable of texts
        return "".join(_counted(part) for part in parts)

    def from_string(self, source: Value, *args: Value, **kwargs: Value) -> Value:
        self.filters = {name: bounded(name, each) for name, each in self.filters.items()} | {"counted": _counted}
        self.filters |= {"random": _random}
        self.globals |= {"lipsum": _random}
        return super().from_string(source, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return tree

    def call_binop(self, context: Context, operator: str, left: Value, right: Value) -> Value:
        _check_operation(operator, left, right)
        return _counted(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Value, *args: Value, **kwargs: Value) -> Value:
        method: Value = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps str.format
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str | bytes | int):
            args = tuple(map(_listed, args))
            _check_call(method.__name__, (owner, *args, *kwargs.values()))
        return _counted(super().call(__context, __obj, *args, **kwargs))


class _Counting(NodeTransformer):
    """Literals that hold values are counted, because nested ones grow like powers of 2; ``~`` is written as a join."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "join")

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return _filtered(self.generic_visit(node), "counted")

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return _filtered(self.generic_visit(node), "counted")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "counted") if node.ctx == "load" else node


def _filtered(node: nodes.Node, name: str) -> nodes.Node:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def bounded(name: str, apply: Callable[..., Value]) -> Callable[..., Value]:
    """A filter or a function of templates whose parameters and result are bounded."""

    @wraps(apply)  # with the mark that says whether it takes the context or the environment first
    def looked_at(*args: Value, **kwargs: Value) -> Value:
        args = tuple(map(_listed, args))
        _check_call(name, (*args[hasattr(apply, "jinja_pass_arg") :], *kwargs.values()))
        return _counted(apply(*args, **kwargs))

    return looked_at


def _random(*_: Value, **__: Value) -> Value:
    raise SecurityError("it draws at random, so that one seed would give other samples; change it")


def _listed(value: Value) -> Value:
    """What a generator, such as the filter ``map``, gives, counted; any other value as it is."""
    return [_counted(each) for each in value] if isinstance(value, GeneratorType) else value


def _check_operation(operator: str, left: Value, right: Value) -> None:
    """SecurityError for a result that is too large."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS and operator != "+":
            raise _refusal("a number of so many digits")
    elif operator == "*":
        times = next((each for each in (left, right) if isinstance(each, int)), 1)
        _charge(max(times, 0) * max(_size(left), _size(right)), spend=False)
    elif operator == "%" and isinstance(left, str | bytes):
        _check_call("format", (left, *(right if isinstance(right, tuple) else [right])))
    elif operator == "+" and not isinstance(left, int | float):
        _charge(_size(left) + _size(right), spend=False)


def _check_call(name: str, values: tuple[Value, ...]) -> None:
    """SecurityError for a number that makes the result of a method or filter too large, or for too much text."""
    subject, *given = values or ("",)
    numbers = [each for each in given if isinstance(each, int) and abs(each) > PARAMETER]
    if numbers and name not in {"default", *FORMATS}:
        raise _refusal(f"the number {str(numbers[0])[:40]} for {name}")
    if (name in FORMATS and WIDE.search(str(subject))) or (name == DATE and not DATES.fullmatch(str(subject))):
        raise _refusal("a format with so large a width")
    if name == "sum" and any(isinstance(each, list | tuple) for each in given):  # copied again for each of them
        _charge(_size(subject) * len(subject), spend=False)
    if name in REPEATING:
        sizes = [each if isinstance(each, int) and name not in LINEAR else _size(each) for each in given]
        _charge(_size(subject) * max([1, *sizes]), spend=False)


def _counted(made: Value) -> Value:
    """The value, whose size is taken from what the render may still make."""
    if isinstance(made, int) and made.bit_length() > BITS:
        raise _refusal("a number of so many digits")
    if not isinstance(made, range):
        _charge(_size(made), spend=True)
    return made


def _charge(size: int, *, spend: bool) -> None:
    left = _left.get([TOTAL])
    if size > min(LARGEST, left[0]):
        raise _refusal(f"more than {LARGEST if size > LARGEST else TOTAL} characters")
    left[0] -= size * spend


def _size(value: Value) -> int:
    """The characters of a value with all that it holds, counted to `LARGEST`; a generator holds nothing yet."""
    total, todo = 0, [value]
    while todo and total <= LARGEST:
        each = todo.pop()
        if isinstance(each, str | bytes):
            total += len(each)
        elif isinstance(each, Namespace):
            todo.append(object.__getattribute__(each, "_Namespace__attrs"))
        elif isinstance(each, Collection):
            total += ITEM * len(each)
            if total <= LARGEST and not isinstance(each, range):
                todo += each
                todo += each.values() if isinstance(each, dict) else ()
    return total


def _refusal(what: str) -> SecurityError:
    return SecurityError(f"it makes {what}, more than a conversation needs")


@contextmanager
def bound_templates() -> Iterator[None]:
    """Templates that Transformers renders in the block are bounded, together by `TOTAL`."""
    utils: Any = chat_template_utils
    if utils.ImmutableSandboxedEnvironment is not BoundedEnvironment:
        utils.ImmutableSandboxedEnvironment = BoundedEnvironment
        utils._compile_jinja_template.cache_clear()  # of templates that were compiled without bounds
    token = _left.set([TOTAL])
    try:
        yield
    finally:
        _left.reset(token)
