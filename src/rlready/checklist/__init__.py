"""Checklist: the forms of conferences and of data sets, filled from the records of runs."""

from rlready.core.verbs import callable_package

callable_package(__name__)
