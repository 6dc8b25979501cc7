"""One model in every arm: what each problem's samples came to, as vectors over problems (N,)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import EvaluateConfig
from rlready.core.errors import UserError
from rlready.core.records import Group, Problem, Sample
from rlready.engine.budget import Budget, Forcing
from rlready.engine.contrastive import Contrast
from rlready.engine.protocol import budget_for, forcing_for, requests_for
from rlready.engine.rollout import answer_of, note_run_ons, table_row
from rlready.engine.torch import TorchEngine
from rlready.evaluate.budgets_from_trace import cut
from rlready.evaluate.settings import Arm, Arms
from rlready.evaluate.vote import Ballot, affordable, ballot, shares
from rlready.models.lm import LM
from rlready.runs.run import write_table
from rlready.tasks import Task
from rlready.tasks import length_prompt as stating
from rlready.tasks.answers.verify import ballots, voted
from rlready.tasks.protocol import ComparesAnswers

SHOWN = 12  # problems whose samples are kept for reading, one sample per model and arm shown

MEANS: dict[str, Callable[[Sample], float]] = {
    "accuracy": lambda s: bool(s.correct),
    "strict": lambda s: bool(s.strict),
    "thinking": lambda s: s.thinking,
    "answer": lambda s: s.answer,
    "truncated": lambda s: s.truncated if s.cap else s.finish == "length",
    "unfinished": lambda s: s.finish == "length",
    "extended": lambda s: s.extensions > 0,
}


def measure(
    config: EvaluateConfig,
    arms: Arms,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    samples_to: Path,
    update: Callable[[int], None],
    contrast: Contrast | None = None,
) -> dict[str, Any]:
    """``vectors``: by arm, means over each problem's samples (N,); ``votes``: by main arm; ``examples`` to read.

    ``lengths``: thinking tokens of every sample of the largest main arm, right and wrong apart.  All samples go into
    the table ``samples_to``; ``update`` is told of every one that is done.
    """
    _check_thought(config, lm)
    stating.check_words(config.length_prompt, [arm.stated or 0 for arm in arms.stated], lm)
    asked = (
        [stating.state(p, config.length_prompt, arms.main[-1].tokens or 0) for p in problems]
        if arms.stated
        else problems
    )
    longest = _within_context(arms, lm, asked)
    forcing = forcing_for(lm, config.wait_text if any(config.num_waits) else "", config.answer_prefix)
    if len(forcing.extension_ids) >= (arms.main[-1].tokens or math.inf):
        raise UserError(
            f"wait_text={config.wait_text!r} has {len(forcing.extension_ids)} tokens, no fewer than the largest "
            "budget: it would never be given"
        )
    if not config.unconstrained:
        most = _budget(arms.main[-1], lm, longest)
        requests_for(lm, problems, 1, most, forcing.final_ids)  # every prompt leaves room for a budget
    alone = TorchEngine(lm, forcing)
    engine = TorchEngine(lm, forcing, contrast=contrast) if contrast else alone
    vectors: dict[str, dict[str, list[float]]] = {arm.name: {} for arm in arms.all}
    votes: dict[str, list[list[Ballot]]] = {arm.name: [] for arm in arms.main}
    lengths: dict[str, list[int]] = {"right": [], "wrong": []}
    rows: list[dict[str, Any]] = []
    examples: list[dict[str, Any]] = []
    chunk = max(1, engine.rows // config.samples)
    for at in range(0, len(problems), chunk):
        drawn = _draw(config, arms, engine, alone, lm, task, problems[at : at + chunk], longest)
        for arm, groups in drawn.items():
            main = groups if arm == arms.untouched else drawn[arms.beside(arm)]
            for group, beside in zip(groups, main, strict=True):
                _add(vectors[arm.name], _facts(arm, group, beside))
                rows += [table_row(s) | {"arm": arm.name, "prompt": group.problem.prompt} for s in group.samples]
                if arm in arms.main:
                    votes[arm.name].append(_ballots(lm, task, group))
                    if len(examples) < SHOWN * len(arms.main):
                        examples.append(example(lm, arm, group))
                if arm == arms.main[-1]:
                    for s in group.samples:
                        lengths["right" if s.correct else "wrong"].append(s.thinking)
        update(config.samples * len(problems[at : at + chunk]))
    write_table(samples_to, rows)
    note_run_ons(f"evaluate: {lm.source}", rows)
    return {
        "vectors": vectors,
        "votes": _votes(vectors, votes, [arm.name for arm in (*arms.main, *arms.others)]),
        "lengths": lengths,
        "examples": examples,
        "knows_steps": any(row["strict"] is not None for row in rows),
    }


def _check_thought(config: EvaluateConfig, lm: LM) -> None:
    """UserError for settings that are about the thought, of a model that does not think."""
    about = {
        "num_waits": any(config.num_waits),
        "end_think_bias": any(config.end_think_bias),
        "length_prompt": bool(config.length_prompt),
    }
    for name, given in (about | {"answer_prefix": bool(config.answer_prefix)}).items():
        if given and not lm.thinks:
            raise UserError(
                f"{name} is about the thought, but the chat template of {lm.source} opens none; leave {name} out, or "
                "give delimiters=OPEN,CLOSE"
            )


def _budget(arm: Arm, lm: LM, longest: int) -> Budget:
    """What an arm lets a model spend; for one that does not think, its thinking budget is part of one response cap."""
    if arm.budget.thinking is None:
        return replace(arm.budget, answer=longest)
    return arm.budget if lm.thinks else budget_for(lm, arm.budget.thinking, arm.budget.answer)


def _within_context(arms: Arms, lm: LM, problems: Sequence[Problem]) -> int:
    """The most tokens of an untouched response that the context has room for after every one of these prompts."""
    most, where = max((len(lm.prompt_ids(p.prompt, p.system, think=False)), p.id) for p in problems)
    room = lm.context - most
    if room < 1:
        raise UserError(f"problem {where}: a prompt of {most} tokens fills the context of {lm.source}")
    return min(arms.untouched.budget.answer, room)


def _draw(
    config: EvaluateConfig,
    arms: Arms,
    engine: TorchEngine,
    alone: TorchEngine,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    longest: int,
) -> dict[Arm, list[Group]]:
    """The groups of every arm, the untouched one drawn from the model ``alone``."""
    budgets = {arm: _budget(arm, lm, longest) for arm in arms.all}
    draws = {"samples": config.samples, "temperature": config.temperature, "seed": config.seed}
    forced = [arm for arm in arms.all if arm.stated is None]
    apart = () if engine is alone else (arms.untouched,)  # a model's own trace begins none of a joint policy's
    found = cut(alone, lm, task, problems, [budgets[a] for a in apart], **draws)  # type: ignore[arg-type]
    found |= cut(engine, lm, task, problems, [budgets[a] for a in forced if a not in apart], **draws)  # type: ignore[arg-type]
    drawn = {arm: found[budgets[arm]] for arm in forced}
    for arm in arms.stated:
        asked = [stating.state(p, config.length_prompt, arm.stated or 0) for p in problems]
        drawn[arm] = cut(engine, lm, task, asked, [budgets[arm]], **draws)[budgets[arm]]  # type: ignore[arg-type]
    for arm, groups in drawn.items():
        if budgets[arm].thinking is None:
            drawn[arm] = [_counted(engine, lm, g) for g in groups]
    return drawn


def _counted(engine: TorchEngine, lm: LM, group: Group) -> Group:
    """A group of natural samples with the tokens inside and outside of thoughts counted apart."""
    opened = lm.thinks and lm.decode(group.prompt_ids).rstrip().endswith(lm.open)
    samples = []
    for s in group.samples:
        thinking, answer = unforced_lengths(s.tokens.tolist(), engine.forcing, opened)
        samples.append(replace(s, thinking=thinking, answer=answer))
    return replace(group, samples=samples)


def unforced_lengths(tokens: Sequence[int], by: Forcing, opened: bool) -> tuple[int, int]:
    """(thinking, answer) tokens of a response that nothing was forced on, over all its thoughts; delimiters are in
    neither.  ``opened``: the prompt opens a thought.
    """
    counts, inside, begin = {True: 0, False: 0}, opened, 0
    for at, token in enumerate(tokens):
        turn = by.delimiter if inside else by.opener
        if turn and token in turn.completing and (held := turn.length(tokens[begin : at + 1])):
            counts[inside] += at + 1 - held - begin
            inside, begin = not inside, at + 1
    counts[inside] += len(tokens) - begin
    return counts[True], counts[False]


def _facts(arm: Arm, group: Group, beside: Group) -> dict[str, float]:
    """Means over a group's samples; ``mended`` and ``broken``: where the verdict differs from that beside it."""
    facts = {key: float(np.mean([of(s) for s in group.samples])) for key, of in MEANS.items()}
    pairs = [(bool(s.correct), bool(b.correct)) for s, b in zip(group.samples, beside.samples, strict=True)]
    facts["mended"] = float(np.mean([now and not then for now, then in pairs]))
    facts["broken"] = float(np.mean([then and not now for now, then in pairs]))
    if arm.stated:
        facts["off"] = float(np.mean([abs(s.thinking - arm.stated) / arm.stated for s in group.samples]))
    return facts


def _add(vectors: dict[str, list[float]], facts: dict[str, float]) -> None:
    for key, value in facts.items():
        vectors.setdefault(key, []).append(value)


def _ballots(lm: LM, task: Task, group: Group) -> list[Ballot]:
    """A group's votes; answers that the task's own comparison calls equal are one, elsewhere equal texts are."""
    answers = [voted(group.problem.answer, answer_of(sample, lm)[1]) for sample in group.samples]
    if isinstance(task, ComparesAnswers) and task.compares(group.problem) is not None:
        answers = ballots(answers)
    return [ballot(s, answer) for s, answer in zip(group.samples, answers, strict=True)]


def _votes(
    vectors: dict[str, dict[str, list[float]]], ballots: dict[str, list[list[Ballot]]], arms: Sequence[str]
) -> dict[str, Any]:
    """By main arm: how many responses the tokens of one in the costliest of ``arms`` buy; what they come to (N,)."""

    def cost(name: str) -> float:
        return float(np.mean(vectors[name]["thinking"]) + np.mean(vectors[name]["answer"]))

    total = max(cost(name) for name in arms)
    found = {}
    for name, by_problem in ballots.items():
        n = affordable(total, cost(name), len(by_problem[0]))
        each = [shares(some, n) for some in by_problem]
        found[name] = {"n": n, "tokens": n * cost(name)} | {key: [e[key] for e in each] for key in each[0]}
    return found


def example(lm: LM, arm: Arm, group: Group) -> dict[str, Any]:
    """A group's first sample for reading: text by text what each token adds, and who chose it."""
    sample = group.samples[0]
    pieces = [list(pair) for pair in zip(lm.pieces(sample.tokens.tolist()), sample.mask.tolist(), strict=True)]
    return {
        "model": lm.source,
        "problem_id": sample.problem_id,
        "prompt": group.problem.prompt,
        "answer": group.problem.answer,
        "correct": sample.correct,
        "strict": sample.strict,
        "finish": sample.finish,
        "truncated": sample.truncated,
        "budget": arm.tokens,
        "thinking": sample.thinking,
        "pieces": pieces,
    }
