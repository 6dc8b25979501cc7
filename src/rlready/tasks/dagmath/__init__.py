"""DAG maths (after iGSM): the generator, its two renderings, and a verifier of every step."""
