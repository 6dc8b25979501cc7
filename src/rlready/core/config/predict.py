"""Settings of ``rlready predict``."""

from rlready.core.settings import Config, Place, Places, Resamples, Seed, option


class PredictConfig(Config):
    """Rank checkpoints as starting points for RL. Where RL has been run, each predictor is scored."""

    runs: Places = option(
        (),
        "Run folders (readiness, rl, evaluate, sweep) and tables of RL outcomes with the columns checkpoint and "
        "outcome and, if known, cost, seed, recipe and family.",
    )
    rank_by: Place | None = option(
        None,
        "Predictor to rank by, such as pass@16, loss or combined. By default pass@k at the largest known k up to 64.",
    )
    force_loss: bool = option(False, "Compare held-out losses even if the checkpoints were trained on different data.")
    splits: Resamples = option(1000, "Number of random halves for the out-of-sample fit.")
    resamples: Resamples = option(2000, "Number of bootstrap resamples.")
    seed: Seed = option(0, "Seed of the halves, resamples and permutations.")
