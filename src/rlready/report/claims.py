"""Evidence, machine-readable: what was claimed, what was measured, whether the target was met.

``result.json`` and the README beside it are written by the script that measured, never by hand.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

from pydantic import JsonValue

from rlready.core.records import Estimate
from rlready.runs.files import read_json, write_json, write_text
from rlready.runs.provenance import host, revision

Verdict = Literal["met", "met in each, without an interval", "met by the point only", "missed"]
COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}


@dataclass(frozen=True)
class Claim:
    """One sentence with its number; ``target`` is a comparison such as ">= 0.15".

    ``each`` has the values themselves where they are too few for an interval; ``low`` and ``high`` are then the least
    and the most of them.
    """

    claim: str
    value: float
    low: float
    high: float
    n: int
    varies: str
    target: str
    each: tuple[float, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Met by the whole interval, by each of a few values, by the value alone, or missed."""
        sign, bound = self.target.split()
        by_value, *by_ends = (COMPARE[sign](x, float(bound)) for x in (self.value, self.low, self.high))
        if not by_value:
            return "missed"
        if not all(by_ends):
            return "met by the point only"
        return "met in each, without an interval" if self.each else "met"

    @property
    def interval(self) -> str:
        """As the table has it: an exact number has none, a few values stand for themselves."""
        if self.each:
            return f"none; each {', '.join(f'{value:.4g}' for value in self.each)}"
        return "–" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}"

    def stored(self) -> dict[str, JsonValue]:
        """As ``result.json`` has it: ``met`` if the whole interval meets the target."""
        fields = {name: value for name, value in asdict(self).items() if name != "each" or value}
        return fields | {"met": self.verdict == "met", "verdict": self.verdict}

    @staticmethod
    def of(claim: str, figure: Estimate, target: str) -> Claim:
        return Claim(claim, figure.value, figure.low, figure.high, figure.n, figure.varies, target)

    @staticmethod
    def of_each(claim: str, values: Sequence[float], varies: str, target: str) -> Claim:
        """The mean of so few values that an interval of it would not be trusted."""
        mean = sum(values) / len(values)
        return Claim(claim, mean, min(values), max(values), len(values), varies, target, each=tuple(values))

    @staticmethod
    def exact(claim: str, value: float, varies: str, target: str, n: int = 1) -> Claim:
        """A count, an extreme or a sum of what was measured, which has no interval."""
        return Claim(claim, value, value, value, n, varies, target)


def number(value: float) -> str:
    """Four digits, or all of a count that has more."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def in_table(verdict: Verdict) -> str:
    """A verdict as the pages have it: what was not met stands out."""
    return verdict if verdict == "met" else f"**{verdict}**"


def write_claims(
    folder: Path, *, command: str, seconds: float | None, claims: Sequence[Claim], words: str, cpu: bool = False
) -> None:
    """``result.json`` and ``README.md`` of one evidence folder; ``words`` is the page's own Markdown.

    ``seconds`` are those that the runs took, or their CPU seconds with ``cpu``.  None: the page is written again from
    stored measurements, and what ``result.json`` says of when, where and from which revision they were made stays.
    """
    if seconds is None:
        result = read_json(folder / "result.json")
    else:
        result = {
            "command": command,
            "revision": revision(),
            "machine": host(),
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": round(seconds),
        }
    result |= {"cpu": cpu, "claims": [c.stored() for c in claims]}
    write_json(folder / "result.json", result)
    rows = [
        f"| {c.claim} | {number(c.value)} | {c.interval} | {c.n} {c.varies} | {c.target} | {in_table(c.verdict)} |"
        for c in claims
    ]
    table = "\n".join(["| claim | value | 95 % interval | n | target | |", "|---|---|---|---|---|---|", *rows])
    write_text(
        folder / "README.md",
        f"{filled(words).strip()}\n\n## Claims\n\n{table}\n\n{made(read_json(folder / 'result.json'))}\n",
    )


def made(result: dict[str, Any]) -> str:
    """How a page was made, and what that took; ``result`` as the file has it."""
    seconds, revision = result["seconds"], result["revision"]
    commit = revision["commit"] if isinstance(revision, dict) else revision or "unknown"
    took = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{max(seconds / 60, 0.1):.1f} minutes"
    kind = "of CPU time" if result["cpu"] else "of the runs' time, beside other work; CPU time was not kept"
    return f"Command: `{result['command']}`\n\nMeasured on {result['date']}, at revision {commit[:7]}: {took} {kind}."


def filled(markdown: str) -> str:
    """The same Markdown with lines of at most 120 characters; tables, headings, figures and code stay as they are."""
    done, paragraph = list[str](), list[str]()

    def close() -> None:
        start = {"-": "  ", ">": "> "}.get(paragraph[0][:1], "") if paragraph else ""
        text = " ".join(line.removeprefix("> ").strip() for line in paragraph)
        first = "> " if start == "> " else ""
        done.extend(
            wrap(
                text, 120, initial_indent=first, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
            )
        )
        paragraph.clear()

    for line in markdown.splitlines():
        as_it_is = not line or line.startswith(("|", "#", "!", "    "))
        if as_it_is or line.startswith("- "):
            close()
        if as_it_is:
            done.append(line)
        else:
            paragraph.append(line)
    close()
    return "\n".join(done)
