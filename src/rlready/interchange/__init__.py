"""Other tools: a reader for each format of samples that they write, and budget-forced rollouts inside TRL.

None of the tools is imported.
"""
