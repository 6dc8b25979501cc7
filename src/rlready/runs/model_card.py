"""Model cards: what a saved checkpoint is, in the Hugging Face format, written by the stage that made it."""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.options import to_toml


def model_card(verb: str, base: str, data: Sequence[str], config: object) -> str:
    """README.md of a checkpoint folder: YAML front matter, then how it was made.

    The licence is left out of the front matter: it follows from the base model and the data, which this
    package cannot know.
    """
    adapter = bool(getattr(config, "lora_r", 0))
    names = "\n".join(f"- `{source}`" for source in data)
    return f"""---
library_name: {"peft" if adapter else "transformers"}
pipeline_tag: text-generation
tags: [rlready, {verb}]
---

# {"A LoRA adapter" if adapter else "A checkpoint"} of `rlready {verb}`

Started from `{base}`. The run's `record.json`, two folders up, says when, with what and for how long.

## Data

{names}

## Configuration

```toml
{to_toml(config).strip()}
```
"""
