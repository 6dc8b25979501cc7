"""Write docs/reference.md, every verb's settings and results, from the models that validate them.

python scripts/make_reference.py           # after a setting or a result has changed
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlready.cli.schema import CONFIGS, RESULTS, model_of
from rlready.core.explain import type_name
from rlready.core.options import shown_default
from rlready.core.presets import EMBEDDED
from rlready.core.result import Record

SENTENCE = re.compile(r"(?<=[.;]) (?=[A-Z`])")
MODELS: dict[str, type[BaseModel]] = {}  # by name, those of all results and their parts
# fields that no docstring names
COMMON = {
    "verb": "The command.",
    "seed": "Seed of the run.",
    "seconds": "Wall seconds.",
    "name": "Its name.",
    "label": "Its short name.",
    "model": "The model, as it was named.",
    "checkpoint": "The checkpoint, as it was named.",
    "path": "Its folder.",
    "family": "Runs that may be compared: one scenario, one RL recipe.",
    "source": "Where the data come from.",
    "description": "What it is, in a sentence.",
    "licence": "Licence of the data; null if unknown.",
    "step": "Optimiser step.",
    "steps": "Optimiser steps.",
    "epoch": "Epochs of training so far.",
    "problems": "Ids of the problems, in order; or their number or share, in a part.",
    "chance_level": "Score of guessing, by pass@k.",
    "pass_at_k": "Share of problems that at least one of k samples solves, by k; unbiased.",
    "heldout_loss": "Loss on the held-out rows, in nats per response token.",
    "accuracy": "Share of samples that are correct.",
    "gain": "Difference to the first model, or of a predictor to pass@1, paired; null for these themselves.",
    "change": "Difference to the largest budget or the main setting, paired over problems.",
    "thinking_tokens": "Mean tokens inside thoughts.",
    "answer_tokens": "Mean tokens after the thought, or of the response if the model does not think.",
    "thinking_right": "Mean tokens of the thought, over correct samples.",
    "thinking_wrong": "Mean tokens of the thought, over wrong samples.",
    "length_right": "Mean tokens of the response, over correct samples.",
    "length_wrong": "Mean tokens of the response, over wrong samples.",
    "right": "Of correct samples.",
    "wrong": "Of wrong samples.",
    "num_waits": "Ends of the thought that were replaced by the wait text.",
    "end_think_bias": "Nats added to the log-odds of ending the thought.",
    "length_prompted": "Whether the prompt asks for the length.",
    "setting": "Name of the setting: 64+2~1 has budget 64, 2 waits and bias 1.",
    "budget": "Thinking budget or response limit; null without one.",
    "best_budget": "Budget with the best accuracy.",
    "control": "Share of budgets that the mean length keeps to (s1).",
    "scaling": "Mean slope of accuracy over tokens, in points per 1,000 tokens (s1).",
    "performance": "Best accuracy over budgets (s1).",
    "right_to_wrong": "Share of samples that the setting breaks.",
    "samples": "Number of samples.",
    "responses": "Number of responses.",
    "equal": "Groups with equal rewards that are neither all correct nor all wrong.",
    "unsolved": "Share of problems, or number of groups, of which no sample is correct.",
    "solved": "Share of problems, or number of groups, of which every sample is correct.",
    "informative": "Share or number of groups in which rewards differ.",
    "informative_group_size": "Group size of the share of informative groups and of the group signal.",
    "group_size": "Responses per problem that are planned for RL.",
    "first": "Samples that every problem got before any could stop.",
    "cap": "Largest number of samples of a problem.",
    "since": "Samples of a problem before its last wave, all of them wrong; 0 if it had one wave.",
    "drawn": "Samples of a problem in all, the last wave included.",
    "correct": "Correct samples of a problem, all of its last wave; of an example, whether it is correct.",
    "predictor": "Its name: pass@k, cover@τ, group_signal, informative, entropy, distinct_answers, loss, combined, "
    "reward@5, reward@10, extrapolated, or that of a column.",
    "predictors": "Values of the predictors by name, or their rankings.",
    "better": "Whether high or low values are better.",
    "order": "Labels of the checkpoints, best first.",
    "p_best": "Probability of being the best of all.",
    "p_better": "Probability of each of the first few being better than each other one.",
    "outcome": "Result of RL.",
    "mean": "Mean outcome.",
    "spearman": "Rank correlation with the outcome of RL.",
    "p": "Share of permutations with at least as strong a correlation.",
    "p_any": "The same, corrected for having tried all predictors.",
    "r2": "Out-of-sample R², leaving one recipe out at a time.",
    "r2_halves": "Mean R² of lines fitted to a random half of the recipes and scored on the other.",
    "r2_halves_sd": "Its standard deviation over the halves.",
    "regret_by_sft_seed": "Regret among the runs of each SFT seed; empty if fewer than two are known.",
    "r2_gain": "R² minus that of pass@1.",
    "mae": "Mean absolute error of the line.",
    "regret": "Outcome lost by starting from the predictor's first checkpoint.",
    "regret_cost": "Seconds of RL until the ranking reaches the best checkpoint.",
    "few": "Scores of lines that are fitted to a few recipes.",
    "runs": "Number of runs.",
    "rows": "The file of the rows in the run folder, or their number.",
    "rows_in": "Rows read.",
    "rows_out": "Rows written.",
    "times": "How often the behaviour was added.",
    "solved_early": "Attempts at a later step that could be taken already.",
    "length_before": "Mean length of a row before.",
    "length_after": "Mean length of a row after.",
    "length_added": "Mean length that was added to a row.",
    "seconds_of_jobs": "Sum of the seconds of all jobs.",
}
PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """# Reference: settings and results

This page is written by `scripts/make_reference.py` from the models that validate settings and results;
`rlready schema NAME` prints the same as JSON schema. A setting has one name on the command line (`--learning-rate` or
`learning_rate=`), in a TOML file and in Python. A default of *preset* depends on the model: see
[presets](presets.md).
"""


def page() -> str:
    """The whole page."""
    MODELS.update({each.__name__: each for name in RESULTS for each in [model_of(name), *_below(Record)]})
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
        yield f"{place}{name}", part, part.get("description") or _meaning(schema, name, _type(part))
        for other, mark in ((part, ""), (part.get("items", {}), "[]"), (part.get("additionalProperties", {}), ".*")):
            for each in [other, *other.get("anyOf", [])] if isinstance(other, dict) else []:
                below = whole.get("$defs", {}).get(each.get("$ref", "").rpartition("/")[2])
                if below and "Estimate" not in each["$ref"]:
                    yield from _inner(below, whole, f"{place}{name}{mark}.")


def _meaning(schema: Mapping[str, Any], name: str, shown: str) -> str:
    """What the docstring of the model, or of one that it extends, says of a field; else what the field's model is."""
    model = MODELS.get(schema["title"])
    docs = [
        schema.get("description", ""),
        *(inspect.getdoc(each) or "" for each in (model.__mro__[1:-2] if model else ())),
    ]
    found = [s for doc in docs for s in SENTENCE.split(" ".join(doc.split())) if f"``{name}``" in s]
    found += re.findall(rf"^    {name}: .*  # (.*)$", inspect.getsource(model) if model else "", re.MULTILINE)
    found += [COMMON[name]] if name in COMMON else []
    inner = [inspect.getdoc(MODELS[word]) or "" for word in re.findall(r"\w+", shown) if word in MODELS]
    found += [SENTENCE.split(" ".join(doc.split()))[0] for doc in inner]
    return found[0].replace("``", "`").removesuffix(";") if found else ""


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models of this package that extend one."""
    for each in model.__subclasses__():
        yield from [each] if each.__module__.startswith("rlready.") else []
        yield from _below(each)


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
