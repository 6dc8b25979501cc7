"""The card of a data set, in the Hugging Face format: what was added to which rows, how often, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlready.core.config import InjectConfig
from rlready.core.options import to_toml

SAYS = {
    "behaviours": "Worked rows with behaviours spliced into their solutions (after BRIDGE, arXiv 2505.18917).",
    "vanilla": "Worked rows, unchanged and verified.",
    "premises": "Each row four times, its premises in another order (premise permutation).",
    "chains": "Each row four times, its steps in another topological order (reasoning chain).",
}
BEHAVIOURS = {
    "explore": "*exploration*: a step is tried before its turn; where something it needs is missing, the attempt says "
    "what, and steps back",
    "analyse": "*analysis*: what a step needs is said before it",
    "compute": "*sub-goal computation*: every arithmetic operation is written out",
}


def data_card(config: InjectConfig, file: str, facts: Mapping[str, Any]) -> str:
    """README.md beside the rows; ``facts`` is the stage's result.

    The licence is left out of the front matter: it follows from the source, whose own is named where it is known.
    """
    lines = [
        f"{facts['rows_out']} rows, made of the {facts['rows_in']} of `{facts['source']}`. "
        f"{facts['description']} Licence of the source: {facts['licence'] or 'unknown'}.",
    ]
    if config.method == "behaviours":
        chosen = [text for name, text in BEHAVIOURS.items() if name in config.behaviours]
        lines.append("\n".join(f"- {text}" for text in chosen))
    lines.append(_markdown(facts["table"]))
    if facts["unfit"]:
        reasons = "\n".join(f"- {count}: {reason}" for reason, count in facts["unfit"].items())
        lines.append(f"{sum(facts['unfit'].values())} rows are as they were:\n\n{reasons}")
    if facts["doubtful"]:
        lines.append("Look at these:\n\n" + "\n".join(f"- {where}" for where in facts["doubtful"]))
    lines.append(
        "Every row ends in the right answer. In every row that was changed, each step, each failed attempt and each "
        "analysis was verified when it was written. Where a solution has calculator annotations it is they that were "
        "verified, and what is written out between equals signs before them; a row with a plain equation that does not "
        "hold is left as it is."
    )
    counted = f"Tokens are those of {config.tokenizer}." if config.tokenizer else "Words are separated by spaces."
    lines[-1] += f" {counted}"
    return f"""---
configs:
- config_name: default
  data_files: {file}
tags: [rlready, {config.method}]
---

# {SAYS[config.method]}

{chr(10).join(part + chr(10) for part in lines)}
## Configuration

```toml
{to_toml(config).strip()}
```
"""


def _markdown(table: list[list[str]]) -> str:
    head, *body = table
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))
