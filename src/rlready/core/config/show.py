"""Settings of ``rlready show``: of token credit, and of a chat template."""

from typing import Self

from pydantic import model_validator

from rlready.core.config import texts
from rlready.core.config.checks import REFERENCE_AT, check_reference_at
from rlready.core.settings import Config, Delimiters, Place, Seed, Share, option


class CreditConfig(Config):
    """The dense reward of every token of a text, shown as a colour."""

    reference: Place | None = option(
        None,
        "Checkpoint whose log-probabilities are subtracted; 'none' subtracts nothing. By default the one that the SFT "
        "run kept.",
    )
    reference_at: Share = option(REFERENCE_AT, "Share of the SFT run's samples after which the reference was kept.")
    probe: str = option(
        "",
        "Worked examples: one number is changed in each, and the result says how often the lowest reward falls on it. "
        "By default none.",
    )
    seed: Seed = option(0, "Seed of which numbers are changed.", applies_to={"probe": ()})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_reference_at(self.reference, self.reference_at)
        return self


class TemplateConfig(Config):
    """How the chat template of a checkpoint is interpreted."""

    apply_chat_template: bool = option(True, texts.APPLY_CHAT_TEMPLATE)
    delimiters: Delimiters = option((), texts.DELIMITERS)
