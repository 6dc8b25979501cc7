"""Settings of ``rlready doctor``."""

from rlready.core.config import texts
from rlready.core.settings import Config, Count, Device, Rank, Tokens, option


class DoctorConfig(Config):
    """Say what this machine can run, and what is missing. Memory and speed are estimates; it writes no run folder."""

    model: str = option(
        "",
        "Checkpoint to plan for: embedded, a Hugging Face folder or a hub id. By default only the machine is examined.",
    )
    prompt_tokens: Tokens = option(256, "Length of a prompt.")
    response_tokens: Tokens | None = option(
        None, "Length of a response or worked example. By default the limit that the model's preset sets."
    )
    prompts_per_step: Count = option(16, "Number of problems in a batch of rollouts.")
    group_size: int = option(16, "Number of rollouts for each problem (num_generations in TRL).", ge=2, le=10_000)
    max_tokens_per_microbatch: Tokens = option(16384, texts.MICROBATCH)
    lora_r: Rank = option(16, "Rank of the LoRA adapter that training all weights is compared with; 0: none.")
    device: Device = option("auto", texts.DEVICE)
