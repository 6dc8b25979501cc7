"""The model that a run trains: all of its weights, or a LoRA adapter."""

from __future__ import annotations

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.config.format import format_of
from rlready.core.distributed import local_device, runs_sharded
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.models.checkpoint import load, load_adapted
from rlready.models.lm import LM
from rlready.models.lora import BASE, Adapted, Lora
from rlready.runs import recorder
from rlready.runs.run import Run


def load_policy(config: SFTConfig | RLConfig, run: Run) -> LM:
    """The model of a run, ready to be trained; UserError as `load` and `load_adapted` raise it.

    The base of an adapter that is trained further is entered in the record, also one of the hub, because the state of
    a run leaves it out.
    """
    note(f"{run.verb}: loading {config.model}")
    device, sharded = local_device(config.device), runs_sharded(config.distributed)
    if not config.lora_r:
        return load(config.model, device=device, sharded=sharded, **format_of(config))
    if sharded:
        raise UserError("distributed=fsdp trains all weights; an adapter (lora_r) is small: use distributed=ddp")
    lora = Lora(config.lora_r, config.lora_alpha, config.lora_target_modules, config.seed)
    lm = load_adapted(config.model, lora, device=device, dtype=config.dtype, **format_of(config))
    kind = "a new adapter is trained"
    if lm.start != BASE:
        kind = f"the adapter of {config.model} is trained further"
        run.note_model(id=str(lm.base), path=lm.base, role=recorder.BASE)
    note(f"{run.verb}: {kind}, the base is frozen: {lm.describe()}")
    return lm


def load_starting_policy(lm: LM, config: RLConfig) -> LM:
    """The policy that training begins from, frozen: the base of an adapter, or a second model in memory."""
    return lm.starting if isinstance(lm, Adapted) else load(config.model, device=local_device(config.device))


def load_sampler(config: RLConfig) -> LM | None:
    """The model that gets a copy of the weights to sample from; None where the learner has whole weights itself."""
    if not runs_sharded(config.distributed):
        return None
    return load(config.model, device=local_device(config.device), dtype=config.dtype, **format_of(config))
