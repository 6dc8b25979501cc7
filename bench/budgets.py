"""Five thinking budgets from one trace against five separate runs: `python bench/budgets.py`.

64 problems x 4 samples of the embedded model at the demo's budgets.  The count is rows times decoding steps,
including forced tokens and rows that wait for their batch.  Both ways must give the same samples, token by token.
Prefilling the beginning of a truncated trace is not decoding; it is reported separately, as are the seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common import Goal, Row, main, timed
from rlready.core.config import EvaluateConfig
from rlready.core.presets import DEMO_TASK, EMBEDDED
from rlready.core.records import Group
from rlready.engine.budget import Budget
from rlready.engine.decoder import Decoder
from rlready.engine.protocol import forcing_for
from rlready.engine.torch import TorchEngine
from rlready.evaluate.budgets_from_trace import Sampling, draw_at_budgets
from rlready.models.checkpoint import load
from rlready.tasks import open_task

APART = Goal("five budgets, embedded model: tokens decoded by five runs over those of one trace", ">= 3")
LARGEST = Goal("five budgets, embedded model: tokens decoded over those of the largest budget alone", "<= 1.35")


class Counting(TorchEngine):
    """The engine, counting the tokens it decodes and those it reads."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.decoded, self.read = list[int](), list[int]()  # one number per call, as appending is thread-safe

    def decoders(self) -> Callable[[int], Decoder]:
        make = super().decoders()

        def counted(rows: int) -> Decoder:
            decoder = make(rows)
            extend = decoder.extend

            def counting(ids_BM: Any, valid_BM: Any) -> Any:
                (self.decoded if ids_BM.shape[1] == 1 else self.read).append(int(valid_BM.sum()))
                return extend(ids_BM, valid_BM)

            decoder.extend = counting  # type: ignore[method-assign]
            return decoder

        return counted


def run(quick: bool) -> list[Row]:
    lm = load("embedded")
    task = open_task(f"{DEMO_TASK}&split=test&seed=8", limit=8 if quick else 64)
    config = EvaluateConfig(**EMBEDDED["evaluate"])
    budgets = [Budget(b, config.max_answer_tokens) for b in config.thinking_budgets]
    shared, apart = Counting(lm, forcing_for(lm)), Counting(lm, forcing_for(lm))

    def draw(engine: Counting, some: list[Budget]) -> dict[Budget, list[Group]]:
        return draw_at_budgets(engine, lm, task, task.problems(), some, Sampling(config.samples, 1.0, 0))

    found: dict[str, dict[Budget, list[Group]]] = {"shared": {}, "apart": {}}
    seconds = [
        timed(lambda: found["shared"].update(draw(shared, budgets)) or 0).seconds,
        timed(lambda: [found["apart"].update(draw(apart, [b])) for b in budgets] and 0).seconds,
    ]
    for budget in budgets:
        tokens = [[s.tokens.tolist() for g in found[how][budget] for s in g.samples] for how in ("shared", "apart")]
        if tokens[0] != tokens[1]:
            raise RuntimeError(f"budget {budget.thinking_budget}: other samples than in a separate run")
    alone = Counting(lm, forcing_for(lm))
    draw(alone, budgets[-1:])
    counts = {"decoded": [sum(e.decoded) for e in (shared, apart)], "read": [sum(e.read) for e in (shared, apart)]}
    decoded = counts["decoded"]
    return [
        APART.row([decoded[1] / decoded[0]], varies="count", **counts, ratio_of_seconds=seconds[1] / seconds[0]),
        LARGEST.row([decoded[0] / sum(alone.decoded)], varies="count", decoded=[decoded[0], sum(alone.decoded)]),
    ]


if __name__ == "__main__":
    main([APART, LARGEST], run)
