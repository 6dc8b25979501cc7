"""An export for prime-rl: verifiers runs its taskset, and prime-rl's own configuration takes its ``rl.toml``.

prime-rl is not on PyPI.  The second test needs a clone: PRIME_RL=../prime-rl make test-oracle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from functools import reduce
from pathlib import Path

import pytest

from rlready.export.prime_rl import RL_TOML
from test_export import exported, here  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("here")
CLONE = os.path.abspath(os.environ["PRIME_RL"]) if "PRIME_RL" in os.environ else ""  # before the tests change folder
LORA = 'engine = "vllm"\nlora_r = 4\nlora_alpha = 8\nlora_target_modules = ["q_proj", "v_proj"]\n'
SCORE = """
import asyncio, json, sys, tomllib
from verifiers import v1 as vf
from verifiers.v1.graph import MessageNode
from verifiers.v1.state import state_cls
from verifiers.v1.utils.loaders import resolve_env_config

with open("rl.toml", "rb") as file:
    (source,) = tomllib.load(file)["orchestrator"]["train"]["source"]
config = resolve_env_config(source["env"])
task = list(vf.load_taskset(config.taskset))[1]
kind = type(task)
scores = []
for text, thought in json.loads(sys.argv[1]):
    message = vf.AssistantMessage(content=text, reasoning_content=thought)
    trace = vf.Trace(
        task=vf.TraceTask(type=kind.__name__, data=task.data, key=task.key, hash=task.hash),
        state=state_cls(kind)(),
        agent=vf.AgentInfo(config=vf.AgentConfig()),
        nodes=[
            MessageNode(parent=None, message=task.data.prompt[0], sampled=False),
            MessageNode(parent=0, message=message, sampled=True),
        ],
    )
    asyncio.run(task.score(trace))
    scores.append([trace.reward, trace.metrics["correct"]])
print(json.dumps([task.key, scores]))
"""
RESOLVE = """
from pydantic_config import cli
from prime_rl.configs.rl import RLConfig

print(cli(RLConfig, args=["@", "rl.toml"]).model_dump_json())
"""


def answered(code: str, *arguments: str, paths: str = "") -> object:
    """What a program prints as JSON in its last line, started in the export as its launch script starts prime-rl."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path("out").resolve()), paths])}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd="out", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_verifiers_scores_by_the_taskset() -> None:
    """The problem is 1 + 1: the rewards of responses with the thought in the text, apart from it, and wrong."""
    exported("", "prime-rl")
    responses = [["so</think>2", None], ["2", "so"], ["so</think>3", None], ["3", "2"]]
    assert answered(SCORE, json.dumps(responses)) == ["train/p1", [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]]


@pytest.mark.skipif(not CLONE, reason="PRIME_RL does not name a clone of prime-rl")
@pytest.mark.parametrize(
    "settings",
    [
        "",
        LORA + "save_total_limit = 2\ngradient_checkpointing = true\n",
        'reward = "lcpo_max"\nlength_targets = [8, 16]\n',
        'thinking_budget = 100\nmax_answer_tokens = 16\nnum_waits = 1\nanswer_prefix = "so"\n',
        'algorithm = "dapo"\nkl_coef = 0.1\ntemperature = 0.7\nmax_grad_norm = 0.2\nweight_decay = 0.1\n',
        "max_tokens_per_microbatch = 8\nsteps = 1\neval_every = 1\neval_samples = 1\n",
    ],
)
def test_prime_rl_reads_every_setting(settings: str) -> None:
    """It refuses a name that it does not have; the values that it has then are those of the export."""
    result = exported(settings, "prime-rl")
    config = answered(RESOLVE, paths=str(Path(CLONE) / "packages/prime-rl-configs/src"))
    for each in result.translated:
        assert reduce(dict.__getitem__, each.counterpart.split("."), config) == each.value, each.counterpart
    assert config["model"]["name"] == tomllib.loads(Path("out", RL_TOML).read_text())["model"]["name"]
