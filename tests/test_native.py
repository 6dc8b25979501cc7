"""The kernels in C: each against the plain expression in double precision; how they are compiled, kept and checked."""

from __future__ import annotations

import copy
import ctypes
import hashlib
import math
import os
import platform
import pwd
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from torch import Tensor

from rlready.engine import sampling
from rlready.engine.sampling import draw
from rlready.models.batch import supervised
from rlready.models.llama import fused as elementwise
from rlready.models.llama import kernel_library
from rlready.models.llama import kernels as native
from rlready.models.llama.attention import Attention
from rlready.models.llama.mlp import mlp
from rlready.models.llama.packing import pack

pytestmark = pytest.mark.usefixtures("one_thread")
compiled = pytest.mark.skipif(native.loaded() is None, reason="there is no C compiler")


def targets() -> list[str]:
    """This processor, and what it can do of narrower ones: 16, 8 and 4 numbers to a vector."""
    others = {"haswell": "AVX", "x86-64": ""} if platform.machine() == "x86_64" else {}
    here = torch.backends.cpu.get_cpu_capability()
    return ["native", *(name for name, needs in others.items() if here.startswith(needs))]


@pytest.fixture(params=targets())
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels as compiled for that processor."""
    flags = [f"-march={request.param}" if flag.startswith("-march") else flag for flag in native.FLAGS]
    monkeypatch.setattr(native, "FLAGS", flags)
    native.loaded.cache_clear()
    yield
    native.loaded.cache_clear()


@pytest.fixture
def fresh() -> Iterator[None]:
    """What is compiled is looked for anew, before and after."""
    native.loaded.cache_clear()
    yield
    native.loaded.cache_clear()


def close(mine: Tensor, theirs: Tensor, size: float = 1.0) -> None:
    torch.testing.assert_close(mine.double(), theirs.double(), atol=2e-6 * size, rtol=2e-6)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def doubled(*tensors: Tensor) -> list[Tensor]:
    return [t.detach().double().requires_grad_() for t in tensors]


# ------------------------------------------------------------------------------------------- one operation each


@compiled
@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("m", "n", "depth"), [(1, 16, 1), (5, 48, 7), (97, 80, 33), (200, 128, 900), (13, 208, 400)])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)])
def test_products(m: int, n: int, depth: int, turned: tuple[bool, bool]) -> None:
    """Rows and columns beyond whole tiles, depths beyond what is laid out at a time, either factor transposed."""
    a, b = numbers(m, depth).detach(), numbers(depth, n, seed=1).detach()
    before = numbers(m, n, seed=2).detach()
    wanted = a.double() @ b.double()
    given = [t.t().contiguous().t() if turn else t for t, turn in zip((a, b), turned, strict=True)]
    for add in (False, True):
        into = before.clone()
        strides = [(t.data_ptr(), *t.stride()) for t in given]
        native.call("multiply", m, n, depth, *strides[0], *strides[1], into, n, add)
        close(into, wanted + add * before.double(), math.sqrt(depth))


@compiled
@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("biased", [True, False])
def test_linears(biased: bool) -> None:
    x, weights = numbers(37, 32), [numbers(48, 32, seed=1), numbers(16, 32, seed=2)]
    biases = [numbers(48, seed=3), None] if biased else [None, None]
    grads = [numbers(37, 48, seed=4).detach(), numbers(37, 16, seed=5).detach()]
    inputs = [t for t in (x, *weights, *biases) if t is not None]
    found = torch.autograd.grad(elementwise.linears(x, weights, biases), inputs, grads)
    double = doubled(*inputs)
    plain = [double[0] @ double[1].T + (double[3] if biased else 0), double[0] @ double[2].T]
    for mine, theirs in zip(found, torch.autograd.grad(plain, double, [g.double() for g in grads]), strict=True):
        close(mine, theirs, 8)


@compiled
@pytest.mark.usefixtures("target")
def test_norm_and_sum() -> None:
    x, more, weight = numbers(9, 48), numbers(9, 48, seed=1), numbers(48, seed=2)
    grads = [numbers(9, 48, seed=3).detach(), numbers(9, 48, seed=4).detach()]
    summed, normed = elementwise.added_norm(x, more, weight, 1e-6)
    a, b, w = doubled(x, more, weight)
    total = a + b
    scaled = w * total * torch.rsqrt(total.square().mean(-1, keepdim=True) + 1e-6)
    close(summed, total)
    close(normed, scaled)
    wanted = torch.autograd.grad([total, scaled], [a, b, w], [g.double() for g in grads], retain_graph=True)
    for mine, theirs in zip(torch.autograd.grad([summed, normed], [x, more, weight], grads), wanted, strict=True):
        close(mine, theirs, 4)
    alone = elementwise.norm(x, weight, 1e-6)  # nothing added
    plain = w * a * torch.rsqrt(a.square().mean(-1, keepdim=True) + 1e-6)
    close(alone, plain)
    wanted = torch.autograd.grad(plain, [a, w], grads[0].double())
    for mine, theirs in zip(torch.autograd.grad(alone, [x, weight], grads[0]), wanted, strict=True):
        close(mine, theirs, 4)


@compiled
@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("size", [5, 16, 83])
def test_gates(size: int) -> None:
    """From far below zero to far above it."""
    gate, up, grad = numbers(size), numbers(size, seed=1), numbers(size, seed=2).detach()
    with torch.no_grad():
        gate[: min(size, 5)] = torch.tensor([-200.0, -90.0, 0.0, 90.0, 200.0])
    g, u = doubled(gate, up)
    mine, plain = elementwise.gated(gate, up), torch.nn.functional.silu(g) * u
    close(mine, plain, 10)
    for one, other in zip(
        torch.autograd.grad(mine, [gate, up], grad), torch.autograd.grad(plain, [g, u], grad.double()), strict=True
    ):
        close(one, other, 10)


@compiled
@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("rows", "width", "hidden"), [(1, 16, 16), (100, 48, 80), (200, 400, 416)])
def test_gated_mlp(rows: int, width: int, hidden: int) -> None:
    """More rows than a block, more depth than is laid out at a time; also with biases, operation by operation."""
    x, grad = numbers(rows, width), numbers(rows, width, seed=1).detach()
    shapes = [(width, hidden), (width, hidden), (hidden, width)]
    for biased in (False, True):
        layers = [torch.nn.Linear(*shape, bias=biased) for shape in shapes]
        inputs = [x, *(p for layer in layers for p in layer.parameters())]
        with torch.no_grad():
            for i, parameter in enumerate(inputs[1:]):
                parameter.copy_(numbers(*parameter.shape, seed=2 + i) / parameter.shape[-1] ** 0.5)
        mine = mlp(x, *layers)
        found = torch.autograd.grad(mine, inputs, grad)
        gate, up, down = (layer.double() for layer in copy.deepcopy(layers))
        double = doubled(x)[0]
        plain = down(torch.nn.functional.silu(gate(double)) * up(double))
        parameters = [p for layer in (gate, up, down) for p in layer.parameters()]
        close(mine, plain, 4)
        wanted = torch.autograd.grad(plain, [double, *parameters], grad.double())
        for one, other in zip(found, wanted, strict=True):
            close(one, other, 2 * max(1, rows**0.5))


@compiled
@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(2, 2, 16), (6, 2, 32)])
def test_attention(heads: int, kv_heads: int, width: int, shared: bool, narrow: bool) -> None:
    """As over tables, in double precision: shared prompts, many keys, and where only some tokens ask."""
    sizes = [(i, n) for i in range(3) for n in (5, 4 + 17 * i, 40)]
    prompts = [list(range(3 + 20 * i)) for i, _ in sizes]
    if not shared:
        prompts = [[i, *prompt] for i, prompt in enumerate(prompts)]
    rows = [supervised(p, list(range(2, n))) for p, (_, n) in zip(prompts, sizes, strict=True)]
    packed = pack(rows, "cpu")
    asking = packed.query_index if narrow else None
    assert bool(packed.prompt_lengths) == shared
    assert len(packed.query_index) < len(packed.ids_N)
    tokens, asked = len(packed.ids_N), len(packed.query_index) if narrow else len(packed.ids_N)
    angles = 6 * torch.rand(tokens, width // 2, generator=torch.Generator().manual_seed(9))
    q, k, v = numbers(asked, heads, width), numbers(tokens, kv_heads, width, seed=1), numbers(tokens, kv_heads, width)
    grad = numbers(asked, heads * width, seed=3).detach()
    mine = Attention(packed, angles.cos(), angles.sin())(q, k, v, asking)
    double = doubled(q, k, v)
    plain = Attention(packed, angles.double().cos(), angles.double().sin())(*double, asking)
    close(mine, plain, 4)
    wanted = torch.autograd.grad(plain, double, grad.double())
    for one, other in zip(torch.autograd.grad(mine, [q, k, v], grad), wanted, strict=True):
        close(one, other, 40)


@compiled
@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("vocabulary", [3, 16, 126, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
def test_draws(vocabulary: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tokens as by torch, but where a number lies on the edge between two, and their log-probabilities."""
    rng = np.random.default_rng(0)
    logits, numbers_B = 3 * numbers(4000, vocabulary).detach(), rng.random(4000)
    logits[:9], numbers_B[:3] = -1e4, (0.0, 0.5, 1 - 2**-53)
    logits[range(9), torch.arange(9) % vocabulary] = 1e4  # one token has it all
    tokens, logp = draw(logits, temperature, numbers_B)
    monkeypatch.setattr(sampling, "serves", lambda *_: False)
    theirs, _ = draw(logits, temperature, numbers_B)
    assert torch.equal(tokens[:9], torch.arange(9) % vocabulary)
    assert (tokens != theirs).sum() <= 2
    wanted = torch.log_softmax(logits.double() / temperature, -1).gather(-1, tokens[:, None])[:, 0]
    close(logp, wanted, 4 / min(temperature, 1))


@compiled
@pytest.mark.usefixtures("target")
def test_nan_is_not_hidden() -> None:
    logits = torch.zeros(2, 40)
    logits[1, 7] = math.nan
    _, logp = draw(logits, 1.0, np.array([0.5, 0.5]))
    assert logp.isfinite().tolist() == [True, False]
    assert not elementwise.gated(torch.full((16,), math.nan), torch.ones(16)).isfinite().any()
    assert not elementwise.norm(torch.full((1, 16), math.nan), torch.ones(16), 1e-6).isfinite().any()


# ------------------------------------------------------------------------------------------- when they are used


def test_which_tensors_are_supported() -> None:
    x = torch.ones(2, 32)
    assert native.serves(x, 32) == (native.loaded() is not None)
    assert not native.serves(x, 24)
    assert not native.serves(x.double(), 32)
    assert not native.serves(x.to("meta"), 32)
    torch.set_num_threads(2)
    shared = native.serves(x, 32)  # torch would share the work
    torch.set_num_threads(1)
    assert not shared


@compiled
def test_only_contiguous_tensors() -> None:
    x = torch.ones(32, 32).t()
    with pytest.raises(ValueError, match="not contiguous"):
        native.call("gated_forward", 16, x[:, :2], x, x)


# ------------------------------------------------------------------------------------- compiled, kept and checked


COMPILER = """#!/bin/sh
[ "$PREDEFINED" ] && echo "$PREDEFINED"
while [ $# -gt 0 ]; do
    [ "$1" = -o ] && echo made >> "$0.log" && cp "$MADE" "$2"
    shift
done
exit 0
"""


@pytest.fixture
def made(tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and a compiler that copies the kernels compiled before, and adds a line to this file."""
    kernels = native.loaded()
    assert kernels is not None
    script = tmp_path / "compiler"
    script.write_text(COMPILER)
    script.chmod(0o700)
    for name, value in {"CC": script, "MADE": kernels.functions._name, "XDG_CACHE_HOME": tmp_path / "cache"}.items():
        monkeypatch.setenv(name, str(value))
    native.loaded.cache_clear()
    return tmp_path / "compiler.log"


def load_again() -> bool:
    native.loaded.cache_clear()
    return native.loaded() is not None


def rewrite(file: Path, content: bytes) -> None:
    file.unlink()  # this process has it in its memory
    file.write_bytes(content)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def link(file: Path) -> None:
    file.symlink_to(file.rename(file.with_name("elsewhere")))


DAMAGE = {
    "cut": lambda file: rewrite(file, file.read_bytes()[:20000]),  # to load this would end the process by SIGBUS
    "empty": lambda file: rewrite(file, b""),
    "changed": lambda file: rewrite(file, file.read_bytes()[:-1] + b"!"),
    "link": link,
    "writable": lambda file: file.chmod(0o666),
    "of other sources": lambda file: file.rename(file.with_name(f"{file.name[:25]}{sha256(file)[:32]}.so")),
}


@compiled
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_compiled_again(damage: Callable[[Path], object], made: Path, capsys) -> None:
    assert load_again()
    (file,) = (made.parent / "cache/rlready").iterdir()
    damage(file)
    assert load_again()
    assert load_again()
    assert made.read_text() == 2 * "made\n"
    assert capsys.readouterr().err.count("is damaged or not this user's: the C kernels are compiled again") == 1


@compiled
def test_kernels_of_unlike_nodes_do_not_meet(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One home, and processors, compilers, flags or C libraries that differ."""
    assert load_again()
    monkeypatch.setenv("PREDEFINED", '#define __VERSION__ "9.1"')
    assert load_again()
    monkeypatch.setenv("CC", f"{made.parent}/compiler -g")
    assert load_again()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.99"))
    assert load_again()
    kernels = native.loaded()
    assert len(list((made.parent / "cache/rlready").iterdir())) == 4
    assert kernels is not None
    assert kernels.build.split()[1] == "9.1"


@compiled
def test_others_cannot_write_the_cache(made: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    folder = made.parent / "cache/rlready"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert load_again()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())] == [0o700, 0o600]
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert load_again()
    assert made.read_text() == 2 * "made\n"
    assert f"{folder} belongs to another user, or others can write it; set XDG_CACHE_HOME" in capsys.readouterr().err


@compiled
@pytest.mark.parametrize("home", [None, "/dev/null"], ids=["no home", "no folder"])
def test_without_a_cache_they_are_compiled_for_one_process(
    home: str | None, made: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Containers run as users that have no entry in the list of users."""

    def nobody(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    if home:
        monkeypatch.setenv("HOME", home)
    scratch = made.parent / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert load_again()
    assert load_again()
    assert made.read_text() == 2 * "made\n"
    assert capsys.readouterr().err.count("the C kernels are compiled again by every command") == 2
    assert list(scratch.iterdir()) == []


@compiled
def test_compiled_once_by_threads_and_processes_at_once(made: Path) -> None:
    x = torch.ones(16)

    def serves() -> bool:
        torch.set_num_threads(1)
        return native.serves(x, 16)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: serves(), range(4)))
        assert made.read_text() == "made\n"
        (file,) = (made.parent / "cache/rlready").iterdir()
        file.unlink()
        command = [os.environ["CC"], *native.FLAGS]
        both = pool.map(lambda _: kernel_library.library(command, list(native.SIGNATURES)), range(2))  # as processes do
        assert {kernels.functions._name for kernels in both} == {str(file)}
    assert list(file.parent.iterdir()) == [file]


WRITES = """sh -c 'while [ $# -gt 0 ] && [ "$1" != -o ]; do shift; done; [ $# = 0 ] || %s $2' sh"""
BAD = [
    ("false", "false ended with exit code 1"),
    ("/no/such/compiler", "/no/such/compiler cannot be started"),
    ("cc 'x", "No closing quotation"),
    ("true", "true wrote nothing"),
    (WRITES % ": >", "what sh has made does not work (OSError: "),
    pytest.param(WRITES % "cc -shared -x c /dev/null -o", "undefined symbol", marks=compiled),
]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("compiler", "why"), BAD)
def test_without_a_compiler(
    compiler: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once with the reason, everything works, and nothing is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", compiler)
    x, weight = numbers(4, 16), torch.ones(16)
    assert not native.serves(x, 16)
    assert not native.serves(x, 16)
    said = capsys.readouterr().err
    assert said.count("the C kernels are not used") == said.count("\n") == 1
    assert why in said
    assert native.in_use() == "none"
    assert list(tmp_path.glob("rlready/*")) == []
    close(elementwise.norm(x, weight, 1e-6), x / x.square().mean(-1, keepdim=True).sqrt())


@pytest.mark.usefixtures("fresh")
def test_a_compiler_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """With the processes that it has started."""
    monkeypatch.setattr(kernel_library, "PATIENCE", 0.5)
    monkeypatch.setenv("CC", f"sh -c 'sleep 60 & echo $! > {tmp_path}/child; wait'")
    assert native.loaded() is None
    assert "sh has not ended after" in capsys.readouterr().err
    status = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    until = time.monotonic() + 10
    with suppress(OSError):  # it is gone
        while status.read_text().split()[2] != "Z":  # the signal takes a moment
            assert time.monotonic() < until
            time.sleep(0.01)


@compiled
@pytest.mark.usefixtures("fresh")
def test_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept in the cache, by what it was made of; nothing else is left there.  Flags in CC cannot hide the kernels."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "cc -fvisibility=hidden")
    assert load_again()
    (file,) = (tmp_path / "rlready").iterdir()
    first = file.stat().st_mtime_ns
    assert load_again()
    assert [f.stat().st_mtime_ns for f in (tmp_path / "rlready").iterdir()] == [first]
    assert ctypes.CDLL(str(file)).multiply
