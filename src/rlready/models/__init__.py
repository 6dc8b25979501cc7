"""Language models: load and save, chat templates, batches, log-probabilities, held-out loss."""
