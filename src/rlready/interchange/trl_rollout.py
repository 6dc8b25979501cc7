"""Budget forcing inside TRL's GRPO trainer: the rollouts that its ``rollout_func`` asks for, drawn by this engine.

After TRL 1.16, ``GRPOTrainer._generate``: the function gets the prompts of this process, one for every completion, and
the trainer.  ``env_mask`` of its result marks the tokens that the policy chose, and TRL multiplies the loss of every
token by it; what is not in TRL's list of keys goes to the reward functions as columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.engine.budget import Budget, Forcing
from rlready.engine.factory import open_engine
from rlready.engine.precheck import wait_text_of
from rlready.engine.protocol import Request, forcing_for, refuse_beyond_context
from rlready.models.lm import LM

if TYPE_CHECKING:
    from trl import GRPOTrainer

Prompt = str | list[dict[str, Any]]  # as TRL has it: a text, or a conversation
# settings of TRL's own sampling, with the values that change nothing
NEUTRAL: Mapping[str, object] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "generation_kwargs": None,
    "use_vllm": False,
    "use_transformers_continuous_batching": False,
}


class Rollouts(TypedDict):
    """What TRL takes, a list for each completion; the last two are columns for the reward functions.

    ``logprobs`` are natural-log probabilities at the trainer's temperature, 0 where a token was forced, which is where
    ``env_mask`` is 0.  ``thinking_tokens`` are the tokens of the thought, ``truncated`` whether its budget closed it.
    """

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    logprobs: list[list[float]]
    env_mask: list[list[int]]
    thinking_tokens: list[int]
    truncated: list[bool]


class BudgetForcedRollout:
    """A ``rollout_func`` for TRL's ``GRPOTrainer`` that closes every thought at its budget.

    The settings are those of `RLConfig`, in tokens; the delimiters are those of the chat template unless they are
    given.  Prompts are rendered as TRL renders them, and end inside an open thought.  Samples are drawn from the
    weights that the trainer's model has at that moment, with random numbers from torch's generator, which the trainer
    seeds.

    Raises UserError for settings out of range, and when it is called: if the model's template opens no thought, if a
    prompt and its longest response exceed the context, and for settings of the trainer that it cannot follow.
    """

    def __init__(
        self,
        thinking_budget: int,
        max_answer_tokens: int,
        *,
        num_waits: int = 0,
        wait_text: str = "Wait",
        answer_prefix: str = "",
        delimiters: Sequence[str] = (),
    ) -> None:
        if thinking_budget is None or max_answer_tokens is None:  # which a configuration takes as "choose one"
            raise UserError("BudgetForcedRollout needs both thinking_budget and max_answer_tokens, in tokens")
        self.config = RLConfig(
            thinking_budget=thinking_budget,
            max_answer_tokens=max_answer_tokens,
            num_waits=num_waits,
            wait_text=wait_text,
            answer_prefix=answer_prefix,
            delimiters=tuple(delimiters),
        )
        self.budget = Budget(thinking_budget, max_answer_tokens, num_waits)
        self._trainer: GRPOTrainer | None = None
        self._lm: LM | None = None
        self._forcing: Forcing | None = None

    def __call__(self, prompts: Sequence[Prompt], trainer: GRPOTrainer) -> Rollouts:
        """One completion for each prompt, as TRL gives them: a prompt stands there once for each of its group."""
        lm, forcing = self._prepared(trainer)
        requests = []
        for at, prompt in enumerate(prompts):
            ids = tuple(_prompt_ids(lm, prompt, trainer.chat_template_kwargs))
            refuse_beyond_context(lm, f"prompt {at}", len(ids), self.budget, len(forcing.answer_prefix_ids))
            requests.append(Request(f"prompt {at}", at, ids, self.budget))
        seed = int(torch.randint(1 << 62, ()))
        # a new engine has the weights that the model has now, and keeps no copy of them during the update
        with _evaluating(lm.model), open_engine("torch", lm, forcing) as engine:
            samples = engine.sample(requests, temperature=trainer.temperature, seed=seed)
        return {
            "prompt_ids": [list(request.prompt_ids) for request in requests],
            "completion_ids": [sample.tokens.tolist() for sample in samples],
            "logprobs": [sample.logprobs.tolist() for sample in samples],
            "env_mask": [sample.mask.tolist() for sample in samples],
            "thinking_tokens": [sample.thinking_tokens for sample in samples],
            "truncated": [sample.truncated for sample in samples],
        }

    def _prepared(self, trainer: GRPOTrainer) -> tuple[LM, Forcing]:
        """The trainer's model and what is forced into its responses; found once for each trainer and model."""
        model = trainer.accelerator.unwrap_model(trainer.model)
        if hasattr(model, "get_base_model"):  # one of PEFT: the model whose layers have the adapter
            model = model.get_base_model()
        same = self._trainer is trainer and self._lm is not None and self._lm.model is model
        if self._lm is None or self._forcing is None or not same:
            _refuse_unfollowed(trainer, self.budget)
            self._trainer = trainer
            self._lm = LM(
                model, trainer.processing_class, model.name_or_path or type(model).__name__, self.config.delimiters
            )
            self._lm.needs_thought("a thinking budget")
            self._forcing = forcing_for(self._lm, wait_text_of(self.config), self.config.answer_prefix)
        return self._lm, self._forcing


def _refuse_unfollowed(trainer: GRPOTrainer, budget: Budget) -> None:
    """UserError for settings of a trainer that the rollouts would not follow."""
    args, longest = trainer.args, (budget.thinking_budget or 0) + budget.max_answer_tokens
    if longest > trainer.max_completion_length:
        raise UserError(
            f"thinking_budget and max_answer_tokens are {longest} tokens together, more than the trainer's "
            f"max_completion_length={trainer.max_completion_length}; raise it to {longest}, or lower them"
        )
    changed = next((name for name, neutral in NEUTRAL.items() if getattr(args, name) not in (neutral, {})), None)
    if changed:
        raise UserError(
            f"{changed}={getattr(args, changed)!r} of the trainer is not followed by budget-forced rollouts, which "
            "sample from the policy itself; leave it out"
        )
    if trainer.tools:
        raise UserError("budget-forced rollouts call no tools: leave out tools and environments, or rollout_func")
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise UserError(
            "budget-forced rollouts need all weights in each process, which FSDP and DeepSpeed divide; train with DDP "
            "or in one process"
        )
    if hasattr(trainer.processing_class, "tokenizer"):
        raise UserError("budget-forced rollouts are of texts alone, but the trainer has a processor of images or sound")


def _prompt_ids(lm: LM, prompt: Prompt, template_kwargs: Mapping[str, Any]) -> list[int]:
    """A prompt as TRL tokenises it, inside an open thought; a text is taken as it is, special tokens added."""
    if isinstance(prompt, str):
        return list(lm.tokenizer(lm.chat.with_thought_opened(prompt))["input_ids"])
    text = lm.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False, **template_kwargs)
    return lm.encode(lm.chat.with_thought_opened(str(text)))


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode, which also switches off gradient checkpointing; afterwards as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
