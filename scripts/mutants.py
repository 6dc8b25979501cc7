"""Mutants of a Python source: each differs from it by one small, typical mistake.

    constant    0.28 -> 0.56, 1 -> 2, True -> False; an axis or ddof goes to the other one
    compare     < -> <= and < -> >, == -> !=, in -> not in, is -> is not
    arithmetic  + -> -, * -> /, // -> /, % -> *, ** -> *, & -> |, also in augmented assignments
    dropped     the right operand of +, -, *, and, or; a unary minus; a ``not``
    boolean     and -> or, or -> and
    condition   ``if x`` -> ``if not x``
    swapped     min with max, mean with sum, any with all, floor with ceil

Left alone, because no test should detect the difference: annotations, ``if TYPE_CHECKING``, what is raised, logged or
printed, f-strings, numbers that only choose a random stream (seeds), sizes of caches, and arguments that only guard
against misuse (``frozen`` and ``strict``).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

COMPARE: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_PAIRS = (("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("mean", "sum"), ("any", "all"))
SWAPS = {a: b for pair in (*_PAIRS, ("floor", "ceil")) for a, b in (pair, pair[::-1])}
REDUCTIONS = {"sum", "mean", "std", "var", "max", "min", "any", "all", "argmax", "argmin", "cumsum", "prod"}
SPOKEN = {"note", "warn", "print", "span", "Progress", "TypeVar"}  # calls whose arguments are words for a reader
STREAMS = {"default_rng", "manual_seed", "Random"}  # calls whose numbers choose a random stream
CACHES = {"lru_cache"}
Place = tuple[int, int]


@dataclass(frozen=True)
class Mutant:
    """One fault: the whole mutated source, and the changed line (from 1) before and after."""

    module: str
    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def id(self) -> str:
        """The same as long as the module's source is."""
        return hashlib.sha256(f"{self.module}\0{self.source}".encode()).hexdigest()[:12]


def mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of a source that compile, in the order of lines; ``module`` is a label."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = source.encode()
    found: dict[str, Mutant] = {}
    for node, kind, text in _faults(ast.parse(source)):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        mutated = (raw[:begin] + text.encode() + raw[end:]).decode()
        try:
            compile(mutated, module, "exec")
        except SyntaxError:
            continue
        old, new = raw[begin:end].decode(), text
        at = node.lineno
        if "\n" not in old:
            old, new = lines[at - 1].strip(), mutated.splitlines()[at - 1].strip()
        if mutated != source:
            found.setdefault(mutated, Mutant(module, at, kind, " ".join(old.split()), " ".join(new.split()), mutated))
    return sorted(found.values(), key=lambda m: (m.line, m.kind, m.after))


def _faults(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """(node, kind, text in its place) for every fault, in what is to be changed at all."""
    for node, parent in _changeable(tree, tree):
        match node:
            case ast.Constant():
                yield from ((node, "constant", text) for text in _other_constants(node, parent))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                for other in COMPARE[type(op)]:
                    yield node, "compare", _text(ast.Compare(left, [other()], [right]))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC and not _is_type(node):
                yield node, "arithmetic", _text(ast.BinOp(left, ARITHMETIC[type(op)](), right))
                if isinstance(op, ast.Add | ast.Sub | ast.Mult):
                    yield node, "dropped", _text(left)
            case ast.AugAssign(target=target, op=op, value=value) if type(op) in ARITHMETIC:
                changed = ast.AugAssign(target, ARITHMETIC[type(op)](), value)
                yield node, "arithmetic", ast.unparse(ast.fix_missing_locations(changed))
            case ast.BoolOp(op=op, values=values):
                yield node, "boolean", _text(ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values))
                yield node, "dropped", _text(ast.BoolOp(op, values[:-1]) if len(values) > 2 else values[0])
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                yield node, "dropped", _text(operand)
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                if isinstance(test, ast.Name | ast.Attribute | ast.Call):
                    yield test, "condition", _text(ast.UnaryOp(ast.Not(), test))
            case ast.Call(func=func) if (swapped := SWAPS.get(_name(func))) is not None:
                owner = f"{ast.unparse(func.value)}." if isinstance(func, ast.Attribute) else ""
                yield func, "swapped", owner + swapped


def _other_constants(node: ast.Constant, parent: ast.AST) -> list[str]:
    value = node.value
    is_axis = isinstance(parent, ast.keyword) and parent.arg in ("axis", "dim", "ddof")
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute) and parent.func.attr in REDUCTIONS:
        is_axis = is_axis or parent.args == [node]
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, int):
        return ["0" if value else "1"] if is_axis else [str(value + 1)]
    return [repr(value * 2 or 1.0)] if isinstance(value, float) else []


def _changeable(node: ast.AST, parent: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Nodes below one that may be changed, each with its parent."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.pattern | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.Call) and _name(node.func) in SPOKEN | STREAMS | CACHES:
        return
    if isinstance(node, ast.keyword) and node.arg in ("seed", "varies", "frozen", "strict"):
        return
    if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        return
    yield node, parent
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        children = [c for c in (value if isinstance(value, list) else [value]) if isinstance(c, ast.AST)]
        if isinstance(node, ast.arguments) and name in ("defaults", "kw_defaults"):
            owners = (node.posonlyargs + node.args)[-len(node.defaults) :] if name == "defaults" else node.kwonlyargs
            pairs = zip(owners, value, strict=False)
            children = [c for owner, c in pairs if c is not None and owner.arg != "seed"]
        for child in children:
            yield from _changeable(child, node)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_type(node: ast.BinOp) -> bool:
    """Whether ``a | b`` is a union of types."""
    names = {"int", "float", "str", "bool", "list", "dict", "Mapping", "Tensor", "Path"}
    sides = (node.left, node.right)
    return isinstance(node.op, ast.BitOr) and any(
        (isinstance(s, ast.Constant) and s.value is None) or _name(s) in names or isinstance(s, ast.Subscript)
        for s in sides
    )


def _text(node: ast.expr) -> str:
    return f"({ast.unparse(ast.fix_missing_locations(node))})"
