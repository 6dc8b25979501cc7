"""Candidates: SFT checkpoints with what readiness measured, all on the same problems.

Each knows, as far as its SFT run folder tells, from which *distribution* of rows it learned: the source of its rows
without what only says how many or which random ones (n, seed, split, ``select=random``).  Held-out losses are
comparable within one such distribution only (Kang et al., arXiv 2510.01624); ours is how it is told.

Shapes: P = problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.adaptive_sampling import Counts
from rlready.runs.checkpoint_order import runs_of, step_of
from rlready.runs.run import RECORD, RESULT, read_json
from rlready.tasks.source import parse_source

SAME = ("problems", "temperature", "budget", "answer_cap", "final")  # settings that samples must share to be compared
COUNTING = ("n", "of", "seed", "split")  # of a source string: how many and which, not of what kind


@dataclass(frozen=True)
class Candidate:
    """One checkpoint; ``trained``, ``sft`` (the folder of its run) and ``step`` are None where unknown."""

    name: str
    counts: Counts
    loss: HeldOut | None
    entropy: Estimate | None
    heldout: str
    trained: str | None
    sft: str | None
    step: int | None


@dataclass(frozen=True)
class Candidates:
    """All of them; ``group`` is the number of rollouts of a problem that RL is planned with.

    ``most`` is the largest k of which every candidate's pass@k was asked for and is known.
    """

    all: list[Candidate]
    group: int
    most: int
    task: dict[str, str]
    chance: dict[str, float]

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.all]


def read(folders: Sequence[Path]) -> Candidates:
    """Candidates of readiness run folders; UserError where they are not measured alike, or fewer than two."""
    found: dict[str, tuple[Candidate, Path]] = {}
    problems: list[str] = []
    vocabulary: tuple[str, str] | None = None
    first: dict[str, Any] = {}
    groups, most = [], []
    for folder in folders:
        config, result = read_json(folder / RECORD)["config"], read_json(folder / RESULT)
        for key in SAME if first else ():
            if config.get(key) != first["config"].get(key):
                raise UserError(
                    f"{folders[0]} and {folder} measured readiness with different {key}: "
                    f"{first['config'].get(key)} and {config.get(key)}; measure all checkpoints alike"
                )
        first = first or {"config": config, "result": result}
        groups.append(result["group"])
        most.append(config["samples"])
        for part in _parts(folder, result):
            name = part["name"]
            if name in found:
                raise UserError(f"{name} is measured twice, in {found[name][1]} and {folder}: name one of them")
            problems = problems or part["problems"]
            if part["problems"] != problems:
                raise UserError(f"{folders[0]} and {folder} measured readiness on different problems")
            if part["vocabulary"]:
                digest = part["vocabulary"][2]
                vocabulary = vocabulary or (name, digest)
                if vocabulary[1] != digest:
                    raise UserError(
                        f"{vocabulary[0]} and {name} read text with different tokenizers, {vocabulary[1][:12]} and "
                        f"{digest[:12]} (SHA-256 of their vocabularies); compare checkpoints of one tokenizer"
                    )
            found[name] = (_candidate(part, config.get("heldout", "")), folder)
    if not found:
        raise UserError("no readiness was measured: name folders of rlready readiness runs")
    if len(found) == 1:
        raise UserError(f"there is one checkpoint only, {next(iter(found))}: nothing to rank it against")
    result, runs = first["result"], runs_of(found)
    candidates = [replace(c, sft=c.sft or runs[name]) for name, (c, _) in found.items()]
    most += [c.counts.cap for c in candidates]
    return Candidates(candidates, min(groups), min(most), result["task"], result.get("chance", {}))


def distribution(source: str) -> str:
    """A source of rows without what only says how many or which random ones."""
    try:
        parsed = parse_source(source)
    except UserError:  # another trainer's words
        return source
    kept = {k: v for k, v in parsed.options.items() if k not in COUNTING and (k, v) != ("select", "random")}
    return f"{parsed.kind}:{parsed.path}?" + "&".join(f"{k}={v}" for k, v in sorted(kept.items()))


def _parts(folder: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """What readiness kept of every checkpoint: counts and losses, one by one."""
    parts = [read_json(folder / "parts" / f"{i}.json") for i in range(len(result["checkpoints"]))]
    for part, row in zip(parts, result["checkpoints"], strict=True):
        if part["name"] != row["name"]:
            raise UserError(f"{folder}: its parts do not belong to its result; measure readiness again")
    return parts


def _candidate(part: dict[str, Any], heldout: str) -> Candidate:
    run = Path(part["name"]).parent.parent
    record = read_json(run / RECORD) if (run / RECORD).is_file() else {}
    tuned = record.get("verb") == "sft"
    loss, entropy, counts = part["heldout"], part["figures"]["entropy"], part["counts"]
    arrays = {key: np.array(counts[key], dtype=np.int64) for key in ("since", "drawn", "correct")}
    return Candidate(
        name=part["name"],
        counts=Counts(counts["first"], counts["cap"], **arrays),
        loss=HeldOut(np.array(loss["nll"]), np.array(loss["tokens"])) if loss else None,
        entropy=Estimate(**entropy) if entropy else None,
        heldout=heldout,
        trained=distribution(record["config"]["rows"]) if tuned else None,
        sft=str(run) if tuned else None,
        step=step_of(part["name"]),
    )
