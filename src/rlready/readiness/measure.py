"""Measure one checkpoint with its model: its held-out loss, and its samples, drawn now or read from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rlready.core.config import ReadinessConfig
from rlready.core.config.format import format_of
from rlready.core.distributed import from_rank0, local_device, share, united, world_size
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.records import Estimate, Problem, Row, Sample, SampleRow
from rlready.core.sampling_progress import SamplingProgress
from rlready.core.threads import READ, workers
from rlready.engine.factory import note_engine, open_engine
from rlready.engine.precheck import check_sampling
from rlready.engine.protocol import budget_for, forcing_for, requests_for
from rlready.engine.repeats import repeats
from rlready.engine.rollout import Grader, answer_of, sample_of, sample_row, warn_run_ons
from rlready.influence.gram import parameters_of
from rlready.influence.influence import Rollouts, influence
from rlready.influence.result import InfluenceResult
from rlready.models.checkpoint import load
from rlready.models.encode import encode
from rlready.models.heldout_loss import heldout_loss
from rlready.models.hub import local_folder
from rlready.models.llama.support import supports
from rlready.models.lm import LM
from rlready.models.ordinary_stops import warn_of_ordinary_stops
from rlready.models.tokenizer import tokenizer_of, vocabulary_digest
from rlready.readiness.adaptive_sampling import draw_until_right, plan
from rlready.readiness.diversity import distinct_answers
from rlready.readiness.offline_samples import Stored
from rlready.readiness.part import ExampleLosses, Part, Vocabulary
from rlready.readiness.plain_text import doubt_of_template
from rlready.readiness.sample_stats import Draws
from rlready.readiness.table import measure_samples, measure_table
from rlready.runs.checkpoint_order import labels
from rlready.runs.drawn import DrawnSamples
from rlready.runs.files import read_table, write_table
from rlready.runs.lineage import replaced
from rlready.runs.run import Run
from rlready.runs.seen import seen_at
from rlready.tasks import Task
from rlready.tasks.answers.verify import voted

MICRO_TOKENS = 16384
FIRST_ROWS, GROWTH = 32, 4  # rows of the first part for each thread, and how many times as many each next one has
BATCHES = 8  # rows of a part in batches of vLLM, which fills the places of rows that have ended, but not beyond a part


@dataclass
class Measurer:
    """The task, problems and rows that all checkpoints of a run are measured on.

    ``task`` is None if all samples are stored and already verified; ``ids`` are the problems, in order.
    ``vocabulary`` is that of the first model, which every other model must share.
    """

    config: ReadinessConfig
    run: Run
    parts: Path
    task: Task | None
    problems: Sequence[Problem]
    ids: Sequence[str]
    held: Sequence[Row]
    bar: SamplingProgress
    vocabulary: Vocabulary | None = None
    model_name = ""  # of the model that is drawing

    def check(self, models: Sequence[str]) -> None:
        """Raise UserError, before any model is loaded, if the settings or the vocabularies do not fit."""
        check_sampling(self.config, models)
        self.compare_vocabularies(models)

    def compare_vocabularies(self, models: Iterable[str]) -> None:
        """Raise UserError, before any model draws, if their vocabularies differ."""
        for source in models:
            tokenizer = tokenizer_of(source)
            mine = Vocabulary(model=source, tokens=len(tokenizer), digest=vocabulary_digest(tokenizer))
            first = self.vocabulary = self.vocabulary or mine
            if mine.digest != first.digest:
                raise UserError(
                    f"{first.model} and {source} have different vocabularies ({first.tokens} and {mine.tokens} tokens "
                    "or other ids); compare checkpoints of one tokenizer"
                )

    def model(self, number: int, name: str, source: str) -> Part:
        """Draw and measure the samples of a checkpoint; all of them are kept in ``parts/NUMBER.parquet``."""
        self.model_name = labels(self.config.checkpoints)[source]
        self.bar.metrics.clear()
        lm = self._load(source)
        wanted = self.config.influence
        parameters = parameters_of(lm.model, self.config.influence_layers) if wanted else []  # refused before drawing
        losses, unknown = self._loss(lm)
        rows = self._samples(number, lm)
        warn_run_ons("readiness", source, rows)
        strayed = _strayed(source)
        doubt = self._doubt(name, unknown, strayed, repeats(rows, self.config.temperature, self.config.engine))
        undecided = sum(row.get("undecided", False) for row in rows)  # a wave may be of an earlier version
        sampled = measure_samples(self.config, source, Draws.of(rows, self.ids), self.ids, undecided)
        spread = {"distinct_answers": self._distinct_answers(lm, rows)}
        sampled = sampled.model_copy(update={"stats": sampled.stats.model_copy(update=spread)})
        return Part(
            name=name,
            model=source,
            problems=list(self.ids),
            heldout=losses,
            vocabulary=self.vocabulary,
            sampled=sampled,
            influence=from_rank0(lambda: self._influence(lm, rows, parameters)),
            doubt=doubt,
            strayed=bool(strayed),
        )

    def table(self, name: str, stored: Stored) -> Part:
        """Measure a checkpoint from stored samples, and its held-out loss if ``model=`` names the model."""
        lm = self._load(stored.options.model) if stored.options.model else None
        sampled = measure_table(self.config, self.run, stored, self.task, self.problems, self.ids, lm)
        losses, unknown = self._loss(lm) if lm else (None, "")
        strayed = _strayed(stored.options.model) if lm else ""
        return Part(
            name=name,
            model=stored.options.model,
            problems=list(self.ids),
            heldout=losses,
            vocabulary=self.vocabulary if lm else None,
            sampled=sampled,
            doubt=self._doubt(name, unknown, strayed),
            strayed=bool(strayed),
            prompts=stored.prompts,
            truths=stored.truths,
        )

    def _doubt(self, name: str, *doubts: str) -> str:
        """What is wrong with a checkpoint's measurements, which is also warned of; "" for nothing."""
        if found := "; ".join(f"{name}: {each}" for each in doubts if each):
            self.run.warn(found)
        return found

    def _load(self, source: str) -> LM:
        config, folder = self.config, local_folder(source)
        seen = seen_at(folder)
        lm = load(source, device=local_device(config.device), dtype=config.dtype, **format_of(config))
        note(f"readiness: {lm.chat}")
        self.run.note_model(id=source, path=folder, role="checkpoint", chat=lm.chat.describe(), seen=seen)
        warn_of_ordinary_stops(self.run, lm)
        return lm

    def _loss(self, lm: LM) -> tuple[ExampleLosses | None, str]:
        """The held-out losses, and what they say against the chat template; None and "" without rows."""
        if not self.held:
            return None, ""
        losses = heldout_loss(lm, encode(lm, self.held, self.config.heldout), MICRO_TOKENS)
        return ExampleLosses.of(losses), doubt_of_template(lm, self.held, losses, MICRO_TOKENS)

    def _samples(self, number: int, lm: LM) -> list[SampleRow]:
        """All samples, from ``parts/NUMBER.parquet`` if an earlier attempt has drawn them all."""
        path = self.parts / f"{number}.parquet"
        if from_rank0(path.exists):
            self.run.refuse_changed(path, "delete it to draw them again")
            rows = cast("list[SampleRow]", read_table(path))
            self.bar.skip(len(rows))
        else:
            rows = self._draw(number, lm)
            with self.run.writing(path):
                write_table(path, rows)
        self.bar.total = (self.bar.total or 0) - len(self.problems) * self.config.samples + len(rows)  # not needed
        return rows

    def _draw(self, number: int, lm: LM) -> list[SampleRow]:
        """Draw all samples, wave by wave, in chunks of problems; those of an earlier attempt are not drawn again.

        Several processes (torchrun) divide the problems of a chunk.
        """
        config, task = self.config, self.task
        assert task is not None
        note_engine(config.engine, self.run)
        engine = open_engine(config.engine, lm, forcing_for(lm, answer_prefix=config.answer_prefix))
        budget = budget_for(lm, config.thinking_budget, config.max_answer_tokens)
        requests = requests_for(lm, self.problems, config.samples, budget, engine.forcing.answer_prefix_ids)
        stages = plan(config.samples, config.group_size, config.sampling, config.min_samples or 0)
        drawn = DrawnSamples(self.run, number)
        self.bar.skip(len(drawn.rows))
        wave = begun = 0

        def draw(which: Sequence[int], begin: int, end: int) -> NDArray[np.bool_]:
            nonlocal wave, begun
            rest = which[(len(drawn.rows) - begun) // (end - begin) :]
            threads = (workers(lm.model, READ) if config.engine == "torch" else BATCHES) * world_size()
            for part in growing(len(rest), end - begin, engine.batch_size, threads):
                some = share(rest[part])
                wanted = [r for i in some for r in requests[i * config.samples + begin : i * config.samples + end]]
                grader = Grader(lm, task, [self.problems[i] for i in some], wanted)
                ended = None if drawn.rows else self._first_results(grader)
                found = engine.sample(wanted, temperature=config.temperature, seed=config.seed, ended=ended)
                pairs = [(sample, group.problem) for group in united(grader.groups(found)) for sample in group.samples]
                drawn.add([{**sample_row(*pair), "wave": wave, "planned": config.samples} for pair in pairs])
                self.run.count("generated", sum(len(sample.tokens) for sample, _ in pairs))
                if not wave:  # later waves are of problems that are harder than the mean
                    self._show([row["correct"] for row in drawn.rows])
            rows = drawn.rows[begun : begun + len(which) * (end - begin)]
            wave, begun = wave + 1, begun + len(rows)
            return np.array([row["correct"] for row in rows], dtype=bool).reshape(len(which), end - begin)

        with engine, drawn:
            draw_until_right(len(self.problems), stages, draw)
        return drawn.rows

    def _first_results(self, grader: Grader) -> Callable[[Sample], None]:
        """Shows the verdict on each sample when it has ended, before the first part has."""
        correct: list[bool] = []

        def ended(sample: Sample) -> None:
            correct.append(grader.verdict(sample).correct)
            self._show(correct)

        return ended

    def _show(self, correct: Sequence[bool]) -> None:
        so_far = f"pass@1 of {self.model_name} so far" if len(self.config.checkpoints) > 1 else "pass@1 so far"
        self.bar.update(0, **{so_far: f"{sum(correct) / len(correct):.1%} of {len(correct)} samples"})

    def _distinct_answers(self, lm: LM, rows: Sequence[SampleRow]) -> Estimate:
        """How many different answers a group spreads over, from the first draws of every problem."""
        gold, answers = {problem.id: problem.answer for problem in self.problems}, dict[str, list[str]]()
        for row in rows:
            if row["wave"] == 0:
                answer = voted(gold[row["problem_id"]], answer_of(sample_of(row), lm)[1])
                answers.setdefault(row["problem_id"], []).append(answer)
        return distinct_answers(answers.values(), min(self.config.group_size, *map(len, answers.values())))

    def _influence(self, lm: LM, rows: Sequence[SampleRow], parameters: Sequence[Tensor]) -> InfluenceResult | None:
        """Influence from the first group of every problem, which is drawn whatever its outcome."""
        if not parameters:
            return None
        if not supports(lm.model):
            note(f"influence: {lm.source} is not of the Llama family; its groups are taken one by one, which is slower")
        drawn: dict[str, list[SampleRow]] = {problem.id: [] for problem in self.problems}
        for row in rows:
            if row["wave"] == 0 and row["sample_id"] < self.config.group_size:
                drawn[row["problem_id"]].append(row)
        groups = [
            Rollouts.of(
                lm.prompt_ids(problem.prompt, problem.system, think=lm.thinks),
                [(row["tokens"], np.array(row["mask"], dtype=np.uint8)) for row in drawn[problem.id]],
                [row["correct"] for row in drawn[problem.id]],
            )
            for problem in self.problems
        ]
        config = self.config
        found = influence(
            lm.model, groups, parameters, temperature=config.temperature, rank=config.influence_rank, seed=config.seed
        )
        return InfluenceResult(
            **dict(found.estimates()),
            problems=len(groups),
            all_right=sum(bool(group.correct.all()) for group in groups),
            all_wrong=sum(not group.correct.any() for group in groups),
            parameters=sum(p.numel() for p in parameters),
            error=found.error,
        )


def growing(problems: int, samples: int, batch_size: int, threads: int) -> Iterator[slice]:
    """Cut problems of so many samples into parts: a small one first, for early results, then up to full batches."""
    at, rows = 0, FIRST_ROWS
    while at < problems:
        size = max(1, min(rows, batch_size) * threads // samples)
        yield slice(at, at + size)
        at, rows = at + size, rows * GROWTH


def _strayed(source: str) -> str:
    """What to say of a checkpoint that is not the one which the run in whose folder it is has saved; else ""."""
    folder = local_folder(source)
    run = from_rank0(lambda: str(replaced(folder) or "") if folder else "")
    if not run:
        return ""
    return (
        f"{run} has saved something else under this name: is it renamed, or replaced? It is not taken for a checkpoint "
        "of that run, nor for one of this step"
    )
