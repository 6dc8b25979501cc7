"""Checks that the settings of several verbs share."""

import re
from collections.abc import Sequence

from rlready.core.errors import UserError
from rlready.core.settings import is_url

LENGTH_PLACE = re.compile(r"\{N(?:/([1-9][0-9]{0,5}))?\}")  # the place of a length in a text
REFERENCE_AT = 0.5  # the default of reference_at


def refuse_one_server(engine: str, models: Sequence[str]) -> None:
    """UserError where the one model of a server that runs would stand for several."""
    if is_url(engine) and len(models) > 1:
        raise UserError(
            f"engine={engine} serves one model, but {len(models)} are named; name one, or use engine=vllm-server"
        )


def check_length_prompt(text: str) -> None:
    """UserError for a length prompt without a placeholder for the length."""
    if text and not LENGTH_PLACE.search(text):
        raise UserError(
            f"length_prompt={text!r} states no length; write {{N}} where the number of tokens belongs, or {{N/8}} for "
            "an eighth"
        )


def check_reference_at(reference: str | None, share: float) -> None:
    """UserError for a share that chooses the reference where it is named."""
    if reference is not None and share != REFERENCE_AT:
        raise UserError("reference_at does not apply where reference names the checkpoint; leave one of them out")
