"""Defaults that belong to the model: those of the embedded model, and those of any other by its size.

The numbers and their sources are explained in ``docs/presets.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlready.core.errors import UserError
from rlready.core.settings import Config

Setting = str | int | float | tuple[int, ...]

DEMO_TASK = "dagmath?ops=5&asked=3"
TEST = DEMO_TASK + "&split=test&n=200"
EMBEDDED: dict[str, dict[str, Setting]] = {
    "sft": {
        "rows": DEMO_TASK + "&split=train&n=2000&seed=1",
        "heldout": TEST + "&seed=2",
        "learning_rate": 1e-3,
        "tokens_per_batch": 2048,
    },
    "rl": {
        "problems": DEMO_TASK + "&split=train&n=4000&seed=3",
        "validation": DEMO_TASK + "&split=test&n=100&seed=4",
        "learning_rate": 5e-4,
        "thinking_budget": 64,
        "max_answer_tokens": 16,
    },
    "readiness": {
        "heldout": TEST + "&seed=2",
        "problems": DEMO_TASK + "&split=train&n=64&seed=6",
        "thinking_budget": 64,
        "max_answer_tokens": 16,
    },
    "evaluate": {
        "problems": TEST + "&seed=5",
        "thinking_budgets": (16, 28, 40, 52, 64),
        "max_answer_tokens": 16,
    },
}
# settings that name data, and what each names
DATA = {
    "rows": "worked examples to train on",
    "heldout": "worked examples for the held-out loss",
    "problems": "problems",
    "validation": "problems that choose the checkpoint",
}
# of data that is not named: no held-out loss in readiness; in training, a part of the training data is held out
UNNAMED: dict[str, dict[str, Setting]] = {
    "sft": {"heldout": ""},
    "rl": {"validation": ""},
    "readiness": {"heldout": ""},
}
MODELS = ("model", "models", "checkpoints")  # settings that name a model
# parameters below which a size ends, SFT learning rate, RL learning rate, tokens in an SFT batch
SIZES = (
    (0.2e9, 1e-4, 5e-6, 16_384),
    (3e9, 2e-5, 1e-6, 32_768),
    (float("inf"), 1e-5, 1e-6, 65_536),
)
RATE = "learning_rate"
LORA = 10.0  # times the learning rate of full fine-tuning
THOUGHT, ANSWER = 3072, 1024  # tokens, for a model that thinks
PLAIN_RESPONSE = 1024  # tokens, for a model that does not; a quarter of it where a thinking budget is added to it
BUDGETS = (16, 8, 4, 2, 1)  # an evaluation's budgets: the largest divided by these
TOO_FAST = 30.0  # multiple of the preset's learning rate above which a run gets a warning


@dataclass(frozen=True)
class ModelTraits:
    """What a preset depends on; ``context`` in tokens, ``lora``: an adapter is trained, not all weights."""

    parameters: int
    context: int
    thinks: bool
    embedded: bool = False
    lora: bool = False


def preset(verb: str, traits: ModelTraits, device: str, *, budgeted: bool = False) -> dict[str, Setting]:
    """The settings of ``verb`` for a model, on ``device`` ("auto": not chosen yet, for the embedded model a CPU).

    A model that does not think gets one limit on its response, ``max_answer_tokens``, and no thinking budget;
    ``budgeted``: the user set one, which is added to that limit.
    Problems, worked examples and validation problems are among them for the embedded model only.
    """
    times = LORA if traits.lora else 1.0
    if traits.embedded:
        place = "cpu" if device == "auto" else device
        rates = {key: times * value for key, value in EMBEDDED[verb].items() if key == RATE and type(value) is float}
        return {**EMBEDDED[verb], **rates, "device": place, "dtype": "float32"}
    _, sft_rate, rl_rate, tokens = next(size for size in SIZES if traits.parameters < size[0])
    rate = (sft_rate if verb == "sft" else rl_rate) * times
    chosen: dict[str, Setting] = {
        RATE: rate,
        "tokens_per_batch": tokens,
        **_lengths(traits, budgeted),
        "device": device,
        "dtype": "bfloat16" if device.startswith("cuda") else "float32",
    }
    return chosen | UNNAMED.get(verb, {})


def own_data(config: Config) -> list[str]:
    """The sources that a configuration names for its data, other than the task of the embedded model."""
    named = [str(getattr(config, name)) for name in DATA if getattr(config, name, None)]
    return [source for source in named if not _is_demo_task(source)]


def foreign_data(config: Config) -> list[str]:
    """The sources that a configuration names for its data, other than DAG maths."""
    return [source for source in own_data(config) if not source.startswith("dagmath")]


def refuse_forgotten_model(where: str, config: Config) -> None:
    """UserError if a configuration names data but no model: the embedded one can read DAG maths only."""
    setting = next((name for name in MODELS if name in type(config).model_fields), "")
    foreign = foreign_data(config)
    if setting and foreign and setting not in config.model_fields_set:
        raise UserError(
            f"{where}: {setting} is missing: name a checkpoint for {foreign[0]} with {setting}=; the default, the "
            f"embedded model, can read DAG maths only ({setting}=embedded uses it all the same)"
        )


def _is_demo_task(source: str) -> bool:
    """Whether a source is a sample of the task that the embedded model was made for."""
    kind, _, query = source.partition("?")
    options = {option for option in query.split("&") if option.partition("=")[0] not in ("split", "n", "seed")}
    return f"{kind}?{'&'.join(sorted(options, reverse=True))}" == DEMO_TASK


def parts_of(limit: int) -> tuple[int, ...]:
    """The limits that an evaluation compares by default, in ascending order, the largest last."""
    return tuple(sorted({max(1, limit // part) for part in BUDGETS}))


def _lengths(traits: ModelTraits, budgeted: bool) -> dict[str, Setting]:
    """Limits on thought and answer, or on the response: at most half of the context; the prompt has the rest."""
    if not traits.thinks:
        response = max(1, min(PLAIN_RESPONSE, traits.context // 2))
        return {"max_answer_tokens": max(1, response // 4) if budgeted else response}
    thought = max(1, min(THOUGHT, traits.context * 3 // 8))
    answer = max(1, min(ANSWER, traits.context // 8))
    return {"thinking_budget": thought, "thinking_budgets": parts_of(thought), "max_answer_tokens": answer}
