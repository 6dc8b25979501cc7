"""Write src/rlready/__init__.pyi, which tells type checkers and editors the settings and the result of every verb.

python scripts/make_stub.py           # after a setting has changed
"""

from __future__ import annotations

import keyword
import textwrap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from rlready import OTHERS
from rlready.cli.schema import CONFIGS
from rlready.core import config
from rlready.core.explain import plain_type
from rlready.core.verbs import READS_FILE, TRUST
from rlready.runs.results import RESULTS

WIDTH = 120
STUB = Path(__file__).parents[1] / "src" / "rlready" / "__init__.pyi"
HEAD = '''"""Written by scripts/make_stub.py from the configurations: what ``rlready`` offers, with every setting."""

from collections.abc import Iterable
from os import PathLike
from typing import Literal

'''


def stub() -> str:
    """The whole stub."""
    configs = [*(cls.__name__ for cls in CONFIGS.values()), "CreditConfig", "TemplateConfig"]
    imports = {f"from {config.__name__} import {name} as {name}" for name in configs}
    imports |= {
        f"from {m} import {name} as {name}" for m, _, name in (each.partition(":") for each in RESULTS.values())
    }
    imports |= {f"from {module} import {name} as {name}" for name, module in OTHERS.items()}
    verbs = "\n".join(map(_verb, CONFIGS))
    lines = [*sorted(imports, key=str.casefold), "", "StrPath = str | PathLike[str]", "__version__: str", "", verbs]
    return HEAD + "\n".join(lines)


def _verb(verb: str) -> str:
    cls = CONFIGS[verb]
    about = "\n".join(
        textwrap.fill(f"{key}: {field.description}", 112, initial_indent="    ", subsequent_indent="        ")
        for key, field in cls.model_fields.items()
    )
    settings = "".join(_setting(key, field.annotation, field.default) for key, field in cls.model_fields.items())
    if verb in READS_FILE:
        settings += f"    {TRUST}: bool = False,\n"
        about += f"\n    {TRUST}: Run the code that the TOML file names: a verifier, task, loss or algorithm."
    result, sentence = RESULTS[verb].partition(":")[2], (cls.__doc__ or "").partition("\n")[0]
    name = f"{verb}_" if keyword.iskeyword(verb) else verb
    return (
        f"def {name}(\n    config: {cls.__name__} | None = None,\n    out: StrPath | None = None,\n    *,\n{settings}"
        f') -> {result}:\n    """{sentence}\n\n{about}\n    """\n'
    )


def _setting(name: str, annotation: Any, default: object) -> str:
    """A parameter as ruff formats it."""
    line = f"    {name}: {_annotation(annotation, default)} = {default!r},\n".replace("'", '"')
    if len(line) > WIDTH + 1:
        line = line.replace("Literal[", "Literal[\n        ").replace("]", "\n    ]")
    return line


def _annotation(annotation: Any, default: object) -> str:
    """The type of an argument as Python writes it; texts may be paths, and lists any iterable."""
    plain = plain_type(annotation)
    if get_origin(plain) is Literal:
        written = f"Literal[{', '.join(map(repr, get_args(plain)))}]"
    elif get_origin(plain) is tuple:
        item = plain_type(get_args(plain)[0])
        written = "StrPath | Iterable[StrPath]" if item is str else f"Iterable[{item.__name__}]"
    else:
        written = "StrPath" if plain is str else plain.__name__
    return f"{written} | None" if default is None else written


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
