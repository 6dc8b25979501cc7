"""The report of a run folder as one HTML page that needs no network.

A section is there if its data are.  All of it is text that others wrote, model output above all: every value
passes ``visible`` and autoescape on its way out, and the page's content policy lets no script run but
the template's own and nothing load from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.core.text import visible
from rlready.readiness.ranking import WORDS
from rlready.report import budget_charts as spending
from rlready.report import charts
from rlready.report import predict_charts as forecast
from rlready.report.folder import RunFolder, read
from rlready.runs.checkpoint_order import labels
from rlready.runs.run import write_text

MOST_EXAMPLES = 300
KINDS = {  # kind of number: scale, decimals, unit
    **{"pct": (100.0, 1, "\u202f%"), "points": (100.0, 1, " points")},
    **{"tokens": (1.0, 1, ""), "count": (1.0, 0, ""), "loss": (1.0, 3, "")},
    **{"rho": (1.0, 2, ""), "whole": (100.0, 0, "\u202f%")},
}
COLUMNS = (
    *(("accuracy", "accuracy", "pct"), ("strict_accuracy", "every step right", "pct")),
    *(("greedy_accuracy", "accuracy, greedy", "pct"), ("thinking_tokens", "thinking tokens", "tokens")),
)
EXTRAS = (  # of a checkpoint: key, title, kind
    *(("behind", "behind the picked", "points"), ("mixed", "mixed groups", "pct")),
    *(("never", "never right", "pct"), ("sometimes", "sometimes", "pct"), ("always", "always", "pct")),
    *(("spread", "√(α(1−α)) of a group", "loss"), ("entropy", "nats of entropy per token", "loss")),
    *(("length_right", "tokens, right", "tokens"), ("length_wrong", "tokens, wrong", "tokens")),
    ("truncated", "cut at the budget", "pct"),
)
SPENT_EXTRAS = (  # at a budget: key, title, kind
    *(("unfinished", "without an end", "pct"), ("gain", "minus the first model", "points")),
    ("change", "minus the largest budget", "points"),
)
FACTORS = (  # of the influence: key, title
    *(("step", "ΔJ / η"), ("spread", "= √(α(1−α)), mean"), ("co_influence", "× co-influence")),
    *(("k_right", "= K⁺"), ("k_wrong", "− K⁻"), ("cosine", "cosine")),
)


@dataclass(frozen=True)
class Headline:
    """One large number at the top of the page; ``figure`` is None where the number has no interval."""

    label: str
    kind: str
    value: float | None
    figure: Estimate | None = None
    note: str = ""


def write(folder: Path) -> Path:
    """Write ``report.html`` into the run folder and say where it is."""
    path = Path(folder) / "report.html"
    write_text(path, render(Path(folder)))
    return path


def render(folder: Path) -> str:
    """The page of a run folder as text; a ``UserError`` if its ``result.json`` cannot be shown."""
    run = _with_short_names(read(folder))
    result = run.result
    every = -(-len(run.examples) // MOST_EXAMPLES) or 1
    examples = run.examples[::every]
    page = _environment().get_template("page.html")
    return page.render(
        result=result,
        headlines=list(_headlines(result)),
        stages=[(label, result[key]) for key, label in charts.STAGES.items() if any(result[key].values())],
        columns=[column for column in COLUMNS if any(result[key][column[0]] for key in charts.STAGES)],
        compared=charts.compared(result["budgets"]),
        **_spending(result),
        checkpoint_figures=[f for c in result["checkpoints"] for f in (c["heldout_loss"], *c["pass"].values())],
        loss_chart=charts.sft_loss(run.logs["sft"]) or charts.heldout_loss(result["checkpoints"]),
        passk_chart=charts.pass_at_k(result["checkpoints"], result["chance"]),
        ks=_few(charts.ks(result["checkpoints"]), result["group"]),
        counted=[key for key in ("epoch", "step") if any(c[key] is not None for c in result["checkpoints"])],
        extras=[x for x in EXTRAS if any(c[x[0]] for c in result["checkpoints"])],
        histogram_chart=charts.histogram(result["checkpoints"]),
        cosine_chart=charts.cosine(result["checkpoints"]),
        influenced=[c for c in result["checkpoints"] if c["influence"]["spread"]],
        factors=FACTORS,
        rewritten=run.rewritten,
        rl_charts=[chart for chart in charts.rl(run.logs["rl"]) if chart],
        **_forecast(result),
        examples=examples,
        examples_total=len(run.examples),
        models=list(dict.fromkeys(e["model"] for e in examples)),
        record=run.record,
        left_out=run.left_out,
    )


def _spending(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the section on thinking budgets shows; the untouched models are a last budget."""
    rows = list(result["budgets"])
    if result["untouched"] and any(e["budget"] is not None for e in rows):
        rows.append({"budget": "untouched", **result["untouched"]})
    figures = [e[m] for e in rows for m in charts.compared([e])]
    return {
        "budget_rows": rows,
        "budget_figures": [f["accuracy"] for f in figures],
        "answers": any(f["answer_tokens"] for f in figures),
        "spent_extras": [x for x in SPENT_EXTRAS if any(f[x[0]] for f in figures)],
        "budget_chart": spending.accuracy(result),
        "length_charts": spending.lengths(result),
        "way_charts": spending.other_ways(result),
        "main_way": spending.main_way(result),
    }


def _forecast(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the sections on ``rlready predict`` and ``rlready sweep`` show."""
    rows = result["checkpoints"]
    beating, beaten = forecast.beats(result)
    picked = next((c["label"] for c in rows if c["picked"]), None)
    return {
        "ranked": forecast.ranked(rows),
        "words": WORDS,
        "outcomes_known": any(c["outcomes"] for c in rows),
        "expected": any(c["expected"] for c in rows),
        "beating": beating,
        "beaten": beaten,
        "sft_charts": forecast.trajectories(rows),
        "families": [
            {
                "data": family,
                "charts": forecast.outcomes(family, picked),
                "shares": forecast.shares(family),
                "costs": any(s["regret_cost"] for s in family["scores"]),
                "calibrations": forecast.calibrations(family),
            }
            for family in result["families"]
        ],
        "start_charts": forecast.starts(result["starts"]),
    }


def _with_short_names(run: RunFolder) -> RunFolder:
    """The run with checkpoints and models called by the last parts of their paths, the same everywhere.

    No model is called "budget", which is the other key of a line.
    """
    checkpoints, budgets = run.result["checkpoints"], run.result["budgets"]
    named = [*run.examples, *(line for key in ("arms", "metrics", "votes") for line in run.result[key])]
    models = [*charts.compared(budgets), *run.result["untouched"], *run.result["lengths"]["models"]]
    models += [line["model"] or "" for line in named]
    names = labels([*(c["name"] or "" for c in checkpoints), *models, "budget"])
    result = run.result | {
        "checkpoints": [c | {"name": names[c["name"] or ""]} for c in checkpoints],
        "budgets": [{names[k]: v for k, v in entry.items()} for entry in budgets],
        "untouched": {names[k]: v for k, v in run.result["untouched"].items()},
        "lengths": run.result["lengths"]
        | {"models": {names[k]: v for k, v in run.result["lengths"]["models"].items()}},
        **{
            key: [line | {"model": names[line["model"] or ""]} for line in run.result[key]]
            for key in ("arms", "metrics", "votes")
        },
    }
    return replace(run, result=result, examples=[e | {"model": names[e["model"] or ""]} for e in run.examples])


def show(value: float | None, kind: str, signed: bool = False, unit: bool = True) -> str:
    """A number as the page prints it; a dash for one that is missing or not finite."""
    scale, digits, suffix = KINDS[kind]
    if value is None or not abs(value) < 1e15:
        return "–"
    scaled, sign = scale * value, "+" if signed else ""
    small = 0 < abs(scaled) < 0.5 * 10**-digits
    text = f"{scaled:{sign}.1g}" if small else f"{scaled:{sign},.{digits}f}"
    return text.replace("-", "−") + (suffix if unit else "")


def interval(figure: Estimate, kind: str, signed: bool = False) -> str:
    return f"[{show(figure.low, kind, signed, False)}, {show(figure.high, kind, signed, False)}]"


def units(figures: Iterable[Estimate | None]) -> str:
    """What the intervals of a table run over: "n = 200 problems", more than one if the table mixes them."""
    return " and ".join(dict.fromkeys(f"n = {f.n:,} {f.varies}" for f in figures if f is not None and f.n))


def duration(seconds: float | None) -> str:
    if seconds is None or not 0 <= seconds < 1e9:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _headlines(result: Mapping[str, Any]) -> Iterator[Headline]:
    """The few numbers that a reader came for, by what the run has."""
    if result["by"]:
        yield from (Headline(*each) for each in forecast.headlines(result))
        return
    for key, label in charts.STAGES.items():
        if figure := result[key]["accuracy"]:
            yield Headline(f"{label} accuracy", "pct", figure.value, figure)
    if figure := result["rl_minus_sft"]:
        yield Headline("RL − SFT, paired", "points", figure.value, figure)
    thinking = [(label, f) for key, label in charts.STAGES.items() if (f := result[key]["thinking_tokens"])]
    if thinking:
        label, figure = thinking[-1]
        before = " · ".join(f"{name} {show(f.value, 'tokens')}" for name, f in thinking[:-1])
        yield Headline(f"Thinking tokens, {label}", "tokens", figure.value, figure, before)
    if not any(any(result[key].values()) for key in charts.STAGES):
        yield from _headlines_of_models(result)
    if any(v is not None for v in result["chance"].values()):
        rest = [f"{_chance_name(k)} {show(v, 'pct')}" for k, v in result["chance"].items() if k != "pass@1"]
        yield Headline("Chance, one guess", "pct", result["chance"].get("pass@1"), None, " · ".join(rest))


def _headlines_of_models(result: Mapping[str, Any]) -> Iterator[Headline]:
    """For a run that compares checkpoints or models and is not one road from base to RL."""
    for i, point in enumerate(result["checkpoints"]):
        if point["picked"]:
            name = point["name"] or f"checkpoint {i + 1}"
            for k in _few(sorted(point["pass"]), result["group"]):
                yield Headline(f"Picked: pass@{k}", "pct", point["pass"][k].value, point["pass"][k], name)
            if figure := point["sometimes"]:
                yield Headline("Picked: sometimes", "pct", figure.value, figure, name)
    losses = [(c["heldout_loss"], c["name"] or "") for c in result["checkpoints"] if c["heldout_loss"]]
    if losses:
        figure, name = min(losses, key=lambda pair: pair[0].value)
        yield Headline("Lowest held-out loss", "loss", figure.value, figure, name)
    for title, entry in (("before RL", result["evaluations"][:1]), ("best of RL", [result["best"]])):
        if entry and (figure := entry[0]["accuracy"]):
            step = f"step {show(entry[0]['step'], 'count')}"
            yield Headline(f"Held-out accuracy, {title}", "pct", figure.value, figure, step)
    for entry in result["budgets"][-1:]:
        for name in charts.compared([entry])[:4]:
            if figure := entry[name]["accuracy"]:
                where = (
                    f"Accuracy at budget {show(entry['budget'], 'count')}" if entry["budget"] else "Accuracy, no budget"
                )
                yield Headline(where, "pct", figure.value, figure, charts.label(name))


def _chance_name(key: str) -> str:
    return "most common answer" if key == "majority" else key


def _few(ks: list[int], group: float | None) -> list[int]:
    """Enough of a pass@k curve for a table: its ends, and the group size of RL (or the middle) between them."""
    if not ks:
        return []
    middle = int(group) if group is not None and group in ks else ks[len(ks) // 2]
    return sorted({ks[0], middle, ks[-1]})


def _environment() -> Environment:
    folder = files(__package__)
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(show=show, interval=interval, units=units, duration=duration)
    environment.filters.update(policy=_policy, compact=_compact)
    environment.globals.update(label=charts.label, way=spending.way)
    environment.globals.update(unit_of={kind: unit.strip() for kind, (_, _, unit) in KINDS.items()})
    return environment


def _policy(script: str) -> str:
    """The source expression that lets this one inline script run."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def _compact(value: object) -> str:
    """A part of the record: an object of plain values as lines, anything deeper as JSON."""
    if isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values()):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
