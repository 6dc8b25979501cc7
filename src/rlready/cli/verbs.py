"""The verbs of the command line, and the switches that they have besides their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rlready.core import config
from rlready.core.settings import Config

SETTINGS = "Settings"  # the part of the help for the configuration of the verb
SWITCHES = {
    "json": "Print the result as JSON instead of tables.",
    "quiet": "Print no progress, only warnings.",
    "wide": "Print all columns of the tables.",
}
MODEL_SWITCHES = {  # of verbs that load models
    "allow_pickle": "Read weights in pickles, which can run code when they are read: only if you trust who made them.",
}
RUN_SWITCHES = {  # of verbs that write a run folder
    "resume": "Continue the newest unfinished run of this command that has these settings.",
    "overwrite": "Replace the run in --out; a folder that is not a run folder is never replaced.",
    "trust_code": "Run the code that the TOML file names: a verifier, task, loss or algorithm of yours.",
}


@dataclass(frozen=True)
class Verb:
    """A verb of the command line; ``about`` is its help.

    ``positional`` is the setting that arguments without ``=`` give a value, or what they are if the verb has no
    configuration; ``many``: whether there may be several.  ``flags`` are switches of this verb, each with its help and
    the configuration whose settings it takes.  ``out``: what --out is, of a verb that writes no run folder.
    """

    about: str
    config: type[Config] | None = None
    positional: str = ""
    many: bool = True
    flags: Mapping[str, tuple[str, type[Config] | None]] = field(default_factory=dict)
    out: str = ""

    @property
    def runs(self) -> bool:
        """Whether the verb writes a run folder."""
        return self.config is not None and not self.out

    @property
    def configs(self) -> dict[str, type[Config]]:
        """Every configuration whose settings are options, by the title of its part of the help."""
        settings = {SETTINGS: self.config} if self.config else {}
        return settings | {f"With --{flag}": cls for flag, (_, cls) in self.flags.items() if cls}


def verb_of(cls: type[Config], positional: str = "", *, many: bool = True) -> Verb:
    """The verb of a configuration, whose documentation is its help."""
    return Verb((cls.__doc__ or "").partition("\n")[0], cls, positional, many)


VERBS = {
    "demo": verb_of(config.DemoConfig),
    "inject": verb_of(config.InjectConfig, "rows", many=False),
    "sft": verb_of(config.SFTConfig, "model", many=False),
    "rl": verb_of(config.RLConfig, "model", many=False),
    "evaluate": verb_of(config.EvaluateConfig, "models"),
    "readiness": verb_of(config.ReadinessConfig, "checkpoints"),
    "predict": verb_of(config.PredictConfig, "runs"),
    "sweep": verb_of(config.SweepConfig, "file", many=False),
    "export": verb_of(config.ExportConfig, "run", many=False),
    "import": replace(
        verb_of(config.ImportConfig, "export", many=False),
        out="Table of outcomes (JSON lines). By default outcomes.jsonl beside the export.",
    ),
    "doctor": verb_of(config.DoctorConfig, "model", many=False),
    "checklist": replace(
        verb_of(config.ChecklistConfig, "runs"), out="File in which the form is written. By default it is printed."
    ),
    "show": Verb(
        "Show run folders as tables. Or one of the views --diff, --credit and --template.",
        positional="runs",
        flags={
            "diff": ("RUN [ID...]: worked examples before and after inject; by default the first that changed.", None),
            "credit": (
                "SFT_RUN TEXT|SAMPLES...: the dense reward of every token of texts or samples.",
                config.CreditConfig,
            ),
            "template": (
                "CHECKPOINT: how its chat template is interpreted, and which tokens are in the loss.",
                config.TemplateConfig,
            ),
        },
        out="With --credit: folder in which the view is also written as a page.",
    ),
    "watch": Verb("Watch runs while they run. Progress, curves and alerts.", positional="runs"),
    "report": Verb("Write the HTML page of a run, or of several, compared.", positional="runs"),
    "schema": Verb(
        "Print the JSON schema of a configuration or a result. NAME is such as rl, RLConfig or RLResult.",
        positional="name",
        many=False,
    ),
}
