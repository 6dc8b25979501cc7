"""An engine that repeats responses is noticed, and one that draws them never is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlready.core.config import EvaluateConfig, ReadinessConfig
from rlready.core.records import Sample, SampleRow
from rlready.core.result import Result
from rlready.engine.protocol import Request
from rlready.engine.repeats import repeats
from rlready.engine.torch import TorchEngine
from rlready.evaluate.stage import evaluate
from rlready.readiness.stage import readiness
from rlready.runs.record import RunRecord
from rlready.tasks import open_task

PROBLEMS = "dagmath?ops=4-7&asked=2&split=all&n=4&seed=1"
SAID = "samples repeat an earlier one of their problem"


def rows(how: str, seed: int, *, peaked: float) -> list[SampleRow]:
    """8 samples of 8 problems that have 8 possible responses each."""
    rng, found = np.random.default_rng(seed), list[SampleRow]()
    for problem in range(8):
        p, last = rng.dirichlet([1 / peaked] * 8), 0
        for i in range(8):
            again = (how == "in pairs" and i % 2) or (how == "cached" and i)
            last = int(p.argmax()) if how == "greedy" else last if again else int(rng.choice(8, p=p))
            logprob = float(np.log(p[last]))
            found.append({"problem_id": str(problem), "sample_id": i, "tokens": [last], "logprobs": [logprob]})
    return found


def test_independent_samples_are_never_taken_for_repetitions() -> None:
    """Not even where nearly all mass is on one response, so that most samples are equal."""
    for seed in range(100):
        for peaked in (0.2, 1, 10):
            assert not repeats(rows("drawn", seed, peaked=peaked), 1.0, "torch")


@pytest.mark.parametrize("how", ["cached", "greedy", "in pairs"])
def test_repetitions_are_noticed(how: str) -> None:
    found = [repeats(rows(how, seed, peaked=0.5), 2.0, "http://x") for seed in range(20)]
    assert sum(SAID in each for each in found) >= 19
    assert "engine=http://x caches responses or ignores temperature=2" in max(found)
    assert not repeats(rows(how, 0, peaked=0.5), 0.0, "http://x")  # what was asked for


@pytest.mark.parametrize("verb", ["readiness", "evaluate"])
def test_a_run_says_that_its_engine_repeats(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its notes, and in its record, also when the samples are read again."""
    draw = TorchEngine.sample

    def cached(self: TorchEngine, requests: Sequence[Request], **settings: Any) -> list[Sample]:
        drawn = draw(self, requests, **settings)
        first = {s.problem_id: s for s in reversed(drawn)}
        return [replace(first[s.problem_id], sample_id=s.sample_id) for s in drawn]

    problems = tmp_path / "problems.jsonl"
    problems.write_text(
        "".join(f'{{"prompt": {json.dumps(p.prompt)}, "answer": "1"}}\n' for p in open_task(PROBLEMS).problems())
    )
    small: dict[str, Any] = {"problems": str(problems), "samples": 4, "max_answer_tokens": 8}

    def run(out: Path) -> Result:
        if verb == "readiness":
            config = ReadinessConfig(
                checkpoints=("embedded",), heldout="", sampling="full", group_size=2, thinking_budget=16, **small
            )
            return readiness(config, out)
        return evaluate(
            EvaluateConfig(models=("embedded",), thinking_budgets=(16,), max_response_tokens=24, **small), out
        )

    assert SAID not in " ".join(run(tmp_path / "drawn").notes)
    monkeypatch.setattr(TorchEngine, "sample", cached)
    assert SAID in " ".join(run(tmp_path / "cached").notes)
    assert SAID in str(RunRecord.load(tmp_path / "cached").warnings)
    (tmp_path / "cached" / "result.json").unlink()
    assert SAID in " ".join(run(tmp_path / "cached").notes)
