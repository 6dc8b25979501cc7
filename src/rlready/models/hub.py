"""A model that is no folder here: either a mistyped folder, said at once, or an id of the Hugging Face hub, fetched.

The hub is asked once.  Where it cannot be reached, what an earlier run has fetched into the cache is used; else that is
the answer, without the minute of retries that a download would make.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rlready.core.errors import UserError
from rlready.runs.checkpoint_names import numbered

ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SECONDS = 5.0  # for the one question whether the hub is there
TOKENIZER = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
WEIGHTS = ("*.safetensors",)
PICKLED = ("*.bin",)
OTHER = ["*/*", "consolidated*", "training_args.bin"]  # other formats of the same weights


def fetched(source: str, *, weights: bool, revision: str | None = None) -> Path:
    """The folder of the cache that holds a model of the hub, with its weights or without.

    Raises UserError when the name is that of a folder that is not here, the hub has no such model or refuses it, or it
    cannot be reached and the model was never fetched.
    """
    refuse_folder_names(source)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns, offline = [*TOKENIZER, *(WEIGHTS if weights else ())], False
    try:
        files = HfApi().model_info(source, revision=revision, timeout=SECONDS).siblings or []
        if weights and not any(file.rfilename.endswith(".safetensors") for file in files):
            patterns += PICKLED
    except GatedRepoError:
        raise UserError(f"{source}: the hub asks for permission to fetch it; run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise UserError(f"{source}: no folder of that name here, and the hub has no such model") from None
    except Exception:  # the network's errors are those of whichever HTTP library the hub's client uses
        offline = True
    try:
        return Path(
            snapshot_download(
                source, revision=revision, allow_patterns=patterns, ignore_patterns=OTHER, local_files_only=offline
            )
        )
    except LocalEntryNotFoundError:
        raise UserError(f"{source}: no folder of that name here, and the hub cannot be reached") from None
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{source}: cannot be fetched from the hub: {line}") from error


def refuse_folder_names(source: str) -> None:
    """UserError for a name that is meant as a folder, or could be no model of the hub."""
    if os.path.islink(source):
        raise UserError(f"{source}: a link to a folder that is not there")
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise UserError(f"{source}: no such folder")
    if numbered(source) or os.path.isdir(os.path.dirname(source) or "/nowhere") or not ID.fullmatch(source):
        raise UserError(f"{source}: no such folder, and a hub id of that name cannot be reached")
