"""Samples of other tools are ranked only if they were judged and drawn alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlready.core.errors import UserError
from test_interchange import lines, ranked, verl_rows


@pytest.mark.parametrize(
    ("first", "second", "judged"),
    [
        ("", "?score=acc", "by the score score and by the score acc"),
        ("?threshold=0.5", "", "by the score score from 0.5 on and by the score score"),
        ("", "?score=score", "by the verifier of problems= and by the score score"),
    ],
)
def test_outcomes_of_two_scores_are_not_compared(first: str, second: str, judged: str, tmp_path: Path) -> None:
    one, other = (
        lines(tmp_path / name / "1.jsonl", verl_rows(1, {"a": "01", "b": "11"}, acc=1.0)) for name in ("one", "other")
    )
    named = lines(tmp_path / "problems.jsonl", [{"id": name, "prompt": name, "answer": "4"} for name in "ab"])
    settings = {"problems": str(named)} if "verifier" in judged else {}
    with pytest.raises(UserError, match=f"hold samples judged {judged}, and cannot be .*; choose the same score"):
        ranked(tmp_path / "run", f"verl:{one}{first}", f"verl:{other}{second}", **settings)
    same = ranked(tmp_path / "same", f"verl:{one}?score=acc", f"verl:{other}?score=acc", **settings)
    assert same.conditions["correct"] == "the score acc"
