"""The stages after training, and the whole pipeline, on the embedded model in miniature."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import rlready.engine.torch as torch_engine
from rlready.cli.demo import Sizes, Stages, _headline, demo
from rlready.cli.demo_recipe import unlearned_form
from rlready.cli.show import show_runs
from rlready.core.config import DemoConfig, EvaluateConfig, PredictConfig, ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate, Group, Problem
from rlready.evaluate.draw import Drawer
from rlready.evaluate.settings import Setting
from rlready.evaluate.stage import evaluate
from rlready.models.checkpoint import load, save
from rlready.models.llama.support import supports
from rlready.predict.stage import predict
from rlready.readiness.part import Part
from rlready.readiness.stage import readiness
from rlready.report.demo_result import DemoResult, ModelScores
from rlready.report.page import write as report
from rlready.runs.files import read_table, write_table
from rlready.runs.pace import Pace
from rlready.runs.record import RunRecord
from test_viewer import Viewed
from tiny import tiny_lm

SMALL = Sizes(
    rows=60,
    heldout=8,
    readiness_problems=4,
    readiness_samples=8,
    rl_steps=2,
    validation=4,
    eval_every=1,
    prompts_per_step=2,
    group_size=4,
    test=6,
)
EASY = "dagmath?ops=2&split=all&n=6&seed=1"


def test_the_whole_pipeline(tmp_path: Path) -> None:
    """Every figure the report promises exists, the page stands alone, and the same seed gives the same result."""
    result = demo(DemoConfig(seed=3), tmp_path / "a", SMALL)
    assert DemoResult.load(tmp_path / "a") == result == demo(DemoConfig(seed=3), tmp_path / "a", SMALL)
    assert len(result.checkpoints) >= 4
    assert [c.name for c in result.checkpoints if c.chosen] == [result.chosen]
    assert len(result.budgets) == 5
    for name, model in (("base", result.base), ("sft", result.sft), ("rl", result.rl)):
        lengths = [row.scores[name].thinking_tokens.value for row in result.budgets]
        assert lengths == sorted(lengths)
        assert all(row.scores[name].thinking_tokens.value <= row.budget for row in result.budgets)
        assert model.accuracy == result.budgets[-1].scores[name].accuracy
        assert (model.greedy_accuracy is None) == (name == "base")
    assert result.rl_minus_sft.value == pytest.approx(result.rl.accuracy.value - result.sft.accuracy.value)
    assert result.greedy_rl_minus_sft
    assert result.sft.greedy_accuracy
    assert result.rl.greedy_accuracy
    assert result.greedy_rl_minus_sft.value == pytest.approx(
        result.rl.greedy_accuracy.value - result.sft.greedy_accuracy.value
    )
    page = report(tmp_path / "a").read_text()
    (rows, learned, best, tested, rule) = result.recipe  # no model of these sizes has learned the form of an answer
    assert "each with probability 0.5" in rows
    assert "for 2 steps of 2 problems with 4 samples each, by algorithm dr_grpo at temperature 1. " in learned
    assert f"that at step {result.rl_step} had the highest accuracy" in best
    assert "4 samples at temperature 1; greedy decoding" in tested
    assert "arora_zanette, is 0 for a wrong sample and between 0.8 and 1 for a correct one" in learned
    assert (
        "on 4 other problems with 8 samples each: drop what is past overfitting onset; keep those within one standard "
        in rule
    )
    assert "between 0.8 and 1" in page
    assert "What RL would learn from, in groups of 4" in page
    assert "Every step correct: " in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    viewed = Viewed(tmp_path / "a")
    greedy = [i for i, (_, budget) in enumerate(viewed.index["conditions"]) if budget.endswith(", greedy")]
    assert viewed.index["conditions"][greedy[0]][0].startswith("SFT")
    correct = [viewed.index["flags"][at] & 1 for at, i in enumerate(viewed.index["condition"]) if i == greedy[0]]
    assert len(correct) == SMALL.test
    assert sum(correct) / len(correct) == result.sft.greedy_accuracy.value  # at the largest budget
    assert not any("flipped" in viewed.flags(at) for at, i in enumerate(viewed.index["condition"]) if i in greedy)
    ranked = predict(PredictConfig(runs=(str(tmp_path / "a"),), splits=10, resamples=50), tmp_path / "predict")
    (outcome,) = (outcome for each in ranked.checkpoints for outcome in each.outcomes)
    assert outcome.value == result.rl.accuracy.value  # of samples: the greedy responses are no second outcome
    again = demo(DemoConfig(seed=3), tmp_path / "b", SMALL)
    times = {"seconds": 0.0, "stages": []}
    assert again.model_copy(update=times) == result.model_copy(update=times)


def test_a_task_without_problems_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of 5000 problems is in the test split"):
        demo(DemoConfig(task="dagmath?ops=2"), tmp_path / "demo", SMALL)
    assert not (tmp_path / "demo").exists()


def test_the_seconds_of_a_demo_are_those_of_all_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Stages, "evaluate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            demo(DemoConfig(), tmp_path, SMALL)
    result = demo(DemoConfig(), tmp_path, SMALL)
    assert {each.name: each.seconds for each in result.stages} == {
        name: RunRecord.load(tmp_path / name).seconds for name in ("sft", "readiness", "rl", "evaluate", "greedy")
    }
    assert result.seconds == pytest.approx(sum(each.seconds for each in result.stages))


def test_show_prints_the_tables_of_every_run(tmp_path: Path) -> None:
    """A folder that holds no run gets a line, a result that cannot be read too; without any run it is an error."""
    run = tmp_path / "runs" / "evaluated"
    result = evaluate(EvaluateConfig(problems=EASY, thinking_budgets=(8,), samples=1), run)
    shown = show_runs([tmp_path, run])
    first, *others = shown.tables()
    assert [line[2] for line in first.rows] == ["not a run", "done"]
    assert first.rows[1][-1] == result.headline
    assert [(t.title, t.rows) for t in others] == [
        (": ".join(filter(None, [str(run), "" if at else result.headline, t.title])), t.rows)
        for at, t in enumerate(result.tables())
    ]
    (run / "result.json").write_text('{"verb": "evaluate"}')
    assert "result.json: damaged, or not the file that the run has written" in show_runs([run]).tables()[0].rows[0][-1]
    for path, message in ((tmp_path, "not a run folder"), (tmp_path / "none", "no such folder")):
        with pytest.raises(UserError, match=message):
            show_runs([path])


def test_evaluate_pairs_models_and_budgets(tmp_path: Path) -> None:
    """All samples are kept; a budget that truncates nothing changes nothing; an unconstrained run forces nothing."""
    config = EvaluateConfig(problems=EASY, thinking_budgets=(4, 64, 80), samples=3)
    result = evaluate(config, tmp_path / "forced")
    rows = read_table(tmp_path / "forced" / "parts" / "0.parquet")
    assert len(rows) == 6 * 3 * (3 + 1)  # the budgets, and unconstrained
    assert all(row["thinking_tokens"] <= row["thinking_budget"] for row in rows if row["thinking_budget"])
    small, whole, larger = (row.scores["embedded"] for row in result.budgets)
    assert small.truncated.value > 0.5
    assert whole.truncated.value == 0
    assert whole.accuracy == larger.accuracy
    free = evaluate(config.replace(unconstrained=True), tmp_path / "free")
    assert free.budgets[0].budget is None
    assert all(all(row["mask"]) for row in read_table(tmp_path / "free" / "parts" / "0.parquet"))


def test_a_killed_evaluation_continues_within_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn is not drawn again, and all is as if unbroken, to the byte."""
    config = EvaluateConfig(
        problems=EASY.replace("n=6", "n=4"),
        thinking_budgets=(8,),
        num_waits=(0, 1),
        wait_text="wait",
        length_prompt=" {N/8}",
        samples=2,
    )
    monkeypatch.setattr(torch_engine, "BATCH_SIZE_OF_SMALL", 4)
    monkeypatch.setattr(Pace, "due", lambda self: True)
    whole = evaluate(config, tmp_path / "whole")
    real, drew = Drawer.draw, list[str]()

    def stop(drawer: Drawer, problems: Sequence[Problem]) -> dict[Setting, list[Group]]:
        if len(drew) == 2:
            raise KeyboardInterrupt
        drew.extend(problem.id for problem in problems)
        return real(drawer, problems)

    monkeypatch.setattr(Drawer, "draw", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tmp_path / "run")
    before, drew[:] = list(drew), []
    assert evaluate(config, tmp_path / "run") == whole
    assert [*before, *drew] == whole.problems
    for name in ("parts/0.parquet", "parts/0.json", "examples.jsonl", "result.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "run" / "state").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thinking_budgets": (8, 8)}, "contains a value twice"),
        ({"thinking_budgets": (0, 8)}, "at least 1"),
        ({"thinking_budgets": ()}, "thinking_budgets is empty"),
        ({"models": ("embedded", "embedded")}, "models contains a value twice"),
        ({"thinking_budgets": (4000,)}, "context"),
        ({"models": ("no/such/folder/here",)}, "no such folder"),
        ({"problems": "missing.jsonl"}, "missing.jsonl"),
    ],
)
def test_evaluate_refuses_bad_settings(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Each in one line that names what is wrong."""
    config = EvaluateConfig(problems=EASY, thinking_budgets=(8,))
    with pytest.raises(UserError, match=message) as caught:
        evaluate(config.replace(**change), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_model_under_two_names_is_refused(tmp_path: Path, embedded_copy: str) -> None:
    """However its path is written: it would be ranked against itself."""
    (link := tmp_path / "link").symlink_to(embedded_copy)
    for other in (f"{embedded_copy}/", str(link)):
        for verb, config in (
            (evaluate, EvaluateConfig(problems=EASY, models=(embedded_copy, other))),
            (readiness, ReadinessConfig(problems=EASY, checkpoints=(embedded_copy, other))),
        ):
            with pytest.raises(UserError, match=r"is the folder of .*: name each checkpoint once"):
                verb(config, tmp_path / "run")


def test_readiness_measures_and_resumes(tmp_path: Path, embedded_copy: str) -> None:
    """Two copies of one model are not significantly different; a killed run keeps the checkpoints it had measured."""
    config = ReadinessConfig(
        checkpoints=("embedded", embedded_copy),
        heldout=EASY,
        problems=EASY,
        samples=4,
        group_size=4,
        thinking_budget=64,
    )
    result = readiness(config, tmp_path / "whole")
    said = f"{embedded_copy} has the same content as embedded: if one is a copy, leave it out"
    assert said in RunRecord.load(tmp_path / "whole").warnings
    assert result.headline.startswith(
        ("Start RL from embedded; on 6 problems ", "Do not start RL on these problems: every")
    )
    first, second = result.checkpoints
    assert first.pass_at_k == second.pass_at_k
    assert first.heldout_loss == second.heldout_loss
    assert first.pass_at_k[4].value >= first.pass_at_k[1].value
    assert first.unsolved.value + first.partially_solved.value + first.solved.value == pytest.approx(1)

    parts = [Part.from_file(tmp_path / "whole" / "parts" / f"{n}.json") for n in (0, 1)]
    assert [each.model for each in parts] == ["embedded", embedded_copy]  # with which RL is named, though
    assert len({each.vocabulary.model for each in parts if each.vocabulary}) == 1  # the vocabulary is of the first
    part = tmp_path / "whole" / "parts" / "0.json"
    record = json.loads((tmp_path / "whole" / "record.json").read_text())
    (tmp_path / "whole" / "record.json").write_text(json.dumps(record | {"status": "interrupted"}))
    (tmp_path / "whole" / "parts" / "1.json").unlink()
    before = part.stat().st_mtime_ns
    assert readiness(config, tmp_path / "whole") == result
    assert part.stat().st_mtime_ns == before


def test_checkpoints_of_two_tokenizers_are_refused(tmp_path: Path, embedded_copy: str) -> None:
    """Their losses and samples are not comparable."""
    path = Path(embedded_copy) / "tokenizer.json"
    path.write_text(path.read_text().replace('"wait"', '"hold"'))
    config = ReadinessConfig(
        checkpoints=("embedded", embedded_copy), heldout="", problems=EASY, samples=2, group_size=2
    )
    with pytest.raises(UserError, match="different vocabularies"):
        readiness(config, tmp_path / "run")


@pytest.fixture
def embedded_copy(tmp_path: Path) -> str:
    import shutil

    from rlready.models.checkpoint_files import EMBEDDED_FOLDER

    shutil.copytree(EMBEDDED_FOLDER, tmp_path / "copy")
    return str(tmp_path / "copy")


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path: Path, embedded_copy: str) -> None:
    """The line says what is missing and how to fix it."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (Path(embedded_copy) / name).unlink()
    with pytest.raises(UserError, match="no tokenizer"):
        evaluate(EvaluateConfig(models=(embedded_copy,), problems=EASY, thinking_budgets=(8,)), tmp_path / "run")


def test_an_adapter_is_its_base_with_the_adapter_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same log-probabilities as the adapter's own forward, on the fast path; without peft, one line."""
    peft = pytest.importorskip("peft")
    base = tiny_lm()
    save(base, tmp_path / "base", "")
    tuned = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"), peft.LoraConfig(r=4, target_modules="all-linear")
    )
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    tuned.save_pretrained(tmp_path / "adapter")
    assert load(str(tmp_path / "adapter")).encode("ab") == base.encode("ab")  # by the tokenizer of its base
    lm = load(str(tmp_path / "adapter"))
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        wanted, plain = tuned.eval()(ids).logits, base.model(ids).logits
        assert (lm.model(ids).logits - wanted).abs().max() < 1e-4
    assert (wanted - plain).abs().max() > 0.1
    assert supports(lm.model)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'rlready\[peft\]'"):
        load(str(tmp_path / "adapter"))


def test_a_run_on_changed_inputs_is_refused(tmp_path: Path, embedded_copy: str) -> None:
    """Local models and data are hashed, so that a run never mixes two contents under one name."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"prompt": "a: 5 ? a", "answer": "a: 5"}) + "\n")
    config = EvaluateConfig(
        models=("embedded", embedded_copy), problems=str(problems), thinking_budgets=(8,), samples=1
    )
    result = evaluate(config, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    embedded, copy = record["models"]
    assert embedded["sha256"] == copy["sha256"]
    assert evaluate(config, tmp_path / "run") == result
    for changed in (problems, Path(embedded_copy) / "config.json"):
        before = changed.read_text()
        changed.write_text(before + "\n")
        with pytest.raises(
            UserError, match=f"whose input {changed if changed == problems else embedded_copy} has changed since"
        ):
            evaluate(config, tmp_path / "run")
        changed.write_text(before)


def answered(folder: Path, answers: Sequence[str]) -> Path:
    """An evaluation with these answers of two models, four samples each, to a problem that asks for z and g."""
    for at, answer in enumerate(answers):
        rows = [{"text": f"z: 9 </think> {answer} <eos>", "answer": "z: 1 g: 2", "setting": "64"}] * 4
        write_table(folder / "parts" / f"{at}.parquet", [*rows, rows[0] | {"setting": "16", "text": "cut"}])
    return folder


def test_the_demo_says_that_a_form_of_answer_is_unlearned_only_where_it_was_measured(tmp_path: Path) -> None:
    """The values may be wrong; what counts is for which names they are."""
    said = unlearned_form(answered(tmp_path / "a", ("z: 1", "z: 3 g: 3")), 64, "SFT step-2")
    assert said.startswith(
        "Base gives a value for everything that is asked in 0 of 4 samples at budget 64, SFT step-2 in 4 of 4"
    )
    assert not unlearned_form(answered(tmp_path / "b", ("z: 3 g: 3", "z: 1 g: 2")), 64, "SFT step-2")
    assert not unlearned_form(answered(tmp_path / "c", ("z: 1", "g: 2")), 64, "SFT step-2")


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (0.01, "RL raised sampled accuracy from 40 % to 60 %, greedy from 55 % to 66 %."),
        (-0.01, "RL raised sampled accuracy from 40 % to 60 %; greedy 55 % to 66 %, not significantly."),
    ],
)
def test_the_headline_of_the_demo_claims_a_greedy_gain_only_if_it_is_significant(low: float, said: str) -> None:
    def scored(accuracy: float, greedy: float) -> ModelScores:
        sampled, decoded, count = (
            Estimate(value, value - 0.05, value + 0.05, 200) for value in (accuracy, greedy, 50.0)
        )
        tokens = {"thinking_tokens": count, "answer_tokens": count}
        shares = {"accuracy": sampled, "truncated": sampled, "unfinished": sampled}
        return ModelScores(**tokens, **shares, greedy_accuracy=decoded)

    gain, greedy_gain = Estimate(0.2, 0.1, 0.3, 200), Estimate(0.11, low, 0.2, 200)
    assert _headline(gain, greedy_gain, scored(0.4, 0.55), scored(0.6, 0.66)) == said
