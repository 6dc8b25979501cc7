"""The README of an export: how to install what it needs, start it and bring its outcome back, and what is different.

It is also the card of the problems, in the Hugging Face format, with the licences of what the export was made from.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import rlready
from rlready.core.text import as_code, in_one_line
from rlready.export.manifest import LAUNCHER
from rlready.export.problems import SPLITS
from rlready.export.translation import Translation
from rlready.runs.model_card import head_of, hub_sets, inputs_section
from rlready.runs.record import RunRecord
from rlready.tasks.files import TABLES
from rlready.tasks.source import parse_source

START = f"sh {LAUNCHER}"
TEXT = """{head}
# RL by {tool} with the settings of a run of `rlready rl`

    {install}
    {pip} install {rlready}
    {start}

Training starts from {model}{elsewhere} and writes `outputs/`.{note}
`/path/to/rlready` is a clone of rlready {version}, whose verifier is the reward (`{reward}`).
Then, where this was exported (if you trained elsewhere, copy `outputs/` back first),

{back}

Not in {tool}:

{lacking}

{inputs}"""

BACK = """    rlready import {folder}

adds the outcome to a table for `rlready predict`."""
READ_BY_SWEEP = "the command of the sweep, of which this is a part, reads the outcome from `outputs/`."


@dataclass(frozen=True)
class Trainer:
    """What the README says of a tool: its name with the version, and a command that installs it.

    ``settings`` is the file that names the model, ``reward`` that of the reward, ``note`` a sentence about its machine,
    and ``pip`` what installs packages into its environment.
    """

    name: str
    install: str
    settings: str
    reward: str = "reward.py"
    note: str = ""
    pip: str = "pip"


def readme(
    trainer: Trainer, translation: Translation, model: str, out: Path, record: RunRecord, files: Iterable[str]
) -> str:
    """The text, for an export into the folder ``out``, whose ``files`` are among others the tables of the problems.

    ``model`` is the model as the tool finds it.
    """
    config = translation.config
    kinds = {parse_source(text).kind for text in (config.problems, config.validation) if text}
    extras = ",".join(sorted(kinds & {"gym", "verifiers"}))
    back = READ_BY_SWEEP if record.part_of else BACK
    lacking = [f"- {as_code(f'{each.setting}={each.value}')}: {in_one_line(each.why)}" for each in translation.lacking]
    return TEXT.format(
        head=_head(record, files),
        inputs=inputs_section(record),
        tool=trainer.name,
        install=trainer.install,
        pip=trainer.pip,
        rlready=f"'/path/to/rlready[{extras}]'" if extras else "/path/to/rlready",
        start=START,
        model=as_code(model),
        elsewhere=f" (if you move this, change it in `{trainer.settings}`)" if Path(model).is_absolute() else "",
        note=trainer.note and f" {trainer.note}",
        version=rlready.__version__,
        reward=trainer.reward,
        back=back.format(folder=shlex.quote(in_one_line(str(out)))),
        lacking="\n".join(lacking) or "- nothing",
    )


def _head(record: RunRecord, files: Iterable[str]) -> str:
    from huggingface_hub import DatasetCardData

    tables = {Path(name).stem: name for name in files if name.endswith(TABLES)}
    splits = [{"split": split, "path": tables[split]} for split in SPLITS]
    return head_of(
        DatasetCardData(
            source_datasets=hub_sets(record),
            task_categories=["text-generation"],
            configs=[{"config_name": "default", "data_files": splits}],
            tags=["rlready", record.verb],
        ),
        record,
    )
