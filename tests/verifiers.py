"""Verifiers named by import path in the tests."""

from rlready.core.records import Problem


def even(problem: Problem, answer: str) -> bool:
    """Right when the answer has an even number of characters: a random model gets mixed groups."""
    return len(answer) % 2 == 0


def never(problem: Problem, answer: str) -> bool:
    """Nothing is ever right."""
    return False


def shy(problem: Problem, answer: str) -> bool:
    """It raises on about a third of the answers."""
    if sum(map(ord, answer)) % 3 == 0:
        raise ValueError("too shy")
    return even(problem, answer)
