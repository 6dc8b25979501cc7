"""Whose methods and data sets the runs have used, by their settings: what a paper that uses these runs cites."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from rlready.checklist.result import Evidence, Fact
from rlready.checklist.runs import Entry, Runs
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.reward import SOURCES

BRIDGE = "Cen et al., arXiv 2505.18917"
S1 = "Muennighoff et al., arXiv 2501.19393"
VERB = "verb"  # for the name of a setting: the verb itself
RANKS = ("readiness", "predict")
# by the verb of a run, a setting and its values (None: any that is on), the method and its source
METHODS: tuple[tuple[str, str, tuple[JsonValue, ...] | None, str, str], ...] = (
    *(("rl", "algorithm", (name,), f"algorithm={name}", each.source) for name, each in ALGORITHMS.items()),
    *(("rl", "reward", (name,), f"reward={name}", source) for name, source in SOURCES.items()),
    ("rl", "thinking_budget", None, "budget forcing", S1),
    ("evaluate", "thinking_budgets", None, "budget forcing", S1),
    ("readiness", "thinking_budget", None, "budget forcing", S1),
    ("evaluate", "reference", None, "contrastive decoding", "Li et al., arXiv 2210.15097"),
    *((verb, VERB, None, "choice of the SFT checkpoint", "Kang et al., arXiv 2510.01624") for verb in RANKS),
    ("readiness", VERB, None, "the estimator of pass@k", "Chen et al., arXiv 2107.03374"),
    ("readiness", "influence", None, "influence", BRIDGE),
    ("inject", "method", ("behaviours",), "behaviour injection", BRIDGE),
    ("inject", "method", ("premises", "chains"), "its baselines", BRIDGE),
    ("sft", "lora_r", None, "LoRA", "Hu et al., arXiv 2106.09685"),
    ("rl", "lora_r", None, "LoRA", "Hu et al., arXiv 2106.09685"),
)
DATA = {"gsm8k": "Cobbe et al., arXiv 2110.14168", "dagmath": "a generator after iGSM, Ye et al., arXiv 2407.20311"}
YOURS = ("algorithm", "loss")  # settings that name code of the user


def methods(runs: Runs) -> list[Fact]:
    """The methods and data sets of others with their papers; whom the user's own code is from, the user has to say."""
    found, own = dict[str, Evidence](), dict[str, None]()
    for entry in runs.entries:
        for text, key, value in _used(entry):
            found.setdefault(text, entry.of_record(key, value))
        for setting in YOURS:
            if ":" in (named := str(entry.setting(setting) or "")):
                own[f"{setting}={named}"] = None
    for entry, key, note in runs.data():
        if source := DATA.get(kind := note.id.partition("?")[0].partition(":")[0]):
            found.setdefault(f"{kind} ({source})", entry.of_record(f"{key}.id", note.id))
    facts = [Fact(name="Methods of others", text=f"{'; '.join(found)}.", evidence=list(found.values()))]
    told = [runs.told.fact("code_from", "Origin of your own code", f"whom {' and '.join(own)} is from")]
    return facts * bool(found) + told * bool(own)


def _used(entry: Entry) -> Iterator[tuple[str, str, JsonValue]]:
    """Each method of a run in words, with the key in the record that says so, and its value."""
    for verb, setting, values, method, source in METHODS:
        key, value = (VERB, verb) if setting == VERB else (f"config.{setting}", entry.setting(setting))
        if verb == entry.record.verb and (bool(value) if values is None else value in values):
            yield f"{method} ({source})", key, value
