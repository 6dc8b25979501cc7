"""Which of the named problems the samples of another tool are of: by their ids, or by the prompts that were asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlready.core.records import Problem
from rlready.readiness.offline_samples import Stored
from rlready.tasks.turns import asked_in

HEAD = 16  # characters of a text by which it is looked up


class Finder:
    """Finds which of many texts, none of them empty, a longer one holds; it reads that once for all of them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._by_head: dict[str, list[str]] = {}
        texts = list(texts)
        self._length = min([HEAD, *map(len, texts)])
        for text in texts:
            self._by_head.setdefault(text[: self._length], []).append(text)

    def inside(self, whole: str) -> list[str]:
        """The texts that ``whole`` holds, without those that are a part of another one."""
        places = range(len(whole) - self._length + 1) if self._by_head else ()
        found = {
            text
            for at in places
            for text in self._by_head.get(whole[at : at + self._length], ())
            if whole.startswith(text, at)
        }
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


def matched(stored: Stored, prompts: Prompts) -> Stored:
    """With the ids of the named problems where prompts say which they are."""
    asked = {name: text for name, each in stored.asked.items() if (text := each.text.strip())}
    names: dict[str, str] = {}
    for mine in stored.problem_ids:
        if mine not in prompts.own and (found := prompts.id_of(asked.get(mine) or asked_in(mine))):
            names[mine] = found
    unique = len({*names.values()}) == len(names)
    return stored.renamed(names) if unique and not {*names.values()} & {*stored.problem_ids} else stored
