"""What the page shows of training: the loss of SFT, and of RL reward, length, groups and entropy.

A chart is empty where the log has no such data.
"""

from __future__ import annotations

from markupsafe import Markup

from rlready.report.logs import Log, LogLine, Value, along, averaged, smooth
from rlready.report.plots import NEUTRAL, Point, Series, line_chart
from rlready.report.text import number


def sft_loss(log: Log) -> Markup:
    """Training loss of every step, held-out loss of every checkpoint.

    Intervals of the latter would be invisible beside the fall of the former, and checkpoints share their examples.
    """
    heldout = [
        Point(line.step, loss, note=_loss_note(line, loss)) for line, loss in along(log, lambda line: line.heldout_loss)
    ]
    return line_chart(
        [_curve("training", log, lambda line: line.loss, NEUTRAL, 0), Series("held-out", heldout, 0, 0)],
        title="SFT loss",
        x_label="step",
        y_label="loss, nats per token",
        note=_averaged(averaged(log, lambda line: line.loss))
        + ("Held-out: a point per checkpoint." if heldout else ""),
    )


def rl_charts(log: Log) -> list[Markup]:
    """Reward and accuracy, length by outcome, groups by outcome, entropy."""
    return [*reward_charts(log), _lengths(log), _groups(log), _entropy(log)]


def reward_charts(log: Log) -> list[Markup]:
    """Rewards that are shares share the chart of accuracies; those that are the accuracy are not drawn."""
    reward, training = (
        _curve(*of) for of in (("reward", log, _reward, 4, 1), ("rollouts", log, _accuracy, NEUTRAL, 0))
    )
    tested = [
        Point(line.step, share, line.eval_low, line.eval_high, _evaluation_note(line, share))
        for line, share in along(log, lambda line: line.eval_accuracy)
    ]
    rewards = [reward] if reward.points != training.points else []
    shares = all(0 <= p.y <= 1 for p in reward.points)
    both = shares and bool(rewards)
    accuracies = line_chart(
        [*(rewards if shares else []), training, Series("validation", tested, 1, 0)],
        title="Reward and accuracy during RL" if both else "Accuracy during RL",
        x_label="RL step",
        y_label="share of correct responses" + ("; mean reward" if both else ""),
        percent=True,
        note=_averaged(averaged(log, _reward)) + ("Validation: bars are 95 % intervals." if tested else ""),
    )
    alone = line_chart(rewards, title="Reward during RL", x_label="RL step", y_label="mean reward")
    return [accuracies] if shares else [accuracies, alone]


def _lengths(log: Log) -> Markup:
    if not any(line.eval_thinking_tokens or line.thinking_tokens_correct or line.thinking_tokens_wrong for line in log):
        tested = [Point(line.step, n) for line, n in along(log, lambda line: line.eval_response_tokens)]
        return line_chart(
            [_curve("rollouts", log, lambda line: line.response_tokens, 2, 0), Series("validation", tested, 1, 0)],
            title="Response length during RL",
            x_label="RL step",
            y_label="mean response tokens",
        )
    tested = [Point(line.step, n) for line, n in along(log, lambda line: line.eval_thinking_tokens)]
    return line_chart(
        [
            _curve("correct", log, lambda line: line.thinking_tokens_correct, 2, 0),
            _curve("wrong", log, lambda line: line.thinking_tokens_wrong, 3, 1),
            Series("validation", tested, 1, 0),
        ],
        title="Thinking length during RL",
        x_label="RL step",
        y_label="mean thinking tokens",
        note="Correct and wrong rollouts separately: thoughts that grow only in wrong ones are not better reasoning.",
    )


def _groups(log: Log) -> Markup:
    equal = any(line.groups_equal for line in log)  # neither all correct nor all wrong, yet without advantage
    return line_chart(
        [
            _curve("informative", log, lambda line: line.informative, 1, 0),
            _curve("all correct", log, lambda line: line.share(line.groups_solved), 2, 1),
            _curve("all wrong", log, lambda line: line.share(line.groups_unsolved), 3, 2),
            *([_curve("equal rewards", log, lambda line: line.share(line.groups_equal), 4, 4)] if equal else []),
            _curve("truncated", log, lambda line: line.truncated, NEUTRAL, 3),
        ],
        title="Groups during RL",
        x_label="RL step",
        y_label="share of groups; truncated: of rollouts",
        percent=True,
        note="The rewards of an informative group differ, which gives it a gradient: with a reward of 0 or 1 it has "
        "correct and wrong rollouts, and with a length reward all may be correct; the others give none. Truncated: "
        "reached a limit.",
    )


def _entropy(log: Log) -> Markup:
    return line_chart(
        [_curve("entropy", log, lambda line: line.entropy, 5, 0)],
        title="Entropy of the policy during RL",
        x_label="RL step",
        y_label="nats per token",
        note="Near 0 the rollouts of a problem hardly differ, so that few groups have a gradient.",
    )


def _curve(name: str, log: Log, value: Value, tone: int, shape: int) -> Series:
    return Series(name, smooth(log, value), tone, shape, markers=False)


def _reward(line: LogLine) -> float | None:
    return line.reward


def _accuracy(line: LogLine) -> float | None:
    return line.accuracy


def _averaged(every: int) -> str:
    return f"Training: means over {every} steps. " if every > 1 else ""


def _loss_note(line: LogLine, loss: float) -> str:
    where = f"epoch {number(round(line.epoch, 3))}, " if line.epoch is not None else ""
    return f"{where}step {number(line.step)}: {loss:.4f} nats per token"


def _evaluation_note(line: LogLine, share: float) -> str:
    return f"step {number(line.step)}: validation accuracy {number(round(share, 3), True)}"
