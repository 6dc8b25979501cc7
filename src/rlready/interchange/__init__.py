"""Samples that other tools wrote, read as they are: a reader for each format, and none of the tools is imported."""
