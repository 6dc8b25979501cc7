"""Evaluate: accuracy at every thinking budget, and the effect of forcing, voting and RL."""

from rlready.core.verbs import callable_package

callable_package(__name__)
