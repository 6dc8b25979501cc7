"""Jobs on Ray: the cores of this machine, or a cluster whose nodes share this disk.  The only file that knows Ray.

Every job asks for its threads as Ray CPUs, and for a GPU where its device is one, so Ray places no more beside each
other than there are cores for; nodes that join while the sweep runs are used.  A worker that dies (out of memory, node
lost) is tried once more: its run folder continues where it was.
"""

from __future__ import annotations

import os
import time
from typing import Any

from rlready.core.errors import UserError
from rlready.sweep.executors import POLICY, Order, Report, perform

MOMENT = 1.0  # seconds


class Cluster:
    """See ``work.Executor``."""

    def __init__(self, address: str, workers: int, threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise UserError(
                "jobs beside each other need Ray: pip install 'rlready[ray]'; or workers=0, one after another"
            ) from None
        self.ray, self.threads = ray, threads
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not address:
            settings |= {"num_cpus": workers * threads, "include_dashboard": False}
        try:
            ray.init(address or "local", **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"no Ray at {address or 'this machine'}: {' '.join(str(error).split())[:200]}") from None
        nodes: Any = ray.nodes
        if threads > max((n["Resources"].get("CPU", 0) for n in nodes() if n["Alive"]), default=0):
            ray.shutdown()
            raise UserError(f"threads={threads} are more processors than any node of {address} has")
        runtime = {"env_vars": POLICY | {"OMP_NUM_THREADS": str(threads)}}
        self._resources: Any = ray.cluster_resources
        self._perform: Any = ray.remote(num_cpus=threads, max_retries=1, runtime_env=runtime)(_remote)
        self._running: dict[Any, Order] = {}

    def room(self) -> int:
        return max(0, int(self._resources().get("CPU", 0)) // self.threads - len(self._running))

    def begin(self, order: Order) -> None:
        gpus = 1 if order.config.device.startswith("cuda") else 0
        if gpus > self._resources().get("GPU", 0):
            raise UserError(f"{order.key} asks for device={order.config.device}, and no node here has a GPU")
        self._running[self._perform.options(num_gpus=gpus).remote(order)] = order

    def wait(self) -> list[Report]:
        if not self._running:  # no node has joined yet
            time.sleep(MOMENT)
            return []
        ended, _ = self.ray.wait(list(self._running), num_returns=1, timeout=MOMENT)
        return [self._report(each) for each in ended]

    def close(self) -> None:
        self.ray.shutdown()

    def _report(self, ended: Any) -> Report:
        order = self._running.pop(ended)
        try:
            report: Report = self.ray.get(ended)
        except self.ray.exceptions.RayError as error:
            return Report(order.key, f"its worker was lost: {' '.join(str(error).split())[:200]}", 0.0)
        return report


def _remote(order: Order) -> Report:
    from rlready.core import progress

    progress.SCREEN.quiet = True
    return perform(order)
