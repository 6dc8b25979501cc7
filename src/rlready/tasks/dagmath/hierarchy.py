"""The hierarchy of items that DAG maths counts, in layers, and its abstract parameters (iGSM, arXiv 2407.20311)."""

from __future__ import annotations

import itertools
import random

from rlready.tasks.dagmath.graph import Expr

THEMES: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = (
    (
        ("District", ("Harbour District", "Mill District", "Garden District", "Castle District")),
        ("Market", ("Fish Market", "Flower Market", "Night Market", "Book Market")),
        ("Stall", ("Bread Stall", "Lamp Stall", "Cloth Stall", "Honey Stall")),
        ("Goods", ("Basket", "Candle", "Ribbon", "Jar")),
    ),
    (
        ("School", ("Riverside School", "Hilltop School", "Forest School", "Lakeview School")),
        ("Room", ("Music Room", "Chemistry Lab", "Art Studio", "Library")),
        ("Cupboard", ("Steel Cupboard", "Oak Cupboard", "Glass Cupboard", "Corner Cupboard")),
        ("Supply", ("Pencil", "Ruler", "Notebook", "Compass")),
    ),
    (
        ("Reserve", ("North Reserve", "Island Reserve", "Valley Reserve", "Desert Reserve")),
        ("Enclosure", ("Rock Enclosure", "Pond Enclosure", "Cedar Enclosure", "Grass Enclosure")),
        ("Animal", ("Otter", "Heron", "Badger", "Lynx")),
        ("Tag", ("Red Tag", "Blue Tag", "Radio Tag", "Ear Tag")),
    ),
)


def hierarchy(edges: int, rng: random.Random) -> dict[str, list[str]]:
    """The children of every item "layer.index", with at least ``edges`` (A, B) pairs."""
    while True:
        widths = [rng.randint(2, 4) for _ in range(rng.randint(2, 4))]
        if sum(a * b for a, b in itertools.pairwise(widths)) >= edges:
            break
    children: dict[str, list[str]] = {f"{i}.{j}": [] for i, w in enumerate(widths) for j in range(w)}
    spare = []
    for layer, (upper, lower) in enumerate(itertools.pairwise(widths)):
        for j in range(lower):
            owner = rng.randrange(upper)
            children[f"{layer}.{owner}"].append(f"{layer + 1}.{j}")
            spare += [(f"{layer}.{i}", f"{layer + 1}.{j}") for i in range(upper) if i != owner]
    rng.shuffle(spare)
    for owner_key, item in spare[: max(0, edges - sum(map(len, children.values())))]:
        children[owner_key].append(item)
    return children


def abstract_parameters(children: dict[str, list[str]]) -> dict[str, Expr]:
    """Expressions of the abstract parameters "A/category": sums, over A's sub-items, of what they hold."""
    depth = max(int(k.split(".")[0]) for k in children)
    exprs: dict[str, Expr] = {}

    def total(owner: str, layer: int) -> Expr | None:
        terms: list[Expr] = []
        for child in children[owner]:
            edge = f"{owner}/{child}"
            if layer == int(child.split(".")[0]):
                terms.append(edge)
            elif (inner := reference(child, layer)) is not None:
                terms.append(("*", edge, inner))
        if not terms:
            return None
        expr = terms[0]
        for term in terms[1:]:
            expr = ("+", expr, term)
        return expr

    def reference(owner: str, layer: int) -> Expr | None:
        expr = total(owner, layer)
        if isinstance(expr, tuple):
            key = f"{owner}/{layer}"
            exprs[key] = expr
            return key
        return expr  # a single sub-item: the instance parameter itself

    for owner in children:
        for layer in range(int(owner.split(".")[0]) + 1, depth + 1):
            reference(owner, layer)
    return exprs
