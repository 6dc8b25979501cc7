"""Models of which only a LoRA adapter is trained (Hu et al., arXiv 2106.09685), by PEFT and not merged.

The layers of the base get the adapter beside their weights, in place, so the model is used as before; what trains it
takes the parameters that require a gradient.  One base may have several adapters: the one that is trained, a frozen
copy of the one that training began from, and those of other checkpoints.  `Adapted.active` chooses among them.

The checkpoint of an adapter is a folder in PEFT's format.  `checkpoint.load` merges it into its base.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.messages import warn
from rlready.models import adapter
from rlready.models.checkpoint_files import ADAPTER_WEIGHTS
from rlready.models.checksums import verify_base
from rlready.models.lm import LM
from rlready.runs.content import ADAPTER
from rlready.runs.files import read_json

TRAINED, START, OTHER = "default", "start", "other"  # names of adapters in PEFT's wrapper
BASE = ""  # the name for none of them
ALL_LINEAR = "all-linear"  # PEFT's name for all linear layers but the head
ALPHA = 32  # TRL's default, and that of "LoRA Without Regret"
MATRIX = (".lora_A.weight", ".lora_B.weight")
PLAIN_STARTS = (True, False, "gaussian", "orthogonal")  # values of init_lora_weights that leave the base as it is
# settings of LoRA's variants, which do more than add B A to a weight
VARIANTS = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "layer_replication",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
)


@dataclass(frozen=True)
class Lora:
    """A new adapter: rank ``r``, what it adds is scaled by ``alpha / r``, and the names of the layers that get one.

    None and an empty tuple stand for the defaults, or for what the adapter has that is trained further.  ``seed`` is
    that of the random matrices A; the matrices B begin at 0.
    """

    r: int
    alpha: int | None = None
    target_modules: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Adapted(LM):
    """A base with adapters.

    ``wrapped`` is PEFT's wrapper of ``model``, ``adapter`` the name there of the adapter that this model has (`BASE`:
    none), ``start`` that of the policy that training begins from, and ``base`` the folder of the base.
    """

    wrapped: Any
    base: Path
    adapter: str = TRAINED
    start: str = BASE

    @property
    def starting(self) -> Adapted:
        """The policy that training began from: the same base, without adapter or with a frozen one."""
        return replace(self, adapter=self.start)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Switch to this adapter, frozen, and at the end back to the one before; one thread at a time."""
        if self.adapter == BASE:
            with self.wrapped.disable_adapter():
                yield
            return
        before = self.wrapped.active_adapter
        self.wrapped.set_adapter(self.adapter, inference_mode=self.adapter != TRAINED)
        try:
            yield
        finally:
            self.wrapped.set_adapter(before, inference_mode=before != TRAINED)

    def matrices(self) -> dict[str, Tensor]:
        """The weights of the adapter by PEFT's names; none for the base."""
        from peft import get_peft_model_state_dict

        if self.adapter == BASE:
            return {}
        found: dict[str, Tensor] = get_peft_model_state_dict(
            self.wrapped, adapter_name=self.adapter, save_embedding_layers=False
        )
        return found

    def describe(self) -> str:
        """The adapter in words."""
        config = self.wrapped.peft_config[self.adapter]
        weights = sum(weight.numel() for weight in self.matrices().values())
        modules = ", ".join(config.target_modules) if isinstance(config.target_modules, list) else config.target_modules
        return f"r={config.r}, alpha={config.lora_alpha:g}, {weights:,} weights in {modules}"

    def save(self, folder: Path) -> None:
        """Write the adapter into a folder, in PEFT's format."""
        from safetensors.torch import save_file

        self.wrapped.peft_config[self.adapter].save_pretrained(folder)
        matrices = {name: weight.contiguous() for name, weight in self.matrices().items()}
        save_file(matrices, folder / ADAPTER_WEIGHTS[0], metadata={"format": "pt"})


def require_peft() -> None:
    """UserError without the package peft."""
    try:
        import peft  # noqa: F401
    except ImportError:
        raise UserError("lora_r needs the package peft: pip install 'rlready[peft]'") from None


def is_plain(folder: Path, source: str) -> bool:
    """Whether a folder holds a LoRA adapter whose base is left as it is, and that only adds B A to weights."""
    config = read_json(folder / ADAPTER)
    held = adapter.weights_of(folder, source)
    return (
        config.get("peft_type") == "LORA"
        and not any(config.get(name) for name in VARIANTS)
        and config.get("init_lora_weights", True) in PLAIN_STARTS
        and all(name.endswith(MATRIX) for name in held)
    )


def new_adapter(model: Any, lora: Lora, base: str) -> Any:
    """PEFT's wrapper of a model that has a new adapter, to be trained; ``base`` is where others find the model.

    Raises UserError if the model has no layers with the names that the settings give.
    """
    from peft import LoraConfig, PeftModelForCausalLM

    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha or ALPHA,
        target_modules=_targets(model, lora.target_modules),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lora.seed)
        wrapped = PeftModelForCausalLM(model, config, adapter_name=TRAINED)
    _make_savable(config)
    return wrapped


def continued_adapter(model: Any, folder: Path, source: str, lora: Lora, base: str) -> Any:
    """PEFT's wrapper of a base that has the adapter of a folder, to be trained further, and a frozen copy of it.

    Raises UserError for an adapter that does more than add matrices to weights, and where settings differ from its own.
    """
    if not is_plain(folder, source):
        raise UserError(
            f"{source}: this adapter changes more than LoRA's matrices A and B, so it cannot be trained further as an "
            "adapter; leave lora_r out, which merges it into its base and trains all weights"
        )
    wrapped = adapter.attached(model, folder, source, name=TRAINED)
    config = wrapped.peft_config[TRAINED]
    _refuse_other_settings(config, lora, source)
    _make_savable(config)
    if config.lora_dropout:
        warn(f"{source}: warning: its lora_dropout of {config.lora_dropout:g} is not applied here, and saved as 0")
        config.lora_dropout = 0.0
    config.base_model_name_or_path = base
    wrapped.add_adapter(START, replace(config, inference_mode=True))
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if f".{START}." in name:
                weight.copy_(weights[name.replace(f".{START}.", f".{TRAINED}.")])
    wrapped.set_adapter(TRAINED)
    return wrapped


def beside(lm: LM, folder: Path, source: str) -> Adapted | None:
    """The model of a folder as the base of ``lm``, with the adapter of the folder if it has one.

    None if the folder has another base or none that can be shared; at most one adapter is added in this way.
    """
    if not isinstance(lm, Adapted):
        return None
    name = BASE
    if (folder / ADAPTER).exists():
        if not os.path.samefile(adapter.base_of(folder, source), lm.base) or not is_plain(folder, source):
            return None
        verify_base(folder, lm.base, source)
        name, before = OTHER, lm.wrapped.active_adapter
        adapter.attached(lm.model, folder, source, name=name, wrapped=lm.wrapped)
        lm.wrapped.set_adapter(before, inference_mode=before != TRAINED)
    elif not os.path.samefile(folder, lm.base):
        return None
    return replace(lm, source=source, adapter=name)


def share_a_base(folders: Sequence[Path], sources: Sequence[str]) -> bool:
    """Whether all folders hold plain adapters of one base."""
    pairs = list(zip(folders, sources, strict=True))
    if not all((folder / ADAPTER).exists() and is_plain(folder, source) for folder, source in pairs):
        return False
    first, *others = (adapter.base_of(folder, source) for folder, source in pairs)
    return all(os.path.samefile(first, other) for other in others)


def _make_savable(config: Any) -> None:
    """Settings as they are written: modules in one order, so that the same run writes the same bytes."""
    config.inference_mode = True
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)


def _targets(model: Any, named: tuple[str, ...]) -> list[str]:
    """The names of the layers that get an adapter: by default the kinds of linear layers, without the head.

    UserError for a name that no linear layer has, which PEFT would ignore if another name matches.
    """
    from transformers.pytorch_utils import Conv1D

    layers = {name: module for name, module in model.named_modules() if type(module) in (torch.nn.Linear, Conv1D)}
    inner = [name for name, module in layers.items() if module is not model.get_output_embeddings()]
    kinds = sorted({name.rpartition(".")[2] for name in inner})
    if named in ((), (ALL_LINEAR,)):
        return kinds if not any(kind.isdigit() for kind in kinds) else inner
    unknown = [each for each in named if not any(f".{name}".endswith(f".{each}") for name in layers)]
    if unknown:
        raise UserError(f"lora_target_modules: the model has no linear layer {unknown[0]}; it has {', '.join(kinds)}")
    return list(named)


def _refuse_other_settings(config: Any, lora: Lora, source: str) -> None:
    """UserError for settings that the adapter that is trained further does not have."""
    targets = config.target_modules
    known = sorted(targets) if isinstance(targets, set | list) else targets
    asked: list[tuple[str, object, object]] = [("lora_r", lora.r, config.r)]
    if lora.alpha is not None:
        asked.append(("lora_alpha", lora.alpha, config.lora_alpha))
    if lora.target_modules:
        asked.append(("lora_target_modules", sorted(lora.target_modules), known))
    for name, value, has in asked:
        if value != has:
            shown = [",".join(v) if isinstance(v, list) else v for v in (value, has)]
            raise UserError(
                f"{source}: an adapter with {name}={shown[1]}, which goes on with its own settings, not with "
                f"{name}={shown[0]}; set {name}={shown[1]}, or leave lora_r out to merge it and train all weights"
            )
