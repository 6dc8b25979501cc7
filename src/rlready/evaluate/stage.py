"""``rlready evaluate``: accuracy against thinking budget, for any checkpoints, on the same problems.

Every model is also measured unconstrained: its usual prompt and stop, no budget, no contrastive decoding.  Forcing
makes many models look worse than they are, so the results always include this baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlready.core.config import EvaluateConfig
from rlready.core.config.format import format_of
from rlready.core.errors import UserError
from rlready.core.messages import note, warn
from rlready.core.result import with_warning
from rlready.core.sampling_progress import SamplingProgress, say_most
from rlready.credit.reference import equal
from rlready.engine.contrastive import Contrast
from rlready.engine.factory import note_engine
from rlready.engine.precheck import check_sampling
from rlready.evaluate.draw import drawer_for
from rlready.evaluate.measure import ModelMeasurements, measure
from rlready.evaluate.result import EvaluateResult
from rlready.evaluate.settings import Settings, settings_of
from rlready.evaluate.summary import summary
from rlready.models.checkpoint import load
from rlready.models.hub import local_folder, refuse_twice
from rlready.models.lm import LM
from rlready.models.ordinary_stops import warn_of_ordinary_stops
from rlready.models.preset import resolve
from rlready.runs.drawn import DrawnSamples
from rlready.runs.files import remove, write_json
from rlready.runs.log import EXAMPLES, append_line
from rlready.runs.run import STATE, Run
from rlready.runs.seen import seen_at
from rlready.tasks import open_task
from rlready.tasks.contamination import DataSet
from rlready.tasks.overlap import warn_of_repeats
from rlready.tasks.trained_prompts import warn_of_trained


def evaluate(config: EvaluateConfig, out: Path) -> EvaluateResult:
    """Every model under every setting, with paired differences to the first model and to the main settings.

    Raises UserError for settings that contradict each other, and if a template cannot honour a budget.
    """
    with Run(out, "evaluate", config) as run:
        if run.finished:
            return run.stored(EvaluateResult)
        refuse_twice(config.models)
        given = bool(config.thinking_budgets)
        config = resolve(config, config.models, run)
        thinks = check_sampling(config, config.models)
        _warn_of_unused(config, given=given, thinks=thinks)
        settings = settings_of(config, thinks=thinks)
        contrast = _contrast(config)
        task = open_task(config.problems)
        problems = task.problems()
        run.note_data(
            id=task.source, path=task.path, seen=task.seen, licence=task.licence, size=len(problems), role="test"
        )
        repeats = warn_of_repeats(run, "problems", problems)
        trained = warn_of_trained(run, "problems", DataSet(task.source, task, problems), config.models)
        if contrast:
            run.note_model(id=config.reference, path=local_folder(config.reference), role="decoded away from")
        run.claim()
        _note_cost(run, config, settings)
        measured = []
        samples = len(problems) * config.samples * len(settings.all)  # of each model
        total, each = samples * len(config.models), settings.mean_limit
        limit = "thinking_budgets=" if settings.budgeted else "max_answer_tokens="
        say_most("evaluate", total, each, f"samples=, problems=...?n=, {limit} and max_response_tokens=")
        with SamplingProgress("evaluate", total, each) as bar:
            for number, source in enumerate(config.models):
                part = out / "parts" / f"{number}.json"
                if not part.exists():  # a part is one model, kept if the run is killed later
                    lm = _load(run, config, source)
                    if contrast and equal(lm, contrast.reference):
                        raise UserError(f"reference={config.reference} equals {source}: nothing to decode away from")
                    drawer = drawer_for(config, settings, lm, task, problems, contrast)
                    kept = DrawnSamples(run, number)
                    bar.skip(len(kept.rows))
                    with drawer.plain, drawer.engine, kept:
                        table = out / "parts" / f"{number}.parquet"
                        with run.writing(table):
                            measured_model = measure(drawer, problems, kept, table)
                    with run.writing(part):
                        write_json(part, measured_model)
                    run.forget(out / STATE)
                    remove(out / STATE)
                else:
                    bar.skip(samples)
                run.refuse_changed(part, "delete it to measure the model again")
                measured.append(ModelMeasurements.from_file(part))
        remove(out / EXAMPLES)
        for model in measured:
            for example in model.examples:
                append_line(out / EXAMPLES, example)
        result = with_warning(
            summary(config, settings, task, problems, measured),
            "; ".join(filter(None, [repeats, trained, *_doubts(run, measured)])),
        )
        run.write_result(result)
        return result


def _warn_of_unused(config: EvaluateConfig, *, given: bool, thinks: bool) -> None:
    """Warn of budgets that measure nothing; ``given``: they were set."""
    if given and config.unconstrained:
        warn(
            "evaluate: warning: thinking_budgets does not apply to unconstrained=true, which measures no budget; "
            "set max_response_tokens to limit the responses"
        )
    elif config.thinking_budgets and not thinks and not config.unconstrained:
        warn(
            "evaluate: warning: thinking_budgets does not apply, as no model thinks: "
            f"max_answer_tokens={config.max_answer_tokens} limits the whole response"
        )


def _load(run: Run, config: EvaluateConfig, source: str) -> LM:
    folder = local_folder(source)
    seen, lm = seen_at(folder), load(source, device=config.device, dtype=config.dtype, **format_of(config))
    note(f"evaluate: {lm.chat}")
    run.note_model(id=source, path=folder, role="evaluated", chat=lm.chat.describe(), seen=seen)
    warn_of_ordinary_stops(run, lm)
    return lm


def _doubts(run: Run, measured: Sequence[ModelMeasurements]) -> list[str]:
    """Warn of models whose samples are not what they should be; returns what is said."""
    found = [f"{model.model}: {model.doubt}" for model in measured if model.doubt]
    for doubt in found:
        run.warn(doubt)
    return found


def _contrast(config: EvaluateConfig) -> Contrast | None:
    if not config.reference:
        return None
    return Contrast(load(config.reference, device=config.device, dtype=config.dtype), 1 / config.beta)


def _note_cost(run: Run, config: EvaluateConfig, settings: Settings) -> None:
    """Say what a sample of the progress bar stands for, what unconstrained responses may cost, and what the engine does
    not promise."""
    note_engine(config.engine, run)
    names = ", ".join(setting.name for setting in settings.all)
    note(f"evaluate: {config.samples} samples of each problem, each under {len(settings.all)} settings: {names}")
    if settings.unconstrained and not config.unconstrained:
        most = settings.unconstrained.budget.max_answer_tokens
        note(
            f"evaluate: unconstrained responses may have up to {most:,} tokens, which takes time; max_response_tokens "
            "sets another limit"
        )
