"""The generator keeps its promises, and the checker of steps believes no wrong step."""

import hashlib
import io
import random
import re
import string
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.core.progress import SCREEN
from rlready.tasks import open_task
from rlready.tasks.dagmath.generator import DagConfig, generate, stream
from rlready.tasks.dagmath.graph import Dag, evaluate, references, split_of, template, topological_order
from rlready.tasks.dagmath.meta import first_fault, from_meta, to_meta
from rlready.tasks.dagmath.render import RENDERINGS, Rendering, assign_letters
from rlready.tasks.dagmath.stepcheck import check_steps
from rlready.tasks.dagmath.vocabulary import NUMBERS, SIGNS, WORDS

quick = settings(max_examples=60)
SEEDS = st.integers(0, 10**6)


@st.composite
def configs(draw: st.DrawFn) -> DagConfig:
    low = draw(st.integers(1, 12))
    modulus = draw(st.sampled_from([None, 13, 23]))
    return DagConfig(
        ops=(low, low + draw(st.integers(0, 4))),
        asked=draw(st.integers(1, min(low, 3))),
        modulus=modulus,
        max_terms=draw(st.integers(2, 5)),
        constants=(0, 9 if modulus is None else modulus - 1),
        redundant=(0, draw(st.integers(0, 4))),
        abstract=draw(st.sampled_from([0.0, 0.5, 1.0])),
        forced_max=draw(st.booleans()),
    )


def givens_of(dag: Dag) -> set[str]:
    """The parameters whose sentence in the prompt is a plain number."""
    return {k for k in dag.stated if isinstance(dag.exprs[k], int)}


def worked(dag: Dag, rendering: Rendering, rng: random.Random) -> tuple[dict[str, str], dict[str, str]]:
    """The step of every needed parameter in a random order, and the variable names."""
    letters = assign_letters(dag, rng, string.ascii_letters)
    return {k: rendering.step(dag, k, letters) for k in topological_order(dag, dag.needed, rng)}, letters


@quick
@given(configs(), SEEDS)
def test_graph_is_what_was_asked_for(config: DagConfig, seed: int) -> None:
    dag = generate(config, random.Random(seed))
    assert dag.ops == config.ops[1] if config.forced_max else config.ops[0] <= dag.ops <= config.ops[1]
    assert len(set(dag.asked)) == config.asked
    order = topological_order(dag, tuple(dag.exprs), random.Random(seed))  # raises on a cycle
    values: dict[str, int] = {}
    for key in order:
        values[key] = evaluate(dag.exprs[key], values, dag.modulus)
    assert values == dag.values
    ancestors = set(dag.asked)
    for key in reversed(order):
        if key in ancestors:
            ancestors.update(references(dag.exprs[key]))
    assert ancestors == set(dag.needed), "every needed parameter is necessary, no redundant one is"
    assert sorted(dag.stated + dag.implied) == sorted(dag.exprs)
    assert len(set(dag.names.values())) == len(dag.names)


@quick
@given(configs(), SEEDS)
def test_worked_solutions_hold_in_both_renderings_and_in_any_order(config: DagConfig, seed: int) -> None:
    rng = random.Random(seed)
    dag = generate(config, rng)
    for rendering in RENDERINGS.values():
        steps, letters = worked(dag, rendering, rng)
        assert check_steps(rendering.join([*steps.values()]), dag, letters, rendering).error is None
        assert from_meta(to_meta(dag, letters)) == (dag, letters)


@pytest.mark.parametrize("seed", range(10))
def test_no_single_change_of_a_token_passes(seed: int) -> None:
    """Every word of the vocabulary in every place; only equals may stand for each other: numbers and givens."""
    rng = random.Random(seed)
    symbols = RENDERINGS["symbols"]
    config = DagConfig(ops=(4, 7), asked=2, modulus=13, constants=(0, 12), max_terms=2 + seed % 3)
    dag = generate(config, rng)
    steps, letters = worked(dag, symbols, rng)
    names = list(letters.values())
    equal = {n: int(n) % 13 for n in NUMBERS} | {f"{letters[k]}:": dag.values[k] for k in givens_of(dag)}
    vocabulary = [*NUMBERS, *SIGNS, *WORDS[:2], *(n + mark for n in names for mark in ("", "=", ":"))]
    tokens = symbols.join([*steps.values()]).split()
    for at, true in enumerate(tokens):
        assert not check_steps(" ".join(tokens[:at] + tokens[at + 1 :]), dag, letters, symbols).valid
        for other in vocabulary:
            text = " ".join([*tokens[:at], other, *tokens[at + 1 :]])
            if other != true and check_steps(text, dag, letters, symbols).valid:
                assert equal[true] == equal[other], (true, other)


@quick
@given(SEEDS, st.sampled_from(sorted(RENDERINGS)))
def test_wrong_solutions_are_rejected(seed: int, name: str) -> None:
    rng, rendering = random.Random(seed), RENDERINGS[name]
    dag = generate(DagConfig(ops=(5, 9), asked=2, modulus=None, constants=(0, 9), max_terms=3), rng)
    by_key, letters = worked(dag, rendering, rng)
    keys, steps = [*by_key], [*by_key.values()]

    def valid(changed: list[str]) -> bool:
        return check_steps(rendering.join(changed), dag, letters, rendering).valid

    free = givens_of(dag) if name == "symbols" else set()  # in words only its step gives a given its letter
    for at, key in enumerate(keys):
        used = any(key in references(dag.exprs[k]) for k in keys)
        missing_ok = key in free or (key in givens_of(dag) and not used)
        assert valid(steps[:at] + steps[at + 1 :]) == missing_ok, "a needed step is missing"
        assert valid(steps[: at + 1] + steps[at:]), "a right step may stand twice"
        for number in re.finditer(r"[0-9]+", steps[at]):
            changed = steps[at][: number.start()] + str(int(number[0]) + 1) + steps[at][number.end() :]
            assert not valid([*steps[:at], changed, *steps[at + 1 :]]), changed
        for before in range(at):
            if keys[before] in {*references(dag.exprs[key])} - free:
                assert not valid([*steps[:before], steps[at], *steps[before:at], *steps[at + 1 :]]), "parent unsolved"


def test_the_checker_compares_the_mathematics_not_the_text() -> None:
    dag = Dag(
        exprs={"p": 5, "q": ("*", 0, "p"), "r": ("+", "p", "q")},
        names={k: (k.upper(), k) for k in "pqr"},
        stated=("p", "q", "r"),
        implied=(),
        needed=("p", "q", "r"),
        asked=("r",),
        values={"p": 5, "q": 0, "r": 5},
        modulus=13,
    )
    letters = {"p": "a", "q": "b", "r": "c"}
    right = "a: 5 b= 0 * a = 0 * 5 b: 0 c= a + b = 5 + 0 c: 5"
    for text, error in {
        right: None,
        right.replace("a + b = 5 + 0", "b + a = 0 + 5"): None,
        right.replace("= 5 + 0", "= 18 + 0"): None,
        right.replace("= 0 * 5", "= 0 * 7"): "a calculation of b is wrong",
        right.replace("= 5 + 0", "= 4 + 1"): "a calculation of c is wrong",
        right.replace("a + b = 5 + 0 ", "a + b = 5 - 0 "): "a calculation of c is wrong",
        right.replace("b= 0 * a = 0 * 5 ", ""): "b is stated without being worked out",
        right.replace("a: 5 ", ""): None,
        right.replace("a: 5 ", "a: 6 "): "the value of a is wrong",
        right.replace("b= 0 * a = 0 * 5 b: 0 ", ""): "c needs b, not solved yet",
        right + " c: 5": "c is stated without being worked out",
        "a: 5": "c was asked for but not solved",
        "a: 5 b= 0 * a": "the step of b does not end in its own value",
        "a: 5 b= 1 * a b: 5": "b is not defined that way",
    }.items():
        found = check_steps(text, dag, letters, RENDERINGS["symbols"])
        assert found.error == error, text
        assert found.kind == next((kind for end, kind in KINDS.items() if (error or "").endswith(end)), ""), text
        assert found.open == (text in ("a: 5", "a: 5 b= 0 * a")), text  # not where the last step is whole
    for text, step in {
        right: None,
        right.replace("= 0 * 5", "= 0 * 7"): "b= 0 * a = 0 * 7 b: 0",
        f"try c needs b locked back  {right.replace('a: 5', 'a: 6')}": "a: 6",
        f"a: 5  given b: 0 so {right[5:]}": "given b: 0 so b= 0 * a = 0 * 5 b: 0",
        "a: 5 b: x": "b: x",
        right.replace("c= a + b", "l: 3 c= a + b"): "l: 3",
        right.replace("b= 0 * a", "b= 0 * * a"): "b= 0 * * a = 0 * 5 b: 0",
        right.replace("b: 0", "l: 0"): "b= 0 * a = 0 * 5 l: 0",
        "a: 5 wait b= 0": "wait",
        "a: 5": "",
    }.items():
        found = first_fault(to_meta(dag, letters), text)
        assert (text[found.begin : found.end] if found else None) == step
    words = RENDERINGS["words"]
    lines = [words.step(dag, key, letters) for key in "pqr"]
    lines[1] = lines[1].replace("0", "1")
    found = first_fault(to_meta(dag, letters, "words"), text := words.join(lines))
    assert found is not None
    assert text[found.begin : found.end].strip() == lines[1].strip()


KINDS = {
    "a calculation of b is wrong": "a wrong calculation",
    "a calculation of c is wrong": "a wrong calculation",
    "the value of a is wrong": "a wrong calculation",
    "without being worked out": "a value without its working",
    "not solved yet": "a value that is not solved yet",
    "was asked for but not solved": "something asked is not solved",
    "does not end in its own value": "not a step",
    "not defined that way": "another definition",
}  # by the ends of what is said


@quick
@given(configs(), SEEDS)
def test_a_given_needs_no_step_and_everything_else_does(config: DagConfig, seed: int) -> None:
    rng, symbols = random.Random(seed), RENDERINGS["symbols"]
    dag = generate(config, rng)
    steps, letters = worked(dag, symbols, rng)
    derived = {k: step for k, step in steps.items() if k not in givens_of(dag)}
    assert check_steps(symbols.join([*derived.values()]), dag, letters, symbols).error is None
    for key in derived:
        assert not check_steps(symbols.join([s for k, s in derived.items() if k != key]), dag, letters, symbols).valid


def test_an_asked_given_needs_no_step_in_either_rendering() -> None:
    dag = Dag(
        exprs={"p": 5, "q": ("+", 1, "p"), "i": ("+", "p", "q")},
        names={k: (k.upper(), k) for k in "pqi"},
        stated=("p", "q"),
        implied=("i",),
        needed=("p",),
        asked=("p",),
        values={"p": 5, "q": 6, "i": 11},
        modulus=None,
    )
    letters = {"p": "a", "q": "b", "i": "c"}
    for rendering in RENDERINGS.values():
        assert check_steps("", dag, letters, rendering).valid
        for asked in "qi":
            assert not check_steps("", replace(dag, asked=(asked,)), letters, rendering).valid


def test_no_template_is_in_both_splits() -> None:
    config = DagConfig(ops=(5, 8), asked=2)
    seen: dict[str, set[str]] = {"train": set(), "test": set()}
    for split in ("train", "test"):
        dags = stream(config, 3, split)
        for _, dag in zip(range(300), dags, strict=False):
            assert split_of(dag) == split
            seen[split].add(template(dag))
    assert not seen["train"] & seen["test"]


def test_text_of_a_seed_never_changes() -> None:
    """The embedded model was made from these texts; a change here is a change of its training data."""
    digest = hashlib.sha256()
    for config in (
        DagConfig(ops=(1, 5), modulus=13, constants=(0, 12), redundant=(0, 8)),
        DagConfig(ops=(15, 20), modulus=None, constants=(0, 9), max_terms=4),
    ):
        for seed in range(20):
            rng = random.Random(f"golden:{seed}")
            dag = generate(config, rng)
            for rendering in RENDERINGS.values():
                steps, letters = worked(dag, rendering, rng)
                parts = (
                    rendering.prompt(dag, letters),
                    rendering.join([*steps.values()]),
                    rendering.answer(dag, letters),
                )
                digest.update("|".join([split_of(dag), *parts]).encode())
    assert digest.hexdigest()[:16] == "0e3e804a6ec081da"


@pytest.mark.parametrize(("seconds", "shown"), [(0.001, False), (0.1, True)])
def test_generating_that_takes_long_shows_how_far_it_is(
    seconds: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the second second; ``seconds`` pass for each problem."""
    stream, times = io.StringIO(), count(step=seconds)
    monkeypatch.setattr(SCREEN, "_stream", stream)
    monkeypatch.setattr(SCREEN, "_last", -9.0)
    monkeypatch.setattr(SCREEN, "clock", lambda: next(times))
    assert len(open_task("dagmath?ops=3&n=40&split=test").problems()) == 40
    assert bool(re.match(r"generating +1\d/40 problems", stream.getvalue())) == shown
    assert (stream.getvalue() == "") != shown
    assert not SCREEN.open
