"""What to do after readiness or predict: RL from the chosen checkpoint, with the settings that were measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pydantic import JsonValue

from rlready.core.config import ReadinessConfig
from rlready.core.options import DEFAULT
from rlready.core.separation import to_separate
from rlready.core.settings import Config
from rlready.readiness.part import Part
from rlready.readiness.ranking import Ranking
from rlready.readiness.ranking_words import ranked_checkpoint, reason
from rlready.readiness.result import RankedCheckpoint, rival
from rlready.runs.record import PRESET
from rlready.tasks.other_problems import training_problems

SHARED = (
    *("temperature", "thinking_budget", "max_answer_tokens", "apply_chat_template", "delimiters", "answer_prefix"),
    "group_size",
)
UNKNOWN_MODEL, UNKNOWN_PROBLEMS = "CHECKPOINT", "TRAIN.jsonl"  # for the user to fill in
TO_TRAIN = 1000  # generated problems, so that steps and prompts_per_step as they are by default meet few of them twice
FILL_IN = f"{UNKNOWN_PROBLEMS} stands for problems to train on: others than were measured here."
NEW_SEED = "The command trains on new problems."
MOSTLY = 0.5  # share of samples: if more are truncated, none of a checkpoint that solves nothing need be wrong
EASIER = "Measure easier problems: on these, no sample would earn a reward that RL could learn from."
HARDER = "Measure harder problems: on these, every sample of {} earns the same reward, from which RL cannot learn."
LONGER = "Allow longer responses (thinking_budget, max_answer_tokens): most samples were cut off before an answer."


def next_action(ranking: Ranking, truncated: float = 0.0) -> str:
    """What to do next where the headline leaves a choice: in a tie, and if nothing was solved; else "".

    In a tie RL can start at once, as the pick is at most one standard error behind the first.  ``truncated`` is the
    least share of truncated samples of any checkpoint.
    """
    if ranking.nothing_solved:
        return LONGER if truncated > MOSTLY else EASIER
    if ranking.all_solved:
        return HARDER.format(ranking.labels[ranking.pick])
    if not separation(ranking):
        return ""
    return f"Start RL from {ranking.labels[ranking.pick]} now: it {reason(ranking)}."


def separation(ranking: Ranking) -> list[str]:
    """In a tie, the sentence on how many more problems would separate the first two; else nothing."""
    other = tied(ranking)
    if other is None or other.behind is None:
        return []
    return [to_separate(other.name, ranking.labels[ranking.order[0]], other.behind, other.more_problems, ranking.by)]


def tied(ranking: Ranking) -> RankedCheckpoint | None:
    """In a tie, the checkpoint that more problems would separate from the first; else None."""
    if not any(ranking.advice(i) == "tie" for i in ranking.order):
        return None
    return rival([ranked_checkpoint(ranking, i, ranking.labels[i]) for i in ranking.order])


def explained(action: str, command: str) -> str:
    """What to do next, and which problems its command of RL names."""
    said = (FILL_IN if f"problems={UNKNOWN_PROBLEMS}" in command else NEW_SEED) if command else ""
    return " ".join(filter(None, [action, said]))


def rl_command(part: Part, config: Mapping[str, JsonValue], origins: Mapping[str, str]) -> str:
    """The command of RL from a measured checkpoint, on other problems; what a preset chose is left to the preset.

    ``config`` and ``origins`` are those of the record of the run of readiness.  A table of samples does not say its
    model, which the user then has to fill in.
    """
    words = [f"model={part.model or UNKNOWN_MODEL}"]
    measured = str(config["problems"] or "")
    words.append(f"problems={(measured and training_problems(measured, TO_TRAIN)) or UNKNOWN_PROBLEMS}")
    words += given_words(config, origins, {name: name for name in SHARED}, ReadinessConfig)
    return shlex.join(["rlready", "rl", *words])


def given_words(
    config: Mapping[str, JsonValue], origins: Mapping[str, str], names: Mapping[str, str], settings: type[Config]
) -> list[str]:
    """``name=value`` of the settings in a record that the user chose, under what the next command calls each."""
    words = []
    for name, its_name in names.items():
        default = settings.model_fields[name].default
        default = list(default) if isinstance(default, tuple) else default  # as a record has it
        value = config.get(name, default)  # which records of older versions may not have
        if origins.get(name) not in (DEFAULT, PRESET) and value != default:
            words.append(f"{its_name}={_word(value)}")
    return words


def _word(value: JsonValue) -> str:
    """A value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
