"""Models whose weights are sharded over the processes of a run: FSDP2, as transformers applies it when it loads them.

A weight is a DTensor; FSDP gathers the weights of a layer before its forward pass and frees them after it, in hooks of
the modules.  All processes must call what is marked *collective*, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rlready.core.distributed import gathered, rank, world_size
from rlready.core.errors import UserError
from rlready.models.batch import Batch, Example, supervised
from rlready.models.logprob import token_logprobs

METHOD = "_rlready_logprobs"
FILLER = [supervised([0], [0])]  # rows that only keep a process in step with the others


def is_sharded(model: Any) -> bool:
    return bool(getattr(model, "_is_fsdp_managed_module", False))


def shards(device: str) -> Any:
    """For ``from_pretrained(distributed_config=...)``; UserError where FSDP would not use ``device``."""
    from transformers.distributed.configuration_utils import DistributedConfig

    if device.startswith("cpu") and torch.cuda.is_available():
        raise UserError("distributed=fsdp shards over the GPUs of this machine: use device=cuda, or distributed=ddp")
    return DistributedConfig(fsdp_size=world_size())


def shard_of(tensor: Any) -> Tensor:
    """What this process holds of a weight, which may be empty."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def whole(tensor: Any) -> Tensor:
    """A tensor gathered from its shards.  Collective."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def sharded_logprobs(model: Any, rows: Sequence[Example], temperature: float) -> tuple[Tensor, Tensor]:
    """`token_logprobs` of a sharded model.  Collective, in its backward pass too.

    The hooks of FSDP run where the model itself is called, so `token_logprobs` is made a method that counts as such.
    """
    from torch.distributed.fsdp import register_fsdp_forward_method

    if not hasattr(model, METHOD):
        setattr(model, METHOD, partial(token_logprobs, model))
        register_fsdp_forward_method(model, METHOD)
    found: tuple[Tensor, Tensor] = getattr(model, METHOD)(rows, temperature)
    if not torch.is_grad_enabled():
        reshard(model)
    return found


def fillers(model: Any, batches: Sequence[Batch]) -> list[Sequence[Example]]:
    """The rows that this process has to feed to a sharded model besides its batches, so that all feed as many batches.

    Collective; none for other models.
    """
    return [FILLER] * (max(gathered(len(batches))) - len(batches)) if is_sharded(model) else []


def reshard(model: Any) -> None:
    """Free gathered weights, which stay after a forward pass without a backward pass and would soon be outdated."""
    for module in _sharded_modules(model):
        module.reshard()


def sum_gradients(model: Any) -> None:
    """Have FSDP sum the gradients of the processes, as the loss is a sum, instead of averaging them."""
    for module in _sharded_modules(model):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # the other way to multiply by 1 needs NCCL


def _sharded_modules(model: Any) -> list[Any]:
    if not is_sharded(model):
        return []
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


@torch.no_grad()
def copy_whole_weights(model: Any, copy: Any) -> None:
    """Copy the weights of a sharded model into an unsharded one of the same architecture.  Collective."""
    into = dict(copy.named_parameters())
    for name, weight in model.named_parameters():
        into[name].copy_(whole(weight))


def whole_weights(model: Any) -> dict[str, Tensor] | None:
    """The weights of a sharded model, on rank 0, by the names that a checkpoint has; None for others.  Collective."""
    return whole_state(dict(model.named_parameters())) if is_sharded(model) else None


def whole_state(state: Any) -> Any:
    """The state of a model or an optimiser with whole tensors, on rank 0 in main memory if it is sharded.

    Collective.
    """
    if isinstance(state, dict):
        return {key: whole_state(value) for key, value in state.items()}
    if hasattr(state, "full_tensor"):
        full = state.detach().full_tensor()
        return full.cpu() if rank() == 0 else None
    return state


def load_whole_state(model: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the `whole_state` of ``model`` and ``optimizer``, of which a sharded model takes its shards."""
    if is_sharded(model):
        held = model.state_dict()
        state["model"] = {name: _sharded_like(held[name], value) for name, value in state["model"].items()}
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for number, moments in state["optimizer"]["state"].items():
            for name, value in moments.items():
                moments[name] = _sharded_like(parameters[number], value) if value.dim() else value
    model.load_state_dict(state["model"], strict=False)  # the base of an adapter is not in it
    optimizer.load_state_dict(state["optimizer"])


def _sharded_like(weight: Any, value: Tensor) -> Tensor:
    """This process's part of a whole tensor that every process has."""
    from torch.distributed.tensor import distribute_tensor

    if not hasattr(weight, "device_mesh"):
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)
