"""Every command of the README and of the guides runs, on the embedded model and on small files of the names used there.

The commands are those of the pages, with fewer steps and samples; settings that a page names keep their names.
"""

from __future__ import annotations

import glob
import json
import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import pytest

from rlready.cli.main import main
from rlready.cli.parser import Typed, parse_command_line
from rlready.cli.verbs import VERBS
from rlready.core.options import fill_config
from rlready.core.presets import EMBEDDED
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.tasks import open_task

ROOT = Path(__file__).parents[1]
TASK = "dagmath?ops=2&split=all"
SAMPLED = {"thinking_budget": 8, "max_answer_tokens": 4}
RESPONSE = {name: str(value) for name, value in SAMPLED.items()}
SMALL = {
    "sft": {"epochs": "1", "save_every": "1", "tokens_per_batch": "80"},
    "readiness": {"samples": "4", "group_size": "2"} | RESPONSE,
    "rl": {"steps": "1", "prompts_per_step": "2", "group_size": "2", "eval_every": "1", "eval_samples": "1"} | RESPONSE,
    "evaluate": {"samples": "2", "thinking_budgets": "8,16", "max_answer_tokens": "4"},
    "predict": {"splits": "10", "resamples": "50"},
    "sweep": {"workers": "0"},
}
TRL = Path(__file__).parent / "data" / "interchange" / "trl" / "conversation"
# samples, which take no sampling settings
OFFLINE = ("trl:", "verl:", "prime-rl:", "lm-eval:", "samples-15", "samples-30")


IN_VOCABULARY = {"wait_text=Wait": "wait_text=budget", "length_prompt= Use {N} tokens.": "length_prompt= budget {N/8}"}


def commands(page: str) -> list[list[str]]:
    """The words of every command of a page; lines that end in a backslash go on."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    rlready (.*)$", text, re.MULTILINE)]


def small(words: list[str]) -> list[str]:
    """A command with small settings and its patterns of files expanded."""
    verb, *rest = words
    changes = {} if any(name in word for word in rest for name in OFFLINE) else dict(SMALL.get(verb, {}))
    rest = [re.sub(r"&n=\d+", "&n=8", IN_VOCABULARY.get(word, word)) for word in rest]
    kept = [word for word in rest if word.partition("=")[0] not in changes]
    expanded = [path for word in kept for path in (sorted(glob.glob(word)) if "*" in word else [word])]
    return [verb, *expanded, *(f"{name}={value}" for name, value in changes.items())]


def sweep_by(tool: str, model: str) -> str:
    """A sweep file of two recipes whose RL a tool trains."""
    return f"""
[sft]
model = "{model}"
rows = "rows.jsonl"
heldout = "rows.jsonl"
epochs = [1, 2]
save_every = 2
[readiness]
problems = "problems.jsonl"
samples = 4
[rl]
backend = "export:{tool}"
problems = "problems.jsonl"
validation = "test.jsonl"
steps = 1
prompts_per_step = 2
group_size = 2
eval_samples = 1
thinking_budget = 8
max_answer_tokens = 4
device = "cpu"
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and checkpoints that the pages name, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("CKPT", "SFT", "RL", "outputs/checkpoint-300", "my-sft/checkpoint-15", "my-sft/checkpoint-30"):
        shutil.copytree(EMBEDDED_FOLDER, name)
    shutil.copytree(EMBEDDED_FOLDER, "runs/rl/checkpoints/step-50")
    rows = open_task(f"{TASK}&n=11&seed=1").rows()
    lines = [
        {"id": r.id, "prompt": r.prompt, "thinking": r.thinking, "response": r.response, "answer": "5"} for r in rows
    ]
    write("rows.jsonl", lines[:8])
    write("heldout.jsonl", lines[8:])
    for name in ("problems", "train", "dev", "test"):
        write(f"{name}.jsonl", [{key: line[key] for key in ("id", "prompt", "answer")} for line in lines[:4]])
    for name in ("samples-15", "samples-30"):
        drawn = [{"problem_id": f"p{i}", "sample_id": k, "correct": k < i} for i in range(4) for k in range(64)]
        write(f"{name}.jsonl", drawn)
    return tmp_path


def write(name: str, lines: list[dict[str, object]]) -> None:
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def run_all(page: str, skip: tuple[str, ...] = ()) -> None:
    for words in commands(page):
        if not any(part in " ".join(words) for part in skip):
            assert main(small(words)) == 0, shlex.join(words)


def test_the_readme(files: Path) -> None:
    shutil.rmtree("runs")
    *first, last = commands("README.md")
    for words in first:
        assert main(small(words)) == 0, shlex.join(words)
    shutil.copytree("runs/rl/checkpoints/step-1", "runs/rl/checkpoints/step-50")
    assert main(small(last)) == 0


def test_the_python_of_the_readme(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small settings in place of the defaults."""
    import rlready

    for verb in ("readiness", "rl"):
        small = {key: int(value) for key, value in SMALL[verb].items() if value.isdecimal()}
        monkeypatch.setattr(rlready, verb, partial(getattr(rlready, verb), **small), raising=False)
    python("README.md", "", "")
    assert Path("runs/b/report.html").is_file()


def test_which_checkpoint(files: Path) -> None:
    write("outcomes.jsonl", [{"checkpoint": f"checkpoint-{n}", "outcome": 0.1 * n} for n in (15, 30)])
    shutil.copytree(TRL, "runs/grpo")
    run_all("docs/which-checkpoint.md")


def test_samples_of_other_tools(files: Path) -> None:
    for name in ("grpo", "grpo-1", "grpo-2"):
        shutil.copytree(TRL, f"runs/{name}")
    for run in ("sft-1", "sft-2"):
        Path("val", run).mkdir(parents=True)
        rows = [{"input": p, "output": "1", "score": -1.0, "acc": n % 2, "step": 1} for p in "ab" for n in range(4)]
        write(f"val/{run}/1.jsonl", rows)
    ids = [json.loads(line)["id"] for line in Path("problems.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [{"doc_id": id, "resps": [["4", "5"]], "filter": "none", "exact_match": 0.0} for id in ids]
    write("samples_gsm8k_2026.jsonl", rows)
    run_all("docs/samples.md")


def test_the_pages_of_the_commands(files: Path) -> None:
    """In the order of the pipeline: pages name run folders of those before them."""
    shutil.rmtree("runs")
    sums = "Ann has 2 apples and buys 3. She has 2+3=<<2+3=5>>5 apples. Half are 10/2=<<10/2=5>>5.\n#### 5"
    write("train.jsonl", [{"question": "How many apples does Ann have?", "answer": sums}] * 3)
    shutil.copy("rows.jsonl", "samples.jsonl")
    Path("sweep.toml").write_text(shrunk(fenced("docs/verbs/sweep.md", "toml")), encoding="utf-8")
    first = ["docs/usage.md", "docs/run-folders.md", "docs/inputs.md", "docs/gpus.md", "docs/dense-rewards.md"]
    verbs = re.findall(r"\((verbs/\w+\.md)\)", (ROOT / first[0]).read_text(encoding="utf-8"))
    assert verbs.pop(0) == "verbs/demo.md"  # test_stages.py runs the demo
    for page in [*first, *(f"docs/{verb}" for verb in verbs)]:
        run_all(page, skip=("engine=", "sweep-trl"))  # tests/with_vllm, test_sweep_elsewhere.py
    python("docs/usage.md", '["embedded"]', f'["embedded"], problems="{TASK}&n=2&seed=1", heldout=""')


def fenced(page: str, language: str) -> str:
    """The block of a page in a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    block = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    return block[1]


def test_the_notebook_is_the_tutorial_and_runs(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small settings, after which the last checkpoint gets the name that it has with those of the page."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_notebook

    notebook = make_notebook.notebook()
    assert make_notebook.NOTEBOOK.read_text(encoding="utf-8") == notebook, f"run {make_notebook.__file__}"
    shutil.rmtree("runs")
    for verb, preset in EMBEDDED.items():
        few = {name: re.sub(r"&n=\d+", "&n=8", value) for name, value in preset.items() if isinstance(value, str)}
        monkeypatch.setitem(EMBEDDED, verb, preset | few)
    named = {"runs/sft": ["step-15", "step-30"], "runs/rl": ["step-20"], "runs/my-rl": ["step-4"]}
    scope: dict[str, object] = {}
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"]).replace("\\\n", " ")
        if cell["cell_type"] == "code" and not source.startswith("!"):
            exec(source.replace("samples=8", f"samples=8, **{SAMPLED}"), scope)
        for line in re.findall(r"^!rlready (.*)$", source, re.MULTILINE):
            assert main(small(shlex.split(line))) == 0, line
            folder = Path(line.rpartition("--out ")[2])
            for name in named.get(str(folder), []):
                shutil.copytree(max((folder / "checkpoints").iterdir()), folder / "checkpoints" / name)


def python(page: str, *change: str) -> None:
    """Run the Python of a page, with one change that makes it small."""
    exec(fenced(page, "python").replace(*change), {})


def shrunk(sweep: str) -> str:
    """A sweep file with the small settings of every stage."""
    for verb in ("sft", "readiness", "rl", "evaluate"):
        lines = [f"{k} = [{v}]" if "," in v else f"{k} = {v}" for k, v in SMALL[verb].items()]
        lines = [line.replace("= [8,16]", "= [[8, 16]]") if verb != "evaluate" else line for line in lines]
        sweep = sweep.replace(f"[{verb}]\n", "\n".join([f"[{verb}]", *lines, ""]))
    return sweep


PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def test_every_command_has_a_page() -> None:
    rows = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8").splitlines()
    for verb in VERBS.keys() - {"schema"}:
        assert any(row.startswith("|") and f"`{verb}`" in row and ".md)" in row for row in rows), verb


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(f"docs/{page}" for page in navigation if page != "index.md") == PAGES[1:]


@pytest.mark.parametrize("page", PAGES)
def test_the_words_of_every_command_are_understood(page: str) -> None:
    """Also of those that are not run, and of those inside sentences: verbs, options, settings and their values."""
    text = (ROOT / page).read_text(encoding="utf-8")
    inline = [shlex.split(line) for line in re.findall(r"`rlready ([a-z][^`]*)`", text)]
    for words in [*commands(page), *inline]:
        typed = parse_command_line([word for word in words if word not in ("...", "NAME")])
        assert isinstance(typed, Typed), words
        config = VERBS[typed.verb].config
        if config:
            fill_config(config, None, dict(typed.settings))
