"""Files of every kind, well-formed or not, and what their readers must find in them."""

# ruff: noqa: E501 (tables of pieces)
from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzz.commands import MEANINGFUL, NUMBERS, TEXTS, mostly, run_command, usual
from fuzz.harness import Case, Nonsense

Row = dict[str, Any]
WORDS = (
    "",
    " ",
    "a",
    "What is 6 times 7?",
    "42",
    "#### 42",
    "<think>a</think>b",
    "</think>",
    "é😀",
    "\u2028",
    "x" * 3000,
)
good = st.sampled_from(["What is 6 times 7?", "42", "3.5", "x", "How many?", "1/3", "step 1: 6 * 7 = 42"])
plain = mostly(good, st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=12))
numbers = st.one_of(
    st.sampled_from(
        [0, 1, -1, 2, 0.5, 1.0, -0.0, 1e16, 1e300, 5e-324, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400]
    ),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.integers(-3, 20),
    st.floats(allow_nan=True, allow_infinity=True),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, plain)
deep = st.integers(50, 2000).map(lambda n: json.loads("[" * 50 + "]" * 50) if n < 100 else {"a": {"b": {"c": []}}})
anything = st.one_of(
    scalars,
    deep,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3), max_leaves=6
    ),
)


# -- tables of problems and rows ---------------------------------------------------------------------------------------


def rows_of(columns: Mapping[str, st.SearchStrategy[Any]], most: int = 4) -> st.SearchStrategy[list[Row]]:
    """Tables whose cells are mostly of the right type."""
    row = st.fixed_dictionaries(dict(columns))
    return st.lists(row, min_size=1, max_size=most)


@st.composite
def mutated(draw: st.DrawFn, rows: st.SearchStrategy[list[Row]]) -> tuple[list[Row], bool]:
    """Rows, and whether they were changed: a cell of another type, a column too many or too few, twins."""
    table = [dict(row) for row in draw(rows)]
    changes = draw(st.sampled_from([0, 0, 1, 1, 2, 3]))
    for _ in range(changes):
        row = draw(st.sampled_from(table))
        key = draw(st.sampled_from([*row] or ["a"]))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            row.pop(key, None)
        elif kind == 1:
            row[draw(plain)] = draw(anything)
        elif kind == 2:
            table.append(dict(row))
        elif kind == 3:
            row[key] = draw(anything)
        elif isinstance(row.get(key), list) and row[key]:
            at = draw(st.integers(0, len(row[key]) - 1))
            row[key] = [*row[key][:at], draw(numbers | scalars), *row[key][at + 1 :]]
        else:
            row[key] = draw(numbers)
    return table, changes > 0


def as_jsonl(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def as_json(rows: Sequence[Row]) -> bytes:
    return json.dumps(list(rows)).encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(out)
    writer.writerows([names, *([row.get(name, "") for name in names] for row in rows)])
    return out.getvalue().encode("utf-8", "surrogatepass")


def as_parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    try:
        table = pa.Table.from_pylist(list(rows), pa.schema(_typed(pa, rows)))
        pq.write_table(table, sink)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError):
        return as_jsonl(rows)  # Arrow has no such table: another kind of damaged file
    return sink.getvalue()


def _typed(pa: Any, rows: Sequence[Row]) -> list[tuple[str, Any]]:
    """Types for the columns, as other programs choose them: not always the obvious ones."""
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        kind = pa.array([row.get(name) for row in rows]).type
        odd = {
            pa.int64(): [pa.int64(), pa.float64(), pa.int8(), pa.decimal128(9, 2)],
            pa.float64(): [pa.float64(), pa.float32()],
        }
        choices = odd.get(kind, [kind])
        fields.append((name, choices[len(name + str(rows)) % len(choices)]))
    return fields


FORMATS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    ".jsonl": as_jsonl,
    ".json": as_json,
    ".csv": as_csv,
    ".parquet": as_parquet,
    ".jsonl.gz": lambda rows: gzip.compress(as_jsonl(rows), mtime=0),
}


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes of a file, some of them lost, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        end = min(len(content), at + draw(st.integers(0, 12)))
        new = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"", b'"', b"{", b"[", b"\n", b"\xff", b"NaN", b"1e999", b",", b"\0"]),
            )
        )
        content = content[:at] + new + content[end:]
    return content


problem_columns = {
    "prompt": plain,
    "answer": mostly(plain, numbers),
    "response": plain,
    "id": st.integers(0, 10**6).map(str),
}
chat_turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", ""]), "content": plain}
)
asked = good.map(lambda text: {"role": "user", "content": text})
replied = plain.map(lambda text: {"role": "assistant", "content": text})
chats = {"messages": mostly(st.tuples(asked, replied).map(list), st.lists(chat_turn, max_size=4)), "answer": plain}
verl = {
    "prompt": mostly(asked.map(lambda turn: [turn]), st.lists(chat_turn, max_size=2)),
    "reward_model": st.fixed_dictionaries({"ground_truth": plain, "style": plain}),
}


@st.composite
def tables(draw: st.DrawFn) -> Case:
    """A table of problems or worked rows in one of the formats."""
    shape = draw(st.sampled_from([problem_columns, problem_columns, chats, verl]))
    rows, _ = draw(mutated(rows_of(shape)))
    end = draw(st.sampled_from(sorted(FORMATS)))
    content = FORMATS[end](rows)
    if draw(st.integers(0, 3)) == 0:
        content = draw(damaged(content))
    query = draw(
        st.sampled_from(
            ["", "", "", "?n=2", "?seed=1", "?answer=answer", "?prompt=response", "?answer=reward_model.ground_truth"]
        )
    )
    return Case("table", (f"t{end}{query}",), {f"t{end}": content})


def read_problems(case: Case) -> None:
    """Read problems and rows; Nonsense if they are not those that a plain JSON parser finds."""
    from rlready.core.errors import UserError
    from rlready.tasks import open_task

    task = open_task(case.words[0])
    found, refused = [], []
    for items in (task.problems, task.rows):
        try:
            found.append(list(items()))
        except UserError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    if "?" in case.words[0]:
        return
    raw = _parsed(case)
    for items in found:
        ids = [item.id for item in items]
        if len(set(ids)) < len(ids):
            raise Nonsense("two items have one id")
        if raw is not None and len(items) != len(raw):
            raise Nonsense(f"{len(items)} items of {len(raw)} rows")
        for item, row in zip(items, raw or [], strict=False):
            if (
                isinstance(row.get("prompt"), str)
                and not row.keys() & {"messages", "conversations"}
                and item.prompt != row["prompt"]
            ):
                raise Nonsense(f"prompt {item.prompt!r} of {row['prompt']!r}")
            answer = row.get("answer")
            if (
                hasattr(item, "answer")
                and type(answer) in (int, float)
                and Decimal(item.answer) != Decimal(repr(answer))
            ):
                raise Nonsense(f"answer {item.answer!r} of {answer!r}")


def _parsed(case: Case) -> list[Row] | None:
    """The rows by Python's own parser; None if it cannot read the file."""
    (name, content), *_ = case.files.items()
    try:
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        if name.endswith(".json"):
            rows = json.loads(content)
        elif ".jsonl" in name:
            rows = [json.loads(line) for line in content.split(b"\n") if line.strip()]
        else:
            return None
    except (ValueError, OSError, EOFError, RecursionError):
        return None
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


# -- task sources ------------------------------------------------------------------------------------------------------

TASK_OPTIONS: dict[str, dict[str, str]] = {  # the options of each kind, with usual values
    "dagmath": {
        "ops": "3 3-5 8", "asked": "1 2", "modulus": "23 none", "constants": "0-9", "max_terms": "3 4", "redundant": "0 1-2",
        "rendering": "words symbols", "strict": "0 1", "detours": "0.5", "verbose": "0.5", "working": "short full",
        "split": "train test all", "n": "1 5 9", "seed": "0 7", "select": "random shortest halves", "of": "9 20",
    },
    "rows:t.jsonl": {
        "verifier": "operator:eq math:isclose", "threshold": "0.5", "prompt": "prompt answer", "response": "response prompt",
        "thinking": "response", "answer": "answer response", "id": "id prompt", "split": "t", "n": "2 9", "seed": "1",
        "select": "longest random", "of": "3 9", "config": "main", "revision": "v1",
    },
    "gsm8k:g.jsonl": {"split": "train g", "calculator": "strip keep", "n": "2 9", "seed": "1", "select": "random", "of": "3"},
}  # fmt: skip
VALUES = (
    *NUMBERS, *TEXTS, "1-3", "3-1", "5-5", "0-0", "0-999999999", "999999999999999", "train", "test", "words", "symbols", "short",
    "random", "shortest", "halves", "3", "5", "23", "json:loads", "builtins:eval", "math:isclose", "nosuch:f", "prompt", "answer",
)  # fmt: skip


@st.composite
def sources(draw: st.DrawFn) -> Case:
    """Source strings of every kind, with options that exist and do not."""
    kind = draw(
        st.sampled_from([*TASK_OPTIONS, *TASK_OPTIONS, "t.jsonl", "t", "gsm8k", "dagmath:x", "owner/name", "a:b", ""])
    )
    known = TASK_OPTIONS.get(kind, TASK_OPTIONS["rows:t.jsonl"])
    nasty = st.sampled_from(VALUES) | st.integers(0, 30).map(str) | plain

    def option(key: str) -> st.SearchStrategy[str]:
        ours = st.sampled_from(known[key].split()) if key in known else nasty
        return mostly(ours, nasty).map(lambda value: f"{key}={value}")

    keys = st.sampled_from(sorted(known))
    options = draw(st.lists(mostly(keys, plain).flatmap(option), max_size=3))
    joint = draw(st.sampled_from(["&", "&", "&", "&", "?", "&&"]))
    return Case("source", (f"{kind}{'?' * bool(options)}{joint.join(options)}",), SOURCE_FILES)


SOURCE_FILES = {
    "t.jsonl": as_jsonl([{"prompt": f"{i} + 1 =", "answer": i + 1, "response": str(i + 1)} for i in range(6)]),
    "g.jsonl": as_jsonl(
        [{"question": f"{i} + 1 =", "answer": f"{i}+1=<<{i}+1={i + 1}>>{i + 1}\n#### {i + 1}"} for i in range(6)]
    ),
}


def read_source(case: Case) -> None:
    """Open a source; Nonsense if it has another number of problems than n, or if its own name gives other ones."""
    from rlready.core.errors import UserError
    from rlready.tasks import open_task

    task = open_task(case.words[0])
    problems = task.problems()
    asked = next((w.removeprefix("n=") for w in case.words[0].partition("?")[2].split("&") if w.startswith("n=")), "")
    if asked.isdecimal() and len(problems) > int(asked):
        raise Nonsense(f"{len(problems)} problems of n={asked}")
    if open_task(task.source).problems() != problems:
        raise Nonsense(f"{task.source} is another task than {case.words[0]}")
    try:
        task.rows()
    except UserError:
        return


# -- configuration files -----------------------------------------------------------------------------------------------

toml_values = st.one_of(
    st.booleans(), st.integers(-5, 50), st.sampled_from([2**31, 2**63, -(2**63), 1e300, 5e-324, 0.5, math.nan, math.inf, -1.0]),
    st.sampled_from((*TEXTS[1:16], "dagmath?n=8", "cpu", "auto", "{seed}")), plain,
    st.lists(st.one_of(st.integers(-1, 5), plain, st.sampled_from([1e300, 2**63, 0.5])), max_size=3),
    st.just({"a": 1}), st.just([]),
)  # fmt: skip


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


def _settings(cls: Any, *more: str, most: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """Settings of a configuration by name, most with usual values, some with others or unknown."""

    def item(key: str) -> st.SearchStrategy[tuple[str, Any]]:
        ours = st.sampled_from(usual(cls.model_fields[key])) if key in cls.model_fields else toml_values
        return mostly(ours, toml_values).map(lambda value: (key, value))

    keys = st.sampled_from([*sorted(cls.model_fields), *more])
    return st.lists(mostly(keys, plain).flatmap(item), max_size=most).map(dict)


def _lines(items: Mapping[str, Any]) -> list[str]:
    return [f"{_toml(key)} = {_toml(value)}" for key, value in items.items()]


def tomls() -> st.SearchStrategy[Case]:
    """Files of --config for every verb."""
    from rlready.cli.schema import CONFIGS

    def of_verb(verb: str) -> st.SearchStrategy[Case]:
        text = _settings(CONFIGS[verb]).map(lambda items: "\n".join(_lines(items)).encode())
        return mostly(text, text.flatmap(damaged)).map(lambda content: Case("toml", (verb,), {"c.toml": content}))

    return st.sampled_from(sorted(CONFIGS)).flatmap(of_verb)


def read_toml_file(case: Case) -> None:
    """Fill a configuration; Nonsense for numbers without meaning, and if it is not what is written out again."""
    from rlready.cli.schema import CONFIGS
    from rlready.core.options import fill_config, to_toml

    cls = CONFIGS[case.words[0]]
    config = fill_config(cls, Path("c.toml"), {}).value
    check_numbers(config)
    Path("again.toml").write_text(to_toml(config), encoding="utf-8")
    if fill_config(cls, Path("again.toml"), {}).value != config:
        raise Nonsense("written out, it is another configuration")


def check_numbers(config: Any) -> None:
    """Raise Nonsense for a number of a configuration outside of what its setting can mean."""
    for key, value in vars(config).items():
        for number in value if isinstance(value, tuple) else [value]:
            if key in MEANINGFUL and type(number) in (int, float):
                low, high = MEANINGFUL[key]
                if not low <= number <= high:
                    raise Nonsense(f"{key}={number} means nothing")


@st.composite
def sweeps(draw: st.DrawFn) -> Case:
    """Sweep files: tables, recipes and settings, right or wrong."""
    from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig

    verbs: dict[str, Any] = {"sft": SFTConfig, "readiness": ReadinessConfig, "rl": RLConfig, "evaluate": EvaluateConfig}
    keys = st.sampled_from(["checkpoints", "measure", "sft", "name", "x"])
    lines = _lines(draw(st.dictionaries(keys, toml_values, max_size=1)) if draw(st.integers(0, 4)) == 0 else {})
    for verb, cls in verbs.items():
        if draw(st.integers(0, 5)) == 0:
            continue
        lines += [f"[{verb}]", *_lines(draw(_settings(cls, most=2)))]
        for number in range(draw(st.integers(0, 2)) if verb in ("sft", "rl") else 0):
            recipe = draw(_settings(cls, "name", "family", "checkpoints", most=2))
            lines += [f"[[{verb}.recipes]]", *_lines({"name": f"r{number}"} | recipe)]
    content = "\n".join(lines).encode()
    return Case(
        "sweep",
        ("sweep", "s.toml", "workers=0"),
        {"s.toml": draw(damaged(content)) if draw(st.integers(0, 4)) == 0 else content},
    )


def read_sweep(case: Case) -> None:
    """Read the grid, check every configuration in it, and start the sweep up to its first job."""
    from rlready.sweep.grid import read_sweep_file

    grid = read_sweep_file(Path("s.toml"))
    for config in (
        *(each.config for each in grid.sft),
        *(each.config for each in grid.rl),
        grid.readiness,
        grid.evaluate,
    ):
        check_numbers(config)
    run_command(case)


# -- tables of samples and outcomes, logs of other programs ------------------------------------------------------------

verdicts = st.booleans()
SAMPLE = {"problem_id": good, "correct": verdicts}
LM_EVAL = {
    "doc_id": st.integers(0, 3), "doc": st.fixed_dictionaries({"question": plain}), "target": plain, "exact_match": verdicts,
    "resps": st.lists(st.lists(plain, max_size=3), max_size=2), "filtered_resps": st.lists(plain, max_size=2),
    "filter": st.sampled_from(["strict-match", "flexible-extract"]),
}  # fmt: skip
TRL = {
    "prompt": good,
    "step": st.integers(0, 3),
    "completion": plain,
    "accuracy_reward": verdicts,
    "advantage": numbers,
}
VERL = {"input": good, "output": plain, "gts": plain, "score": verdicts, "step": st.integers(0, 2)}
EXTRA = {
    "tokens": st.lists(st.integers(0, 5), max_size=4), "logprobs": st.lists(st.floats(-9, 0), max_size=4), "wave": st.integers(0, 2),
    "planned": st.integers(0, 9), "mask": st.lists(st.booleans(), max_size=4), "thinking_tokens": st.integers(0, 99), "text": plain,
    "truncated": st.booleans(), "finish": st.sampled_from(["stop", "length", "x"]), "thinking": plain,
}  # fmt: skip


@st.composite
def grid(draw: st.DrawFn, columns: Mapping[str, st.SearchStrategy[Any]]) -> list[Row]:
    """As many rows for each problem, which the first of ``columns`` names."""
    first, *_ = columns
    names = draw(st.lists(columns[first], min_size=1, max_size=3, unique=True))
    return [
        draw(st.fixed_dictionaries(dict(columns))) | {first: name} for name in names for _ in range(draw(st.just(2)))
    ]


@st.composite
def sample_tables(draw: st.DrawFn) -> Case:
    """Tables of samples with the usual columns; where they are as they must be, it is known what they say."""
    extra = {key: EXTRA[key] for key in draw(st.sets(st.sampled_from(sorted(EXTRA)), max_size=3))}
    rows, changed = draw(mutated(grid(SAMPLE | extra)))
    for number, row in enumerate(rows) if draw(st.booleans()) else ():
        row["sample_id"] = draw(st.just(number) | anything) if changed else number
    end = draw(st.sampled_from(sorted(FORMATS)))
    content = FORMATS[end](rows)
    if damage := draw(st.integers(0, 4)) == 0:
        content = draw(damaged(content))
    known = not (changed or damage or extra.keys() & {"wave", "planned"})
    return Case("samples", (f"s{end}",), {f"s{end}": content}, _pass_1(rows) if known else None)


@st.composite
def foreign_logs(draw: st.DrawFn) -> Case:
    """Logs as lm-eval, TRL and verl write them, with options that name their columns."""
    shape, query = draw(st.sampled_from([
        (LM_EVAL, "?correct=exact_match&filter=strict-match"), (LM_EVAL, "?correct=exact_match"), (LM_EVAL, ""),
        (TRL, "?problem=prompt&text=completion&correct=accuracy_reward"), (VERL, "?problem=input&text=output&correct=score"),
        (VERL, "?problem=input&text=output&correct=score&n=2"), (TRL, "?problem=prompt&correct=advantage"),
    ]))  # fmt: skip
    rows, _ = draw(mutated(grid(shape)))
    end = draw(st.sampled_from(sorted(FORMATS)))
    return Case("log", (f"s{end}{query}",), {f"s{end}": FORMATS[end](rows)})


def _pass_1(rows: Sequence[Row]) -> list[float]:
    """[number of problems, mean share of correct samples] by plain counting."""
    by_problem: dict[str, list[float]] = {}
    for row in rows:
        by_problem.setdefault(row["problem_id"], []).append(float(row["correct"]))
    return [len(by_problem), sum(sum(each) / len(each) for each in by_problem.values()) / len(by_problem)]


def read_sample_table(case: Case) -> None:
    """``rlready readiness TABLE``; Nonsense if the result has not the problems and the pass@1 that were counted."""
    words = ("readiness", *case.words, "samples=2", "group_size=2", "--out", "out")
    run_command(Case(case.kind, words))
    result = json.loads(Path("out/result.json").read_bytes())
    (checkpoint,) = result["checkpoints"]
    found = checkpoint["pass_at_k"]["1"]["value"]
    if not 0 <= found <= 1:
        raise Nonsense(f"pass@1 = {found}")
    if case.expected and not math.isclose(found, case.expected[1], abs_tol=1e-9):
        raise Nonsense(f"pass@1 = {found}, expected {case.expected}")


@st.composite
def outcome_tables(draw: st.DrawFn) -> Case:
    """Tables of outcomes of the three checkpoints of the fixtures."""
    shape = {"checkpoint": st.sampled_from(["step-0", "step-1", "step-2"]), "outcome": st.floats(0, 1) | st.just(1)}
    more: dict[str, st.SearchStrategy[Any]] = {
        "cost": numbers,
        "seed": scalars,
        "recipe": scalars,
        "family": scalars,
        "readiness": plain,
    }
    more = {key: more[key] for key in draw(st.sets(st.sampled_from(sorted(more)), max_size=2))}
    rows, changed = draw(mutated(rows_of(shape | more, most=4)))
    end = draw(st.sampled_from(sorted(FORMATS)))
    content = FORMATS[end](rows)
    if damage := draw(st.integers(0, 4)) == 0:
        content = draw(damaged(content))
    known = not (changed or damage or more) and end != ".parquet"
    expected = [[row["checkpoint"], row["outcome"]] for row in rows] if known else None
    return Case("outcomes", (f"o{end}",), {f"o{end}": content}, expected)


def read_outcomes(fixtures: Path) -> Callable[[Case], None]:
    """``rlready predict``; Nonsense if the result has other outcomes than the table."""

    def read(case: Case) -> None:
        words = ("predict", str(fixtures / "ready"), *case.words, "splits=20", "resamples=20", "--out", "out")
        run_command(Case(case.kind, words))
        result = json.loads(Path("out/result.json").read_bytes())
        found = {(c["name"].rpartition("/")[2], o["value"]) for c in result["checkpoints"] for o in c["outcomes"]}
        if case.expected and found != {(name, value) for name, value in case.expected}:
            raise Nonsense(f"outcomes {found}, expected {case.expected}")

    return read


# -- GSM8K and model outputs -------------------------------------------------------------------------------------------

terms = st.one_of(
    st.integers(0, 99).map(str),
    st.sampled_from(["0", "1/3", "0.5", "1e9", "50%", "$5", "x", "9" * 400, "2**99", "(1+2)", ".5", "1,000"]),
)
operators = st.sampled_from(["+", "-", "*", "/", "**", "//", "^", "x", "=", " "])


@st.composite
def gsm8k(draw: st.DrawFn) -> Case:
    """Worked rows of GSM8K: annotations right, wrong and odd."""
    rows = []
    for _ in range(draw(st.integers(1, 2))):
        value, lines = "0", []
        for _ in range(draw(st.integers(1, 3))):
            left, sign, right = draw(terms), draw(operators), draw(terms)
            value = draw(st.just(_value(left, sign, right)) | terms)
            note = draw(
                st.sampled_from(
                    [
                        f"<<{left}{sign}{right}={value}>>{value}",
                        f"<<{left}{sign}{right}={value}>>",
                        "<<>>",
                        "<<=>>",
                        "<<1",
                        value,
                    ]
                )
            )
            lines.append(f"{draw(plain)} {left}{sign}{right}={note}")
        rows.append(
            {"question": draw(plain) + " What?", "answer": "\n".join(lines) + f"\n#### {draw(st.just(value) | terms)}"}
        )
    return Case("gsm8k", ("inject", "gsm8k:g.jsonl", "p=1", "--out", "out"), {"g.jsonl": as_jsonl(rows)})


def _value(left: str, sign: str, right: str) -> str:
    try:
        a, b = Decimal(left), Decimal(right)
        found = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else a}.get(sign, a)
        return str(int(found)) if found == int(found) else str(found)
    except (ArithmeticError, ValueError):
        return left


def read_gsm8k(case: Case) -> None:
    """Inject into the rows; Nonsense if a written row has another answer than the original."""
    run_command(case)
    raw = [json.loads(line) for line in case.files["g.jsonl"].splitlines()]
    for line in Path("out/rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        original = raw[int(row["id"].rpartition("-")[2])]["answer"].rpartition("####")[2]
        if (
            original.strip() not in row["response"]
            and original.strip().replace(",", "").strip("$") not in row["response"]
        ):
            raise Nonsense(f"{row['response']!r} of {original!r}")


golds = st.sampled_from(
    [
        "42",
        "-3",
        "1/3",
        "0.5",
        "\\frac{1}{2}",
        "(1, 2)",
        "[0, 1)",
        "x^2+1",
        "B",
        "yes",
        "12:30",
        "5 km",
        "50%",
        "\\sqrt{2}",
        "1e3",
    ]
)
pieces = st.sampled_from([
    "42", "\\boxed{", "}", "{", "\\frac", "\\frac{1}{", "####", "The answer is", "**", "$", "$$", "\\(", "\\[", "(", ")", "^", "_", "!",
    "9" * 50, "9^9^9^9", "\\sqrt[", "10!!!!", "e" * 30, "\\left(", "\\begin{pmatrix}", "&", "\\\\", "=", "<", "≤", ",", ";", " ", "\n", "½",
    "<think>", "</think>", "\\text{", "\\int_0^1", "\\sum", "x", "i", "pi", "%", "\\%", "∞", "٣", "²", "0x1f", "1e999", "-", "−", "\u200b",
])  # fmt: skip


@st.composite
def outputs(draw: st.DrawFn) -> Case:
    """Responses of models, from pieces of notation, that are verified against an answer."""
    gold = draw(golds)
    texts = [draw(st.lists(pieces, max_size=8).map("".join) | plain) for _ in range(draw(st.integers(2, 3)))]
    rows = [{"problem_id": "a", "text": text} for text in texts]
    problems = as_jsonl([{"id": "a", "prompt": "?", "answer": gold}])
    return Case("output", ("s.jsonl", "problems=p.jsonl"), {"s.jsonl": as_jsonl(rows), "p.jsonl": problems})


# -- run folders -------------------------------------------------------------------------------------------------------

RUN_FILES = (
    "record.json",
    "result.json",
    "config.toml",
    "log.jsonl",
    "runs.jsonl",
    "rows.jsonl",
    "before.jsonl",
    "heldout.parquet",
    "report.html",
)


def folders(fixtures: Path) -> st.SearchStrategy[Case]:
    """Run folders with a file that is damaged, of another run, missing, or of other types inside; shown or reported."""
    runs = [path for path in sorted(fixtures.iterdir()) if (path / "record.json").is_file() and not path.is_symlink()]

    @st.composite
    def folder(draw: st.DrawFn) -> Case:
        run = draw(st.sampled_from(runs))
        files = {f"r/{p.relative_to(run)}": p.read_bytes() for name in RUN_FILES if (p := run / name).is_file()}
        damageable = sorted(name for name in files if name != "r/report.html")
        for name in draw(st.lists(st.sampled_from(damageable), min_size=1, max_size=2, unique=True)):
            kind, content = draw(st.integers(0, 6)), files.pop(name)
            if kind == 1:
                other = draw(st.sampled_from(runs)) / name.removeprefix("r/")
                files[name] = other.read_bytes() if other.is_file() else b""
            elif kind == 2:
                files[name] = draw(damaged(content))
            elif kind == 3:
                files[f"{name}/inside"] = content
            elif kind > 3 and name.endswith(".json"):
                files[name] = json.dumps(draw(changed_json(json.loads(content)))).encode()
            elif kind > 3:
                files[name] = draw(st.binary(max_size=20))
        verb = draw(
            st.sampled_from(
                [
                    ("show",),
                    ("show",),
                    ("show", "--json"),
                    ("show", "--wide"),
                    ("report",),
                    ("predict",),
                    ("show", "--diff"),
                ]
            )
        )
        return Case("folder", (verb[0], "r", *verb[1:]), files)

    return folder()


@st.composite
def changed_json(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with another value at a place inside it."""
    inner: Any = value
    while isinstance(inner, dict | list) and inner:
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(inner[key], dict | list) or not inner[key] or draw(st.integers(0, 3)) == 0:
            inner[key] = draw(scalars | st.just([]) | st.just({}))
            return value
        inner = inner[key]
    return draw(anything)
