"""Run folders: atomic files, the log, locks, provenance, model cards, and the names of checkpoints."""
