"""RL that another tool trains from a sweep's exports: which outcomes are there, what waits, and a script for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlready.core.config import Tool
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.export.manifest import LAUNCHER
from rlready.export.noted import NotedOutcome, keep, kept, outcome_in
from rlready.export.stage import refuse_in_advance, refuse_place
from rlready.runs.content import content_digest
from rlready.runs.files import remove, write_text
from rlready.runs.run import Run
from rlready.sweep.grid import Grid
from rlready.sweep.jobs import Chain

TRAIN = "train.sh"
SCRIPT = """#!/bin/sh
# Trains the exports of this sweep that wait, one after another; the README of each says what {tool} needs.
# It goes on after one that failed, names those at the end, and then exits with 1.
cd "$(dirname "$0")" || exit
trap 'exit 130' INT
failed=
train() {{
    sh "$1"/{launch} || failed="$failed$1: failed with exit code $?
"
}}
{lines}
[ -z "$failed" ] && exit
printf %s "$failed" >&2
exit 1
"""


@dataclass(frozen=True)
class Elsewhere:
    """The outcomes that are there, and why others wait, by the keys of their exports; ``remarks`` are in sentences.

    ``before`` are the outcomes that were kept before.
    """

    outcomes: dict[str, NotedOutcome] = field(default_factory=dict)
    before: dict[str, NotedOutcome | None] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """The remarks as they stand in the result."""
        return [f"Warning: {remark}." for remark in self.remarks]

    def say(self) -> None:
        for remark in self.remarks:
            note(f"sweep: {remark}")


def refuse_exports(file: Path, grid: Grid, out: Path) -> None:
    """UserError for what could not be exported once SFT is done, as far as that is known before."""
    if not grid.tool:
        return
    refuse_place(out)
    for sft in grid.sft:
        if sft.config.lora_r:
            raise UserError(
                f"{file} [sft]: lora_r={sft.config.lora_r}: {grid.tool} cannot start from an adapter; leave it out"
            )
    models = dict.fromkeys(sft.config.model for sft in grid.sft)
    for rl in grid.rl:
        for model in models:
            try:
                refuse_in_advance(rl.config.replace(model=model), grid.tool)
            except UserError as error:
                raise UserError(f"{file} [rl]: {error}") from None


def look(out: Path, chains: Sequence[Chain], done: Collection[str]) -> Elsewhere:
    """What there is of the exports that are written."""
    found, curves = Elsewhere(), dict[str, str]()
    for key in (chain.run for chain in chains if chain.run in done):
        before = found.before[key] = kept(out / key)
        outcome, said = outcome_in(out / key, before)
        if outcome:
            found.outcomes[key] = outcome
        else:
            found.waiting[key] = said
        if said:
            found.remarks.append(f"{key}: {said}" if outcome else f"{key} waits: {said}")
        curve = out / key / outcome.curve if outcome and outcome.curve else None
        if curve and curve.exists() and (other := curves.setdefault(content_digest(curve), key)) != key:
            found.remarks.append(
                f"{key} has the same curve as {other}, to the byte: one run is no outcome of two exports; put there "
                "what was trained from each"
            )
    return found


def keep_all(run: Run, tool: Tool, found: Elsewhere) -> None:
    """Keep each outcome in its export, and write the script that trains those that wait."""
    for key, outcome in found.outcomes.items():
        keep(run.out / key, outcome, found.before[key])
    script = run.out / TRAIN
    if not found.waiting:
        run.forget(script)
        if os.path.lexists(script):
            remove(script)
        return
    lines = "\n".join(f"train {shlex.quote(key)}" for key in found.waiting)
    with run.writing(script):
        write_text(script, SCRIPT.format(tool=tool, launch=LAUNCHER, lines=lines))
