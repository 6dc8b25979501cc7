"""What `inject` writes of GSM8K, read row by row: `python evidence/inject-gsm8k/run.py GSM8K_FOLDER`.

Injects all three behaviours into the training rows with each of three seeds, draws 50 of the rows written and prints
them to be read, with the original's question and with ⟦ ⟧ around what was inserted.  The verdicts of a reader on rows
of an earlier revision are in readings.csv; `--page` only writes the page again.
"""

from __future__ import annotations

import csv
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from rlready.core.config import InjectConfig
from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate
from rlready.inject.diff import BEFORE, RowText
from rlready.inject.result import NAMES, InjectResult
from rlready.inject.splice import Behaviour
from rlready.inject.stage import ROWS, inject
from rlready.report.claims import Claim, write_claims
from rlready.runs.files import read_json, write_json, write_text

HERE = Path(__file__).parent
READINGS = HERE / "readings.csv"
RUNS = Path("runs/inject-gsm8k")
SEEDS = (51, 52, 53)
READ = 50  # rows of each seed
VERDICTS = ("good", "author", "spoilt")


ROUNDS = """
Four rounds of 150 rows were read, each with fresh seeds, and the program was changed after each of the first three.

| round | seeds | spoilt | author's fault | what was changed after it |
|---|---|---|---|---|
| 1 | 11, 12, 13 | 4, 2, 7 | 5, 3, 3 | analyses and names, see below |
| 2 | 31, 32, 33 | 1, 0, 0 | 2, 4, 6 | sums of fractions stay as they are; rows with unknown persons are unfit |
| 3 | 41, 42, 43 | 0, 0, 0 | 6, 6, 5 | rows with slips of grammar are unfit |
| 4 | 51, 52, 53 | 0, 1, 0 | 7, 7, 8 | one more reason to leave rows out, see below |

The 13 rows of the first round: seven recalled only some of the results that the step uses; one recalled a result of
the same value as the one that was used; one quoted a sentence whose "4" was another four; one was ungrammatical ("how
many minutes washing cars he spent"); one gave a length without its unit; two put a sentence between two halves of a
thought. An analysis is now written only where the source of every number in the step is certain. The one spoilt row
of the last round has a quoted sentence too many: it says "two fewer planks" where the step's 2 are bedrooms.

The author's faults that a program can see are unfit, in the table below: a calculation that contradicts its annotation,
a number from nowhere, a number before "because" that is not the result, a person whom the question does not name, slips
of grammar. Those left are slips of other kinds (a wrong word, *he* for *she*, a wrong unit) and a few false statements
that no calculation shows. They were marked more strictly from round to round, so their counts do not compare.

After the last round, an equation with a sign that is not read, such as a power, a root or ½, became a reason too, as
its text could contradict the annotation unnoticed. That leaves out 11 more rows; the other 3 of the 14 in the table
are unfit for
another reason where this one is taken out of today's program. What was written, below, is of
the program with this reason; the rows were read at revision 18e39c2, before it, which drew others of them.
"""


class Counts(BaseModel):
    """What was written with one seed."""

    seed: int
    rows_in: int
    rows_out: int
    unfit: dict[str, int]
    times: dict[Behaviour, int]


class Reading(BaseModel):
    """A row that was read: good, spoilt by what was inserted, or with a fault that its author made."""

    seed: int
    id: str
    verdict: str
    inserted: str
    word: str


def main(data: Path) -> None:
    counts = []
    for seed in SEEDS:
        out = RUNS / str(seed)
        result = inject(InjectConfig(rows=f"gsm8k:{data / 'train.jsonl'}", seed=seed), out)
        counts.append(counts_of(seed, result))
        write_text(RUNS / f"{seed}.txt", "\n\n".join(map(row_text, drawn(out, seed))) + "\n")
        print(f"{RUNS / f'{seed}.txt'}: {READ} rows to read")
    write_json(HERE / "seeds.json", [c.model_dump() for c in counts])
    report([c.model_dump() for c in counts], time.process_time())


def counts_of(seed: int, result: InjectResult) -> Counts:
    times = {name: count.times for name, count in result.behaviours.items()}
    return Counts(seed=seed, rows_in=result.rows_in, rows_out=result.rows_out, unfit=result.unfit, times=times)


def drawn(run: Path, seed: int) -> list[tuple[RowText, RowText]]:
    """(before, after) of the rows to read."""
    before, after = (
        [RowText.model_validate_json(line) for line in (run / name).open(newline="\n")] for name in (BEFORE, ROWS)
    )
    return random.Random(seed).sample(list(zip(before, after, strict=True)), READ)


def row_text(row: tuple[RowText, RowText]) -> str:
    before, after = row
    text, at = "", 0
    for start, end, _ in sorted(before.inserted):
        text += f"{after.thinking[at:start]}⟦{after.thinking[start:end].rstrip()}⟧"
        at = end - (after.thinking[end - 1] == "\n")
    return f"### {after.id}\n{after.prompt}\n---\n{text}{after.thinking[at:]}\n{after.response}"


def readings() -> list[Reading]:
    with READINGS.open(newline="") as file:
        found = [Reading.model_validate(row) for row in csv.DictReader(file)]
    if odd := next((r for r in found if r.verdict not in VERDICTS), None):
        raise ValueError(f"readings.csv: {odd.id}: there is no verdict {odd.verdict!r}")
    return found


def report(stored: Sequence[object], seconds: float | None) -> None:
    counts, read = [Counts.model_validate(c) for c in stored], readings()
    write_claims(
        HERE,
        command="python evidence/inject-gsm8k/run.py GSM8K_FOLDER",
        seconds=seconds,
        cpu=True,
        claims=[
            number(
                "rows read that what was inserted has spoilt",
                [r.verdict == "spoilt" for r in read if r.inserted],
                "<= 1",
                "rows with something inserted",
            ),
            number("rows read with any fault, the author's included", [r.verdict != "good" for r in read], "== 0"),
        ],
        words=page(counts, read),
    )


def number(claim: str, holds: Sequence[bool], target: str, varies: str = "rows") -> Claim:
    """How many of the rows read it holds for; the interval is that of the share, times the rows."""
    share, n = mean_estimate(holds, bounds=(0.0, 1.0), varies="rows"), len(holds)
    return Claim(claim, float(sum(holds)), share.low * n, share.high * n, n, varies, target)


def behaviours(read: Sequence[Reading]) -> str:
    """In how many of the rows each behaviour was inserted, in words."""
    times = {name: sum(name in r.inserted.split() for r in read) for name in ("exploration", "analysis", "computation")}
    return "; ".join(f"{count} have {name}" for name, count in times.items()).replace("; ", ", ")


def spoilt(read: Sequence[Reading]) -> Estimate:
    """The share that matters to a user: of the rows that were changed, how many are worse for it."""
    return mean_estimate([r.verdict == "spoilt" for r in read if r.inserted], bounds=(0.0, 1.0), varies="rows")


def page(counts: Sequence[Counts], read: Sequence[Reading]) -> str:
    table = [verdict_line(seed, [r for r in read if r.seed == seed]) for seed in SEEDS]
    unfit = [f"| {reason} | {number} |" for reason, number in counts[0].unfit.items()]
    written = [f"| {c.seed} | {' | '.join(str(c.times[name]) for name in NAMES)} |" for c in counts]
    faults = [f"- `{r.id}` (seed {r.seed}): {r.word}" for r in read if r.verdict != "good"]
    return f"""# What `inject` writes of GSM8K, read row by row

Would you let a model learn from this row? One reader asked that of {len(read)} rows that `inject` wrote of GSM8K's
training file (MIT) with all three behaviours: {READ} random rows for each of {len(SEEDS)} seeds, drawn after the
changes that three earlier rounds had led to, none of them left out; {behaviours(read)}. A row is *spoilt* if what
was inserted is wrong, belongs to another
quantity or is bad English. It has an *author's* fault if the original solution, which `inject` never changes, has a
wrong or unreadable statement.

| seed | rows read | with something inserted | good | author's fault | spoilt |
|---|---|---|---|---|---|
{chr(10).join(table)}

Of the {spoilt(read).n} rows with something inserted {spoilt(read).value:.1%}
[{100 * spoilt(read).low:.1f}, {100 * spoilt(read).high:.1f}] are spoilt. 
The reader is a language model, and had also changed the program; it
gave all verdicts.

{ROUNDS.strip()}

## Every row that is not good

{chr(10).join(faults)}

## What was written

Of {counts[0].rows_in:,} rows {counts[0].rows_out:,} ({counts[0].rows_out / counts[0].rows_in:.1%}) are fit, the same
with every seed. How often each behaviour was written with p = 0.1:

| seed | {" | ".join(NAMES.values())} |
|---|---|---|---|
{chr(10).join(written)}

| left out because | rows |
|---|---|
{chr(10).join(unfit)}

The verdict on every row is in [readings.csv](readings.csv). The command below writes as many rows
for another reader into runs/inject-gsm8k.
"""


def verdict_line(seed: int, read: Sequence[Reading]) -> str:
    verdicts = Counter(r.verdict for r in read)
    inserted = sum(bool(r.inserted) for r in read)
    return f"| {seed} | {len(read)} | {inserted} | {' | '.join(str(verdicts[v]) for v in VERDICTS)} |"


if __name__ == "__main__":
    if sys.argv[1:] == ["--page"]:
        report(read_json(HERE / "seeds.json"), None)
    else:
        main(Path(sys.argv[1]))
