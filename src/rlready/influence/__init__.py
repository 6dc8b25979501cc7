"""Influence: what an update on one problem does for the others, from inner products of gradients."""
