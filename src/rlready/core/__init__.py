"""Shared by all packages: configurations, errors, records, statistics, progress."""
