"""Export and import: a run of RL handed over to another trainer, and its outcome brought back."""

from rlready.core.verbs import callable_package

callable_package(__name__)
