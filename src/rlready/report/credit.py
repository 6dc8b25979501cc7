"""Tokens coloured by their dense reward, on a terminal and as a page: blue above 0, orange below, by strength.

All text is a model's: made visible, and escaped where it is HTML.  The strength is that of |r̂| against three times its
deviation over all tokens shown; the number itself stands in the page's tooltips, and beside the token where there is no
colour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from markupsafe import Markup

from rlready.core.errors import UserError
from rlready.core.text import visible
from rlready.credit.token_credit import TokenCredit
from rlready.report.text import safe
from rlready.runs.files import text_of, write_text
from rlready.runs.record import RECORD

LEVELS = 4
BEGIN = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dense credit</title>'
BELOW, ABOVE = (223, 215, 208, 202), (153, 117, 75, 33)  # of 256 colours, from weak to strong
STYLE = """
.credit { white-space: pre-wrap; line-height: 1.9; }
.credit span { border-radius: 2px; }
"""


def level(value: float, unit: float) -> int:
    """−4 to 4: how far a reward is from 0, in quarters of ``unit``; 0 is too little to colour."""
    return int(np.sign(value) * min(LEVELS, round(LEVELS * abs(value) / unit))) if unit > 0 else 0


def unit_of(readings: Sequence[TokenCredit]) -> float:
    return 3 * float(np.concatenate([r.dense for r in readings]).std())


def terminal(readings: Sequence[TokenCredit], *, colour: bool) -> str:
    """The responses one under another; without colour the tokens that would have one carry their number."""
    unit = unit_of(readings)
    return "\n\n".join(
        f"{visible(r.name)}: sum {r.total:+.2f} nats over {len(r.pieces)} tokens\n{visible(r.prompt)}\n"
        + "".join(_ansi(p, float(v), unit, colour) for p, v in zip(r.pieces, r.dense, strict=True))
        for r in readings
    )


def _ansi(piece: str, value: float, unit: float, colour: bool) -> str:
    text, strength = visible(piece), level(value, unit)
    if not strength:
        return text
    if not colour:
        return f"{text}[{value:+.1f}]"
    shade = (ABOVE if strength > 0 else BELOW)[abs(strength) - 1]
    return f"\x1b[30;48;5;{shade}m{text}\x1b[0m"


def page(readings: Sequence[TokenCredit], about: str) -> str:
    """One self-contained page, no script."""
    unit = unit_of(readings)
    body = []
    for r in readings:
        head = f"{r.name}: Σr̂ = {r.total:+.2f} nats over {len(r.pieces)} tokens"
        tokens = "".join(_span(p, float(v), unit) for p, v in zip(r.pieces, r.dense, strict=True))
        body.append(f'<section><h2>{safe(head)}</h2><p>{safe(r.prompt)}</p><p class="credit">{tokens}</p></section>')
    css = (
        "".join((files(__package__) / name).read_text(encoding="utf-8") for name in ("page.css", "credit.css")) + STYLE
    )
    return (
        BEGIN
        + "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{css}</style></head><body><main><h1>Dense credit</h1><p>{safe(about)}</p>{''.join(body)}</main></body>"
        "</html>\n"
    )


def _span(piece: str, value: float, unit: float) -> Markup:
    strength = level(value, unit)
    kind = f"{'a' if strength > 0 else 'b'}{abs(strength)}"
    return Markup('<span class="{}" title="{}">{}</span>').format(kind, f"{value:+.3f}", safe(piece))


def write_page(readings: Sequence[TokenCredit], about: str, folder: Path) -> Path:
    """Raises UserError where ``folder`` is a file or the folder of a run, or has another ``credit.html``."""
    path = folder / "credit.html"
    if (folder / RECORD).exists():
        raise UserError(f"{folder} is the folder of a run, which is not to hold other files; choose another --out")
    if os.path.lexists(path) and not (path.is_file() and text_of(path).startswith(BEGIN)):
        raise UserError(f"{path} is there, and is not a page of show --credit; choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder}: this is a file, but the page needs a folder; choose another --out") from None
    write_text(path, page(readings, about))
    return path
