"""What the licences of a run's inputs mean for what it makes; the rules are the table below, and no legal advice.

Whether a model is derived from the data that it was trained on is not settled in law.  The careful answer is taken
here: what is made from an input is published under no more than the input's own licence permits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlready.core.result import Record

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Terms:
    """Under which ``condition`` what is made of a work may be published, empty for hardly any.

    ``rank`` orders terms by how much they forbid; those that are ``flagged`` do so for most uses.
    """

    rank: int
    condition: str = ""

    @property
    def flagged(self) -> bool:
        return self.rank >= NON_COMMERCIAL.rank


PERMISSIVE = Terms(0)
SHARE_ALIKE = Terms(1, "may be published under this licence only")
UNSTATED = Terms(2, "may be published only once its licence is known")
NON_COMMERCIAL = Terms(3, "may be published for non-commercial use only")
OWN_TERMS = Terms(4, "may be published only on the terms of this licence, which have to be read and passed on")
NO_DERIVATIVES = Terms(5, "may not be published: no derivatives")

# patterns of the ids that the Hugging Face hub knows, SPDX ids in lower case among them; the first that fits counts
HUB_IDS = {
    r"cc-by-(nc-)?nd-[\d.]+": NO_DERIVATIVES,
    r"cc-by-nc-(sa-)?[\d.]+|intel-research|apple-amlr": NON_COMMERCIAL,
    r"llama[\d.]+|gemma|deepfloyd-if-license|(\w+-)*openrail(-\w+|\+\+)?|other": OWN_TERMS,
    r"cc-by-sa-[\d.]+|[al]?gpl(-[\d.]+)?|mpl-2.0|epl-[\d.]+|eupl-[\d.]+|osl-3.0|odbl|gfdl"
    r"|cdla-sharing-1.0": SHARE_ALIKE,
    r"apache-2.0|mit|bsd(-[23]-clause(-clear)?)?|isc|zlib|unlicense|wtfpl|cc0-1.0|cc-by-[\d.]+|pddl|odc-by"
    r"|cdla-permissive-[\d.]+|afl-3.0|artistic-2.0|bsl-1.0|ecl-2.0|ms-pl|ncsa|postgresql|ofl-1.1": PERMISSIVE,
}
# names that stand beside license: other
NAMES = {r".*(non-?commercial|research).*": NON_COMMERCIAL}


class Source(Record):
    """An input and its licence."""

    id: str
    licence: str


class OutputLicence(Record):
    """The licence of what a run makes.

    ``licence`` is that of the input whose terms forbid most, or "unknown"; ``unknown`` are the inputs that state none,
    and ``flags`` say in sentences which inputs forbid something, and what.
    """

    licence: str
    unknown: list[str]
    flags: list[str]


def terms_of(licence: str) -> Terms:
    """The terms of a licence by its id; of several, separated by commas, those that forbid most."""
    return max(map(_terms_of_one, re.split(r"\s*,\s*", licence)), key=lambda terms: terms.rank)


def on_hub(licence: str) -> bool:
    """Whether the hub knows the id; it wants "other" and a name for any other licence."""
    return any(re.fullmatch(pattern, licence) for pattern in HUB_IDS)


def output_licence(inputs: Sequence[Source]) -> OutputLicence:
    """The licence of what is made from the inputs, of which the first counts where several forbid as much."""
    strictest = max(inputs, key=lambda each: terms_of(each.licence).rank)
    flags = [
        f"{each.id} is under {each.licence}: what is made from it {terms_of(each.licence).condition}"
        for each in inputs
        if terms_of(each.licence).flagged
    ]
    binding = {each.licence: each for each in inputs if terms_of(each.licence) not in (PERMISSIVE, UNSTATED)}
    if len(binding) > 1:
        both = " and ".join(f"{licence} of {each.id}" for licence, each in binding.items())
        flags.append(f"the licences {both} may exclude each other: ask before anything is published")
    unknown = [each.id for each in inputs if each.licence == UNKNOWN]
    return OutputLicence(licence=strictest.licence, unknown=unknown, flags=flags)


def _terms_of_one(licence: str) -> Terms:
    if licence == UNKNOWN:
        return UNSTATED
    known = HUB_IDS | NAMES
    return next((terms for pattern, terms in known.items() if re.fullmatch(pattern, licence, re.IGNORECASE)), OWN_TERMS)
