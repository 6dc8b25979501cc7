"""How a model's prompts and responses are written: the settings that every loading of a checkpoint takes."""

from typing import TypedDict

from rlready.core.settings import Config


class Format(TypedDict):
    """``delimiters`` open and close a thought; none are those of the chat template."""

    apply_chat_template: bool
    delimiters: tuple[str, ...]


def format_of(config: Config) -> Format:
    """The format that a configuration asks for; that of the chat template where it has no such settings."""
    return {
        "apply_chat_template": getattr(config, "apply_chat_template", True),
        "delimiters": getattr(config, "delimiters", ()),
    }
