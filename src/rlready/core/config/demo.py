"""Settings of ``rlready demo``."""

from typing import Self

from pydantic import model_validator

from rlready.core.errors import UserError
from rlready.core.presets import DEMO_TASK
from rlready.core.settings import Config, Place, Seed, option


class DemoConfig(Config):
    """Run the whole SFT→RL pipeline on the embedded model. SFT, readiness, RL, evaluation and report."""

    task: Place = option(DEMO_TASK, "Task of all stages: a task source without split, n and seed.")
    seed: Seed = option(0, "Seed of all stages.")

    @model_validator(mode="after")
    def _is_a_task_of_the_demo(self) -> Self:
        kind, _, query = self.task.partition("?")
        own = [key for part in query.split("&") if (key := part.partition("=")[0]) in ("split", "n", "seed", "detours")]
        if kind != "dagmath":
            raise UserError(f"task = {self.task!r}: the demo runs on generated DAG maths, such as {DEMO_TASK}")
        if own:
            raise UserError(
                f"task = {self.task!r}: demo sets split, n, seed and detours itself; leave {' and '.join(own)} out"
            )
        return self
