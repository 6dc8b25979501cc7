"""Why a row gets no behaviours."""


class Unfit(Exception):
    """The row is left out and counted; the message is the reason, without details."""


class Doubtful(Unfit):
    """The text of a solution contradicts its annotation: the row is left out and named; ``step`` counts from 1."""

    def __init__(self, reason: str, step: int) -> None:
        super().__init__(reason)
        self.step = step


class Contradiction(Exception):
    """The solution contradicts itself; the message names the step."""
