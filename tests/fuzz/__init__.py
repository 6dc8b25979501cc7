"""Fuzzing: inputs of every kind, and what a process that reads them must not do.

`harness.py` runs inputs in child processes and judges what happens, `commands.py` and `inputs.py` make them,
`corpus.jsonl` holds those that once failed, and ``python -m fuzz.run`` (``make fuzz``) is the long form.
"""
