"""Write docs/reference.md, every verb's settings and results, from the models that validate them.

python scripts/make_reference.py           # after a setting or a result has changed
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlready.cli.schema import CONFIGS, RESULTS, model_of
from rlready.core.explain import type_name
from rlready.core.options import shown_default
from rlready.core.presets import EMBEDDED
from rlready.core.result import Result

SENTENCE = re.compile(r"(?<=[.;]) (?=[A-Z`])")
COMMON = f"``verb`` is the command. ``seed`` is that of the run. {inspect.getdoc(Result)}"
PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """# Reference: settings and results

This page is written by `scripts/make_reference.py` from the models that validate settings and results;
`rlready schema NAME` prints the same as JSON schema. A setting has one name on the command line (`--learning-rate` or
`learning_rate=`), in a TOML file and in Python. A default of *preset* depends on the model: see
[presets](presets.md).
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for verb, cls in CONFIGS.items():
        result = f"{cls.__name__.removesuffix('Config')}Result"
        parts += [f"## rlready {verb}\n", f"{cls.__doc__}\n", *_settings(verb), ""]
        if result in RESULTS:
            parts += [f"### {result}\n", f"{inspect.getdoc(model_of(result))}\n"]
            parts += [*_fields(model_of(result).model_json_schema()), ""]
    return "\n".join(parts)


def _settings(verb: str) -> Iterator[str]:
    presets = {*EMBEDDED[verb], "device", "dtype"} if verb in EMBEDDED else set()
    yield "| Setting | Type | Default | Meaning |\n|---|---|---|---|"
    for name, field in CONFIGS[verb].model_fields.items():
        text = field.description or ""
        default = shown_default(field.default) or ("*preset*" if name in presets else "–")
        yield f"| `{name}` | {_cell(type_name(field.annotation))} | {_cell(default)} | {_cell(text)} |"


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    """The fields of a result, and below each the fields of its parts."""
    yield "| Field | Type | Meaning |\n|---|---|---|"
    for name, part, meaning in _inner(schema, schema, ""):
        yield f"| `{name}` | {_cell(_type(part))} | {_cell(meaning)} |"


def _inner(
    schema: Mapping[str, Any], whole: Mapping[str, Any], place: str
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    for name, part in schema.get("properties", {}).items():
        yield f"{place}{name}", part, part.get("description") or _meaning(schema.get("description", ""), name)
        for other, mark in ((part, ""), (part.get("items", {}), "[]"), (part.get("additionalProperties", {}), ".*")):
            for each in [other, *other.get("anyOf", [])] if isinstance(other, dict) else []:
                below = whole.get("$defs", {}).get(each.get("$ref", "").rpartition("/")[2])
                if below and "Estimate" not in each["$ref"]:
                    yield from _inner(below, whole, f"{place}{name}{mark}.")


def _meaning(docstring: str, name: str) -> str:
    """The sentence of a model's docstring that names the field, or that of all results."""
    sentences = SENTENCE.split(" ".join(f"{docstring} {COMMON}".split()))
    return next((s.replace("``", "`") for s in sentences if f"``{name}``" in s), "")


def _type(part: Mapping[str, Any]) -> str:
    if "$ref" in part:
        return str(part["$ref"]).rpartition("/")[2]
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(_type(each) for each in part["anyOf"]))
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"table of {_type(part['additionalProperties'])}"
    return str(part.get("const") or part.get("type") or "any")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
