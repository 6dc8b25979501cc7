"""Command lines: every setting of every verb with nasty values, random words, and what an accepted number may be."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from fuzz.harness import FIRST_STEP, Case, Nonsense
from rlready.cli.main import main
from rlready.cli.verbs import VERBS
from rlready.core.errors import UserError
from rlready.core.explain import plain_type
from rlready.core.settings import Config

NUMBERS = (
    *("-1", "-5", "0", "-0.0", "0.5", "1", "1.5", "2", "100", "1000000", "2147483648", "9223372036854775808"),
    *("1e300", "-1e300", "1e-300", "nan", "inf", "-inf", "1" * 400, "0x10", "1_000", "１２", "1e3", " 3 ", "2e", "--3"),
)
TEXTS = (
    *(
        "",
        " ",
        "true",
        "none",
        "null",
        "{}",
        "[]",
        "[1,2]",
        "1,2,3",
        "1,,2",
        ",",
        "a,b",
        "a,a",
        "1,1",
        "'\"'",
        "\"'x'\"",
    ),
    *(
        "\u202e",
        "é😀",
        "\udcff",
        "a=b",
        "../..",
        "/dev/null",
        "/dev/zero",
        "/",
        ".",
        "~",
        "-",
        "dagmath",
        "dagmath?n=0",
    ),
    *("gsm8k:", "x" * 5000, "\n", "\t\x1b[31m", "%s", "{N}", "{N/0}", "$HOME", "a:b", ":", "os:system", "a/b", "?n=1"),
)
# The numbers that a setting can mean; wider than what is sensible, and narrower than what a float can hold.
COUNT, TOKENS, TEMPERATURE, SHARE = (1, 1e7), (1, 1e9), (1e-3, 1e3), (0, 1)
MEANINGFUL: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("steps", "prompts_per_step", "eval_every", "patience", "splits", "resamples"), COUNT),
    **dict.fromkeys(("samples", "min_samples", "eval_samples", "updates_per_batch", "group_size"), (1, 1e5)),
    **dict.fromkeys(("tokens_per_batch", "max_tokens_per_microbatch", "thinking_budget", "thinking_budgets"), TOKENS),
    **dict.fromkeys(("max_answer_tokens", "max_response_tokens", "length_targets"), TOKENS),
    **dict.fromkeys(("prompt_tokens", "response_tokens"), TOKENS),
    "lora_r": (0, 4096),
    "lora_alpha": (1e-9, 1e6),
    "importance_cap": (1, 1e3),
    **dict.fromkeys(("warmup_ratio", "keep_at", "p", "reference_at", "gamma", "dense_weight", "epsilon"), SHARE),
    "learning_rate": (1e-15, 10),
    "weight_decay": (0, 100),
    "max_grad_norm": (1e-9, 1e9),
    "epochs": (1e-6, 1e5),
    "save_every": (1e-6, 1e5),
    "seed": (0, 2**63 - 1),
    "epsilon_high": (0, 1e3),
    "kl_coef": (0, 1e3),
    "reward_coef": (1e-9, 1e3),
    "reward_clip": (0, 1e6),
    "beta": (0, 1e6),
    "temperature": (0, 1e3),
    "num_waits": (0, 1e4),
    "end_think_bias": (-1e4, 1e4),
    "influence_rank": (0, 1e6),
    "workers": (0, 1e4),
    "threads": (1, 1e4),
}
SMALL = "dagmath?ops=3&n=32"
BASES: dict[str, dict[str, str]] = {
    "sft": {"rows": SMALL, "heldout": SMALL + "&split=test"},
    "rl": {"problems": SMALL, "validation": SMALL + "&split=test", "prompts_per_step": "4", "group_size": "4"},
    "evaluate": {"problems": SMALL, "samples": "2"},
    "readiness": {"problems": SMALL, "heldout": "", "samples": "4", "group_size": "2"},
    "inject": {"rows": SMALL},
    "predict": {"runs": "{fixtures}/ready,{fixtures}/outcomes.jsonl", "splits": "20", "resamples": "20"},
    "sweep": {"file": "{fixtures}/sweep.toml", "workers": "0"},
    "demo": {},
    "doctor": {"model": "embedded"},
    "checklist": {"runs": "{fixtures}/ready"},
    "export": {"run": "{fixtures}/rl.toml"},
    "import": {"export": "{fixtures}/export"},
}
NEEDED = {  # so that a setting applies, or has an effect
    "reward_coef": {"reward": "lcpo_exact"},
    "length_targets": {"reward": "lcpo_exact"},
    "length_prompt": {"reward": "lcpo_exact"},
    "wait_text": {"num_waits": "1"},
    "influence_layers": {"influence": "true"},
    "influence_rank": {"influence": "true"},
    "min_samples": {"samples": "64"},
    "beta": {"reference": "{fixtures}/other"},
}


def settings_cases(fixtures: Path) -> Iterator[Case]:
    """Every setting of every verb with every nasty value, beside settings that make the run small."""
    for verb, about in VERBS.items():
        for key, field in about.config.model_fields.items() if about.config else ():
            numeric = key in MEANINGFUL
            for value in (*NUMBERS, *TEXTS) if not numeric else (*NUMBERS, *TEXTS[:24]):
                yield _command(fixtures, verb, {key: value})
            if plain_type(field.annotation) is bool:
                yield Case("command", (verb, f"--{key.replace('_', '-')}", "maybe"))


def _command(fixtures: Path, verb: str, given: dict[str, str]) -> Case:
    needed = (
        {}
        if verb == "evaluate" and "length_prompt" in given
        else {k: v for key in given for k, v in NEEDED.get(key, {}).items() if k in _fields(verb)}
    )
    if "beta" in given and verb == "rl":
        needed = {"algorithm": "dense", "reference": "{fixtures}/other", "kl_coef": "0"}
    words = [f"{k}={v}".replace("{fixtures}", str(fixtures)) for k, v in (BASES[verb] | needed | given).items()]
    return Case("command", (verb, *words))


def _fields(verb: str) -> dict[str, Any]:
    config: type[Config] | None = VERBS[verb].config
    return config.model_fields if config else {}


def mostly(good: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Four of five from the first; ``one_of`` would weigh the alternatives inside of both."""
    return st.integers(0, 4).flatmap(lambda chosen: other if chosen == 0 else good)


def usual(field: Any) -> list[Any]:
    """Values that a setting may well have, by its type."""
    kind = plain_type(field.annotation)
    if get_origin(kind) is Literal:
        return [*get_args(kind)]
    if get_origin(kind) is tuple:
        inner = plain_type(get_args(kind)[0])
        return [[], [1]] if inner is int else [[], [0.5]] if inner is float else [[], ["embedded"]]
    return {bool: [True, False], int: [1, 2, 4, 8], float: [0.5, 1.0, 0.25, 0.1]}.get(
        kind, ["", SMALL, "embedded", "dense"]
    )


def pairs(fixtures: Path) -> st.SearchStrategy[Case]:
    """Two or three settings of one verb at once, most with usual values."""

    def of_setting(verb: str, key: str) -> st.SearchStrategy[tuple[str, str]]:
        ours = st.sampled_from([_typed(value) for value in usual(_fields(verb)[key])])
        nasty = st.sampled_from(NUMBERS + TEXTS) | st.text(max_size=6).filter(_can_be_typed)
        return mostly(ours, nasty).map(lambda value: (key, value))

    def of_verb(verb: str) -> st.SearchStrategy[Case]:
        setting = st.sampled_from(sorted(_fields(verb))).flatmap(lambda key: of_setting(verb, key))
        return st.lists(setting, min_size=2, max_size=3).map(lambda given: _command(fixtures, verb, dict(given)))

    return st.sampled_from(sorted(BASES)).flatmap(of_verb)


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def random_words(fixtures: Path) -> st.SearchStrategy[Case]:
    """Words in any order: verbs, options that exist and do not, values, switches."""
    options = [f"--{key.replace('_', '-')}" for verb in BASES for key in _fields(verb)]
    places = [str(fixtures / name) for name in ("ready", "outcomes.jsonl", "samples-1.jsonl", "nowhere")]
    switches = ["--", "-", "--out", "--config", "--resume", "--overwrite", "--json", "--quiet", "-q", "--wide", "-h"]
    views = ["--diff", "--credit", "--template", "--version", "--no-influence", "--influence", "--=", "=", "==1"]
    word = st.one_of(
        st.sampled_from([*switches, *views, *places]),
        st.sampled_from(options),
        st.tuples(st.sampled_from(options), st.sampled_from(NUMBERS + TEXTS)).map("=".join),
        st.sampled_from(NUMBERS + TEXTS),
        st.text(max_size=8).filter(_can_be_typed),
    )
    verb = st.sampled_from([*VERBS, "", "show", "report", "schema", "predict", "runn", "--json"])
    return st.tuples(verb, st.lists(word, max_size=5)).map(lambda typed: Case("command", (typed[0], *typed[1])))


def run_command(case: Case) -> None:
    """Run a command line up to its first step; Nonsense if a number that it accepts has no meaning."""
    _stop_at_first_step(case)
    code = main(list(case.words))
    if code == 2:
        last = os.pread(1, 1 << 16, 0).decode(errors="replace").rstrip("\n").rpartition("\n")[2]
        if case.words and not last.startswith("rlready: "):
            raise AssertionError(f"exit code 2, and the last line is {last!r}")
        raise UserError(last)
    if code not in (0, 130):
        raise AssertionError(f"exit code {code}: {os.pread(1, 1 << 16, 0).decode(errors='replace')[-400:]}")
    refuse_nonsense(case)


def refuse_nonsense(case: Case) -> None:
    """Raise Nonsense for a number outside of what its setting can mean."""
    for word in case.words[1:]:
        key, equals, value = word.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        if equals and key in MEANINGFUL and not word.startswith("{"):
            low, high = MEANINGFUL[key]
            for part in filter(None, map(str.strip, value.split(","))):
                try:
                    number = float(part)
                except ValueError:
                    raise Nonsense(f"{case.words[0]}: {key}={value[:40]} is no number") from None
                if not (math.isfinite(number) and low <= number <= high):
                    raise Nonsense(f"{case.words[0]}: {key}={value[:40]} means nothing")


def _stop_at_first_step(case: Case) -> None:
    """End the child where a model would be called, a Ray cluster joined or a job of a sweep started."""
    import torch.nn.functional as F

    from rlready.sweep.scheduler import Scheduler

    def reached(*_: object, **__: object) -> None:
        try:
            refuse_nonsense(case)
        except Nonsense as error:
            os.ftruncate(1, 0)
            os.write(1, f"nonsense: {error}".encode(errors="replace"))
        os._exit(FIRST_STEP)

    F.embedding = reached  # type: ignore[assignment]
    Scheduler.run = reached  # type: ignore[method-assign, assignment]


def _can_be_typed(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
