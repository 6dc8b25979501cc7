"""TRL trains from what ``rlready export`` has written: its rewards are our verdicts, its settings are ours."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from trl import GRPOTrainer

from rlready.core.config import ExportConfig
from rlready.engine.rollout import split_text
from rlready.export.stage import export
from rlready.tasks import open_task

TRAIN = "dagmath?ops=5&asked=2&split=train&n=40&seed=3"
HELD = "dagmath?ops=5&asked=2&split=test&n=4&seed=4"
GROUP, PROMPTS, STEPS = 4, 3, 2
BUDGET = 36  # of which some thoughts need more


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> GRPOTrainer:
    """TRL's trainer after two steps of the exported script on the embedded model."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "rl.toml").write_text(
        f'problems = "{TRAIN}"\nvalidation = "{HELD}"\nalgorithm = "dapo"\nsteps = {STEPS}\n'
        f"prompts_per_step = {PROMPTS}\ngroup_size = {GROUP}\neval_samples = 2\neval_every = 4\nkl_coef = 0.1\n"
        'learning_rate = 1e-4\nepsilon = 0.1\ntemperature = 0.9\nseed = 7\ndevice = "cpu"\n'
        f"thinking_budget = {BUDGET}\n"
    )
    export(ExportConfig(run=str(folder / "rl.toml"), to="trl"), folder / "out")
    return trained(folder / "out")


def trained(export_folder: Path) -> GRPOTrainer:
    """The trainer of an exported script after it was run."""
    sys.path.insert(0, str(export_folder))
    try:
        found = runpy.run_path(str(export_folder / "train.py"), run_name="__main__")["trainer"]
    finally:
        sys.path.remove(str(export_folder))
        sys.modules.pop("reward", None)
    assert isinstance(found, GRPOTrainer)
    return found


def test_the_rewards_that_trl_logs_are_the_verdicts_of_the_verifier(trainer: GRPOTrainer) -> None:
    """In training and in validation, over correct and wrong responses; the loss is moved by them."""
    tasks = [open_task(source) for source in (TRAIN, HELD)]
    found = {problem.id: (task, problem) for task in tasks for problem in task.problems()}
    rewards, thoughts = [], []
    for file in sorted(Path(trainer.args.output_dir).glob("completions/*.parquet")):
        for row in pq.read_table(file).to_pylist():
            task, problem = found[row["problem_id"]]
            assert problem.prompt == row["prompt"][0]["content"]
            thinking, answer = split_text(row["response"].removesuffix("<eos>"), "</think>")
            thoughts.append(len(trainer.processing_class.encode(thinking, add_special_tokens=False)))
            verdict = task.verify(problem, thinking, answer)
            assert row["rlready_reward"] == float(verdict.correct)
            rewards.append(row["rlready_reward"])
    assert {0.0, 1.0} == set(rewards)
    assert max(thoughts) == BUDGET  # where rlready's engine has closed them
    steps = [line for line in trainer.state.log_history if "reward" in line]
    assert [line["step"] for line in steps] == [1, 2]
    assert any(line["grad_norm"] for line in steps)
    assert [line["step"] for line in trainer.state.log_history if "eval_accuracy" in line] == [0, STEPS]


def test_the_loss_is_the_one_of_the_run(trainer: GRPOTrainer) -> None:
    """In what the trainer computes with, not only in its arguments."""
    assert (trainer.loss_type, trainer.scale_rewards, trainer.beta) == ("dapo", "group", 0.1)
    assert (trainer.epsilon_low, trainer.epsilon_high, trainer.num_iterations) == (0.1, 0.28, 1)
    assert (trainer.num_generations, trainer.num_generations_eval, trainer.temperature) == (GROUP, 2, 0.9)
    args = trainer.args
    assert (args.max_steps, args.generation_batch_size, args.seed) == (STEPS, GROUP * PROMPTS, 7)
    assert args.max_completion_length == BUDGET + 16
    assert (trainer.rollout_func.budget.thinking_budget, trainer.rollout_func.budget.max_answer_tokens) == (BUDGET, 16)
    assert not args.use_bias_correction_kl


def test_a_run_that_is_started_again_goes_on_from_its_last_checkpoint(trainer: GRPOTrainer) -> None:
    """It ends if that is the last step; with more steps, the samples of the first are not drawn again."""
    outputs = Path(trainer.args.output_dir)
    script, first = outputs.parent / "train.py", sorted(outputs.glob("completions/*.parquet"))[1]
    before = first.stat().st_mtime_ns
    with pytest.raises(SystemExit, match="checkpoint-2: training has ended"):
        trained(outputs.parent)
    script.write_text(script.read_text().replace(f"max_steps={STEPS}", f"max_steps={STEPS + 1}"))
    again = trained(outputs.parent)
    assert [line["step"] for line in again.state.log_history if "reward" in line] == [1, 2, 3]
    assert first.stat().st_mtime_ns == before
