"""Inject: write behaviours into worked rows, after BRIDGE (Cen et al., arXiv 2505.18917), and its baselines."""

from rlready.core.verbs import callable_package

callable_package(__name__)
