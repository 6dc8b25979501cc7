"""Histograms and rows of shares: what is drawn is what was counted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rlready.core.records import Estimate
from rlready.report.bars import Layer, Shares, histogram, rows_of_shares

SAID: Any = {
    "top": 0.5,
    "title": "Lengths <b>",
    "x_label": "thinking tokens",
    "y_label": "share of responses",
    "note": "All.",
}
COLUMN = re.compile(
    r'<path class="(\w+) t(\d)" d="M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)V[\d.]+z"><title>([^<]*)</title>'
)


def test_columns_stand_on_each_other_and_have_the_height_of_their_share() -> None:
    drawn = histogram([0, 3, 6], [Layer("correct", [3, 0], 2, "solid"), Layer("wrong", [1, 4], 3, "hollow")], **SAID)
    columns = [(kind, *map(float, numbers), said) for kind, *numbers, said in COLUMN.findall(drawn)]
    assert [(kind, tone, said) for kind, tone, *_, said in columns] == [
        ("solid", 2, "correct, 0 to 2: 37.5\u202f%"),
        ("hollow", 3, "wrong, 0 to 2: 12.5\u202f%"),
        ("hollow", 3, "wrong, 3 to 5: 50\u202f%"),
    ]
    heights = [bottom - top for _, _, _, bottom, top, _, _ in columns]
    assert heights[0] / heights[1] == pytest.approx(3, rel=1e-3)
    assert heights[0] + heights[1] == pytest.approx(heights[2], rel=1e-3)
    assert columns[0][4] == columns[1][3]  # the second stands on the first
    assert columns[1][5] < columns[2][2]  # bins do not overlap
    assert "Lengths &lt;b&gt;" in drawn
    assert "correct: 37.5\u202f%; wrong: 62.5\u202f%" in drawn


@pytest.mark.parametrize(("edges", "counts"), [([0, 3], [0]), ([], []), ([0], [])])
def test_nothing_is_drawn_without_counts(edges: list[int], counts: list[int]) -> None:
    assert histogram(edges, [Layer("correct", counts, 2, "solid")], **SAID) == ""


def test_parts_are_as_wide_as_their_share_and_have_intervals_in_their_tooltips() -> None:
    parts = {
        "none": Estimate(0.25, 0.1, 0.4, 40),
        "some": Estimate(0.72, 0.6, 0.8, 40),
        "all": Estimate(0.03, 0.0, 0.1, 40),
    }
    drawn = rows_of_shares(
        [Shares("step-<1>", parts)], ["none", "some", "all"], title="Accuracy", of="problems", note=""
    )
    found = re.findall(r'<i class="p(\d)" style="width: ([\d.]+)%" title="([^"]*)">([^<]*)</i>', drawn)
    assert [(kind, float(width), text) for kind, width, _, text in found] == [
        ("0", 25.0, "25"),
        ("1", 72.0, "72"),
        ("2", 3.0, ""),
    ]
    assert found[1][2] == "some: 72 [60, 80]\u202f%"
    assert "step-&lt;1&gt;" in drawn
    assert rows_of_shares([], ["none"], title="Accuracy", of="problems", note="") == ""
