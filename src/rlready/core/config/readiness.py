"""Settings of ``rlready readiness``."""

from typing import Literal, Self

from pydantic import model_validator

from rlready.core.config import texts
from rlready.core.config.checks import refuse_one_server
from rlready.core.errors import UserError
from rlready.core.settings import (
    Config,
    Delimiters,
    Device,
    EngineName,
    Place,
    Places,
    Precision,
    Preset,
    Samples,
    Seed,
    Temperature,
    Texts,
    Tokens,
    option,
)


class ReadinessConfig(Config):
    """Measure which SFT checkpoint RL should start from. Nothing is trained."""

    checkpoints: Places = option(
        ("embedded",),
        "Checkpoints, those of one run in any order: Hugging Face folders, hub ids, tables of samples, such as "
        "TABLE.parquet?problem=id&correct=passed, or what another tool wrote: trl:OUTPUT_DIR, verl:DIR, prime-rl:DIR, "
        "skyrl:FILE, lm-eval:FILE, inspect:LOG, lighteval:FILE.",
        min_length=1,
    )
    heldout: Preset[str] = option(
        None,
        "Worked examples for the held-out loss. By default no held-out loss is measured, unless the model is embedded.",
    )
    problems: Preset[Place] = option(
        None,
        f"Problems to sample: {texts.SOURCE}. Required unless the model is embedded or all samples come from tables "
        f"that say which are correct. {texts.VERIFIER}",
    )
    samples: Samples = option(
        64,
        "Largest number of samples for each problem; pass@k is estimated for every k up to it. By default no more than "
        "the stored samples of every problem.",
    )
    sampling: Literal["adaptive", "full"] = option(
        "adaptive",
        "adaptive stops sampling a problem once one of its samples is correct, after a first wave of min_samples (by "
        "default group_size, at least 8); with up to 32 samples and no min_samples it draws all, as full does.",
    )
    min_samples: Samples | None = option(
        None,
        "Number of samples for each problem before sampling may stop. By default group_size, but at least 8.",
        applies_to={"sampling": ("adaptive",)},
    )
    temperature: Temperature = option(1.0, "Sampling temperature.")
    thinking_budget: Preset[Tokens] = option(None, texts.THINKING_BUDGET)
    max_answer_tokens: Preset[Tokens] = option(None, texts.MAX_ANSWER_TOKENS)
    apply_chat_template: bool = option(True, texts.APPLY_CHAT_TEMPLATE)
    delimiters: Delimiters = option((), texts.DELIMITERS)
    answer_prefix: str = option("", texts.ANSWER_PREFIX)
    group_size: Samples = option(
        16, "Group size planned for RL: the share of informative groups is estimated for groups of this size."
    )
    influence: bool = option(
        False,
        "Also estimate how a gradient step on one problem changes the reward on the others. Needs a model, not a "
        "table of samples.",
    )
    influence_layers: Texts = option(
        (),
        "Parts of the model whose gradients are compared, such as layers.3 or mlp. By default the whole model.",
        applies_to={"influence": (True,)},
    )
    influence_rank: int = option(
        0,
        "Project each matrix's gradient to rank x rank, for large models. 0 keeps the exact gradients.",
        ge=0,
        le=4096,
        applies_to={"influence": (True,)},
    )
    seed: Seed = option(0, "Seed of the samples.")
    engine: EngineName = option("torch", texts.SERVERS)
    device: Preset[Device] = option("auto", texts.DEVICE)
    dtype: Preset[Precision] = option(None, texts.DTYPE)
    several_processes = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse_one_server(self.engine, self.checkpoints)
        if self.min_samples and self.min_samples > self.samples:
            raise UserError(
                f"min_samples={self.min_samples} is more than samples={self.samples}, the number at which sampling "
                "ends; lower it"
            )
        if self.influence and min(self.samples, self.group_size, self.min_samples or self.group_size) < 2:
            raise UserError(
                "influence needs correct and wrong samples of a problem: samples, group_size and min_samples must be "
                "at least 2"
            )
        return self
