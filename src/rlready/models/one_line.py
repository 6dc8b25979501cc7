"""Text of unknown origin, such as a setting of a file or the error of a library, for an error message."""


def one_line(text: object, most: int = 200) -> str:
    """The text in one line of at most ``most`` characters."""
    words = " ".join(str(text)[: 10 * most].split())
    return words if len(words) <= most else words[: most - 1] + "…"
