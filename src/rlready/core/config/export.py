"""Settings of ``rlready export``, and of ``rlready import``, which brings the outcome back."""

from typing import Literal

from rlready.core.settings import Config, option

CurveValue = Literal["last", "best", "asymptote"]
Tool = Literal["trl", "verl", "prime-rl"]


class ExportConfig(Config):
    """Hand a run of rl over to TRL, verl or prime-rl. Writes problems, reward, settings and a launch script."""

    run: str = option(
        "", "Settings of rlready rl (TOML), or the folder of its run, which need not have finished. Required."
    )
    to: Tool = option("trl", "Tool that trains: trl, verl or prime-rl.")


class ImportConfig(Config):
    """Bring the outcome of an exported run back. It adds a row to a table of outcomes, which predict reads."""

    export: str = option("", "Folder that rlready export has written. Required.")
    outcome: str = option(
        "",
        "Accuracy after training, from 0 to 1, or its learning curve: the output folder of TRL or verl, a log of verl, "
        "trainer_state.json, a chart exported by a tracker, or a table with the columns step and outcome. By default "
        "the outputs in the export.",
    )
    value: CurveValue = option(
        "last", "Which value of a curve is the outcome: its last, the best after step 0, or where it levels off."
    )
    metric: str = option(
        "",
        "Name of the logged value, if a log has several, as val-core/math/acc/mean. By default that of validation; "
        "of trainer_state.json eval_accuracy, which the exported reward logs.",
    )
    recipe: str = option("", "SFT recipe of the checkpoint that training started from. By default that of its SFT run.")
