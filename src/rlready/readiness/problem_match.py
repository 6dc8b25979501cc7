"""Which of the named problems the samples of another tool are of: by their ids, or by the prompts that were asked.

Ids come first.  As tools count documents from 0 or from 1, an id may be that of another problem, whose answer would
then judge the response.  The prompts show it.  Two texts agree if one holds the other.  Samples are refused if what
they asked does not agree with the prompt of their problem, but with that of another one, with which nothing else that
was asked agrees.  A template may rephrase all prompts, and the examples in front of a question may be problems
themselves: neither is refused.  The rule is a choice of this package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.readiness.offline_samples import Stored
from rlready.tasks.turns import asked_in

PIECE = 16  # characters of a text by which it is looked up
SHOWN = 80  # characters of a prompt in an error line


class Finder:
    """Finds which of many texts, none of them empty, a longer one holds; it reads that once for all but short ones."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._short: list[str] = []
        self._by_piece: dict[str, list[tuple[int, str]]] = {}  # where the piece begins, and the text
        for text in texts:
            if len(text) < PIECE:
                self._short.append(text)
                continue
            begin = (len(text) - PIECE) // 2  # prompts are most alike at both ends
            self._by_piece.setdefault(text[begin : begin + PIECE], []).append((begin, text))

    def inside(self, whole: str) -> list[str]:
        """The texts that ``whole`` holds, without those that are a part of another one."""
        found = {
            text
            for at in (range(len(whole) - PIECE + 1) if self._by_piece else ())
            for begin, text in self._by_piece.get(whole[at : at + PIECE], ())
            if at >= begin and whole.startswith(text, at - begin)
        }
        found.update(text for text in self._short if text in whole)
        return [text for text in found if not any(text != other and text in other for other in found)]


class Prompts:
    """The prompts of the named problems: ``own`` by id, and ``ids`` by prompt, "" for the prompt of several."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.own = {problem.id: problem.prompt.strip() for problem in problems}
        self.ids: dict[str, str] = {}
        for name, prompt in self.own.items():
            if prompt:
                self.ids[prompt] = "" if prompt in self.ids else name
        self.finder = Finder(self.ids)

    def id_of(self, text: str) -> str:
        """The id of the problem whose prompt a text is, or alone holds; "" for none, or for several."""
        if (bare := text.strip()) in self.ids:
            return self.ids[bare]
        found = self.finder.inside(text)
        return self.ids[found[0]] if len(found) == 1 else ""


def matched(where: str, stored: Stored, prompts: Prompts) -> Stored:
    """With the ids of the named problems where prompts say which they are; UserError for ids that they contradict."""
    asked = {name: text for name, each in stored.asked.items() if (text := each.text.strip())}
    if wrong := _others(asked, prompts):
        name, prompt = next(iter(wrong.items()))
        raise UserError(
            f"{where}: {len(wrong)} of {len(asked)} problems have the id of another one: {stored.asked[name].place} "
            f"has the id {name!r} and asks {asked[name][-SHOWN:]!r}, as problem {prompts.ids[prompt]!r} does, but "
            f"{name!r} asks {prompts.own[name][-SHOWN:]!r}; give the problems the ids of the samples, or none, to "
            "match prompts"
        )
    names: dict[str, str] = {}
    for mine in stored.problem_ids:
        if mine not in prompts.own and (found := prompts.id_of(asked.get(mine) or asked_in(mine))):
            names[mine] = found
    unique = len({*names.values()}) == len(names)
    return stored.renamed(names) if unique and not {*names.values()} & {*stored.problem_ids} else stored


def _others(asked: Mapping[str, str], prompts: Prompts) -> dict[str, str]:
    """The ids of other problems than were asked, each with the prompt that was; ``asked``: what was asked, by id."""
    own = prompts.own
    doubtful = [name for name in asked if name in own and own[name] not in asked[name] and asked[name] not in own[name]]
    if not doubtful:
        return {}
    agree = {name: {*prompts.finder.inside(text)} for name, text in asked.items()}
    asking: dict[str, list[str]] = {}
    for name, text in asked.items():
        asking.setdefault(text, []).append(name)
    finder = Finder(asking)
    for prompt in prompts.ids:
        for text in finder.inside(prompt):
            for name in asking[text]:
                agree[name].add(prompt)
    times = Counter(prompt for found in agree.values() for prompt in found)
    found = {name: [p for p in agree[name] if times[p] == 1 and prompts.ids[p]] for name in doubtful}
    return {name: those[0] for name, those in found.items() if those}
