"""Bad input is one clear line: what is wrong, where, and how to fix it."""


class UserError(Exception):
    """An error that only the user can fix; the command line prints it and exits with code 2."""
