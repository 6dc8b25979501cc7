"""Predict: from readiness and some RL outcomes to which checkpoint RL should start from, and with what certainty."""
