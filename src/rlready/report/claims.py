"""Evidence, machine-readable: what was claimed, what was measured, whether the target was met.

``result.json`` and the README beside it are written by the run that measured, never by hand.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlready.core.records import Estimate
from rlready.runs.provenance import host, revision
from rlready.runs.run import write_json, write_text

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}


@dataclass(frozen=True)
class Claim:
    """One sentence with its number.

    ``target`` is a comparison such as ">= 0.15", checked against the value; "interval > 0" against the whole interval.
    """

    claim: str
    value: float
    low: float
    high: float
    n: int
    varies: str
    target: str

    @property
    def met(self) -> bool:
        *interval, sign, bound = self.target.split()
        ends = (self.low, self.high) if interval else (self.value,)
        return all(COMPARE[sign](end, float(bound)) for end in ends)

    @staticmethod
    def of(claim: str, figure: Estimate, target: str) -> Claim:
        return Claim(claim, figure.value, figure.low, figure.high, figure.n, figure.varies, target)


def write_claims(folder: Path, *, command: str, seconds: float, claims: Sequence[Claim], words: str) -> None:
    """``result.json`` and ``README.md`` of one evidence folder; ``words`` is the page's own Markdown."""
    commit = revision()
    result = {
        "command": command,
        "revision": commit,
        "machine": host(),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds),
        "claims": [asdict(c) | {"met": c.met} for c in claims],
    }
    write_json(folder / "result.json", result)
    rows = [
        f"| {c.claim} | {c.value:.4g} | {c.low:.4g} to {c.high:.4g} | {c.n} {c.varies} | {c.target} | "
        f"{'met' if c.met else '**missed**'} |"
        for c in claims
    ]
    table = "\n".join(["| claim | value | 95 % interval | n | target | |", "|---|---|---|---|---|---|", *rows])
    write_text(folder / "README.md", f"{words.strip()}\n\n## Claims\n\n{table}\n\nCommand: `{command}`\n")
