"""Model cards: what a saved checkpoint is, in the Hugging Face format, written by the stage that made it.

The front matter is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md, made by `huggingface_hub`;
intervals stand beside the values of its ``model-index``, among the arguments of the metric.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlready.core.options import to_toml
from rlready.core.records import Estimate
from rlready.core.settings import Config
from rlready.core.text import as_code, in_markdown, visible
from rlready.runs.front_matter import HUB_ID, hub_bases
from rlready.runs.licences import UNKNOWN, on_hub
from rlready.runs.record import DataNote, Overlap, RunRecord

if TYPE_CHECKING:
    from huggingface_hub import CardData, EvalResult

SOURCE = re.compile(rf"(?:\w+:)?({HUB_ID.pattern})(?:\?.*)?", re.DOTALL)


@dataclass(frozen=True)
class Measurement:
    """What was measured of a checkpoint on the data of a ``role``; ``metric`` is its id on the hub."""

    metric: Literal["loss", "accuracy"]
    name: str
    role: str
    figure: Estimate
    remark: str = ""


def model_card(record: RunRecord, config: Config, checkpoint: str, measured: Measurement) -> str:
    """README.md of a checkpoint folder: front matter, then the result, the inputs, their licences and the settings."""
    from huggingface_hub import ModelCardData

    start, *_ = (each for each in record.models if each.role in ("base", "start"))
    adapter = bool(getattr(config, "lora_r", 0))
    bases = hub_bases(Path(start.path)) if start.path else [start.id]
    data = ModelCardData(
        base_model=bases[0] if len(bases) == 1 else bases or None,
        datasets=hub_sets(record, record.verb),
        eval_results=[_eval_result(measured, record)],
        library_name="peft" if adapter else "transformers",
        model_name=f"{record.verb}-{checkpoint}",
        pipeline_tag="text-generation",
        tags=["rlready", record.verb],
    )
    figure, remark = measured.figure, f" {measured.remark}".rstrip()
    overlaps = "".join(f"{_overlap(each)}\n" for each in record.overlaps)
    return f"""{head_of(data, record)}
# {"A LoRA adapter" if adapter else "A checkpoint"} of `rlready {record.verb}`, {checkpoint}

Started from {_code(start.id)}. The run's `record.json`, two folders up, says when, with what and for how long.

## Result

{measured.name.capitalize()}: {figure} (95 % interval, n = {figure.n} {figure.varies}).{remark}
{overlaps}
{inputs_section(record)}
## Configuration

```toml
{to_toml(config).strip()}
```
"""


def inputs_section(record: RunRecord) -> str:
    """The models and data that the run has read, their licences, and what follows for what it has made."""
    lines = ["| input | role | licence | stated in |", "|---|---|---|---|"]
    for each in (note for note in record.notes if not note.is_code):
        lines.append(
            f"| {_code(each.id)} | {each.role} | {in_markdown(each.licence)} | {in_markdown(each.licence_from)} |"
        )
    found = record.output_licence
    says = [f"Warning: {in_markdown(flag)}." for flag in found.flags] if found else []
    if found and found.unknown:
        says.append(f"No licence is stated for {', '.join(map(_code, found.unknown))}: ask before you publish this.")
    return "\n\n".join(["## Inputs and licences", "\n".join(lines), *says]) + "\n"


def _overlap(found: Overlap) -> str:
    said = f"Of the {found.n} prompts of {_code(found.held)}, {found.exact} are equal to one of {_code(found.training)}"
    if found.near is not None:
        said += f", {found.near} are equal or nearly equal to one"
    return f"{said}."


def head_of(data: CardData, record: RunRecord) -> str:
    """The front matter of a card, with the licence of what the run has made as the hub wants it, if it is known."""
    found = record.output_licence
    if found is not None and found.licence != UNKNOWN:
        data["license"] = found.licence if on_hub(found.licence) else "other"
        data["license_name"] = None if on_hub(found.licence) else found.licence
    return f"---\n{data}\n---\n"


def hub_sets(record: RunRecord, role: str = "") -> list[str] | None:
    """The hub ids of a run's data sets, or of those in a role; None if none is on the hub."""
    return [name for each in record.data if role in ("", each.role) and (name := _hub_data(each))] or None


def _hub_data(data: DataNote) -> str | None:
    """The hub id of a data set that is on the hub."""
    found = SOURCE.fullmatch(data.id) if data.path is None else None
    return found[1] if found else None


def _eval_result(measured: Measurement, record: RunRecord) -> EvalResult:
    from huggingface_hub import EvalResult

    data = next(each for each in record.data if each.role == measured.role)
    figure = measured.figure
    return EvalResult(
        task_type="text-generation",
        dataset_type=_hub_data(data) or "other",
        dataset_name=visible(data.id),
        metric_type=measured.metric,
        metric_name=measured.name,
        metric_value=float(figure.value),
        metric_args={"confidence": 0.95, "low": float(figure.low), "high": float(figure.high), "n": int(figure.n)},
    )


def _code(text: str) -> str:
    """A text as code, also in a cell of a table."""
    return as_code(text).replace("|", r"\|")
