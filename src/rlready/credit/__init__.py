"""Credit: what each chosen token of a rollout is worth.  Learners differ here and nowhere else."""
