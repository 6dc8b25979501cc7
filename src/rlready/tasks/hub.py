"""Read a data set of the Hugging Face hub, once it is known that it exists; one that is cached is read offline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.missing import did_you_mean
from rlready.models.hub import SECONDS
from rlready.runs.parquet import PER_ROW, TIMES, most_bytes
from rlready.runs.stated_licence import licence_on_hub
from rlready.tasks.files import TABLES

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(path: str) -> bool:
    """Whether a path that does not exist can be a hub id, owner/name: one whose folder exists is a mistyped file."""
    return ID.fullmatch(path) is not None and not path.endswith(TABLES) and not os.path.isdir(Path(path).parent)


def refuse_missing(path: str) -> None:
    """UserError for a path that does not exist and cannot be a hub id."""
    if not os.path.exists(path) and not is_hub_id(path):
        raise UserError(f"{path}: no such file or folder{did_you_mean(path)}")


def read_hub(path: str, config: str, split: str, revision: str) -> Iterable[object]:
    """The rows of a data set of the hub.

    UserError if ``path`` is no such data set, the hub cannot be reached, or the rows need too much memory.
    """
    refuse_missing(path)
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{path}: no such file or folder; to read a data set of that name from the hub: pip install 'rlready[hub]'"
        ) from None
    reachable = _on_the_hub(path, revision or None)
    try:
        with _offline(not reachable):
            data = datasets.load_dataset(path, config or None, split=split or "train", revision=revision or None)
    except Exception as error:  # the hub, the network and their libraries raise errors of many types
        if isinstance(error, ConnectionError):
            raise UserError(f"{path}: no such file or folder, and the Hugging Face hub cannot be reached") from None
        said = " ".join(str(error).split())
        if found := re.search(r"available configs: (\[.*?\])", said):
            raise UserError(f"{path}: choose one of its configurations with ?config=: {found[1]}") from None
        fix = "; choose it with ?split=" if "nknown split" in said else ""
        raise UserError(f"{path}: cannot be loaded from the hub: {said[:200]}{fix}") from None
    most = most_bytes(data.download_size)
    if data.data.nbytes + PER_ROW * data.num_rows > most:  # of Arrow's table, which is mapped from the disk
        raise UserError(
            f"{path}: its rows need more than {most / 2**30:.1f} GiB, {TIMES} times its size or more; choose another "
            "split or configuration, or save the rows that you need as a file"
        )
    rows: Iterable[object] = data
    return rows


def hub_licence(path: str, revision: str = "") -> str | None:
    """The licence in the card of a data set that was read; None if it states none."""
    stated = licence_on_hub(path, "dataset", revision or None)
    return stated.licence if stated.where else None


def _on_the_hub(path: str, revision: str | None) -> bool:
    """Whether the hub has the data set; False if it cannot be reached.  One request, where loading makes many."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        HfApi().dataset_info(path, revision=revision, timeout=SECONDS)
    except GatedRepoError:
        raise UserError(f"{path}: a gated data set; accept its terms on the hub and run `hf auth login`") from None
    except RevisionNotFoundError:
        raise UserError(f"{path}: the data set has no revision {revision!r}") from None
    except RepositoryNotFoundError:
        raise UserError(f"{path}: no such file or folder, and no such data set on the Hugging Face hub") from None
    except Exception:  # network errors are those of the HTTP library that the hub's client uses
        return False
    return True


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Have ``datasets`` read its cache only, as HF_HUB_OFFLINE=1 does: otherwise it retries for half a minute."""
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    try:
        config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = offline or before[1]
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
