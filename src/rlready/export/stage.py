"""``rlready export``: a run of ``rlready rl`` as the problems, the reward and the settings of another trainer.

The folder can be moved to the machine that trains; it needs rlready there for its verifier, and the model, which is
named and not copied (but for the embedded one).  What the other tool does not have is printed, recorded and in the
README: a run without it is another run.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.core.config import ExportConfig, RLConfig, Tool
from rlready.core.config.format import format_of
from rlready.core.errors import UserError
from rlready.core.options import to_toml
from rlready.core.records import Problem
from rlready.export import prime_rl, trl, verl
from rlready.export.manifest import (
    IN_EXPORT,
    MANIFEST,
    README,
    SETTINGS,
    TOKENIZER,
    Manifest,
    Split,
    digest_of,
    makers,
)
from rlready.export.problems import Asked, Content, asked_problems, longest_prompt
from rlready.export.readme import START, Trainer, readme
from rlready.export.result import ExportResult
from rlready.export.settings import THERE, ElsewhereConfig, settings_file, settings_of
from rlready.export.translation import Translation, refuse_blind, refuse_untranslatable
from rlready.export.travel import copy_task, travelling
from rlready.models.checkpoint import load_without_weights
from rlready.models.hub import local_folder
from rlready.models.lm import LM
from rlready.models.preset import preset_values
from rlready.runs.content import ADAPTER
from rlready.runs.files import copy, write_folder, write_json, write_table, write_text
from rlready.runs.run import Run
from rlready.tasks import Task
from rlready.tasks.trained_prompts import VALIDATION
from rlready.train.data import Data, problems_of

AGAIN = "to make it again, add --overwrite"


@dataclass(frozen=True)
class Writer:
    """How a tool gets a run: its settings, its files by name, and what the README says of the tool.

    ``blind``: it gives the reward one text at a time, without special tokens.
    """

    translate: Callable[[Translation, LM], None]
    files: Callable[[Translation, str, LM, Sequence[Asked]], Mapping[str, Content]]
    trainer: Callable[[RLConfig], Trainer]
    blind: bool = False


WRITERS: dict[Tool, Writer] = {
    "trl": Writer(trl.translate, trl.files, trl.trainer),
    "verl": Writer(verl.translate, verl.files, verl.trainer, blind=True),
    "prime-rl": Writer(prime_rl.translate, prime_rl.files, prime_rl.trainer, blind=True),
}


def export(config: ExportConfig | ElsewhereConfig, out: Path) -> ExportResult:
    """Write the export into the folder ``out``.

    UserError for settings that train something else in any other tool, and for a task whose verifier cannot travel.
    """
    if isinstance(config, ExportConfig) and not config.run:
        raise UserError("name the settings of a run: rlready export rl.toml, or the folder of a run of rlready rl")
    refuse_place(out)
    with Run(out, "export", config) as run:
        if run.finished:
            _refuse_damaged(run)
            return run.stored(ExportResult)
        settings = _settings(config, run)
        refuse_untranslatable(settings, config.to)
        lm, model = _model(settings, run)
        _refuse_if_blind(settings, config.to, lm)
        data = problems_of(settings, run)
        asked = asked_problems(settings, lm, "train", data.training)
        asked += asked_problems(settings, lm, "validation", data.held)
        sources: dict[Split, str] = {"train": settings.problems, "validation": settings.validation or settings.problems}
        manifest = _manifest(
            settings, lm, data, {split: travelling(run, split, text) for split, text in sources.items()}
        )
        writer = WRITERS[config.to]
        translation = Translation(config.to, settings, longest_prompt(lm, asked))
        writer.translate(translation, lm)
        files = dict(writer.files(translation, model, lm, asked))
        run.claim()
        run.note_output_licence(VALIDATION)
        for split, text in sources.items():
            copy_task(run, split, text)
        _copy_model(run, lm, model)
        with run.writing(out / MANIFEST):
            write_json(out / MANIFEST, manifest)
        files[SETTINGS] = to_toml(settings)
        files[README] = readme(writer.trainer(settings), translation, model, out, run.record, list(files))
        for name, content in files.items():
            with run.writing(out / name):
                if isinstance(content, str):
                    write_text(out / name, content)
                else:
                    write_table(out / name, content)
        result = ExportResult(
            headline=f"{len(data.training)} problems and the settings of a run of rl, for {config.to}.",
            notes=[f"Not in {config.to}: {each.setting}={each.value}; {each.why}." for each in translation.lacking],
            next_command=f"cd {shlex.quote(str(out))} && {START}",
            tool=config.to,
            model=settings.model,
            command=START,
            training_problems=len(data.training),
            validation_problems=len(data.held),
            files=[*files, MANIFEST],
            translated=translation.translated,
            untranslated=translation.lacking,
        )
        run.write_result(result)
        return result


def refuse_place(out: Path) -> None:
    """UserError for a folder whose path could not stand in the source of a task."""
    if set("?&") & set(str(out.resolve())):
        raise UserError(f"--out {out}: ? and & have a meaning in the sources of problems; choose another folder")


def refuse_in_advance(settings: RLConfig, tool: Tool) -> None:
    """UserError for what `export` refuses whatever the weights are; ``settings.model`` may be one that SFT starts from,
    whose tokenizer later checkpoints have."""
    refuse_untranslatable(settings, tool)
    if WRITERS[tool].blind:
        _refuse_if_blind(settings, tool, load_without_weights(settings.model, **format_of(settings)))


def _refuse_if_blind(settings: RLConfig, tool: Tool, lm: LM) -> None:
    if WRITERS[tool].blind:
        refuse_blind(settings, lm, tool)


def _settings(config: ExportConfig | ElsewhereConfig, run: Run) -> RLConfig:
    """The settings of the run that is handed over, presets included."""
    if isinstance(config, ElsewhereConfig):
        return run.resolve(config, preset_values("rl", config, [config.model], leave=THERE)).rl
    run.note_data(id=config.run, role="settings", path=settings_file(config.run))
    return settings_of(config.run)


def _refuse_damaged(run: Run) -> None:
    """UserError for a file of a finished export that was changed or deleted."""
    for name in run.record.files:
        if not (run.out / name).is_file():
            raise UserError(f"{run.out / name}: deleted since the run has ended: {AGAIN}")
        run.refuse_changed(run.out / name, AGAIN)


def _model(settings: RLConfig, run: Run) -> tuple[LM, str]:
    """The model without its weights, and how the tool finds it; UserError for an adapter."""
    folder = local_folder(settings.model)
    if folder and (folder / ADAPTER).exists():
        raise UserError(
            f"{settings.model}: a LoRA adapter; merge it into its base and save that, which other tools load"
        )
    lm = load_without_weights(settings.model, **format_of(settings))
    run.note_model(id=settings.model, path=folder, role="start", chat=lm.chat.describe())
    if settings.model == "embedded":
        return lm, IN_EXPORT
    if folder and run.record.part_of and folder.resolve().is_relative_to(run.out.resolve().parents[1]):
        return lm, os.path.relpath(folder.resolve(), run.out.resolve())  # the sweep's folder may be moved as a whole
    return lm, str(folder.resolve()) if folder else settings.model


def _copy_model(run: Run, lm: LM, model: str) -> None:
    """Save the tokenizer, with what its folder needs to be read, and the embedded model."""

    def save(folder: Path) -> None:
        lm.tokenizer.save_pretrained(str(folder))
        lm.model.config.save_pretrained(str(folder))

    with run.writing(run.out / TOKENIZER):
        write_folder(run.out / TOKENIZER, save)
    if model == IN_EXPORT and (folder := local_folder("embedded")):
        with run.writing(run.out / model):
            copy(folder, run.out / model)


def _manifest(settings: RLConfig, lm: LM, data: Data[Problem], sources: dict[Split, str]) -> Manifest:
    tasks: dict[Split, Task] = {"train": data.task, "validation": data.held_task}
    return Manifest(
        sources=sources,
        problems={split: digest_of(task.problems()) for split, task in tasks.items()},
        makers=makers(),
        thinks=lm.thinks,
        opener=lm.open,
        closer=lm.close,
        stops=lm.stop_texts,
        ending=lm.chat.end_text,
        reward=settings.reward,
        reward_coef=settings.reward_coef,
        group_size=settings.group_size,
        eval_samples=settings.eval_samples,
        answer_prefix=settings.answer_prefix,
        opened=lm.chat.opened,
    )
