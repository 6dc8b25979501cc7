"""Problems like those of a source that are others: to train on after one has measured, or to measure afterwards."""

from __future__ import annotations

from rlready.tasks.source import options_of, source_string

GENERATED = ("dagmath", "gym")  # the kinds whose seed makes the problems


def training_problems(source: str, at_least: int) -> str | None:
    """`other_problems` to train on, at least so many: never of the test split, whose templates stay unseen."""
    head, _, query = source.partition("?")
    options = options_of(source, query)
    if options.get("split") == "test":
        options["split"] = "train"
    return other_problems(source_string(head, options), at_least)


def other_problems(source: str, at_least: int = 0) -> str | None:
    """The source with the next seed, and with no fewer than ``at_least`` problems; None if they are not generated.

    The seed of a file only chooses among its problems, so that another one would choose some of the same.
    """
    head, _, query = source.partition("?")
    if head.partition(":")[0] not in GENERATED:
        return None
    options = options_of(source, query)
    if int(options.get("n", at_least)) < at_least:
        options["n"] = str(at_least)
    options["seed"] = str(int(options.get("seed", 0)) + 1)
    return source_string(head, options)
