"""Learning: batches, the one loss, the resumable loop, and the two learners."""
