"""The command line, read by typer from the configurations: every setting is an option with its description as help.

Settings are texts here; `core.options` gives them their types.  ``--learning-rate X``, ``--learning_rate X``,
``--learning-rate=X`` and ``learning_rate=X`` are the same.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from rlready.core import config
from rlready.core.errors import UserError
from rlready.core.explain import nearest, plain_type, type_name
from rlready.core.options import COMMAND_LINE, shown_default
from rlready.core.settings import Config


@dataclass(frozen=True)
class Verb:
    """A verb of the command line; ``about`` is its help.

    ``positional`` is the setting that arguments without ``=`` give a value, or what they are if the verb has no
    configuration; ``many``: whether there may be several.  ``flags`` are switches of this verb, each with its help and
    the configuration whose settings it takes.
    """

    about: str
    config: type[Config] | None = None
    positional: str = ""
    many: bool = True
    flags: Mapping[str, tuple[str, type[Config] | None]] = field(default_factory=dict)

    @property
    def configs(self) -> dict[str, type[Config]]:
        """Every configuration whose settings are options, by the title of its part of the help."""
        settings = {SETTINGS: self.config} if self.config else {}
        return settings | {f"With --{flag}": cls for flag, (_, cls) in self.flags.items() if cls}


@dataclass(frozen=True)
class Typed:
    """One command as it was typed: positional arguments, settings as text, and the switches that are on."""

    verb: str
    arguments: list[str]
    settings: dict[str, str]
    switches: frozenset[str]
    out: str | None
    config: str | None


def verb_of(cls: type[Config], positional: str = "", *, many: bool = True) -> Verb:
    """The verb of a configuration, whose documentation is its help."""
    return Verb((cls.__doc__ or "").partition("\n")[0], cls, positional, many)


VERBS = {
    "demo": verb_of(config.DemoConfig),
    "inject": verb_of(config.InjectConfig, "rows", many=False),
    "sft": verb_of(config.SFTConfig),
    "rl": verb_of(config.RLConfig),
    "evaluate": verb_of(config.EvaluateConfig, "models"),
    "readiness": verb_of(config.ReadinessConfig, "checkpoints"),
    "predict": verb_of(config.PredictConfig, "runs"),
    "sweep": verb_of(config.SweepConfig, "file", many=False),
    "show": Verb(
        "Show run folders as tables, or one of the views --diff, --credit and --template.",
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
    ),
    "report": Verb("Write the report of a run folder, one self-contained HTML page.", positional="run", many=False),
    "schema": Verb(
        "Print the JSON schema of a configuration or a result, such as rl, RLConfig or RLResult.",
        positional="name",
        many=False,
    ),
}
COMPLETION = "_RLREADY_COMPLETE"  # set by the shell's completion of typer
SETTINGS = "Settings"  # the part of the help for the configuration of the verb
SWITCHES = {"json": "Print the result as JSON instead of tables.", "quiet": "Print no progress, only warnings."}
RUN_SWITCHES = {  # of verbs that write a run folder
    "resume": "Continue the newest unfinished run of this command that has these settings.",
    "overwrite": "Replace the run in --out; a folder that is not a run folder is never replaced.",
}


def parse_command_line(argv: Sequence[str], prog: str = "rlready") -> Typed | int:
    """The command, or the exit code after help, the version or completions have been printed.

    Raises UserError, in one line, for a command that is not understood.
    """
    name = argv[0] if argv else ""
    if name and not name.startswith("-") and name not in VERBS:
        raise UserError(f"unknown verb {name!r}; {nearest(name, VERBS)}")
    words, settings = _settings_in(name, argv)
    try:
        read = _app(name)(args=words, prog_name=prog, standalone_mode=False)
    except typer.TyperException as error:
        if not argv:  # it is the help
            print(error)
            return 2
        raise UserError(_one_line(name, error)) from None
    if not isinstance(read, Typed):
        return int(read or 0)
    twice = next((key for key in settings if key in read.settings), "")
    if twice:
        raise UserError(f"{COMMAND_LINE}: {twice} is given twice")
    read.settings.update(settings)
    return read


def _settings_in(name: str, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments with ``--like_this`` as ``--like-this``, and the settings that were typed as ``key=value``.

    An argument is ``key=value`` if an identifier stands before its first ``=``, unless it is an existing path, such as
    learning_rate=1e-5/checkpoint-10.  What follows ``--`` stays as it is.
    """
    configs = VERBS[name].configs.values() if name in VERBS else ()
    fields = {key: plain_type(f.annotation) for cls in configs for key, f in cls.model_fields.items()}
    words: list[str] = []
    settings: dict[str, str] = {}
    value_next = False
    for at, word in enumerate(argv):
        key, equals, value = word.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        if word == "--":
            return [*words, *argv[at:]], settings
        if value_next and word.startswith("--"):
            raise UserError(f"{words[-1]} needs a value: {words[-1]} VALUE")
        if value_next:
            words.append(word)
            value_next = False
        elif word.startswith("--") and equals and fields.get(key) is bool:
            settings[key] = value
        elif word.startswith("--"):
            words.append(f"--{key.replace('_', '-')}{equals}{value}")
            value_next = not equals and (key in ("out", "config") or fields.get(key, bool) is not bool)
        elif equals and key.isidentifier() and not _is_path(word):
            settings[key] = value
        else:
            words.append(word)
    if value_next:
        raise UserError(f"{words[-1]} needs a value: {words[-1]} VALUE")
    return words, settings


def _is_path(word: str) -> bool:
    """Whether an argument is an existing path; without a separator, as ``seed=0``, only if it holds a model."""
    return os.path.exists(word if os.sep in word else os.path.join(word, "config.json"))


def _one_line(name: str, error: typer.TyperException) -> str:
    """The error of typer in one line, with the nearest known option."""
    option = getattr(error, "option_name", None)
    if not option or not option.startswith("--"):
        return f"{' '.join(error.format_message().split())}; see rlready {name} --help"
    known = [f"--{key.replace('_', '-')}" for cls in VERBS[name].configs.values() for key in cls.model_fields]
    return f"{COMMAND_LINE}: unknown option {option}; {nearest(option, known)}"


def _app(name: str) -> typer.Typer:
    """All verbs; only ``name`` gets its options, but for shell completion all do."""
    app = typer.Typer(
        help="Take a language model from SFT to RL with verifiable rewards, and know which checkpoint to start from.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 118},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain columns hold long names at any width, and take half the time
    )
    app.callback()(_program)
    for each, verb in VERBS.items():
        app.command(each, help=verb.about)(_command(each, verb, whole=each == name or COMPLETION in os.environ))
    return app


def _program(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        import rlready

        print(rlready.__version__)
        raise typer.Exit


def _command(name: str, verb: Verb, *, whole: bool) -> Callable[..., Typed]:
    """A function whose signature typer makes into a command; it returns what was typed."""

    def command(**read: Any) -> Typed:
        places, out, file = read.pop("words") or [], read.pop("out", None), read.pop("config", None)
        switches = frozenset(key for key in (*SWITCHES, *RUN_SWITCHES, *verb.flags) if read.pop(key, False))
        settings = {k: str(v).lower() if isinstance(v, bool) else v for k, v in read.items() if v is not None}
        return Typed(name, places, settings, switches, out, file)

    parameters = list(_parameters(name, verb)) if whole else []
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameters(name: str, verb: Verb) -> Iterator[inspect.Parameter]:
    what = "Settings may also be given as key=value." if verb.config else ""
    what = f"The same as --{verb.positional}. {what}" if verb.config and verb.positional else what
    argument = typer.Argument(metavar=verb.positional.upper() or "KEY=VALUE", help=what or None, show_default=False)
    yield _parameter("words", Annotated[list[str] | None, argument])
    for flag, (text, _) in verb.flags.items():
        yield _flag(flag, text, "Views")
    for title, cls in verb.configs.items():
        for key, field_ in cls.model_fields.items():
            dashed, text = f"--{key.replace('_', '-')}", _help_of(field_.description or "", field_.default)
            text = text if title == SETTINGS else f"{title}: {text[0].lower()}{text[1:]}"
            if plain_type(field_.annotation) is bool:
                yield _flag(key, text, title, f"{dashed}/--no-{dashed[2:]}")
                continue
            kind = type_name(field_.annotation)
            yield _parameter(
                key, Annotated[str | None, typer.Option(dashed, metavar=kind, help=text, rich_help_panel=title)]
            )
    if verb.config or "credit" in verb.flags:
        text = f"Run folder; a run that was stopped there continues. By default a new one, such as runs/{name}-2."
        text = text if verb.config else "With --credit: folder in which the view is also written as a page."
        yield _parameter("out", Annotated[str | None, typer.Option("--out", metavar="DIR", help=text)])
    if verb.config:
        text = "TOML file with settings; the command line takes precedence."
        yield _parameter("config", Annotated[str | None, typer.Option("--config", metavar="FILE", help=text)])
    for switch, text in (RUN_SWITCHES | SWITCHES if verb.config else SWITCHES).items():
        yield _flag(switch, text, "Options", *(("-q",) if switch == "quiet" else ()))


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _flag(name: str, text: str, panel: str, *names: str) -> inspect.Parameter:
    option = typer.Option(*(names or ()), help=text, rich_help_panel=panel, show_default=False)
    if not names or names == ("-q",):
        option = typer.Option(f"--{name}", *names, help=text, rich_help_panel=panel, show_default=False)
    return _parameter(name, Annotated[bool | None, option])


def _help_of(text: str, default: object) -> str:
    """The description of a setting, followed by its default."""
    shown = shown_default(default)
    return f"{text} Default: {shown}." if shown else text
