"""Find a model in a folder, or fetch it from the Hugging Face hub; a mistyped folder is refused at once.

The hub is asked once.  If it cannot be reached, the cached copy of an earlier run is used; without one the error comes
at once, not after the minute of retries that a download would make.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.missing import did_you_mean
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.models.one_line import one_line
from rlready.models.weights import check_pickle
from rlready.runs.checkpoint_names import numbered

ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SECONDS = 5.0  # limit on the one request that shows whether the hub can be reached
TOKENIZER = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "README.md")
WEIGHTS = ("*.safetensors",)
PICKLED = ("*.bin",)
OTHER = ["*/*", "consolidated*", "training_args.bin"]  # other formats of the same weights


def local_folder(source: str) -> Path | None:
    """The local folder of a model; None for a hub id."""
    path = EMBEDDED_FOLDER if source == "embedded" else Path(source)
    return path if os.path.exists(path) else None


def refuse_twice(sources: Iterable[str]) -> None:
    """UserError for two models that are one folder, however its path is written."""
    seen: dict[str, str] = {}
    for source in sources:
        if folder := local_folder(source):
            other = seen.setdefault(os.path.realpath(folder), source)
            if other != source:
                raise UserError(f"{source} is the folder of {other}: name each checkpoint once")


def folder_of(source: str, *, weights: bool) -> Path:
    """The local folder of a model, or that of the cache, as `fetched`."""
    return local_folder(source) or fetched(source, weights=weights)


def cached(source: str) -> Path | None:
    """The folder of the cache with the tokenizer of a model of the hub, which is not asked; None if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=[*TOKENIZER], local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def fetched(source: str, *, weights: bool, revision: str | None = None) -> Path:
    """The folder of the cache with a model of the hub, with or without its weights.

    Raises UserError if the name looks like a folder, if the hub has no such model or refuses it, and if the hub cannot
    be reached and the model is not in the cache.
    """
    refuse_folder_names(source)
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns, offline = [*TOKENIZER, *(WEIGHTS if weights else ())], False
    try:
        files = [
            each.rfilename for each in HfApi().model_info(source, revision=revision, timeout=SECONDS).siblings or []
        ]
        if weights and not any(name.endswith(".safetensors") for name in files):
            if any(name.endswith(".bin") for name in files):
                check_pickle(source)
            patterns += PICKLED
    except UserError:
        raise
    except GatedRepoError:
        raise UserError(f"{source}: a gated model; accept its terms on the hub and run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise UserError(f"{source}: no such folder, and no such model on the Hugging Face hub") from None
    except Exception:  # network errors are those of the HTTP library that the hub's client uses
        offline = True
    try:
        return Path(
            snapshot_download(
                source, revision=revision, allow_patterns=patterns, ignore_patterns=OTHER, local_files_only=offline
            )
        )
    except LocalEntryNotFoundError:
        forbidden = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
        raise UserError(
            f"{source}: no such folder, and the Hugging Face hub cannot be reached{forbidden}; where it can, run "
            f"`hf download {source} --local-dir DIR`, copy DIR to this machine and name it"
        ) from None
    except Exception as error:
        raise UserError(f"{source}: cannot be fetched from the hub: {one_line(error)}") from error


def refuse_folder_names(source: str) -> None:
    """UserError for a name that looks like a folder, or cannot be a hub id."""
    if os.path.islink(source):
        raise UserError(f"{source}: a link to a missing folder")
    folder, options, _ = source.partition("?")
    if options and os.path.isdir(folder):
        raise UserError(f"{source}: options belong to a table of samples, and {folder} is a folder: name a file in it")
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise UserError(f"{source}: no such folder{did_you_mean(source)}")
    if numbered(source) or os.path.isdir(os.path.dirname(source) or "/nowhere") or not ID.fullmatch(source):
        raise UserError(f"{source}: no such folder, and not looked up on the hub{did_you_mean(source)}")
