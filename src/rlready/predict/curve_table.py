"""A learning curve in a table: the columns ``step`` and ``outcome``, or what a tracker exports.

    step, outcome                                    a value for each step
    Step, RUN - METRIC, RUN - METRIC__MIN, __MAX     a chart of Weights & Biases, of one run or of several
    Wall time, Step, Value                           a scalar of TensorBoard
    _step, METRIC, METRIC, ...                       the history of a run, with empty cells

A metric may be named as in the table or as TRL logs it: Transformers sends ``eval_reward`` to a tracker as
``eval/reward`` and ``reward`` as ``train/reward``.  In a tracker's table a step that is not above the one before is
that of a run that went on from a checkpoint: it replaces what had followed.  ``_step`` counts calls of the logger, so
that a trainer's own steps are taken where the table has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import note
from rlready.predict.cells import BESIDE, LESS, NEARLY, OUTCOMES, THOUSANDS, is_number, number_of, shown, step_of
from rlready.predict.continued import continued
from rlready.tasks.table import Table, read_table

OUTCOME = "outcome"
SEVERAL = 2  # values that are replaced, of a table that may be of several runs
NAMED = 8  # columns or runs in an error line
SHUFFLED = 1 / 3  # share of steps that go back, above which rows have no order
# columns of steps and of what rows are of, in small letters; of steps the first that all rows of the metric have
STEPS = (
    *("train/global_step", "trainer/global_step", "training/global_step", "eval/global_step"),
    *("global_step", "step", "_step"),
)
METRICS = ("tag", "metric", "key", "variable")
LABELS = (
    *("run", "run_id", "run id", "run_uuid", "run_name", "run name", "name", "dir_name", "seed", "group"),
    *("experiment", "experiment_id", "experiment_name", *METRICS),
)
TIMES = ("wall time", "_runtime", "_timestamp", "epoch", "train/epoch", "trainer/epoch", "training/epoch")
VALUE = "value"  # what TensorBoard calls every scalar, in small letters
RANGES = ("__MIN", "__MAX")  # of the values that Weights & Biases shows as one


def read(path: Path, metric: str, usual: Sequence[str]) -> tuple[str, dict[float, float]]:
    """(the metric's name, its values by step); UserError for a table that has not the one or the other.

    ``usual`` are the metrics of which the first one there counts, unless ``metric`` names one or there is only one that
    may be an outcome.
    """
    table = read_table(str(path))
    columns = list(dict.fromkeys(name for _, row in table.rows for name in row))
    steps = sorted((name for name in columns if name.lower() in STEPS), key=lambda name: STEPS.index(name.lower()))
    if not steps:
        raise UserError(
            f"{table.where}: no column of steps among {_some(columns)}; if one counts the training, rename it to step, "
            "in all curves that are compared"
        )
    own = OUTCOME in columns and metric in ("", OUTCOME)
    names = [OUTCOME] if own else [name for name in columns if _may_be_metric(table, name)]
    if not names:
        written = (value for _, row in table.rows for value in row.values() if NEARLY.fullmatch(str(value)))
        example = next(map(shown, written), "")
        raise UserError(f"{table.where}: has no numbers by step" + (example and f"; {example} is none"))
    _refuse_several(table, columns, names)
    called = {name: _called(table, name) for name in names}
    column = OUTCOME if own else _column(table, called, metric, usual)
    if not own and not metric:
        refuse_sum(table.where, _as_logged(called[column]), list(map(_as_logged, called.values())))
    rows = [(line, row) for line, row in table.rows if own or _is_there(row.get(column))]
    if not own and len(names) == 1:
        _refuse_no_number_at_the_end(table, column, steps[0])
    step = next((name for name in steps if all(is_number(step_of(row.get(name))) for _, row in rows)), steps[0])
    return (OUTCOME, _outcomes(table, step)) if own else (_as_logged(called[column]), _tracked(table, step, column))


def refuse_sum(where: str, metric: str, names: Sequence[str]) -> None:
    """UserError if ``metric`` is the sum of several rewards of ``names``, of which one may be of length."""
    each = list(dict.fromkeys(n for n in names if n.startswith(f"{metric}s/") and not n.endswith("/std")))
    if len(each) > 1:
        raise UserError(
            f"{where}: {metric} is the sum of the rewards {', '.join(each)}; name one of them as the metric, or "
            f"{metric} to take the sum"
        )


def _outcomes(table: Table, step: str) -> dict[float, float]:
    found: dict[float, float] = {}
    for line, row in table.rows:
        at, value = step_of(row.get(step)), number_of(row.get(OUTCOME))
        if not is_number(at) or not is_number(value):
            raise _no_numbers(table.place(line), at, value, "step", OUTCOME)
        if at in found:
            raise UserError(f"{table.place(line)}: step {at:g} is given twice; keep one line of each step")
        found[at] = value
    return found


def _tracked(table: Table, step: str, column: str) -> dict[float, float]:
    points = list[tuple[float, float]]()
    for line, row in table.rows:
        at, value = step_of(row.get(step)), number_of(row.get(column))
        if not _is_there(row.get(column)):
            continue  # another run, or another metric, has a value at this step
        if not is_number(at) or not is_number(value):
            raise _no_numbers(table.place(line), at, value, step, column)
        points.append((at, value))
    points = [point for before, point in pairwise([None, *points]) if point != before and point]
    again = sum(one == other for (one, _), (other, _) in pairwise(points))
    back, forth = (sum(sign * (other - one) > 0 for (one, _), (other, _) in pairwise(points)) for sign in (-1, 1))
    if back > forth:  # the newest first
        points.reverse()
    if min(back, forth) > SHUFFLED * len(points):
        note(f"{table.where}: its rows are not in the order of steps, and are sorted by them")
        points = sorted(dict.fromkeys(points))
        again = len(points) - len(dict(points))
    found, replaced = continued(points)
    if again >= max(SEVERAL, len(found) / 2) or _restarted(points):
        raise UserError(
            f"{table.where}: has several values of {column} at each {step}: if they are of several runs, keep the rows "
            "of one; if a run began again, those of its last attempt"
        )
    if replaced:
        note(f"{table.where}: the run went on from an earlier step; {replaced} values that it replaced are left out")
    return found


def _no_numbers(place: str, at: object, value: object, step: str, column: str) -> UserError:
    bad = at if not is_number(at) else value
    fix = "; write steps without separators" if bad is at and isinstance(at, str) and THOUSANDS.fullmatch(at) else ""
    return UserError(f"{place}: {step} and {column} must be numbers, not {shown(bad)}{fix}")


def _restarted(points: Sequence[tuple[float, float]]) -> bool:
    """Whether a run went back to its first step or before, so that it replaces all of the several values there were."""
    steps = [at for at, _ in points]
    return any(
        steps[at] < steps[at - 1] and steps[at] <= least
        for at, least in enumerate(accumulate(steps, min), start=1)
        if SEVERAL <= at < len(steps)
    )


def _refuse_no_number_at_the_end(table: Table, column: str, step: str) -> None:
    """UserError for a table of one metric that is NaN at its last step, as where a run has diverged."""
    at = [(number_of(row.get(step)), line, row.get(column)) for line, row in table.rows]
    _, line, value = max((each for each in at if is_number(each[0])), default=(0, 0, ""))
    if str(value).lower() == "nan":
        raise UserError(f"{table.place(line)}: {column} is {value} at the last step; leave the row out if it may be")


def _is_there(value: object) -> bool:
    return number_of(value) not in (None, "") and str(value).lower() != "nan"


def _refuse_several(table: Table, columns: Sequence[str], metrics: Sequence[str]) -> None:
    """UserError for a table whose rows with one of the ``metrics`` are of several runs, or of several metrics."""
    for name in columns:
        if name.lower() in LABELS:
            rows = (row for _, row in table.rows if any(_is_there(row.get(metric)) for metric in metrics))
            found = list(dict.fromkeys(str(row[name]) for row in rows if row.get(name) not in (None, "")))
            if len(found) > 1:
                raise UserError(f"{table.where}: has values of several {name}, {_some(found)}: keep the rows of one")


def _may_be_metric(table: Table, name: str) -> bool:
    if name.lower() in (*STEPS, *TIMES) or name.endswith(RANGES):
        return False
    return any(is_number(number_of(row.get(name))) for _, row in table.rows)


def _called(table: Table, column: str) -> str:
    """The metric that a column of values holds: its name, or what a table with a row for each value says beside it."""
    if column.lower() == VALUE:
        for name in (name for _, row in table.rows[:1] for name in row if name.lower() in METRICS):
            return str(table.rows[0][1][name] or column)
    return column


def _column(table: Table, columns: Mapping[str, str], metric: str, usual: Sequence[str]) -> str:
    """The column of the metric that is named, of the only one, or of the first usual one; UserError for several.

    ``columns`` are metrics by column.
    """
    if metric:
        found = [
            name for name, called in columns.items() if metric in (name, called, _of_run(called), _as_logged(called))
        ]
        if not found:
            raise UserError(f"{table.where}: no metric {metric!r}; {nearest(metric, [*columns.values()])}")
    else:
        of_usual = ([name for name, called in columns.items() if _as_logged(called) == each] for each in usual)
        name = _as_logged(min(columns.values(), default="")).lower()
        alone = len(columns) == 1 and not (LESS.search(name) or (BESIDE.search(name) and not OUTCOMES.search(name)))
        found = list(columns) if alone else next(filter(None, of_usual), [])
    if len(found) == 1:
        if columns[found[0]].lower() == VALUE:
            note(f"{table.where}: {found[0]} is taken for a number of which more is better, as its name does not say")
        return found[0]
    names = _some([columns[name] for name in found or columns])
    raise UserError(f"{table.where}: has {names} by step; name the column of one as the metric")


def _some(names: Sequence[str]) -> str:
    """The names, or the first of many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def _of_run(column: str) -> str:
    """The metric in the column of a run."""
    return column.rpartition(" - ")[2]


def _as_logged(column: str) -> str:
    """The metric as Transformers logs it."""
    metric = _of_run(column)
    return metric.replace("/", "_", 1) if metric.startswith("eval/") else metric.removeprefix("train/")
