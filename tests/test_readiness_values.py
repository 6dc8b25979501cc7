"""Readiness by hand: figures of samples, counts, ranks and onsets of overfitting, at their edges."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import TaskRecord
from rlready.core.stats import paired_estimate, simultaneous, standard_error, t_quantile, units_to_decide
from rlready.influence.gram import gram, parameters_of
from rlready.models.batch import supervised
from rlready.models.heldout_loss import HeldOut, heldout_loss
from rlready.predict.advice import calibrate
from rlready.readiness import overfitting
from rlready.readiness.adaptive_sampling import Counts, plan, waves
from rlready.readiness.comparison import compare
from rlready.readiness.group_signal import histogram
from rlready.readiness.next_step import EASIER, HARDER, LONGER, next_action, separation
from rlready.readiness.overfitting import against_minimum, along_runs
from rlready.readiness.passk import Floats, counts, pass_at_k, pass_at_k_stopped
from rlready.readiness.ranking import Ranking, comparisons, gap_of_shares, large, rank
from rlready.readiness.ranking_words import drops, headline, no_onset, ranked_checkpoint, reason
from rlready.readiness.ranking_words import error as error_of
from rlready.readiness.result import SampleStats
from rlready.readiness.sample_stats import Draws
from rlready.readiness.units import lead_in_units
from rlready.runs.checkpoint_order import listed, order_warnings, step_of
from test_loss import symbolic_lm
from test_readiness import simulated
from tiny import tiny_model


def row(problem: str, correct: bool, wave: int = 0, **facts: Any) -> dict[str, Any]:
    return {"problem_id": problem, "correct": correct, "wave": wave} | facts


def test_figures_of_samples_are_ratios_of_sums_over_the_first_draws() -> None:
    """Chosen tokens alone have surprise; a row that does not know a number is left out of it; later waves of all."""
    rows = [
        row("a", True, logprobs=[-1.0, -9.0, -2.0], mask=[1, 0, 1], tokens=[5, 6, 7], thinking_tokens=2, finish="stop"),
        row("a", False, logprobs=[-4.0], tokens=[5] * 9, thinking_tokens=8, truncated=True),
        row("b", False, tokens=[5] * 3, thinking_tokens=2, truncated=False, finish_reason="length"),
        row("b", False, logprobs=[-1.0, -1.0], mask=[1], finish="max_tokens"),  # a mask of another length
        row("b", False, 1, logprobs=[-50.0], tokens=[5] * 99, thinking_tokens=99, truncated=True),
    ]
    found = Draws.of(rows, ["a", "b"]).stats()
    values = {key: figure and figure.value for key, figure in found}
    assert values == {
        "entropy": pytest.approx((1 + 2 + 4) / 3),
        "distinct_answers": None,  # needs the answers
        "truncated": pytest.approx(3 / 4),
        "thinking_right": 2,
        "thinking_wrong": pytest.approx((8 + 2) / 2),
        "length_right": 3,
        "length_wrong": pytest.approx((9 + 3) / 2),
    }
    assert found.truncated is not None
    assert found.truncated.n == 2  # problems
    none = Draws.of([row("a", True)], ["a"]).stats()
    assert none == SampleStats()
    forced = Draws.of([row("a", True, logprobs=[-1.0], mask=[0])], ["a"]).stats()
    assert forced.entropy is None


def test_counts_of_draws_in_one_wave() -> None:
    """As many as every problem has; those of a problem with more still count."""
    rows = [row("a", True), row("a", False), row("b", False), row("b", False), row("b", True)]
    found = Draws.of(rows, ["a", "b"]).counts("x")
    assert (found.first, found.cap) == (2, 2)
    assert [found.since.tolist(), found.drawn.tolist(), found.correct.tolist()] == [[0, 0], [2, 3], [1, 1]]


def test_counts_of_draws_in_waves() -> None:
    """Two at first; then two more where none was right, up to four."""
    a, b = [row("a", True), row("a", False)], [row("b", False), row("b", False)]
    later = [row("b", False, 1), row("b", True, 1)]
    found = Draws.of([*a, *b, *later], ["a", "b"]).counts("x")
    assert (found.first, found.cap) == (2, 4)
    assert [found.since.tolist(), found.drawn.tolist(), found.correct.tolist()] == [[0, 2], [2, 4], [1, 1]]
    planned = [r | {"planned": 2} for r in (*a, *b)]
    assert Draws.of(planned, ["a", "b"]).counts("x").cap == 2
    for bad in (
        [*a, *b, row("a", True, 1), *later],  # an early success
        [r | {"planned": 4} for r in (*a, *b)],  # an early end
        [*a, row("a", False), *b, *later],  # another first wave
        [row("a", False, 1), row("a", True, 2), row("b", True, 1)],  # and none at all
    ):
        with pytest.raises(UserError, match=r"x: column wave: [12] of 2 problems"):
            Draws.of(bad, ["a", "b"]).counts("x")


def test_a_success_late_in_a_wave_is_known_up_to_its_order() -> None:
    """Two wrong, then two of which one is right: within 3 draws with chance 1/2."""
    found = pass_at_k_stopped([2], [4], [1], 8, [1, 2, 3, 4, 5, 8])
    np.testing.assert_allclose(found, [[0, 0, 0.5, 1, 1, 1]])
    none = pass_at_k_stopped([4], [8], [0], 8, [8])
    assert none.tolist() == [[0]]
    for k in (0, 9):
        with pytest.raises(UserError, match=f"k = {k}"):
            pass_at_k_stopped([0], [8], [1], 8, [k])
    with pytest.raises(ValueError, match="given up before"):
        pass_at_k_stopped([0], [7], [0], 8, [1])


def test_counts_that_can_be() -> None:
    assert [a.tolist() for a in counts(3, [0, 3])] == [[3, 3], [0, 3]]
    assert pass_at_k(1, [0, 1], [1])[:, 0].tolist() == [0, 1]
    for n, c in ((3, [4]), (3, [-1]), (0, [0])):
        with pytest.raises(ValueError, match=r"problem 0: .* is impossible"):
            counts(n, c)


def test_the_head_is_what_no_outcome_decided() -> None:
    """The first wave: of problems that went on it had no success."""
    found = Counts(2, 8, np.array([0, 2, 0]), np.array([2, 4, 2]), np.array([2, 1, 1]))
    assert [x.tolist() for x in found.head] == [[2, 2, 2], [2, 0, 1]]
    shares = found.shares(2)
    assert [s.value for s in shares] == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_plans_at_their_edges() -> None:
    assert waves(4, 4) == [(0, 4)]
    assert waves(4, 5) == [(0, 4), (4, 5)]
    assert plan(32, 4, "adaptive") == [(0, 32)]
    assert plan(33, 4, "adaptive") == [(0, 8), (8, 16), (16, 32), (32, 33)]
    assert plan(33, 9, "adaptive")[0] == (0, 9)
    assert plan(8, 4, "adaptive", first=1) == [(0, 1), (1, 2), (2, 4), (4, 8)]


def test_problems_by_the_share_right() -> None:
    """None, fifths by their middle with their lower end, all."""
    found = histogram(10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert [f.share_right for f in found] == pytest.approx([0, 0.1, 0.3, 0.5, 0.7, 0.9, 1])
    assert [round(f.problems.value * 11) for f in found] == [1, 1, 2, 2, 2, 2, 1]


# --- held-out loss ------------------------------------------------------------------------------------------------


def test_losses_by_token_and_by_example() -> None:
    one, other = HeldOut(np.array([4.0, 3.0]), np.array([8, 2])), HeldOut(np.array([2.0, 4.0]), np.array([8, 2]))
    assert one.token_mean.value == pytest.approx(0.7)
    assert one.example_mean.value == pytest.approx((0.5 + 1.5) / 2)
    assert one.minus(other).value == pytest.approx((2 - 1) / 10)
    assert {f.varies for f in (one.token_mean, one.example_mean, one.minus(other))} == {"examples"}
    with pytest.raises(UserError, match="different numbers of tokens"):
        one.minus(HeldOut(other.nll, np.array([2, 8])))


def test_the_loss_of_an_example_is_its_cross_entropy() -> None:
    """Summed over response tokens, in nats, positive; one example that is not finite is enough to refuse."""
    lm = symbolic_lm()
    rows = [supervised([1, 7, 9], [8, 20, 30, 4]), supervised([1, 12], [40])]
    found = heldout_loss(lm, rows, 1000)
    for nll, tokens, example in zip(found.nll, found.tokens, rows, strict=True):
        ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
        labels = ids.clone()
        labels[:, : len(example.prompt_ids)] = -100
        with torch.no_grad():
            mean = lm.model(input_ids=ids, labels=labels).loss.item()
        assert tokens == len(example.response_ids)
        assert nll == pytest.approx(mean * tokens, rel=1e-5)
        assert nll > 0
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[40] = math.nan  # a token of the second example only
        lm.model.get_input_embeddings().weight[12] = math.nan
    assert heldout_loss(lm, rows[:1], 1000).nll == pytest.approx(found.nll[:1])
    with pytest.raises(UserError, match="held-out loss is not finite; its weights are damaged: use another checkpoint"):
        heldout_loss(lm, rows, 1000)


def losses_of(*means: float) -> list[HeldOut]:
    """Of 40 examples of unequal difficulty, each shifted as a whole, so that every paired difference is certain."""
    base = np.linspace(1, 2, 40)
    return [HeldOut(10 * (base + mean), np.full(40, 10)) for mean in means]


def test_overfitting_has_begun_after_the_least_loss_where_accuracy_did_not_fall() -> None:
    flat = np.array([0.0, 1.0] * 20)
    up = against_minimum(losses_of(0.3, 0.0, 0.2), [flat, flat, flat])
    assert up[1] is None
    assert [bool(t and t.onset) for t in up] == [False, False, True]  # none before the least is past onset
    assert up[0] is not None
    assert (up[0].minimum, up[0].loss_rise.value) == (1, pytest.approx(0.3))
    fallen = against_minimum(losses_of(0.3, 0.0, 0.2), [flat, np.ones(40), np.zeros(40)])
    assert fallen[2] is not None
    assert not fallen[2].onset
    assert fallen[2].pass_1_change.value == -1
    risen = against_minimum(losses_of(0.0, 0.2), [np.zeros(40), np.ones(40)])
    assert risen[1] is not None
    assert risen[1].onset
    tied = against_minimum(losses_of(0.1, 0.1), [flat, flat])
    assert tied[0] is None  # the first of two least ones
    assert tied[1] is not None
    assert not tied[1].onset


@pytest.mark.parametrize("checkpoints", [2, 3, 5])
def test_a_rise_of_the_loss_must_hold_for_all_pairs_together(checkpoints: int) -> None:
    """Two checkpoints are one pair, three are three, five are ten."""
    rng = np.random.default_rng(0)
    tokens = np.full(30, 10)
    losses = [HeldOut(10 * rng.normal(1 + 0.1 * i, 0.3, 30), tokens) for i in range(checkpoints)]
    losses[0] = HeldOut(losses[0].nll - 5, tokens)
    found = against_minimum(losses, [np.full(4, 0.5)] * checkpoints)
    for turn, loss in zip(found[1:], losses[1:], strict=True):
        assert turn is not None
        assert turn.loss_rise == simultaneous(loss.minus(losses[0]), {2: 1, 3: 3, 5: 10}[checkpoints])


def test_runs_are_followed_by_step_whatever_the_order() -> None:
    flat = np.array([0.0, 1.0] * 20)
    losses = losses_of(0.5, 0.0, 0.9, 0.2, 0.4)
    names = ["r/step-30", "r/step-10", "s/step-5", "r/step-20", "nameless"]
    found = along_runs(names, losses, [flat] * 5)
    assert [bool(t and t.onset) for t in found] == [True, False, False, True, False]
    assert [t and t.minimum for t in found] == [0, None, None, 0, None]
    unknown = along_runs(names, [losses[0], None, None, losses[3], None], [flat] * 5)
    assert [bool(t and t.onset) for t in unknown] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("losses", "said"), [((0.9, 0.4, 0.0), True), ((0.9, 0.0, 0.0), False), ((0.0, 0.5, 0.9), None)]
)
def test_a_loss_that_is_lowest_at_the_last_checkpoint_may_fall_further(
    losses: tuple[float, ...], said: bool | None
) -> None:
    """Which is not known of several runs; past onset there is nothing to say."""
    names, shares = [f"r/step-{i}" for i in (1, 2, 3)], np.array([[0.0, 1.0] * 20] * 3)
    gap = gap_of_shares(shares)
    found = along_runs(names, losses_of(*losses), list(shares))
    sentences = no_onset(rank(names, "pass@1", shares.mean(1), gap, pass_1_CP=shares, overfitting=found))
    assert [("longer SFT may be better still" in each) for each in sentences] == ([] if said is None else [said])


# --- ranks --------------------------------------------------------------------------------------------------------


def test_large_k_and_pairs() -> None:
    assert [large(n) for n in (1, 3, 63, 64, 65, 128, 256)] == [1, 3, 63, 64, 64, 64, 64]
    assert [comparisons(n) for n in (1, 2, 3, 12)] == [0, 1, 3, 66]
    assert [listed(list(names)) for names in ("a", "ab", "abcd", "abcde")] == [
        *("a", "a and b", "a, b, c and d", "a, b, c and 2 more")
    ]


def test_ranks_equals_and_the_sign() -> None:
    """By value, then by pass@1, then as given; values that differ by rounding are equal; less may be better."""
    gaps: list[tuple[int, int]] = []

    def gap(a: int, b: int) -> Estimate:
        gaps.append((a, b))
        return Estimate(0.1, -0.1 if b == 1 else 0.01, 0.3, 9)

    values, pass_1 = np.array([0.5, 0.5 + 1e-14, 0.4, 0.5]), np.array([[0.2], [0.3], [0.9], [0.2]])
    found = rank("wxyz", "pass@8", values, gap, pass_1_CP=pass_1, overfitting=[None] * 4)
    assert found.order == [1, 0, 3, 2]
    assert gaps == [(1, 0), (1, 2), (1, 3)]
    assert found.behind[1] is None
    assert headline(found) == "Start RL from x: the best pass@1 at equal pass@8, significantly ahead of the others."
    apart = rank("wxyz", "pass@8", values + np.array([0, 0.02, 0, 0]), gap, pass_1_CP=pass_1, overfitting=[None] * 4)
    assert headline(apart) == "Start RL from x: the best pass@8, significantly ahead of the others."
    less = rank("wxyz", "loss", values, gap, pass_1_CP=pass_1, overfitting=[None] * 4, sign=-1)
    assert less.order == [2, 1, 0, 3]
    words = [ranked_checkpoint(less, i, "wxyz"[i]) for i in range(4)]
    assert [w.advice for w in words] == ["drop", "tie", "rl", "drop"]
    assert [w.rank for w in words] == [3, 2, 1, 4]
    assert [w.chosen for w in words] == [False, False, True, False]
    assert [w.next_in_brief for w in words] == ["drop", "tie", "RL first", "drop"]
    assert words[1].why.startswith("loss is not significantly worse than y's")
    assert words[0].why.startswith("loss is significantly worse than y's")
    assert words[2].why == "best loss"
    more = units_to_decide(Estimate(0.1, -0.1, 0.3, 9), comparisons(4))
    assert [w.more_problems for w in words] == [None, more, None, None]
    assert headline(less) == "Start RL from y; 9 problems do not separate it from x."
    assert next_action(less) == "Start RL from y now: it has the best loss."
    count = f"{float(f'{more:.2g}'):,.0f}"
    assumed = "enough in 4 cases of 5, if the lead is as measured"
    assert separation(less) == [f"To separate x from y, measure about {count} more problems ({assumed})."]
    assert next_action(found) == ""  # the headline leaves no choice
    assert separation(found) == []
    assert drops(less) == ["Drop w and z: loss is significantly worse."]
    assert drops(less, tried=[0]) == ["Drop z: loss is significantly worse."]


STEPS = ("a/step-10", "a/step-20", "a/step-30", "b/step-5")


def lead(value: float, error: float) -> Estimate:
    """A lead with this standard error, as a simultaneous interval of four checkpoints on 100 problems."""
    half = error * t_quantile(1 - 0.025 / 6, 99)
    return Estimate(value, value - half, value + half, 100)


@pytest.mark.parametrize(
    ("values", "errors", "pick", "said"),
    [
        (
            (0.48, 0.49, 0.50, 0.2),
            (0.03, 0.03, 0, 0.03),
            0,
            "a/step-10 took the fewest steps within one standard error of a/step-30.",
        ),
        (
            (0.46, 0.49, 0.50, 0.2),
            (0.03, 0.03, 0, 0.03),
            1,
            "a/step-20 took the fewest steps within one standard error of a/step-30.",
        ),
        ((0.46, 0.46, 0.50, 0.2), (0.03, 0.03, 0, 0.03), 2, "a/step-30 has the best pass@8."),
        ((0.30, 0.30, 0.50, 0.2), (0.03, 0.03, 0, 0.03), 2, "a/step-30 has the best pass@8."),
        ((0.20, 0.20, 0.50, 0.49), (0.03, 0.03, 0, 0.03), 2, "a/step-30 has the best pass@8."),
    ],
)
def test_the_cheaper_of_a_tie_is_the_pick(
    values: tuple[float, ...], errors: tuple[float, ...], pick: int, said: str
) -> None:
    """Fewest steps within one standard error of the best, in its run only; and a tie is the first thing said."""

    def gap(a: int, b: int) -> Estimate:
        return lead(values[a] - values[b], errors[b])

    found = rank(STEPS, "pass@8", np.array(values), gap, pass_1_CP=np.full((4, 9), 0.1), overfitting=[None] * 4)
    assert found.pick == pick
    assert found.order[0] == 2  # ranks stay those of the values
    assert f"{found.labels[pick]} {reason(found)}." == said
    tie = min(abs(values[i] - 0.5) for i in (0, 1, 3)) < 0.1
    assert headline(found).startswith(f"Start RL from {STEPS[pick]}")
    assert ("; 100 problems do not separate it from " in headline(found)) is tie
    other = STEPS[pick] if pick != 2 else STEPS[3] if values[3] > 0.4 else STEPS[0]  # where no value decides
    name = other
    assert bool(re.search(f"{name} (from|and) a/step-30", " ".join(separation(found)))) is tie
    assert next_action(found) == ("Start RL from " + said.replace(" ", " now: it ", 1) if tie else "")
    checked = f"({100 * (0.5 - values[pick]):.1f} points behind a/step-30 in pass@8, standard error 3.0 points)"
    assert (checked in ranked_checkpoint(found, pick, STEPS[pick]).why) is ("fewest" in said)
    assert [ranked_checkpoint(found, i, STEPS[i]).chosen for i in range(4)] == [i == pick for i in range(4)]


@pytest.mark.parametrize(
    ("pass_1", "pick", "said"),
    [
        (
            (0.2, 0.2, 0.2, 0.9),
            0,
            "a/step-10 took the fewest steps within one standard error of a/step-30",
        ),  # b/step-5 is not in the tie
        ((0.2, 0.4, 0.4, 0.9), 1, "a/step-20 took the fewest steps within one standard error of a/step-30"),
        ((0.2, 0.2, 0.4, 0.9), 2, "a/step-30 has the best pass@8"),
        ((0.2, 0.4, 0.2, 0.9), 1, "a/step-20 has the best pass@1 of these"),
        ((0.4, 0.4, 0.2, 0.9), 0, "a/step-10 took the fewest steps within one standard error of a/step-20"),
    ],
)
def test_pass_1_decides_a_tie_before_the_cost(pass_1: tuple[float, ...], pick: int, said: str) -> None:
    """What is more than one standard error worse in pass@1 than the best of the tie is out of it, the first as well."""
    shares = np.array(pass_1)[:, None] + np.linspace(-0.02, 0.02, 30)
    shares[1] += np.tile(
        [0.02, -0.019], 15
    )  # of a standard error of 0.0036, so that the best pass@1 is a/step-20's, where a/step-10's is as good
    values = np.array([0.49, 0.49, 0.50, 0.2])
    found = rank(
        STEPS,
        "pass@8",
        values,
        lambda a, b: lead(values[a] - values[b], 0.03),
        pass_1_CP=shares,
        overfitting=[None] * 4,
    )
    assert found.pick == pick
    assert found.order[0] == 2
    assert f"{found.labels[pick]} {reason(found)}" == said
    for i in range(3):
        why = ranked_checkpoint(found, i, STEPS[i]).why
        worse, below = (f"; pass@1 is {how}" in why for how in ("significantly worse", "more than one standard error"))
        assert (worse or below) is bool(pass_1[i] < max(pass_1[:3]))
        assert (found.advice(i) == "drop") is worse is (i in found.dominated)
    assert 2 not in found.dominated  # the first is the best by what ranks


def test_what_pass_k_cannot_rule_out_pass_1_may() -> None:
    """Behind the pick in pass@k, not significantly, and significantly worse in pass@1: to be dropped, and said so."""
    noise, names = np.linspace(-0.05, 0.05, 30), [f"run/step-{i}" for i in (10, 20, 30)]

    def ranked(values: tuple[float, float, float], pass_1: tuple[float, float, float]) -> Ranking:
        shares = np.array(pass_1)[:, None] + np.stack([noise, noise[::-1], noise])
        return rank(names, "pass@8", np.array(values), lambda a, b: lead(values[a] - values[b], 0.03),
                    pass_1_CP=shares, overfitting=[None] * 3)  # fmt: skip

    found = ranked((0.45, 0.49, 0.5), (0.2, 0.4, 0.4))
    assert headline(found) == "Start RL from step-20; 100 problems do not separate it from step-30."
    chosen = ranked_checkpoint(found, found.pick, "step-20")
    why = "took the fewest steps within one standard error of step-30"
    assert chosen.decided == f"{why} (1.0 points behind, standard error 3.3)"
    assert ranked_checkpoint(found, found.order[0], "step-30").decided == ""
    (said,) = drops(found)
    assert re.fullmatch(
        r"Drop step-10: pass@8 is no better than step-20's and pass@1 significantly worse, "
        r"20\.0 \[\d+\.\d, \d+\.\d\] points behind\.",
        said,
    )
    assert ranked_checkpoint(found, 0, names[0]).next == "drop: pass@1 significantly worse"
    assert "; pass@1 is significantly worse than step-20's: 20.0 [" in ranked_checkpoint(found, 0, names[0]).why
    assert drops(ranked((0.45, 0.49, 0.5), (0.4, 0.4, 0.4))) == []
    ahead = ranked((0.5, 0.49, 0.48), (0.2, 0.4, 0.4))  # the best by pass@8 is not dropped for its pass@1
    assert (ahead.pick, drops(ahead)) == (1, [])


def test_pass_1_of_few_samples_decides_only_what_a_sample_cannot() -> None:
    """99.5 % of 6,400 samples against 400 of 400: a single wrong one of these would have changed more."""
    shares = np.ones((2, 100))
    shares[1, ::4] -= 1 / 64
    names, values = ["a/step-20", "b/step-10"], np.array([1.0, 1.0])

    def dominated(step: float) -> list[int]:
        found = rank(names, "pass@4", values, lambda a, b: lead(0, 0.03), pass_1_CP=shares, overfitting=[None] * 2,
                     pass_1_step=step)  # fmt: skip
        return [*found.dominated]

    assert (dominated(0.0), dominated(1 / 4)) == ([1], [])


def test_equal_checkpoints_and_unsolved_problems_are_said() -> None:
    """No number of problems decides between equals; no correct sample means no reward; one checkpoint has no rank."""
    values, solved, skill = np.array([0.5, 0.5]), np.full((2, 9), 0.5), np.zeros(2)

    def ranked(error: float, pass_1_CP: Floats = solved, values: Floats = values) -> Ranking:
        count = len(values)
        return rank("ab"[:count], "pass@8", values, lambda a, b: lead(error, 0.1),
                    pass_1_CP=pass_1_CP, overfitting=[None] * count)  # fmt: skip

    assert headline(ranked(0)) == "Start RL from a; 100 problems do not separate it from b."
    for gap in (0, 1e-4):
        said = "b and a cannot be separated by pass@8: it would take over 10,000 more problems."
        assert separation(ranked(gap)) == [said]
    assert headline(ranked(0, solved[:1], values[:1])) == "a: pass@8 is 50.0 %."
    none, one = ranked(0, 0 * solved, skill), ranked(0, 0 * solved[:1], skill[:1])
    assert headline(none) == "Do not start RL: no checkpoint solved any problem."
    assert headline(one) == "Do not start RL: a solved no problem."
    assert drops(none) == drops(one) == []
    assert [next_action(none), next_action(one, 0.5), next_action(none, 0.6)] == [EASIER, EASIER, LONGER]
    every = replace(one, pass_1=np.ones(len(one.pass_1)))
    assert next_action(every) == HARDER.format("a")
    half = replace(ranked(0), pass_1=np.array([1.0, 0.5]), dominated={1: lead(0, 0.5)})
    assert [ranked_checkpoint(half, i, "ab"[i]).next_in_brief for i in (0, 1)] == ["no signal", "drop"]
    assert headline(every) == "Do not start RL on these problems: every sample of a is correct."
    assert ranked_checkpoint(every, 0, "a").next_in_brief == "no signal"
    assert [ranked_checkpoint(one, 0, "a").advice, ranked_checkpoint(none, 1, "b").next_in_brief] == [
        "unsolved",
        "no signal",
    ]


def test_a_checkpoint_that_solves_nothing_is_never_the_pick() -> None:
    """Few problems do not make it significantly worse, and it is the cheapest."""
    values, shares = np.array([0, 0.02, 0.02, 0.02]), np.array([[0.0], [0.01], [0.01], [0.01]]) * np.ones(50)
    found = rank(STEPS, "pass@8", values, lambda a, b: lead(0.02, 0.03), pass_1_CP=shares, overfitting=[None] * 4)
    assert (found.pick, found.order[-1]) == (1, 0)
    assert ranked_checkpoint(found, 0, STEPS[0]).next == "nothing solved: RL has no signal"
    assert drops(found) == ["Drop a/step-10: no problem solved, so RL would have no signal."]
    assert "run RL from a/step-20, a/step-30 and b/step-5, which span" in calibrate(found, one_run=False)
    alone = replace(found, pass_1=np.array([0, 0.01, 0, 0]), order=[1, 0, 2, 3])
    assert calibrate(alone, one_run=False) == ""  # two runs of RL at least
    said = calibrate(alone, one_run=True)
    assert said.endswith(
        "checkpoints are from one SFT run. To score predictors, name RL runs from at least 3 SFT recipes."
    )


def test_so_many_more_problems_decide_a_tie_in_four_of_five_cases() -> None:
    """The power that is promised, if the difference of the checkpoints is the measured one."""

    def difference(problems: int, seed: int) -> Estimate:
        """Of two checkpoints that solve 60 % and 50 % of the problems, four in ten of them both."""
        u = np.random.default_rng([4, seed]).random(problems)
        a, b = u < 0.6, (u < 0.4) | (u > 0.9)
        return simultaneous(paired_estimate(a, b, bounds=(0, 1), resamples=400), 3, span=1.0)

    measured = [difference(60, i) for i in range(40)]
    tied = [each for each in measured if each.low <= 0 < each.value]
    assert all(units_to_decide(each, 3) > 0 for each in tied)
    exact = Estimate(0.1, 0.1 - math.sqrt(0.29 / 60) * t_quantile(1 - 0.025 / 3, 59), 1, 60)  # σ² = 0.3 - 0.1²
    needed = units_to_decide(exact, 3)
    assert needed is not None
    decided = np.mean([difference(60 + needed, 100 + i).low > 0 for i in range(150)])
    assert 0.7 <= decided <= 0.9
    assert units_to_decide(replace(exact, value=0.0), 3) is None


def test_an_interval_that_ends_at_0_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither between checkpoints nor in pass@1 since the least loss."""
    values = np.array([0.5, 0.4])
    gap = Estimate(0.1, 0.0, 0.2, 9)
    found = rank("ab", "pass@8", values, lambda a, b: gap, pass_1_CP=np.full((2, 9), 0.5), overfitting=[None] * 2)
    assert ranked_checkpoint(found, 1, "b").advice == "tie"
    monkeypatch.setattr(overfitting, "paired_estimate", lambda *_, **__: Estimate(-0.1, -0.2, 0.0, 9))
    _, later = against_minimum(losses_of(0.0, 0.2), [np.zeros(4)] * 2)
    assert later is not None
    assert later.onset


def test_checkpoints_past_overfitting_come_last() -> None:
    flat = np.array([0.0, 1.0] * 20)
    overfitting = against_minimum(losses_of(0.0, 0.2, 0.3), [flat] * 3)
    found = rank(
        "abc",
        "pass@8",
        np.array([0.5, 0.9, 0.8]),
        lambda a, b: Estimate(0, -1, 1, 9),
        pass_1_CP=np.full((3, 9), 0.5),
        overfitting=overfitting,
    )
    assert found.order == [0, 1, 2]
    assert [found.dropped(i) for i in range(3)] == [False, True, True]
    place = ranked_checkpoint(found, 1, "b")
    assert (place.advice, place.next) == ("drop", "drop: past overfitting onset")
    assert place.why.endswith("above its minimum, pass@1 +0.0 points")
    assert headline(found) == "Start RL from a: the best pass@8 before overfitting onset."


def test_a_gap_is_a_paired_difference_for_all_pairs_together() -> None:
    shares = np.array([[1.0, 0.8, 0.9, 0.7], [0.1, 0.3, 0.2, 0.0], [0.5, 0.5, 0.5, 0.5]])
    gap = gap_of_shares(shares)(0, 1)
    assert gap.value == pytest.approx(0.7)
    assert lead_in_units("pass@1", gap).endswith(", 100.0] points")
    wider = gap_of_shares(np.concatenate([shares, shares]))(0, 1)
    assert wider.low < gap.low
    assert math.isfinite(gap_of_shares(4 * shares, most=4.0)(0, 1).high)


def test_what_a_result_says_along_a_run() -> None:
    """The loss since the checkpoint before and above the least; only a rise that is certain is past onset."""
    config, task = ReadinessConfig(samples=16), TaskRecord(source="", description="")
    measured = [simulated(f"r/step-{n}", rise) for n, rise in ((10, 0.0), (20, 0.2), (30, 0.1))]
    rows = compare(config, measured, task, {}).checkpoints
    since = [r.loss_change and round(r.loss_change.value, 9) for r in rows]
    above = [r.overfitting and round(r.overfitting.loss_rise.value, 9) for r in rows]
    assert (since, above) == ([None, 0.2, -0.1], [None, 0.2, 0.1])
    assert [r.past_onset for r in rows] == [False, True, True]
    equal = compare(config, [simulated(f"r/step-{n}", 0.0) for n in (10, 20)], task, {}).checkpoints
    assert [r.past_onset for r in equal] == [False, False]
    assert [r.overfitting is None for r in equal] == [True, False]


def test_checkpoints_by_their_names() -> None:
    """A bare number is a step; numbers that count different things, or stand twice, leave the order open."""
    assert [step_of(name) for name in ("run/40", "run/step-7", "run/final")] == [40, 7, None]
    assert order_warnings(["r/step-1", "r/step-2", "s/epoch-1"]) == []
    assert [d.partition(":")[0] for d in order_warnings(["r/step-1", "r/epoch-2", "s/step-3", "s/step_3"])] == [
        "r",
        "s",
    ]


def test_the_responses_of_a_set_have_one_prompt() -> None:
    """One that has another is enough to refuse."""
    model = tiny_model("Llama")
    rows = [supervised([1, 7], [8, 5]), supervised([1, 7], [9, 5]), supervised([1, 6], [9, 5])]
    with pytest.raises(ValueError, match="set 0 has more than one prompt"):
        gram(model, [rows], parameters_of(model))
    assert gram(model, [rows[:2]], parameters_of(model)).shape == (1, 1, 1)


def test_the_standard_error_is_of_two_checkpoints_whatever_others_there_are() -> None:
    """With so few problems an interval for many pairs is longer than shares can differ; only what is shown is cut."""
    solved = np.zeros((24, 6))
    solved[0, :3], solved[1, [0, 3, 4, 5]], solved[2:, 0] = 1, 1, 1
    error = float(np.std(solved[1] - solved[0], ddof=1) / np.sqrt(6))
    for count in (2, 3, 12, 24):
        k_CP, pairs = solved[:count], comparisons(count)
        names = [f"run/checkpoint-{i + 1}" for i in range(count)]
        gap = gap_of_shares(k_CP, step=1.0)
        found = rank(names, "pass@8", k_CP.mean(1), gap, pass_1_CP=k_CP / 2, overfitting=[None] * count)
        assert found.pick == 0
        said = float(error_of(found).rpartition("standard error ")[2].removesuffix(" points"))
        assert said == pytest.approx(100 * error, rel=0.05)
        shown, of_pair = ranked_checkpoint(found, 0, names[0]).behind, gap(1, 0)
        assert shown is not None
        assert (shown.low, shown.high) == (max(of_pair.low, -1), min(of_pair.high, 1))
        needed = 6 * ((t_quantile(1 - 0.025 / pairs, 5) + 0.8416) * error / (1 / 6)) ** 2 - 6
        assert units_to_decide(of_pair, pairs) == pytest.approx(needed, rel=0.1)


def test_one_problem_has_no_standard_error() -> None:
    """So that no difference on it is beyond one."""
    gap = gap_of_shares(np.array([[0.75], [0.5]]), step=0.25)
    found = rank(
        ["a", "b"], "pass@4", np.array([1.0, 1.0]), gap, pass_1_CP=np.array([[0.75], [0.5]]), overfitting=[None] * 2
    )
    assert found.tie.below == {}
    assert standard_error(gap(0, 1), 1) == math.inf
