"""Bad input is one clear line: what is wrong, where, and how to mend it."""


class UserError(Exception):
    """Something only the user can mend; the command line prints it and exits with code 2."""
