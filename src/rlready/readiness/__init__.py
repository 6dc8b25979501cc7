"""Readiness: how good a checkpoint is as a start for RL, measured without any training."""

from rlready.core.verbs import callable_package

callable_package(__name__)
