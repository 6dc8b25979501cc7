"""Bad input is one clear line: what is wrong, where, and how to fix it."""

from rlready.core.text import visible


class UserError(Exception):
    """An error that only the user can fix; the command line prints it and exits with code 2.

    Its text has no control characters, which it may quote from a foreign file: Python prints it as it is.
    """

    def __str__(self) -> str:
        return visible(super().__str__())
