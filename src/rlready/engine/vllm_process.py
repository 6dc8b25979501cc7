"""Start a vLLM server for the weights that a model has, and end it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.stopping import heed_stop
from rlready.engine.vllm_client import DIRECT, WAIT
from rlready.models.lm import LM

START_SECONDS = 1800.0  # the longest that a server may take to start
# the module is that of `vllm serve`, which does not run in the CPU build, as that has another package's name;
# the server is sent SIGTERM when this process has ended, however it has (PR_SET_PDEATHSIG of Linux)
SERVE = """
import ctypes, os, runpy, sys
os.environ["VLLM_NO_USAGE_STATS"] = "1"
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
"""
ERROR = re.compile(r"\w*Error: .+")


class Server:
    """A vLLM server for the weights that a model has now, which ends with this process; ``options`` are vLLM's."""

    def __init__(self, lm: LM, dtype: str, options: Mapping[str, int | float]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rlready-vllm-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        model, log = Path(self._folder.name) / "model", Path(self._folder.name) / "log"
        lm.model.save_pretrained(model)
        lm.tokenizer.save_pretrained(str(model))
        given = {
            "host": "127.0.0.1",
            "port": port,
            "served_model_name": "model",
            "generation_config": "vllm",
            **options,
        }
        given |= {"model": str(model), "dtype": dtype, "logprobs_mode": "processed_logprobs"}
        note(f"starting a vLLM server at {self.url}")
        words = [f"--{name.replace('_', '-')}" + f"={value}" * (value is not True) for name, value in given.items()]
        words = [sys.executable, "-P", "-c", SERVE, *words]  # -P: not from the working directory
        with log.open("wb") as output:
            self._process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
        self._wait(log)

    def _wait(self, log: Path) -> None:
        """Return when the server answers; UserError if it ends or takes too long."""
        try:
            limit = time.monotonic() + START_SECONDS
            while not _healthy(self.url):
                heed_stop()
                if self._process.poll() is not None or time.monotonic() > limit:
                    why = ERROR.search(log.read_text(errors="replace"))
                    raise UserError(f"the vLLM server did not start: {why.group()[:300] if why else 'no reason given'}")
                time.sleep(WAIT)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and its children."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._folder.cleanup()


def _healthy(url: str) -> bool:
    try:
        with DIRECT.open(url + "/health", timeout=5):
            return True
    except OSError:
        return False
