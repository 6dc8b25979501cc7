"""Which named problem a sample of another tool is of: by its id, by its prompt, and never against its prompt."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal
from unicodedata import normalize

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.readiness.result import ReadinessResult
from rlready.readiness.stage import readiness
from rlready.readiness.text_finder import Finder

Row = dict[str, Any]


def lines(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def question(number: int) -> str:
    return f"What is {number} + 1?"


def asking(kind: str, folder: Path, documents: Sequence[tuple[int | str, str]]) -> str:
    """A source of a tool that asked (id, prompt) of each document and got the answers 1, 2, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / {"lm-eval": "samples_x.jsonl", "inspect": "log.json", "lighteval": "details_x.parquet"}[kind]
    rows: list[Row] = []
    for at, (id, prompt) in enumerate(documents):
        said = str(at + 1)
        if kind == "lm-eval":
            arguments = {"gen_args_0": {"arg_0": f"Examples.\n\nQ: {prompt}\nA:", "arg_1": {}}}
            rows.append({"doc_id": id, "doc": {}, "arguments": arguments, "resps": [[said]], "metrics": ["m"], "m": 1})
        elif kind == "inspect":
            turns = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
            output = {"choices": [{"message": {"role": "assistant", "content": said}}]}
            rows.append({"id": id, "epoch": 1, "input": turns, "output": output, "scores": {"m": {"value": "C"}}})
        else:
            doc, response = {"id": str(id), "query": prompt}, {"text": [said], "output_tokens": [[1]]}
            rows.append({"doc": doc, "model_response": response, "metric": {"m": 1.0}})
    if kind == "lm-eval":
        lines(path, rows)
    elif kind == "inspect":
        path.write_text(json.dumps({"version": 2, "status": "success", "eval": {}, "samples": rows}))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return f"{kind}:{path}"


def solved(source: str, folder: Path, problems: Sequence[Row]) -> dict[str, int]:
    """How many of the samples of each named problem are correct, by the ids of the problems."""
    named = lines(folder / "problems.jsonl", problems)
    result = readiness(ReadinessConfig(checkpoints=(source,), problems=str(named)), folder / "run")
    (per_problem,) = result.per_problem.values()
    return dict(zip(result.problems, per_problem.counts.correct.tolist(), strict=True))


KINDS = pytest.mark.parametrize("kind", ["lm-eval", "inspect", "lighteval"])


@KINDS
def test_ids_that_are_those_of_other_problems_are_refused(kind: str, tmp_path: Path) -> None:
    """The tool counts from 0 and the problems from 1, so that each response would be verified by the next answer."""
    source = asking(kind, tmp_path, [(i, question(i)) for i in range(12)])
    problems = [{"id": i + 1, "prompt": question(i), "answer": str(i + 1)} for i in range(12)]
    message = (
        r"11 of 12 problems have the id of another one: .*(samples_x|log|details_x).* has the id '1' and asks '.*is 1 "
        r"\+ 1\?.*', as problem '2' does, but '1' asks 'What is 0 \+ 1\?'; give the problems the ids of the samples"
    )
    with pytest.raises(UserError, match=message) as caught:
        solved(source, tmp_path / "other", problems)
    assert "\n" not in str(caught.value)
    longer = [problem | {"prompt": f"Q: {problem['prompt']} A:"} for problem in problems]  # than what was asked
    if kind != "lm-eval":
        with pytest.raises(UserError, match="11 of 12 problems have the id of another one"):
            solved(source, tmp_path / "longer", longer)
    right = [problem | {"id": i} for i, problem in enumerate(problems)]
    assert solved(source, tmp_path / "right", right) == {str(i): 1 for i in range(12)}
    last = [*right[:-2], right[-1] | {"id": 10}, right[-2] | {"id": 11}]  # two that are confused
    with pytest.raises(UserError, match="2 of 12 problems have the id of another one"):
        solved(source, tmp_path / "last", last)


@KINDS
def test_prompts_are_matched_where_ids_are_not(kind: str, tmp_path: Path) -> None:
    """Also where one prompt is a part of another one: `1 + 1?` of `11 + 1?`."""
    source = asking(kind, tmp_path, [(i, question(i)) for i in range(12)])
    problems = [{"prompt": f"{i} + 1?", "answer": str(i + 1)} for i in (11, 1, 5)]
    assert list(solved(source, tmp_path, problems).values()) == [1, 1, 1]


@pytest.mark.parametrize("kind", ["inspect", "lighteval"])
def test_a_prompt_that_holds_what_was_asked_is_another_one_unless_most_do(kind: str, tmp_path: Path) -> None:
    """A template stands around all questions; what stands around some of them makes these other questions."""
    source = asking(kind, tmp_path, [(i, question(i)) for i in range(8)])
    for folder, some in (("all", 8), ("some", 2), ("half", 4)):
        prompts = [question(i) + " Then double it." * (i < some) for i in range(8)]
        problems = [{"prompt": prompt, "answer": str(i + 1)} for i, prompt in enumerate(prompts)]
        assert sum(solved(source, tmp_path / folder, problems).values()) == (8 if some == 8 else 8 - some)


@KINDS
def test_ids_that_prompts_do_not_contradict_are_trusted(kind: str, tmp_path: Path) -> None:
    """A template may rephrase a prompt, and examples in front of it, here of problem 3, may be problems themselves."""
    asked = [(i, f"{question(3)} 4. Add 1 to {i}" if i != 3 else question(3)) for i in range(4)]
    problems = [{"id": i, "prompt": question(i), "answer": str(i + 1)} for i in range(4)]
    assert sum(solved(asking(kind, tmp_path, asked), tmp_path, problems).values()) == 4


@KINDS
def test_examples_that_are_evaluated_problems_are_no_questions(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prompt is the question of one text and an example in others; in one text the question is rephrased."""
    shots = [
        f"{question((i + 3) % 12)} {(i + 3) % 12 + 1}. {question((i + 7) % 12)} {(i + 7) % 12 + 1}. " for i in range(12)
    ]
    asked = [(i, shots[i] + (question(i).replace("  ", " ") if i != 5 else "Add 1 to 5.")) for i in range(12)]
    source = asking(kind, tmp_path, asked)
    right = [{"id": i, "prompt": question(i).replace(" ", "\n"), "answer": str(i + 1)} for i in range(12)]
    assert solved(source, tmp_path / "right", right) == {str(i): 1 for i in range(12)}
    assert "the prompts of 1 of 12 problems are not in what was asked (first " in capsys.readouterr().err
    with pytest.raises(UserError, match="10 of 12 problems have the id of another one"):
        solved(source, tmp_path / "other", [problem | {"id": i + 1} for i, problem in enumerate(right)])
    bare = [{"prompt": problem["prompt"], "answer": problem["answer"]} for problem in right]
    assert sum(solved(source, tmp_path / "bare", bare).values()) == 11
    said = capsys.readouterr().err
    assert ": 1 of 12 problems are none of the named ones and are left out" in said
    assert "measured on the 11 problems that all have, of up to 12" in said


def test_turns_of_lm_eval_and_attachments_of_inspect_are_read_as_prompts(tmp_path: Path) -> None:
    turns = json.dumps([{"role": "user", "content": "Q: a\nA:"}])
    problems = [{"prompt": "Q: a\nA:", "answer": "1"}]
    for at, asked in enumerate(({"arguments": [[[turns], {}]]}, {"doc": {"question": "Q: a\nA:", "answer": "1"}})):
        rows = [{"doc_id": 0, "resps": [["1"]], "metrics": ["m"], "m": 1, **asked}]
        path = lines(tmp_path / str(at) / "samples_x.jsonl", rows)
        assert list(solved(f"lm-eval:{path}", tmp_path / str(at), problems).values()) == [1]
    sample = {"id": 7, "epoch": 1, "input": "attachment://x", "output": {"completion": "1"}, "scores": {}}
    log = {"version": 2, "status": "success", "eval": {}, "samples": [sample | {"attachments": {"x": "Q: a\nA:"}}]}
    (tmp_path / "log.json").write_text(json.dumps(log))
    assert list(solved(f"inspect:{tmp_path / 'log.json'}", tmp_path / "log", problems).values()) == [1]


def test_tasks_of_prime_rl_are_matched_by_prompt(tmp_path: Path) -> None:
    source = f"prime-rl:{Path(__file__).parent / 'data' / 'interchange' / 'prime-rl'}?score=correct"
    problems = [{"prompt": f"What is {i} + {4 - i}?", "answer": "4"} for i in range(2)]
    assert len(solved(source, tmp_path, problems)) == 2
    with pytest.raises(UserError, match="2 of 2 problems have the id of another one"):
        solved(source, tmp_path / "other", [problem | {"id": f"sum-{1 - i}"} for i, problem in enumerate(problems)])


@pytest.mark.parametrize(("form", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
@KINDS
def test_prompts_are_matched_however_their_accents_are_written(
    kind: str, form: Literal["NFC", "NFD"], other: Literal["NFC", "NFD"], tmp_path: Path
) -> None:
    """As a letter with its accent in one character, or in two."""
    prompts = [f"Combien de cafés achète Zoë, {i} + 1 ?" for i in range(3)]
    source = asking(kind, tmp_path, [(f"q{i}", normalize(form, prompt)) for i, prompt in enumerate(prompts)])
    problems = [
        {"id": f"p{i}", "prompt": normalize(other, prompt), "answer": str(i + 1)} for i, prompt in enumerate(prompts)
    ]
    assert solved(source, tmp_path, problems) == {"p0": 1, "p1": 1, "p2": 1}


def test_texts_of_any_length_are_found() -> None:
    """As a plain search finds them, at both ends and where texts repeat and overlap."""
    random = Random(0)
    for _ in range(200):
        whole = "".join(random.choices("+-", k=60))
        begins = [random.randrange(55) for _ in range(5)]
        texts = {whole[begin : begin + random.randint(1, 40)] for begin in begins} | {"+-*", "-" * 20}
        there = {text for text in texts if text in whole}
        assert Finder(texts).inside(whole) == {text: whole.rindex(text) + len(text) for text in there}


def test_prompts_that_share_most_of_their_text_are_found_in_linear_time() -> None:
    """As those with one table: looked up by what they share, 4,000 would take a minute."""
    texts = [f"Question {i}: {'-' * 200} what?" for i in range(4_000)]
    begun = time.process_time()
    finder = Finder(texts)
    assert all(text in finder.inside(f"Q. {text} A:") for text in texts[::40])
    assert time.process_time() - begun < 5


def test_a_prompt_is_not_found_inside_a_word_or_a_number(tmp_path: Path) -> None:
    whole = "13+2= and 3+2=, then x3+2=5 and (long) What is 1 + 1? 7 What is 1 + 12"
    short, long = "3+2=", "What is 1 + 1"
    assert Finder([short, long]).inside(whole) == {short: whole.index(", then"), long: whole.index("? 7")}
    asked = [(i, f"{10 * (i % 2) + i}+1=") for i in range(8)]
    problems = [{"prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(8)]
    assert list(solved(asking("inspect", tmp_path, asked), tmp_path, problems).values()) == [1] * 4


def tabled(path: Path, rows: Sequence[tuple[str, str, str]]) -> str:
    """A plain table of samples: (id, prompt, text)."""
    return str(lines(path, [dict(zip(("problem_id", "prompt", "text"), row, strict=True)) for row in rows]))


def test_ids_of_a_plain_table_that_its_prompts_contradict_are_a_doubt(tmp_path: Path) -> None:
    """Its ids begin one later than those of the problems; no tool has numbered them, so that they count."""
    problems = [{"id": i, "prompt": question(i), "answer": str(i + 1)} for i in range(6)]
    shifted = tabled(tmp_path / "t.jsonl", [(str(i), question(i + 1), str(i + 2)) for i in range(6) for _ in range(2)])
    solved(shifted, tmp_path / "shifted", problems)
    said = "5 of 6 problems have the id of another one"
    assert any(said in note for note in ReadinessResult.load(tmp_path / "shifted" / "run").notes)
    right = tabled(tmp_path / "r.jsonl", [(str(i), f"Q: {question(i)} A:", str(i + 1)) for i in range(6)])
    assert sum(solved(right, tmp_path / "right", problems).values()) == 6


def test_tables_that_have_asked_other_things_are_said_beside_named_problems(tmp_path: Path) -> None:
    """A template or examples around the question, which is the same."""
    problems = [{"id": i, "prompt": question(i), "answer": str(i + 1)} for i in range(4)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, problems)))
    tables = []
    for name, prompt in (("a", "{}"), ("b", "Q: 1 + 1? A: 2\n\nQ: {} A:")):
        rows = [
            {"problem_id": str(i), "prompt": prompt.format(question(i)), "correct": s % 2}
            for i in range(4)
            for s in range(2)
        ]
        tables.append(str(lines(tmp_path / f"{name}.jsonl", rows)))
    config = ReadinessConfig(checkpoints=tuple(tables), problems=str(tmp_path / "p.jsonl"))
    assert any("the prompts of 4 of 4 problems are not those of" in n for n in readiness(config, tmp_path / "o").notes)


def test_several_prompts_under_one_id_of_a_table_are_a_doubt(tmp_path: Path) -> None:
    """As where a batch numbers its problems anew."""
    rows = [(str(i), question(i + 4 * batch), "1") for batch in range(2) for i in range(4) for _ in range(2)]
    problems = [{"id": i, "prompt": question(i), "answer": str(i + 1)} for i in range(4)]
    solved(tabled(tmp_path / "t.jsonl", rows), tmp_path, problems)
    notes = ReadinessResult.load(tmp_path / "run").notes
    assert any("4 of 4 ids stand beside several prompts (first '0', in " in note for note in notes)


@pytest.mark.parametrize("column", ["prompt", "question"])
@pytest.mark.parametrize(("other", "said"), [("Capital of {}?", True), ("What is {}?", False)])
def test_tables_that_have_asked_other_things_are_ranked_with_a_warning(
    column: str, other: str, said: bool, tmp_path: Path
) -> None:
    tables = []
    for name, prompt in (("a", "What is {}?"), ("b", other)):
        rows = [{"problem_id": f"q{i}", column: prompt.format(i), "correct": s % 2} for i in range(4) for s in range(2)]
        tables.append(str(lines(tmp_path / f"{name}.jsonl", rows)))
    notes = readiness(ReadinessConfig(checkpoints=tuple(tables)), tmp_path / "run").notes
    assert any("the prompts of 4 of 4 problems are not those of" in note for note in notes) is said
