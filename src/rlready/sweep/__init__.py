"""Sweep: a grid of SFT recipes, checkpoints, RL recipes and seeds, as jobs that share what they have in common."""

from rlready.core.verbs import callable_package

callable_package(__name__)
