"""Predict: rank checkpoints as starts for RL, from readiness and some RL outcomes, and say how certain that is."""

from rlready.core.verbs import callable_package

callable_package(__name__)
