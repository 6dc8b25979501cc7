"""Answers: extracted from a response and compared as quantities or formulas."""
