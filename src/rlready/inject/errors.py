"""Why a row gets no behaviours."""


class Unfit(Exception):
    """The row is passed through unchanged and counted; the message is the reason, without particulars."""


class Contradiction(Exception):
    """The solution contradicts itself; the message names the step."""
