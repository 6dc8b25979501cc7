"""The card of a data set, in the Hugging Face format: what was added to which rows, how often, and what it costs."""

from __future__ import annotations

from rlready.core.config import InjectConfig
from rlready.core.options import to_toml
from rlready.core.text import as_code
from rlready.inject.result import InjectResult
from rlready.runs.model_card import head_of, hub_sets, inputs_section
from rlready.runs.record import RunRecord

TITLES = {
    "behaviours": "Worked rows with behaviours inserted into their solutions (after BRIDGE, arXiv 2505.18917).",
    "vanilla": "Worked rows, unchanged and verified.",
    "premises": "Each row four times, its premises in another order (premise permutation).",
    "chains": "Each row four times, its steps in other topological orders as far as there are any (reasoning chain).",
}
BEHAVIOURS = {
    "explore": "*exploration*: a step is tried before its turn; where something it needs is missing, the attempt says "
    "what, and steps back",
    "analyse": "*analysis*: what a step needs is said before it",
    "compute": "*sub-goal computation*: every arithmetic operation is written out",
}
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}  # as the hub names them


def data_card(config: InjectConfig, result: InjectResult, record: RunRecord) -> str:
    """README.md beside the rows: front matter, made by `huggingface_hub`, then what was done, and to what."""
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=TITLES[config.method],
        size_categories=next((name for most, name in SIZES.items() if result.rows_out < most), "1M<n<10M"),
        source_datasets=hub_sets(record),
        task_categories=["text-generation"],
        configs=[{"config_name": "default", "data_files": result.rows}],
        tags=["rlready", config.method],
    )
    parts = [*_parts(config, result), inputs_section(record)]
    return f"""{head_of(data, record)}
# {TITLES[config.method]}

{chr(10).join(part + chr(10) for part in parts)}
## Configuration

```toml
{to_toml(config).strip()}
```
"""


def _parts(config: InjectConfig, result: InjectResult) -> list[str]:
    table = result.tables()[0]
    parts = [
        f"{result.rows_out} rows, made from the {result.rows_in} of {as_code(result.source)}. {result.description}"
    ]
    if config.method == "behaviours":
        parts.append("\n".join(f"- {text}" for name, text in BEHAVIOURS.items() if name in config.behaviours))
    lines = (table.columns, ["---"] * len(table.columns), *table.rows)
    parts.append("\n".join(f"| {' | '.join(row)} |" for row in lines))
    if result.unfit:
        reasons = "\n".join(f"- {count}: {reason}" for reason, count in result.unfit.items())
        parts.append(f"{sum(result.unfit.values())} rows are left out:\n\n{reasons}")
    if result.doubtful:
        parts.append(
            "The text of these rows contradicts an annotation, so that they are left out:\n\n"
            + "\n".join(f"- {where}" for where in result.doubtful)
        )
    units = f"Tokens are those of {config.tokenizer}." if config.tokenizer else "Words are separated by spaces."
    parts.append(
        "Every row ends in the right answer, and each step, failed attempt and analysis was verified when it was "
        "written. Where a solution has calculator annotations, these were verified, and so was what is written out "
        f"between equals signs before them; a row with a plain equation that does not hold is left out. {units}"
    )
    return parts
