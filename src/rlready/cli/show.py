"""``rlready show``: what run folders hold, on a terminal: a line for each run, then every run's own tables.

With ``--diff``: rows of a run of ``inject``, before and after.  With ``--credit``: where the dense rewards of an SFT
run fall in a text or in samples.  With ``--template``: what a checkpoint's chat template was found to write.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.core.config import CreditConfig
from rlready.core.errors import UserError
from rlready.core.records import Row
from rlready.inject import diff as rows
from rlready.runs import lock
from rlready.runs.run import RECORD, RESULT, read_json


def show(paths: Sequence[Path], *, diff: Sequence[str] | None = None) -> dict[str, Any]:
    """Status, time, verdict and tables of every run; one whose process is gone is not running, whatever it wrote.

    With ``diff``, ids of rows of the one run, an ``inject``: those rows before and after, instead; without an id the
    first row that was changed.

    What is no run is passed over with a line that says so, as it may be in ``runs/*``; UserError where there is no
    run at all, and for what does not exist.
    """
    if diff is not None:
        return rows.show(paths[0], diff)
    lines: list[list[str]] = [["run", "verb", "status", "seconds", "says"]]
    found: dict[str, Any] = {}
    tables: dict[str, list[list[str]]] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such folder")
        if not (path / RECORD).is_file():
            lines.append([str(path), "–", "not a run", "", f"{RECORD} is missing"])
            continue
        record = read_json(path / RECORD)
        result = read_json(path / RESULT) if (path / RESULT).is_file() else {}
        found[str(path)] = {"record": record, "result": result}
        killed = record["status"] == "running" and not lock.held(path)
        status = "killed; the same command continues" if killed else record["status"]
        facts = (record["verb"], status, f"{record['seconds']:.0f}", result.get("verdict", ""))
        lines.append([str(path), *facts])
        if result.get("table"):
            tables[str(path)] = result["table"]
        tables |= {f"{path}: {title}": table for title, table in result.get("tables", {}).items()}
    if not found:
        raise UserError(f"{paths[0]}: not a run folder, {RECORD} is missing")
    return {"verb": "show", "runs": found, "table": lines, "tables": tables}


def show_credit(run: Path, words: Sequence[str], config: CreditConfig, out: Path | None = None) -> dict[str, Any]:
    """r̂ of every token of texts and samples, by the last checkpoint of an SFT run; see ``credit/reading.py``.

    With ``config.probe`` also of worked rows with one number changed, and how well r̂ finds it; see
    ``credit/probe.py``.  With ``out`` also as a page, ``credit.html``.  UserError for a folder that is no finished SFT
    run, for a reference that is not there, and for what is neither a text nor a table of samples.
    """
    from rlready.credit import reference
    from rlready.credit import token_credit as reading
    from rlready.credit.probe import planted_error
    from rlready.report import credit
    from rlready.report.text import visible

    model = reference.last_checkpoint(run)
    frozen = reference.load_frozen(str(model), config.reference, config.reference_at)
    readings = reading.read(frozen, words) if words else []
    probe = planted_error(frozen, _right_rows(config.probe), seed=config.seed) if config.probe else None
    readings += reading.read_copies(frozen, probe) if probe else []
    against = frozen.reference.source if frozen.reference else "nothing"
    about = f"Reward of a token: log-probability by {model} less that by {against}, in nats."
    lines = [["response", "sum of r̂ (nats)", "tokens", "least", "at"]]
    for r in readings:
        at = int(r.dense.argmin())
        lines.append(
            [visible(r.name), f"{r.total:+.2f}", str(len(r.pieces)), f"{r.dense[at]:+.2f}", repr(r.pieces[at])]
        )
    result: dict[str, Any] = {
        "verb": "show",
        "about": about,
        "responses": [
            {"name": r.name, "prompt": r.prompt, "pieces": r.pieces, "dense": r.dense.tolist(), "sum": r.total}
            for r in readings
        ],
        "text": credit.terminal(readings, colour=sys.stdout.isatty()),
        "table": lines,
        "probe": {k: getattr(probe, k) for k in ("auc", "top", "ranked", "auc_sft", "ranked_sft")} if probe else None,
        "tables": {"Does the least credit fall on a changed number?": probe.table()} if probe else {},
    }
    if out:
        result["page"] = str(credit.write_page(readings, about, out))
    return result


def show_template(checkpoint: str, delimiters: Sequence[str] = ()) -> dict[str, Any]:
    """What was learned from a checkpoint's chat template, without its weights: a table, and a worked row as tokens.

    The tokens in the loss are coloured on a terminal; ``example`` has them as text.  UserError as `checkpoint.load`.
    """
    from rlready.models.checkpoint import load_without_weights
    from rlready.report.text import visible

    lm = load_without_weights(checkpoint, delimiters=delimiters)
    facts = lm.chat.describe()
    thought = "6 times 7 is 42." if lm.thinks else None
    prompt, response = lm.worked_ids(Row("example", "What is 6 times 7?", "#### 42", thought), think=lm.thinks)
    drawn = lm.prompt_ids("What is 6 times 7?", think=lm.thinks)
    example = {"prompt": lm.pieces(prompt), "in_loss": lm.pieces(response), "sampled_behind": lm.decode(drawn)}
    facts["stops"] = lm.stop_texts
    colour = ("\x1b[7m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    tokens = "|".join(visible(piece).replace("\n", "\\n") for piece in example["in_loss"])
    text = (
        f"A worked row; its {len(prompt)} prompt tokens are not in the loss:\n{visible(lm.decode(prompt))}\n\n"
        f"its {len(response)} response tokens are:\n{colour[0]}{tokens}{colour[1]}\n\n"
        f"A response is sampled behind:\n{visible(lm.decode(drawn))}"
    )
    lines = [["what", "found"]]
    lines += [[key.replace("_", " "), visible(_plain(value))] for key, value in facts.items()]
    return {"verb": "show", "checkpoint": checkpoint, **facts, "example": example, "text": text, "table": lines}


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return " … ".join(map(repr, value)) if isinstance(value, list) else str(value)


def _right_rows(source: str) -> list[Row]:
    """The worked rows of a source that end in the right answer; UserError if none does."""
    from rlready.tasks import open_task

    task = open_task(source)
    pairs = zip(task.problems(), task.rows(), strict=True)
    right = [row for problem, row in pairs if task.verify(problem, row.thinking or "", row.response).correct]
    if not right:
        raise UserError(f"{source}: no row ends in the right answer, so there is no error to plant")
    return right
