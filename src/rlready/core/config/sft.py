"""Settings of ``rlready sft``."""

from typing import Literal, Self

from pydantic import model_validator

from rlready.core.config import texts
from rlready.core.errors import UserError
from rlready.core.settings import (
    Alpha,
    Config,
    Delimiters,
    Device,
    Distributed,
    Epochs,
    GradNorm,
    InnerShares,
    LearningRate,
    Place,
    Precision,
    Preset,
    Rank,
    Seed,
    Share,
    Texts,
    Tokens,
    WeightDecay,
    option,
)

MOST_CHECKPOINTS = 10_000


class SFTConfig(Config):
    """Supervised fine-tuning on worked examples. Only response tokens are in the loss."""

    model: Place = option(
        "embedded",
        "Model to start from: embedded, a Hugging Face folder or a hub id. Required unless the data is DAG maths.",
    )
    rows: Preset[Place] = option(
        None, f"Worked examples to train on: {texts.SOURCE}. Required unless the model is embedded."
    )
    heldout: Preset[str] = option(
        None,
        "Worked examples that are never trained on; their loss is measured at every checkpoint. By default a tenth of "
        "rows (at least 16, at most 200 and a third) is held out.",
    )
    epochs: Epochs = option(2.0, "Number of passes over the examples.")
    learning_rate: Preset[LearningRate] = option(None, "Peak learning rate. By default chosen from the model's size.")
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = option(
        "linear",
        "How the learning rate decays, over all steps: with linear and cosine the warm-up ends below the peak.",
    )
    warmup_ratio: Share = option(0.05, "Share of the steps over which the learning rate rises from zero.")
    weight_decay: WeightDecay = option(0.0, "Weight decay of AdamW.")
    lora_r: Rank = option(0, texts.LORA_R)
    lora_alpha: Alpha | None = option(None, texts.LORA_ALPHA, applies_to={"lora_r": ()})
    lora_target_modules: Texts = option((), texts.LORA_TARGET_MODULES, applies_to={"lora_r": ()})
    max_grad_norm: GradNorm = option(1.0, "Gradients with a larger norm are scaled down to this norm.")
    tokens_per_batch: Preset[Tokens] = option(
        None, "Number of tokens, prompts included, in one optimiser step. By default chosen from the model's size."
    )
    max_tokens_per_microbatch: Tokens = option(16384, texts.MICROBATCH)
    gradient_checkpointing: bool = option(False, texts.CHECKPOINTING)
    apply_chat_template: bool = option(
        True,
        "Whether rows are written by the chat template; false trains on prompts and responses as plain texts, and "
        "saves a template that passes texts through.",
    )
    delimiters: Delimiters = option(
        (),
        "Texts between which thoughts are written, as OPEN,CLOSE, if the chat template does not contain them; the "
        "template that is saved then does.",
    )
    save_every: Epochs = option(0.5, "Number of epochs between checkpoints.")
    keep_at: InnerShares = option(
        (0.5,),
        "Shares of all training samples after which a checkpoint is also kept, as a reference for dense rewards.",
    )
    seed: Seed = option(0, "Seed of the order of the examples.")
    device: Preset[Device] = option("auto", texts.DEVICE)
    dtype: Preset[Precision] = option(None, texts.DTYPE)
    distributed: Distributed = option("ddp", texts.DISTRIBUTED)
    several_processes = True

    @model_validator(mode="after")
    def _keeps_what_a_disk_holds(self) -> Self:
        if (number := self.epochs / self.save_every) > MOST_CHECKPOINTS:
            raise UserError(
                f"save_every={self.save_every:g} would keep {number:,.0f} checkpoints in {self.epochs:g} epochs, more "
                f"than {MOST_CHECKPOINTS:,}; raise it"
            )
        return self

    def extendable(self) -> tuple[str, ...]:
        """Epochs, if neither the learning rate nor a kept reference depends on their number."""
        alike = self.lr_scheduler_type == "constant" and not self.warmup_ratio and not self.keep_at
        return ("epochs",) if alike else ()
