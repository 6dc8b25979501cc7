"""The viewer of samples in a browser: filters, search, comparison, links, keys, and text that means harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import PHONE, WIDE, too_wide, violations
from rlready.core.result import TaskRecord
from rlready.evaluate.result import EvaluateResult, LengthHistogram
from rlready.report.page import write
from rlready.runs.files import write_json, write_table
from rlready.tasks import open_task
from test_report import evaluate_result
from test_viewer import HOSTILE

MODELS = ("runs/sft/checkpoints/step-2", "runs/rl/checkpoints/step-9", "runs/rl/checkpoints/step-20")
SETTINGS = ("64", "unconstrained")
Opened = Callable[..., Page]


def run_of(folder: Path, rows: Sequence[Sequence[dict[str, Any]]], source: str = "test.jsonl") -> Path:
    """The viewer of an evaluation with these samples of each model."""
    result: EvaluateResult = evaluate_result(
        models=list(MODELS[: len(rows)]),
        lengths=LengthHistogram(edges=[], models={}),
        task=TaskRecord(source=source, description="Sums."),
    )
    write_json(folder / "result.json", result)
    for number, each in enumerate(rows):
        write_table(folder / "parts" / f"{number}.parquet", each)
    write(folder)
    return folder / "samples.html"


def sample(problem: str, number: int, **more: Any) -> dict[str, Any]:
    row = {
        **{
            "problem_id": problem,
            "sample_id": number,
            "text": f"a long thought about {problem}</think>7",
            "answer": "7",
        },
        **{"prompt": f"What is {problem}?", "correct": True, "strict": None, "undecided": False, "run_on": False},
        **{"finish": "stop", "truncated": False, "num_waits": 0, "thinking_tokens": 30, "answer_tokens": 2},
        **{"tokens": [1, 2], "mask": [1, 1], "setting": "64"},
    }
    row |= more
    return row | {"reward": float(row["correct"])}


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, two budgets, five problems with two samples each: a sample of p0 flips, all of p4 are wrong."""
    rows = [
        [
            sample(
                f"p{p}",
                n,
                setting=setting,
                correct=p < 4 and (p, n, setting, m) != (0, 1, "64", 0),
                text=f"{m} {setting} says {p}{n}",
            )
            for p in range(5)
            for n in range(2)
            for setting in SETTINGS
        ]
        for m in range(2)
    ]
    return run_of(tmp_path_factory.mktemp("run"), rows)


def shown(page: Page) -> list[str]:
    return page.locator("#detail .response").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_viewer_fits_its_window_and_can_be_read_by_everyone(
    open_page: Opened, viewer: Path, size: dict[str, int], scheme: str
) -> None:
    page = open_page(viewer, size=size, scheme=scheme)
    expect(page.locator("#count")).to_have_text("40 samples")
    assert violations(page) == []
    page.locator("[role=option]").nth(3).click()
    page.get_by_label("Compare with").select_option(label="rl/step-9 · unconstrained")
    expect(page.locator("#detail .response")).to_have_count(2)
    assert violations(page) == []
    assert too_wide(page) <= 0
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    assert violations(page) == []


def test_a_long_source_widens_no_phone(open_page: Opened, tmp_path: Path) -> None:
    source = "dagmath?ops=5&asked=3&split=test&n=200&seed=1006 of these problems, as they were generated"
    page = open_page(run_of(tmp_path / "run", [[sample("p0", 0)]], source), size=PHONE)
    expect(page.locator("#count")).to_have_text("1 sample")
    assert too_wide(page) <= 0


def test_on_a_phone_the_next_sample_is_a_button_away(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer, size=PHONE)
    page.locator("[role=option]").first.click()
    page.get_by_role("button", name="Next sample").click()
    expect(page.locator("#detail .response")).to_have_text("0 64 says 01")
    page.get_by_role("button", name="← List").click()
    expect(page.locator("[aria-selected=true]")).to_be_visible()


def test_filters_and_search_find_what_they_say(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer)
    count = page.locator("#count")
    page.get_by_label("Outcome").select_option("wrong")
    expect(count).to_have_text("9 of 40 samples")
    expect(page.locator("#detail .outcome")).to_have_text("✗ wrong")
    page.get_by_label("flipped").check()
    expect(count).to_have_text("1 of 40 samples")
    assert shown(page) == ["0 64 says 01"]
    page.get_by_label("Outcome").select_option("")
    expect(count).to_have_text("2 of 40 samples")
    page.locator("#checkpoint").select_option("rl/step-9")
    expect(count).to_have_text("0 of 40 samples")
    page.locator("#checkpoint").select_option("sft/step-2")
    page.locator("#budget").select_option("unconstrained")
    expect(count).to_have_text("1 of 40 samples")
    assert shown(page) == ["0 unconstrained says 01"]
    page.get_by_label("flipped").uncheck()
    page.get_by_label("Search").fill("SAYS 3")
    expect(count).to_have_text("2 of 40 samples")
    page.get_by_label("Search").fill("nowhere")
    expect(page.locator("#detail")).to_contain_text("No sample fits")


def test_keys_move_compare_and_search(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer)
    expect(page.locator("#detail .response")).to_have_text("0 64 says 00")
    page.keyboard.press("j")
    expect(page.locator("#detail .response")).to_have_text("0 64 says 01")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    expect(page.locator("[aria-selected=true]")).to_contain_text("#1")
    page.keyboard.press("c")  # the other checkpoint at this budget, at once
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 64 says 01"])
    page.keyboard.press("c")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01"])
    page.keyboard.press("C")
    expect(page.get_by_label("Compare with")).to_be_focused()
    page.get_by_label("Compare with").select_option(label="rl/step-9 · unconstrained")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 unconstrained says 01"])
    page.keyboard.press("c")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 64 says 01"])
    page.keyboard.press("w")
    expect(page.locator("[aria-selected=true]")).to_contain_text("✗")
    page.keyboard.press("/")
    page.keyboard.type("jk?")
    assert page.get_by_label("Search").input_value() == "jk?"
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search")).not_to_be_focused()


def test_every_mark_is_explained_whether_a_sample_has_it_or_not(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer)
    expect(page.locator("#flags")).not_to_contain_text("extended")
    page.get_by_role("button", name="Keys and marks").click()
    expect(page.locator("#marks")).to_contain_text("extendedmade to think on by a forced “Wait”")
    expect(page.locator("#marks dt")).to_have_count(8)


def test_the_first_wrong_step_is_said_and_marked(open_page: Opened, tmp_path: Path) -> None:
    source = "dagmath?ops=2&split=all&n=1&seed=1"
    task = open_task(source)
    (problem,), (row,) = task.problems(), task.rows()
    wrong = re.sub(r"\d+$", "99", row.thinking)
    text = f"{wrong} </think> {problem.answer}"
    rows = [[sample(problem.id, 0, prompt=problem.prompt, answer=problem.answer, text=text)]]
    page = open_page(run_of(tmp_path / "run", rows, source))
    expect(page.locator("#detail q.fault")).to_contain_text("99")
    marked = page.evaluate("[...CSS.highlights.get('fault')].map((range) => range.toString()).join('')")
    assert marked.endswith("99")
    assert marked in wrong
    page.get_by_label("wrong step", exact=True).check()
    expect(page.locator("#count")).to_have_text("1 sample")
    page.get_by_label("First wrong step").select_option("a wrong calculation")
    expect(page.locator("#count")).to_have_text("1 sample")
    assert "filter.step=a+wrong+calculation" in page.url
    rows[0][0] |= {"truncated": True, "text": f"{wrong.rpartition(':')[0]} </think> {problem.answer}"}
    page = open_page(run_of(tmp_path / "cut", rows, source))
    expect(page.locator("#detail")).to_contain_text("Cut off at this step: ")
    expect(page.locator("#flags")).to_have_text("truncated")


def test_of_a_wrong_sample_its_answer_and_what_cut_it_off_are_said(open_page: Opened, tmp_path: Path) -> None:
    texts = ["b: 1 </think> b: 7", "b: 1", f"b </think> {'so ' * 40} \\boxed{{12}}"]
    tokens, cut = [{"answer_tokens": 2}, {"answer_tokens": 0}, {"answer_tokens": 50}], {1: {"finish": "length"}}
    rows = [
        sample("p0", n, correct=False, text=text, truncated=n == 0, **tokens[n], **cut.get(n, {}))
        for n, text in enumerate(texts)
    ]
    page = open_page(run_of(tmp_path / "run", [rows]))
    for answer, limit in (
        ("Its answer: b: 7", "thought cut off by the budget"),
        ("It gives no answer.", "cut off at its limit of tokens"),
        ("Its answer: 12", "tokens"),
    ):
        expect(page.locator("#detail")).to_contain_text(answer)
        expect(page.locator("#detail .about")).to_contain_text(limit)
        page.keyboard.press("j")
    page.get_by_label("no answer").check()
    expect(page.locator("#count")).to_have_text("1 of 3 samples")


def test_the_next_checkpoint_is_compared_first_and_no_filter_is_a_dead_end(open_page: Opened, tmp_path: Path) -> None:
    rows = [[sample("p0", 0, text=f"{m} says")] for m in range(3)]
    page = open_page(run_of(tmp_path / "run", rows))
    page.keyboard.press("j")
    for others in (["1 says", "2 says"], ["1 says", "0 says"], ["1 says"]):
        page.keyboard.press("c")
        expect(page.locator("#detail .response")).to_have_text(others)
    page.get_by_label("Search").fill("nowhere")
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator("#count")).to_have_text("3 samples")
    expect(page.locator("#detail .response")).to_have_count(1)


def test_of_one_checkpoint_the_next_budget_is_compared(open_page: Opened, tmp_path: Path) -> None:
    rows = [[sample("p0", 0, setting=setting, text=f"at {setting}") for setting in SETTINGS]]
    page = open_page(run_of(tmp_path / "run", rows))
    page.keyboard.press("c")
    expect(page.locator("#detail .response")).to_have_text(["at 64", "at unconstrained"])


def test_the_next_problem_is_a_key_and_a_button_away(open_page: Opened, viewer: Path) -> None:
    """To the same sample of it, among those that fit the filters."""
    page = open_page(viewer)
    response = page.locator("#detail .response")
    page.keyboard.press("p")  # there is none before the first
    expect(response).to_have_text("0 64 says 00")
    page.get_by_label("Sample 1 of rl/step-9 · budget 64, correct").click()
    page.keyboard.press("n")
    expect(response).to_have_text("1 64 says 11")
    page.get_by_role("button", name="Next problem").click()
    expect(response).to_have_text("1 64 says 21")
    page.get_by_role("button", name="Previous problem").click()
    expect(response).to_have_text("1 64 says 11")
    page.keyboard.press("p")
    expect(response).to_have_text("1 64 says 01")
    page.get_by_label("Outcome").select_option("wrong")
    expect(response).to_have_text("0 64 says 01")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(response).to_have_text("0 64 says 41")
    page.keyboard.press("n")  # nor behind the last
    expect(response).to_have_text("0 64 says 41")


def test_what_is_wrong_here_and_correct_beside_it_can_be_filtered(open_page: Opened, viewer: Path) -> None:
    """Of what was chosen; once nothing is compared, every sample is shown again."""
    page = open_page(viewer)
    outcome, count = page.get_by_label("Outcome"), page.locator("#count")
    page.get_by_label("Compare with").select_option(label="rl/step-9 · budget 64")
    expect(outcome.locator("optgroup")).to_have_attribute("label", "of the two")
    outcome.select_option("lost")
    expect(count).to_have_text("1 of 40 samples; the other way round 0")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 64 says 01"])
    outcome.select_option("gained")
    expect(count).to_have_text("0 of 40 samples; the other way round 1")
    outcome.select_option("lost")
    expect(count).to_have_text("1 of 40 samples; the other way round 0")
    page.get_by_label("Compare with").select_option(label="rl/step-9 · unconstrained")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 unconstrained says 01"])
    expect(count).to_have_text("1 of 40 samples; the other way round 0")
    page.get_by_label("Compare with").select_option(label="compare with …")
    expect(count).to_have_text("40 samples")
    expect(outcome).to_have_value("")


@pytest.mark.parametrize("before", ["", "Checkpoint", "Budget"])
def test_outcomes_are_compared_with_the_next_checkpoint_if_none_was_chosen(
    open_page: Opened, viewer: Path, before: str
) -> None:
    """In whatever order the filters are set, and of the last checkpoint with the one before it."""
    page = open_page(viewer)
    outcome, count = page.get_by_label("Outcome"), page.locator("#count")
    expect(outcome.locator("optgroup")).to_have_attribute("label", "beside the next checkpoint or budget")
    chosen = {"Checkpoint": "sft/step-2", "Budget": "budget 64"}
    if before:
        page.get_by_label(before, exact=True).select_option(label=chosen[before])
    outcome.select_option("lost")
    expect(page.locator("#meaning")).to_contain_text("where the last one alone is shown, with the one before it")
    for name, value in chosen.items():
        page.get_by_label(name, exact=True).select_option(label=value)
        expect(count).to_have_text("1 of 40 samples; the other way round 0")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 64 says 01"])
    expect(page.get_by_label("Compare with").locator("option:checked")).to_have_text("rl/step-9 · budget 64")
    page.get_by_label("Checkpoint", exact=True).select_option(label="rl/step-9")
    expect(count).to_have_text("0 of 40 samples; the other way round 1")
    outcome.select_option("gained")
    expect(page.locator("#detail .response")).to_have_text(["1 64 says 01", "0 64 says 01"])
    page.reload()
    expect(page.locator("#detail .response")).to_have_text(["1 64 says 01", "0 64 says 01"])
    expect(open_page(viewer, fragment="#outcome=lost").locator("#count")).to_have_text(re.compile("^1 of 40 samples"))


def test_a_pair_of_samples_is_counted_once_where_all_checkpoints_are_shown(open_page: Opened, tmp_path: Path) -> None:
    """Three problems that the second model alone solves, and one that the first does."""
    solved = [{"p3"}, {"p0", "p1", "p2"}]
    rows = [[sample(f"p{n}", 0, correct=f"p{n}" in mine) for n in range(4)] for mine in solved]
    page = open_page(run_of(tmp_path, rows))
    page.get_by_label("Outcome").select_option("lost")
    expect(page.locator("#count")).to_have_text("3 of 8 samples; the other way round 1")
    page.get_by_label("Outcome").select_option("gained")
    expect(page.locator("#count")).to_have_text("1 of 8 samples; the other way round 3")


def test_it_is_said_why_an_outcome_cannot_be_chosen_and_what_flipped_means(
    open_page: Opened, viewer: Path, tmp_path: Path
) -> None:
    """In view, as there is no pointer on a phone; of the run with one checkpoint and budget another reason."""
    page = open_page(viewer, size=PHONE)
    said = page.locator("#meaning")
    expect(said).to_contain_text("Flipped: this sample is correct at one budget and wrong at another")
    expect(said).to_be_visible()
    expect(said).not_to_contain_text("Outcomes")
    page = open_page(run_of(tmp_path, [[sample("p0", 0)]]))
    expect(page.locator("#meaning")).to_have_text("Outcomes of a comparison: there is nothing to compare with.")
    apart = open_page(run_of(tmp_path / "apart", [[sample("p0", 0)], [sample("p1", 0)]]))
    expect(apart.locator("#meaning")).to_contain_text("comparison: no problem has samples of two of them.")
    expect(page.locator("option[value=lost]")).to_be_disabled()


def test_problems_that_only_the_other_has_solved_can_be_filtered(open_page: Opened, tmp_path: Path) -> None:
    """All samples of p1, which the first model never solves; p0 it solves once, and nobody solves p2."""
    solved, names = [{("p0", 1), ("p3", 0)}, {("p0", 0), ("p1", 1)}], ("p0", "p1", "p2", "p3")
    rows = [[sample(p, n, correct=(p, n) in mine) for p in names for n in range(2)] for mine in solved]
    page = open_page(run_of(tmp_path, rows))
    page.get_by_label("Outcome").select_option("unsolved")
    expect(page.locator("#count")).to_have_text("2 of 16 samples, of 1 problem; the other way round 1 problem")
    expect(page.locator("#detail h2")).to_have_text("p1")


def test_outcomes_are_compared_with_the_chosen_checkpoint(open_page: Opened, tmp_path: Path) -> None:
    """Which has a star; the next one, as is else compared, differs nowhere."""
    right = [{0, 1}, {0, 1}, {1, 2}]
    rows = [[sample(f"p{n}", 0, correct=n in mine) for n in range(3)] for mine in right]
    viewer = run_of(tmp_path, rows)
    index = tmp_path / "samples_files" / "index.js"
    names = [short for short, _ in json.loads(index.read_text().partition(", ")[2].strip()[:-2])["conditions"]]
    index.write_text(index.read_text().replace('"chosen":""', f'"chosen":"{names[2]}"'))
    page = open_page(viewer)
    outcome = page.get_by_label("Outcome")
    expect(outcome.locator("optgroup")).to_have_attribute("label", f"beside {names[2]}, which is chosen")
    outcome.select_option("lost")
    expect(page.locator("#count")).to_have_text("2 of 9 samples; the other way round 2")
    expect(page.locator("#meaning")).to_contain_text(f"its number at {names[2]}, which is chosen.")
    expect(page.locator("#detail h2")).to_have_text("p2")
    expect(page.locator(".overview th", has_text=" ★")).to_have_text(f"{names[2]} ★ 1/1")
    expect(page.get_by_label("Compare with").locator("option:checked")).to_contain_text(names[2])


def test_filters_stay_when_the_page_is_loaded_again(open_page: Opened, viewer: Path) -> None:
    """With the sample that was shown, a comparison and its filter."""
    page = open_page(viewer)
    page.get_by_label("Compare with").select_option(label="rl/step-9 · budget 64")
    page.get_by_label("Outcome").select_option("lost")
    page.get_by_label("flipped").check()
    page.get_by_label("Search").fill("says 0")
    expect(page).to_have_url(re.compile("search=says"))
    page.reload()
    expect(page.locator("#count")).to_have_text("1 of 40 samples")
    expect(page.locator("#detail .response")).to_have_text(["0 64 says 01", "1 64 says 01"])
    expect(page.get_by_label("Outcome")).to_have_value("lost")
    expect(page.get_by_label("flipped")).to_be_checked()
    expect(page.get_by_label("Search")).to_have_value("says 0")
    link = page.get_by_role("link", name="link", exact=True).first  # to the sample alone
    expect(link).not_to_have_attribute("href", re.compile("filter"))


def test_filters_that_nothing_fits_stay_in_the_address(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer)
    page.locator("#checkpoint").select_option("rl/step-9")
    page.get_by_label("flipped").check()
    page.get_by_label("Search").fill("nowhere")
    expect(page.locator("#count")).to_have_text("0 of 40 samples")
    expect(page).to_have_url(re.compile("filter.search=nowhere"))
    page.reload()
    expect(page.locator("#count")).to_have_text("0 of 40 samples")
    expect(page.get_by_label("flipped")).to_be_checked()


def test_what_a_checkpoint_is_compared_with_can_be_chosen_as_the_checkpoint(open_page: Opened, viewer: Path) -> None:
    """The two are compared from the other side: a checkpoint beside itself differs in nothing."""
    page = open_page(viewer)
    page.get_by_label("Compare with").select_option(label="rl/step-9 · budget 64")
    page.get_by_label("Outcome").select_option("lost")
    page.locator("#checkpoint").select_option("rl/step-9")
    expect(page.locator("#count")).to_have_text("0 of 40 samples; the other way round 1")
    page.get_by_label("Outcome").select_option("gained")
    expect(page.locator("#detail .response")).to_have_text(["1 64 says 01", "0 64 says 01"])


def test_on_a_phone_back_leads_to_the_list(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer, size=PHONE)
    page.locator("[role=option]").nth(3).click()
    expect(page.locator("#detail .response")).to_be_visible()
    page.get_by_role("button", name="Next sample").click()
    page.go_back()
    expect(page.locator("#list")).to_be_visible()
    expect(page.locator("[aria-selected=true]")).to_be_visible()
    page.locator("[role=option]").nth(2).click()
    page.get_by_role("button", name="← List").click()
    expect(page.locator("#list")).to_be_visible()
    assert "samples.html" in page.url


def test_an_address_leads_to_its_sample(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer)
    page.get_by_label("Sample 1 of rl/step-9 · budget 64, correct").click()
    expect(page.locator("#detail .response")).to_have_text("1 64 says 01")
    fragment = page.evaluate("location.hash")
    again = open_page(viewer, fragment=fragment)
    expect(again.locator("#detail .response")).to_have_text("1 64 says 01")
    expect(again.locator("[aria-selected=true]")).to_contain_text("rl/step-9 · budget 64")
    wrong = open_page(viewer, fragment="#outcome=wrong")
    expect(wrong.locator("#count")).to_have_text("9 of 40 samples")
    lost = open_page(viewer, fragment="#problem=none&sample=0")
    expect(lost.locator("#detail")).to_contain_text("not here")
    unknown = open_page(viewer, fragment="#checkpoint=zzz")
    expect(unknown.locator("#detail")).to_contain_text("whose checkpoint is not here")


def test_the_page_of_the_run_leads_to_its_samples(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer.parent / "report.html")
    link = page.get_by_role("link", name="Read 40 samples")
    box = link.bounding_box()
    assert box
    assert box["y"] < 100  # above the headline
    link.click()
    expect(page.locator("#detail .response")).to_have_text("0 64 says 00")


def test_hostile_text_is_shown_and_does_nothing(open_page: Opened, tmp_path: Path) -> None:
    """Scripts, markup, control characters, and a line of a megabyte, in every text of a sample."""
    hostile = dict.fromkeys(("problem_id", "text", "prompt", "answer"), HOSTILE)
    rows = [sample("", 0, **hostile), sample("", 1, **hostile | {"text": "x" * 10**6})]
    page = open_page(run_of(tmp_path, [rows]))
    expect(page.locator("#detail .response")).to_contain_text("</script><script>alert(1)</script><!--⟨U+2028⟩⟨U+202E⟩")
    assert page.locator("#detail img, #detail script, #rows img").count() == 0
    page.keyboard.press("j")
    more = page.get_by_role("button", name="Show all 1,000,000 characters")
    expect(more).to_be_visible()
    assert len(shown(page)[0]) == 20000
    more.click()
    assert len(shown(page)[0]) == 10**6
    assert too_wide(page) <= 0


def test_text_that_is_put_into_the_page_as_markup_is_refused(browser: Browser, viewer: Path) -> None:
    """By the browser itself, which the page's policy tells so."""
    page = browser.new_page()
    page.goto(viewer.as_uri())
    assert (
        page.evaluate("(() => { try { document.body.innerHTML = '<b>'; } catch (e) { return e.name; } })()")
        == "TypeError"
    )


@pytest.mark.parametrize("missing", ["index.js", "0001.js"])
def test_a_missing_file_is_named(browser: Browser, viewer: Path, tmp_path: Path, missing: str) -> None:
    for file in [viewer, *(viewer.parent / "samples_files").iterdir()]:
        to = tmp_path / file.relative_to(viewer.parent)
        to.parent.mkdir(exist_ok=True)
        to.write_bytes(b"" if file.name == missing else file.read_bytes())
    (tmp_path / "samples_files" / missing).unlink()
    page = browser.new_page()
    page.goto((tmp_path / "samples.html").as_uri())
    expect(page.locator("#detail")).to_contain_text(f"samples_files/{missing} is missing")
    page.close()


def test_fifty_thousand_samples_show_the_first_within_a_second(open_page: Opened, tmp_path: Path) -> None:
    text = "a thought of some length " * 20
    rows = [
        sample(f"p{p}", n % 50, setting=SETTINGS[n // 50], text=f"{p} {n} {text}", correct=n > 3)
        for p in range(500)
        for n in range(100)
    ]
    viewer = run_of(tmp_path, [rows])
    page = open_page(viewer)
    page.locator("#detail .response").wait_for()
    assert page.evaluate("performance.now()") < 1000  # milliseconds since the page was asked for
    expect(page.locator("#count")).to_have_text("50,000 samples")
    assert page.locator("[role=option]").count() < 100
    page.get_by_label("Compare with").select_option(label="step-2 · unconstrained")
    taken = page.evaluate(
        """() => { const begin = performance.now(), outcome = document.getElementById("outcome");
        outcome.value = "lost"; outcome.dispatchEvent(new Event("change", { bubbles: true }));
        return performance.now() - begin; }"""
    )
    expect(page.locator("#count")).to_have_text("2,000 of 50,000 samples; the other way round 0")
    assert taken < 300  # milliseconds
    page.get_by_label("Compare with").select_option(label="compare with …")
    expect(page.locator("#count")).to_have_text("50,000 samples")
    page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    page.locator("[role=option]").last.click()
    expect(page.locator("#detail .response")).to_contain_text("499 99 a thought")
    page.get_by_label("Search").fill("499 98 a thought")
    expect(page.locator("#count")).to_have_text("1 of 50,000 samples", timeout=20_000)


def test_a_printed_sample_is_whole(open_page: Opened, viewer: Path) -> None:
    page = open_page(viewer)
    page.locator("#detail .response").wait_for()
    page.emulate_media(media="print")
    assert not page.locator("#list").is_visible()
    assert page.locator("#detail .response").is_visible()


def test_steps_are_judged_only_of_correct_answers(open_page: Opened, tmp_path: Path) -> None:
    """A verifier looks at the steps of no other; a page without such verdicts does not speak of steps."""
    rows = [sample("p0", n, correct=n < 2, strict=n == 0) for n in range(3)]
    page = open_page(run_of(tmp_path / "a", [rows]))
    for said in ("2 answer tokens · every step correct", "2 answer tokens · not every step correct"):
        expect(page.locator("#detail .column .about")).to_have_text(re.compile(f"{said}$"))
        expect(page.locator(".legend")).to_contain_text("Each step is recomputed")
        page.keyboard.press("j")
    expect(page.locator("#detail .column .about")).to_have_text(re.compile("2 answer tokens$"))
    expect(page.locator(".legend")).not_to_contain_text("step")
    page = open_page(run_of(tmp_path / "b", [[sample("p0", 0)]]))
    expect(page.locator("#detail .response")).to_have_count(1)
    expect(page.locator(".legend")).not_to_contain_text("step")
