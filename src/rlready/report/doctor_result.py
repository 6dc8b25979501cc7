"""What ``rlready doctor`` returns: what was found, what is missing and how to add it, and what each job would need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rlready.core.cells import DASH
from rlready.core.result import Record, Result, Table

GIB = 2**30


class Check(Record):
    """One thing that was looked for; ``fix`` is the command or change that helps where it is not ``ok``.

    ``missing`` keeps the machine or the model from what it could do, a ``warning`` costs speed or quality, and what is
    ``optional`` is needed for some commands only.
    """

    name: str
    status: Literal["ok", "missing", "warning", "optional"]  # whether something is to be done
    found: str  # what there is
    fix: str = ""


class Speed(Record):
    """What a device computes."""

    device: str  # model of the GPU or processor
    gpu: bool  # whether it is a GPU
    dtype: str  # precision in which it was measured
    memory_bytes: int  # its memory
    gflops: float  # GFLOP/s of a large matrix product, measured
    copied: float  # GB/s that copying reads and writes in memory, measured


class JobPlan(Record):
    """An estimate for one job.  A step is a batch of rollouts, of worked examples, or sampling and update of RL."""

    job: str  # sampling, sft or rl, with the rank of a LoRA adapter
    by: str  # engine and learner
    bytes: float  # peak of memory
    fits: bool  # whether the device has as much
    change: str  # settings with which it fits, empty if it does, or if it does with none
    tokens_per_second: float  # tokens sampled, or trained on in SFT
    seconds_per_step: float  # seconds of a step


class DoctorResult(Result):
    """``plans`` are estimates, none without a model; ``work`` says what they are for."""

    verb: Literal["doctor"] = "doctor"
    machine: list[Check]
    checkpoint: list[Check]
    speed: Speed
    work: str
    plans: list[JobPlan]

    def tables(self) -> list[Table]:
        found = [_checks("This machine", self.machine)]
        if self.checkpoint:
            found.append(_checks("The checkpoint", self.checkpoint))
        if self.plans:
            columns = ["job", "by", "peak memory (GiB)", "fits", "tokens/s", "seconds per step"]
            rows = [
                [
                    plan.job,
                    plan.by,
                    _short(plan.bytes / GIB),
                    "yes" if plan.fits else f"with {plan.change}" if plan.change else "no",
                    _short(plan.tokens_per_second),
                    _short(plan.seconds_per_step),
                ]
                for plan in self.plans
            ]
            found.append(Table(columns, rows, f"Estimated, for {self.work}"))
        return found

    def remarks(self) -> list[str]:
        if not self.plans:
            return []
        return [
            f"Estimated from what was measured now: {self.speed.gflops:,.0f} GFLOP/s of matrix products in "
            f"{self.speed.dtype} and {self.speed.copied:,.0f} GB/s of copied memory. docs/scale.md has the formulas "
            "and how far off they were."
        ]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _checks(title: str, checks: Sequence[Check]) -> Table:
    rows = [[check.name, check.status, check.found, check.fix or DASH] for check in checks]
    return Table(["what", "status", "found", "to do"], rows, title)
