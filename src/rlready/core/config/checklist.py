"""Settings of ``rlready checklist``."""

from typing import Literal

from rlready.core.settings import Config, Places, option

Form = Literal["neurips", "datasheet", "acl"]
FormFormat = Literal["md", "html", "tex", "toml"]


class ChecklistConfig(Config):
    """Fill a reviewer's form from the records of runs. What no record holds is called unknown."""

    runs: Places = option((), "Run folders, or folders that contain run folders. All of their compute is added up.")
    form: Form = option(
        "neurips", "Form: the NeurIPS paper checklist, the datasheet of a data set made by inject, or ACL's checklist."
    )
    format: FormFormat = option("md", "Markdown, HTML, LaTeX, or the skeleton of an answers file (toml).")
    answers: str = option(
        "", "Your answers (TOML), for what only you know; format=toml writes the file with the open questions."
    )
