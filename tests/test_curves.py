"""Outcomes of RL from learning curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from measured import checkpoint, write_readiness
from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.predict.comparable import doubts
from rlready.predict.curves import Curve, asymptote, read_curve
from rlready.predict.outcomes import find_runs
from rlready.predict.stage import predict


def sigmoid(last: float, steps: int = 200, noise: float = 0.0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A curve from 0.2 to ``last``, half of its rise at step 20, logged at every second step."""
    t = np.arange(2.0, steps + 1, 2)
    return t, 0.2 + (last - 0.2) / (1 + (20 / t) ** 1.5) + np.random.default_rng(0).normal(0, noise, len(t))


def state(folder: Path, **metrics: list[float]) -> Path:
    """A trainer's state with these metrics at steps 10, 20, …"""
    folder.mkdir(parents=True)
    history = [{"step": 10 * (i + 1), name: v} for name, values in metrics.items() for i, v in enumerate(values)]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": [*history, {"step": 99, "train_loss": 0.1}]}))
    return folder


def verl(file: Path, **values: list[float]) -> str:
    """A log of verl, of validations of data sources from step 10 on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"step": 10 * at, "data": {f"val-core/{source}/acc/mean@4": value}}
        for source, each in values.items()
        for at, value in enumerate(each, start=1)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file.relative_to(file.parents[1]))


def outcomes(folder: Path, *rows: dict[str, Any]) -> list[tuple[float, str]]:
    table = folder / "outcomes.jsonl"
    table.write_text("".join(json.dumps({"checkpoint": f"c{i}"} | row) + "\n" for i, row in enumerate(rows)))
    return [(o.value, o.curve.replace(str(folder), ".")) for o in find_runs([str(table)]).outcomes]


def test_the_asymptote_of_a_sigmoid_is_found() -> None:
    for last in (0.4, 0.7, 1.0):
        assert asymptote(*sigmoid(last), "") == pytest.approx(last, abs=1e-3)
        assert asymptote(*sigmoid(last, noise=0.01), "") == pytest.approx(last, abs=0.04)
    assert asymptote(np.arange(1.0, 9), np.full(8, 0.5), "") == 0.5
    t, y = sigmoid(0.7)
    curve = Curve(Path("run"), (), "outcome", np.append(0, t), np.append(1.0, y))
    assert curve.outcome("asymptote", "") == asymptote(t, y, "")  # step 0 is before training


def test_the_asymptote_of_a_falling_curve_is_below_its_values() -> None:
    for last in (0.1, 0.3):
        t, y = sigmoid(1 - last)
        assert asymptote(t, 1 - y, "") == pytest.approx(last, abs=1e-3) != (1 - y).min()
        assert asymptote(t, 100 - 100 * y, "") == pytest.approx(100 * last, abs=0.1)
    t = np.arange(10.0, 301, 10)
    falls = 0.6 - 0.4 / (1 + 60 / t)  # to 0.2, of which 0.27 is reached
    assert asymptote(t, falls, "") == pytest.approx(0.2, abs=1e-3)


def test_a_curve_that_rises_and_then_falls_has_no_asymptote() -> None:
    t, noise = np.arange(10.0, 301, 10), np.random.default_rng(0).normal(0, 0.01, 30)
    rises = 0.2 + 0.4 / (1 + (30 / t) ** 2)
    assert asymptote(t, rises + noise, "") == pytest.approx(0.6, abs=0.02)
    with pytest.raises(UserError, match="its last values are not on the sigmoid"):
        asymptote(t, rises - np.maximum(0, t - 100) * 0.001 + noise, "")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (12, "6 points after step 0, fewer than 8, show no asymptote; take its last"),
        (18, "does not level off"),
        (30, "does not level off"),
        (40, "does not level off"),
    ],
)
def test_an_asymptote_that_the_curve_does_not_show_is_refused(steps: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        asymptote(*sigmoid(0.9, steps, noise=0.01), "run")


def test_last_and_best_of_a_log_and_of_a_table(tmp_path: Path) -> None:
    run = state(tmp_path / "grpo", reward=[0.1, 0.6, 0.5], eval_reward=[0.2, 0.4, 0.3])
    (tmp_path / "run.csv").write_text("step,outcome\n0,0.9\n1,0.1\n3,0.2\n2,0.7\n")  # step 0 is before training
    assert outcomes(
        tmp_path, {"curve": "grpo"}, {"curve": "grpo", "outcome": "last", "metric": "reward", "family": "b"}
    ) == [
        (0.3, "last eval_reward of ./grpo/trainer_state.json"),
        (0.5, "last reward of ./grpo/trainer_state.json"),
    ]
    assert outcomes(tmp_path, {"curve": "run.csv", "outcome": "best"}) == [(0.7, "best outcome of ./run.csv")]
    assert outcomes(tmp_path, {"curve": "run.csv"})[0][0] == 0.2
    for step, rewards in ((9, [0.9]), (10, [0.9, 1.0])):
        state(tmp_path / "out" / f"checkpoint-{step}", reward=rewards)
    assert outcomes(tmp_path, {"curve": "out"})[0][0] == 1.0
    assert run.name in outcomes(tmp_path, {"curve": "grpo/trainer_state.json"})[0][1]


def test_a_metric_that_was_logged_again_at_a_step_counts_by_its_last_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An evaluation after training has other samples than the one at its last step."""
    history = [{"step": step, "eval_reward": value} for step, value in ((10, 0.2), (20, 0.3), (20, 0.3), (20, 0.5))]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    assert outcomes(tmp_path, {"curve": "trainer_state.json"})[0][0] == 0.5
    assert "eval_reward was logged again at 1 of its 2 steps with another value" in capsys.readouterr().err


def test_the_log_that_goes_furthest_is_read_and_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    """A run that goes on from a checkpoint leaves the log of its first part in the output folder itself."""

    def saved(place: str, *rewards: float, **more: float) -> None:
        history = [{"step": 10 * (i + 1), "eval_reward": reward, **more} for i, reward in enumerate(rewards)]
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        content = {"log_history": history, "global_step": history[-1]["step"], "max_steps": 40}
        (tmp_path / place / "trainer_state.json").write_text(json.dumps(content))

    saved("grpo", 0.1, 0.2, eval_loss=float("nan"))
    saved("grpo/checkpoint-20", 0.1, 0.2)
    saved("grpo/checkpoint-40", 0.1, 0.2, 0.3, 0.6)
    assert outcomes(tmp_path, {"curve": "grpo"}) == [
        (0.6, "last eval_reward of ./grpo/checkpoint-40/trainer_state.json")
    ]
    saved("grpo", 0.1, 0.4)
    message = (
        r"grpo has the logs of two runs, checkpoint-40/trainer_state\.json and trainer_state\.json: at step 20 "
        r"eval_reward is 0\.2 and 0\.4; name one of the files"
    )
    with pytest.raises(UserError, match=message):
        outcomes(tmp_path, {"curve": "grpo"})
    (tmp_path / "grpo" / "trainer_state.json").write_text("{")
    assert outcomes(tmp_path, {"curve": "grpo"})[0][0] == 0.6


def prime_rl(file: Path, *lines: tuple[int, int, dict[str, float]]) -> str:
    """A log of prime-rl, of evaluations at a step, by a version of the policy."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logged: list[dict[str, float]] = [{"step": 1, "time": 0.5, "loss/mean": 0.1}]
    for step, version, metrics in lines:
        values = {f"eval/sums/effective/{name}": value for name, value in metrics.items()}
        logged.append({"step": step, "time": 1.5, **values, "eval/sums/policy_version": version})
    file.write_text("".join(json.dumps(line) + "\n" for line in logged) + '{"step": 9, "ti')
    return str(file.relative_to(file.parents[1]))


def test_evaluations_of_prime_rl(tmp_path: Path) -> None:
    """The verdict before the reward; the evaluation before training is no outcome; the last at a step counts."""
    both = [(1, 0, {"a/avg@4": 0.9, "a/metrics/correct/mean": 0.8}), (5, 4, {"a/metrics/correct/mean": 0.5})]
    prime_rl(tmp_path / "runs" / "metrics.jsonl", *both, (8, 7, {"a/avg@4": 0.1, "a/metrics/correct/mean": 0.4}))
    alone = prime_rl(tmp_path / "x" / "y.jsonl", (1, 0, {"a/avg@4": 0.9}), (6, 5, {"a/avg@4": 0.2, "a/pass@1": 0.3}))
    again = prime_rl(tmp_path / "z" / "y.jsonl", (6, 5, {"a/avg@4": 0.2}), (6, 5, {"a/avg@4": 0.7}))
    whole = tmp_path / "w" / "y.jsonl"
    prime_rl(whole, (6, 5, {"a/avg@4": 0.2}), (9, 8, {"a/avg@4": 0.6}))
    whole.write_text(whole.read_text().removesuffix('\n{"step": 9, "ti'))
    names = [("runs", "best"), (".", "last"), (alone, "best"), (again, "last"), ("w/y.jsonl", "last")]
    found = [outcomes(tmp_path, {"curve": name, "outcome": value})[0][0] for name, value in names]
    assert found == [0.5, 0.4, 0.2, 0.7, 0.6]  # the last line of a log may lack its end, or be cut
    metric = "eval/sums/effective/a/pass@1"
    assert outcomes(tmp_path, {"curve": alone, "metric": metric})[0][0] == 0.3
    with pytest.raises(UserError, match=r"no pass@2 was logged; known: eval/sums/effective/a/avg@4, eval/sums/"):
        outcomes(tmp_path, {"curve": alone, "metric": "pass@2"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(1, 0, {"a/avg@4": 0.9})], "has only the evaluation before training"),
        ([(2, 1, {"a/pass@4": 0.9})], "no evaluation was logged"),
        (
            [(2, 1, {"a/avg@4": 0.9, "b/avg@4": 0.1})],
            r"metrics\.jsonl: has 2 validation accuracies; name one as the metric: eval/sums",
        ),
        ([(2, 1, {"a/avg@4": float("nan")})], "avg@4 is 'nan', no finite number; give a number instead"),
        ([(None, 1, {"a/avg@4": 0.5})], "step is 'None', no finite number"),
        ([(2, None, {"a/avg@4": 0.5})], "eval/sums/policy_version is 'None', no finite number"),
    ],
)
def test_logs_of_prime_rl_without_an_outcome(lines: list[Any], message: str, tmp_path: Path) -> None:
    prime_rl(tmp_path / "run" / "metrics.jsonl", *lines)
    with pytest.raises(UserError, match=message):
        outcomes(tmp_path, {"curve": "run"})
    prime_rl(tmp_path / "run2" / "metrics.jsonl", *lines)
    with pytest.raises(UserError, match=r"several runs, run/metrics\.jsonl and run2/metrics\.jsonl: name one of them"):
        outcomes(tmp_path, {"curve": "."})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"curve": "none"}], ":1: no such file: .*none"),
        ([{"curve": "."}], ":1: .* holds no trainer_state.json"),
        ([{"curve": "grpo", "outcome": "mean"}], "outcome must be last, best, asymptote, not 'mean'"),
        ([{"curve": "grpo", "metric": "rewards"}], "no metric 'rewards' was logged; did you mean reward"),
        (
            [{"curve": "grpo"}, {"curve": "grpo", "outcome": "best"}],
            ":2: the outcome is best reward, but .* it is last",
        ),
        ([{"curve": "grpo"}, {"outcome": 0.5}], ":2: the outcome is a number, but in .* it is last reward"),
        (
            [{"curve": "grpo"}, {"curve": "./grpo"}],
            ":2: c1 has the curve .*, which is that of c0 in .*:1: name",
        ),
        ([{"curve": "bad.csv"}], "step and outcome must be numbers"),
        ([{"curve": "twice.csv"}], "step 1 is given twice"),
        ([{"curve": "start.csv"}], r"start\.csv has only the evaluation before training"),
        ([{"curve": "sft"}], "none of eval_accuracy, eval_reward, reward was logged; name another as the metric"),
        ([{"curve": "two"}], "has eval_a_reward, eval_b_reward of several evaluations; name one as the metric"),
        ([{"curve": "sum"}], "reward is the sum of the rewards rewards/acc/mean, rewards/length/mean; name"),
        ([{"curve": "broken"}], "not a trainer_state.json with a log_history"),
        ([{"curve": "deep"}], "not a trainer_state.json with a log_history"),
        ([{"curve": "nan"}], "reward at step 30, the last, is 'nan', no finite number; name another metric"),
        ([{"curve": "grpo", "metric": "epoch"}], "no metric 'epoch' was logged"),
    ],
)
def test_curves_without_an_outcome(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    state(tmp_path / "grpo", reward=[0.1, 0.6])
    state(tmp_path / "sft", loss=[1.0])
    state(tmp_path / "two", reward=[0.9], eval_a_reward=[0.1], eval_b_reward=[0.2])
    each = {f"rewards/{name}/mean": [0.5] for name in ("acc", "length")}
    state(tmp_path / "sum", reward=[1.0], **each)
    assert outcomes(tmp_path, {"curve": "sum", "metric": "reward"})[0][0] == 1.0
    (tmp_path / "bad.csv").write_text("step,outcome\n1,x\n")
    (tmp_path / "twice.csv").write_text("step,outcome\n1,1\n1,2\n")
    (tmp_path / "start.csv").write_text("step,outcome\n0,0.5\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "trainer_state.json").write_text("{}")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "trainer_state.json").write_text("[" * 100_000)
    state(tmp_path / "nan", reward=[0.1, 0.6, float("nan")])
    with pytest.raises(UserError, match=message):
        outcomes(tmp_path, *rows)


def test_a_step_without_a_number_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state(tmp_path / "run", reward=[0.1, float("nan"), 0.6])
    assert outcomes(tmp_path, {"curve": "run"})[0][0] == 0.6
    assert "reward is no finite number at 1 of its steps, which are left out" in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["acc_at_4096_tokens", "pass@1/time_limit"])
def test_an_accuracy_at_a_length_or_time_is_an_outcome(metric: str, tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text(f"step,{metric}\n1,0.1\n2,0.3\n")
    assert outcomes(tmp_path, {"curve": "curve.csv"})[0][0] == 0.3


def test_a_chart_of_several_runs_has_the_curve_of_each(tmp_path: Path) -> None:
    (tmp_path / "chart.csv").write_text("Step,a - eval/reward,b - eval/reward\n1,0.1,0.2\n2,0.3,0.6\n")
    rows = [{"curve": "chart.csv", "metric": f"{run} - eval/reward"} for run in "ab"]
    assert [value for value, _ in outcomes(tmp_path, *rows)] == [0.3, 0.6]


def test_the_choice_is_in_the_result_and_its_file_in_the_record(tmp_path: Path) -> None:
    found = [checkpoint(str(tmp_path / f"sft-{i}/checkpoints/step-9"), reach=0.5, skill=0.5, seed=i) for i in range(4)]
    ready = write_readiness(tmp_path / "ready", found)
    for i in range(4):
        state(tmp_path / f"grpo-{i}", reward=[0.1, 0.2 * i])
    table = tmp_path / "outcomes.jsonl"
    rows = [{"checkpoint": c.name, "curve": f"grpo-{i}", "outcome": "best"} for i, c in enumerate(found)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = predict(PredictConfig(runs=(str(ready), str(table)), resamples=50), tmp_path / "out")
    assert [c.outcomes[0].value for c in result.checkpoints] == [0.1, 0.2, 0.4, pytest.approx(0.6)]
    assert {c.outcomes[0].curve.partition(" of ")[0] for c in result.checkpoints} == {"best reward"}
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert sum("trainer_state.json" in str(each["path"]) for each in record["data"]) == 4
    assert "end at steps" not in " ".join(result.notes)
    assert "are the best of" not in " ".join(result.notes)
    state(tmp_path / "short", reward=[0.1])
    rows[2]["curve"] = "short"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = predict(PredictConfig(runs=(str(ready), str(table)), resamples=50), tmp_path / "unequal")
    assert f"end at steps 10 to 20, that of {found[2].name} first ({table}:3)" in " ".join(result.notes)
    assert "Outcome of RL: best reward of learning curves, after RL steps 10 to 20." in result.remarks()
    assert "outcomes are the best of 1 to 2 values of a learning curve" in " ".join(result.notes)
    for row in rows:
        row["outcome"] = "last"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = predict(PredictConfig(runs=(str(ready), str(table)), resamples=50), tmp_path / "last")
    assert "are the best of" not in " ".join(result.notes)


def test_a_log_of_verl_that_was_begun_anew_replaces_what_follows(tmp_path: Path) -> None:
    verl(tmp_path / "run" / "log-1.jsonl", sums=[0.1, 0.9, 0.9])
    verl(tmp_path / "run" / "log-2.jsonl", sums=[0.2, 0.4])
    assert outcomes(tmp_path, {"curve": "run"})[0] == (0.4, "last val-core/sums/acc/mean of ./run")


def test_what_a_log_has_before_a_run_went_on_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within one file, too; logs of verl are in the order of their numbers, and one that begins anew is said."""
    log = tmp_path / "one" / "verl.jsonl"
    verl(log, sums=[0.1, 0.2, 0.9])
    again = log.read_text()
    verl(log, sums=[0.1, 0.5])
    log.write_text(again + log.read_text())
    steps = ((10, 0.2), (30, 0.9), (20, 0.5))
    prime = prime_rl(tmp_path / "p" / "m.jsonl", *((step, step - 1, {"a/avg@4": value}) for step, value in steps))
    verl(tmp_path / "many" / "log-9.jsonl", sums=[0.1, 0.2, 0.3])
    verl(tmp_path / "many" / "log-10.jsonl", sums=[0.1, 0.6])
    assert [outcomes(tmp_path, {"curve": curve})[0][0] for curve in ("one/verl.jsonl", prime)] == [0.5, 0.5]
    assert "begins anew" not in capsys.readouterr().err
    assert outcomes(tmp_path, {"curve": "many"})[0][0] == 0.6
    verl(tmp_path / "many" / "log-11.jsonl", sums=[0.1, 0.4])
    assert outcomes(tmp_path, {"curve": "many"})[0][0] == 0.4
    assert "log-11.jsonl: begins anew at step 10, so that earlier logs there are left out" in capsys.readouterr().err


@pytest.mark.parametrize("begin", ["", "(TaskRunner pid=9) ", "INFO: workers start\n(TaskRunner pid=9) "])
def test_what_verl_prints_is_named_as_such(begin: str, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(f"{begin}step:10 - val-core/a/acc/mean@4:0.5 - actor/pg_loss:0.1\n")
    with pytest.raises(UserError, match=r"run\.log is what verl prints; name the file that it writes with trainer"):
        outcomes(tmp_path, {"curve": "run.log"})


@pytest.mark.parametrize("step", ["9" * 400, "true", '"x"', "1e400"])
def test_a_step_of_verl_is_a_number(step: str, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(f'{{"step": {step}, "data": {{"val-core/a/acc/mean@4": 0.5}}}}\n')
    with pytest.raises(UserError, match=r"log\.jsonl:1: (the step is|not a line)"):
        outcomes(tmp_path, {"curve": "log.jsonl"})


def test_a_reward_of_training_beside_evaluations_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the exported reward logs of validation counts first; an accuracy of another name has to be named."""
    log = [{"step": 10, "reward": 0.9, "eval_mean_accuracy": 0.5}, {"step": 20, "reward": 0.8, "eval_reward": 0.7}]
    for lines, metric, warned in (
        (log[:1], "reward", True),
        (log, "eval_reward", False),
        ([*log, {"step": 30, "eval_accuracy": 0.6}], "eval_accuracy", False),
        ([{"step": 10, "reward": 0.9}], "reward", False),
    ):
        path = tmp_path / "trainer_state.json"
        path.write_text(json.dumps({"log_history": lines}))
        assert read_curve(path, "", "here").metric == metric
        said = "the outcome is reward, of the problems that RL trained on, though the log has eval_mean_accuracy"
        assert (said in capsys.readouterr().err) is warned


def test_a_log_with_an_evaluation_before_training_alone_names_what_was_logged_later(tmp_path: Path) -> None:
    history = [{"step": 0, "eval_reward": 0.2}, {"step": 5, "reward": 0.3}, {"step": 10, "reward": 0.4}]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history}))
    with pytest.raises(UserError, match=r"only the evaluation before training, .* of eval_reward; .* metric=reward,"):
        read_curve(path, "", "here")
    assert read_curve(path, "reward", "here").outcome("last", "") == 0.4
    path.write_text(json.dumps({"log_history": [*history, {"step": 10, "eval_reward": 0.5}]}))
    assert read_curve(path, "", "here").outcome("last", "") == 0.5
    path.write_text(json.dumps({"log_history": history[:1]}))
    with pytest.raises(UserError, match="train first"):
        read_curve(path, "", "here").outcome("last", "")


def test_curves_of_other_numbers_are_not_compared(tmp_path: Path) -> None:
    one, other = (verl(tmp_path / name / "log.jsonl", **{name: [0.5]}) for name in ("gsm8k", "math"))
    with pytest.raises(
        UserError, match=r":2: the outcome is last val-core/math/acc/mean, but .* it is last val-core/gs"
    ):
        outcomes(tmp_path, {"curve": one}, {"curve": other})
    both = verl(tmp_path / "both" / "log.jsonl", gsm8k=[0.5], math=[0.6])
    with pytest.raises(UserError, match="has 2 validation accuracies"):
        outcomes(tmp_path, {"curve": both})
    for metric in ("val-core/math/acc/mean", "val-core/math/acc/mean@4"):  # as it is logged, too
        assert outcomes(tmp_path, {"curve": both, "metric": metric})[0][0] == 0.6
    with pytest.raises(UserError, match=r"no acc was logged; known: val-core/gsm8k/acc/mean@4; give"):
        outcomes(tmp_path, {"curve": one, "metric": "acc"})
    (tmp_path / "t.csv").write_text("step,outcome\n1,0.5\n")
    with pytest.raises(UserError, match=r"t\.csv: no metric 'acc'; known: outcome"):
        outcomes(tmp_path, {"curve": "t.csv", "metric": "acc"})
    run = prime_rl(tmp_path / "a" / "metrics.jsonl", (2, 1, {"a/avg@4": 0.5}))
    judged = prime_rl(tmp_path / "b" / "metrics.jsonl", (2, 1, {"a/metrics/correct/mean": 0.5}))
    with pytest.raises(UserError, match=r"it is last eval/sums/effective/a/avg;"):
        outcomes(tmp_path, {"curve": run}, {"curve": judged})


def test_a_curve_that_was_copied_is_a_doubt(tmp_path: Path) -> None:
    for name, reward in (("a", 0.5), ("b", 0.5), ("c", 0.6)):
        state(tmp_path / name, reward=[reward])
    table = tmp_path / "outcomes.jsonl"
    table.write_text("".join(json.dumps({"checkpoint": name, "curve": name}) + "\n" for name in "abc"))
    (doubt,) = doubts(find_runs([str(table)]).outcomes, {}, {})
    assert doubt.startswith(f"b ({table}:2) has the learning curve of a ({table}:1), to the byte")


def test_runs_that_have_stopped_before_their_end_are_said(tmp_path: Path) -> None:
    found = [checkpoint(str(tmp_path / f"sft-{i}/checkpoints/step-9"), reach=0.5, skill=0.5, seed=i) for i in range(4)]
    ready = write_readiness(tmp_path / "ready", found)
    for i in range(4):
        file = state(tmp_path / f"grpo-{i}", reward=[0.1, 0.2 * i]) / "trainer_state.json"
        whole = {"global_step": 20 if i < 3 else 40, "max_steps": 40}
        file.write_text(json.dumps(json.loads(file.read_text()) | whole))
    table = tmp_path / "outcomes.jsonl"
    rows = [{"checkpoint": c.name, "curve": f"grpo-{i}"} for i, c in enumerate(found)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = predict(PredictConfig(runs=(str(ready), str(table)), resamples=50), tmp_path / "out")
    assert (
        f"3 of 4 learning curves end before their runs were to end: that of {found[0].name} at step 20 of 40 "
        f"({table}:1); if these runs go on" in " ".join(result.notes)
    )


def test_a_column_that_lacks_the_prefix_of_predictors_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes(tmp_path, {"outcome": 0.5, "greedy": 0.3, "predictor:loss2": 1.0, "comment": "good"})
    said = capsys.readouterr().err
    assert "column greedy is not read; named predictor:greedy it would be scored" in said
    assert said.count("is not read") == 1


WANDB = """"Step","grpo-1 - eval/reward","grpo-1 - eval/reward__MIN","grpo-1 - eval/reward__MAX"
"0","0.1","0","0.2"
"10","0.3","0.2","0.4"
"20","","",""
"""
HISTORY = """_step,_runtime,_timestamp,eval/reward,train/loss,train/reward
0,1.5,17e8,0.1,,
5,2.5,17e8,,0.7,0.2
10,3.5,17e8,0.3,,NaN
"""


@pytest.mark.parametrize(
    ("text", "metric", "name", "values"),
    [
        (WANDB, "", "eval_reward", [0.1, 0.3]),
        (WANDB, "eval_reward", "eval_reward", [0.1, 0.3]),
        (WANDB, "grpo-1 - eval/reward", "eval_reward", [0.1, 0.3]),
        (HISTORY, "", "eval_reward", [0.1, 0.3]),
        (HISTORY, "reward", "reward", [0.2]),
        ("Step,training/global_step,eval/reward\n9,10,0.1\n8,20,0.3\n", "", "eval_reward", [0.1, 0.3]),
        ("_step,train/global_step,eval/reward\n3,10,0.1\n9,5,0.2\n12,40,0.3\n", "", "eval_reward", [0.2, 0.3]),
        ("Wall time,Step,Value\n17e8,0,0.1\n17e8,10,0.3\n", "", "Value", [0.1, 0.3]),
        ("Step,a - pass@1,b - pass@1\n0,0.1,0.2\n10,0.3,\n", "a - pass@1", "pass@1", [0.1, 0.3]),
        ("run_id,key,value,step\na,eval/acc,0.1,3\na,eval/acc,0.3,6\n", "eval_acc", "eval_acc", [0.1, 0.3]),
        ("run_id,key,value,step\na,eval/acc,0.1,3\na,eval/acc,0.3,6\n", "", "eval_acc", [0.1, 0.3]),
        ("Step,kl-0.1 lr-1e-5 - eval/acc\n0,0.1\n9,0.3\n", "", "eval_acc", [0.1, 0.3]),
        (
            "Step,length_controlled_winrate\n0,0.1\n9,0.3\n",
            "length_controlled_winrate",
            *("length_controlled_winrate", [0.1, 0.3]),
        ),
    ],
)
def test_a_table_that_a_tracker_exports_is_a_curve(
    tmp_path: Path, text: str, metric: str, name: str, values: list[float]
) -> None:
    (tmp_path / "chart.csv").write_text(text)
    found = read_curve(tmp_path / "chart.csv", metric, "here")
    assert (found.metric, found.values.tolist()) == (name, values)


def test_a_tracker_may_list_the_newest_step_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.csv"
    path.write_text("Step,run - eval/reward\n20,0.6\n10,0.4\n5,0.3\n")
    assert read_curve(path, "", "here").values.tolist() == [0.3, 0.4, 0.6]
    assert "went on" not in capsys.readouterr().err


def test_a_run_that_went_on_is_read_alike_with_the_newest_step_first(tmp_path: Path) -> None:
    path, head = tmp_path / "run.csv", "Step,run - eval/reward\n"
    rows = ["5,0.05\n", "10,0.06\n", "20,0.8\n", "30,0.9\n", "10,0.1\n", "20,0.2\n", "30,0.3\n"]
    for order in (rows, rows[::-1]):
        path.write_text(head + "".join(order))
        assert read_curve(path, "", "here").values.tolist() == [0.05, 0.1, 0.2, 0.3]
    path.write_text(f"{head}5,0.1\n5,0.2\n")
    assert read_curve(path, "", "here").values.tolist() == [0.2]  # of two at one step the last


def test_an_attempt_of_verl_replaces_what_follows_also_without_a_validation(tmp_path: Path) -> None:
    verl(tmp_path / "run" / "log-1.jsonl", sums=[0.1, 0.2, 0.9])
    lines = [{"step": step, "data": {"actor/loss": 0.1}} for step in (21, 22)]
    (tmp_path / "run" / "log-2.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert outcomes(tmp_path, {"curve": "run"})[0][0] == 0.2


def test_any_metric_of_verl_is_a_curve_if_it_is_named(tmp_path: Path) -> None:
    """Where some problems have one sample and others eight, mean@1 and mean@8 are of unlike problems."""
    sums = {f"val-core/sums/acc/{name}": value for name, value in (("mean@8", 0.1), ("best@8/mean", 0.6))}
    lines = [{"step": step, "data": sums | {"critic/score/mean": step / 100, "x": "none"}} for step in (10, 20)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for metric, value in (*sums.items(), ("critic/score/mean", 0.2), ("val-core/sums/acc/mean", 0.1)):
        name = metric.replace("mean@8", "mean")
        assert outcomes(tmp_path, {"curve": "log.jsonl", "metric": metric}) == [(value, f"last {name} of ./log.jsonl")]
    with pytest.raises(UserError, match=r"log\.jsonl:1: x is 'none', no finite number"):
        outcomes(tmp_path, {"curve": "log.jsonl", "metric": "x"})
    with pytest.raises(
        UserError, match=r"no best@8 was logged; known: val-core/sums/acc/mean@8, val-core/sums/acc/best@8/mean; give"
    ):
        outcomes(tmp_path, {"curve": "log.jsonl", "metric": "best@8"})
    lines[0]["data"]["critic/score/mean"] = float("nan")
    lines[0]["data"]["val-core/sums/acc/mean@1"] = 0.3
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=r"unlike numbers of samples; name one metric: .*/mean@8, .*/mean@1"):
        outcomes(tmp_path, {"curve": "log.jsonl"})
    for metric, value in (("val-core/sums/acc/mean@8", 0.1), ("val-core/sums/acc/mean@1", 0.3)):
        assert outcomes(tmp_path, {"curve": "log.jsonl", "metric": metric})[0][0] == value
    assert outcomes(tmp_path, {"curve": "log.jsonl", "metric": "critic/score/mean"})[0][0] == 0.2


def test_rows_of_a_tracker_without_order_are_sorted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.csv"
    path.write_text("Step,run - eval/reward\n20,0.6\n40,0.9\n10,0.4\n30,0.8\n5,0.3\n5,0.3\n")
    assert read_curve(path, "", "here").values.tolist() == [0.3, 0.4, 0.6, 0.8, 0.9]
    assert "its rows are not in the order of steps, and are sorted by them" in capsys.readouterr().err


def test_a_run_that_a_tracker_saw_go_on_replaces_what_had_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Wall time,Step,Value\n1,0,0.1\n2,10,0.3\n3,20,0.4\n4,10,0.5\n5,30,0.6\n"
    (tmp_path / "chart.csv").write_text(text)
    found = read_curve(tmp_path / "chart.csv", "", "here")
    assert dict(zip(found.steps, found.values, strict=True)) == {0: 0.1, 10: 0.5, 30: 0.6}
    assert "the run went on from an earlier step; 2 values that it replaced are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "metric", "message"),
    [
        (
            "Step,a - pass@1,b - pass@1\n0,0.1,0.2\n",
            "",
            "has 'a - pass@1', 'b - pass@1' by step; name the column of one",
        ),
        ("Step,a - pass@1,b - pass@1\n0,0.1,0.2\n", "pass@1", "has 'a - pass@1', 'b - pass@1' by step"),
        ("Step,a - pass@1\n0,0.1\n", "pass@2", "no metric 'pass@2'; known: a - pass@1"),
        ("Step,train/loss\n0,0.1\n", "", "has 'train/loss' by step; name the column"),
        (HISTORY, "train/loss", "of loss of .* less is better: name a metric of which more is"),
        (
            "Step,eval/reward,eval/rewards/acc/mean,eval/rewards/length/mean\n1,1,0.5,0.5\n",
            "",
            "eval_reward is the sum of the rewards eval_rewards/acc/mean, eval_rewards/length/mean; name",
        ),
        ("Step,train/kl\n0,0.1\n", "", "has 'train/kl' by step; name the column"),
        ("Step,train/kl\n0,0.1\n", "train/kl", "of kl of .* less is better"),
        ("Step,a - train/completions/mean_length\n0,64\n", "", "mean_length' by step; name the column"),
        ("Step,eval/rewards/accuracy/std\n0,0.4\n", "", "accuracy/std' by step; name the column"),
        ("step,tag,Value\n1,train/entropy,5\n", "", "has 'train/entropy' by step; name the column"),
        ("step;outcome\n950;39\n1.000;40\n", "", "must be numbers, not '1.000'; write steps without separators"),
        ("step,acc\n1,0.5\n2,nan\n", "", "row 2: acc is nan at the last step; leave the row out if it may be"),
        (
            "tokens,outcome\n1,0.5\n",
            "",
            "no column of steps among 'tokens', 'outcome'; if one counts the training, rename it to step, in",
        ),
        ("Step,a\n0,\n", "", "has no numbers by step$"),
        ("Step,a - eval/reward\n1,48.5%\n", "", r"has no numbers by step; '48\.5%' \(write 0\.485\) is none"),
        ("Step;a - eval/reward\n1;0,5\n", "", r"has no numbers by step; '0,5' \(write 0\.5\) is none"),
        ("Relative Time (Process),a\n0,0.5\n", "", "no column of steps"),
        ("Step,a\n0,0.5\nx,0.6\n", "", "row 2: Step and a must be numbers"),
        ("Step,a\n0,0.5\n1,good\n", "", "row 2: Step and a must be numbers"),
        ("step,outcome\n1,1\n1,2\n", "", "step 1 is given twice; keep one line of each step"),
        (
            "run_id,_step,eval/reward\na,1,0.1\nb,2,0.5\n",
            "",
            "has values of several run_id, 'a', 'b': keep the rows of",
        ),
        ("run,step,outcome\na,1,0.1\nb,2,0.5\n", "", "has values of several run, 'a', 'b': keep the rows of one"),
        ("step,tag,Value\n1,kl,5\n1,reward,0.5\n", "reward", "has values of several tag, 'kl', 'reward': keep"),
        ("step,a,seed\n1,0.1,0\n2,0.2,0\n1,0.3,1\n2,0.4,1\n", "", "has values of several seed, '0', '1'"),
        ("step,a\n1,0.1\n2,0.2\n1,0.3\n2,0.4\n", "", "has several values of a at each step: if they are of several"),
        ("step,a\n1,0.1\n1,0.3\n2,0.2\n2,0.4\n", "", "has several values of a at each step"),
        ("step,a\n4,1\n1,0.1\n3,0.2\n1,0.3\n3,0.4\n2,2\n4,5\n2,6\n", "", "has several values of a at each step"),
        ("run_id,key,value,step\na,train_loss,0.9,3\na,train_loss,0.4,6\n", "", "has 'train_loss' by step; name the"),
    ],
)
def test_a_table_without_one_curve_is_refused(tmp_path: Path, text: str, metric: str, message: str) -> None:
    (tmp_path / "chart.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_curve(tmp_path / "chart.csv", metric, "here")
