"""Influence: how an update on one problem changes the others, from inner products of gradients."""
