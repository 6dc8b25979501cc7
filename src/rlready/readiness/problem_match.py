"""Which of the named problems the samples of another tool are of: by their ids, or by the prompts that were asked.

If no problems are named, two sources are compared by ids, and refused if they have asked different things under one.

Ids come first.  As tools count documents from 0 or from 1, an id may be that of another problem, whose answer would
then judge the response.  The prompts show it: samples whose question is the prompt of another problem are refused.

The question is the last of the named prompts in what was asked, as examples stand in front of it.  Where a template has
rephrased the question, the last one is an example.  A question is followed by what follows the last prompt in most of
the texts, such as "Answer:"; where that differs from text to text, as choices do, its prompt must be the last one of
this text alone.  White space and how a letter is composed are not compared.  The rules are a choice of this package.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rlready.core.errors import UserError
from rlready.core.messages import remark
from rlready.core.records import Problem
from rlready.readiness.offline_samples import Asked, Stored, as_compared
from rlready.tasks.answers.verify import same_answer
from rlready.tasks.turns import asked_in

PIECE = 16  # characters of a text by which it is looked up
PIECES = 8  # of a text, about, that may be the one
WORD = re.compile(r"[A-Za-z0-9]{2}")
SHOWN = 80  # characters of a prompt in an error line


class Finder:
    """Finds which of many texts, none of them empty, a longer one holds; it reads that once for all but short ones.

    A text is looked up by that of some pieces of it that the fewest texts have.  Inside a word or a number no text is
    found: 3+2= is not in 13+2=.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        some = list(texts)
        self._short = [text for text in some if len(text) < PIECE]
        begins = {text: _begins(text) for text in some if len(text) >= PIECE}
        times = Counter(text[at : at + PIECE] for text, places in begins.items() for at in places)
        self._by_piece: dict[str, list[tuple[int, str]]] = {}  # where the piece begins, and the text
        for text, places in begins.items():
            begin = min(places, key=lambda at: times[text[at : at + PIECE]])
            self._by_piece.setdefault(text[begin : begin + PIECE], []).append((begin, text))

    def inside(self, whole: str) -> dict[str, int]:
        """The texts that ``whole`` holds, each with the end of its last occurrence."""
        found = {
            text: at - begin + len(text)
            for at in (range(len(whole) - PIECE + 1) if self._by_piece else ())
            for begin, text in self._by_piece.get(whole[at : at + PIECE], ())
            if at >= begin and whole.startswith(text, at - begin) and _apart(whole, at - begin, len(text))
        }
        for text in self._short:
            ends = (at for at in _places(text, whole) if _apart(whole, at, len(text)))
            if (at := max(ends, default=-1)) >= 0:
                found[text] = at + len(text)
        return found


def _begins(text: str) -> range:
    """Where some pieces of a text begin."""
    last = len(text) - PIECE
    return range(0, last + 1, max(1, last // PIECES))


def _places(text: str, whole: str) -> Iterator[int]:
    """Where a text occurs."""
    at = whole.find(text)
    while at >= 0:
        yield at
        at = whole.find(text, at + 1)


def _apart(whole: str, begin: int, length: int) -> bool:
    """Whether what stands there neither begins nor ends within a word or a number."""
    return not any(WORD.fullmatch(whole[max(0, at - 1) : at + 1]) for at in (begin, begin + length))


class Prompts:
    """The prompts of the named problems: ``own`` by id, and ``ids`` by prompt, "" for the prompt of several.

    ``answers`` are by id.  Of problems with one prompt and one answer, which a file holds twice, the first is meant.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.own = {problem.id: as_compared(problem.prompt) for problem in problems}
        self.answers = {problem.id: problem.answer for problem in problems}
        self.ids: dict[str, str] = {}
        answers: dict[str, str] = {}
        for problem in problems:
            if prompt := self.own[problem.id]:
                again = answers.setdefault(prompt, problem.answer) != problem.answer
                self.ids[prompt] = "" if again else self.ids.get(prompt, problem.id)
        self.finder = Finder(self.ids)

    def agree(self, asked: Mapping[str, str]) -> bool:
        """Whether all texts, by the ids of their problems, ask these problems' prompts and go on alike after them."""
        places = {name: text.rfind(self.own[name]) for name, text in asked.items()}
        if not all(at >= 0 and _apart(asked[name], at, len(self.own[name])) for name, at in places.items()):
            return False
        return len({asked[name][at + len(self.own[name]) :] for name, at in places.items()}) == 1

    def questions(self, asked: Mapping[str, str]) -> dict[str, str]:
        """The prompt that is the question of each of these texts, by the key of the text, where one is."""
        last: dict[str, tuple[str, str]] = {}  # the last prompt, and what follows it
        others: dict[str, list[str]] = {}  # keys of the texts that hold none
        for name, text in asked.items():
            ends = {text: len(text)} if text in self.ids else self.finder.inside(text)
            if ends:
                prompt = max(ends, key=lambda each: (ends[each], len(each)))
                last[name] = prompt, text[ends[prompt] :]
            elif text:
                others.setdefault(text, []).append(name)
        for text, prompt in self._around(others):
            last |= dict.fromkeys(others[text], (prompt, ""))
        times = Counter(prompt for prompt, _ in last.values())
        usual = Counter(rest for _, rest in last.values()).most_common(1)
        alike = bool(usual) and 2 * usual[0][1] > len(last)
        return {
            name: prompt
            for name, (prompt, rest) in last.items()
            if (rest == usual[0][0] if alike else times[prompt] == 1)
        }

    def _around(self, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(text, prompt) for each text that a single prompt holds."""
        finder = Finder(texts)
        found: dict[str, list[str]] = {}
        for prompt in self.ids:
            for text in finder.inside(prompt):
                found.setdefault(text, []).append(prompt)
        return ((text, prompts[0]) for text, prompts in found.items() if len(prompts) == 1)


def matched(where: str, stored: Stored, prompts: Prompts) -> Stored:
    """With the ids of the named problems where prompts say which they are; UserError for ids that they contradict."""
    asked = {name: text for name, each in stored.asked.items() if (text := as_compared(each.text))}
    known = {name: text for name, text in asked.items() if prompts.own.get(name)}
    others = {name: as_compared(asked_in(name)) for name in stored.problem_ids if name not in prompts.own}
    if known and not others and prompts.agree(known):
        return stored
    questions = prompts.questions(others | asked)
    _refuse_others(where, stored, known, questions, prompts)
    own = prompts.own
    if trusted := [n for n, text in known.items() if n not in questions and own[n] not in text and text not in own[n]]:
        remark(
            f"{where}: the prompts of {len(trusted)} of {len(stored.problem_ids)} problems are not in what was asked "
            f"(first {stored.asked[trusted[0]].place}), so that their ids are trusted"
        )
        doubts = [stored.otherwise, _other_answers(stored, trusted, prompts)]
        stored = replace(stored, otherwise="; ".join(filter(None, doubts)))
    names = {name: prompts.ids[questions[name]] for name in others if name in questions}
    if unknown := sum(not found for found in names.values()):
        remark(
            f"{where}: {unknown} of {len(stored.problem_ids)} problems ask what several of the named ones ask, which "
            "have different answers: which is meant cannot be told, and they are left out"
        )
    names = _asked_once(where, {name: found for name, found in names.items() if found}, stored, others | asked)
    return stored if {*names.values()} & {*stored.problem_ids} else stored.renamed(names)


def _asked_once(where: str, names: Mapping[str, str], stored: Stored, asked: Mapping[str, str]) -> dict[str, str]:
    """Of problems that are one named problem the first, if all have the same words and ground truth; else none of them.

    A prompt that texts of other words have in common may be an example in them.
    """
    texts: dict[str, set[tuple[str, str]]] = {}
    first: dict[str, str] = {}
    for name, found in names.items():
        truth = stored.asked[name].truth if name in stored.asked else ""
        texts.setdefault(found, set()).add((asked[name], truth))
        first.setdefault(found, name)
    kept = {name: found for found, name in first.items() if len(texts[found]) == 1}
    unclear = sum(len(texts[found]) > 1 for found in names.values())
    every = len(stored.problem_ids)
    if again := len(names) - len(kept) - unclear:
        remark(f"{where}: {again} of {every} problems ask the same as an earlier one, which alone is kept")
    if unclear:
        remark(
            f"{where}: {unclear} of {every} problems hold the prompt of one named problem with other texts or ground "
            "truths, so that which is meant cannot be told, and they are left out; of several tasks choose one"
        )
    return kept


def _other_answers(stored: Stored, names: Sequence[str], prompts: Prompts) -> str:
    """A doubt if most ground truths of the samples are not the answers of the named problems with their ids."""
    known = [(stored.asked[name].truth, prompts.answers[name]) for name in names if stored.asked[name].truth]
    unlike = sum(not _inside(truth, answer) and not same_answer(answer, truth) for truth, answer in known)
    if 2 * unlike <= len(known):
        return ""
    return (
        f"of {unlike} of {len(known)} problems the ground truth beside the samples is not the answer of the problem "
        "that has their id in problems=: these may be other problems"
    )


def _refuse_others(
    where: str, stored: Stored, asked: Mapping[str, str], questions: Mapping[str, str], prompts: Prompts
) -> None:
    """UserError if some of the texts that were ``asked``, by id, have the prompt of another problem as question."""
    wrong = [
        name
        for name, text in asked.items()
        if (question := questions.get(name)) and question != prompts.own[name] and prompts.ids[question]
        if text not in prompts.own[name]
    ]
    if wrong:
        name, question, place = wrong[0], questions[wrong[0]], stored.asked[wrong[0]].place
        raise UserError(
            f"{where}: {len(wrong)} of {len(stored.problem_ids)} problems have the id of another one: {place} "
            f"has the id {name!r} and asks {question[-SHOWN:]!r}, as problem {prompts.ids[question]!r} does, but "
            f"{name!r} asks {prompts.own[name][-SHOWN:]!r}; give the problems the ids of the samples, or none, to "
            "match prompts"
        )


def refuse_unlike_questions(tables: Mapping[str, Stored]) -> None:
    """UserError for two checkpoints that were asked different things under one id."""
    first: dict[str, tuple[str, Asked]] = {}
    for checkpoint, stored in tables.items():
        there = [(name, stored.asked[name]) for name in stored.problem_ids if name in stored.asked]
        unlike = [name for name, asked in there if not _alike(first.setdefault(name, (checkpoint, asked))[1], asked)]
        if unlike:
            other, before = first[unlike[0]]
            here, earlier = map(_shown, (stored.asked[unlike[0]], before))
            raise UserError(
                f"{checkpoint}: {len(unlike)} of {len(there)} ids are of other problems in {other}: "
                f"{unlike[0][:SHOWN]!r} asks {here} here and {earlier} there; rank samples of the same problems, or "
                "name these with problems="
            )


def with_other_prompts(tables: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tables, with a doubt of those whose prompts are not those of the first that has the problem, though they hold
    the same question: a template, a system turn or examples may stand around it."""
    first: dict[str, tuple[str, Asked]] = {}
    found = {}
    for checkpoint, stored in tables.items():
        there = [(name, stored.asked[name]) for name in stored.problem_ids if name in stored.asked]
        pairs = [(first.setdefault(name, (checkpoint, asked)), asked) for name, asked in there]
        unlike = [
            (other, before, mine)
            for (other, before), mine in pairs
            if as_compared(before.text) != as_compared(mine.text) or before.context != mine.context
        ]
        doubt = ""
        if unlike:
            other, before, mine = unlike[0]
            doubt = (
                f"the prompts of {len(unlike)} of {len(there)} problems are not those of {other}, as {mine.place} "
                f"beside {before.place} shows: a difference may be one of prompts, as of their examples or template"
            )
        found[checkpoint] = replace(stored, otherwise="; ".join(filter(None, [stored.otherwise, doubt])))
    return found


def _alike(one: Asked, other: Asked) -> bool:
    """Whether two sources may have asked the same: a template, or examples, may stand around the question."""
    if one is other or (one.document and one.document == other.document):
        return True
    return _inside(one.text, other.text) and _inside(one.truth, other.truth)


def _inside(one: str, other: str) -> bool:
    """Whether the shorter of two texts stands in the longer one, as an answer does in its solution."""
    short, long = sorted((as_compared(one), as_compared(other)), key=len)
    return any(_apart(long, at, len(short)) for at in _places(short, long)) if short else True


def _shown(asked: Asked) -> str:
    truth = f", with the ground truth {asked.truth[:SHOWN]!r}" if asked.truth else ""
    return f"{as_compared(asked.text)[-SHOWN:]!r}{truth} ({asked.place})"
