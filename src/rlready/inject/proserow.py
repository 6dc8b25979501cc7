"""Behaviours in a GSM8K solution, inserted by its graph (``prose.py``), and the checker of what they claim.

    Let me try to work out the answer first. But that depends on how many bags she packs, which I do not know yet, so I
    step back.
    The question says: "She packs the rest in bags of 4."
    From the steps above I know how many rolls she bakes (84) and how many rolls she gives away (28).
    ... 5 + 3 * 2 = 5 + 6 = 11 apples.

No paper has these sentences or this graph of prose.  Steps stay in their order, as a sentence refers to the one before,
so what is tried too early is always locked.  Analysis has the probabilities of ``graph.py`` by the number of operands
and, as in BRIDGE's code, repeats the condition that the question states.  An operation is written out only where a line
goes from one calculation of several operations to its result at once.  A quantity is always named (``quantities.py``),
never shown as a bare number.  Where it has no name, or its name would say a number or mean a person too early, nothing
is written.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate

from rlready.inject.calculator import ANNOTATION
from rlready.inject.errors import Contradiction, Unfit
from rlready.inject.graph import ANALYSIS
from rlready.inject.operations import computations
from rlready.inject.prose import ProseStep, said, solution
from rlready.inject.quantities import Quantity, capitals, last_person, quantity, sentences, word_set
from rlready.inject.splice import Behaviour, Insertion, Piece, Splice, Unit, insert
from rlready.inject.walk import Fail, walk

ATTEMPTS = (
    "Let me try to work out {} first. But that depends on {}, which I do not know yet, so I step back.",
    "Can I already work out {}? Not yet: I still have to find out {}. Let me step back and do the other steps first.",
    "I could work out {} right away. Wait, for that I need to know {}, which I have not found yet. Let me go back.",
)
QUOTES = ("The question says:", "I read in the question:", "From the question:")
RECALLS = ("From the steps above I know", "I already know", "I have already found out")
INSERTED = re.compile(
    "|".join([*(re.escape(text).replace(r"\{\}", ".+") for text in ATTEMPTS)])
    + f'|(?:{"|".join(QUOTES)}) ".+"(?: (?:{"|".join(RECALLS)}) .+)?'
    + rf"|(?:{'|'.join(RECALLS)}) .+ \(.+\)\."
)
CONTENT = re.compile(r"[A-Za-z]{3,}")
COMMON = word_set(
    "the and for how many much has have had was were are did does his her she they that this with from each total per "
    "all there their will would can could than more who what which there into out"
)
QUOTED_WORDS = range(4, 31)
NO_STATEMENT = re.compile(r"If |When |And |But |So |Calculate |Find |Determine |What |How |Assume |Assuming |Suppose ")
FOLLOWS = re.compile(r"[a-z]|(?:While|Whereas|Which|And|But|Or|This|That|These|Those|It|Because)\b")  # the line before
SAME_WORDS = 4  # in a row: then the step says again what would be quoted
REPEATED = 0.7  # share of a sentence's content words that the step says again: then it is not worth quoting


@dataclass(frozen=True)
class Row:
    """A question, the steps of its solution, and the names of their results, by step and value."""

    question: str
    steps: Sequence[ProseStep]
    names: dict[tuple[int, Fraction], Quantity]

    @property
    def asked(self) -> str:
        """The sentence of the question that asks."""
        return next((s for s in reversed(sentences(self.question)) if s.endswith("?")), "")

    def above(self, done: int) -> str:
        return "\n".join([self.question, *(step.text for step in self.steps[:done])])

    def can_name(self, step: int, value: Fraction, done: int) -> Quantity | None:
        """The name of a result of ``step`` where ``done`` steps are written, if it says nothing too early there."""
        name = self.names.get((step, value))
        if not name or not said(name.name) <= said(self.above(done)):
            return None
        if name.personal and last_person(self.above(done)) != name.person:
            return None
        if re.search(r"\bthe(?:y|ir)\b", name.name) and not re.search(r"\bthey\b", self.asked):
            return None  # else it means who the question asks about
        return name


def read_row(question: str, thinking: str, answer: Fraction | None) -> Row:
    """The row of an annotated solution; Unfit says why there is none."""
    steps = solution(question, thinking, answer)
    found = dict[tuple[int, Fraction], Quantity]()
    for n, step in enumerate(steps):
        above = "\n".join([question, *(earlier.text for earlier in steps[:n])])
        for calc, (line, note) in zip(step.calcs, step.notes, strict=True):
            if name := quantity(line, note):
                person = last_person(f"{above}\n{step.text.partition(note)[0]}")
                found[n, calc.value] = replace(name, person=person)
    texts = [name.name for name in found.values()]
    return Row(
        question,
        steps,
        {
            key: name
            for key, name in found.items()
            if texts.count(name.name) == 1 and capitals(name.name) <= capitals(question)  # "While Ann has" is no name
        },
    )


def splice(
    question: str, thinking: str, answer: Fraction | None, behaviours: Collection[Behaviour], p: float, seed: str
) -> Splice:
    """The annotated solution with behaviours in it, a function of the arguments alone."""
    if any(INSERTED.fullmatch(line) for line in thinking.split("\n")):
        raise Unfit("it shows such behaviours already")
    plain = solution(question, thinking, answer)
    chains: list[list[Insertion]] = [
        [(place, chain, "compute") for place, chain in computations(step.text)] if "compute" in behaviours else []
        for step in plain
    ]
    # what is written out says numbers, too: after it they are known
    full = ["".join(p.text for p in insert(step.text, chain)) for step, chain in zip(plain, chains, strict=True)]
    row = read_row(question, "\n".join(full), answer)
    rng, wording = random.Random(f"{seed}:analyse"), random.Random(f"{seed}:wording")
    units, done = list[Unit](), 0
    events = walk(
        [str(n) for n in range(len(row.steps))],
        {str(n): tuple(map(str, step.parents)) for n, step in enumerate(row.steps)},
        random.Random(f"{seed}:explore"),
        p=p if "explore" in behaviours else 0.0,
        can_try=lambda key, due: bool(attempts(row, int(key), int(due), _joined(units))),
    )
    for event in events:
        n = int(event.key)
        if isinstance(event, Fail):
            units.append(Unit((Piece(wording.choice(attempts(row, n, done, _joined(units))), "explore"),)))
            continue
        wanted = rng.random() < ANALYSIS[min(row.steps[n].operands, len(ANALYSIS) - 1)]
        texts = analyses(row, n, _joined(units)) if wanted and "analyse" in behaviours else []
        before: list[Insertion] = [(0, f"{wording.choice(texts)}\n", "analyse")] if texts else []
        units.append(Unit(insert(plain[n].text, before + chains[n]), n))
        done = n + 1
    return Splice(tuple(units), "\n", failed=len(units) - len(row.steps))


def check_solution(question: str, text: str, answer: Fraction | None) -> None:
    """Check a solution with behaviours against its question: Contradiction or Unfit says what is wrong.

    The calculations, and what is written out between them, are those ``prose.solution`` checks; a failed attempt must
    name what is missing then and there, an analysis what the step after it rests on and where that comes from.
    """
    lines = text.split("\n")
    row = read_row(question, "\n".join(line for line in lines if not INSERTED.fullmatch(line)), answer)
    ends = list(accumulate(len(step.lines) for step in row.steps))
    passed = 0
    for i, line in enumerate(lines):
        if not INSERTED.fullmatch(line):
            passed += 1
            continue
        done = sum(end <= passed for end in ends)
        above = "\n".join(lines[:i])
        true = {attempt for n in range(done + 1, len(row.steps)) for attempt in attempts(row, n, done, above)}
        if passed == (ends[done - 1] if done else 0) and done < len(row.steps):
            true |= {*analyses(row, done, above)}
        if line not in true:
            raise Contradiction(f"before step {done + 1}: {line!r} does not hold")


def attempts(row: Row, n: int, done: int, above: str) -> list[str]:
    """Ways to say that step ``n`` was tried after ``done`` steps, and failed; none where that cannot be said.

    ``above`` is the text up to there: nothing is found missing twice.
    """
    if FOLLOWS.match(row.steps[done].text):
        return []
    last = n == len(row.steps) - 1
    named = None if last else row.can_name(n, row.steps[n].calcs[-1].value, done)
    target = "the answer" if last else named.name if named else ""
    needs = {v: m for v, m in row.steps[n].origin.items() if m is not None and m >= done}
    lacking = [name.name for v, m in needs.items() if (name := row.can_name(m, v, done))]
    # what the question asks for is not what its answer needs
    missing = [m for m in lacking if not _stems(m) <= _stems(row.asked) and m not in above and m != target]
    missing = [m for m in missing if not any(m != other and m in other for other in missing)]
    return [text.format(target, _listed(missing[:2])) for text in ATTEMPTS] if missing and target else []


def analyses(row: Row, n: int, above: str) -> list[str]:
    """Ways to say, after the text ``above``, what step ``n`` needs and where that comes from; none if it cannot be."""
    step = row.steps[n]
    if step.unclear or FOLLOWS.match(step.text) or not ANNOTATION.search(step.lines[0]):
        return []
    quoted, recalled = _quotable(row, step, above), _recalled(row, n, above)
    also = '" It also says: "'.join(quoted)
    found = []
    for quote, recall in zip(QUOTES, RECALLS, strict=True):
        parts = [f'{quote} "{also}"'] if quoted else []
        parts += [f"{recall} {_listed(recalled)}."] if recalled else []
        found += [" ".join(parts)] if parts else []
    return found


def _recalled(row: Row, n: int, above: str) -> list[str]:
    """The results that step ``n`` needs: all of them, or none.  That of the step before is not repeated on its own."""
    needed = {v: m for v, m in row.steps[n].origin.items() if m is not None}
    names = [name for v, m in needed.items() if (name := row.can_name(m, v, n))]
    texts = [f"{name.name} ({name.shown})" for name in names]
    complete = len(texts) == len(needed) and any(m < n - 1 for m in needed.values())
    return texts if complete and not any(text in above for text in texts) else []


def _quotable(row: Row, step: ProseStep, above: str) -> list[str]:
    """The sentences of the question that state the numbers which the step needs: all of them, or none."""
    told, found = sentences(row.question), set[str]()
    for value in (v for v, m in step.origin.items() if m is None):
        stating = [s for s in told if value in said(s)]
        if len(stating) != 1:
            return []
        found |= {*stating}
    fit = len(found) <= 2 and all(_worth_quoting(s, step, above) for s in found)
    return [s for s in told if s in found] if fit else []


def _worth_quoting(sentence: str, step: ProseStep, above: str) -> bool:
    """Whether it is a statement about what the step is about, not quoted yet and not said by the step itself."""
    if (
        not sentence.endswith(".")
        or NO_STATEMENT.match(sentence)
        or '"' in sentence
        or len(sentence.split()) not in QUOTED_WORDS
        or sentence in above
    ):
        return False
    words, text = sentence.lower().rstrip(".").split(), " ".join(step.text.lower().split())
    if any(" ".join(words[i : i + SAME_WORDS]) in text for i in range(len(words) - SAME_WORDS + 1)):
        return False
    stems, own = _stems(sentence), _stems(step.text)
    return 2 <= len(stems & own) <= REPEATED * len(stems)


def _stems(text: str) -> set[str]:
    return {word.lower()[:4] for word in CONTENT.findall(text) if word.lower() not in COMMON}


def _joined(units: Sequence[Unit]) -> str:
    return "\n".join(unit.text for unit in units)


def _listed(terms: Sequence[str]) -> str:
    return f"{', '.join(terms[:-1])} and {terms[-1]}" if len(terms) > 1 else "".join(terms)
