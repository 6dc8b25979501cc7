"""The configuration of a model as Transformers reads it, and the model that it describes: shapes without weights."""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from typing import Any

import torch

from rlready.models.checkpoint_files import GENERATION, check_heads
from rlready.models.transformers_errors import refused, warnings_noted
from rlready.models.weights import AGAIN
from rlready.runs.content import CONFIG

BUILDING = RLock()  # transformers changes modules of torch and its own while it builds a model


def config_of(folder: Path) -> Any:
    """The configuration of a folder; UserError, in one line, for one that Transformers cannot read."""
    from transformers import AutoConfig

    with refused(str(folder / CONFIG), "describes no model", AGAIN), warnings_noted(folder / CONFIG):
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    check_heads(folder, config)
    config.return_dict = True  # settings of the trainer's call, not of the model
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    config._attn_implementation = "eager" if capped else None  # the default attention would leave out the cap
    return config


def generation_config_of(folder: Path) -> Any:
    """The settings of sampling that stand beside a model; None where it has none."""
    from transformers import GenerationConfig

    if not (folder / GENERATION).exists():
        return None
    with refused(str(folder / GENERATION), "cannot be used", "correct or delete it"):
        return GenerationConfig.from_pretrained(str(folder), local_files_only=True)


def plan_of(folder: Path, config: Any) -> Any:
    """The model that a configuration describes, with shapes but no weights."""
    from transformers import AutoModelForCausalLM

    with BUILDING, refused(str(folder / CONFIG), "describes no causal language model", AGAIN), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
