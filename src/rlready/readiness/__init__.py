"""Readiness: what a checkpoint is worth as a start for RL, measured without training anything."""
