"""Injected rows: correct to the last step, unchanged where nothing was added, and every error in them is found."""

import json
import random
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.cli.main import main
from rlready.core.config import InjectConfig
from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.inject import proserow
from rlready.inject.behaviours import inject as inject_row
from rlready.inject.calculator import (
    ANNOTATION,
    arithmetic,
    evaluate,
    read_annotation,
    reductions,
    states,
    write_calculation,
)
from rlready.inject.diff import BEFORE
from rlready.inject.errors import Contradiction, Doubtful, Unfit
from rlready.inject.operations import computations
from rlready.inject.permute import COPIES, chains, premises
from rlready.inject.prose import solution
from rlready.inject.quantities import quantity
from rlready.inject.splice import BEHAVIOURS, Behaviour, insert
from rlready.inject.stage import inject
from rlready.inject.walk import Fail, Solve, walk
from rlready.inject.worked import Worked, worked
from rlready.report.page import render
from rlready.tasks import open_task
from rlready.tasks.answers.verify import final_answer
from rlready.tasks.dagmath.graph import binary_operations, references
from rlready.tasks.dagmath.meta import from_meta, rendering_of, verify_solution
from rlready.tasks.dagmath.passage import Analysis, Attempt, Step
from rlready.tasks.dagmath.render import LETTERS
from rlready.tasks.dagmath.vocabulary import NUMBERS, SIGNS, WORDS

QUESTION = (
    "A baker fills 7 trays with 12 rolls each and gives a third of the rolls away. She packs the rest in bags of 4, "
    "sells each bag for $3 and gets a tip of $5. How much money does she make?"
)
LINES = (
    "She bakes 7*12=<<7*12=84>>84 rolls.",
    "She gives 84/3=<<84/3=28>>28 rolls away.",
    "So 84-28=<<84-28=56>>56 rolls are left.",
    "She fills 56/4=<<56/4=14>>14 bags.",
    "She makes 14*3+5=$<<14*3+5=47>>47.",
)
BAKER = "\n".join(LINES)
ALL = frozenset(BEHAVIOURS)


def source(seed: int, rendering: str, ops: int = 7) -> str:
    return f"dagmath?ops={ops}&asked=2&max_terms=4&working=short&rendering={rendering}&n=1&seed={seed}"


def one(text: str) -> Worked:
    return worked(open_task(text), text)[0]


def prose(solution: str, behaviours: frozenset[Behaviour] = ALL, p: float = 1.0, seed: str = "0") -> str:
    return proserow.splice(QUESTION, solution, Fraction(47), behaviours, p, seed).text


# -------------------------------------------------------------------------------------------- the walk


@given(st.integers(0, 10**6), st.integers(2, 14), st.floats(0, 1))
def test_a_walk_solves_every_step_once_and_fails_only_where_it_must(seed: int, n: int, p: float) -> None:
    rng = random.Random(seed)
    keys = [str(i) for i in range(n)]
    parents = {k: tuple(rng.sample(keys[:i], min(i, rng.randint(0, 2)))) for i, k in enumerate(keys)}
    idle = {f"r{i}": tuple(rng.sample(keys, rng.randint(1, 2))) for i in range(2)}
    events = list(walk(keys, parents | idle, rng, p=p, redundant=[*idle]))
    solved = list[str]()
    for event in events:
        missing = [k for k in (parents | idle)[event.key] if k not in solved]
        assert missing == (list(event.missing) if isinstance(event, Fail) else [])
        if isinstance(event, Solve):
            solved.append(event.key)
    assert sorted(k for k in solved if k in parents) == sorted(keys)
    assert len(set(solved)) == len(solved)
    assert isinstance(events[0], Solve)
    assert isinstance(events[-1], Solve)
    assert isinstance(events[-2], Solve)
    assert not any(isinstance(a, Fail) and isinstance(b, Fail) for a, b in pairwise(events))
    if p == 0:
        assert [e.key for e in events] == keys


def test_failed_attempts_are_about_as_many_as_in_bridges_code() -> None:
    """0.84 an answer, 57 % of answers, measured on its own generator at 15-20 operations and p = 0.1."""
    text = "dagmath?ops=15-20&rendering=words&n=150&seed=3"
    failed = [inject_row(row, {"explore"}, 0.1, row.problem.id)[1].failed for row in worked(open_task(text), text)]
    assert 0.5 < sum(failed) / len(failed) < 1.2
    assert 0.4 < sum(map(bool, failed)) / len(failed) < 0.75


def test_three_jumps_in_ten_go_to_redundant_parameters() -> None:
    """As in BRIDGE's code: of the first jump of each walk, where both kinds are there."""
    order, parents = ["a", "b", "c", "d"], {"a": (), "b": ("a",), "c": ("b",), "d": ("c",), "x": ("d",), "y": ("x",)}
    first = []
    for seed in range(2000):
        events = walk(order, parents, random.Random(seed), p=1.0, redundant=["x", "y"])
        first.append(next(e.key for e in events if isinstance(e, Fail)))
    assert {*first} == {"c", "d", "x", "y"}
    assert 0.27 < sum(key in {"x", "y"} for key in first) / len(first) < 0.33


# --------------------------------------------------------------------------------------------- graphs


@settings(max_examples=40)
@given(
    st.integers(0, 200),
    st.sampled_from(["symbols", "words"]),
    st.sets(st.sampled_from(BEHAVIOURS), min_size=1),
    st.floats(0, 1),
)
def test_rows_with_behaviours_verify(seed: int, rendering: str, behaviours: set[Behaviour], p: float) -> None:
    row = one(source(seed, rendering))
    made, splice = inject_row(row, behaviours, p, "s")
    assert row.graph is not None
    assert verify_solution(row.graph, made.thinking, made.response).strict
    assert (splice.before, splice.text) == (row.thinking, made.thinking)
    assert (made.problem, made.response) == (row.problem, row.response)
    dag, letters = from_meta(row.graph)
    passages = list(rendering_of(row.graph).read_passages(made.thinking, dag, letters))
    assert sum(isinstance(x, Attempt) for x in passages) == splice.failed
    assert "analyse" in behaviours or not any(isinstance(x, Analysis) for x in passages)
    assert "explore" in behaviours or (splice.failed, splice.solved_early) == (0, 0)
    assert {kind for _, _, kind in splice.spans} <= {*behaviours, "moved"}
    assert inject_row(row, behaviours, p, "s")[0] == made
    known = {*NUMBERS, *SIGNS, *WORDS, *(x + m for x in LETTERS for m in ("", "=", ":"))}
    assert rendering == "words" or {*made.thinking.split()} <= known


@pytest.mark.parametrize("rendering", ["symbols", "words"])
def test_every_behaviour_is_written_and_an_error_in_it_is_found(rendering: str) -> None:
    lies = Counter[str]()
    for seed in range(12):
        row = one(source(seed, rendering))
        assert row.graph is not None
        made, splice = inject_row(row, ALL, 0.5, "s")
        for start, end, kind in splice.spans:
            said = made.thinking[start:end]
            words = said.split(" ")
            for i, word in enumerate(words):
                number = word.rstrip(".").isdigit()
                lie = " ".join([*words[:i], word.replace(word.rstrip("."), "12"), *words[i + 1 :]])
                if kind in ("analyse", "compute") and number and word.rstrip(".") != "12":
                    text = made.thinking[:start] + lie + made.thinking[end:]
                    assert not verify_solution(row.graph, text, row.response).strict, lie
                    lies[kind] += 1
        twice = rendering_of(row.graph).join([made.thinking, made.thinking])  # idle, but for attempts: those are false
        assert verify_solution(row.graph, twice, row.response).strict == (splice.failed == 0)
        lies["explore"] += splice.failed > 0
        if splice.counts["analyse"] + splice.failed:
            with pytest.raises(Unfit, match="already"):
                inject_row(made, ALL, 0.5, "s")
    assert min(lies[b] for b in BEHAVIOURS) > 0


def test_analysis_is_as_frequent_as_in_bridges_code() -> None:
    """By the number of operands, a constant included: .4, .8 and 1 from four on; never without parents."""
    text = "dagmath?ops=14&asked=2&max_terms=4&n=150&seed=3"
    shown: dict[int, list[bool]] = {}
    for row in worked(open_task(text), text):
        dag, letters = from_meta(row.graph or {})
        made, _ = inject_row(row, {"analyse"}, 0.0, row.problem.id)
        passages = list(rendering_of(row.graph or {}).read_passages(made.thinking, dag, letters))
        analysed = {x.key for x in passages if isinstance(x, Analysis)}
        for step in passages:
            if isinstance(step, Step):
                expr = dag.exprs[step.key]
                operands = min(binary_operations(expr) + 1, 4) if references(expr) else 0
                shown.setdefault(operands, []).append(step.key in analysed)
    for operands, wanted in ((0, 0.0), (2, 0.4), (3, 0.8), (4, 1.0)):
        many = shown[operands]
        assert abs(sum(many) / len(many) - wanted) <= 4 * (wanted * (1 - wanted) / len(many)) ** 0.5, operands


def test_p_of_nothing_changes_nothing() -> None:
    row = one(source(1, "symbols"))
    assert inject_row(row, {"explore"}, 0.0, "s")[0] == row


@settings(max_examples=15)
@given(st.integers(0, 200), st.sampled_from(["symbols", "words"]))
def test_permutations_are_the_same_problem_four_times(seed: int, rendering: str) -> None:
    row = one(source(seed, rendering))
    asked, told = list(premises(row, random.Random(0))), list(chains(row, random.Random(0)))
    assert len(asked) == len(told) == COPIES
    for other in (*asked, *told):
        assert other.graph is not None
        assert verify_solution(other.graph, other.thinking, other.response).strict
        assert other.response == row.response
    cut = " " if rendering == "symbols" else ". "
    assert all(other.thinking == row.thinking for other in asked)
    assert len({other.problem.prompt for other in asked} | {row.problem.prompt}) == COPIES + 1
    assert len({tuple(sorted(other.problem.prompt.split(cut))) for other in asked}) == 1
    assert all(sorted(other.thinking.split()) == sorted(row.thinking.split()) for other in told)
    assert all(other.problem == row.problem for other in told)


def test_chains_of_a_row_with_room_are_all_different() -> None:
    row = one(source(3, "symbols", ops=9))
    assert len({other.thinking for other in chains(row, random.Random(0))} | {row.thinking}) == COPIES + 1


# ------------------------------------------------------------------------------- calculator annotations


def test_behaviours_in_prose_read_as_meant() -> None:
    found = "\n".join(prose(BAKER, seed=str(seed)) for seed in range(60))
    assert "From the steps above I know how many rolls she bakes (84) and how many rolls she gives away (28)." in found
    assert 'From the question: "A baker fills 7 trays with 12 rolls each and gives a third of the rolls away."' in found
    assert "She makes 14*3+5=42+5=$<<14*3+5=47>>47." in found
    assert (
        "Let me try to work out how many bags she fills first. "
        "But that depends on how many rolls are left, which I do not know yet, so I step back.\nSo 84-28" in found
    )
    assert (
        "Can I already work out the answer? Not yet: I still have to find out how many bags she fills. "
        "Let me step back and do the other steps first." in found
    )


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(0, 1), st.sets(st.sampled_from(BEHAVIOURS), min_size=1))
def test_prose_verifies_and_any_line_out_of_place_does_not(seed: int, p: float, behaviours: set[Behaviour]) -> None:
    row = Worked(Problem("x", QUESTION, "47"), BAKER, "#### 47", BAKER)
    made, splice = inject_row(row, behaviours, p, str(seed))
    assert splice.before == BAKER
    assert made == inject_row(row, behaviours, p, str(seed))[0]
    lines = made.thinking.split("\n")
    for i, line in enumerate(lines):
        if proserow.INSERTED.fullmatch(line):
            late = "\n".join([*lines[:i], *lines[i + 1 :], line])
            with pytest.raises(Contradiction, match="does not hold"):
                proserow.check_solution(QUESTION, late, Fraction(47))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("=42+5=", "=41+6-1="),
        ("she bakes (84)", "she bakes (85)"),
        ("trays with 12 rolls", "trays with 13 rolls"),
        ("depends on how many rolls are left", "depends on how many rolls she bakes"),
    ],
)
def test_an_error_in_prose_is_found(old: str, new: str) -> None:
    text = next(t for seed in range(60) if old in (t := prose(BAKER, seed=str(seed))))
    with pytest.raises((Contradiction, Unfit)):
        proserow.check_solution(QUESTION, text.replace(old, new), Fraction(47))


def test_numbers_that_are_not_known_yet_are_not_shown() -> None:
    lines = [*LINES[:3], "She fills 56/4=<<56/4=14>>14 bags for the 56 rolls.", LINES[4]]
    for seed in range(60):
        seen = f"{QUESTION} third 3"
        for line in prose("\n".join(lines), seed=str(seed)).split("\n"):
            if proserow.INSERTED.fullmatch(line):
                assert set(re.findall("[0-9]+", line)) <= set(re.findall("[0-9]+", seen))
            seen += f" {line}"


def test_a_pronoun_is_used_only_where_it_means_the_same_person() -> None:
    question = "Ann has 3 bags of 8 nuts. Bob has half as many nuts as Ann and eats 1. How many nuts are left in all?"
    lines = (
        "Ann has 3*8=<<3*8=24>>24 nuts.",
        "Bob has 24/2=<<24/2=12>>12 nuts.",
        "He keeps 12-1=<<12-1=11>>11 nuts.",
        "In all 24+11=<<24+11=35>>35 nuts are left.",
    )
    texts = [
        proserow.splice(question, "\n".join(lines), Fraction(35), {"explore"}, 1.0, str(seed)).text
        for seed in range(30)
    ]
    halves = [text.split("\nBob has 24/2") for text in texts]
    assert not any("how many nuts he keeps" in before for before, _ in halves)
    assert any("how many nuts he keeps" in after for _, after in halves)


def test_a_name_of_two_results_is_not_used_and_nothing_is_said_twice() -> None:
    """Ann has nuts twice; the number 12 stands in two sentences; two steps need the cups and the fans."""
    question = (
        "Ann has 12 red cups of 17 nuts for Bob. Bob has 12 blue cups of 23 maps for each fan. Who has 41 fans in it?"
    )
    lines = (
        "Ann has 12*17=<<12*17=204>>204 nuts.",
        "Ann has 204+17=<<204+17=221>>221 nuts.",
        "Bob has 221*12=<<221*12=2652>>2652 cups.",
        "Bob has 2652+23=<<2652+23=2675>>2675 maps.",
        "Bob needs 2652+2675=<<2652+2675=5327>>5327 fans.",
        "Bob sold 2652+5327=<<2652+5327=7979>>7979 keys.",
        "All in all 7979+2652+5327=<<7979+2652+5327=15958>>15958 things are there.",
    )
    texts = [
        proserow.splice(question, "\n".join(lines), Fraction(15958), ALL, 1.0, str(seed)).text for seed in range(80)
    ]
    assert any("how many cups Bob has (2652)" in text for text in texts)
    for text in texts:
        assert "how many nuts Ann has" not in text
        assert '"' not in text.split("\nBob has 221*12")[0].split("\n")[-1]
        assert text.count("how many cups Bob has (2652)") <= 1
        missing = re.findall(r"(?:depends on|find out|need to know) (how many \w+ Bob \w+)", text)
        assert len(missing) == len({*missing})
    assert any(text.count("Let me") > 1 for text in texts)


@pytest.mark.parametrize(
    ("cups", "lost", "last", "recalled"),
    [
        (14, 38, "In all", True),
        (14, 35, "In all", False),  # 56 is what two steps have worked out
        (15, 38, "In all", False),  # 60 may be the minutes of an hour
        (14, 38, "While", False),  # the line goes on from the one before
    ],
)
def test_a_number_that_may_be_another_is_not_recalled(cups: int, lost: int, last: str, recalled: bool) -> None:
    question = (
        f"Ann has {cups} cups in each of her 4 boxes. Bob had 91 keys. And he lost {lost} of his many keys in a park. "
        "Cleo has 17 fans in each of 3 bags. How many things are left?"
    )
    red, keys = cups * 4, 91 - lost
    lines = (
        f"Ann has {cups}*4=<<{cups}*4={red}>>{red} cups.",
        "Cleo has 17*3=<<17*3=51>>51 fans.",
        f"Bob has 91-{lost}=<<91-{lost}={keys}>>{keys} keys left after the park.",
        f"{last} {red}+51=<<{red}+51={red + 51}>>{red + 51} things are left.",
    )
    texts = [
        proserow.splice(question, "\n".join(lines), Fraction(red + 51), {"analyse"}, 0.0, str(seed)).text
        for seed in range(30)
    ]
    assert any("how many fans Cleo has (51)" in text for text in texts) is recalled
    assert not any('"And' in text for text in texts)


def test_a_sentence_is_not_quoted_where_another_number_is_not_told() -> None:
    """Four eat, and the recipe makes four."""
    question = (
        "The recipe bakes 1 serving of 4 pancakes. The 3 girls and Ann want a serving and a half. How many servings?"
    )
    line = "Ann and the 3 girls want 4*1.5=<<4*1.5=6>>6 servings of pancakes."
    texts = [proserow.splice(question, line, Fraction(6), {"analyse"}, 0.0, str(seed)).text for seed in range(30)]
    assert {*texts} == {line}


def test_a_failed_attempt_does_not_name_one_thing_twice() -> None:
    question = "Ann buys 13 teas at $4 and 17 cakes at $3 with a tip of $19. How much is left of $400?"
    lines = (
        "Ann buys 13+17=<<13+17=30>>30 things.",
        "The total cost of the order is 13*4+17*3=$<<13*4+17*3=103>>103.",
        "Then find the total cost of the order for the party: 103+19=$<<103+19=122>>122",
        "So 400-122-103=$<<400-122-103=175>>175 are left.",
    )
    texts = [
        proserow.splice(question, "\n".join(lines), Fraction(175), {"explore"}, 1.0, str(seed)).text
        for seed in range(30)
    ]
    assert any("the total cost of the order" in text.split("\nThe total")[0] for text in texts)
    assert not any("the total cost of the order and" in text or "and the total cost" in text for text in texts)


def test_a_length_is_recalled_with_its_unit() -> None:
    note = "<<9-2=7>>"
    found = quantity(f"First find how much longer the tail is: 9 cm - 2 cm = {note}7 cm", note)
    assert found is not None
    assert (found.name, found.shown) == ("how much longer the tail is", "7 cm")


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("5+3*2=11", ["5 + 6"]),
        ("(5+3)*2/4=4", ["8 * 2 / 4", "16 / 4"]),
        ("10-(2+3)-1=4", ["10 - 5 - 1", "5 - 1"]),
        ("2*-3+1=-5", ["-6 + 1"]),
        ("2*3+4*5+6=32", ["6 + 4 * 5 + 6", "6 + 20 + 6", "26 + 6"]),
        ("4/2=2", []),
    ],
)
def test_calculations_one_operation_at_a_time(text: str, chain: list[str]) -> None:
    assert [write_calculation(calc) for calc in reductions(read_annotation(text).calc)] == chain


UNREAD = ("10^2", "5!", "√16", "3²", "1e3 + 1", "2**3", "½ * 94", "٤٧", "sqrt(16)")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("She makes 14*3+5=$<<14*3+5=48>>48.", "an annotation is wrong"),
        ("She makes 14*3+5=$<<14*3+5=47>>48.", "an annotation is followed by another number than its result"),
    ],
)
def test_a_contradiction_names_its_step(line: str, why: str) -> None:
    with pytest.raises(Doubtful, match=why) as doubt:
        prose("\n".join([*LINES[:4], line]))
    assert doubt.value.step == 5


@pytest.mark.parametrize(
    ("solution", "why"),
    [
        ("It is 47.", "no calculator annotations"),
        ("\n".join(LINES[:4]), "not the result of the last annotation"),
        ("\n".join([*LINES, "Her 3 sons get 48/3=<<48/3=16>>16."]), "not the result of the last annotation"),
        (f"She bakes 7*12=80 rolls.\n{BAKER}", "equation without an annotation does not hold"),
        (f"{BAKER} That is 47/2 = $24 each.", "equation without an annotation does not hold"),
        (f"14 bags at $3 are 14 x 3 = $45, so {LINES[4]}", "equation without an annotation does not hold"),
        ("She makes 14*3+5=$<<__import__('os')=47>>47.", "not plain arithmetic"),
        ("She makes 14*3=40+5=42+5=<<42+5=47>>47.", "equation .* does not hold"),
        ("She makes 14*3+6=$<<14*3+5=47>>47.", "equation .* does not hold"),
        ("14 x 3 + 6 = $<<14*3+5=47>>47.", "equation .* does not hold"),
        *((f"She makes {unread}=<<14*3+5=47>>47.", "a sign that is not read") for unread in UNREAD),
        (f"She thinks that 10^2=1000.\n{BAKER}", "a sign that is not read"),
        (f"{BAKER} So 10^2=1000.", "a sign that is not read"),
        (f"I already know how many rolls she bakes (84).\n{BAKER}", "already"),
        (f'{BAKER}"', "quotation mark"),
        (f"{LINES[0]}   {LINES[1]}", "run of spaces"),
        ("x <<1/0=47>>47", "division by zero"),
        ("3x = 141, so x = <<47=47>>47.", "calculates nothing"),
        ("She has 61-14=<<61-14=47>>47.", "a number that comes from nowhere"),
        ("Beth makes 14*3+5=$<<14*3+5=47>>47.", "a person whom the question does not name"),
        ("She makes the the 14*3+5=$<<14*3+5=47>>47.", "a slip"),
        (f"{BAKER} There are 2 + 1 people.", "a slip"),
        (f"{BAKER} She need a box.", "a slip"),
        (f"{BAKER} A box will costs $2.", "a slip"),
        (f"{BAKER} That is 4, 700 cents.", "a slip"),
        (f"{BAKER}\nShe makes $46 because 14*3+5 = <<14*3+5=47>>47", 'before "because" is another number'),
    ],
)
def test_what_cannot_be_parsed_says_why(solution: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        prose(solution)


@pytest.mark.parametrize(
    "plain",
    [
        "Mohammed",
        "She makes $47 because 14*3+5 = <<14*3+5=47>>47",
        "By 7*7-2=<<47=47>>47",
        "4x + 12 = 56",
        "12/5 = 2 and 2/5",
        "3/2 = 1 1/2",
        "$1/2 = 50 cents",
        "by day -3 + 5 = 8",
        "7*12 = 84",
        "= 3",
    ],
)
def test_an_equation_in_prose_may_be_more_than_arithmetic(plain: str) -> None:
    assert prose(f"{plain}\n{BAKER}", p=0.0)


@pytest.mark.parametrize(
    "before", ["14 bags x $3 + 5", "on day 5", "14 x 3 + 5", "94 ÷ (1+1)", "the 14 * 3 + 5", "14/0"]
)
def test_what_stands_before_an_annotation_may_be_prose(before: str) -> None:
    assert prose(f"She makes {before} = $<<14*3+5=47>>47.", p=0.0)


def test_a_question_in_another_language_is_unfit() -> None:
    """The sentences are English; with words of English it is taken."""
    thinking = "Er hat 3*4=<<3*4=12>>12 Äpfel."
    with pytest.raises(Unfit, match="its question is not in English"):
        solution("Tom hat 3 Tüten mit je 4 Äpfeln. Wie viele sind es?", thinking, Fraction(12))
    assert solution("Tom has 3 bags of 4. How many are there?", thinking, Fraction(12))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "She has 1" + " + 1" * 300 + " = 301 eggs, 2+3=<<2+3=5>>5.",
            "a calculation has more than 100 numbers and signs",
        ),
        ("(" * 300 + "2+3=<<2+3=5>>5", "a calculation has more than 100 numbers and signs"),
        ("x" * 3000 + " 2+3=<<2+3=5>>5.", "its question or its solution is longer than 3,000 characters"),
        ("1 + " * 740 + "2+3=<<2+3=5>>5", "a calculation has more than 100 numbers and signs"),
    ],
)
def test_a_row_that_is_too_long_is_unfit(line: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        solution("2 and 3?", line, Fraction(5))


@pytest.mark.parametrize("unit", ["<<1+1=2>>2 ", "1,", "= 1 ", "In a, ", "A and "])
def test_a_row_takes_seconds_at_most(unit: str) -> None:
    """Whatever it says: some patterns need time that grows with the square of a sentence."""
    end = "2+3=<<2+3=5>>5 eggs."
    began = time.process_time()
    with suppress(Unfit, Contradiction):
        proserow.read_row(unit * (3000 // len(unit)), unit * ((3000 - len(end)) // len(unit)) + end, Fraction(5))
    assert time.process_time() - began < 5


def test_analysis_is_as_likely_as_all_operands_make_it() -> None:
    """Three, two of them constants: .8 and not the .1 of one."""
    text = "The trays hold 7*10*24=<<7*10*24=1680>>1680 rolls."
    texts = [proserow.splice(QUESTION, text, Fraction(1680), {"analyse"}, 0.0, str(seed)).text for seed in range(100)]
    assert 65 <= sum("7 trays with 12 rolls" in made for made in texts) <= 95


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("She bakes 7*12=<<7*12=84>>84 rolls.", "how many rolls she bakes"),
        ("So in total, Ann has 3 + 4 = <<3+4=7>>7 red pens left.", "how many red pens Ann has left in total"),
        ("On Monday, he paid $2 x 3 = $<<2*3=6>>6 for tea.", "how much he paid for tea on Monday"),
        ("He earns $9 * 3 = $<<9*3=27>>27.", "how much money he earns"),
        ("The total cost of the tea is $2 + $3 = $<<2+3=5>>5", "the total cost of the tea"),
        ("There are 48 girls because 120 x .4 = <<120*.4=48>>48", "how many girls there are"),
        ("Then add them to find how much he spends on tea: $2 + $3 = $<<2+3=5>>5", "how much he spends on tea"),
        ("Ann is 3 * 4 = <<3*4=12>>12 years old.", "how old Ann is"),
        ("6/2 = <<6/2=3>>3 boys are at home.", "how many boys are at home"),
        ("Mr. Lee and he run 3*2=<<3*2=6>>6 miles.", None),  # no subject of one of the patterns
        ("He had $9 - $3 = $<<9-3=6>>6 remaining money.", None),
        ("It costs 3*2=$<<3*2=6>>6.", None),  # what?
        ("She has 3*2=<<3*2=6>>6.", None),  # of what?
        ("She is 3*2=<<3*2=6>>6 weeks late.", None),
        ("She has 3*2=<<3*2=6>>6 pens in that box.", None),
        ("This is 3*2=<<3*2=6>>6 more apples than that.", None),
        ("In two years Ann will be 3 times as old, so she will be 3*4=<<3*4=12>>12 years old.", None),  # when is lost
        ("He sold 3*2=<<3*2=6>>6 pens and pencils.", None),  # pens and pencils, or pens?
        ("He works 20/100*50=<<20/100*50=10>>10% of them.", None),
        ("He spent 2*9=<<2*9=18>>18 minutes washing cars.", "how many minutes he spent washing cars"),
        ("He spends 2*9=<<2*9=18>>18 hours.", None),  # on what?
        ("He made 2*9=<<2*9=18>>18 cans of pie filling.", "how many cans of pie filling he made"),
        ("Ann has 9-2=<<9-2=7>>7 pens more than Bob.", "how many more pens Ann has than Bob"),
        ("His team scored 9-2=<<9-2=7>>7 points all together.", "how many points his team scored all together"),
        ("In total, the overall score of Ann is 9-2=<<9-2=7>>7", "the overall score of Ann"),
        ("Wednesday Ann will sell 9-2=<<9-2=7>>7 pens.", None),
        ("The second year they sell 9-2=<<9-2=7>>7 pens.", None),
        ("There are 9-2=<<9-2=7>>7 rooms he needs keys for.", None),
        ("The pen will only cost 9-2=$<<9-2=7>>7.", None),
        ("He has 9-2=<<9-2=7>>7 -foot ropes.", None),
        ("First find the time he reads: 9-2=<<9-2=7>>7", None),  # 7 of what?
    ],
)
def test_names_of_quantities(sentence: str, name: str | None) -> None:
    found = quantity(sentence, sentence[sentence.index("<<") : sentence.index(">>") + 2])
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("5+10+14 = $<<5+10+14=29>>29", "5+10+14 = 15+14 = $29"),
        ("$7.00 - $4.20 - $2.05 = $<<7-4.2-2.05=0.75>>0.75", "$7.00 - $4.20 - $2.05 = $2.80 - $2.05 = $0.75"),
        ("1,200 + 300 + 2 = <<1200+300+2=1502>>1,502", "1,200 + 300 + 2 = 1,500 + 2 = 1,502"),
        ("20 x 3/5=<<20*3/5=12>>12", "20 x 3/5=60 / 5=12"),
        ("9 – 2 – 3 = <<9-2-3=4>>4", "9 – 2 – 3 = 7 – 3 = 4"),
        ("$5 x 4 + $2 = $<<5*4+2=22>>22", "$5 x 4 + $2 = $22"),  # which of the numbers in between are dollars?
        ("2 - 5 + 7 = <<2-5+7=4>>4", "2 - 5 + 7 = 4"),  # -3 pens
        ("1/3*6+1 = <<1/3*6+1=3>>3", "1/3*6+1 = 3"),  # 0.333333
        ("$9.00 + $7.00 + $4.50 = $<<9+7+4.5=20.5>>20.50", "$9.00 + $7.00 + $4.50 = $16.00 + $4.50 = $20.50"),
        ("1/2 + 1 + 1/2 = <<1/2+1+1/2=2>>2", "1/2 + 1 + 1/2 = 2"),  # 0.5 + 1 + 1/2
        ("1+1+1+1+1+1+1 = <<1+1+1+1+1+1+1=7>>7", "1+1+1+1+1+1+1 = 7"),  # too long to read
    ],
)
def test_operations_are_written_out_as_the_line_writes_them(line: str, written: str) -> None:
    pieces = insert(line, [(place, what, "compute") for place, what in computations(line)])
    assert ANNOTATION.sub("", "".join(piece.text for piece in pieces)) == written


WHO = st.sampled_from(["Ann", "Bob", "Cleo", "The baker", "He", "While Ann", "It"])
DOES = st.sampled_from(["has", "has", "needs", "bought", "is", "paid for"])
WHAT = st.sampled_from(
    [" cups", " red cups", " keys in the box", " keys left", "", "%", " more keys than Ann", " of it"]
)


@st.composite
def annotated(draw: st.DrawFn) -> tuple[str, str, Fraction]:
    """A question and a solution in the style of GSM8K; each step uses the last result and a number of the question."""
    numbers = draw(st.lists(st.integers(13, 59), min_size=2, max_size=4, unique=True))
    owners = [draw(st.sampled_from(["Ann", "Bob", "Cleo", "The baker"])) for _ in numbers]
    told = [
        f"{who} has {n} keys and cups in the box {box}." for who, n, box in zip(owners, numbers, "ABCD", strict=False)
    ]
    last, lines = Fraction(numbers[0]), []
    for _ in range(draw(st.integers(2, 6))):
        terms = [last, *draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=3))]
        calc = str(terms[0]) + "".join(f"{draw(st.sampled_from('+-*'))}{term}" for term in terms[1:])
        if 1 <= (value := evaluate(arithmetic(calc))) < 10**6:
            money, last = draw(st.sampled_from(["", "", "$"])), value
            lines.append(f"{draw(WHO)} {draw(DOES)} {calc} = {money}<<{calc}={value}>>{value}{draw(WHAT)}.")
    return f"{' '.join(told)} What is left?", "\n".join(lines) or "x", last


@settings(max_examples=150)
@given(annotated(), st.integers(0, 99))
def test_what_is_written_into_prose_is_true_and_complete(row: tuple[str, str, Fraction], seed: int) -> None:
    """Of any solution: no value without a name, every calculation holds, a failed attempt is followed by its steps."""
    question, thinking, answer = row
    try:
        made, splice = inject_row(
            Worked(Problem("x", question, str(answer)), thinking, f"#### {answer}", thinking), ALL, 1.0, str(seed)
        )
    except Unfit:
        return
    assert final_answer(made.response) == str(answer)
    for start, end, _ in splice.spans:
        said = made.thinking[start:end]
        assert "?" not in re.sub(r"Can I already work out .*?\?", "", said), said
        assert "given)" not in said
        assert "  " not in said
        assert not re.search(r"\b(?:[Ww]hile|it|this|that) (?:Ann|has|is|needs|bought)|[0-9]\.0\b|\$[^0-9]", said), said
        for name in re.findall(r"(how (?:many|much|old) [^,.(]*)", said):
            assert re.search(r"[a-z] [A-Za-z]+", name), name
            assert not re.search(r"[0-9%*=]", name), name
    for note in ANNOTATION.finditer(made.thinking):
        calc = read_annotation(note[1])
        assert evaluate(calc.calc) == calc.value
        head = made.thinking[: note.start()].rsplit("\n", 1)[-1].rstrip(" $")
        for written in head.split("=")[1:-1]:  # what was written out
            assert evaluate(arithmetic(written)) == calc.value
    lines = made.thinking.split("\n")
    attempts = [i for i, line in enumerate(lines) if "step back" in line or "go back" in line]
    assert len(attempts) == splice.failed
    for i in attempts:
        missing = re.search(r"(?:depends on|find out|need to know) (.*?)(?:, which|\. Let)", lines[i])
        assert missing
        assert i + 1 not in attempts
        assert any(missing[1] not in line for line in lines[i + 1 :])  # steps follow
        assert not any(missing[1] in line for line in lines[:i])  # it was not known, nor found missing, before


# --------------------------------------------------------------------------------------------- the verb


def gsm8k(path: Path, *solutions: str) -> str:
    rows = [{"question": QUESTION, "answer": f"{solution}\n#### 47"} for solution in solutions]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"gsm8k:{path}"


def test_dag_rows_are_written_read_back_and_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = InjectConfig(rows=source(1, "symbols").replace("n=1", "n=30"), p=0.3)
    result = inject(config, tmp_path / "a")
    again = inject(config, tmp_path / "b" / "other.jsonl")
    other = inject(config.replace(seed=1), tmp_path / "c")
    assert other.length_before == result.length_before
    assert (tmp_path / "a" / "rows.jsonl").read_bytes() != (tmp_path / "c" / "rows.jsonl").read_bytes()
    assert (tmp_path / "a" / "rows.jsonl").read_bytes() == (tmp_path / "b" / "other.jsonl").read_bytes()
    assert inject(config, tmp_path / "a") == result
    with pytest.raises(UserError, match=r"holds other.jsonl, not mine.jsonl"):
        inject(config, tmp_path / "b" / "mine.jsonl")
    task = open_task(str(tmp_path / "a" / "rows.jsonl"))
    for problem, row in zip(task.problems(), task.rows(), strict=True):
        assert task.verify(problem, row.thinking or "", row.response).strict
    assert result.rows_out == 30
    assert result.behaviours == again.behaviours
    assert all(result.behaviours[b].times > 0 for b in BEHAVIOURS)
    card = (tmp_path / "a" / "README.md").read_text()
    assert f"| sub-goal computation | {result.behaviours['compute'].times} |" in card
    assert "data_files: rows.jsonl" in card
    capsys.readouterr()
    assert main(["show", "--diff", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr().out
    assert "+ compute" in shown
    assert "before" in shown
    assert main(["show", "--diff", str(tmp_path / "a"), "nobody"]) == 2


def test_the_cost_is_told_in_the_tokens_of_a_checkpoint(tmp_path: Path) -> None:
    """The embedded vocabulary has a token a word, which is what makes the two comparable."""
    rows = source(1, "symbols").replace("n=1", "n=5")
    words = inject(InjectConfig(rows=rows), tmp_path / "words")
    tokens = inject(InjectConfig(rows=rows, tokenizer="embedded"), tmp_path / "tokens")
    assert (words.unit, tokens.unit) == ("words", "tokens")
    assert tokens.length_after.value == words.length_after.value > words.length_before.value
    assert "tokens per row, after" in (tmp_path / "tokens" / "README.md").read_text()
    assert "tokens per row (" in tokens.headline
    with pytest.raises(UserError, match="nowhere"):
        inject(InjectConfig(rows=rows, tokenizer="./nowhere"), tmp_path / "none")


def test_rows_written_can_be_permuted_and_injected_again(tmp_path: Path) -> None:
    inject(InjectConfig(rows=source(1, "words").replace("n=1", "n=3"), method="vanilla"), tmp_path / "v")
    rows = str(tmp_path / "v" / "rows.jsonl")
    for method in ("premises", "chains"):
        made = inject(InjectConfig(rows=rows, method=method), tmp_path / method)
        assert (made.rows_in, made.rows_out) == (3, 3 * COPIES)
        task = open_task(str(tmp_path / method / "rows.jsonl"))
        for problem, row in zip(task.problems(), task.rows(), strict=True):
            assert task.verify(problem, row.thinking or "", row.response).strict
    assert inject(InjectConfig(rows=rows), tmp_path / "i").rows_out == 3


def test_gsm8k_rows_lose_their_annotations_and_keep_their_answers(tmp_path: Path) -> None:
    text = gsm8k(tmp_path / "train.jsonl", BAKER, "It is 47.", BAKER)
    result = inject(InjectConfig(rows=text, p=1.0), tmp_path / "i")
    assert result.unfit == {"it has no calculator annotations": 1}
    assert (result.rows_in, result.rows_out) == (3, 2)
    assert "no calculator annotations" in (tmp_path / "i" / "README.md").read_text()
    task, before = open_task(str(tmp_path / "i" / "rows.jsonl")), open_task(text)
    fit = [before.rows()[0], before.rows()[2]]
    for problem, row, old in zip(task.problems(), task.rows(), fit, strict=True):
        assert "<<" not in (row.thinking or "")
        assert before.verify(problem, "", row.response).correct
        assert task.verify(problem, "", row.response).correct
        assert (row.id, row.prompt, row.response) == (old.id, old.prompt, old.response)
    vanilla = inject(InjectConfig(rows=text, method="vanilla"), tmp_path / "v")
    assert vanilla.unfit == result.unfit  # so that the two can be compared
    assert open_task(str(tmp_path / "v" / "rows.jsonl")).rows() == fit
    kept = inject(InjectConfig(rows=f"{text}?calculator=keep", p=1.0), tmp_path / "k")
    assert kept.behaviours == result.behaviours
    assert "<<84/3=28>>" in (tmp_path / "k" / "rows.jsonl").read_text()


@pytest.mark.parametrize("rendering", ["symbols", "words"])
@pytest.mark.parametrize("change", ["{}\n", " {}", "{}  ", "blank"])
def test_a_row_with_other_white_space_is_unfit(rendering: str, change: str) -> None:
    row = one(source(1, rendering))
    cut = " " if rendering == "symbols" else "\n"
    text = row.thinking.replace(cut, 2 * cut, 1) if change == "blank" else change.format(row.thinking)
    assert text != row.thinking
    with pytest.raises(Unfit, match="white space"):
        inject_row(replace(row, thinking=text, solution=text), ALL, 0.5, "s")


def test_gsm8k_rows_that_begin_with_an_annotation_are_left_out(tmp_path: Path) -> None:
    begun = "<<14*3+5=47>> 47 dollars."
    result = inject(InjectConfig(rows=gsm8k(tmp_path / "t.jsonl", begun, BAKER)), tmp_path / "i")
    assert result.unfit == {"without its annotations it begins or ends with white space": 1}


def test_show_diff_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = gsm8k(tmp_path / "train.jsonl", BAKER.replace("rolls.", "rolls\x1b[2J."))
    inject(InjectConfig(rows=text, p=1.0), tmp_path / "i")
    assert main(["show", "--diff", str(tmp_path / "i")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "⟨U+001B⟩[2J" in out


def test_the_report_shows_rows_before_and_after(tmp_path: Path) -> None:
    """What was written in is marked with its kind; text and kinds of a row are untrusted."""
    text = gsm8k(tmp_path / "train.jsonl", BAKER.replace("rolls.", "<em>rolls</em>."), "It is 47.")
    inject(InjectConfig(rows=text, p=1.0), tmp_path / "i")
    page = render(tmp_path / "i")
    assert "Rows before and after" in page
    assert page.count("Thought before") == 1  # the other row is as it was
    assert '<ins data-kind="compute">' in page
    assert "<em>" not in page
    assert "&lt;em&gt;rolls" in page
    file = tmp_path / "i" / BEFORE
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    record = tmp_path / "i" / "record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"files": {}}))  # as if it had been so from the start
    for spans, said in (
        ([[0, 5, '"><em>']], ""),
        ([[0, "?", "x"]], "inserted.0.1: input should be"),
        ("x", "inserted"),
    ):
        file.write_text("".join(json.dumps(line | {"inserted": spans}) + "\n" for line in lines))
        page = render(tmp_path / "i")
        assert "<em>" not in page
        assert said in page
    for odd in ("", '{"id": ["a"]}\n', '{"id": {}, "thinking": "x"}\n'):
        file.write_text(odd)
        assert "Rows before and after" not in render(tmp_path / "i")


def test_the_report_reads_the_rows_that_the_result_names(tmp_path: Path) -> None:
    inject(InjectConfig(rows=gsm8k(tmp_path / "train.jsonl", BAKER), p=1.0), tmp_path / "i" / "mine.jsonl")
    assert "Rows before and after" in render(tmp_path / "i")
    result, record = tmp_path / "i" / "result.json", tmp_path / "i" / "record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"files": {}}))  # as if it had been so from the start
    result.write_text(result.read_text().replace('"mine.jsonl"', '"/elsewhere/mine.jsonl"'))  # only beside it is read
    assert "Rows before and after" in render(tmp_path / "i")
    result.write_text(result.read_text().replace('"/elsewhere/mine.jsonl"', '".."'))
    assert "Rows before and after" not in render(tmp_path / "i")


@pytest.mark.parametrize("name", ["rows.jsonl", "before.jsonl"])
def test_a_finished_run_is_not_taken_for_whole_if_its_rows_are_not(tmp_path: Path, name: str) -> None:
    config, out = InjectConfig(rows=gsm8k(tmp_path / "train.jsonl", BAKER), p=1.0), tmp_path / "i"
    result = inject(config, out)
    assert inject(config, out) == result
    whole = (out / name).read_bytes()
    (out / name).write_bytes(whole[:-20])
    with pytest.raises(
        UserError, match="damaged, or not the file that the run has written: to make it again, add --ov"
    ):
        inject(config, out)
    (out / name).unlink()
    with pytest.raises(UserError, match=f"{name}: missing, although the run is finished"):
        inject(config, out)
    (out / name).write_bytes(whole)
    assert inject(config, out) == result


def refusal(rows: str, folder: Path, **options: object) -> str:
    out = folder / f"out-{len([*folder.iterdir()])}"
    with pytest.raises(UserError) as error:
        inject(InjectConfig(rows=rows).replace(**options), out)  # type: ignore[arg-type]
    assert not list(out.glob("*.jsonl"))
    return str(error.value)


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    wrong = gsm8k(tmp_path / "w.jsonl", BAKER, BAKER.replace("84/3=28>>28", "84/3=29>>29"))
    without = inject(InjectConfig(rows=wrong), tmp_path / "without")
    assert (without.rows_in, without.rows_out) == (2, 1)
    assert without.doubtful == [f"{tmp_path / 'w.jsonl'}:2, step 2: an annotation is wrong"]
    good = gsm8k(tmp_path / "g.jsonl", BAKER)
    for p in (-0.1, 1.5):
        assert re.search("^p (must|= nan)", refusal(good, tmp_path, p=p))
    assert "did you mean explore" in refusal(good, tmp_path, behaviours=("explor",))
    assert "method=vanilla" in refusal(good, tmp_path, behaviours=())
    assert "no row is fit: it has no graph" in refusal(good, tmp_path, method="chains")
    assert "no row" in refusal(gsm8k(tmp_path / "n.jsonl", "It is 47."), tmp_path)
    assert "no such file" in refusal(f"gsm8k:{tmp_path}/missing.jsonl", tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    assert "empty" in refusal(str(tmp_path / "empty.jsonl"), tmp_path)
    assert "rlready inject ROWS" in refusal("", tmp_path)
    assert f"write gsm8k:{tmp_path / 'g.jsonl'}" in refusal(str(tmp_path / "g.jsonl"), tmp_path)


def test_a_value_that_json_does_not_hold_is_refused_by_row(tmp_path: Path) -> None:
    row = {"prompt": QUESTION, "thinking": BAKER, "response": "#### 47", "answer": "47"}
    table = pa.Table.from_pylist([{**row, "made": value} for value in (None, datetime(2024, 5, 1))])
    pq.write_table(table, tmp_path / "dated.parquet")
    assert "dated.parquet row 2: cannot be written as JSON: Object of type datetime" in refusal(
        str(tmp_path / "dated.parquet"), tmp_path
    )
    (tmp_path / "half.jsonl").write_text(json.dumps({**row, "made": "\ud800"}) + "\n")
    said = refusal(str(tmp_path / "half.jsonl"), tmp_path)
    assert "half.jsonl:1: 'made' holds \\ud800, half of a surrogate pair" in said


def test_a_fixed_row_goes_into_the_same_folder(tmp_path: Path) -> None:
    text = gsm8k(tmp_path / "t.jsonl", BAKER.replace("84/3=28>>28", "84/3=29>>29"))
    with pytest.raises(UserError, match="step 2"):
        inject(InjectConfig(rows=text), tmp_path / "o")
    gsm8k(tmp_path / "t.jsonl", BAKER)
    assert inject(InjectConfig(rows=text), tmp_path / "o").rows_out == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda row: row["dag"]["exprs"].update({row["dag"]["needed"][0]: row["dag"]["needed"][0]}), "has a cycle"),
        (lambda row: row["dag"]["needed"].pop(), "not connected"),
        (lambda row: row["dag"]["values"].update({row["dag"]["asked"][0]: 99}), "contradicts its definition"),
        (lambda row: row["dag"].update(modulus="13"), "modulus must be null or a whole number"),
        (lambda row: row["dag"].update(modulus=0), "modulus must be null or a whole number"),
        (lambda row: row["dag"]["letters"].update({row["dag"]["asked"][0]: ["a"]}), r"letters \(text\)"),
        (lambda row: row["dag"].update(names={key: ["A", "B"] for key in row["dag"]["names"]}), "names .* different"),
        (lambda row: row.update(response="z: 1"), "not the right answer"),
        (lambda row: row.update(thinking=row["thinking"].replace("= ", "= 1 + ", 1)), "step [0-9]+: . is not defined"),
    ],
)
def test_broken_graphs_and_solutions_are_refused_by_line(tmp_path: Path, change, why: str) -> None:
    inject(InjectConfig(rows=source(1, "symbols").replace("n=1", "n=2"), method="vanilla"), tmp_path / "v")
    rows = [json.loads(line) for line in (tmp_path / "v" / "rows.jsonl").read_text().splitlines()]
    change(rows[1])
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=rf"bad\.jsonl:2: .*{why}"):
        inject(InjectConfig(rows=str(tmp_path / "bad.jsonl")), tmp_path / "o")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda dag: _define(dag, ["+", *dag["stated"][:2]], "Salt and Pepper"), "no parameter is called"),
        (lambda dag: _define(dag, ["+", *dag["stated"][:2]], "St. Mary"), "no parameter is called"),
        (lambda dag: _define(dag, ["-", 50, dag["stated"][0]]), "is not defined that way"),
        (lambda dag: _define(dag, ["+", dag["stated"][0], 5]), "a sum of 1 terms"),
        (lambda dag: _define(dag, ["*", dag["stated"][0], dag["stated"][1]]), "is not defined that way"),
    ],
)
def test_a_graph_that_words_cannot_say_is_refused_by_line(tmp_path: Path, change, why: str) -> None:
    inject(InjectConfig(rows=source(1, "words").replace("n=1", "n=2"), method="vanilla"), tmp_path / "v")
    rows = [json.loads(line) for line in (tmp_path / "v" / "rows.jsonl").read_text().splitlines()]
    change(rows[1]["dag"])
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=rf"bad\.jsonl:2: it cannot be written as steps: .*{why}"):
        inject(InjectConfig(rows=str(tmp_path / "bad.jsonl")), tmp_path / "o")


def _define(dag, expr, name: str = "Zoo") -> None:
    """A new parameter, asked for, that is defined this way, its first parent's owner called so."""
    dag["names"] = {k: [name, v[1]] if k in expr[1:2] else v for k, v in dag["names"].items()}
    values, (a, b) = dag["values"], (x if isinstance(x, int) else dag["values"][x] for x in expr[1:])
    value = {"+": a + b, "-": a - b, "*": a * b}[expr[0]]
    values["new"] = value % dag["modulus"] if dag["modulus"] else value
    dag["exprs"]["new"], dag["names"]["new"], dag["letters"]["new"] = expr, ["Zoo", "Yak"], "Q"
    dag["stated"].append("new")
    dag["asked"].append("new")
    seen, todo = set(), list(dag["asked"])
    while todo:
        seen.add(key := todo.pop())
        todo += references(from_meta(dag)[0].exprs[key])
    dag["needed"] = sorted(seen)


@pytest.mark.parametrize("method", ["premises", "chains"])
def test_intervals_are_over_source_rows_and_not_over_their_copies(method: str, tmp_path: Path) -> None:
    rows = "dagmath?ops=4&split=all&n=10&seed=2"
    alone = inject(InjectConfig(rows=rows, method="vanilla"), tmp_path / "alone")
    copied = inject(InjectConfig(rows=rows, method=method), tmp_path / "copied")
    assert (copied.rows_out, copied.length_before.n, copied.length_added.n) == (10 * COPIES, 10, 10)
    for each in (copied.length_before, copied.length_after):  # of as many words in any order
        assert (each.value, each.low, each.high) == pytest.approx(
            (alone.length_before.value, alone.length_before.low, alone.length_before.high)
        )


@pytest.mark.parametrize("method", ["behaviours", "vanilla", "premises", "chains"])
def test_a_row_whose_prompt_contradicts_its_graph_is_left_out(tmp_path: Path, method: Any) -> None:
    inject(InjectConfig(rows=source(1, "words").replace("n=1", "n=2"), method="vanilla"), tmp_path / "v")
    rows = [json.loads(line) for line in (tmp_path / "v" / "rows.jsonl").read_text().splitlines()]
    rows[1]["prompt"] = rows[1]["prompt"].replace("number", "share", 1)
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = inject(InjectConfig(rows=str(tmp_path / "odd.jsonl"), method=method), tmp_path / "o")
    assert result.unfit == {"its prompt is not that of its graph": 1}
    ids = {json.loads(line)["id"] for line in (tmp_path / "o" / "rows.jsonl").read_text().splitlines()}
    assert ids
    assert not any(id.startswith(rows[1]["id"]) for id in ids)


def test_the_rows_as_they_were_are_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose another name"):
        inject(InjectConfig(rows="dagmath?n=2&seed=1"), tmp_path / "before.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("calculation", "text", "given"),
    [
        ("1/3", "0.33", True),
        ("2/3", "0.67", True),
        ("2/3", "0.66", True),
        ("-2/3", "-0.66", True),
        ("1/3", "0.4", False),
        ("10/3", "3.4", False),
        ("2.5+1.24", "3.8", False),
        ("5/8", "0.7", False),
        ("1/2", "1", False),
    ],
)
def test_a_decimal_is_rounded_or_cut_and_nothing_else(calculation: str, text: str, given: bool) -> None:
    assert states(evaluate(arithmetic(calculation)), text) is given


def test_of_a_number_that_is_asked_and_worked_out_nothing_is_said() -> None:
    question = "4 boxes hold 2 pens each. Half are red; 4 red ones are given away. How many are left?"
    steps = solution(question, "4*2=<<4*2=8>>8\n8/2=<<8/2=4>>4\n4-4=<<4-4=0>>0", Fraction(0))
    assert [step.origin for step in steps] == [{Fraction(2): None}, {Fraction(8): 0, Fraction(2): None}, {}]


def test_a_row_whose_text_contradicts_its_annotation_is_left_out_and_named(tmp_path: Path) -> None:
    texts = ["4*2=<<4*2=8>>8\n8/2=<<8/2=4>>4\n#### 4", "4*2=<<4*2=8>>8\n8/3=<<8/2=4>>4\n#### 4"]
    rows = tmp_path / "train.jsonl"
    rows.write_text("".join(json.dumps({"question": "4 boxes of 2 pens?", "answer": t}) + "\n" for t in texts))
    result = inject(InjectConfig(rows=f"gsm8k:{rows}"), tmp_path / "run")
    (named,) = result.doubtful
    assert "train.jsonl:2, step 2: an equation before an annotation does not hold" in named
    assert named in (tmp_path / "run" / "README.md").read_text()


def test_every_behaviour_that_is_in_the_text_is_counted(tmp_path: Path) -> None:
    """Analyses in steps that no answer needs, too."""
    result = inject(InjectConfig(rows="dagmath?ops=5&asked=3&split=train&n=150&seed=5", p=0.3), tmp_path / "out")
    thoughts = [json.loads(line)["thinking"] for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    analyses = [len(re.findall(r"\bso\b", thought)) for thought in thoughts]
    assert result.behaviours["analyse"].times == sum(analyses) > 0
    assert result.behaviours["analyse"].rows == sum(map(bool, analyses))
    assert result.failed_attempts == sum(len(re.findall(r"\btry \w+ needs", thought)) for thought in thoughts)
