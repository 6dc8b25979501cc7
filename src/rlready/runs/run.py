"""A stage's run folder: begun, refused, continued or found finished; and its ``record.json``.

``with Run(out, "sft", config) as run:`` holds the folder for one process.  The same configuration continues
a run that was cut off and finds a finished one (``run.finished``); anything else in the folder is refused.
``record.json`` (METHODS section 6) says what ran, with what, where and for how long, over all attempts.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rlready.core.errors import UserError
from rlready.core.options import to_toml
from rlready.core.progress import note
from rlready.core.result import Result
from rlready.runs import lock, provenance
from rlready.runs.files import (
    LEFTOVER,
    clear_leftovers,
    plain,
    read_json,
    read_table,
    saying,
    to_json,
    write_folder,
    write_json,
    write_table,
    write_text,
)
from rlready.runs.log import append_line, read_log, truncate_log
from rlready.runs.provenance import content_digest, file_digest, folder_digest

__all__ = [
    "Invocation",
    "Run",
    "append_line",
    "content_digest",
    "file_digest",
    "folder_digest",
    "invocation",
    "read_json",
    "read_log",
    "read_table",
    "to_json",
    "truncate_log",
    "write_folder",
    "write_json",
    "write_table",
    "write_text",
]

RECORD, RESULT = "record.json", "result.json"
SAVE_EVERY = 30.0  # seconds: what a killed attempt's record may lack
ELSE = "choose another --out, or delete it"


@dataclass(frozen=True)
class Invocation:
    """How the outermost verb was called; ``origins`` says where each value of ``config`` came from."""

    command: str = "python API"
    config: object = None
    origins: Mapping[str, str] = field(default_factory=dict)


invocation: ContextVar[Invocation] = ContextVar("invocation", default=Invocation())  # noqa: B039 (frozen)
_running: ContextVar[Run | None] = ContextVar("running", default=None)


class Run:
    """One stage in one folder, from entering to leaving the ``with`` block."""

    def __init__(self, out: Path, verb: str, config: object) -> None:
        self.out, self.verb, self.config = Path(out), verb, config
        self.finished = False
        self.record: dict[str, Any] = {}
        self._attempt: dict[str, Any] = {}
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> Run:
        with saying(self.out):
            self._refuse_strangers()
            self.out.mkdir(parents=True, exist_ok=True)
            self._lock = lock.take(self.out)
        try:
            earlier = read_json(self.out / RECORD) if (self.out / RECORD).exists() else {}
            if earlier:
                self._refuse_other(earlier)
                clear_leftovers(self.out)
            self.finished = earlier.get("status") == "done" and (self.out / RESULT).exists()
            self._begin(earlier)
        except BaseException:
            os.close(self._lock)
            raise
        self._outer: Token[Run | None] = _running.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _running.reset(self._outer)
        try:
            if not self.finished:
                self._end(error)
        finally:
            os.close(self._lock)

    @property
    def result(self) -> dict[str, Any]:
        """The stored result of a finished run."""
        result: dict[str, Any] = read_json(self.out / RESULT)
        return result

    def write_result(self, result: Mapping[str, object] | Result) -> dict[str, Any]:
        """Store the stage's result; returns it as a later reader will see it."""
        write_json(self.out / RESULT, result)
        return self.result

    def count(self, name: str, n: int) -> None:
        """Add to a counter, such as tokens "generated" or "trained"; work lost to a kill counts too."""
        self._counts[name] += n
        if time.monotonic() - self._saved > SAVE_EVERY:
            self._save()

    def note_data(self, *, id: str, path: Path | None = None, **facts: object) -> None:
        """Record a data set: sha256, licence, size, split, generator.  See ``note_model`` for ``path``."""
        self._note("data", id, path, facts)

    def note_model(self, *, id: str, path: Path | None = None, **facts: object) -> None:
        """Record a model: sha256, licence, role.  With ``path`` the content is hashed, once in a run, and a later
        attempt that finds other content there is refused rather than mixed with this one."""
        self._note("models", id, path, facts)

    def note_metric(self, **facts: object) -> None:
        """Record a metric: value per seed, n, estimator."""
        self.record["metrics"].append(plain(facts))
        self._save()

    def _note(self, kind: str, id: str, path: Path | None, facts: dict[str, object]) -> None:
        entry: dict[str, Any] = {"id": id}
        if path:
            noted = (e for e in self.record["models"] + self.record["data"] if e.get("path") == str(path))
            same = next(noted, None)  # hashed in this run already, or found unchanged when it was resumed
            entry |= {"path": path, "sha256": same["sha256"] if same else content_digest(path)}
        entry = plain({"licence": "unknown"} | entry | facts)
        if entry not in self.record[kind]:  # a resumed run notes the same again
            self.record[kind].append(entry)
        self._save()

    def _refuse_strangers(self) -> None:
        if self.out.is_dir() and not (self.out / RECORD).exists():
            strange = [p.name for p in self.out.iterdir() if p.name != lock.NAME and not LEFTOVER.fullmatch(p.name)]
            if strange:
                raise UserError(f"{self.out} is not empty ({min(strange)}) and holds no run: choose another --out")

    def _refuse_other(self, earlier: dict[str, Any]) -> None:
        if not {"verb", "config", "attempts"} <= earlier.keys():
            raise UserError(f"{self.out / RECORD} is not the record of a run: choose another --out")
        if earlier["verb"] != self.verb:
            raise UserError(f"{self.out} holds a run of {earlier['verb']}, not {self.verb}: {ELSE}")
        old, new = earlier["config"], plain(self.config)
        for key in old | new:
            if key not in old or key not in new or old[key] != new[key]:
                values = f"{key} = {old.get(key)!r}, not {new.get(key)!r}"
                raise UserError(f"{self.out} holds a run with {values}: {ELSE}")
        for entry in earlier["models"] + earlier["data"]:
            path = Path(entry.get("path", ""))
            if entry.get("path") and path.exists() and content_digest(path) != entry["sha256"]:
                raise UserError(f"{self.out} holds a run on other content of {path}: {ELSE}")

    def _begin(self, earlier: dict[str, Any]) -> None:
        if self.finished:
            self.record = earlier
            other = "" if earlier["revision"] == provenance.revision() else ", by another revision of the code"
            note(f"{self.out}: finished {earlier['end']}{other}; nothing computed again")
            return
        called, outer, now = invocation.get(), _running.get(), _now()
        attempts = earlier.get("attempts", [])
        for attempt in attempts:
            attempt["status"] = "killed" if attempt["status"] == "running" else attempt["status"]
        self._clock, self._cpu = time.monotonic(), provenance.cpu_seconds()
        self._attempt = {"start": now, "command": called.command, "revision": provenance.revision()}
        config = plain(self.config)
        self.record = {
            "verb": self.verb,
            "status": "running",
            "start": earlier.get("start", now),
            "end": None,
            "part_of": outer.verb if outer else None,  # whose seconds contain these
            "command": called.command,
            "revision": self._attempt["revision"],
            "config": config,
            "origins": dict(called.origins) if called.config is self.config else dict.fromkeys(config, "caller"),
            "seeds": {key: config[key] for key in config if key.rpartition("_")[2] in ("seed", "seeds")},
            **provenance.software(),
            "host": provenance.host(),
            "data": earlier.get("data", []),
            "models": earlier.get("models", []),
            "metrics": [],
            "attempts": [*attempts, self._attempt],
        }
        if attempts:
            note(f"{self.out}: continuing a run that was {attempts[-1]['status'].partition(':')[0]}")
        self._save()
        write_text(self.out / "config.toml", to_toml(self.config))

    def _end(self, error: BaseException | None) -> None:
        self.record["end"] = _now()
        if error is None:
            self._save("done")
        else:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            with suppress(UserError):  # a full disk: the error itself matters more
                self._save("interrupted" if isinstance(error, KeyboardInterrupt) else f"failed: {why[:300]}")

    def _save(self, status: str = "running") -> None:
        self._saved = time.monotonic()
        self._attempt |= {
            "end": self.record["end"],
            "status": status,
            "seconds": round(time.monotonic() - self._clock, 3),
            "cpu_seconds": round(provenance.cpu_seconds() - self._cpu, 3),
            "counts": dict(self._counts),
        }
        attempts = self.record["attempts"]
        counts: Counter[str] = sum((Counter(a["counts"]) for a in attempts), Counter())
        self.record |= {
            "status": status,
            "seconds": round(sum(a["seconds"] for a in attempts), 3),
            "cpu_seconds": round(sum(a["cpu_seconds"] for a in attempts), 3),
            "counts": dict(counts),
            "accelerators": provenance.accelerators(),
            "kernels": provenance.kernels(),
            "peak_memory_bytes": provenance.peak_memory_bytes(),
        }
        write_json(self.out / RECORD, self.record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
