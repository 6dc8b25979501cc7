"""Responses that end in an ordinary token, which is most likely the default of a configuration."""

from __future__ import annotations

from rlready.models.lm import LM
from rlready.runs.recorder import Recorder


def ordinary_stops(lm: LM) -> tuple[str, str]:
    """What to say of the ordinary tokens that end a response, and how to fix it; two empty texts if none does."""
    eos = lm.tokenizer.eos_token_id
    ordinary = [lm.decode([stop]) for stop in sorted(lm.stop_ids - lm.tokenizer.added_tokens_decoder.keys() - {eos})]
    if not ordinary:
        return "", ""
    return (
        f"a response also ends in the ordinary token {', '.join(map(repr, ordinary))}",
        f"set eos_token_id in config.json and generation_config.json to the tokenizer's, {eos}",
    )


def warn_of_ordinary_stops(run: Recorder, lm: LM) -> None:
    """Warn of what ends a response of a model, once for all models of which the same is to be said."""
    found, fix = ordinary_stops(lm)
    if found and not any(found in warning for warning in run.record.warnings):
        run.warn(f"{lm.source}: {found}, and what would come after it is never seen; {fix}")
