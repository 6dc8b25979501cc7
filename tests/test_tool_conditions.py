"""Samples of other tools are ranked only if they were judged and drawn alike."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rlready.core.errors import UserError
from test_interchange import Row, lines, ranked, verl_rows


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


@pytest.mark.parametrize("form", ["archive", "json"])
def test_settings_of_sampling_that_a_tool_logs_must_be_the_same(form: str, tmp_path: Path) -> None:
    def of_lm_eval(name: str, **settings: Any) -> str:
        row = {"doc_id": 0, "doc": {}, "resps": [["4"]], "metrics": ["acc"], "acc": 1.0}
        arguments = {"gen_args_0": {"arg_0": "2 + 2?", "arg_1": {"until": ["\n", "Q:"], "do_sample": True} | settings}}
        return f"lm-eval:{lines(tmp_path / f'{name}.jsonl', [row | {'arguments': arguments}])}"

    def of_inspect(name: str, model: Row, plan: Row) -> str:
        log = {"version": 2, "status": "success", "eval": {"model_generate_config": model}, "plan": {"config": plan}}
        sample = {"id": 1, "epoch": 1, "input": "2 + 2?", "output": {"completion": "4"}}
        sample |= {"scores": {"m": {"value": "C"}}}
        path = tmp_path / f"{name}.{'eval' if form == 'archive' else 'json'}"
        if form == "json":
            path.write_text(json.dumps(log | {"samples": [sample]}))
            return f"inspect:{path}"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps(log))
            archive.writestr("samples/1_epoch_1.json", json.dumps(sample))
        return f"inspect:{path}"

    greedy, warm = of_lm_eval("a", temperature=0.0), of_lm_eval("b", temperature=1)
    with pytest.raises(UserError, match="hold samples of different temperature, 0 and 1,"):
        ranked(tmp_path / "lm-eval", greedy, warm)
    assert ranked(tmp_path / "alike", warm, of_lm_eval("c", temperature=1.0)).conditions == {
        "temperature": "1",
        "do_sample": "True",
        "until": r"'\n', 'Q:'",
        "correct": "the score acc",
    }
    short = of_inspect("short", {"temperature": 0.6, "max_tokens": 512}, {"max_tokens": 16, "temperature": None})
    long = of_inspect("long", {"temperature": 0.6, "max_tokens": 512}, {})
    with pytest.raises(UserError, match="hold samples of different max_tokens, 16 and 512,"):
        ranked(tmp_path / "inspect", short, long)
