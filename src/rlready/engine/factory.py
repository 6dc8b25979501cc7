"""The one place where engines are made."""

from __future__ import annotations

from pathlib import Path

from rlready.core.settings import is_url
from rlready.engine.budget import Forcing
from rlready.engine.contrastive import Contrast
from rlready.engine.protocol import Engine
from rlready.engine.torch import TorchEngine
from rlready.models.lm import LM
from rlready.runs.run import Run


def open_engine(
    kind: str,
    lm: LM,
    forcing: Forcing,
    *,
    bfloat16: bool = False,
    contrast: Contrast | None = None,
    handover: Path | None = None,
) -> Engine:
    """An engine of this kind that samples from ``lm``: torch, vllm, vllm-server, or the address of a server.

    ``forcing`` says what is forced into responses: budgets, delimiters, waits and the answer prefix.  With ``bfloat16``
    a copy of the weights is rounded and sampled from; those of ``lm`` stay as they are.  ``contrast`` is a second model
    to decode away from, by torch alone; UserError if it has another vocabulary.  ``handover``: the model
    learns between samples, and a server that runs already finds its weights in this folder.
    """
    if kind == "torch":
        return TorchEngine(lm, forcing, bfloat16=bfloat16, contrast=contrast)
    if kind == "vllm":
        from rlready.engine.vllm import VLLMEngine

        return VLLMEngine(lm, forcing, bfloat16=bfloat16, training=handover is not None)
    from rlready.engine.vllm_server import ServerEngine

    return ServerEngine(lm, forcing, bfloat16=bfloat16, url=kind if is_url(kind) else "", handover=handover)


def note_engine(kind: str, run: Run) -> None:
    """Record what the engine of a run does not promise."""
    if kind != "torch":
        run.warn(
            f"engine={kind}: what vLLM draws depends on what is drawn with it, so that a run which is stopped and "
            "continued has other samples than an unbroken one, from the same distribution"
        )
