"""Settings of ``rlready inject``."""

from typing import Literal

from rlready.core.settings import Config, Seed, Share, Texts, option


class InjectConfig(Config):
    """Prepare worked examples for RL. Inserts reasoning behaviours, or makes a baseline; every step is verified."""

    rows: str = option(
        "",
        "Worked examples: DAG maths, GSM8K, or your own file with a dag column or calculator annotations. Required.",
    )
    method: Literal["behaviours", "vanilla", "premises", "chains"] = option(
        "behaviours",
        "behaviours inserts them. vanilla leaves the examples as they are. premises and chains write each example "
        "four times, with its premises or its steps in another order (DAG maths only).",
    )
    behaviours: Texts = option(
        ("explore", "analyse", "compute"),
        "Which behaviours to insert: explore (trial and error), analyse (state what a step needs), compute (write "
        "out every operation).",
        applies_to={"method": ("behaviours",)},
    )
    p: Share = option(
        0.1,
        "Probability, before each step, of first attempting a later step.",
        applies_to={"method": ("behaviours",)},
    )
    tokenizer: str = option(
        "", "Checkpoint whose tokenizer counts the added length in tokens. By default words are counted."
    )
    seed: Seed = option(0, "Seed of where behaviours are inserted, and of the orders of premises and chains.")
