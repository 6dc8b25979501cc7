"""Reviewers' forms: what records answer and what they do not, over runs of every kind of end."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from measured import checkpoint, write_readiness
from rlready.checklist.answers import AuthorFacts, read_answers
from rlready.checklist.as_html import html
from rlready.checklist.as_latex import latex
from rlready.checklist.as_markdown import markdown
from rlready.checklist.compute import memory, storage, total_compute
from rlready.checklist.credits import methods
from rlready.checklist.facts import FACTS
from rlready.checklist.figures import kind_of
from rlready.checklist.forms import load_form
from rlready.checklist.provenance import licences, new_assets, parameters
from rlready.checklist.result import LEFT, ChecklistResult, Evidence, Fact
from rlready.checklist.runs import Told, collect
from rlready.checklist.significance import intervals
from rlready.checklist.stage import checklist
from rlready.cli.demo import Sizes, demo
from rlready.cli.main import main
from rlready.core.config import (
    ChecklistConfig,
    DemoConfig,
    InjectConfig,
    PredictConfig,
    ReadinessConfig,
    SweepConfig,
)
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import Result
from rlready.inject.stage import inject
from rlready.models.hub import local_folder
from rlready.predict.stage import predict
from rlready.readiness.stage import readiness
from rlready.runs.content import file_digest
from rlready.runs.files import read_json, write_json
from rlready.runs.folders import folders_of_runs
from rlready.runs.overwrite import attempts_of
from rlready.runs.provenance import accelerators
from rlready.runs.record import SCHEMA, Attempt, Energy, RunRecord, sealed
from rlready.sweep.stage import sweep
from test_sweep import write as write_sweep

SMALL = Sizes(
    rows=24,
    heldout=3,
    epochs=0.5,
    readiness_problems=2,
    readiness_samples=4,
    rl_steps=2,
    validation=2,
    eval_every=1,
    prompts_per_step=2,
    group_size=2,
    test=3,
)
FORMS = {"neurips": 16, "datasheet": 50, "acl": 18}
HOSTILE = "</script><script>alert(1)</script>`*_|#~$&%^{}\\\x00\x1b\u202e"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo, and a data set that inject has made."""
    folder = tmp_path_factory.mktemp("runs")
    demo(DemoConfig(seed=3), folder / "demo", SMALL)
    inject(InjectConfig(rows="dagmath?ops=2&split=all&n=6&seed=1"), folder / "inject")
    return folder


@pytest.fixture
def runs(pipeline: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(pipeline, tmp_path / "runs"))


def filled(*folders: Path, **settings: Any) -> ChecklistResult:
    return checklist(ChecklistConfig(runs=tuple(map(str, folders)), **settings))


def by_number(result: ChecklistResult) -> dict[str, tuple[str, str]]:
    return {item.number: (item.status, item.answer) for item in result.items}


def fact(facts: list[Fact]) -> Fact:
    (only,) = facts
    return only


def another(run: Path, again: Path) -> RunRecord:
    """A run of the same settings, as its own times say, and its record."""
    shutil.copytree(run, again)
    record = RunRecord.load(again)
    edit(again, attempts=[each.model_copy(update={"seconds": 9.0}).model_dump() for each in record.attempts])
    return record


def edit(folder: Path, seal: bool = True, **changes: object) -> None:
    """Change a record, with its checksum as if the run had written it."""
    content = read_json(folder / "record.json") | changes
    write_json(folder / "record.json", sealed(content) if seal else content)


def test_setting_significance_and_compute_are_answered_from_the_records_of_a_demo_alone(pipeline: Path) -> None:
    result = filled(pipeline / "demo")
    found = by_number(result)
    assert list(found) == [str(n) for n in range(1, 17)]
    assert {n for n, (_, answer) in found.items() if answer} == {"6", "7", "8"}
    assert {found[n] for n in ("6", "7", "8")} == {("answered from records", "Yes")}
    assert [result.text.count(f"**Answer: \\[{answer}\\]**") for answer in ("Yes", "TODO")] == [3, 13]
    assert {found[n][0] for n in ("1", "2", "4", "5", "12", "13", "16")} == {"drafted, to be confirmed"}
    left = {n for n, (status, _) in found.items() if status == "for you to answer"}
    assert left == {"3", "9", "10", "11", "14", "15"}
    assert min(result.share_known(n) for n in ("4", "5", "12")) >= 0.8
    assert result.notes == []


@pytest.mark.parametrize(
    ("number", "known", "unknown"),
    [
        ("2", "6 run folders (6 done), 6 sources of data, and 1 model that the runs did not make: embedded.", "Limits"),
        ("16", "The runs have loaded: embedded as evaluated and base.", "Other uses"),
    ],
)
def test_what_no_record_can_know_is_called_unknown(pipeline: Path, number: str, known: str, unknown: str) -> None:
    (item,) = [item for item in filled(pipeline / "demo").items if item.number == number]
    assert [fact.name for fact in item.facts if fact.missing and not fact.extra] == [unknown]
    assert known in " ".join(fact.text for fact in item.facts)


@pytest.mark.parametrize(
    ("number", "bounded"),
    [
        ("6", "Near-duplicates were looked for in "),
        ("7", "One that is not called simultaneous holds for its figure alone."),
        ("7", "does not contain the variation between training runs of other seeds."),
    ],
)
def test_an_answer_from_records_says_where_they_end(pipeline: Path, number: str, bounded: str) -> None:
    (item,) = [item for item in filled(pipeline / "demo").items if item.number == number]
    assert bounded in " ".join(fact.text for fact in item.facts)


@pytest.mark.parametrize(
    ("form", "number", "left"),
    [
        ("neurips", "6", "why the values given for learning_rate, epochs"),
        ("neurips", "8", "whether there were runs elsewhere, or deleted ones, such as preliminary or failed ones"),
        ("acl", "C1", "whether there were runs elsewhere"),
        ("acl", "C2", "why the values given for"),
    ],
)
def test_what_no_record_can_hold_is_left_for_the_author_and_claimed_by_no_answer(
    pipeline: Path, form: str, number: str, left: str
) -> None:
    """Beside a Yes no needed fact is open, and no text asks to be completed; what is left stands apart, in red."""
    result = filled(pipeline / "demo", form=form)
    (item,) = [item for item in result.items if item.number == number]
    assert item.answer == "Yes"
    assert all(fact.known for fact in item.facts if not fact.extra)
    assert not re.search("say it|say so|add them", " ".join(fact.text for fact in item.facts))
    (found,) = [fact for fact in item.left if fact.missing.startswith(left)]
    assert found not in item.shown
    count = item.left_count
    assert count in markdown(result, Path()).split(f"{item.number}. {item.title}")[1].split("\n## ")[0]
    assert f'<span class="unknown">{count}</span>' in html(result, Path())
    assert rf"\answerYes{{}} \textcolor{{red}}{{({count})}}" in latex(result, Path())
    document = markdown(result, Path())
    assert document.index(LEFT, document.index(item.title)) < document.index(f"**{found.name}:**")


def test_what_the_author_tells_is_left_no_more(pipeline: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    file.write_text('[facts]\nwhy_chosen = "By a search."\nother_runs = "Two, of 3 h."\n[neurips.8]\nanswer = "Yes"\n')
    file.write_text(file.read_text() + 'justification = "See appendix A."\n')
    items = {item.number: item for item in filled(pipeline / "demo", answers=str(file)).items}
    assert "The learning rate of RL rises over 5% of its steps" in items["6"].model_dump_json()
    told = {fact.name: (fact.text, fact.evidence[0].file) for fact in items["6"].shown if fact.extra}
    assert told["Reasons for values"] == ("By a search.", str(file))
    assert "Reasons for values" not in {fact.name for fact in items["6"].left}
    assert "Compute of other runs" in {fact.name for fact in items["8"].shown}
    assert items["8"].left == []  # answered by the author


def test_methods_of_others_are_credited_by_the_settings_of_the_runs(runs: Path) -> None:
    """Whom the user's own code is from is asked of the user, in the answers file."""
    said = fact(methods(collect([str(runs)], Told())))
    sources = ("dr_grpo (Liu et al., arXiv 2503.20783)", "iGSM", "behaviour injection", "Kang et al.")
    assert [source for source in sources if source not in said.text] == []
    assert said.text.count("budget forcing") == 1
    run = runs / "demo" / "rl"
    edit(run, config=RunRecord.load(run).config | {"algorithm": "mine:ALGORITHM", "reward": "lcpo_max", "lora_r": 8})
    others, own = methods(collect([str(run)], Told()))
    assert [part in others.text for part in ("dr_grpo", "reward=lcpo_max (Aggarwal", "LoRA (Hu")] == [False, True, True]
    assert own.missing == "whom algorithm=mine:ALGORITHM is from"
    told = methods(collect([str(run)], Told("a.toml", {"code_from": "Ours."})))[1]
    assert (told.text, told.missing, told.evidence[0].key) == ("Ours.", "", "facts.code_from")


def test_evidence_is_where_it_is_said_to_be(pipeline: Path) -> None:
    """Every key of JSON leads to the value."""
    checked = 0
    for item in filled(pipeline / "demo").items:
        for each in [evidence for f in item.facts for evidence in f.evidence if f.known]:
            assert Path(each.file).exists()
            if re.fullmatch(r"[a-z_]+(\[\d+\]|\.[a-z_]+)*", each.key) and each.file.endswith("record.json"):
                value: Any = read_json(Path(each.file))
                for step in re.findall(r"\w+", each.key):
                    value = value[int(step)] if step.isdecimal() else value[step]
                checked += str(value) == each.value
    assert checked > 30


def test_every_interval_names_its_kind_n_and_what_varies(pipeline: Path) -> None:
    facts = intervals(collect([str(pipeline / "demo")], Told()))
    assert len(facts) == 6
    for each in facts:
        assert all(
            re.fullmatch(r".*95 % .*interval.* over \d+( to \d+)? (problems|examples)", e.group) for e in each.evidence
        )
    places = {place.key: place.group for each in facts for place in each.evidence}
    assert "simultaneous" in places["closest.lead"]  # of the two best of several models
    assert "simultaneous" not in places["rl_minus_sft"]
    whole = read_json(pipeline / "demo" / "result.json")["rl_minus_sft"]
    first = facts[0].evidence[0]
    assert (first.key, first.value.partition(" ")[0]) == ("rl_minus_sft", f"{whole['value']:.3f}")


def test_figures_with_the_same_kind_of_interval_are_one_group_and_none_is_left_out(pipeline: Path) -> None:
    """The page has each figure, folded; Markdown and LaTeX a line a group with how many there are, and their names."""
    result = filled(pipeline / "demo")
    (ready,) = [f for f in result.items[6].facts if f.name.endswith("readiness")]
    n = len(read_json(pipeline / "demo" / "readiness" / "result.json")["problems"])
    kind_of_interval = f"95 % Bayesian bootstrap interval over {n} problems"
    (alike,) = [places for _, places in ready.groups if places[0].group == kind_of_interval]
    line = f"{len(alike)} figures with a {kind_of_interval}: "
    assert 10 < len(alike) < len(ready.evidence)
    assert ready.text.startswith(f"{len(ready.evidence)} figures")
    assert sum(len(places) for _, places in ready.groups) == len(ready.evidence)
    page, text, tex = (kind(result, Path()) for kind in (html, markdown, latex))
    assert f"<summary>{line}" in page
    assert all(f"<code>{each.key}</code> {each.value}</li>" in page for each in ready.evidence)
    (told,) = {told for told in text.splitlines() if line in told and "readiness/result.json](" in told}
    assert {"group\\_signal", "pass\\_at\\_k"} < {*told.split(": ")[-1].split(", ")}
    assert line.replace("%", r"\%") in tex


@pytest.mark.parametrize("form", FORMS)
def test_forms_have_all_items_and_only_known_facts(form: str, pipeline: Path) -> None:
    items = load_form(form).items
    assert len({item.number for item in items}) == len(items) == FORMS[form]
    assert {name for item in items for name in (*item.facts, *item.also)} <= FACTS.keys()
    assert all((item.by == "author") != bool(item.facts) for item in items)
    result = filled(pipeline, form=form)
    for kind in (markdown, html, latex):
        document = kind(result, Path())
        assert all(f"{item.number}. {item.title}" in document for item in items)
    if form == "datasheet":
        assert len({item.section for item in result.items}) == 7


def test_a_run_of_predict_is_no_trap(pipeline: Path, tmp_path: Path) -> None:
    """Its data are results and tables, which have no size."""
    found = [checkpoint(f"sft/step-{i}", reach=0.5, skill=0.1 * i, seed=i) for i in (1, 2)]
    predict(PredictConfig(runs=(str(write_readiness(tmp_path / "ready", found)),)), tmp_path / "predict")
    answers = [item for item in filled(tmp_path / "predict").items if "Identity of" in str(item.facts)]
    assert answers
    assert all("SHA-256" in str(item.facts) for item in answers)


def test_the_facts_of_all_forms_are_used() -> None:
    assert FACTS.keys() == {f for form in FORMS for item in load_form(form).items for f in (*item.facts, *item.also)}


def test_a_datasheet_of_what_inject_has_made(runs: Path) -> None:
    result = filled(runs, form="datasheet")
    answers = {item.number: item.answer for item in result.items}
    n = len((runs / "inject" / "rows.jsonl").read_text().splitlines())
    assert f"{n} rows" in answers["5"]
    assert answers["8"] == f"The column answer holds the correct answer, in {n} of {n} rows."
    assert f"0 of {n} rows repeat an earlier one" in answers["12"]
    assert not answers["41"]  # drafted: the licence of the source is no licence of the rows
    rows = runs / "inject" / "rows.jsonl"
    rows.write_text(rows.read_text() + "{}\n")
    with pytest.raises(UserError, match=r"rows\.jsonl: damaged, or not the file that the run has written"):
        filled(runs, form="datasheet")
    with pytest.raises(UserError, match="0 finished runs of inject are among the runs"):
        filled(runs / "demo", form="datasheet")


def test_a_record_without_licence_is_unknown_and_never_yes(runs: Path) -> None:
    rows = RunRecord.load(runs / "demo" / "sft").data[0].model_copy(update={"licence": "unknown"})
    edit(runs / "demo" / "sft", data=[rows.model_dump()])
    named = {f.name: f for f in licences(collect([str(runs / "demo" / "sft")], Told()))}
    (source,) = (name for name in named if "dagmath" in name)
    assert not named[source].known
    assert not named[source].text
    assert by_number(filled(runs / "demo" / "sft"))["12"][1] == ""
    told = Told("answers.toml", {}, {source.removeprefix("Licence of "): "MIT"})
    known = next(f for f in licences(collect([str(runs / "demo" / "sft")], told)) if f.name == source)
    assert (known.text, known.evidence[0].file) == ("MIT", "answers.toml")


def test_terms_and_overlap_are_those_of_the_records(runs: Path) -> None:
    folder = runs / "demo" / "sft"
    flag = "data is under cc-by-nd-4.0: what is made from it may not be published: no derivatives"
    made = {"licence": "cc-by-nd-4.0", "unknown": ["base"], "flags": [flag]}
    counts = {"exact": 3, "shared_ngram": 4, "near": 5, "same_template": None, "n_training": 20, "n": 8}
    edit(folder, output_licence=made, overlaps=[{"training": "a", "held": "b", **counts}])
    found = collect([str(folder)], Told())
    terms, overlap = fact(FACTS["terms"](found)), fact(FACTS["overlap"](found))
    assert flag in terms.text
    assert terms.missing == "the licence of base"
    assert fact(FACTS["terms"](collect([str(folder)], Told("a.toml", {}, {"base": "MIT"})))).known
    assert overlap.text == "b and a: 3 of 8 prompts are equal. Near-duplicates were looked for in 1 of 1 pairs."
    assert [each.value for each in overlap.evidence] == ["3", "4", "5"]


def test_the_total_has_every_attempt_once(runs: Path) -> None:
    """Of a demo its parts are contained; failed, killed and overwritten attempts are added."""
    attempt = Attempt(start="2026-01-01T00:00:00+00:00", command="", revision=None, seconds=3600.0, cpu_seconds=7200.0)
    lost = [attempt.model_copy(update={"status": status}).model_dump() for status in ("failed: X", "running", "done")]
    edit(runs / "demo", status="running", attempts=lost[:2], overwritten=lost[2:])
    text = fact(total_compute(collect([str(runs / "demo"), str(runs)], Told()))).text
    totals = "They took 3.0 h of wall time, 6.0 core-hours of CPU and no GPU time."
    assert text.startswith(f"Runs: 2, with 5 more inside, attempts: 4. {totals}")
    assert "1 overwritten, 60 min; 1 failed, 60 min; 1 killed, 60 min; 1 done, " in text


def test_gpus_count_by_the_processes_of_a_run_and_a_server_is_missing(runs: Path) -> None:
    record = RunRecord.load(runs / "inject")
    earlier = record.attempts[0].model_copy(update={"seconds": 1800.0, "gpus": None, "processes": None}).model_dump()
    edit(runs / "inject", attempts=[earlier], processes=4, config=record.config | {"device": "cuda:0"})
    assert " 2.0 GPU-hours" in fact(total_compute(collect([str(runs / "inject")], Told()))).text
    on_cpu, on_gpus = earlier | {"gpus": 0, "processes": 4}, earlier | {"gpus": 8, "processes": 8}
    edit(runs / "inject", overwritten=[on_cpu], attempts=[on_gpus], processes=1)  # an attempt has its own
    (total,) = total_compute(collect([str(runs / "inject")], Told()))
    assert " 4.0 GPU-hours" in total.text
    assert total.text.endswith("Of runs in several processes, the CPU time is that of the first.")
    edit(runs / "inject", config=record.config | {"engine": "http://host:8000"})
    assert "the server at http://host:8000" in fact(total_compute(collect([str(runs / "inject")], Told()))).missing


def test_the_peak_of_gpu_memory_is_said_where_there_was_one(runs: Path) -> None:
    def memory() -> Fact:
        return fact(FACTS["memory"](collect([str(runs / "inject")], Told())))

    gpu = {"model": "H100", "memory_bytes": 80 << 30}
    edit(runs / "inject", accelerators=[gpu])
    assert memory().text.endswith("; GPUs of 80 GiB.")
    edit(runs / "inject", accelerators=[gpu, gpu | {"peak_allocated_bytes": 3 << 30}])
    assert "of which PyTorch allocated at most 3 GiB on one GPU" in memory().text
    assert memory().evidence[-1].key == "accelerators[1].peak_allocated_bytes"


def test_the_peak_of_gpu_memory_is_that_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda at: SimpleNamespace(name="G", total_memory=99))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda at: 7 * at)
    assert [gpu.peak_allocated_bytes for gpu in accelerators()] == [0, 7]


def test_energy_is_known_once_all_of_it_was_measured(runs: Path) -> None:
    def energy() -> Fact:
        return fact(FACTS["energy"](collect([str(runs / "inject")], Told())))

    assert not energy().known
    attempt = RunRecord.load(runs / "inject").attempts[0]
    used = Energy(kwh=1.5, kg_co2e=0.25, country="DEU", tool="codecarbon 3.3.2")
    measured = attempt.model_copy(update={"energy": used}).model_dump()
    edit(runs / "inject", attempts=[measured, measured])
    assert energy().text == "3 kWh, 0.5 kg CO2e (codecarbon 3.3.2, power mix of DEU)."
    assert energy().known
    edit(runs / "inject", attempts=[measured, attempt.model_dump()])
    assert energy().missing == "1 of 2 attempts were not measured"


def test_files_that_vanish_meanwhile_are_not_counted(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the temporary files of a living run do."""

    def storage() -> str:
        return next(f.text for item in filled(runs / "inject").items for f in item.facts if f.name == "Storage")

    before, lstat = storage(), os.lstat
    (runs / "inject" / "gone").write_bytes(bytes(1 << 24))

    def vanished(path: Any, **words: Any) -> os.stat_result:
        if str(path).endswith("gone"):
            raise FileNotFoundError
        return lstat(path, **words)

    monkeypatch.setattr(os, "lstat", vanished)
    assert storage() == before


def test_unfinished_earlier_and_edited_runs_are_said_and_not_trusted(runs: Path) -> None:
    edit(runs / "demo" / "rl", status="failed: out of memory")
    (note,) = filled(runs / "demo").notes
    assert note == f"{runs / 'demo' / 'rl'}: failed; counted in the compute, its figures are not used"
    edit(runs / "demo" / "rl", status="done", schema_version=SCHEMA - 1)
    (note,) = filled(runs / "demo").notes
    assert "made by an earlier version" in note
    edit(runs / "demo" / "rl", schema_version=SCHEMA)
    assert by_number(filled(runs / "demo"))["8"] == ("answered from records", "Yes")
    edit(runs / "demo" / "rl", seal=False, seconds=1.0)
    result = filled(runs / "demo")
    assert "record.json was edited by hand" in result.notes[0]
    assert {item.answer for item in result.items} == {""}


def test_a_result_that_was_edited_is_not_used(runs: Path) -> None:
    file = runs / "demo" / "rl" / "result.json"
    file.write_text(file.read_text() + " ")
    result = filled(runs / "demo" / "rl")
    assert "damaged, or not the file that the run has written" in result.notes[0]
    assert by_number(result)["7"][0] == "unknown"


def test_a_record_that_cannot_be_read_makes_the_total_unknown(runs: Path) -> None:
    (runs / "demo" / "rl" / "record.json").write_text("{")
    result = filled(runs / "inject", runs / "demo")
    assert by_number(result)["8"][0] == "unknown"
    with pytest.raises(UserError, match=r"record\.json"):
        filled(runs / "demo" / "rl")


def test_too_many_folders_are_not_searched(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlready.runs.folders.MOST", 3)
    with pytest.raises(UserError, match="holds more than 3 folders; name the run folders, or the one they are in"):
        filled(pipeline)


def test_parameters_are_counted_in_the_weights(pipeline: Path, tmp_path: Path) -> None:
    from rlready.models.checkpoint import load

    found = fact(parameters(collect([str(pipeline / "demo")], Told())))
    assert found.text == f"{sum(p.numel() for p in load('embedded').model.parameters()):,} parameters"


def test_answers_are_the_authors_alone(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    written = checklist(ChecklistConfig(runs=(str(runs),), format="toml"), file)
    assert written.next_command == f"rlready checklist {runs} --form neurips --answers {file}"
    questions = tomllib.loads(file.read_text())
    assert questions["facts"].keys() == AuthorFacts.model_fields.keys()
    assert questions["neurips"].keys() == {str(n) for n in range(1, 17)} - {"6", "7", "8"}
    assert by_number(filled(runs, answers=str(file))) == by_number(filled(runs))  # an empty text is no answer
    file.write_text('[facts]\nother_runs = " "\nprovider = "\\u200b"\n')  # nor is one that nobody sees
    assert by_number(filled(runs, answers=str(file))) == by_number(filled(runs))
    file.write_text(
        '[neurips.3]\nanswer = "NA"\njustification = "No theory."\n[facts]\naddress = "https://example.org"\n'
    )
    result = filled(runs, answers=str(file))
    assert by_number(result)["3"] == ("answered by you", "NA")
    address = next(f for f in result.items[4].facts if f.name == "Public address")
    assert (address.text, address.evidence[0].file) == ("https://example.org", str(file))
    with pytest.raises(UserError, match="there is a file already"):
        checklist(ChecklistConfig(runs=(str(runs),), format="toml"), file)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[neurips.3]\nanswer = 'yes'", "[neurips.3]: answer = 'yes'; choose one of Yes, No, NA"),
        ("[neurips.3]\nanswer = 'NA'", "[neurips.3]: answer = 'NA' needs a justification of a sentence or two"),
        ("[neurips.17]\nanswer = 'NA'", "[neurips.17]: this form has no item '17'; its items are 1, 2,"),
        ("[neurips.3]\nanwser = 'NA'", "neurips.3.anwser: extra inputs are not permitted"),
        ("[facts]\nlicense = 'MIT'", "facts.license: extra inputs are not permitted"),
        ("neurips = ", "a.toml: not TOML: "),
    ],
)
def test_wrong_answers_are_one_line(text: str, line: str, pipeline: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "a.toml").write_text(text)
    assert main(["checklist", str(pipeline / "inject"), "--answers", str(tmp_path / "a.toml")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: not a run folder, and there is none in it: record.json is missing"),
        ([], "name the run folders"),
        (["runs", "form=icml"], "form = 'icml' is not one of neurips, datasheet, acl"),
        (["runs", "--format", "pdf"], "format = 'pdf' is not one of md, html, tex, toml"),
        (
            ["runs", "--answers", "none.toml"],
            "answers = none.toml: no such file; to write its skeleton, add --format toml",
        ),
        (["runs", "--out", "mine.md"], "mine.md: there is a file already, and it may hold your text"),
        (["runs", "--out", "empty"], "--out empty is a folder; name a file in it, such as empty/checklist.md"),
        (["runs", "--overwrite"], "unknown option --overwrite"),
    ],
)
def test_wrong_commands_are_one_line_and_lose_nothing(
    words: list[str], line: str, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(pipeline / "inject")
    Path("empty").mkdir()
    Path("mine.md").write_text("mine")
    assert main(["checklist", *words]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said
    assert Path("mine.md").read_text() == "mine"


def test_the_commands_of_the_page(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from test_docs import commands

    monkeypatch.chdir(runs.parent)
    for words in commands("docs/checklist.md"):
        assert main(words) == 0, words
        assert main([*words, "--json"] if "--out" not in words else ["checklist", "runs"]) == 0
    assert Path("checklist.html").read_text().startswith("<!doctype html>")
    out = capsys.readouterr().out
    assert "# NeurIPS paper checklist" in out
    assert '"status": "answered from records"' in out


def test_links_start_where_the_document_is(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the file that is written, and in the working directory for a document that is printed, which is said."""
    monkeypatch.chdir(runs.parent)
    Path("paper").mkdir()
    command = ["checklist", "runs/inject"]

    def linked(document: str, folder: Path) -> list[bool]:
        return [
            (folder / unquote(link)).exists()
            for link in re.findall(r'\]\(([^)]+)\)|href="([^"]+)"', document)
            for link in link
            if link and not link.startswith("#")
        ]

    for kind in ("md", "html"):
        assert main([*command, "--format", kind, "--out", f"paper/form.{kind}"]) == 0
        assert "links start in" not in capsys.readouterr().err
        found = linked(Path(f"paper/form.{kind}").read_text(), Path("paper"))
        assert len(found) > 10
        assert all(found)
        assert main([*command, "--format", kind]) == 0
        out, err = capsys.readouterr()
        assert all(linked(out, Path()))
        assert "links start in the working directory; name a file with --out, and they start beside it" in err
    assert main([*command, "--format", "tex"]) == 0
    assert "links start in" not in capsys.readouterr().err  # paths are printed, not linked


def hostile(result: ChecklistResult) -> ChecklistResult:
    """The same with hostile text in every place that holds text of records or of the author."""
    evidence = [Evidence(file="runs/record.json", key=HOSTILE, value=HOSTILE)]
    facts = [Fact(name=HOSTILE, text=HOSTILE, evidence=evidence, missing=HOSTILE)]
    changes = {"answer": HOSTILE, "justification": HOSTILE, "facts": facts}
    items = [item.model_copy(update=changes) for item in result.items]
    return result.model_copy(update={"items": items, "notes": [HOSTILE], "headline": HOSTILE})


def test_hostile_text_is_inert_in_every_format(pipeline: Path) -> None:
    result = hostile(filled(pipeline))
    page = html(result, Path())
    assert "<script" not in page
    text = markdown(result, Path())
    assert not re.search(r"(?<!\\)<script", re.sub(r"(`+) .*? \1", "", text))  # what is within backticks is text
    assert not {"\x00", "\x1b", "\u202e"} & {*page, *text}


def test_the_latex_is_balanced_and_everything_in_it_escaped(pipeline: Path) -> None:
    for form in FORMS:
        document = latex(hostile(filled(pipeline, form=form)), Path())
        assert document.isascii()
        stack: list[str] = []
        for line in document.splitlines():
            code = re.sub(r"(?<!\\)%.*", "", line)
            bare = re.sub(r"\\.", "", code)
            assert bare.count("{") == bare.count("}")
            assert not re.search(r"[&#^_~]", re.sub(r"#1", "", bare)), line
            assert bare.count("$") % 2 == 0
            for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", code):
                if kind == "begin":
                    stack.append(name)
                else:
                    assert stack.pop() == name
        assert not stack


def test_python_returns_the_typed_result_and_writes_the_file(pipeline: Path, tmp_path: Path) -> None:
    import rlready

    result = rlready.checklist(runs=[pipeline / "inject"], format="tex", out=tmp_path / "a.tex")
    assert isinstance(result, rlready.ChecklistResult)
    assert (tmp_path / "a.tex").read_text() == result.text
    assert json.loads(result.model_dump_json())["form"] == "neurips"


def test_of_a_sweep_the_jobs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their time, GPUs and energy, which a sweep whose jobs have other processes or nodes does not know."""
    used = Energy(kwh=0.25, kg_co2e=0.125, country="DEU", tool="codecarbon 3.3.2")
    monkeypatch.setattr("rlready.runs.run.start_meter", lambda: SimpleNamespace(energy=used, stop=lambda: None))
    out = tmp_path / "sweep"
    sweep(SweepConfig(file=write_sweep(tmp_path), workers=0), out)
    edit(out, command="rlready sweep sweep.toml")  # which its jobs, in processes of their own, do not have
    jobs = [record.parent for record in out.glob("*/*/record.json")]
    for job in jobs:
        edited = {"seconds": 1440.0, "cpu_seconds": 2880.0, "gpus": 1}
        edit(job, attempts=[RunRecord.load(job).attempts[0].model_copy(update=edited).model_dump()], command="")
    total, energy, commands = (
        fact(FACTS[name](collect([str(out)], Told()))) for name in ("total_compute", "energy", "commands")
    )
    assert total.text.startswith(
        "Runs: 5, started by 1 sweep, attempts: 5. They took 2.0 h of wall time, 4.0 core-hours of CPU and 2.0 "
        "GPU-hours."
    )
    assert energy.text.startswith("1.25 kWh, 0.625 kg CO2e")
    assert energy.known
    assert (commands.text, commands.missing) == ("rlready sweep sweep.toml", "")
    shutil.copytree(jobs[0], tmp_path / "backup")
    assert fact(total_compute(collect([str(tmp_path)], Told()))).text == total.text
    lost = [attempt for job in jobs for attempt in RunRecord.load(job).all_attempts]
    assert sorted(map(str, attempts_of(out, RunRecord.load(out)))) == sorted(map(str, lost))
    edit(out, overwritten=[attempt.model_dump() for attempt in lost])  # as --overwrite leaves it
    again = [attempt | {"seconds": 720.0} for job in jobs for attempt in [RunRecord.load(job).attempts[0].model_dump()]]
    for job, attempt in zip(jobs, again, strict=True):
        edit(job, attempts=[attempt])
    assert "attempts: 10. They took 3.0 h" in fact(total_compute(collect([str(out)], Told()))).text


def test_what_a_record_says_adds_no_lines_to_the_answers_file(runs: Path, tmp_path: Path) -> None:
    forged = 'x\nanswer = "Yes"\njustification = "We checked everything twice."\n[datasheet.zz]\n#'
    edit(runs / "inject", warnings=[forged], config=RunRecord.load(runs / "inject").config | {"model": forged})
    for form in ("neurips", "acl", "datasheet"):
        file = tmp_path / f"{form}.toml"
        checklist(ChecklistConfig(runs=(str(runs / "inject"),), form=form, format="toml"), file)
        assert not any(each.answer for each in read_answers(file, form, load_form(form)).of(form).values())


def test_the_size_of_a_model_is_that_of_the_weights_that_a_run_has_loaded(tmp_path: Path) -> None:
    """Not with a second copy in the form of another library, nor of weights that came later."""
    model = Path(shutil.copytree(local_folder("embedded"), tmp_path / "model"))
    problems = "dagmath?ops=2&split=all&n=2&seed=4"
    readiness(ReadinessConfig(checkpoints=(str(model),), problems=problems, samples=2, group_size=2), tmp_path / "run")
    shutil.copy(model / "model.safetensors", model / "consolidated.safetensors")

    def size() -> Fact:
        return fact(parameters(collect([str(tmp_path / "run")], Told())))

    assert re.fullmatch(r"[\d,]{9} parameters", size().text)
    shutil.copy(model / "config.json", model / "generation_config.json")
    assert size().missing == "it has changed since a run has loaded it"


def test_a_checkpoint_that_was_half_written_is_none(runs: Path) -> None:
    (left := runs / "demo/rl/checkpoints/step-99.tmp-7").mkdir()
    names = [each.name for each in new_assets(collect([str(runs / "demo")], Told()))]
    assert names
    assert str(left) not in names


def test_an_attempt_that_two_copies_of_a_run_share_counts_once(runs: Path, tmp_path: Path) -> None:
    first = RunRecord.load(runs / "inject").attempts[0].model_copy(update={"seconds": 3600.0}).model_dump()
    edit(runs / "inject", attempts=[first])
    shutil.copytree(runs / "inject", tmp_path / "copy")
    edit(tmp_path / "copy", attempts=[first, first | {"seconds": 1800.0}])
    (total,) = total_compute(collect([str(runs / "inject"), str(tmp_path / "copy")], Told()))
    assert "attempts: 2. They took 90 min" in total.text


def test_two_contents_of_one_name_are_both_listed(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their hashes and sizes, and which runs have read which; one content, read twice, is listed once."""
    monkeypatch.chdir(tmp_path)
    lines = (pipeline / "inject" / "rows.jsonl").read_text().splitlines(keepends=True)
    hashes = []
    for name, n in (("a", 6), ("b", 5), ("c", 5)):
        Path("rows.jsonl").write_text("".join(lines[:n]))
        hashes.append(file_digest(Path("rows.jsonl")))
        inject(InjectConfig(rows="rows.jsonl", method="vanilla"), Path(name))
    found = collect(["a", "b", "c"], Told())
    assert {f.name: f.text for f in FACTS["data_identity"](found)} == {
        "Identity of rows:rows.jsonl (worked rows), as read by a": f"SHA-256 {hashes[0]}",
        "Identity of rows:rows.jsonl (worked rows), as read by b, c": f"SHA-256 {hashes[1]}",
    }
    assert fact(FACTS["splits"](found)).text == (
        "worked rows: rows:rows.jsonl, as read by a (6 rows); worked rows: rows:rows.jsonl, as read by b, c (5 rows)"
    )
    assert "2 sources of data" in fact(FACTS["scope"](found)).text
    alone = {f.name for f in FACTS["data_identity"](collect(["b", "c"], Told()))}
    assert alone == {"Identity of rows:rows.jsonl (worked rows)"}


def test_a_model_of_runs_that_were_copied_together_is_made_by_them(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy has another path, where a model of its records is known by what the runs inside called themselves."""
    copy = shutil.copytree(runs / "demo", tmp_path / "sent")
    monkeypatch.chdir(tmp_path)
    before = {note.id for _, _, note in collect([str(runs / "demo")], Told()).models()}
    assert {note.id for _, _, note in collect([str(copy)], Told()).models()} == before == {"embedded"}


def test_other_weights_of_one_name_are_listed_and_their_size_is_not_guessed(runs: Path) -> None:
    record = another(runs / "demo" / "sft", runs / "again")
    other = record.models[0].model_copy(update={"sha256": "0" * 64}).model_dump()
    edit(runs / "again", models=[other], config=record.config | {"seed": 4}, seeds={"seed": 4})
    found = collect([str(runs / "demo" / "sft"), str(runs / "again")], Told())
    assert [f.text for f in FACTS["model_identity"](found)] == [
        f"SHA-256 {RunRecord.load(runs / 'demo' / 'sft').models[0].sha256}",
        f"SHA-256 {'0' * 64}",
    ]
    assert {f.missing for f in parameters(found)} == {"runs have loaded different weights by this name"}


def test_the_repetitions_of_a_recipe_are_its_seeds(runs: Path) -> None:
    record = another(runs / "demo" / "sft", runs / "again")
    seeds = {"config": record.config | {"seed": 4}, "seeds": {"seed": 4}}
    edit(runs / "again", **seeds)

    def said() -> str:
        return fact(FACTS["variability"](collect([str(runs / "demo" / "sft"), str(runs / "again")], Told()))).text

    assert "Training recipes: 1, each run with 2 seeds." in said()
    edit(runs / "again", config=seeds["config"] | {"learning_rate": 0.5})
    assert "Training recipes: 2, each run with 1 seed. An interval over problems does not contain" in said()
    tried = fact(FACTS["chosen"](collect([str(runs / "demo" / "sft"), str(runs / "again")], Told()))).text
    assert "sft learning_rate: 0.001, 0.5" in tried


@pytest.mark.parametrize("kind", ["data", "models"])
def test_runs_on_other_content_are_no_seeds_of_a_recipe(runs: Path, kind: str) -> None:
    record = another(runs / "demo" / "sft", runs / "again")
    notes = [note.model_dump() | {"sha256": "0" * 64} for note in getattr(record, kind)]
    edit(runs / "again", config=record.config | {"seed": 4}, seeds={"seed": 4}, **{kind: notes})
    found = collect([str(runs / "demo" / "sft"), str(runs / "again")], Told())
    assert "Training recipes: 2, each run with 1 seed." in fact(FACTS["variability"](found)).text


@pytest.mark.parametrize(
    ("key", "varies", "kind"),
    [
        ("best.accuracy", "problems", "95 % Bayesian bootstrap interval"),
        ("starts[0].outcome", "seeds", "95 % Student's t interval"),
        ("checkpoints[1].behind", "problems", "simultaneous 95 % interval (Bonferroni)"),
    ],
)
def test_the_kind_of_an_interval_is_that_of_core_stats(key: str, varies: str, kind: str) -> None:
    assert kind_of(Result(verb="rl", headline=""), key, Estimate(0.5, 0.4, 0.6, 8, varies)) == kind


def test_the_intervals_of_predict_are_all_listed_and_of_the_kind_that_they_are(tmp_path: Path) -> None:
    """Scores and predictions, too; what has no interval, as an outcome of one seed, is not counted."""
    names = [str(tmp_path / f"sft-{i}/checkpoints/step-9") for i in range(8)]
    found = [checkpoint(name, reach=0.9, skill=0.1 + 0.08 * i, seed=i) for i, name in enumerate(names)]
    write_readiness(tmp_path / "ready", found)
    rng = np.random.default_rng(0)
    for name, seeds in (("one", 1), ("two", 2)):
        rows = [
            {"checkpoint": c.name, "outcome": 0.1 + 0.8 * c.pass_64 + rng.normal(0, 0.02), "seed": seed}
            for c in found
            for seed in range(seeds)
        ]
        (tmp_path / "rl.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        config = PredictConfig(runs=(str(tmp_path / "ready"), str(tmp_path / "rl.jsonl")), rank_by="pass@4")
        predict(config, tmp_path / name)
        listed = {each.key: each.group for each in fact(intervals(collect([str(tmp_path / name)], Told()))).evidence}
        whole = dict(_estimates(read_json(tmp_path / name / "result.json")))
        assert listed.keys() == {key for key, value in whole.items() if value["low"] is not None}
        assert (len(listed) < len(whole)) == (seeds == 1)
    scores = read_json(tmp_path / "two" / "result.json")["families"][0]["scores"]
    ranked = [score["predictor"] for score in scores].index("pass@4")
    bonferroni, student = "simultaneous 95 % interval (Bonferroni)", "95 % Student's t interval"
    bootstrap = "95 % Bayesian bootstrap interval"
    assert ranked > 1
    for key, kind in {
        "checkpoints[0].expected": "95 % prediction interval (Student's t)",
        "families[0].mean": bootstrap,
        "families[0].scores[1].spearman": (
            "95 % interval of a rank correlation, the wider of Bayesian bootstrap and Fisher's z"
        ),
        "families[0].scores[1].r2": student,
        "families[0].scores[1].mae": student,
        "families[0].scores[1].gain": bonferroni,
        "families[0].scores[1].r2_gain": bonferroni,
        f"families[0].scores[{ranked}].gain": bootstrap,
        f"families[0].scores[{ranked}].r2_gain": student,
    }.items():
        assert listed[key] == f"{kind} over 8 recipes", key
    assert listed["families[0].points[0].outcome"] == f"{student} over 2 seeds"
    assert listed["families[0].points[0].predictors.pass@4"] == f"{bootstrap} over 80 problems"


def _estimates(value: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every estimate in a file of JSON with its key."""
    if isinstance(value, dict) and value.keys() == {"value", "low", "high", "n", "varies"}:
        yield key, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _estimates(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _estimates(each, f"{key}[{at}]")


@pytest.mark.parametrize("kind", ["md", "tex", "html"])
def test_only_a_document_that_was_not_edited_is_replaced(pipeline: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"c.{kind}"
    config = ChecklistConfig(runs=(str(pipeline / "inject"),), format=kind)
    first = checklist(config, out).text
    assert checklist(config, out).text == first == out.read_text()
    script = "#!/bin/sh\n# makes c.md: rlready checklist runs\n"
    for text in (
        first + "my words\n",
        "# How I use rlready checklist\n",
        script,
        "# rlready checklist: your answers\n",
    ):
        out.write_text(text)
        with pytest.raises(UserError, match="may hold your text"):
            checklist(config, out)
        assert out.read_text() == text


def test_answers_and_what_is_no_regular_file_are_not_written_to(pipeline: Path, tmp_path: Path) -> None:
    given, fifo = tmp_path / "a.toml", tmp_path / "fifo"
    given.write_text("")
    os.mkfifo(fifo)
    config = ChecklistConfig(runs=(str(pipeline / "inject"),), answers=str(given))
    with pytest.raises(UserError, match="is the file of answers"):
        checklist(config, given)
    for out in (fifo, Path("/dev/full"), Path("/dev/zero")):
        with pytest.raises(UserError, match="not a regular file"):
            checklist(config, out)


def test_a_copied_run_is_counted_once(runs: Path) -> None:
    before = total_compute(collect([str(runs)], Told()))
    shutil.copytree(runs / "demo", runs / "demo-backup")
    shutil.copytree(runs / "inject", runs / "backups" / "inject")
    shutil.copytree(runs / "demo" / "rl", runs / "a")
    (runs / "b").symlink_to(runs / "demo" / "sft")
    found = collect([str(runs)], Told())
    assert [fact.text for fact in total_compute(found)] == [fact.text for fact in before]
    assert any("is a copy of" in note for note in found.notes)


def test_runs_behind_links_and_of_any_name_are_counted(runs: Path, tmp_path: Path) -> None:
    """A link that leads around in a circle ends, and what is behind two links is one run."""
    every = len(collect([str(runs)], Told()).entries)
    shutil.move(runs / "demo", tmp_path / "elsewhere")
    (runs / "linked").symlink_to(tmp_path / "elsewhere")
    (runs / "again").symlink_to(tmp_path / "elsewhere")
    (runs / "circle").symlink_to(runs)
    shutil.move(runs / "inject", runs / "state")
    (runs / "checkpoints").mkdir()
    assert len(collect([str(runs)], Told()).entries) == every
    assert {path.name for path in folders_of_runs(runs)} >= {"again", "state"}
    shutil.move(runs / "state", runs / "checkpoints" / "inject")
    assert len(collect([str(runs)], Told()).entries) == every


def test_the_id_of_generated_data_holds_a_size_only_if_it_names_one(runs: Path) -> None:
    folder = runs / "demo" / "evaluate"
    (note,) = RunRecord.load(folder).data

    def identity(name: str) -> str:
        edit(folder, data=[note.model_copy(update={"id": name, "size": 200}).model_dump()])
        return fact(FACTS["data_identity"](collect([str(folder)], Told()))).text

    assert identity("dagmath?ops=5&n=200&seed=4") == "generated: the id holds generator, size and seed"
    assert identity("dagmath?ops=5&n=200") == "generated: the id holds generator, of seed 0; 200 problems"
    assert identity("dagmath?ops=5&seed=4") == "generated: the id holds generator and seed; 200 problems"


def test_a_run_without_its_record_leaves_the_compute_unknown(runs: Path) -> None:
    """It may be the whole of others, or stand alone; a part that was named alone is called that."""
    (runs / "demo" / "record.json").unlink()
    result = filled(runs)
    said = f"{runs / 'demo'}: record.json is missing, though a run has been there; it is left out"
    assert f"{said}, so the total compute is incomplete" in result.notes
    assert by_number(result)["8"] == ("unknown", "")
    assert any("part of a demo that is not among these runs" in note for note in result.notes)
    parts = filled(runs / "demo" / "sft")
    assert parts.notes == [
        f"{runs / 'demo' / 'sft'}: part of a demo that is not among these runs, whose other parts are not counted"
    ]


def test_storage_counts_a_folder_once_however_it_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    assert (
        fact(storage(collect(["demo", str(runs / "demo" / "rl")], Told()))).text
        == fact(storage(collect(["demo"], Told()))).text
    )


def test_the_memory_of_every_machine_is_named(runs: Path) -> None:
    run = runs / "demo" / "rl"
    host = RunRecord.load(run).host.model_copy(update={"memory_bytes": 512 << 30})
    edit(run, host=host.model_dump(), part_of=None)
    (said,) = memory(collect([str(runs)], Told()))
    assert said.text.startswith("Machines of ")
    assert "and 512 GiB, of which" in said.text


def test_an_empty_card_documents_nothing_and_a_lost_checkpoint_is_named(runs: Path) -> None:
    (saved,) = (runs / "demo" / "sft" / "checkpoints").glob("step-*")

    def missing() -> str:
        return fact(new_assets(collect([str(runs / "demo" / "sft")], Told()))).missing

    (saved / "README.md").write_text("")
    assert missing() == "it has no card (README.md)"
    shutil.rmtree(saved)
    assert missing() == "it is gone"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[licences]\nembeded = "MIT"\n', "no run here has read such data or model; did you mean embedded"),
        ('[licences]\nembedded = "MIT"\n', "but its own files state apache-2.0"),
        ('[neurips.8]\nanswer = ""\njustification = "See A."\n', "has a justification and no answer"),
        ('[neurips.3]\nanswer = "NA"\njustification = "\\u200b"\n', "needs a justification"),
    ],
)
def test_what_an_answers_file_says_in_vain_is_refused(text: str, message: str, pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        filled(pipeline / "demo", answers=str(tmp_path / "a.toml"))


def test_a_name_that_is_not_utf_8_is_linked(runs: Path) -> None:
    shutil.copytree(runs / "inject", runs / os.fsdecode(b"bad\xffname"))
    for form in ("md", "html", "tex"):
        assert "bad" in filled(runs, format=form).text
