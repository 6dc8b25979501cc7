"""Cards of checkpoints and data sets, and licences from the inputs of a run to what it makes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, ModelCard

from rlready.core.config import ExportConfig, InjectConfig, SFTConfig
from rlready.core.text import as_code, in_markdown
from rlready.export.stage import export
from rlready.inject.stage import inject
from rlready.runs.front_matter import hub_bases
from rlready.runs.licences import OutputLicence, Source, on_hub, output_licence, terms_of
from rlready.runs.model_card import inputs_section
from rlready.runs.record import DataNote, RunRecord
from rlready.runs.run import Run
from rlready.runs.stated_licence import licence_of, licence_of_model
from rlready.train.sft import sft

TEXTS = {
    "\n                Apache License\n          Version 2.0, January 2004\n": "apache-2.0",
    "\n# MIT License\n\nCopyright": "mit",
    "Copyright 2020\n\nPermission is hereby granted, free of charge, to any person obtaining": "mit",
    "GNU AFFERO GENERAL PUBLIC LICENSE\n Version 3, 19 November 2007": "agpl-3.0",
    "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International": "cc-by-nc-sa-4.0",
    "Attribution-NoDerivatives 4.0 International": "cc-by-nd-4.0",
    "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT": "llama3.1",
    "SPDX-License-Identifier: GPL-3.0-or-later": "gpl-3.0",
    "Qwen RESEARCH LICENSE AGREEMENT\n": "Qwen RESEARCH LICENSE AGREEMENT",
    "Licence \x1b[31m\u202eof ours\n": "Licence ⟨U+001B⟩[31m⟨U+202E⟩of ours",
    "\n\n": "unknown",
}
CARDS = {
    "license: apache-2.0": "apache-2.0",
    "license: MIT": "mit",
    "license: [mit, cc-by-nc-4.0]": "mit, cc-by-nc-4.0",
    "license: other\nlicense_name: qwen-research": "qwen-research",
    "license: other": "other",
    "license: license": "unknown",  # a placeholder
    "licence: license\nbase_model: Qwen/Qwen2.5-1.5B": "unknown",  # as TRL writes it
    "license: {a: 1}": "unknown",
    "license: [": "unknown",
    "- a list": "unknown",
    "a: &a [x]\nb: &b [*a, *a]\nlicense: 7": "unknown",
}


@pytest.mark.parametrize(("text", "licence"), TEXTS.items())
def test_a_licence_file_is_recognised(tmp_path: Path, text: str, licence: str) -> None:
    (tmp_path / "LICENSE").write_text(text)
    assert licence_of(tmp_path / "rows.jsonl") == (licence, "LICENSE" if licence != "unknown" else "")


@pytest.mark.parametrize(("front", "licence"), CARDS.items())
def test_a_licence_is_read_from_a_card(tmp_path: Path, front: str, licence: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# card\n")
    assert licence_of(tmp_path) == (licence, "README.md" if licence != "unknown" else "")


def test_where_card_and_file_differ_the_stricter_counts(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "LICENSE").write_text("Attribution-NonCommercial 4.0 International")
    assert licence_of(tmp_path) == ("cc-by-nc-4.0", "LICENSE but README.md says mit")
    (tmp_path / "LICENSE").unlink()
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.write_text("secret\n")
    (tmp_path / "LICENSE").symlink_to(outside)  # whose first line would be printed
    assert licence_of(tmp_path) == ("mit", "README.md")


def test_a_checkpoint_without_a_licence_has_that_of_its_base(tmp_path: Path) -> None:
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    for folder in (base, tuned):
        folder.mkdir()
    (base / "config.json").write_text("{}")
    (base / "README.md").write_text("---\nlicense: gemma\nbase_model: google/gemma-2b\n---\n")
    (tuned / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    (tuned / "README.md").write_text("---\nlicence: license\nbase_model: [google/gemma-2b, ./here, 7]\n---\n")
    assert licence_of_model(tuned) == ("gemma", "README.md of base")
    assert hub_bases(tuned) == ["google/gemma-2b"]


def test_the_card_of_a_trainer_is_beside_its_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\nbase_model: Qwen/Qwen2.5-1.5B\n---\n")
    for name, licence, bases in (("checkpoint-20", "apache-2.0", ["Qwen/Qwen2.5-1.5B"]), ("other", "unknown", [])):
        (tmp_path / name).mkdir()
        assert (licence_of_model(tmp_path / name).licence, hub_bases(tmp_path / name)) == (licence, bases)


@pytest.mark.parametrize(
    ("inputs", "licence", "flag", "unknown"),
    [
        (["apache-2.0", "mit"], "apache-2.0", "", 0),
        (["mit", "cc-by-sa-4.0"], "cc-by-sa-4.0", "", 0),
        (["apache-2.0", "unknown"], "unknown", "", 1),
        (["apache-2.0", "cc-by-nc-4.0", "unknown"], "cc-by-nc-4.0", "for non-commercial use only", 1),
        (["apache-2.0", "cc-by-nc-nd-4.0"], "cc-by-nc-nd-4.0", "may not be published", 0),
        (["llama3.1", "mit"], "llama3.1", "on the terms of this licence", 0),
        (["mit", "other"], "other", "on the terms of this licence", 0),
        (["mit", "Some Licence of 1999"], "Some Licence of 1999", "on the terms of this licence", 0),
        (["mit", "mit, qwen-research"], "mit, qwen-research", "for non-commercial use only", 0),
        (["gpl-3.0", "cc-by-sa-4.0"], "gpl-3.0", "gpl-3.0 of 0 and cc-by-sa-4.0 of 1 may exclude each other", 0),
    ],
)
def test_the_licence_of_an_output_follows_from_the_strictest_input(
    inputs: list[str], licence: str, flag: str, unknown: int
) -> None:
    found = output_licence([Source(id=str(at), licence=each) for at, each in enumerate(inputs)])
    assert (found.licence, len(found.unknown)) == (licence, unknown)
    assert flag in " ".join(found.flags)
    assert bool(flag) == bool(found.flags)


def test_the_hub_knows_its_ids() -> None:
    for licence in ("apache-2.0", "bigcode-openrail-m", "creativeml-openrail-m", "openrail++", "llama3.2", "lgpl-2.1"):
        assert on_hub(licence), licence
    assert not on_hub("qwen-research")
    assert not terms_of("bsd-3-clause-clear").flagged


def test_licences_and_results_go_into_the_cards(tmp_path: Path, capfd: Any) -> None:
    """From rows that forbid derivatives, through inject and sft, to the card of each checkpoint."""
    source = tmp_path / "source"
    source.mkdir()
    rows = [{"question": f"Half of {2 * i}?", "answer": f"{2 * i}/2=<<{2 * i}/2={i}>>{i}\n#### {i}"} for i in range(24)]
    (source / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (source / "README.md").write_text("---\nlicense: cc-by-nd-4.0\n---\n")
    made = inject(InjectConfig(rows=f"gsm8k:{source / 'train.jsonl'}", method="vanilla"), tmp_path / "made")
    card = DatasetCard.load(tmp_path / "made" / "README.md")
    assert (made.licence, card.data.license, card.data.size_categories) == ("cc-by-nd-4.0", "cc-by-nd-4.0", "n<1K")
    assert card.data.configs == [{"config_name": "default", "data_files": "rows.jsonl"}]
    assert "may not be published" in capfd.readouterr().err

    config = SFTConfig(model="embedded", rows=str(tmp_path / "made" / "rows.jsonl"), epochs=1, save_every=1, keep_at=())
    result = sft(config, tmp_path / "sft")
    record = RunRecord.load(tmp_path / "sft")
    assert record.output_licence is not None
    assert record.output_licence.licence == "cc-by-nd-4.0"
    (flag,) = record.output_licence.flags
    assert any(flag in warning for warning in record.warnings)
    assert f"sft: warning: licence: {flag}\n" in capfd.readouterr().err
    (checkpoint,) = result.checkpoints
    found = ModelCard.load(Path(checkpoint.path) / "README.md")
    (measured,) = found.data.eval_results
    loss = checkpoint.heldout_loss
    assert (measured.metric_type, measured.metric_value) == ("loss", loss.value)
    assert measured.metric_args == {"confidence": 0.95, "low": loss.low, "high": loss.high, "n": loss.n}
    assert (found.data.license, found.data.library_name) == ("cc-by-nd-4.0", "transformers")
    assert in_markdown(flag) in found.text
    assert "are equal to one of `rows:" in found.text
    assert "| `embedded` | base | apache-2.0 | metadata of the package rlready |" in found.text


def test_what_others_write_is_text_in_a_card(tmp_path: Path) -> None:
    """A licence and a name are those of files that anyone may have made."""
    hostile = "<img src=//e.vl/x> [x](http://e.vl) | `a`"
    with Run(tmp_path / "run", "sft", SFTConfig()) as run:
        run.claim()
        note = DataNote(id=hostile, role="sft", path=None, sha256=None, size=1, licence=hostile, licence_from=hostile)
        run.record.data = [note]
        run.record.output_licence = OutputLicence(licence="mit", flags=[hostile], unknown=[hostile])
    card = inputs_section(RunRecord.load(tmp_path / "run"))
    outside_of_code = re.sub(r"(`+) .*? \1", "", re.sub(r"\\.", "", card))
    assert not re.search(r"[<>\[\]]", outside_of_code)
    assert all(line.count("|") - line.count(r"\|") == 5 for line in card.splitlines() if line.startswith("|"))
    assert (as_code("a`b"), as_code("a b"), in_markdown("*a*\nb")) == ("`` a`b ``", "`a b`", r"\*a\* b")


def test_an_export_has_the_licence_of_its_problems(tmp_path: Path, capfd: Any) -> None:
    """Of those for validation too, which it holds as well; a licence that is not stated is named as such."""
    row = json.dumps({"prompt": "1 + 1?", "answer": "2"}) + "\n"
    for name in ("train", "dev"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "problems.jsonl").write_text(row)
    (tmp_path / "check.py").write_text("def right(problem, answer):\n    return answer == problem.answer\n")
    verified = f"problems.jsonl?verifier={tmp_path}/check.py:right"
    sources = f'problems = "{tmp_path}/train/{verified}"\nvalidation = "{tmp_path}/dev/problems.jsonl"\n'
    (tmp_path / "rl.toml").write_text(f'model = "embedded"\n{sources}prompts_per_step = 1\n')
    (tmp_path / "train/README.md").write_text("---\nlicense: mit\n---\n")
    for licence, said in (
        (None, f"No licence is stated for `rows:{tmp_path}/dev/problems.jsonl`: ask before you publish this."),
        ("cc-by-nc-4.0", "may be published for non-commercial use only."),
    ):
        if licence:
            (tmp_path / "dev/README.md").write_text(f"---\nlicense: {licence}\n---\n")
        export(ExportConfig(run=str(tmp_path / "rl.toml")), out := tmp_path / f"export-{licence}")
        card = DatasetCard.load(out / "README.md")
        assert card.data.license == licence
        assert f"| `rows:{tmp_path}/train/{verified}` | rl | mit | README.md |" in card.text
        assert "code of" not in card.text
        assert said in card.text
        assert ("export: warning: licence: " in capfd.readouterr().err) == bool(licence)
        (data,) = card.data.configs
        assert [(out / each["path"]).read_text().count("\n") for each in data["data_files"]] == [1, 1]


def test_cards_cost_no_start_up_time() -> None:
    code = "import rlready.inject.stage, rlready.export.stage, sys; print('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
