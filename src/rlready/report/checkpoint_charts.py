"""What the page shows of checkpoints as starts for RL: held-out loss, pass@k, accuracy by problem, influence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TypeVar

from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.influence.result import InfluenceResult
from rlready.predict.result import CheckpointPrediction
from rlready.readiness.result import CheckpointReadiness, RankedCheckpoint, ReadinessResult
from rlready.report.bars import Shares, rows_of_shares
from rlready.report.demo_result import DemoCheckpoint, DemoResult
from rlready.report.figures import ONE_DIGIT, PERCENT, POINTS, THREE_DIGITS, TOKENS
from rlready.report.log_charts import sft_loss
from rlready.report.logs import Log
from rlready.report.plots import NEUTRAL, Point, Series, line_chart
from rlready.report.section import Column, Section, badges, bullets, side_by_side, table, titled_table
from rlready.runs.checkpoint_order import labels, runs_of, step_of
from rlready.train.result import Checkpoint, SFTResult

MOST_BARS = 16  # checkpoints
HALF_BIN = 0.1  # of the shares of rollouts that are correct, in fifths
MOST_NAMED = 6  # checkpoints; of more only first, last and chosen stand out
Rows = Sequence[CheckpointReadiness | CheckpointPrediction]
Entry = TypeVar("Entry", CheckpointReadiness, CheckpointPrediction)
LOSS_NOTE = "Bars are 95 % intervals over examples, the same for all checkpoints: their differences are more certain."


def sft_section(result: SFTResult) -> Section:
    """The held-out loss of every checkpoint."""
    columns = [
        Column[Checkpoint]("checkpoint", lambda c: c.name, heads=True),
        Column[Checkpoint]("epoch", lambda c: f"{c.epoch:.3g}"),
        Column[Checkpoint]("step", lambda c: c.step),
        Column[Checkpoint]("held-out loss", lambda c: c.heldout_loss, THREE_DIGITS),
        Column[Checkpoint]("above the lowest", lambda c: c.behind, THREE_DIGITS),
    ]
    return Section("Checkpoints", [table("Checkpoints", [result.checkpoints], columns)])


def readiness_section(result: ReadinessResult | DemoResult, log: Log) -> Section:
    """Everything that was measured of the checkpoints, and what follows."""
    group_size, of = None, result.group_size
    if isinstance(result, ReadinessResult):
        group_size, of = result.group_size, result.informative_group_size
    said = [bullets(result.remarks(), "steps")] if isinstance(result, ReadinessResult) and result.remarks() else []
    parts = measured_parts(_named(result), result.chance_level, group_size, log, of)
    return Section("Which checkpoint to start RL from", [*said, *parts], ["pass_at_k", "behind"])


def _named(result: ReadinessResult | DemoResult) -> Sequence[CheckpointReadiness]:
    """The checkpoints; beside those of RL, on the page of the demo, as those of SFT."""
    if isinstance(result, ReadinessResult):
        return result.checkpoints
    return [c.model_copy(update={"name": f"SFT {c.name}"}) for c in result.checkpoints]


def measured_parts(
    rows: Sequence[CheckpointReadiness],
    chance_level: Mapping[str, float],
    group_size: int | None,
    log: Log,
    of: int | None = None,
) -> list[Markup]:
    """Tables and charts of everything that was measured of the checkpoints, in the order of training.

    ``of`` is the number of samples in the groups of which some are informative, if that is known.
    """
    short = labels(row.name for row in rows)
    ks = few_ks(rows[0].pass_at_k, group_size)
    losses = [row.heldout_loss for row in rows]
    charts = [
        sft_loss(log) or _by_order(rows, losses, "Held-out loss", "loss, nats per token", LOSS_NOTE),
        pass_at_k(rows, short, chance_level),
        _rollout_accuracy(rows, short),
    ]
    decisive, more = _columns(rows, short, ks)
    return [
        table("Checkpoints", [rows], decisive, lambda c: c.chosen),
        side_by_side(charts),
        titled_table(
            "What RL would learn from" + (f", in groups of {of}" if of else ""), rows, more, lambda c: c.chosen
        ),
    ]


def influence_section(rows: Sequence[CheckpointReadiness]) -> list[Section]:
    """What a step of RL on one problem does for the others; none where it was not measured."""
    known = [(row, row.influence) for row in rows if row.influence]
    if not known:
        return []
    short = labels(row.name for row in rows)
    cosines = [row.influence.cosine if row.influence else None for row in rows]
    title = "What a step on one problem does for the others"
    cosine = "cosine of two problems' gradients"
    chart = _by_order(rows, cosines, "Do problems teach each other?", cosine, "Bars are 95 % intervals.")
    parts = [side_by_side([chart]), table("Influence", [known], _influence_columns(short), lambda pair: pair[0].chosen)]
    return [Section(title, parts, ["influence"])]


def pass_at_k(rows: Rows, short: Mapping[str, str], chance_level: Mapping[str, float]) -> Markup:
    """pass@k over k in doublings, and the chance level."""
    names = _starred(rows, short)
    curves = [
        [Point.of(k, f, f"{name}, pass@{k}", percent=True) for k, f in row.pass_at_k.items()]
        for row, name in zip(rows, names, strict=True)
    ]
    named, others = _apart(rows, names, curves)
    levels = [Point(k, chance_level[f"pass@{k}"]) for k in rows[0].pass_at_k if f"pass@{k}" in chance_level]
    return line_chart(
        [*others, *named, Series("chance level", levels, NEUTRAL, 6, markers=False)],
        title="pass@k of each checkpoint",
        x_label="samples per problem, k",
        y_label="problems solved at least once",
        percent=True,
        log2_x=True,
        note="Bands are 95 % intervals."
        + (" Chance level: guessing the k most common answers." if levels else "")
        + _apart_note(rows, others),
    )


def few_ks(pass_at_k: Mapping[int, Estimate], group_size: int | None = None) -> list[int]:
    """Enough of a pass@k curve for a table: its ends, and the group size of RL (or the middle) between them."""
    ks = sorted(pass_at_k)
    middle = group_size if group_size is not None and group_size in ks else ks[len(ks) // 2]
    return sorted({ks[0], middle, ks[-1]})


def _rollout_accuracy(rows: Sequence[CheckpointReadiness], short: Mapping[str, str]) -> Markup:
    """How correct rollouts are distributed over problems: RL can learn from those between none and all."""
    kinds = [_kind(bin.share_right) for bin in rows[0].histogram]
    shown = _spaced([row.chosen for row in rows])
    left_out = len(rows) - len(shown)
    return rows_of_shares(
        [
            Shares(name, {_kind(bin.share_right): bin.problems for bin in rows[i].histogram})
            for i, name in enumerate(_starred(rows, short))
            if i in shown
        ],
        kinds,
        title="Rollout accuracy of the problems",
        of="share of problems, by the share of their rollouts that is correct",
        note="Each bar is all problems, in per cent, by the share of a problem's rollouts that is correct. RL with a "
        "reward of 0 or 1 learns from those between none and all; the table below has intervals."
        + (" ★ chosen." if any(row.chosen for row in rows) else "")
        + (f" Left out: {left_out} checkpoints in between." if left_out else ""),
    )


def _kind(share_right: float) -> str:
    """What a bin is called, by its middle."""
    if share_right in (0.0, 1.0):
        return "all" if share_right else "none"
    return f"{100 * (share_right - HALF_BIN):.0f}–{100 * (share_right + HALF_BIN):.0f}\u202f%"


def _spaced(chosen: Sequence[bool]) -> set[int]:
    """The checkpoints that have a bar: of many some evenly spaced ones, and the chosen one."""
    if len(chosen) <= MOST_BARS:
        return set(range(len(chosen)))
    spaced = {round(i * (len(chosen) - 1) / (MOST_BARS - 2)) for i in range(MOST_BARS - 1)}
    return spaced | {i for i, each in enumerate(chosen) if each}


def _by_order(
    rows: Sequence[CheckpointReadiness], figures: Sequence[Estimate | None], title: str, y_label: str, note: str
) -> Markup:
    """A chart of one figure over the checkpoints, a line for each run in the order of training; none for a single
    checkpoint.

    Runs stand over their steps, if these are known of all; one run, or checkpoints without, beside each other.
    """
    names = [row.name for row in rows]
    short, runs = labels(names), runs_of(names)
    several = len(set(runs.values())) > 1
    over_steps = several and all(runs[name] and step_of(name) is not None for name in names)
    lines: dict[str | None, list[Point]] = {}
    for i, (figure, name) in enumerate(zip(figures, names, strict=True), start=1):
        if figure:
            point = Point.of(step_of(name) or 0 if over_steps else i, figure, short[name])
            lines.setdefault(runs[name], []).append(replace(point, tick="" if over_steps else short[name]))
    called = labels(filter(None, lines))
    series = [
        Series(called[run] if run and several else title, points, n % NEUTRAL, n % 8, joined=run is not None)
        for n, (run, points) in enumerate(lines.items())
    ]
    ordered = ", in order of training" * (not several and None not in lines)
    along = "SFT step" if over_steps else f"checkpoint{ordered}"
    return line_chart(
        series if sum(map(len, lines.values())) > 1 else [], title=title, x_label=along, y_label=y_label, note=note
    )


def _starred(rows: Sequence[RankedCheckpoint], short: Mapping[str, str]) -> list[str]:
    return [short[row.name] + (" ★" if row.chosen else "") for row in rows]


def _apart(
    rows: Sequence[RankedCheckpoint], names: Sequence[str], curves: Sequence[list[Point]]
) -> tuple[list[Series], list[Series]]:
    """One series per checkpoint, (named, background): with many only first, last and chosen stand out."""
    named, others = list[Series](), list[Series]()
    styles = count(1 if any(row.chosen for row in rows) else 0)
    for i, (row, name, points) in enumerate(zip(rows, names, curves, strict=True)):
        if len(rows) > MOST_NAMED and not row.chosen and 0 < i < len(rows) - 1:
            others.append(Series(name, points, NEUTRAL, 0, markers=False, named=False))
        else:
            n = 0 if row.chosen else next(styles)  # as on every page
            named.append(Series(name, points, n % NEUTRAL, n % 8, band=True))
    return named, others


def _apart_note(rows: Sequence[RankedCheckpoint], others: Sequence[Series]) -> str:
    said = " ★ chosen." if any(row.chosen for row in rows) else ""
    return said + (f" Thin grey: the {len(others)} others." if others else "")


def _columns(
    rows: Sequence[CheckpointReadiness], short: Mapping[str, str], ks: Sequence[int]
) -> tuple[list[Column[CheckpointReadiness]], list[Column[CheckpointReadiness]]]:
    """What decides, and what explains it."""
    column = Column[CheckpointReadiness]
    decisive = [
        column("checkpoint", lambda c: marked(short[c.name], c), heads=True),
        column("epoch", lambda c: f"{c.epoch:.3g}" if isinstance(c, DemoCheckpoint) else None),
        column("step", lambda c: c.step if isinstance(c, DemoCheckpoint) else None),
        column("held-out loss", lambda c: c.heldout_loss, THREE_DIGITS),
        *pass_columns(rows, ks),
        column(f"behind {short[min(rows, key=lambda c: c.rank).name]}", lambda c: c.behind, POINTS),
    ]
    more = [
        column("checkpoint", lambda c: short[c.name], heads=True),
        column("informative groups", lambda c: c.informative, PERCENT),
        column(f"unsolved{rows[0].counted}", lambda c: c.unsolved, PERCENT),
        column("partially solved", lambda c: c.partially_solved, PERCENT),
        column(f"solved{rows[0].counted}", lambda c: c.solved, PERCENT),
        column("group signal", lambda c: c.group_signal, THREE_DIGITS),
        column("entropy, nats per token", lambda c: c.entropy, THREE_DIGITS),
        column("distinct answers", lambda c: c.distinct_answers, ONE_DIGIT),
        column("response tokens, correct", lambda c: c.length_right, TOKENS),
        column("response tokens, wrong", lambda c: c.length_wrong, TOKENS),
        column("truncated", lambda c: c.truncated, PERCENT),
    ]
    return decisive, more


def pass_columns(rows: Sequence[Entry], ks: Sequence[int]) -> list[Column[Entry]]:
    """pass@k of ``rows``, one column per k."""
    return [Column(f"pass@{k}", partial(_pass, k), PERCENT) for k in ks]


def _pass(k: int, row: CheckpointReadiness | CheckpointPrediction) -> Estimate | None:
    return row.pass_at_k.get(k)


def marked(name: str, row: CheckpointReadiness | CheckpointPrediction) -> Markup:
    """The name of a checkpoint, and whether it is chosen or past overfitting onset."""
    return badges(name, "★ chosen" if row.chosen else "", "past overfitting onset" if row.past_onset else "")


def _influence_columns(short: Mapping[str, str]) -> list[Column[tuple[CheckpointReadiness, InfluenceResult]]]:
    column = Column[tuple[CheckpointReadiness, InfluenceResult]]
    return [
        column("checkpoint", lambda pair: marked(short[pair[0].name], pair[0]), heads=True),
        column("ΔJ / η", lambda pair: pair[1].step, THREE_DIGITS),
        column("= group signal", lambda pair: pair[1].group_signal, THREE_DIGITS),
        column("× co-influence", lambda pair: pair[1].co_influence, THREE_DIGITS),
        column("= K⁺", lambda pair: pair[1].k_right, THREE_DIGITS),
        column("− K⁻", lambda pair: pair[1].k_wrong, THREE_DIGITS),
        column("cosine", lambda pair: pair[1].cosine, THREE_DIGITS),
        column("solved", lambda pair: pair[1].all_right),
        column("unsolved", lambda pair: pair[1].all_wrong),
        column("error of a cosine", lambda pair: pair[1].error or None, THREE_DIGITS),
        column("parameters", lambda pair: pair[1].parameters),
    ]
