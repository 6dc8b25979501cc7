"""The viewer of samples: what it shows is what the run has stored, and its files are data alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from rlready import EvaluateConfig, ReadinessConfig, evaluate, readiness
from rlready.core.records import SampleRow
from rlready.models.tokenizer import tokenizer_of
from rlready.report import page, sample_tables, viewer
from rlready.report.step_faults import problems_with_steps
from rlready.report.token_texts import Piece, TokenTexts
from rlready.report.viewer import FLAGS
from rlready.runs.files import read_table, write_json, write_table
from rlready.tasks import open_task
from test_report import rl_result

HOSTILE = "</script><script>alert(1)</script><!--\u2028\u202e\x00\x1b[31m\r\n<img src=x onerror=alert(1)>"


def content_of(file: Path) -> Any:
    """What a script of data gives to the page."""
    text = file.read_text(encoding="utf-8")
    found = re.fullmatch(r"samplesLoaded\(\d+, (\{.*\})\);\n", text)
    assert found, text[:200]
    return json.loads(found[1])


class Viewed:
    """What the page reads: ``index``, and the text of every sample, in order."""

    def __init__(self, run: Path) -> None:
        files = sorted((run / "samples_files").glob("[0-9]*.js"))
        self.index = content_of(run / "samples_files" / "index.js")
        contents = [content_of(file) for file in files]
        sizes = [len(each["samples"]) for each in contents]
        assert self.index["first"] == [sum(sizes[:i]) for i in range(len(sizes))]
        self.texts = [
            sample | {key: each[f"{key}s"][sample[key]] for key in ("prompt", "answer")}
            for each in contents
            for sample in each["samples"]
        ]

    def key(self, at: int) -> tuple[str, str, str, int]:
        index = self.index
        checkpoint, budget = index["conditions"][index["condition"][at]]
        return index["problems"][index["problem"][at]], checkpoint, budget, index["number"][at]

    def flags(self, at: int) -> set[str]:
        return {name for bit, name in enumerate(FLAGS) if self.index["flags"][at] >> bit & 1}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "evaluate"
    problems = "dagmath?ops=5&asked=3&n=4&seed=1"
    evaluate(EvaluateConfig(models=("embedded",), problems=problems, thinking_budgets=(8, 16), samples=2), out)
    return out


def test_every_sample_of_an_evaluation_is_there_with_its_forced_tokens(evaluated: Path) -> None:
    rows = read_table(evaluated / "parts" / "0.parquet")
    viewed = Viewed(evaluated)
    by_key = {viewed.key(at): at for at in range(len(viewed.texts))}
    assert len(by_key) == len(rows) == len(viewed.index["flags"]) == viewed.index["total"]
    assert [budget for _, budget in viewed.index["conditions"]] == ["budget 8", "budget 16", "unconstrained"]
    tokenizer = tokenizer_of("embedded")
    forced = 0
    for row in rows:
        budget = row["setting"] if row["setting"] == "unconstrained" else f"budget {row['setting']}"
        at = by_key[row["problem_id"], "embedded", budget, row["sample_id"]]
        texts, flags = viewed.texts[at], viewed.flags(at)
        assert "".join(piece[0] for piece in texts["response"]) == row["text"]
        truncated = row["truncated"] or row["finish"] == "length"
        assert ("correct" in flags, "truncated" in flags) == (row["correct"], truncated)
        assert (texts["prompt"], texts["answer"]) == (row["prompt"], row["answer"])
        assert row["answer"]
        marked = [piece[0] for piece in texts["response"] if len(piece) > 1]
        ids = [token for token, chosen in zip(row["tokens"], row["mask"], strict=True) if not chosen]
        assert "".join(marked).split() == tokenizer.decode(ids).split()
        forced += bool(marked)
    assert 0 < forced < len(rows)


def edited(run: Path, rows: Sequence[dict[str, Any]]) -> Viewed:
    """The viewer of the run with other samples of its first model."""
    write_table(run / "parts" / "0.parquet", rows)
    page.write(run)
    return Viewed(run)


def test_the_first_wrong_step_is_where_the_task_finds_it(evaluated: Path) -> None:
    """In every thought that has an end, and in none whose steps are all correct."""
    page.write(evaluated)
    viewed, rows = Viewed(evaluated), read_table(evaluated / "parts" / "0.parquet")
    strict = {(row["problem_id"], row["setting"], row["sample_id"]): row["strict"] for row in rows}
    assert viewed.index["description"].endswith("modulo 13, train split.")
    task = open_task(viewed.index["task"])
    known = {problem.id: problem for problem in task.problems()}
    for at, sample in enumerate(viewed.texts):
        text = "".join(piece[0] for piece in sample["response"])
        thought, close, _ = text.partition("</think>")
        name, _, budget, number = viewed.key(at)
        found = task.first_fault(known[name], thought) if close else None
        assert sample["fault"] == ([found.begin, found.end, found.reason, found.open] if found else None)
        kind = viewed.index["steps"][viewed.index["step"][at] - 1] if viewed.index["step"][at] else ""
        assert kind == (found.kind if found and "fault" in viewed.flags(at) else "")
        after = text.partition("</think>")[2].removesuffix("<eos>").strip()
        assert sample["said"] == (None if "correct" in viewed.flags(at) else after)
        if strict[name, budget.removeprefix("budget "), number]:
            assert sample["fault"] is None
    assert any(sample["fault"] for sample in viewed.texts)
    html = (evaluated / "report.html").read_text(encoding="utf-8")
    assert "First wrong steps" in html
    place, largest = viewed.index["steps"][0], viewed.index["conditions"].index(["embedded", "budget 16"])
    of = [i for i, condition in enumerate(viewed.index["condition"]) if condition == largest]
    n = sum(viewed.index["step"][i] == 1 for i in of)
    address = urlencode({"step": place, "checkpoint": "embedded", "budget": "budget 16"}).replace("&", "&amp;")
    assert f'<a href="samples.html#{address}">{n} <small>{100 * n / len(of):.0f}\u202f%</small></a>' in html


def test_to_look_at_a_run_runs_no_task_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlready.report.step_faults.open_task", pytest.fail)
    for source in ("my.module:MyTask?n=3", "problems.jsonl?verifier=my.module:function", "gsm8k:folder", "", "??"):
        assert problems_with_steps(source) == {}


def test_without_its_tokenizer_a_response_is_plain_text_and_the_page_says_so(evaluated: Path, tmp_path: Path) -> None:
    """No hub is asked for a model that is named in a result."""
    run = copied(evaluated, tmp_path)
    for model in ("gone/step-1", "no name of a model"):
        text = (evaluated / "result.json").read_text(encoding="utf-8").replace('"embedded"', json.dumps(model))
        (run / "result.json").write_text(text, encoding="utf-8")
        page.write(run)
        viewed = Viewed(run)
        assert viewed.index["unmarked"] == [model]
        assert {len(piece) for text in viewed.texts for piece in text["response"]} == {1}


def test_a_page_fetches_no_base_of_an_adapter(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose tokenizer is that of its base: the run folder was named, and not what its checkpoints name."""
    run, adapter = copied(evaluated, tmp_path), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/base", "peft_type": "LORA"}')
    text = (evaluated / "result.json").read_text(encoding="utf-8").replace('"embedded"', json.dumps(str(adapter)))
    (run / "result.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr("rlready.models.adapter.fetched", lambda *_, **__: pytest.fail("the hub was asked"))
    page.write(run)
    assert Viewed(run).index["unmarked"] == [str(adapter)]


def test_flipped_and_informative_say_what_they_mean(evaluated: Path, tmp_path: Path) -> None:
    run = copied(evaluated, tmp_path)
    rows = read_table(run / "parts" / "0.parquet")
    first = rows[0]["problem_id"]
    for row in rows:
        row["correct"] = row["problem_id"] == first and row["setting"] == "16" and row["sample_id"] == 1
        row["reward"] = float(row["correct"])
    viewed = edited(run, rows)
    for at in range(len(rows)):
        problem, _, budget, number = viewed.key(at)
        flags = viewed.flags(at)
        assert ("flipped" in flags) == (problem == first and number == 1)
        assert ("informative" in flags) == (problem == first and budget == "budget 16")


def test_hostile_text_is_data_alone(evaluated: Path, tmp_path: Path) -> None:
    run = copied(evaluated, tmp_path)
    rows = read_table(run / "parts" / "0.parquet")
    for row in rows:
        row |= dict.fromkeys(("problem_id", "text", "prompt", "answer"), HOSTILE)
    rows[0]["text"] = "x" * 10**6
    viewed = edited(run, rows)
    shown = HOSTILE.replace("\r\n", "\n")
    for character in "\u2028\u202e\x00\x1b":
        shown = shown.replace(character, f"⟨U+{ord(character):04X}⟩")
    assert viewed.index["problems"] == [shown]
    assert {text["prompt"] for text in viewed.texts} == {text["answer"] for text in viewed.texts} == {shown}
    assert sum(len(text["response"][0][0]) == 10**6 for text in viewed.texts) == 1
    for file in (run / "samples_files").iterdir():
        assert not re.search("[<\x00\x1b\u2028\u2029\u202e]", file.read_text(encoding="utf-8"))


def test_files_of_the_user_stay(evaluated: Path, tmp_path: Path) -> None:
    run = copied(evaluated, tmp_path)
    mine, old = (run / "samples_files" / name for name in ("notes.txt", "0099.js"))
    mine.write_text("mine")
    old.write_text("of an earlier page")
    page.write(run)
    assert mine.read_text() == "mine"
    assert not old.exists()


def test_more_samples_than_fit_are_thinned_by_whole_problems(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(evaluated, tmp_path)
    total = Viewed(run).index["total"]
    monkeypatch.setattr(sample_tables, "MOST_SAMPLES", total // 2)
    monkeypatch.setattr(viewer, "CHUNK", 200)
    page.write(run)
    thinned = Viewed(run)
    assert thinned.index["total"] == total
    assert len(thinned.texts) == total // 2
    assert len(thinned.index["problems"]) == 2
    assert len(thinned.index["first"]) > 2
    assert f"Read {total // 2} samples" in (run / "report.html").read_text(encoding="utf-8")


def test_a_table_that_is_damaged_or_changed_is_named_and_left_out(evaluated: Path, tmp_path: Path) -> None:
    run = copied(evaluated, tmp_path)
    rows = read_table(run / "parts" / "0.parquet")
    for name, value in (("reward", "many"), ("finish", None), ("setting", 3)):
        write_table(run / "parts" / "0.parquet", [row | {name: value} for row in rows])
        assert f"parts/0.parquet: not a table of samples: see its column {name}" in page.write(run).read_text()
    write_table(run / "parts" / "0.parquet", [{"problem_id": "a"}])
    assert "parts/0.parquet: not a table of samples" in page.write(run).read_text()
    (run / "parts" / "0.parquet").write_bytes(b"PAR1 damaged")
    html = page.write(run).read_text()
    assert "parts/0.parquet: damaged" in html
    assert 'href="samples.html"' not in html


def test_readiness_stores_problems_and_answers(tmp_path: Path) -> None:
    problems = "dagmath?ops=5&asked=3&n=2&seed=1"
    config = ReadinessConfig(checkpoints=("embedded",), problems=problems, samples=2, group_size=2, heldout="")
    readiness(config, tmp_path)
    viewed = Viewed(tmp_path)
    assert len(viewed.texts) == 4
    assert all(text["prompt"] and text["answer"] for text in viewed.texts)


def test_rl_shows_the_advantages_of_each_step(tmp_path: Path) -> None:
    """Those of the algorithm from the rewards of a group, or of each token with dense rewards."""
    each = {"finish": "stop", "truncated": False, "num_waits": 0, "thinking_tokens": 2, "answer_tokens": 1}
    rows = [
        each | {"problem_id": f"p@{step}", "sample_id": n, "text": "abc", "tokens": [1], "mask": [1], "reward": reward}
        for step, rewards in ((0, (0.0, 1.0)), (3, (1.0, 1.0)))
        for n, reward in enumerate(rewards)
    ]
    for row in rows:
        row["correct"] = row["reward"] == 1
    write_table(tmp_path / "samples" / "steps-00001-00004.parquet", rows)
    write_json(tmp_path / "result.json", rl_result())
    write_json(tmp_path / "record.json", {"config": {"algorithm": "rloo"}})
    page.write(tmp_path)
    viewed = Viewed(tmp_path)
    assert viewed.index["conditions"] == [["step 1", ""], ["step 4", ""]]
    assert [text["credit"] for text in viewed.texts] == [-1.0, 1.0, None, None]
    assert [viewed.flags(at) for at in range(4)] == [
        {"informative"},
        {"correct", "informative"},
        {"correct"},
        {"correct"},
    ]
    assert viewed.index["credit_unit"] == 3


def test_the_page_knows_the_bits_of_the_index() -> None:
    script = (Path(viewer.__file__).parent / "viewer.js").read_text(encoding="utf-8")
    assert f"const FLAGS = {json.dumps(FLAGS)};" in script


def test_pieces_follow_tokens_even_within_a_character() -> None:
    """Tokens of bytes: a forced text behind half a character, and a credit for each token of a text with characters of
    several tokens."""
    texts = TokenTexts("embedded")
    texts.__dict__["_tokenizer"] = Bytes()
    ids = list("né!".encode())  # four tokens, of which é is two
    row = {"text": "n\ufffd</t>", "tokens": [*ids[:2], *b"</t>"], "mask": [1, 1, 0, 0, 0, 0]}
    assert texts.pieces(SampleRow(**row)) == [Piece("n\ufffd"), Piece("</t>", forced=True)]  # type: ignore[typeddict-item]
    credit: dict[str, Any] = {"text": "né!", "tokens": ids, "mask": [1] * 4, "advantages": [0.1, 0.2, 0.3, -0.4]}
    assert texts.pieces(SampleRow(**credit)) == [
        Piece("n", credit=0.1),
        Piece("é", credit=0.2),
        Piece("!", credit=-0.4),
    ]
    other: dict[str, Any] = {"text": "another model's text", "tokens": ids, "mask": [1, 1, 0, 1]}
    assert texts.pieces(SampleRow(**other)) is None


class Bytes:
    """A tokenizer with a token for each byte."""

    def get_vocab(self) -> dict[str, int]:
        return {str(i): i for i in range(256)}

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return bytes(ids).decode(errors="replace")


def copied(run: Path, to: Path) -> Path:
    """A run without its record, so that its files may be changed."""
    for name in ("result.json", "parts/0.parquet"):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes((run / name).read_bytes())
    page.write(to)
    return to


def test_a_system_turn_is_shown_before_the_prompt(evaluated: Path, tmp_path: Path) -> None:
    run = copied(evaluated, tmp_path)
    rows = read_table(run / "parts" / "0.parquet")
    assert {row["system"] for row in rows} == {""}
    prompt = rows[0]["prompt"]
    viewed = edited(run, [row | {"system": "Be brief."} for row in rows])
    assert f"Be brief.\n\n{prompt}" in {text["prompt"] for text in viewed.texts}
    viewed = edited(run, [{key: value for key, value in row.items() if key != "system"} for row in rows])
    assert prompt in {text["prompt"] for text in viewed.texts}
