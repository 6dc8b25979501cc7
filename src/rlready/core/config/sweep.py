"""Settings of ``rlready sweep``."""

from rlready.core.settings import Config, Processes, option


class SweepConfig(Config):
    """Run many SFT recipes, and RL from their checkpoints. predict reads the resulting table."""

    file: str = option("", "Sweep file (TOML): settings of sft, readiness, rl and evaluate, and the recipes. Required.")
    workers: Processes = option(
        2,
        "Number of jobs that run at the same time on this machine, each in a separate process, and each on a separate "
        "GPU if jobs use GPUs. 0 runs them one after another in this process.",
    )
    threads: int = option(1, "Number of processor threads for each job.", ge=1, le=1024)
    ray: str = option("", "Address of a Ray cluster whose nodes share this disk. By default jobs run on this machine.")
    yes: bool = option(
        False, "Start without confirmation even if there are more than a thousand jobs or it takes more than a day."
    )
