"""``rlready import``: outcomes of exported runs in a table that ``rlready predict`` reads."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rlready
from rlready.cli.main import main
from rlready.core.config import ExportConfig, ImportConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.export.outcome import import_outcome
from rlready.export.stage import export
from rlready.predict.outcomes import Outcome, find_runs
from rlready.runs.run import Run

SETTINGS = 'problems = "dagmath?ops=5&n=8"\nvalidation = "dagmath?ops=5&n=4&split=test"\nprompts_per_step = 2\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with an export in runs/a."""
    monkeypatch.chdir(tmp_path)
    exported("a", "seed = 1\n")
    return tmp_path


def exported(name: str, settings: str) -> None:
    Path("rl.toml").write_text(SETTINGS + settings)
    export(ExportConfig(run="rl.toml"), Path("runs") / name)


def curve(path: Path, *values: float) -> None:
    """What TRL saves: the accuracy, and a shaped reward, which is not the outcome."""
    history = [{"step": n, "eval_accuracy": value, "eval_reward": value / 2} for n, value in enumerate(values)]
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(json.dumps({"log_history": history}))


def outcomes(table: str = "runs/outcomes.jsonl") -> list[Outcome]:
    return find_runs([table]).outcomes


def test_curves_and_numbers_are_read_by_predict(folder: Path) -> None:
    """The outputs of TRL in the export by default, the accuracy in them, and one family for one recipe of RL."""
    exported("b", "seed = 2\n")
    exported("c", "steps = 9\n")
    curve(Path("runs/a/outputs"), 0.2, 0.6, 0.5)
    result = import_outcome(ImportConfig(export="runs/a", value="best", recipe="short"))
    import_outcome(ImportConfig(export="runs/b", outcome="runs/a/outputs", value="best"), Path("runs/outcomes.jsonl"))
    import_outcome(ImportConfig(export="runs/c", outcome="runs/a/outputs", value="best"))
    exported("d", "seed = 3\n")
    import_outcome(ImportConfig(export="runs/d", outcome="0.7"))
    assert (result.outcome, result.text) == (0.6, "runs/outcomes.jsonl")
    assert not any("percent" in note for note in result.notes)
    Path("percent.csv").write_text("step,outcome\n0,40\n1,58\n")
    warned = import_outcome(ImportConfig(export="runs/a", outcome="percent.csv"), Path("percent.jsonl"))
    assert "Warning: the outcome 58 is no share from 0 to 1: is it in percent?" in " ".join(warned.notes)
    with Run(Path("runs/sft"), "sft", SFTConfig()) as run:
        run.claim()
        run.write_result(result)
    with pytest.raises(UserError, match="runs/sft: a run of sft, not an export; name the folder that rlready export"):
        import_outcome(ImportConfig(export="runs/sft", outcome="0.7"))
    first, second, longer, number = outcomes()
    assert (first.checkpoint, first.value, first.seed, first.recipe) == ("embedded", 0.6, "1", "short")
    assert second.seed == "2"
    assert first.family == second.family
    assert len({first.family, longer.family, number.family}) == 3
    assert number.value == 0.7


def test_warnings_are_printed_where_only_warnings_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve(Path("runs/a/outputs"), 0.2, 0.6)
    assert main(["import", "runs/a", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "Warning: the curve ends at step 1 of 50" in said.err
    assert "reached 60" not in said.err


def test_a_family_does_not_depend_on_the_machine_or_where_its_files_are() -> None:
    row = '{"id": "p", "prompt": "1 + 1?", "answer": "%d"}\n'
    families = []
    for folder, answer, more in (("x", 2, ""), ("y/z", 2, "max_tokens_per_microbatch = 99\n"), ("v", 3, "")):
        Path(folder).mkdir(parents=True)
        Path(folder, "sums.jsonl").write_text(row % answer)
        Path(folder, "check.py").write_text("def right(problem, answer):\n    return answer == problem.answer\n")
        place = Path(folder).absolute() if more else folder
        source = f"{place}/sums.jsonl?verifier={folder}/check.py:right"
        more += 'model = "embedded"\n'
        Path("rl.toml").write_text(f'problems = "{source}"\nvalidation = "{source}"\nprompts_per_step = 1\n{more}')
        export(ExportConfig(run="rl.toml"), Path("runs") / folder)
        families.append(import_outcome(ImportConfig(export=f"runs/{folder}", outcome="0.5")).family)
    assert families[0] == families[1] != families[2]


def test_an_export_that_was_edited_is_not_compared_with_others() -> None:
    first = import_outcome(ImportConfig(export="runs/a", outcome="0.1"))
    assert not first.notes
    script = Path("runs/a/train.py")
    script.write_text(script.read_text().replace("learning_rate=", "learning_rate=10 * "))
    Path("runs/a/README.md").unlink()  # which trains nothing
    result = import_outcome(ImportConfig(export="runs/a", outcome="0.2"))
    assert result.family != first.family
    (note,) = result.notes
    assert note.startswith("Warning: runs/a: train.py changed since the export: its outcome has a family of its own")


def test_a_table_keeps_its_permissions() -> None:
    import_outcome(ImportConfig(export="runs/a", outcome="0.1"))
    table = Path("runs/outcomes.jsonl")
    table.chmod(0o600)
    import_outcome(ImportConfig(export="runs/a", outcome="0.2"))
    assert table.stat().st_mode & 0o777 == 0o600


def test_a_curve_of_a_run_that_has_not_ended() -> None:
    """It is imported with a warning, unless it has only the evaluation before training."""
    curve(Path("first"), 0.2)
    with pytest.raises(UserError, match="has only the evaluation before training"):
        import_outcome(ImportConfig(export="runs/a", outcome="first"))
    curve(Path("part/checkpoint-1"), 0.2, 0.3)
    assert import_outcome(ImportConfig(export="runs/a", outcome="part")).notes == [
        "Warning: the curve ends at step 1 of 50: import it again when training has ended."
    ]
    curve(Path("part/checkpoint-50"), 0.2, *[0.3] * 49, 0.4)  # training went on
    assert [outcome.value for outcome in outcomes()] == [0.4]
    curve(Path("whole"), *[0.3] * 51)
    assert import_outcome(ImportConfig(export="runs/a", outcome="whole")).notes == []
    curve(Path("long"), *[0.3] * 52)
    assert import_outcome(ImportConfig(export="runs/a", outcome="long")).notes == [
        "Warning: the curve goes to step 51, but the export has 50: it seems to be that of another run."
    ]
    curve(Path("strange"), *[3.0] * 51)
    with pytest.raises(UserError, match=r"eval_accuracy is a share, from 0 to 1, not 3; name the outputs of this run"):
        import_outcome(ImportConfig(export="runs/a", outcome="strange"))


def test_the_log_of_verl_is_a_curve() -> None:
    """Its lines as verl's file logger writes them: validation is on some, and the reward is not the outcome.

    They are only read: the folder may be write-protected.
    """
    lines = [
        {"step": 0, "data": {"val-core/a/b.jsonl?n=4/acc/mean@4": 0.25, "val-aux/a/b.jsonl?n=4/score/mean@4": 0.1}},
        {"step": 1, "data": {"actor/pg_loss": 0.5}},
        {"step": 2, "data": {"val-core/a/b.jsonl?n=4/acc/mean@4": 0.5, "val-core/a/b.jsonl?n=4/acc/best@4/mean": 0.9}},
    ]
    Path("runs/a/outputs").mkdir()
    lines[2:2] = [{"step": 2, "data": {"val-core/a/b.jsonl?n=4/acc/mean@4": 0.4}}]  # before it was started again
    for number, attempt in enumerate((lines[:3], lines[3:])):
        text = "".join(json.dumps(line) + "\n" for line in attempt)
        Path(f"runs/a/outputs/log-{number}.jsonl").write_text(text + '{"step": 3, "da')  # a kill
    Path("runs/a/outputs").rename("dumps")
    before = {file: file.read_bytes() for file in Path("dumps").iterdir()}
    Path("dumps").chmod(0o555)
    named = ImportConfig(export="runs/a", outcome="dumps", value="best")
    assert import_outcome(named.replace(outcome="dumps/log-0.jsonl")).outcome == 0.4
    assert import_outcome(named).outcome == 0.5
    with pytest.raises(UserError, match=r"no acc was logged; known: val-core/a/b\.jsonl\?n=4/acc/mean@4, val-"):
        import_outcome(named.replace(metric="acc"))
    assert [each.value for each in outcomes()] == [0.5]
    assert set(find_runs(["runs/outcomes.jsonl"]).files) >= {Path("runs/../dumps", file.name) for file in before}
    assert {file: file.read_bytes() for file in Path("dumps").iterdir()} == before


def test_an_outcome_that_is_imported_again_replaces_the_first() -> None:
    """Rows of others stay as they are."""
    Path("runs/outcomes.jsonl").write_text('{"checkpoint":  "other", "outcome": 0.3}\n')
    for value in ("0.1", "0.2"):
        rlready.import_(export="runs/a", outcome=value)
    assert [each.value for each in outcomes()] == [0.3, 0.2]
    assert Path("runs/outcomes.jsonl").read_text().startswith('{"checkpoint":  "other"')


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"export": "runs/a"}, "runs/a/outputs: no such file or folder"),
        *(({"export": "runs/a", "outcome": text}, "58 % is 0.58") for text in ("nan", "58", "-1", "58%", "0,58")),
        ({"export": "runs/a", "outcome": "runs"}, "import: runs holds no trainer_state.json"),
        ({"export": "runs/a", "outcome": "0.5", "value": "best"}, "is a number; value and metric apply to a curve"),
        ({"export": "runs/a", "outcome": "rl.toml"}, "not a learning curve"),
        ({"export": "runs"}, "not a run folder"),
        ({"export": "runs/a", "outcome": "0.5", "recipe": "a\x1b[31m"}, "recipe must be a name of one line"),
        ({}, "name the folder of an export"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        import_outcome(ImportConfig(**settings))
    assert not Path("runs/outcomes.jsonl").exists()


def test_imports_into_one_table_at_once_lose_no_row() -> None:
    names = [f"many-{number}" for number in range(8)]
    for number, name in enumerate(names):
        exported(name, f"seed = {number}\n")
    with ThreadPoolExecutor(len(names)) as pool:
        configs = [ImportConfig(export=f"runs/{name}", outcome="0.5") for name in names]
        list(pool.map(import_outcome, configs * 3))
    assert sorted(outcome.seed for outcome in outcomes()) == [str(number) for number in range(8)]


def test_a_folder_may_be_a_link_and_a_table_may_not(folder: Path) -> None:
    """The path of a curve leads from where the table really is."""
    (folder / "disk" / "deep").mkdir(parents=True)
    Path("runs").rename("disk/deep/runs")
    Path("runs").symlink_to("disk/deep/runs")
    curve(Path("results"), 0.2, 0.6)
    import_outcome(ImportConfig(export="runs/a", outcome="results"))
    assert [outcome.value for outcome in outcomes()] == [0.6]
    import_outcome(ImportConfig(export="disk/deep/runs/a", outcome="0.7"))
    assert [outcome.value for outcome in outcomes()] == [0.7]
    Path("link.jsonl").symlink_to("runs/outcomes.jsonl")
    with pytest.raises(UserError, match=r"link\.jsonl is a symbolic link"):
        import_outcome(ImportConfig(export="runs/a", outcome="0.7"), Path("link.jsonl"))


def test_a_table_of_something_else_stays(folder: Path) -> None:
    Path("notes.jsonl").write_text("export\n")
    with pytest.raises(UserError, match=r"notes\.jsonl:1: not a row"):
        import_outcome(ImportConfig(export="runs/a", outcome="0.5"), Path("notes.jsonl"))
    assert Path("notes.jsonl").read_text() == "export\n"


def test_rows_end_at_line_feeds_alone() -> None:
    row = json.dumps({"checkpoint": "a\u2028b", "outcome": 0.3}, ensure_ascii=False)
    Path("runs/outcomes.jsonl").write_text(row + "\n")
    import_outcome(ImportConfig(export="runs/a", outcome="0.5"))
    assert Path("runs/outcomes.jsonl").read_text().startswith(row + "\n")


def test_files_that_are_no_text_are_refused() -> None:
    table, log = Path("runs/outcomes.jsonl"), Path("runs/a/outputs/log-1.jsonl")
    table.write_bytes(b"\xff\n")
    with pytest.raises(UserError, match=r"outcomes\.jsonl: not UTF-8 text"):
        import_outcome(ImportConfig(export="runs/a", outcome="0.5"))
    table.unlink()
    os.mkfifo(table)
    with pytest.raises(UserError, match=r"outcomes\.jsonl: not a file"):
        import_outcome(ImportConfig(export="runs/a", outcome="0.5"))
    log.parent.mkdir()
    log.write_text('{"step": 1e400, "data": {"val-core/a/acc/mean@4": 0.5}}\n')
    with pytest.raises(UserError, match=r"log-1\.jsonl:1: the step is 'inf', no number"):
        import_outcome(ImportConfig(export="runs/a"))
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(UserError, match=r"log-1\.jsonl: not a file"):
        import_outcome(ImportConfig(export="runs/a"))
