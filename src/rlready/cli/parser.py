"""The command line, read by typer from the configurations: every setting is an option with its description as help.

Settings are texts here; `core.options` gives them their types.  ``--learning-rate X``, ``--learning_rate X``,
``--learning-rate=X`` and ``learning_rate=X`` are the same.
"""

from __future__ import annotations

import inspect
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from rlready.cli.verbs import MODEL_SWITCHES, RUN_SWITCHES, SETTINGS, SWITCHES, VERBS, Verb
from rlready.core.errors import UserError
from rlready.core.explain import nearest, plain_type, similar, type_name
from rlready.core.options import COMMAND_LINE, shown_default
from rlready.core.verbs import WITHOUT_FOLDER

PROGRAM = ("--version", "--help", "--install-completion", "--show-completion")  # options without a verb
BOOLEANS = ("true", "false", "yes", "no", "on", "off", "1", "0")
COMPLETION = "_RLREADY_COMPLETE"  # set by the shell's completion of typer
HOLDS = ("config.json", "adapter_config.json", "record.json")  # in the folder of a model or of a run


@dataclass(frozen=True)
class Typed:
    """One command as it was typed: positional arguments, settings as text, and the switches that are on."""

    verb: str
    arguments: list[str]
    settings: dict[str, str]
    switches: frozenset[str]
    out: str | None
    config: str | None


def parse_command_line(argv: Sequence[str], prog: str = "rlready") -> Typed | int:
    """The command, or the exit code after help, the version or completions have been printed.

    Raises UserError, in one line, for a command that is not understood.
    """
    strange = next((word for word in argv if any("\ud800" <= c <= "\udfff" for c in word)), None)
    if strange is not None:  # bytes that are not UTF-8; a record could not hold them
        raise UserError(f"{COMMAND_LINE}: {strange!a} is not UTF-8 text; rename the file or folder")
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    name = argv[0] if argv else ""
    if name.startswith("--") and name not in PROGRAM:
        hint = similar(name, PROGRAM)
        raise UserError(
            f"unknown option {name}; {f'{hint} Options' if hint else 'options'} of a command follow the command: "
            "rlready COMMAND --help"
        )
    if name and not name.startswith("-") and name not in VERBS:
        raise UserError(f"unknown command {name!r} (rlready --help lists all); {nearest(name, VERBS)}")
    words, settings = _settings_in(name, argv)
    if name in VERBS and not VERBS[name].many:
        _refuse_a_second(VERBS[name].positional, words[1:])
    try:
        read = _app(name)(args=words, prog_name=prog, standalone_mode=False)
    except typer.TyperException as error:
        if not argv:  # it is the help
            print(error)
            return 2
        raise UserError(_one_line(name, error)) from None
    if not isinstance(read, Typed):
        return int(read or 0)
    empty = next((option for option in ("out", "config") if getattr(read, option) == ""), "")
    if empty:
        raise UserError(f"--{empty} is empty; name a {'folder' if empty == 'out' else 'file'} or leave it out")
    verb = VERBS[name]
    if "" in read.arguments and not verb.config:
        raise UserError(f"{COMMAND_LINE}: {verb.positional} is empty")
    read.settings.update(settings)
    return read


def _settings_in(name: str, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments with ``--like_this`` as ``--like-this``, and the settings that were typed as ``key=value``.

    An argument is ``key=value`` if an identifier stands before its first ``=``, unless it is an existing path, such as
    learning_rate=1e-5/checkpoint-10.  What follows ``--`` stays as it is.
    """
    verb = VERBS.get(name, Verb(""))
    fields = {key: plain_type(f.annotation) for cls in verb.configs.values() for key, f in cls.model_fields.items()}
    words: list[str] = []
    settings: dict[str, str] = {}
    given: list[str] = []
    rest = deque(argv)
    while rest:
        word = rest.popleft()
        if word == "--":
            words += [word, *rest]
            break
        key, equals, value = word.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        option = word.startswith("--")
        if not option and not (equals and key.isidentifier() and not _is_path(word)):
            words.append(word)
            continue
        given.append(key if key in fields or not option else key.removeprefix("no_"))
        kind = fields.get(given[-1], str if given[-1] in ("out", "config") else bool)
        if not option or (fields.get(given[-1]) is bool and equals):
            settings[key] = value
            continue
        dashed = f"--{key.replace('_', '-')}"
        if kind is bool and given[-1] in fields and rest and rest[0].lower() in BOOLEANS:
            raise UserError(f"{dashed} takes no value; write {dashed} or {given[-1]}={rest[0]}")
        if kind is not bool and not equals:
            if not rest or rest[0].startswith("--"):
                raise UserError(f"{dashed} needs a value: {dashed} VALUE")
            equals, value = "=", rest.popleft()
        words.append(f"{dashed}{equals}{value}")
    twice = next((key for key in given if given.count(key) > 1), "")
    if twice:
        raise UserError(f"{COMMAND_LINE}: {twice} is given twice")
    return words, settings


def _refuse_a_second(positional: str, words: Sequence[str]) -> None:
    """UserError for a second argument of a verb that takes one."""
    end = words.index("--") if "--" in words else len(words)
    arguments = [word for word in words[:end] if not word.startswith("-")] + [*words[end + 1 :]]
    if len(arguments) > 1:
        raise UserError(f"{COMMAND_LINE}: only one value of {positional} is possible; leave out {arguments[1]!r}")


def _is_path(word: str) -> bool:
    """Whether an argument is an existing path; without a separator, as ``seed=0``, only that of a model or a run."""
    if os.sep in word:
        return os.path.exists(word)
    return any(os.path.exists(os.path.join(word, name)) for name in HOLDS)


def _one_line(name: str, error: typer.TyperException) -> str:
    """The error of typer in one line, with the nearest known option."""
    option, verb = getattr(error, "option_name", None), VERBS.get(name)
    if not verb or not option or not option.startswith("--"):
        return f"{' '.join(error.format_message().split())}; see rlready {f'{name} ' if verb else ''}--help"
    known = [key for cls in verb.configs.values() for key in cls.model_fields]
    if not known:
        report = "; it writes into the run folder, of several runs into a new one, runs/report"
        where = report if (name, option) == ("report", "--out") else ""
        return (
            f"rlready {name} has no {option}{where}; its options are {', '.join(f'--{switch}' for switch in SWITCHES)}"
        )
    known = [f"--{key.replace('_', '-')}" for key in [*known, *verb.flags, *SWITCHES, "out", "config"]]
    return f"{COMMAND_LINE}: unknown option {option}; {nearest(option, known, f'see rlready {name} --help')}"


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
        app.command(each, help=f"{verb.about}\n\n{_usage_of(verb)}")(
            _command(each, verb, whole=each == name or COMPLETION in os.environ)
        )
    return app


def _print_version(asked: bool) -> None:
    if asked:
        import rlready

        print(rlready.__version__)
        raise typer.Exit


def _program(  # eager, as otherwise a missing command is found first
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


def _command(name: str, verb: Verb, *, whole: bool) -> Callable[..., Typed]:
    """A function whose signature typer makes into a command; it returns what was typed."""

    def command(**read: Any) -> Typed:
        places, out, file = read.pop("words") or [], read.pop("out", None), read.pop("config", None)
        places = places if isinstance(places, list) else [places]
        switches = frozenset(
            key for key in (*SWITCHES, *MODEL_SWITCHES, *RUN_SWITCHES, *verb.flags) if read.pop(key, False)
        )
        settings = {k: str(v).lower() if isinstance(v, bool) else v for k, v in read.items() if v is not None}
        out = out and os.path.expanduser(out)  # a shell leaves ~ as it is after --out=
        return Typed(name, places, settings, switches, out, file)

    parameters = list(_parameters(name, verb)) if whole else []
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _usage_of(verb: Verb) -> str:
    """What the arguments of a verb are."""
    same = f"{verb.positional.upper()} is the same as --{verb.positional}. " if verb.config and verb.positional else ""
    return f"{same}Settings may also be given as key=value." if verb.config else ""


def _parameters(name: str, verb: Verb) -> Iterator[inspect.Parameter]:
    # hidden: its row of the help would be its type
    argument = typer.Argument(metavar=verb.positional.upper() or "KEY=VALUE", show_default=False, hidden=True)
    yield _parameter("words", Annotated[list[str] | None if verb.many else str | None, argument])
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
    if verb.config or verb.out:
        text = "By default none." if name in WITHOUT_FOLDER else f"By default a new one, such as runs/{name}-2."
        text = verb.out or f"Run folder; a run that was stopped there continues. {text}"
        yield _parameter(
            "out",
            Annotated[
                str | None, typer.Option("--out", metavar="FILE" if verb.config and verb.out else "DIR", help=text)
            ],
        )
    if verb.config:
        text = "TOML file with settings; the command line takes precedence."
        yield _parameter("config", Annotated[str | None, typer.Option("--config", metavar="FILE", help=text)])
    switches = (RUN_SWITCHES if verb.runs else {}) | (MODEL_SWITCHES if verb.runs or verb.flags else {}) | SWITCHES
    for switch, text in switches.items():
        yield _flag(switch.replace("_", "-"), text, "Options", *(("-q",) if switch == "quiet" else ()))


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _flag(name: str, text: str, panel: str, *names: str) -> inspect.Parameter:
    option = typer.Option(*(names or ()), help=text, rich_help_panel=panel, show_default=False)
    if not names or names == ("-q",):
        option = typer.Option(f"--{name}", *names, help=text, rich_help_panel=panel, show_default=False)
    return _parameter(name.replace("-", "_"), Annotated[bool | None, option])


def _help_of(text: str, default: object) -> str:
    """The description of a setting, followed by its default."""
    shown = shown_default(default)
    return f"{text} [default: {shown}]" if shown else text
