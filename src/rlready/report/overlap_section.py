"""What the page shows of training data that overlap with the data that a model was measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

from rlready.report.section import Column, Section, paragraph, small, table
from rlready.runs.record import Overlap

MOST_PAIRS = 20
METHOD = (
    "Prompts are compared. Equal: up to white space. 13 words in a row: any 13 words of the prompt, or all of a "
    "shorter one, stand in one that was trained on (Brown et al. 2020, appendix C), without case and punctuation. "
    "Near-duplicates: the Jaccard index of 5-grams with a single other prompt is at least 0.8 (Lee et al. 2022). Words "
    "that stand in many prompts, such as instructions, are left out. Equal prompts are in all counts. Validation "
    "problems, which choose a checkpoint of RL, are counted as training data are, from run to run. A dash: not "
    "counted, because the training data were too large, or because only hashes of their prompts are known, as of data "
    "that code generates or that may have changed since."
)
GENERATED = (
    "Same graph: for generated problems, the arithmetic of the solution without its names and numbers. The train and "
    "test splits of DAG maths have none in common; their sentences come from one generator, so that words in common "
    "mean little."
)


def overlap_section(record: Mapping[str, object]) -> Iterator[Section]:
    """Counts for each pair of training and evaluation data in the record of a run; nothing without any."""
    found: list[Overlap] = []
    with suppress(ValidationError):  # a record that was edited
        found = TypeAdapter(list[Overlap]).validate_python(record.get("overlaps") or [])
    if not found:
        return
    found.sort(key=_share, reverse=True)
    shown, more = found[:MOST_PAIRS], max(0, len(found) - MOST_PAIRS)
    column = Column[Overlap]

    def of(count: Callable[[Overlap], int | None]) -> Callable[[Overlap], str]:
        return lambda each: "–" if count(each) is None else f"{count(each)} of {each.n}"

    columns = [
        column("trained or chosen on", lambda each: each.training, heads=True),
        column("measured on", lambda each: each.held, wide=True),
        column("equal", of(lambda each: each.exact)),
        column("13 words in a row", of(lambda each: each.shared_ngram)),
        column("near-duplicates", of(lambda each: each.near)),
    ]
    generated = any(each.same_template is not None for each in shown)
    if generated:
        columns.append(column("same graph", of(lambda each: each.same_template)))
    title = "Overlap of training and test data"
    left_out = [small(f"{more} more pairs, which overlap no more than these, are in record.json.")] if more else []
    parts = [paragraph(_summary(found)), table(title, [shown], columns), *left_out, small(METHOD)]
    yield Section(title, [*parts, small(GENERATED)] if generated else parts)


def _share(found: Overlap) -> float:
    """The share of prompts that are known to be equal or nearly equal."""
    return (found.near or found.exact) / max(1, found.n)


def _summary(found: Sequence[Overlap]) -> str:
    """What was found; ``found`` begins with the pair that overlaps most."""
    worst, compared = found[0], sum(each.near is not None for each in found)
    if some := worst.near or worst.exact:
        return (
            f"Of {worst.held}, {some} of {worst.n} are equal or nearly equal to what was trained on ({worst.training})."
        )
    if compared == len(found):
        return "No problem or row that was measured is equal or nearly equal to one that was trained on."
    where = f"looked for in {compared} of {len(found)} pairs" if compared else "not looked for"
    return (
        "No problem or row that was measured is known to be equal to one that was trained on; near-duplicates were "
        f"{where}."
    )
