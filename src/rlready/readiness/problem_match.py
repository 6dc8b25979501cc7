"""Which of the named problems the samples of another tool are of: by their ids, or by the prompts that were asked.

If no problems are named, two sources are compared by ids, and refused if they have asked different things under one.

Ids come first.  As tools count documents from 0 or from 1, an id may be that of another problem, whose answer would
then judge the response.  The prompts show it: samples whose question is the prompt of another problem are refused.

The question is the last of the named prompts in what was asked, as examples stand in front of it.  Where a template has
rephrased the question, the last one is an example.  A question is followed by what follows the last prompt in most of
the texts, such as "Answer:"; where that differs from text to text, as choices do, its prompt must be the last one of
this text alone.  Where it is the named prompts that hold the texts, as in a template, what stands around most of these
takes that place.  White space and how a letter is composed are not compared.  The rules are a choice of this package.

Where most of the ground truths beside the samples are not the answers of the named problems, that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rlready.core.errors import UserError
from rlready.core.messages import remark
from rlready.core.records import Problem
from rlready.readiness.offline_samples import Asked, Stored, as_compared
from rlready.readiness.text_finder import Finder, apart, places
from rlready.tasks.answers.verify import same_answer
from rlready.tasks.turns import asked_in

SHOWN = 80  # characters of a prompt in an error line
AROUND = "\0"  # stands for what was asked in the prompt around it
COMPARED = 1000  # ground truths, about
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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
        if not all(at >= 0 and apart(asked[name], at, len(self.own[name])) for name, at in places.items()):
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
            last |= dict.fromkeys(others[text], (prompt, prompt.replace(text, AROUND)))
        times = Counter(prompt for prompt, _ in last.values())
        usual = Counter(rest for _, rest in last.values()).most_common(1)
        alike = bool(usual) and 2 * usual[0][1] > len(last)
        return {
            name: prompt
            for name, (prompt, rest) in last.items()
            if (rest == usual[0][0] if alike else times[prompt] == 1 and AROUND not in rest)
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
    found = _renamed(where, stored, prompts)
    if doubt := _other_answers(found, prompts):
        found = replace(found, otherwise="; ".join(filter(None, [found.otherwise, doubt])))
    return found


def _renamed(where: str, stored: Stored, prompts: Prompts) -> Stored:
    asked, known = _asked(stored, prompts)
    others = {name: as_compared(asked_in(name)) for name in stored.problem_ids if name not in prompts.own}
    if known and not others and prompts.agree(known):
        return stored
    questions = prompts.questions(others | asked)
    if wrong := _others(stored, known, questions, prompts):
        raise UserError(f"{where}: {wrong}")
    own = prompts.own
    if trusted := [name for name, text in known.items() if name not in questions and own[name] not in text]:
        remark(
            f"{where}: the prompts of {len(trusted)} of {len(stored.problem_ids)} problems are not in what was asked "
            f"(first {stored.asked[trusted[0]].place}), so that their ids are trusted"
        )
    names = {name: prompts.ids[questions[name]] for name in others if name in questions}
    if unknown := sum(not found for found in names.values()):
        remark(
            f"{where}: {unknown} of {len(stored.problem_ids)} problems ask what several of the named ones ask, which "
            "have different answers: which is meant cannot be told, and they are left out"
        )
    names = _asked_once(where, {name: found for name, found in names.items() if found}, stored, others | asked)
    return stored if {*names.values()} & {*stored.problem_ids} else stored.renamed(names)


def with_doubted_ids(stored: Stored, prompts: Prompts) -> Stored:
    """A plain table, with a doubt if ids of the named problems stand beside the prompts of others."""
    _, known = _asked(stored, prompts)
    if not known or prompts.agree(known):
        return stored
    doubt = _others(stored, known, prompts.questions(known), prompts)  # its ids count, as no tool has numbered them
    return replace(stored, otherwise="; ".join(filter(None, [stored.otherwise, doubt])))


def _asked(stored: Stored, prompts: Prompts) -> tuple[dict[str, str], dict[str, str]]:
    """What was asked, by id, as it is compared; and of this what has the id of a named problem."""
    asked = {name: text for name, each in stored.asked.items() if (text := as_compared(each.text))}
    return asked, {name: text for name, text in asked.items() if prompts.own.get(name)}


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


def _other_answers(stored: Stored, prompts: Prompts) -> str:
    """A doubt if most ground truths of the samples are not the answers of the named problems that these are of."""
    names = [name for name in stored.problem_ids if name in stored.asked and prompts.answers.get(name)]
    names = [name for name in names if stored.asked[name].truth]
    names = names[:: max(1, len(names) // COMPARED)]
    unlike = [name for name in names if not _same_truth(stored.asked[name].truth, prompts.answers[name])]
    if 2 * len(unlike) <= len(names):
        return ""
    asked, answer = stored.asked[unlike[0]], prompts.answers[unlike[0]]
    return (
        f"of {len(unlike)} of {len(names)} problems the ground truth beside the samples is not the answer in problems= "
        f"({asked.truth[-SHOWN:]!r} in {asked.place}, {answer[-SHOWN:]!r}): these may be other problems, or "
        "their answers another column"
    )


def _same_truth(truth: str, answer: str) -> bool:
    """Whether a ground truth may be an answer, be it in a solution or the number of an option, counted from 0."""
    option = len(answer) == 1 and truth == str(LETTERS.find(answer.upper()))
    return option or _inside(truth, answer) or same_answer(answer, truth)


def _others(stored: Stored, asked: Mapping[str, str], questions: Mapping[str, str], prompts: Prompts) -> str:
    """In words, that some of the texts that were ``asked``, by id, have the prompt of another problem as question.

    Empty if none has.
    """
    wrong = [
        name
        for name, text in asked.items()
        if (question := questions.get(name)) and question != prompts.own[name] and prompts.ids[question]
        if text not in prompts.own[name]
    ]
    if not wrong:
        return ""
    name, question, place = wrong[0], questions[wrong[0]], stored.asked[wrong[0]].place
    return (
        f"{len(wrong)} of {len(stored.problem_ids)} problems have the id of another one: {place} has the id {name!r} "
        f"and asks {question[-SHOWN:]!r}, as problem {prompts.ids[question]!r} does, but {name!r} asks "
        f"{prompts.own[name][-SHOWN:]!r}; give the problems the ids of the samples, or none, to match prompts"
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
                f"beside {before.place} shows: a difference may be one of prompts, as of their examples or template, "
                "or of problems under the same ids"
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
    return any(apart(long, at, len(short)) for at in places(short, long)) if short else True


def _shown(asked: Asked) -> str:
    truth = f", with the ground truth {asked.truth[:SHOWN]!r}" if asked.truth else ""
    return f"{as_compared(asked.text)[-SHOWN:]!r}{truth} ({asked.place})"
