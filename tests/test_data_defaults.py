"""Data that is not named: the task of the embedded model for it alone, else split from the training data or refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.options import fill_config
from rlready.core.presets import EMBEDDED, UNNAMED
from rlready.core.records import Problem
from rlready.core.settings import Config
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.models.preset import resolve
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from rlready.sweep.grid import read_sweep_file
from rlready.tasks.overlap import prompt_of, split_off
from rlready.train.data import problems_of, rows_of

DEMO = "dagmath?ops=5&asked=3"
MINE = "mine.jsonl"
VERBS: list[tuple[str, type[Config], str]] = [
    ("sft", SFTConfig, "model"),
    ("rl", RLConfig, "model"),
    ("readiness", ReadinessConfig, "checkpoints"),
    ("evaluate", EvaluateConfig, "models"),
]
DATA = {"sft": ("rows", "heldout"), "rl": ("problems", "validation"), "readiness": ("problems", "heldout")}


def named(setting: str, model: str) -> dict[str, Any]:
    return {setting: model if setting == "model" else (model,)}


def resolved(tmp_path: Path, verb: str, config: Config, model: str = "embedded") -> Any:
    with Run(tmp_path / "out" / verb, verb, config) as run:
        return resolve(config, [model], run)


def trained(folder: Path, rows: str, model: str = "embedded") -> str:
    """A checkpoint of an SFT run of a model on ``rows``, as the run's record has it."""
    with Run(folder, "sft", SFTConfig(rows=rows, model=model)) as run:
        run.claim()
        run.note_data(id=rows, role="sft")
    shutil.copytree(EMBEDDED_FOLDER, folder / "checkpoints" / "step-1")
    return str(folder / "checkpoints" / "step-1")


@pytest.mark.parametrize(("verb", "cls", "setting"), VERBS)
def test_a_model_must_be_named_for_own_data(tmp_path: Path, verb: str, cls: Any, setting: str) -> None:
    """On the command line, in a file and in Python, unless it is named as embedded or the data is DAG maths."""
    data = DATA.get(verb, ("problems",))[0]
    file = tmp_path / "config.toml"
    file.write_text(f'{data} = "{MINE}"\n')
    for config in (cls(**{data: MINE}), fill_config(cls, file, {}).value, fill_config(cls, None, {data: MINE}).value):
        with pytest.raises(UserError) as refused:
            resolved(tmp_path, verb, config)
        assert str(refused.value).startswith(f"{verb}: {setting} is missing: name a checkpoint for {MINE}")
    for allowed in (cls(**{data: MINE}, **named(setting, "embedded")), cls(**{data: "dagmath?ops=2"})):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        found = resolved(tmp_path, verb, allowed)
        assert getattr(found, data) == getattr(allowed, data)


@pytest.mark.parametrize("verb", list(DATA))
@pytest.mark.parametrize("own", [MINE, "dagmath?ops=2&n=50", DEMO + "&rendering=words"])
def test_own_data_has_no_default_beside_it(tmp_path: Path, verb: str, own: str) -> None:
    setting, cls = next((setting, cls) for name, cls, setting in VERBS if name == verb)
    first, second = DATA[verb]
    base = named(setting, "embedded")
    assert getattr(resolved(tmp_path / "a", verb, cls(**base, **{first: own})), second) == ""
    with pytest.raises(UserError, match=f"{first} is missing"):
        resolved(tmp_path / "b", verb, cls(**base, **{second: own}))
    sample = DEMO + "&split=train&n=9&seed=7"
    found = resolved(tmp_path / "c", verb, cls(**base, **{first: sample}))
    assert getattr(found, second) == EMBEDDED[verb][second]


@pytest.mark.parametrize("verb", list(DATA))
def test_a_checkpoint_has_default_data_only_if_it_knows_nothing_else(tmp_path: Path, verb: str) -> None:
    setting, cls = next((setting, cls) for name, cls, setting in VERBS if name == verb)
    first = DATA[verb][0]
    dag = trained(tmp_path / "dag", "dagmath?ops=4")
    assert getattr(resolved(tmp_path / "a", verb, cls(**named(setting, dag)), dag), first) == EMBEDDED[verb][first]
    shutil.copytree(EMBEDDED_FOLDER, tmp_path / "elsewhere")
    for number, model in enumerate((trained(tmp_path / "own", MINE), str(tmp_path / "elsewhere"))):
        with pytest.raises(UserError, match=f"{first} is missing"):
            resolved(tmp_path / f"out-{number}", verb, cls(**named(setting, model)), model)
    assert verb in UNNAMED


def test_what_a_checkpoint_knows_does_not_depend_on_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on the name: the model that a run started from is named from where that run was started."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("dag", "dagmath?ops=4"), ("own", MINE)):
        again = trained(Path(name, "again"), "dagmath?ops=5", trained(Path(name), rows))
        Path(f"link-{name}").symlink_to(tmp_path / again)
    monkeypatch.chdir(tmp_path / "dag/again/checkpoints/step-1")
    for number, model in enumerate((".", str(tmp_path / "link-dag"), "../../../../dag/again/checkpoints/step-1")):
        found = resolved(tmp_path / f"out-{number}", "sft", SFTConfig(model=model), model)
        assert found.rows == EMBEDDED["sft"]["rows"]
    with pytest.raises(UserError, match="rows is missing"):
        resolved(tmp_path / "out-own", "sft", SFTConfig(model="own"), str(tmp_path / "link-own"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'[sft]\nrows = "{MINE}"', "[sft]: model is missing"),
        ('[sft]\nmodel = "mine"', "[sft]: rows is missing"),
        (f'[sft]\nmodel = "embedded"\nrows = "{MINE}"', "[rl]: problems is missing"),
        (f'[sft]\nmodel = "mine"\nrows = "{MINE}"\n[rl]\nproblems = "p"', "[readiness]: problems is missing"),
        (
            f'[sft]\nmodel = "mine"\nrows = "{MINE}"\n[rl]\nproblems = "p"\n[readiness]\nproblems = "p"',
            "[evaluate]: problems is missing",
        ),
    ],
)
def test_a_sweep_is_refused_before_a_job_runs_on_foreign_defaults(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(text)
    with pytest.raises(UserError) as refused:
        read_sweep_file(file)
    assert str(refused.value).startswith(f"{file} {message}")


def table(path: Path, prompts: list[str], first: int = 0) -> str:
    lines = [{"id": f"q{first + i}", "prompt": p, "answer": "1", "response": p[::-1]} for i, p in enumerate(prompts)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return str(path)


def prompts(number: int, start: int = 0) -> list[str]:
    return [f"What is {i} plus 1?" for i in range(start, start + number)]


def test_validation_problems_are_split_by_their_text(tmp_path: Path, capfd: Any) -> None:
    """The same problems in any order of the file and for any seed; none is trained on; said and recorded."""
    chosen = []
    for seed, order in enumerate((prompts(40), prompts(40)[::-1])):
        config = RLConfig(problems=table(tmp_path / f"{seed}.jsonl", order), validation="", seed=seed)
        with Run(tmp_path / f"run-{seed}", "rl", config) as run:
            run.claim()
            data = problems_of(config, run)
        assert (len(data.training), len(data.held), data.held_task) == (27, 13, data.task)
        assert not {p.prompt for p in data.training} & {p.prompt for p in data.held}
        chosen.append({p.prompt for p in data.held})
        said = f"rl: validation is not set: 13 of the 40 problems of {config.problems} are held out"
        assert said in capfd.readouterr().err
        notes = {note.role: note for note in RunRecord.load(tmp_path / f"run-{seed}").data}
        assert (notes["rl"].size, notes["validation problems"].size) == (27, 13)
        assert notes["validation problems"].id.endswith("(split: 13 of 40)")
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize(("number", "held"), [(24, 8), (47, 15), (48, 16), (160, 16), (1000, 100), (5000, 200)])
def test_the_share_that_is_held_out(number: int, held: int) -> None:
    problems = [Problem(str(i), p, "") for i, p in enumerate(prompts(number))]
    training, validation = split_off(problems, "f", "validation")
    assert (len(training), len(validation)) == (number - held, held)


def test_equal_prompts_stay_together_and_few_are_refused(tmp_path: Path) -> None:
    problems = [Problem(str(i), p, "") for i, p in enumerate(prompts(30) * 3)]
    training, validation = split_off(problems, "f", "validation")
    assert (len(training), len(validation)) == (60, 30)
    assert not set(map(prompt_of, training)) & set(map(prompt_of, validation))
    with pytest.raises(UserError, match=r"the 23 different prompts of f are too few .* name it with heldout="):
        split_off(problems[:23] + problems[30:53], "f", "heldout")
    config = RLConfig(problems=table(tmp_path / "p.jsonl", prompts(24)), validation="", prompts_per_step=17)
    with Run(tmp_path / "run", "rl", config) as run, pytest.raises(UserError) as refused:
        problems_of(config, run)
    assert "16 problems, without the 8 validation problems split from them, are fewer than" in str(refused.value)


def test_held_out_rows_that_are_training_rows_are_said(tmp_path: Path) -> None:
    """A first test of one file for both goes on, and its record says what the loss is worth."""
    rows = [{"prompt": prompt, "response": "r"} for prompt in prompts(4)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Run(tmp_path / "run", "sft", config := SFTConfig(rows=str(path), heldout=str(path))) as run:
        data = rows_of(config, run)
        assert len(data.held) == len(data.training) == 4
        (warning,) = run.record.warnings
    assert "all 4 heldout rows have the prompt of a training row" in warning
    assert "shows no generalisation" in warning


@pytest.mark.parametrize(
    ("held", "warning"),
    [
        (prompts(12, 36), "problems and validation overlap: 4 of 12 validation problems have the prompt of a training"),
        (prompts(4), "problems and validation overlap: all 4 validation problems have the prompt of a training"),
        ([p.replace(" ", "\n ") for p in prompts(1)], "overlap: all 1 validation"),
        (prompts(5, 50) * 6, "validation: 25 of 30 repeat the text of an earlier one under another id"),
        (prompts(9, 50), ""),
    ],
)
def test_overlap_is_said_and_recorded(tmp_path: Path, capfd: Any, held: list[str], warning: str) -> None:
    config = RLConfig(
        problems=table(tmp_path / "p.jsonl", prompts(40)), validation=table(tmp_path / "v.jsonl", held, first=100)
    )
    with Run(tmp_path / "run", "rl", config) as run:
        run.claim()
        problems_of(config, run)
    err, recorded = capfd.readouterr().err, RunRecord.load(tmp_path / "run").warnings
    assert [warning in err, [warning in each for each in recorded]] == [True, [True] if warning else []]


def test_prompts_with_several_answers_are_warned_of(tmp_path: Path) -> None:
    rows = [{"prompt": "What is 2 plus 2?", "answer": answer} for answer in ("4", "5")]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    held = table(tmp_path / "v.jsonl", prompts(9, 50))
    config = RLConfig(problems=str(tmp_path / "p.jsonl"), validation=held, prompts_per_step=2)
    with Run(tmp_path / "run", "rl", config) as run:
        run.claim()
        problems_of(config, run)
        assert "problems: 1 prompts have several answers, first 'What is 2 plus 2?'" in run.record.warnings


def test_equal_ids_of_different_prompts_are_counted(tmp_path: Path, capfd: Any) -> None:
    config = RLConfig(
        problems=table(tmp_path / "p.jsonl", prompts(40)), validation=table(tmp_path / "v.jsonl", prompts(9, 50))
    )
    with Run(tmp_path / "run", "rl", config) as run:
        run.claim()
        problems_of(config, run)
    assert "rl: 9 ids are in problems and in validation with different prompts" in capfd.readouterr().err


def test_heldout_rows_are_split_overlap_or_are_refused(tmp_path: Path, capfd: Any) -> None:
    rows = table(tmp_path / "r.jsonl", prompts(40))
    for number, (heldout, kept) in enumerate([("", 13), (table(tmp_path / "h.jsonl", prompts(12, 36), 100), 12)]):
        config = SFTConfig(rows=rows, heldout=heldout)
        with Run(tmp_path / f"run-{number}", "sft", config) as run:
            assert len(rows_of(config, run).held) == kept
    err = capfd.readouterr().err
    assert "sft: heldout is not set: 13 of the 40 rows" in err
    assert "sft: warning: rows and heldout overlap: 4 of 12 heldout rows have the prompt of a training row" in err


@pytest.mark.parametrize(("samples", "said"), [(4, True), (3, False)])
def test_costly_validation_is_said(tmp_path: Path, capfd: Any, samples: int, said: bool) -> None:
    """Three evaluations of 11 problems, against 2 steps of 8 problems with 7 responses each, 112 in all."""
    source = table(tmp_path / "p.jsonl", prompts(40))
    config = RLConfig(
        problems=source,
        validation=f"{source}?n=11",
        steps=2,
        eval_every=1,
        eval_samples=samples,
        prompts_per_step=8,
        group_size=7,
    )
    with Run(tmp_path / "run", "rl", config) as run:
        run.claim()
        problems_of(config, run)
    line = "validation takes 132 responses (3 evaluations of 11 problems, eval_samples=4), more than the 112 rollouts"
    assert (line in capfd.readouterr().err) is said
