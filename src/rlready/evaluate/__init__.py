"""Accuracy at every thinking budget: what a model can do with so many tokens, and what forcing, voting and RL add."""
