"""Overlap of training and evaluation data: in the record of the run, as a warning, and on the page."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlready.core.config import RLConfig, SFTConfig
from rlready.export.settings import _located
from rlready.report.overlap_section import overlap_section
from rlready.runs.files import write_json
from rlready.runs.record import Overlap, RunRecord
from rlready.runs.run import Run
from rlready.tasks import open_task
from rlready.tasks.contamination import DataSet, overlap_of
from rlready.tasks.trained_prompts import VALIDATION, warn_of_trained, write_trained


def question(i: int, change: str = "") -> str:
    """50 random words; with ``change`` one of them is another."""
    words = [f"word{n}" for n in random.Random(i).choices(range(500), k=50)]
    return " ".join([*words[:30], change or words[30], *words[31:]])


def table(path: Path, prompts: list[str]) -> str:
    lines = [json.dumps({"prompt": p, "answer": "1", "response": "1"}) + "\n" for p in prompts]
    path.write_text("".join(lines))
    return str(path)


def data_set(source: str) -> DataSet:
    task = open_task(source)
    return DataSet(task.source, task, task.problems())


def trained(out: Path, source: str) -> str:
    """The checkpoint of a run that has been trained on a source, without its weights."""
    with Run(out, "sft", SFTConfig()) as run:
        task = open_task(source)
        run.note_data(id=task.source, path=task.path, role="sft", size=1)
        run.claim()
        write_trained(run, task.rows())
    return str(out / "checkpoints" / "step-1")


def measured(out: Path, held: DataSet, model: str) -> RunRecord:
    with Run(out, "evaluate", SFTConfig()) as run:
        run.claim()
        warn_of_trained(run, "problems", held, [model])
    return RunRecord.load(out)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Training rows and test problems: one equal, one with another word, one in capitals."""
    test = [question(2), question(3, "other"), question(4).upper(), *map(question, range(50, 60))]
    return table(tmp_path / "train.jsonl", [question(i) for i in range(20)]), table(tmp_path / "test.jsonl", test)


def test_what_a_run_was_trained_on_is_compared_if_it_is_at_hand(tmp_path: Path, files: tuple[str, str]) -> None:
    rows, test = files
    model, held = trained(tmp_path / "sft", rows), data_set(test)
    record = measured(tmp_path / "a", held, model)
    (found,) = record.overlaps
    assert (found.exact, found.shared_ngram, found.near, found.same_template) == (1, 3, 3, None)
    assert (found.n_training, found.n) == (20, 13)
    assert any("2 of 13 problems are near-duplicates of training prompts" in each for each in record.warnings)

    Path(rows).write_text(Path(rows).read_text() + "\n")  # no longer what was trained on
    (found,) = measured(tmp_path / "b", held, model).overlaps
    assert (found.exact, found.shared_ngram, found.near) == (1, None, None)
    Path(rows).unlink()
    (found,) = measured(tmp_path / "c", held, model).overlaps
    assert (found.exact, found.shared_ngram, found.near, found.n_training) == (1, None, None, 20)


def test_problems_that_chose_a_checkpoint_are_warned_of(tmp_path: Path, files: tuple[str, str]) -> None:
    """Wherever their table is now; of other problems, fewer of the same, and a checkpoint of another run, nothing."""
    train, test = files
    with Run(tmp_path / "rl", "rl", RLConfig()) as run:
        task = open_task(test)
        run.note_data(id=task.source, path=task.path, role=VALIDATION, size=13)
        run.claim()
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(Path(test).read_bytes())
    chosen, other = (str(tmp_path / name / "checkpoints/step-1") for name in ("rl", "sft"))
    said = f"these problems chose the checkpoint of the rl run {tmp_path / 'rl'}, so its accuracy on them is optimistic"
    cases = ((test, chosen, True), (str(moved), chosen, True), (test, other, False), (train, chosen, False))
    for i, (source, model, warned) in enumerate((*cases, (f"{test}?n=5", chosen, False))):
        held = data_set(source)
        with Run(tmp_path / str(i), "evaluate", SFTConfig()) as run:
            run.note_data(id=held.id, path=held.task.path, role="test", size=len(held.items))
            run.claim()
            text = warn_of_trained(run, "problems", held, [model])
            assert (said in text) == warned, (source, model)


def test_a_run_that_is_gone_or_another_one_now_is_said(tmp_path: Path, files: tuple[str, str]) -> None:
    """What the run at its path was trained on is not what led to the model."""
    rows, test = files
    model, held = trained(tmp_path / "sft", rows), data_set(test)
    with Run(tmp_path / "rl", "rl", RLConfig(model=model)) as run:
        run.claim()
    learned = str(tmp_path / "rl/checkpoints/step-1")
    (said,) = [text for text in measured(tmp_path / "a", held, learned).warnings if "trained on" in text]
    assert said.startswith("1 of 13 problems have a prompt that the sft run")
    lost = "was moved, deleted or overwritten since the run"
    (tmp_path / "sft").rename(tmp_path / "moved")
    (said,) = measured(tmp_path / "b", held, learned).warnings
    assert f"{tmp_path / 'sft'} {lost} {tmp_path / 'rl'} has started from it, so it is not known which problems" in said
    trained(tmp_path / "sft", rows)
    later = RunRecord.load(tmp_path / "sft").model_copy(update={"start": "2999-01-01T00:00:00+00:00"})
    later.save(tmp_path / "sft")
    (said,) = measured(tmp_path / "c", held, learned).warnings
    assert lost in said


def test_a_start_that_is_what_it_was_is_known_and_one_of_another_program_is_none(
    tmp_path: Path, files: tuple[str, str]
) -> None:
    """The run was begun again and saved the same; a folder that is named like a run's may be anyone's."""
    rows, test = files
    model, held = trained(tmp_path / "sft", rows), data_set(test)
    for start in (Path(model), tmp_path / "olmo/checkpoints/step-1"):
        start.mkdir(parents=True)
        (start / "config.json").write_text("{}")
        out = tmp_path / f"rl-{start.parts[-3]}"
        with Run(out, "rl", RLConfig(model=str(start))) as run:
            run.note_model(id=str(start), path=start, role="start")
            run.claim()
    later = RunRecord.load(tmp_path / "sft").model_copy(update={"start": "2999-01-01T00:00:00+00:00"})
    later.save(tmp_path / "sft")
    (said,) = [
        w for w in measured(tmp_path / "a", held, str(tmp_path / "rl-sft/checkpoints/step-1")).warnings if "sft" in w
    ]
    assert said.startswith("1 of 13 problems have a prompt that the sft run")
    assert measured(tmp_path / "b", held, str(tmp_path / "rl-olmo/checkpoints/step-1")).warnings == []


def test_problems_that_chose_a_checkpoint_of_rl_are_compared_one_by_one(tmp_path: Path, files: tuple[str, str]) -> None:
    """Generated ones, and those of a table that is still there; equal sets are warned of as a whole."""
    _, test = files
    table = data_set(test)
    generated = "dagmath?ops=5&split=test&n={}&seed=1"
    for name, id, path, size in (("a", generated.format(20), None, 20), ("b", table.id, Path(test), len(table.items))):
        with Run(tmp_path / name, "rl", RLConfig()) as run:
            run.note_data(id=id, path=path, size=size, role=VALIDATION)
            run.claim()
    held = open_task(generated.format(30))
    model = str(tmp_path / "a/checkpoints/step-1")
    record = measured(tmp_path / "out-a", DataSet(held.source, held, held.problems()), model)
    (found,) = record.overlaps
    assert (found.training, found.n, found.exact) == (generated.format(20), 30, 20)
    assert record.warnings == [
        f"20 of 30 problems were among those that chose the checkpoint of the rl run {tmp_path / 'a'}, so its accuracy "
        "is optimistic; name others"
    ]
    some = DataSet(f"{table.id}?n=5", table.task, table.items[:5])
    (found,) = measured(tmp_path / "out-b", some, str(tmp_path / "b/checkpoints/step-1")).overlaps
    assert (found.n_training, found.exact) == (len(table.items), 5)


def test_a_record_without_what_its_run_was_trained_on_ends_nothing(tmp_path: Path, files: tuple[str, str]) -> None:
    rows, test = files
    model = trained(tmp_path / "sft", rows)
    record = RunRecord.load(tmp_path / "sft")
    write_json(tmp_path / "sft" / "record.json", record.model_copy(update={"data": []}))
    found = measured(tmp_path / "a", data_set(test), model)
    assert found.overlaps == []
    assert any("have a prompt that the sft run" in text for text in found.warnings)


def test_no_code_is_loaded_to_compare(tmp_path: Path, files: tuple[str, str], monkeypatch: Any) -> None:
    rows, test = files
    (tmp_path / "judge.py").write_text("def right(problem, answer):\n    return True\n")
    monkeypatch.syspath_prepend(tmp_path)
    model = trained(tmp_path / "sft", f"{rows}?verifier=judge:right")
    (found,) = measured(tmp_path / "a", data_set(test), model).overlaps
    assert (found.exact, found.near) == (1, None)


@pytest.mark.parametrize(
    "changed",
    [
        lambda rows: {"id": f"rows:{rows}?prompt=Q&A"},  # a version that wrote a value with & as it was
        lambda rows: {"id": "dagmath?ops=5&split=train&future=1", "path": None},  # an option of a later version
    ],
)
def test_a_source_that_this_version_cannot_open_ends_nothing(
    tmp_path: Path, files: tuple[str, str], changed: Callable[[str], dict[str, Any]]
) -> None:
    rows, test = files
    model = trained(tmp_path / "sft", rows)
    record = RunRecord.load(tmp_path / "sft")
    record.data[0] = record.data[0].model_copy(update=changed(rows))
    write_json(tmp_path / "sft" / "record.json", record)
    (found,) = measured(tmp_path / "a", data_set(test), model).overlaps
    assert (found.exact, found.near) == (1, None)


def test_a_folder_that_a_record_names_is_no_verifier(tmp_path: Path, files: tuple[str, str], monkeypatch: Any) -> None:
    """A run from elsewhere may say that it was started in a folder with a name like options."""
    rows, test = files
    model = trained(tmp_path / "sft", rows)
    (tmp_path / "judge.py").write_text("raise SystemExit('code of a run folder was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    odd = tmp_path / "x.jsonl?verifier=judge:right&answer="
    odd.mkdir()
    place = odd / Path(rows).name
    place.write_bytes(Path(rows).read_bytes())
    (tmp_path / "x.jsonl").write_bytes(Path(rows).read_bytes())
    monkeypatch.setattr(RunRecord, "located", lambda record, folder, path: place)
    (found,) = measured(tmp_path / "a", data_set(test), model).overlaps
    assert (found.exact, found.near) == (1, None)
    config = RLConfig(problems="train.jsonl", model="m")
    assert _located(config, RunRecord.load(tmp_path / "sft"), tmp_path / "sft") == config


def test_of_generated_problems_the_graphs_are_compared(tmp_path: Path) -> None:
    source = "dagmath?ops=3&redundant=0&split={}&n=60&seed={}"
    train, same, test = (data_set(source.format(*each)) for each in (("train", 1), ("train", 2), ("test", 3)))
    assert (overlap_of(train, test).same_template, overlap_of(train, train).exact) == (0, 60)
    assert 0 < (overlap_of(train, same).same_template or 0) <= 60
    (found,) = measured(tmp_path / "a", test, trained(tmp_path / "sft", source.format("train", 1))).overlaps
    assert (found.exact, found.near, found.same_template) == (0, None, 0)


def test_the_page_says_how_much_overlaps() -> None:
    counts: dict[str, Any] = {"n_training": 9, "n": 8, "exact": 1, "near": 2, "same_template": None}
    hostile = Overlap(training="<b>rows", held="test\u202e", shared_ngram=3, **counts)
    unknown = Overlap(training="b", held="c", shared_ngram=None, **{**counts, "near": None, "exact": 0})
    (section,) = overlap_section({"overlaps": [json.loads(each.model_dump_json()) for each in (hostile, unknown)]})
    page = "".join(section.parts)
    assert "2 of 8 are equal or nearly equal to what was trained on (&lt;b&gt;rows)" in page
    assert "<b>rows" not in page
    assert "\u202e" not in page
    assert [page.count(f">{cell}</td>") for cell in ("1 of 8", "3 of 8", "2 of 8", "0 of 8", "–")] == [1, 1, 1, 1, 2]
    assert "Same graph" not in page
    none = [Overlap(training="a", held="c", shared_ngram=0, **{**counts, "exact": 0, "near": 0}), unknown]
    for pairs, said in (
        (none[:1], "is equal or nearly equal"),
        (none, "near-duplicates were looked for in 1 of 2"),
    ):
        (section,) = overlap_section({"overlaps": [json.loads(each.model_dump_json()) for each in pairs]})
        assert said in "".join(section.parts)
    assert not list(overlap_section({}))
    assert not list(overlap_section({"overlaps": [{"exact": "many"}]}))
