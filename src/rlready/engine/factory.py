"""The one place where engines are made: a new kind of engine is one entry of ``ENGINES``."""

from __future__ import annotations

from typing import Literal, Protocol

from rlready.engine.budget import Forcing
from rlready.engine.contrastive import Contrast
from rlready.engine.protocol import Engine
from rlready.engine.torch import TorchEngine
from rlready.models.lm import LM

EngineKind = Literal["torch"]


class OpenEngine(Protocol):
    """What opens an engine; the arguments are those of ``open_engine``."""

    def __call__(
        self, lm: LM, forcing: Forcing, *, bfloat16: bool = False, contrast: Contrast | None = None
    ) -> Engine: ...


ENGINES: dict[EngineKind, OpenEngine] = {"torch": TorchEngine}


def open_engine(
    kind: EngineKind, lm: LM, forcing: Forcing, *, bfloat16: bool = False, contrast: Contrast | None = None
) -> Engine:
    """An engine of this kind that samples from ``lm``.

    ``forcing`` says what is forced into responses: budgets, delimiters, waits and the answer prefix.  With ``bfloat16``
    a copy of the weights is rounded and sampled from; those of ``lm`` stay as they are.  ``contrast`` is a second model
    to decode away from; UserError if it has another vocabulary.
    """
    return ENGINES[kind](lm, forcing, bfloat16=bfloat16, contrast=contrast)
