"""A GRPO step on either side: the same start, prompts, rewards, optimiser and number of threads.

rlready's is the step of ``rlready rl``, files included; TRL's is timed between its callbacks for the beginning and the
end of a step, which leaves out its data loading.  The verifier runs on both sides, but rewards are 1 and 0 in turn:
rlready drops groups without signal, and so both learn from the same number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from common import LR, Duel, Goal, Lap, Row, at_peak, needs
from rlready.core.config import RLConfig
from rlready.core.records import Problem
from rlready.credit.reference import ReferencePair
from rlready.engine.budget import Budget
from rlready.engine.rollout import split_text
from rlready.engine.torch import TorchEngine
from rlready.models.checkpoint import load, load_adapted, save
from rlready.models.lm import LM
from rlready.models.lora import Lora
from rlready.tasks import Task, Verdict, open_task
from rlready.train.fast_learner import make_learner
from rlready.train.learner import OptimizerSettings
from rlready.train.log import RLStepLog
from rlready.train.trainer import Trainer


class InTurn(Task):
    """A task that verifies as usual and then calls every second response correct."""

    def __init__(self, task: Task) -> None:
        self.task, self.source, self.calls = task, task.source, 0

    def problems(self) -> list[Problem]:
        return self.task.problems()

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        self.task.verify(problem, thinking, answer)
        self.calls += 1
        return Verdict(self.calls % 2 == 0)


@dataclass(frozen=True)
class Work:
    """What a step is: ``prompts`` x ``group`` responses, of a fixed length if ``response`` says so."""

    start: str
    source: str
    steps: int
    prompts: int = 16
    group: int = 16
    thinking: int = 64
    answer: int = 16
    response: int | None = None
    prompt_words: int | None = None  # truncate or repeat prompts to this many words
    max_tokens_per_microbatch: int = 16384  # of rlready; the fastest for TRL is tried out

    @cached_property
    def task(self) -> InTurn:
        return InTurn(open_task(self.source, limit=self.prompts * self.steps))

    @cached_property
    def problems(self) -> list[Problem]:
        def sized(p: Problem) -> Problem:
            return replace(p, prompt=" ".join((p.prompt.split() * self.prompt_words)[: self.prompt_words]))

        found = [sized(p) if self.prompt_words else p for p in self.task.problems()]
        if len(found) < self.prompts * self.steps:
            raise RuntimeError(f"{self.source} has {len(found)} problems, {self.steps} steps need more")
        return found

    def of_step(self, at: int) -> list[Problem]:
        return self.problems[at * self.prompts : (at + 1) * self.prompts]

    @property
    def cap(self) -> int:
        return self.response or self.thinking + self.answer


def trainer(work: Work, folder: Path, pair: ReferencePair | None = None, rank: int = 0) -> Trainer:
    """rlready's side, from the start of the work; with ``pair`` it learns from dense rewards, with ``rank`` by LoRA."""
    config = RLConfig(
        algorithm="dense" if pair else "grpo",
        prompts_per_step=work.prompts,
        group_size=work.group,
        learning_rate=LR,
        thinking_budget=work.thinking,
        max_answer_tokens=work.answer,
        max_tokens_per_microbatch=work.max_tokens_per_microbatch,
    )
    lm = load_adapted(work.start, Lora(rank)) if rank else load(work.start)
    learner = make_learner(lm, OptimizerSettings(LR, max_tokens_per_microbatch=config.max_tokens_per_microbatch))
    made = Trainer(config, learner, None, folder / "samples", pair)
    if work.response:
        made.budget, made.cap = Budget(None, work.response), work.response
        made.forcing = replace(made.forcing, stop_ids=frozenset())
        made.engine = TorchEngine(made.sampler, made.forcing)
    return made


def trl_steps(
    work: Work, folder: Path, micro: int, steps: int, before: Callable[[int], None], after: Callable[[Lap], None]
) -> None:
    """TRL's own training loop: ``before`` each step, and ``after`` it with its seconds and completion tokens."""
    import trl_peer

    lm: LM = load(work.start)
    tokens = 0

    def reward(completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float]:
        nonlocal tokens
        tokens += sum(map(len, completion_ids))
        drawn = zip(number, map(lm.decode, completion_ids), strict=True)
        return [float(correct(work.problems[n], text)) for n, text in drawn]

    def correct(problem: Problem, text: str) -> bool:
        for stop in lm.stop_texts:
            text = text.removesuffix(stop)
        return work.task.verify(problem, *split_text(text, lm.close)).correct

    def done(seconds: float) -> None:
        nonlocal tokens
        after(Lap(seconds, tokens))
        tokens = 0

    numbers = range(steps * work.prompts)
    prompts = [[{"role": "user", "content": work.problems[n].prompt}] for n in numbers]
    for problem, prompt in zip(work.problems, prompts, strict=False):
        if trl_peer.prompt_ids(lm.tokenizer, prompt) != lm.prompt_ids(problem.prompt, think=not work.response):
            raise RuntimeError(f"not the same prompt: {problem.id}")
    trl_peer.grpo(
        work.start,
        {"prompt": prompts, "number": list(numbers)},
        reward,
        folder=folder,
        micro=micro,
        batch=work.prompts * work.group,
        group=work.group,
        cap=work.cap,
        fixed=work.response is not None,
        steps=steps,
        before=before,
        after=done,
    )


def fastest(work: Work, folder: Path, micros: Sequence[int]) -> int:
    """The number of rows per forward pass with which TRL is fastest, by the second of two steps."""
    seconds: dict[int, float] = {}
    for micro in micros if len(micros) > 1 else ():
        trl_steps(work, folder, micro, 2, lambda _: None, lambda lap, m=micro: seconds.update({m: lap.seconds}))
    return min(seconds, key=seconds.__getitem__) if seconds else micros[0]


def duel(
    goal: Goal,
    work: Work,
    *,
    micros: Sequence[int],
    warm: int = 1,
    tolerance: float,
) -> Row:
    """Steps of rlready and TRL in turn; of several ``micros``, TRL's is chosen by two steps of each."""
    needs("trl", "datasets")
    with TemporaryDirectory() as name:
        folder = Path(name)
        micro = fastest(work, folder, micros)
        ours, contest, lines = trainer(work, folder), Duel(warm=warm, tolerance=tolerance), list[RLStepLog]()

        def step(at: int) -> float:
            lines.append(ours.step(work.task, work.of_step(at), at))
            if lines[-1].groups_informative != work.prompts:
                raise RuntimeError("a group had no signal")
            return float(lines[-1].rollouts.generated_tokens)

        trl_steps(
            work,
            folder,
            micro,
            work.steps,
            lambda at: contest.run("ours", lambda: step(at)),
            lambda lap: contest.add("theirs", lap),
        )
    where = [key for key in lines[-1].timing if key.startswith(("seconds", "gflops"))]  # of the time of a step
    parts = {key: median(line.timing[key] for line in lines[warm:]) for key in where}
    ratios = contest.ratios()
    sampling = parts["gflops_sampling"] * (parts["seconds_prefill"] + parts["seconds_decode"])
    update = parts["gflops_update"] * (parts["seconds_logprobs"] + parts["seconds_backward"])
    bound = at_peak(median(ratios), parts["seconds"], sampling + update)
    return goal.row(ratios, **contest.details(), trl_rows_per_forward=micro, ours_step=parts, at_peak=bound)


def random_llama(folder: Path, layers: int = 6) -> str:
    """A Llama of about 6 million random parameters with the vocabulary of the embedded model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    from rlready.tasks.dagmath.vocabulary import build_tokenizer

    logging.disable_progress_bar()
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=960,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save(LM(LlamaForCausalLM(config), tokenizer, "random"), folder, "")
    return str(folder)


def six_million(folder: Path, *, steps: int, quick: bool) -> Work:
    """16 x 16 responses of 48 tokens to prompts of 64, the template's two included."""
    size = 4 if quick else 16
    start = random_llama(folder / "start", layers=1 if quick else 6)
    source = "dagmath?ops=5&asked=3&split=train&seed=3"
    return Work(start, source, steps, prompts=size, group=size, response=8 if quick else 48, prompt_words=62)
