"""Checksums of the files of a checkpoint: a bit that has flipped since it was saved is noticed and named.

They stand in the checkpoint folder, where ``sha256sum -c checksums.sha256`` verifies them, too, and every other program
ignores them.  The model card is left out, because people edit it.  An adapter also has the checksum of its base, which
lies elsewhere and may be replaced.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from rlready.core.errors import UserError
from rlready.models.weights import AGAIN, regular, weight_files
from rlready.runs.checksums import BASE, CARD, CHECKSUMS, LINE
from rlready.runs.content import file_digest


def write_checksums(folder: Path) -> None:
    """Write the checksums of the files that are in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in (CHECKSUMS, CARD, BASE))
    lines = [f"{file_digest(path)}  {path.name}\n" for path in files]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def write_base_checksum(folder: Path, base: Path) -> None:
    """Write the checksum of the weights in ``base`` beside an adapter that belongs to them."""
    (folder / BASE).write_text(_weights_digest(base) + "\n", encoding="utf-8")


def verify_base(folder: Path, base: Path, source: str) -> None:
    """UserError if ``base`` has other weights than when the adapter in ``folder`` was saved; an adapter without that
    checksum is not verified."""
    place = folder / BASE
    if not place.exists():
        return
    regular(place)
    if place.read_text(encoding="utf-8", errors="replace").strip() != _weights_digest(base):
        raise UserError(
            f"{source}: its base {base} has other weights than the adapter was trained on: restore it, or delete "
            f"{place} if that is meant"
        )


def _weights_digest(base: Path) -> str:
    digests = [f"{file_digest(file)}  {file.name}\n" for file in sorted(weight_files(base))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def verify_checksums(folder: Path, *, weights: bool) -> None:
    """UserError for a file that is not as it was saved; a folder without checksums is not verified.

    ``weights``: whether to read the weights, at about 1 s a GB, or everything else.
    """
    place = folder / CHECKSUMS
    if not place.exists():
        return
    regular(place)
    for line in place.read_text(encoding="utf-8", errors="replace").splitlines():
        found = LINE.fullmatch(line)
        if not found:
            raise UserError(f"{place}: not a list of checksums ({line[:40]!r}); {AGAIN}")
        digest, file = found[1], folder / found[2]
        if file.name.endswith(".safetensors") == weights:
            if not file.exists():
                raise UserError(f"{file}: missing, but {CHECKSUMS} lists it; {AGAIN}")
            regular(file)
            if file_digest(file) != digest:
                raise UserError(
                    f"{file}: not as it was saved, by its checksum; {AGAIN}, or delete {CHECKSUMS} if you changed it"
                )
