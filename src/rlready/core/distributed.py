"""The processes that torchrun has started for one run: which of them this is, and how they exchange objects.

``rank`` and ``world_size`` are 0 and 1 until `join` has connected this process with the others, so a process that runs
alone never touches ``torch.distributed``.  Rank 0 writes and prints; `runs/files.py` does nothing on the others.  All
decisions are made from data that every process has, or by rank 0 (`from_rank0`): a process that took another branch
would leave the others waiting in a collective operation.  *Collective* marks what all have to call, in the same order.

A process that fails or is killed ends all in seconds: the connection that breaks raises an error in the others
(`why_lost`), torchrun sends them SIGTERM, and `end_after_signal` ends one that a GPU keeps waiting.  One that hangs
ends them after `TIMEOUT`, and torchrun kills it 30 seconds later.  Of all processes the first to `speak_first` prints
its line.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from rlready.core.errors import UserError
from rlready.core.progress import SCREEN
from rlready.core.stopping import STOPPED

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # which torchrun sets
# the longest that processes wait for one that goes on alone: rank 0 hashes the inputs, and writes and hashes a state,
# which takes about half an hour for 100 GB (8 billion parameters with AdamW) on a disk of 100 MB/s
TIMEOUT = timedelta(hours=1)
GRACE = 2.0  # seconds from SIGTERM until a process that is kept waiting ends at once
# what the errors of gloo, NCCL and the store say of a process that has ended
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "ncclRemoteError", "got 0 bytes")
SILENT = ("Timed out waiting", "before timing out", "wait timeout after")  # and of one that does not answer


class ProcessLost(UserError):
    """Another process of the run has ended, so that this one cannot go on."""


@dataclass(frozen=True)
class _Group:
    rank: int
    size: int
    store: Store


_group: _Group | None = None  # set by `join`
_alone: ContextVar[bool] = ContextVar("alone", default=False)


def rank() -> int:
    """The number of this process, from 0."""
    return _group.rank if _group else 0


def world_size() -> int:
    """The number of processes of the run."""
    return _group.size if _group else 1


def is_launched() -> bool:
    """Whether torchrun has started this process as one of several that are to work together."""
    return not _alone.get() and all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


@contextmanager
def working_alone() -> Iterator[None]:
    """Let this process work by itself, while others that torchrun has started with it do something else."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def join() -> None:
    """Connect this process with the others, if torchrun has started it as one of several; all have to call this.

    UserError if this machine has fewer GPUs than processes.
    """
    global _group  # noqa: PLW0603 (a process is in one group)
    if _group or not is_launched():
        return
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    store, number, size = next(rendezvous("env://", timeout=TIMEOUT))
    _group = _Group(number, size, store)
    SCREEN.mute = number > 0
    if 0 < gpus <= here:
        raise UserError(f"torchrun has started more processes than this machine has GPUs: use --nproc-per-node {gpus}")
    if gpus:
        torch.cuda.set_device(here)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo",
        store=PrefixStore("rlready", store),
        rank=number,
        world_size=size,
        timeout=TIMEOUT,
        device_id=torch.device("cuda", here) if gpus else None,
    )


def leave() -> None:
    """Disconnect this process, when all have done their work."""
    global _group
    if _group:
        import torch.distributed as dist

        dist.destroy_process_group()
        _group, SCREEN.mute = None, False


def local_device(device: str) -> str:
    """The PyTorch device of this process: of several processes on a machine each has its GPU.

    UserError for the number of a GPU, which all processes would use.
    """
    kind, _, index = device.partition(":")
    if world_size() == 1 or kind == "cpu":
        return device
    if index:
        raise UserError(f"device={device} names one GPU, but there are {world_size()} processes; use device={kind}")
    return f"{kind}:{os.environ.get('LOCAL_RANK', '0')}"


def runs_sharded(distributed: str) -> bool:
    """Whether the setting ``distributed`` asks for shards, and there are processes to hold them."""
    return distributed == "fsdp" and world_size() > 1


def across_processes(distributed: str) -> str:
    """Behind a verb in a sentence: in how many processes, if there are several, and what each holds."""
    return f" in {world_size()} processes ({distributed})" if world_size() > 1 else ""


def launcher() -> str:
    """What starts a command in as many processes, with a space behind it; empty for one process."""
    if world_size() == 1:
        return ""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = f"--nnodes {world_size() // local} " if local < world_size() else ""
    return f"torchrun {nodes}--nproc-per-node {local} -m "


def gathered(mine: T) -> list[T]:
    """The objects of all processes, in the order of their ranks."""
    if world_size() == 1:
        return [mine]
    import torch.distributed as dist

    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, mine)
    return found


def from_rank0(make: Callable[[], T]) -> T:
    """What ``make`` returns on rank 0, which alone calls it."""
    if world_size() == 1:
        return make()
    import torch.distributed as dist

    found: list[Any] = [make() if rank() == 0 else None]
    dist.broadcast_object_list(found, src=0)
    result: T = found[0]
    return result


def refuse_differences(what: str, mine: Mapping[str, str], way: str = "start all with the same command") -> None:
    """Collective.  UserError, on all processes, if one has another value of a name than rank 0 has.

    ``what`` is said of such a process, such as "was started with other settings"; ``way``: how to go on.
    """
    first, *others = gathered(dict(mine))
    for number, other in enumerate(others, 1):
        names = [name for name in first | other if first.get(name, "") != other.get(name, "")]
        if names:
            shown = [f"{name}={other.get(name) or 'none'} instead of {first.get(name) or 'none'}" for name in names[:3]]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(f"process {number} {what}: {', '.join(shown)}{more}; {way}")


def wait_for_all() -> None:
    """Return once every process has come here."""
    gathered(None)


def share(items: Sequence[T]) -> list[T]:
    """Every ``world_size``-th item, beginning with this process's rank: together the processes have each once."""
    return list(items[rank() :: world_size()])


def united(mine: Sequence[T]) -> list[T]:
    """All items in their order, given what each process made of its `share`, one for one."""
    parts = gathered(list(mine))
    return [part[at] for at in range(len(parts[0])) for part in parts if at < len(part)]


def why_lost(error: BaseException | None) -> str:
    """What has become of another process of the run, if an error says that one is lost, else ""."""
    if isinstance(error, ProcessLost):
        return str(error)
    said = str(error) if isinstance(error, RuntimeError) and world_size() > 1 else ""
    if any(word in said for word in SILENT):
        return f"another process of the run has not answered for {TIMEOUT}"
    return "another process of the run has ended" if any(word in said for word in LOST) else ""


def speak_first() -> bool:
    """Whether no other process of the run has spoken of its end yet; one that runs alone always is the first."""
    if _group is None:
        return True
    try:
        return bool(_group.store.add("said", 1) == 1)
    except RuntimeError:  # the store has gone with the process that held it
        return _group.rank == 0


def end_after_signal(say: Callable[[], object]) -> None:
    """Have a thread end this process `GRACE` seconds after SIGTERM or SIGINT; ``say`` is called before.

    Python handles a signal when the main thread comes back from an operation, which on a GPU may wait for a process
    that has gone.  To be called in the main thread.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while os.read(reader, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        time.sleep(GRACE)
        say()
        os._exit(STOPPED)

    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True, name="end_after_signal").start()
