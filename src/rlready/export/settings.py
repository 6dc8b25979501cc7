"""The settings of the run that is handed over: from a TOML file, from the folder of a run of ``rlready rl``, or from a
sweep."""

from __future__ import annotations

from pathlib import Path

from rlready.core.config import RLConfig, Tool
from rlready.core.errors import UserError
from rlready.core.missing import did_you_mean
from rlready.core.options import fill_config
from rlready.core.settings import option
from rlready.models.preset import preset_values
from rlready.runs.files import plain
from rlready.runs.record import CONFIG, RECORD, RunRecord, is_edited

THERE = ("device", "dtype")  # what the machine decides on which the other tool runs


class ElsewhereConfig(RLConfig):
    """A run of RL that a sweep hands over: the settings of ``rlready rl``, and the tool that trains."""

    to: Tool = option("trl", "Tool that trains: trl, verl or prime-rl.")

    @property
    def rl(self) -> RLConfig:
        """The settings alone."""
        return RLConfig(**{name: getattr(self, name) for name in RLConfig.model_fields})

    def extendable(self) -> tuple[str, ...]:
        return ()


def settings_file(run: str) -> Path:
    """The TOML file that ``run`` names: itself, or that of a run folder; UserError if there is none."""
    path = Path(run)
    if not path.exists():
        raise UserError(
            f"{run}: no such file or folder; name a TOML file with settings of rlready rl, or the folder of its run"
            f"{did_you_mean(run)}"
        )
    if not path.is_dir():
        return path
    if not (path / RECORD).is_file() or RunRecord.load(path).verb != "rl":
        raise UserError(f"{run}: not the folder of a run of rlready rl; name one, or a TOML file with its settings")
    return path / CONFIG


def settings_of(run: str) -> RLConfig:
    """The settings with their presets; the model and the data of a run folder are looked for where the run found them.

    UserError for a file that does not hold settings of ``rlready rl``.
    """
    config = fill_config(RLConfig, settings_file(run), {}).value
    if Path(run).is_dir():
        record = RunRecord.load(Path(run))
        if is_edited(Path(run)):
            raise UserError(
                f"{Path(run) / RECORD}: edited by hand, as its checksum says, so that nothing says with which settings "
                f"the run was made: restore it, or name a copy of {CONFIG}, which is exported as it is"
            )
        _refuse_edited(config, record, Path(run))
        config = _located(config, record, Path(run))
    return config.replace(**preset_values("rl", config, [config.model], leave=THERE))


def _refuse_edited(config: RLConfig, record: RunRecord, folder: Path) -> None:
    """UserError for settings in a run folder that are not those of the run."""
    if unlike := record.differences(config):
        was, now = record.config.get(unlike[0]), plain(config).get(unlike[0])
        raise UserError(
            f"{folder / CONFIG}: {unlike[0]} = {now!r}, but the run had {was!r}: the file was edited; restore it, or "
            "name a copy of it, which is exported as it is"
        )


def _located(config: RLConfig, record: RunRecord, folder: Path) -> RLConfig:
    changes = {}
    for name in ("model", "problems", "validation"):
        text = getattr(config, name) or ""
        head = text.partition("?")[0]
        path = head.removeprefix("rows:").removeprefix("gsm8k:")
        named = path and path not in ("embedded", "dagmath") and not path.startswith(("gym:", "verifiers:"))
        # a folder of the record could be named like options, of which a verifier is code
        if named and (found := record.located(folder, path)).exists() and "?" not in str(found):
            changes[name] = head.removesuffix(path) + str(found) + text[len(head) :]
    return config.replace(**changes)
