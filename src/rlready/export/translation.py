"""Settings of ``rlready rl`` under the names of another tool.

Every setting is either translated or named as one that the tool does not have; those that have no effect in the run,
such as an empty text, are neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from rlready.core.config import RLConfig, Tool
from rlready.core.errors import UserError
from rlready.core.explain import as_typed
from rlready.core.settings import is_url
from rlready.credit.algorithms import ALGORITHMS
from rlready.export.problems import has_template, opens_thought
from rlready.export.result import Translated, Untranslated
from rlready.models.lm import LM
from rlready.models.lora import ALPHA
from rlready.train.schedule import WARMUP_RATIO

BY_GROUP = ("arora_zanette", "grpo_lambda")  # rewards that compare the responses of a group


@dataclass
class Translation:
    """The settings of a run as those of ``tool``; ``lacking`` says why a setting has no counterpart.

    ``longest_prompt`` is in tokens.
    """

    tool: Tool
    config: RLConfig
    longest_prompt: int
    translated: list[Translated] = field(default_factory=list)
    lacking: list[Untranslated] = field(default_factory=list)

    def put(self, setting: str, counterpart: Mapping[str, JsonValue]) -> None:
        """Settings of the tool, by name, that stand for ``setting``."""
        self.translated += [
            Translated(setting=setting, counterpart=name, value=value) for name, value in counterpart.items()
        ]

    def lack(self, setting: str, why: str) -> None:
        """Name a setting that the tool does not have, unless it has no effect in this run."""
        value = getattr(self.config, setting)
        if value or setting == "seed":
            self.lacking.append(Untranslated(setting=setting, value=as_typed(value), why=why))

    @property
    def longest_sequence(self) -> int:
        """Tokens of the longest prompt with the longest response."""
        return self.longest_prompt + response_limit(self.config)

    @property
    def microbatch(self) -> int:
        """Tokens of a micro-batch, in which every sequence has room."""
        return max(self.config.max_tokens_per_microbatch, self.longest_sequence)

    def values(self) -> dict[str, JsonValue]:
        """The tool's settings by name."""
        return {each.counterpart: each.value for each in self.translated}


@dataclass(frozen=True)
class Clip:
    """The clip range of the importance ratio, [1 - ``low``, 1 + ``high``]."""

    low: float
    high: float


def clip_range(config: RLConfig) -> Clip:
    """The clip range of a run: its own, or that of its algorithm."""
    algorithm = ALGORITHMS[config.algorithm]
    return Clip(
        algorithm.epsilon if config.epsilon is None else config.epsilon,
        algorithm.epsilon_high if config.epsilon_high is None else config.epsilon_high,
    )


def put_adapter(t: Translation, rank: str, alpha: str, modules: str) -> None:
    """The settings of a LoRA adapter, if one is trained, under the three names that the tool has for them."""
    config = t.config
    if not config.lora_r:
        return
    t.put("lora_r", {rank: config.lora_r})
    t.put("lora_alpha", {alpha: config.lora_alpha or ALPHA})
    if config.lora_target_modules or t.tool != "prime-rl":
        t.put("lora_target_modules", {modules: list(config.lora_target_modules) or "all-linear"})
    else:
        why = "prime-rl adapts the modules of its own list"
        t.lacking.append(Untranslated(setting="lora_target_modules", value="all-linear", why=why))


def warmup_steps(config: RLConfig) -> int:
    """Steps of RL over which the learning rate rises; from 0 in the other tools, so that it lags one step there."""
    steps = round(config.steps * WARMUP_RATIO)
    return steps if steps > 1 else 0


def response_limit(config: RLConfig) -> int:
    """The largest number of tokens of a response."""
    return (config.thinking_budget or 0) + config.max_answer_tokens


def limit_name(config: RLConfig) -> str:
    """The settings that make up the limit of a response."""
    return "max_answer_tokens" if config.thinking_budget is None else "thinking_budget + max_answer_tokens"


def refuse_untranslatable(config: RLConfig, tool: Tool) -> None:
    """UserError for what cannot be handed over to any tool: another run would be trained."""
    if config.algorithm == "dense" or config.algorithm not in ALGORITHMS:
        raise UserError(
            f"algorithm={config.algorithm} has no counterpart in {tool}; choose grpo, dr_grpo, rloo or dapo"
        )
    if config.loss:
        raise UserError(f"loss={config.loss}: a loss of your own has no counterpart in {tool}; leave it out")


def refuse_blind(config: RLConfig, lm: LM, tool: Tool) -> None:
    """UserError for what a tool that gives the reward one text at a time, without special tokens, cannot train."""
    if not has_template(lm):
        raise UserError(
            f"{config.model}: has no chat template, by which {tool} writes prompts; add one to the tokenizer"
        )
    if config.reward in BY_GROUP:
        raise UserError(
            f"reward={config.reward} compares the responses of a group, but {tool} asks for the reward of one at a "
            "time; choose another reward, or export to trl"
        )
    if lm.thinks and lm.close in lm.tokenizer.all_special_tokens:
        raise UserError(
            f"{config.model}: {lm.close} is a special token, which {tool} leaves out of the text that is verified, so "
            "that verdicts would differ; export to trl, or save the tokenizer with it as an ordinary added token"
        )


def lack_budgets(t: Translation, lm: LM) -> None:
    """Name the settings of budget forcing, which a tool's own sampling does not have."""
    t.lack("thinking_budget", "no thought is closed at a budget; the limit of a response includes it")
    t.lack("answer_prefix", "no text is inserted after a thought")
    t.lack("num_waits", "no end of a thought is replaced")
    if t.config.num_waits:
        t.lack("wait_text", "no end of a thought is replaced")
    t.lack("delimiters", "the chat template is used as it is; reward.py splits responses by them")
    if opens_thought(lm):
        t.lacking.append(Untranslated(setting="prompt", value=lm.open, why="the model has to open its thought itself"))


def lack_common(t: Translation, lm: LM) -> None:
    """Name the settings that none of the tools has."""
    end, known = lm.chat.end, str(lm.tokenizer.eos_token)
    if end and end != known:
        why = f"a response ends in the eos_token of the tokenizer, {known}; save the tokenizer with {end} as that"
        t.lacking.append(Untranslated(setting="model", value=end, why=why))
    if lm.chat.end_text:
        why = "a turn ends in this text, behind which the tool samples on; the reward reads what comes before it"
        t.lacking.append(Untranslated(setting="model", value=lm.chat.end_text.strip(), why=why))
    if t.config.algorithm == "dapo":
        t.lack("algorithm", "tokens of groups without signal count in the normaliser")
    if is_url(t.config.engine):
        t.lack("engine", "the tool starts vLLM itself, or a server of its own kind")
    t.lack("patience", "a run without a gradient goes on")
    if len(t.config.length_targets) > 1:
        t.lack("length_targets", "each problem keeps one of them, in place of one drawn at every step")
