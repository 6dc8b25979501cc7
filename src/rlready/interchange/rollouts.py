"""What every reader of another tool's samples takes and gives.

A reader gives batches whose columns are those of a table of samples: ``problem_id``, ``text``, ``score``, ``step`` and,
where the tool stores them, ``finish_reason``, ``truncated``, ``tokens`` and ``logprobs``; where the problem is not its
prompt, also ``prompt``, a text that holds what was asked. ``unusable`` says why a row is no sample of the policy, as
`FAILED`, and is None for the others. ``context`` is the whole conversation where the prompt is only its question.
``document`` is a digest of the problem without its template, and ``variant`` what problems with one id differ in: a
ground truth, or an environment. A score is a number, and None or NaN where the sample was not scored; `verdicts` says
what a score means. ``settings`` are those of `drawn_with`, and ``model`` is the name of the policy, where rows have
one.
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.models.chat import CLOSE, KEYS, OPEN
from rlready.tasks.columns import Batch
from rlready.tasks.files import stem_of
from rlready.tasks.source import escaped
from rlready.tasks.strictjson import Refused
from rlready.tasks.turns import asked_in

STEP = re.compile(r"(?:^|_)(?:step_?)?([0-9]{1,15})$")  # at the end of the name of a file or folder
UNSCORED = -1
LIMIT = "max_tokens"
LIMITS = ("max_gen_toks", "max_completion_tokens", "max_new_tokens", "max_output_tokens")  # its other names
STATED = ("temperature", "do_sample", "top_p", "top_k", LIMIT)  # also in columns of the user's own
SETTINGS = (  # of sampling
    *(*STATED, "until", "reasoning_effort", "reasoning_tokens", "system_message", "solvers"),
    "filter",  # of lm-eval, where its metric is the verdict
)
BRIEF = 60  # characters of a setting, beyond which a digest stands for the rest
FAILED = "ended in an error"
SHOWN = 8  # sources in a command


@dataclass(frozen=True)
class Evaluated:
    """The ``steps`` at which a tool has evaluated, by a log that goes ``until`` a step; 0 if there is no log.

    ``ended``: the run has ended there; ``rewards`` are the mean rewards of evaluations, by step.
    """

    steps: frozenset[int] = frozenset()
    until: int = 0
    ended: bool = False
    rewards: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolOptions:
    """The options of a source of another tool's samples.

    ``step``: one step or a range of them, read as the samples of one policy; ``score``: the reward or metric that is
    the verdict; ``threshold``: from which score on a sample is correct; ``filter``: lm-eval's filter, or train or eval
    of prime-rl; ``task``: lm-eval's or lighteval's task, or prime-rl's environment, or a pattern of several, which are
    read as one set of problems; ``n``, ``name`` and ``model`` as for a table.
    """

    step: tuple[int, int] | None = None
    score: str = ""
    threshold: float | None = None
    filter: str = ""
    task: str = ""
    thinking_budget: int | None = None
    n: int | None = None
    name: str = ""
    model: str = ""

    @property
    def takes_scores(self) -> bool:
        """Whether the tool's scores are asked for, though a task might verify the texts."""
        return bool(self.score) or self.threshold is not None

    def wants(self, step: int) -> bool:
        return self.step is None or self.step[0] <= step <= self.step[1]


@dataclass(frozen=True)
class Request:
    """What to read: ``text`` is the source without its options, for error lines, and ``query`` is these.

    ``verified``: the texts are verified here.
    """

    text: str
    path: Path
    options: ToolOptions
    query: str = ""
    verified: bool = False

    def each(self, paths: Sequence[Path]) -> str:
        """The command that reads each path as a checkpoint, with the options of this source."""
        kind, options = self.text.partition(":")[0], f"?{self.query}" if self.query else ""
        sources = [shlex.quote(f"{kind}:{path}{options}") for path in paths[:SHOWN]]
        return f"rlready readiness {' '.join(sources)}{' ...' if len(paths) > SHOWN else ''}"


@dataclass(frozen=True)
class Format:
    """A tool's format.

    ``columns`` are those that together no other tool writes; ``files``: the files below a path, none if there are none
    of this format; ``written``: what the tool writes, and when;
    ``no_budget``: why its samples do not say which thinking budget they had; ``choices``: which of the options
    ``filter=`` and ``task=`` apply.
    """

    kind: str
    tool: str
    columns: frozenset[str]
    files: Callable[[Path], Sequence[Path]]
    read: Callable[[Request], Iterator[Batch]]
    written: str
    no_budget: str
    choices: frozenset[str] = frozenset()


def choose_score(request: Request, names: Sequence[str], usual: str = "") -> str:
    """The reward or metric that is the verdict: the one that is asked for, the usual one, or the only one.

    UserError where there are several.
    """
    wanted, where = request.options.score, request.text
    if wanted and wanted not in names:
        written = " (%26 stands for & in an option)" if any("&" in name for name in names) else ""
        raise UserError(
            f"{where}: no reward or metric {wanted!r}; {nearest(wanted, list(map(escaped, names)))}{written}"
        )
    if not wanted and not names and not request.verified:
        raise UserError(f"{where}: its samples have no score; name the problems that verify them with problems=")
    if wanted or len(names) < 2 or usual in names or request.verified:
        return wanted or (usual if usual in names else next(iter(names), ""))
    raise UserError(
        f"{where}: has the scores {', '.join(names)}; say which is the verdict, as in ?score={escaped(names[0])}"
    )


def score_first(score: str, names: Sequence[str]) -> list[str]:
    """The names of the scores, that of the verdict first, as `verdicts` expects them."""
    return [score, *(name for name in names if name != score)]


def verdicts(batch: Batch, options: ToolOptions) -> NDArray[np.int8]:
    """(N,) 1 for correct, 0 for wrong, `UNSCORED` for no score; UserError for a score whose meaning is not known."""
    name, *others = batch.named

    def verdict(value: Any) -> int:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return UNSCORED
        if not isinstance(value, bool | int | float):
            raise Refused(f"{name} must be a number, not {str(value)[:40]!r}; or name problems= to have texts verified")
        if math.isinf(value):
            raise Refused(f"{name} must be a finite number, not {value}")
        if options.threshold is not None:  # a reward of 0.7 that went through 32-bit floats is 0.7
            return int(value >= options.threshold or np.float32(value) >= np.float32(options.threshold))
        if value in (0, 1):
            return int(value)
        known = [each for each in batch.distinct("score")[1] if isinstance(each, int | float) and not math.isinf(each)]
        scores = np.unique([each for each in known if not math.isnan(each)])
        pairs = list(pairwise(scores.tolist())) or [(scores[0], scores[0])]
        below, above = max(pairs, key=lambda pair: (pair[1] - pair[0], pair[1]))  # the widest gap
        low, high, split = scores[0], scores[-1], (below + above) / 2
        shown = value if f"{value:g}" in ("0", "1") else f"{value:g}"  # 0.9999999 is not 1
        also = f" or choose another score ({', '.join(others[:8])}) with ?score=NAME" if others else ""
        raise Refused(
            f"{name} = {shown} is neither 0 nor 1; say from which score on, of {low:g} to {high:g} here, a sample is "
            f"correct, as in ?threshold={split:.3g},"
            f"{also or ' or name problems= to have the texts verified'}"
        )

    return batch.map("score", verdict, np.int8)


def drawn_with(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The names and values of a tool's settings of sampling that decide how samples turn out, each under one name."""
    if not settings:  # as in most rows of prime-rl
        return ()
    named = {name: settings[name] for name in LIMITS if settings.get(name) not in (None, "")}
    settings = {LIMIT: next(iter(named.values()), None)} | {k: v for k, v in settings.items() if v is not None}
    if settings.get("do_sample") is False:  # greedy, whatever temperature stands beside it
        settings = {k: v for k, v in settings.items() if k != "do_sample"} | {"temperature": 0}
    if isinstance(until := settings.get("until"), str | list):  # any of these texts ends a response
        settings = settings | {"until": sorted({until} if isinstance(until, str) else {*map(str, until)})}
    found = ((name, settings.get(name)) for name in SETTINGS)
    return tuple(
        (n, _brief(", ".join(map(repr, v)) if isinstance(v, list) else v)) for n, v in found if v not in (None, "")
    )


def stated_settings(row: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of sampling that stand in a row beside what the tool writes."""
    return {name: row[name] for name in STATED if name in row}


def _brief(value: Any) -> Any:
    """A value; of a long text its beginning and a digest."""
    if not isinstance(value, str) or len(value) <= BRIEF:
        return value
    return f"{value[:BRIEF]}... (SHA-256 {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:8]})"


def refuse_several(place: str, count: int, score: str) -> None:
    """UserError for several responses that have one score together."""
    raise UserError(
        f"{place}: {count} responses, but {score} is one number for all of them; name the problems that verify them "
        "with problems="
    )


def number(value: Any) -> float:
    """A score as a number: a list, one reward for each token, is added up; NaN for none."""
    if isinstance(value, list):
        return math.fsum(map(number, value)) if value else math.nan
    return math.nan if value is None else value


def numeric(row: Mapping[str, Any], without: Sequence[str] = ()) -> list[str]:
    """The names of the numbers in a row."""
    return [key for key, value in row.items() if isinstance(value, bool | int | float) and key not in without]


def step_of(path: Path) -> int | None:
    """The step in the name of a file or folder; None for none."""
    found = STEP.search(stem_of(path.name))
    return int(found[1]) if found else None


def said(turns: Any) -> str | None:
    """The text of a completion: a text, or the last turn of the assistant, with its thought before it."""
    if not isinstance(turns, list):
        return turns if isinstance(turns, str) else None
    for turn in reversed(turns):
        if isinstance(turn, dict) and turn.get("role") == "assistant":
            thought = next((turn[key] for key in KEYS if isinstance(turn.get(key), str) and turn[key]), "")
            return (f"{OPEN}{thought}{CLOSE}" if thought else "") + _content(turn.get("content"))
    return None


def asked(prompt: Any) -> str | None:
    """The question of a prompt: a text, or the last turn of the user, also where the turns are written as JSON."""
    if isinstance(prompt, str):
        return asked_in(prompt)
    turns = [turn for turn in prompt if isinstance(turn, dict)] if isinstance(prompt, list) else []
    return next((_content(turn.get("content")) for turn in reversed(turns) if turn.get("role") == "user"), None)


def context(prompt: Any, question: str | None) -> str | None:
    """The conversation of a prompt if it is more than its question: a system turn, or examples; else None."""
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = asked(prompt)
    if isinstance(prompt, str):
        return prompt if prompt != question else None
    turns = [turn for turn in prompt if isinstance(turn, dict)] if isinstance(prompt, list) else []
    return "\n".join(f"{turn.get('role')}: {_content(turn.get('content'))}" for turn in turns) if turns else None


def _content(content: Any) -> str:
    """The text of a turn's content: a text, or a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
