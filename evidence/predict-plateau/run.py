"""How well readiness predicts RL near its plateau: `python evidence/predict-plateau/run.py`.

Six parts, each one sweep: the dataset family with three seeds of SFT, the instance family with two, and one trajectory
of over-training.  Resumable: a part that is done is in ``runs.json``, with the counts of every problem, and the sweep
of another goes on where it was killed.  ``--page`` only writes the page again, ``--repeat`` makes the odd run again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import EvaluateConfig, SweepConfig
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.core.stats import paired_estimate, simultaneous, t_estimate
from rlready.evaluate.stage import evaluate
from rlready.predict.candidates import Candidate
from rlready.predict.early import early
from rlready.predict.family import Family, families
from rlready.predict.outcome import Outcome
from rlready.predict.predictors import BASELINE, COMBINED, LOSS, Predictor, predictors, stated
from rlready.predict.score import Score, score
from rlready.readiness.overfitting import along_runs
from rlready.readiness.part import ExampleLosses, Part
from rlready.readiness.passk import Floats, pass_at_k
from rlready.readiness.ranking import rank
from rlready.readiness.result import ProblemCounts
from rlready.report.claims import Claim, filled, write_claims
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart, standalone
from rlready.runs.files import read_table, remove, write_json, write_text
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.sweep.stage import sweep

HERE = Path(__file__).parent
RUNS = Path("runs/predict-plateau")
STORED = "runs.json"
PRIMARY = "pass@64"
STEPS, EVERY = 144, 24
TEST = "dagmath?ops=5&asked=3&split=test&n=200&seed=105"
BUDGET: dict[str, Any] = {"thinking_budgets": (128,), "max_response_tokens": 144}
SAMPLES = 16  # of each test problem
DATASET, INSTANCE, TRAJECTORY = "dataset", "instance", "trajectory"
PARTS = [(DATASET, 1), (DATASET, 2), (DATASET, 3), (INSTANCE, 1), (INSTANCE, 2), (TRAJECTORY, 1)]
OUTCOMES = ("sampled", "greedy", "every step right", f"pass@{SAMPLES}")
NAMES = {"group_signal": "group signal", "informative": "informative groups", LOSS: "held-out loss"}

SHARED = f"""
measure = "starts"
[readiness]
problems = "dagmath?ops=5&asked=3&split=test&n=600&seed=102"
samples = 64
[rl]
problems = "dagmath?ops=5&asked=3&split=train&n=4000&seed=103"
validation = "dagmath?ops=5&asked=3&split=test&n=16&seed=104"
steps = {STEPS}
eval_every = {STEPS}
eval_samples = 1
prompts_per_step = 16
group_size = 16
learning_rate = 5e-4
thinking_budget = 128
seed = SEEDS_OF_RL
[evaluate]
problems = "{TEST}"
samples = {SAMPLES}
max_response_tokens = 144
[sft]
seed = SEED_OF_SFT
keep_at = []
"""
RECIPE = """
[[sft.recipes]]
name = "{name}"
family = "{family}"
rows = "dagmath?ops=5&asked=3{world}&split=train&n={n}{selected}&seed={{seed}}"
heldout = "dagmath?ops=5&asked=3{world}&split=test&n=200&seed=101"
epochs = {epochs}
save_every = {save_every}
learning_rate = {rates}
"""


def recipes(part: str, only: str = "") -> str:
    """The recipes of a part, as a sweep file has them; of the instance family ``only`` one, if it is named."""
    if part == TRAJECTORY:
        plain = {"family": part, "world": "", "selected": "", "rates": "1e-3"}
        return RECIPE.format(name="rows400", n=400, epochs=32, save_every=1, **plain)
    if part == DATASET:  # 3,000 rows once, or fewer rows at least as often, by two learning rates
        sizes = ((3000, 1), (750, 4), (400, 16), (188, 16))
        plain = {"family": part, "world": "", "selected": "", "rates": "[3e-4, 3e-3]"}
        return "".join(RECIPE.format(name=f"rows{n}", n=n, epochs=e, save_every=e, **plain) for n, e in sizes)
    plain = {"family": part, "world": "&detours=0.5", "rates": "1e-3"}
    return "".join(
        RECIPE.format(name=f"{way}{n}", n=n, epochs=e, save_every=e, selected=f"&of=4000&select={way}", **plain)
        for n, e in ((1000, 3), (250, 12))
        for way in ("shortest", "longest", "random", "halves")
        if only in ("", f"{way}{n}")
    )


class RunRow(Record):
    """One RL run.  Lists are per problem: how many of ``SAMPLES`` are right, or whether the greedy response is.

    ``rewards`` are means over ``EVERY`` steps; ``truncated`` is the share of responses before and after RL.
    """

    part: str
    checkpoint: str
    recipe: str
    sft_seed: int
    rl_seed: int
    step: int
    counts: ProblemCounts
    losses: ExampleLosses
    entropy: Estimate
    distinct_answers: Estimate
    early: dict[str, float]
    rewards: list[float]
    greedy_before: list[int]
    right: list[int]
    right_in_every_step: list[int]
    greedy: list[int]
    truncated: tuple[float, float]

    @property
    def outcomes(self) -> dict[str, Floats]:
        """Every outcome by name, a value for each test problem."""
        right = np.array(self.right)
        shares = (right / SAMPLES, np.array(self.greedy, dtype=float), np.array(self.right_in_every_step) / SAMPLES)
        at_all = pass_at_k(np.full(len(right), SAMPLES), right, [SAMPLES])[:, 0]
        return dict(zip(OUTCOMES, (*shares, at_all), strict=True))

    @property
    def candidate(self) -> Candidate:
        return Candidate(
            name=self.checkpoint,
            counts=self.counts.counts,
            loss=self.losses.heldout,
            entropy=self.entropy,
            distinct_answers=self.distinct_answers,
            heldout="",
            trained=None,
            sft=str(Path(self.checkpoint).parent.parent),
            step=self.step,
            sft_seed=str(self.sft_seed),
        )


class Stored(Record):
    """What was measured, and the CPU seconds of the parts that are done.

    ``repeated`` is a run that was made again after the results, with other draws, and ``again`` is what ``--repeat``
    has made; they count nowhere but where the page speaks of them.
    """

    runs: list[RunRow]
    cpu_seconds: dict[str, float]
    repeated: RunRow | None = None
    again: RunRow | None = None


def main() -> None:
    for part, seed in PARTS:
        stored = stored_of(HERE)
        key = f"{part}-{seed}"
        if key in stored.cpu_seconds:
            continue
        runs = RUNS / key
        file = RUNS / f"{key}.toml"
        again = "[0, 1]" if (part, seed) == PARTS[0] else "0"  # a second seed of RL, for one seed of SFT
        places = "[1, 2, 4, 8, 16, 32]" if part == TRAJECTORY else '"last"'
        text = f"checkpoints = {places}\n" + SHARED.replace("SEEDS_OF_RL", again).replace("SEED_OF_SFT", str(seed))
        write_text(file, text + recipes(part))
        sweep(SweepConfig(file=str(file)), runs)
        rows = [row_of(part, seed, runs, line) for line in read_log(runs / "runs.jsonl")]
        seconds = sum(RunRecord.load(record.parent).cpu_seconds for record in runs.glob("*/*/record.json"))
        write_json(
            HERE / STORED,
            stored.model_copy(
                update={
                    "runs": [*stored.runs, *rows],
                    "cpu_seconds": stored.cpu_seconds | {key: round(seconds)},
                }
            ),
        )
        remove(runs)
    report(stored_of(HERE), sum(stored_of(HERE).cpu_seconds.values()))


def repeat() -> None:
    """Make the odd run of the instance family again, its SFT and readiness included, as `apart` reports it."""
    stored = stored_of(HERE)
    odd, _ = odd_one(of_part(stored, INSTANCE))
    runs = RUNS / f"{INSTANCE}-again"
    file = runs.with_suffix(".toml")
    shared = SHARED.replace("SEEDS_OF_RL", "0").replace("SEED_OF_SFT", str(odd.sft_seed))
    write_text(file, f'checkpoints = "last"\n{shared}{recipes(INSTANCE, odd.recipe)}')
    sweep(SweepConfig(file=str(file)), runs)
    (line,) = read_log(runs / "runs.jsonl")
    again = row_of(INSTANCE, odd.sft_seed, runs, line)
    write_json(HERE / STORED, stored.model_copy(update={"again": again}))
    remove(runs)
    report(stored_of(HERE), None)


def repeatable(first: RunRow, again: RunRow) -> str:
    """Whether the odd run ends as it did when it is made again at a revision with the same draws."""
    alike = sum(a == b for a, b in zip(first.right, again.right, strict=True))
    return (
        f" Made again on 2026-11-30 by `run.py --repeat`, between the revisions afb5717 and 42a4b9a, it ended at "
        f"{end_of(again).mean():.1%}, "
        f"{np.mean(again.greedy):.1%} greedy, with as many right samples as the first in {alike} of {len(first.right)} "
        "problems: the odd end is that of these draws, and no fault of that day's machine."
    )


def odd_one(rows: Sequence[RunRow]) -> tuple[RunRow, tuple[float, float]]:
    """The run whose end is furthest below its own training reward, and how far it and the next are."""
    gaps = sorted(((row.rewards[-1] - float(end_of(row).mean()), at) for at, row in enumerate(rows)), reverse=True)
    return rows[gaps[0][1]], (gaps[0][0], gaps[1][0])


def stored_of(folder: Path) -> Stored:
    found = folder / STORED
    return Stored.from_file(found) if found.exists() else Stored(runs=[], cpu_seconds={})


def row_of(part: str, seed: int, runs: Path, line: dict[str, object]) -> RunRow:
    """What is kept of an RL run, of its start and of its end."""
    start, folder = str(line["checkpoint"]), runs / str(line["run"])
    (measured,) = (
        found
        for file in (runs / str(line["readiness"])).glob("parts/*.json")
        if (found := Part.from_file(file)).name == start
    )
    (end,) = folder.glob("checkpoints/step-*")
    drawn = per_problem(runs / str(line["evaluate"]))
    once = {}
    for name, model in (("before", start), ("after", str(end))):
        out = folder / f"greedy-{name}"
        settings = EvaluateConfig(models=(model,), problems=TEST, temperature=0, samples=1, **BUDGET)
        evaluate(settings, out)
        once[name] = per_problem(out)["correct"]
    assert measured.heldout
    assert measured.sampled.stats.entropy
    assert measured.sampled.stats.distinct_answers
    assert measured.sampled.stats.truncated
    rewards = [float(entry["reward"]) for entry in read_log(folder / "log.jsonl") if "reward" in entry]
    return RunRow(
        part=part,
        checkpoint=start,
        recipe=str(line["recipe"]),
        sft_seed=seed,
        rl_seed=int(str(line["seed"])),
        step=int(start.rpartition("-")[2]),
        counts=measured.sampled.counts,
        losses=measured.heldout,
        entropy=measured.sampled.stats.entropy,
        distinct_answers=measured.sampled.stats.distinct_answers,
        early=early(folder),
        rewards=[float(np.mean(rewards[at : at + EVERY])) for at in range(0, len(rewards), EVERY)],
        greedy_before=once["before"],
        right=drawn["correct"],
        right_in_every_step=drawn["strict"],
        greedy=once["after"],
        truncated=(measured.sampled.stats.truncated.value, drawn["truncated"][0] / drawn["truncated"][1]),
    )


def per_problem(out: Path) -> dict[str, list[int]]:
    """How many samples of each problem are right, and in every step; and how many of all are truncated, of how many."""
    (file,) = out.glob("parts/*.parquet")
    rows = [row for row in read_table(file) if row["thinking_budget"] is not None]  # without those of no budget
    ids = list(dict.fromkeys(row["problem_id"] for row in rows))
    found = {
        key: [sum(bool(row[key]) for row in rows if row["problem_id"] == name) for name in ids]
        for key in ("correct", "strict")
    }
    return found | {"truncated": [sum(bool(row["truncated"]) for row in rows), len(rows)]}


def of_part(stored: Stored, part: str) -> list[RunRow]:
    return [row for row in stored.runs if row.part == part]


def starts(rows: Sequence[RunRow]) -> list[Candidate]:
    """The checkpoints that RL started from, each once."""
    return list({row.checkpoint: row.candidate for row in rows}.values())


Scores = dict[str, dict[str, tuple[Family, list[Score]]]]  # by part and outcome


def all_scores(stored: Stored) -> Scores:
    """The scores of both families for every outcome."""
    parts = {part: of_part(stored, part) for part in (DATASET, INSTANCE)}
    return {part: {outcome: scored(rows, outcome) for outcome in OUTCOMES} for part, rows in parts.items()}


def scored(rows: Sequence[RunRow], outcome: str) -> tuple[Family, list[Score]]:
    """The scores of all predictors for one outcome; greedy accuracy before RL and the first rewards among them."""
    found = starts(rows)
    outcomes: dict[str, list[Outcome]] = {}
    for row in rows:
        own = {"greedy accuracy": float(np.mean(row.greedy_before)), **row.early}
        value = float(row.outcomes[outcome].mean())
        again = Outcome(row.checkpoint, value, seed=str(row.rl_seed), recipe=row.recipe, predictors=own)
        outcomes.setdefault(row.checkpoint, []).append(again)
    (family,) = families(outcomes, found)
    known = all_predictors([found[i] for i in family.place]) + [stated(*each) for each in family.stated.items()]
    return family, score(known, family, primary=PRIMARY, splits=1000, resamples=2000, seed=0)


def all_predictors(found: Sequence[Candidate]) -> list[Predictor]:
    return predictors(found, most=64, group=16, compare_loss=True, resamples=1, seed=0)


def picks(rows: Sequence[RunRow]) -> dict[str, str]:
    """The checkpoint that each rule chooses; "the tool" is `readiness.ranking.rank` with its defaults."""
    found = starts(rows)
    names, losses = [c.name for c in found], [c.loss for c in found]
    known = {p.name: p for p in all_predictors(found)}
    pass_1 = np.array([c.counts.pass_at_k([1])[:, 0] for c in found])
    by = known[PRIMARY]
    fits = along_runs(names, losses, list(pass_1))
    chosen = rank(names, by.name, by.values, by.gap, pass_1_CP=pass_1, overfitting=fits)
    last = max(range(len(found)), key=lambda i: found[i].step or 0)
    firsts = {name: int(np.argmax(known[name].score)) for name in (BASELINE, LOSS, COMBINED)}
    places = {"the tool": chosen.pick, **firsts, "last checkpoint": last}
    return {name: names[place] for name, place in places.items()}


def after_rl(rows: Sequence[RunRow], checkpoint: str) -> Floats:
    """Accuracy on every test problem after RL from a checkpoint, sampled, mean over seeds of RL."""
    found = [row.outcomes[OUTCOMES[0]] for row in rows if row.checkpoint == checkpoint]
    mean: Floats = np.mean(found, axis=0)
    return mean


def lead(rows: Sequence[RunRow], rule: str) -> Estimate:
    """RL from the tool's pick minus RL from that of another rule, paired over problems."""
    chosen = picks(rows)
    return paired_estimate(after_rl(rows, chosen["the tool"]), after_rl(rows, chosen[rule]), bounds=(0.0, 1.0))


def counter_examples(rows: Sequence[RunRow]) -> list[tuple[str, str, Estimate, Estimate]]:
    """Pairs of recipes that RL reverses: the first is higher before RL in pass@1, and lower after RL.

    Differences are paired over problems, each the mean over seeds, and hold for all ordered pairs together; all seeds
    of SFT agree with both signs.  The clearest comes first.
    """
    names = sorted({row.recipe for row in rows})
    before, after = (
        {name: by_seed([row for row in rows if row.recipe == name], of) for name in names} for of in (pass_1_of, end_of)
    )
    pairs, found = list(permutations(names, 2)), []
    for a, b in pairs:
        higher, lower = (
            simultaneous(paired_estimate(x.mean(0), y.mean(0), bounds=(0.0, 1.0)), len(pairs), 1.0)
            for x, y in ((before[a], before[b]), (after[b], after[a]))
        )
        agree = all(before[a].mean(1) > before[b].mean(1)) and all(after[a].mean(1) < after[b].mean(1))
        if higher.low > 0 and lower.low > 0 and agree:
            found.append((a, b, higher, lower))
    return sorted(found, key=lambda each: -each[2].value - each[3].value)


def reversed_in_all(rows: Sequence[RunRow]) -> int:
    """How many pairs of recipes RL reverses in every seed of SFT, significantly or not."""
    names = sorted({row.recipe for row in rows})
    before, after = (
        {name: by_seed([row for row in rows if row.recipe == name], of).mean(1) for name in names}
        for of in (pass_1_of, end_of)
    )
    return sum(all(before[a] > before[b]) and all(after[a] < after[b]) for a, b in permutations(names, 2))


def both_high(found: Sequence[tuple[str, str, Estimate, Estimate]]) -> str:
    """The pairs that RL reverses, the recipe first that was higher before it."""
    return " and ".join(f"{label(a)} against {label(b)}" for a, b, _, _ in found)


def over_sft_seeds(rows: Sequence[RunRow], pairs: Sequence[tuple[str, str]]) -> str:
    """How far the second recipe of each pair ends above the first, as seeds of SFT have it."""
    leads = []
    for pair in pairs:
        ends = [by_seed([row for row in rows if row.recipe == name], end_of).mean(1) for name in pair]
        leads.append(ends[1] - ends[0])
    if len(leads[0]) < 3:
        return f"In its two seeds the ends of the pairs differ by {'; '.join(map(listed, leads))} points."
    said = " and ".join(shown(t_estimate(each), 100, 1) for each in leads)
    return f"Over seeds (Student's t, not corrected for the number of pairs) the ends differ by {said} points."


def pass_1_of(row: RunRow) -> Floats:
    return row.counts.counts.pass_at_k([1])[:, 0]


def end_of(row: RunRow) -> Floats:
    return row.outcomes[OUTCOMES[0]]


def by_seed(rows: Sequence[RunRow], of: object) -> Floats:
    """(seeds of SFT, problems), the mean over seeds of RL."""
    assert callable(of)
    seeds = sorted({row.sft_seed for row in rows})
    return np.array([np.mean([of(row) for row in rows if row.sft_seed == seed], axis=0) for seed in seeds])


def report(stored: Stored, seconds: float | None) -> None:
    """The page with its claims and figures; before all parts are done, the protocol alone."""
    missing = [f"{part}-{seed}" for part, seed in PARTS if f"{part}-{seed}" not in stored.cpu_seconds]
    if missing:
        done = len(PARTS) - len(missing)
        words = f"{protocol()}\n\n{done} of {len(PARTS)} parts have been run; there is no result before all have.\n"
        return write_text(HERE / "README.md", filled(words) + "\n")
    for part in (DATASET, INSTANCE, TRAJECTORY):
        write_text(HERE / f"{part}.svg", figure(of_part(stored, part), part))
    command, scores = "python evidence/predict-plateau/run.py", all_scores(stored)
    claims, words = claims_of(stored, scores), page(stored, scores)
    write_claims(HERE, command=command, seconds=seconds, cpu=True, claims=claims, words=words)


def claims_of(stored: Stored, scores: Scores) -> list[Claim]:
    rows, course = of_part(stored, DATASET), of_part(stored, TRAJECTORY)
    found = {s.predictor: s for s in scores[DATASET][OUTCOMES[0]][1]}
    claims = [
        Claim.of("primary: dataset, Spearman of pass@64 minus pass@1's", known(found[PRIMARY].gain), ">= 0.3"),
        Claim.of("dataset, Spearman of held-out loss minus pass@1's", known(found[LOSS].gain), ">= 0.3"),
        Claim.exact(
            "dataset, pairs of recipes that RL reverses", len(counter_examples(rows)), "family of 8 recipes", ">= 1"
        ),
    ]
    for rule in (BASELINE, LOSS):
        leads = leads_by_seed(rows, rule)
        words = f"dataset, RL from the tool's pick minus RL from the pick by {NAMES.get(rule, rule)}"
        claims.append(Claim.of_each(words, leads, "SFT seeds", "> 0"))
    claims += [
        Claim.of(f"trajectory, RL from the tool's pick minus RL from that of {words}", lead(course, rule), "> 0")
        for rule, words in ((BASELINE, "the highest pass@1"), ("last checkpoint", "the last checkpoint"))
    ]
    late = t_estimate(
        [row.rewards[-1] - row.rewards[-2] for row in stored.runs if len(row.rewards) == STEPS // EVERY], varies="runs"
    )
    claims.append(Claim.of(f"reward of the last {EVERY} steps of RL minus that of {EVERY} before", late, "<= 0.02"))
    for part in (DATASET, INSTANCE):
        words = f"the same in the {part} family alone; added after the results"
        claims.append(Claim.of(words, rise(of_part(stored, part)), "<= 0.02"))
    return claims


def rise(rows: Sequence[RunRow]) -> Estimate:
    """How far the reward of the last steps is above that of those before, over recipes, whose runs are dependent."""
    rises: dict[str, list[float]] = {}
    for row in rows:
        rises.setdefault(row.recipe, []).append(row.rewards[-1] - row.rewards[-2])
    return t_estimate([np.mean(each) for each in rises.values()], varies="recipes")


def known(figure: Estimate | None) -> Estimate:
    assert figure
    return figure


def protocol() -> str:
    return f"""# Predicting RL near its plateau

The embedded model (about a million parameters) learns symbolic DAG maths with 5 operations.

## Protocol

It was fixed before any of the reported runs was made.

- **dataset**: SFT on 3,000 rows once, on 750 four times, on 400 or 188 sixteen times, each at the learning rates 3e-4
  and 3e-3: eight recipes with three seeds, which draw other rows in another order; RL from the last checkpoint. RL is
  repeated with a second seed from the eight checkpoints of the first.
- **instance**: one recipe on eight selections from one pool of rows (shortest, longest, random, half shortest and half
  longest; 1,000 or 250 of them), with two seeds.
- **trajectory**: 32 epochs on 400 rows, RL from the checkpoints after 1, 2, 4, 8, 16 and 32.
- **Readiness**: 600 problems, up to 64 samples of each; held-out loss on 200 worked rows.
- **RL**: Dr. GRPO, {STEPS} steps of 16 problems with 16 samples each. One ample thinking budget everywhere, 128 tokens;
  the share of truncated responses stands beside the results. The last checkpoint is evaluated, so that nothing is
  selected after training.
- **Outcomes** on 200 test problems: accuracy of {SAMPLES} samples at temperature 1 (*sampled*), of the greedy response,
  of samples that are right in every step, and pass@{SAMPLES}. The first is the outcome of the claims.
- **Primary test**: in the dataset family, the Spearman correlation of pass@64 with the outcome minus that of pass@1, an
  interval over recipes that lies above zero; the goal is 0.3. The intervals of all other predictors' gains hold
  together.
- **Secondary**: the same for held-out loss; pairs of recipes that RL reverses; RL from the tool's pick against RL from
  the highest pass@1, from the lowest loss and, in the trajectory, from the last checkpoint.
- **Plateau**: the mean reward of the last {EVERY} steps exceeds that of the {EVERY} before by at most 0.02.

**Pilots.** An earlier run of this experiment had 28 steps of RL and a thinking budget of 56 tokens, which cut 70 % of
the thoughts of models that had learned from the longest rows: [its page](../predict/README.md). Another pilot had five
starts: the rank correlation of pass@1 with the outcome fell from .8 after 28 steps to −.3 after 112, that of pass@16
rose from .5 to .6, and 400 rows sixteen times at 3e-3 beat 3,000 once at 3e-4 after SFT (33.3 against 20.4 %) and lost
after RL (50.0 against 54.6 %, difference −4.6 [−8.6, −0.5]); its seeds were not kept. Both shaped this protocol: its
recipes, its budget, the number of steps and the target of at least one pair that RL reverses. A run of RL with these
settings took 1.1 CPU seconds a step, hence about four CPU hours for all."""


def page(stored: Stored, scores: Scores) -> str:
    parts = {part: of_part(stored, part) for part in (DATASET, INSTANCE, TRAJECTORY)}
    seconds = sum(stored.cpu_seconds.values())
    sections = [section(parts[part], part, scores[part]) for part in (DATASET, INSTANCE)]
    sections.insert(2, f"{apart(parts[INSTANCE], stored.repeated, stored.again)}\n")
    return f"""{protocol()} They took {seconds / 3600:.1f}.

{in_short(stored, scores)}

{chr(10).join(sections)}
{course_section(parts[TRAJECTORY])}

## What it does not show

One model of a million parameters, one symbolic world, one recipe of RL. In the instance family losses are of models
that learned from different selections of rows, which the tool refuses to compare; the comparison is forced here. The
first rewards and the extrapolated curve are known only after RL has begun.

{chr(10).join(f"![{part}]({part}.svg)" for part in parts)}
"""


def in_short(stored: Stored, scores: Scores) -> str:
    """What the reported runs say, each sentence with its numbers."""
    rows, course = of_part(stored, DATASET), of_part(stored, TRAJECTORY)
    found = {s.predictor: s for s in scores[DATASET][OUTCOMES[0]][1]}
    leads = leads_by_seed(rows, BASELINE)
    others = {s.predictor: s for s in scores[INSTANCE][OUTCOMES[0]][1]}
    first = (lead(course, rule) for rule in (BASELINE, "last checkpoint"))
    return f"""## In short

- *dataset*: the primary test does not establish that {PRIMARY} ranks better than pass@1. Its Spearman correlation with
  the outcome is above that of pass@1 by {shown(found[PRIMARY].gain)}: the goal of 0.3 is met by the point, and eight
  recipes are too few for an interval above 0. {one_recipe(rows)} The correlations are
  {shown(found[PRIMARY].spearman)} for {PRIMARY},
  {shown(found[LOSS].spearman)} for held-out loss and {shown(found[BASELINE].spearman)} for pass@1, an interval with
  room for either sign; none is significantly above 0.
- RL from the checkpoint that the tool picks ends above RL from the highest pass@1 in each of three seeds of SFT, by
  {listed(leads)} points; it ends {listed(behind_best(rows))} points below RL from the best start, which only RL itself
  shows. The first lead is the mean of two runs of RL, {listed(single_leads(rows, 0)[:1] + single_leads(rows, 1)[:1])};
  the others are one run each. Chance is not excluded: the mean lead is {shown(t_estimate(leads), 100, 1)}
  (Student's t over three seeds), two runs of RL from one checkpoint differ by {100 * repeated(rows):.1f} points
  (next line), and of the leads with the first seed of RL,
  {listed(single_leads(rows, 0))}, only one is larger. The lowest held-out loss picks the same checkpoints as the tool
  does, so that here the tool adds nothing to it.
- A second seed of RL from the same checkpoint changes its end by {100 * repeated(rows):.1f} points (root mean square of
  eight differences); the highest and the lowest recipe end {100 * spread(rows):.1f} points apart.
  The recipes of 400 rows take twice the SFT steps of the others, so that what they show is not at equal SFT compute.
- *instance*: {PRIMARY} is not above pass@1 by more than chance ({shown(others[PRIMARY].gain)}), and less so without
  one odd run (below). In
  {few_end_lower(of_part(stored, INSTANCE))} RL after 250 rows twelve times ends below RL after 1,000 rows three times;
  held-out loss, whose comparison is forced here, has a correlation of {shown(others[LOSS].spearman)}.
  {strictly(of_part(stored, INSTANCE), scores[INSTANCE])}
- *trajectory*: the tool picks the checkpoint after four epochs, before the onset of overfitting. RL from there ends
  {" and ".join(shown(each, 100, 1) for each in first)} points above RL from the highest pass@1 and from the last
  checkpoint, which are one and the same (intervals over problems, one run of RL each, of which two from one
  checkpoint differ by more, see above). {along(course)}
- In [a sweep](../predict/README.md) of largely the same recipes and seeds with 28 steps and a budget of 56
  tokens, which was run twice, pass@1 had correlations of 0.76 [0.09, 0.96] and 0.47 [-0.33, 0.87] with the ends.
  Here the reward of the first ten steps of RL has a correlation of
  {shown(found["reward@10"].spearman)} with the end, as little as pass@1.
- *Plateau*: the rise of the reward over the last {EVERY} steps is within the limit of 0.02 over all runs, an interval
  that counts two runs of RL from one checkpoint, and six checkpoints of one SFT run, as independent. Over the recipes
  of *instance* the reward still rises ({shown(rise(of_part(stored, INSTANCE)), 1, 3)}): that family is near its
  plateau, not shown to be on
  it."""


def one_recipe(rows: Sequence[RunRow]) -> str:
    """What becomes of the primary difference without each recipe."""
    gains = {}
    for name in sorted({row.recipe for row in rows}):
        _, scores = scored([row for row in rows if row.recipe != name], OUTCOMES[0])
        gains[name] = known(next(s for s in scores if s.predictor == PRIMARY).gain).value
    lowest = min(gains, key=lambda name: gains[name])
    rest = [value for name, value in gains.items() if name != lowest]
    return (
        f"One recipe decides: without {label(lowest)}, which the pilot had shown to win after SFT and to lose after "
        f"RL, the difference is {gains[lowest]:.2f}; without any one of the others it is {min(rest):.2f} to "
        f"{max(rest):.2f}."
    )


def strictly(rows: Sequence[RunRow], results: dict[str, tuple[Family, list[Score]]]) -> str:
    """How predictors do where every step has to be right, and what the tool's first pick costs by that measure."""
    strict = OUTCOMES[2]
    found = {s.predictor: s.spearman for s in results[strict][1]}
    mine = [row for row in rows if row.sft_seed == 1]
    ends = {row.checkpoint: float(row.outcomes[strict].mean()) for row in mine}
    names = {row.checkpoint: label(row.recipe) for row in mine}
    pick, best = picks(mine)["the tool"], max(ends, key=lambda name: ends[name])
    return (
        f"For accuracy right in every step the order is another: {PRIMARY} has a correlation of "
        f"{shown(found[PRIMARY])} with it, pass@1 {shown(found[BASELINE])}. By that measure the tool's pick of the "
        f"first seed, {names[pick]}, ends at {100 * ends[pick]:.1f}% where {names[best]} ends at "
        f"{100 * ends[best]:.1f}%."
    )


def along(rows: Sequence[RunRow]) -> str:
    """How predictors order the checkpoints of the trajectory, and where those past the onset end."""
    _, scores = scored(rows, OUTCOMES[0])
    rho = {s.predictor: s.spearman.value for s in scores}
    found = starts(rows)
    flags = along_runs([c.name for c in found], [c.loss for c in found], [c.counts.pass_at_k([1])[:, 0] for c in found])
    ends = {c.name: float(after_rl(rows, c.name).mean()) for c in found}
    order = sorted(ends, key=lambda name: -ends[name])
    places = sorted(order.index(c.name) + 1 for c, flag in zip(found, flags, strict=True) if flag and flag.onset)
    return (
        f"Over its {len(found)} checkpoints the rank correlation with the end is {rho[BASELINE]:.2f} for pass@1, "
        f"{rho[PRIMARY]:.2f} for {PRIMARY} and {rho[LOSS]:.2f} for held-out loss, of which less counts as better; "
        f"those past the onset of overfitting end in the places {', '.join(map(str, places))}."
    )


def behind_best(rows: Sequence[RunRow]) -> list[float]:
    """How far RL from the tool's pick ends below RL from the best start, among the checkpoints of each seed of SFT."""
    found = []
    for seed in (1, 2, 3):
        mine = [row for row in rows if row.sft_seed == seed]
        ends = {c.name: float(after_rl(mine, c.name).mean()) for c in starts(mine)}
        found.append(max(ends.values()) - ends[picks(mine)["the tool"]])
    return found


def repeated(rows: Sequence[RunRow]) -> float:
    """The root mean square difference of two RL runs from one checkpoint."""
    ends = {(row.checkpoint, row.rl_seed): float(end_of(row).mean()) for row in rows}
    pairs = [(ends[name, 0], ends[name, 1]) for name, seed in ends if seed == 1]
    return float(np.sqrt(np.mean([(a - b) ** 2 for a, b in pairs])))


def spread(rows: Sequence[RunRow]) -> float:
    """The highest minus the lowest mean end of a recipe."""
    ends = [by_seed([r for r in rows if r.recipe == name], end_of).mean() for name in {row.recipe for row in rows}]
    return float(max(ends) - min(ends))


def few_end_lower(rows: Sequence[RunRow]) -> str:
    """In how many pairs of a selection and a seed the model that learned from fewer rows ends lower."""
    end = {(row.recipe, row.sft_seed): float(end_of(row).mean()) for row in rows}
    pairs = [(end[name, seed], end[name[:-3] + "1000", seed]) for name, seed in end if not name.endswith("1000")]
    return f"{sum(few < many for few, many in pairs)} of {len(pairs)} pairs"


def single_leads(rows: Sequence[RunRow], rl_seed: int) -> list[float]:
    """`leads_by_seed` over the highest pass@1 with one seed of RL, for the seeds of SFT that have it."""
    return leads_by_seed([row for row in rows if row.rl_seed == rl_seed], BASELINE)


def leads_by_seed(rows: Sequence[RunRow], rule: str) -> list[float]:
    """`lead` among the checkpoints of each seed of SFT."""
    seeds = sorted({row.sft_seed for row in rows})
    return [lead([row for row in rows if row.sft_seed == seed], rule).value for seed in seeds]


def section(rows: Sequence[RunRow], part: str, results: dict[str, tuple[Family, list[Score]]]) -> str:
    """Ends first, then predictors, then pairs that RL reverses."""
    family, scores = results[OUTCOMES[0]]
    order = sorted(scores, key=lambda s: -s.spearman.value)
    lines = [
        f"## {part}: {len(family.outcome)} checkpoints of {family.recipes} recipes",
        "",
        "| recipe | pass@1 before RL | pass@64 | held-out loss | after RL: " + " | ".join(OUTCOMES) + " | truncated |",
        "|---|---|---|---|" + "---|" * len(OUTCOMES) + "---|",
        *recipe_lines(rows),
        "",
        "Correlations with the outcome (Spearman, over runs; intervals over recipes) and the difference to pass@1:",
        "",
        "| predictor | sampled | minus pass@1's | p, any predictor | " + " | ".join(OUTCOMES[1:]) + " |",
        "|---|---|---|---|" + "---|" * (len(OUTCOMES) - 1),
    ]
    for s in order:
        others = [next(o for o in results[name][1] if o.predictor == s.predictor) for name in OUTCOMES[1:]]
        cells = " | ".join(f"{o.spearman.value:.2f}" for o in others)
        name = NAMES.get(s.predictor, s.predictor)
        lines.append(f"| {name} | {shown(s.spearman)} | {shown(s.gain)} | {s.p_any:.3f} | {cells} |")
    reversed_, agree = counter_examples(rows), reversed_in_all(rows)
    said = "RL reverses no pair of recipes beyond the interval."
    if reversed_:
        a, b, higher, lower = reversed_[0]
        said = (
            f"In {agree} pairs of recipes RL reverses the order in every seed of SFT, in {len(reversed_)} of them "
            f"significantly over problems, all pairs allowed for: {both_high(reversed_)}. The clearest: before RL "
            f"{label(a)} is above {label(b)} by "
            f"{shown(higher, 100, 1)} points of pass@1, after RL it is below by {shown(lower, 100, 1)} points. "
            + over_sft_seeds(rows, [pair[:2] for pair in reversed_])
        )
    if part == DATASET:
        said += (
            " The recipe of 400 rows at 3e-3 is in both, and the clearest is the pilot's own pair: the target of one "
            "such pair was set with it known."
        )
    return "\n".join([*lines, "", said, "", *choice_lines(rows), ""])


def apart(rows: Sequence[RunRow], repeated: RunRow | None, same: RunRow | None) -> str:
    """The run whose end is furthest below its own training reward, and what the family says without it."""
    row, (gap, next_) = odd_one(rows)
    others = [each for each in rows if each is not row]
    again = ""
    if repeated:
        end, greedy = end_of(repeated).mean(), np.mean(repeated.greedy)
        again = (
            "The run was made again after the results, with the same settings and seeds, at the revision before "
            "60109b4, "
            f"whose draws were others: it ended at {end:.1%}, {greedy:.1%} greedy. With it in place of "
            f"the first the correlations are {correlations([*others, repeated])}, and "
            f"{len(counter_examples([*others, repeated]))} pairs are reversed significantly. The tables keep the "
            f"first run."
        )
    return (
        f"One run decides much of this family: {label(row.recipe)}, seed {row.sft_seed}. Its end, "
        f"{end_of(row).mean():.1%}, is {100 * gap:.1f} points below the reward of its last {EVERY} steps (no "
        f"other of the family is more than {100 * next_:.1f} below), its greedy accuracy is {np.mean(row.greedy):.1%}, "
        f"and {row.outcomes['every step right'].mean():.1%} of its samples are right in every step. With all runs the "
        f"correlations are {correlations(rows)}, without this one {correlations(others)}, and "
        f"{len(counter_examples(others))} pairs are reversed significantly. "
        f"{again}{repeatable(row, same) if same else ''}"
    )


def correlations(rows: Sequence[RunRow]) -> str:
    found = {s.predictor: s.spearman.value for s in scored(rows, OUTCOMES[0])[1]}
    return f"{found[PRIMARY]:.2f} for {PRIMARY} and {found[BASELINE]:.2f} for {BASELINE}"


def recipe_lines(rows: Sequence[RunRow]) -> list[str]:
    found = []
    for name in sorted({row.recipe for row in rows}):
        mine = [row for row in rows if row.recipe == name]
        ends = [f"{100 * by_start(mine, lambda row, of=outcome: row.outcomes[of].mean()):.1f}%" for outcome in OUTCOMES]
        before = [
            f"{100 * by_start(mine, lambda row, k=k: row.counts.counts.pass_at_k([k]).mean()):.1f}%" for k in (1, 64)
        ]
        loss = by_start(mine, lambda row: row.losses.heldout.token_mean.value)
        cut = [f"{100 * by_start(mine, lambda row, i=i: row.truncated[i]):.0f}%" for i in (0, 1)]
        found.append(f"| {label(name)} | {' | '.join(before)} | {loss:.3f} | {' | '.join(ends)} | {' → '.join(cut)} |")
    return found


def by_start(rows: Sequence[RunRow], value: Callable[[RunRow], float]) -> float:
    """The mean over checkpoints of the mean over the RL runs from each."""
    names = dict.fromkeys(row.checkpoint for row in rows)
    return float(np.mean([np.mean([value(row) for row in rows if row.checkpoint == name]) for name in names]))


def choice_lines(rows: Sequence[RunRow]) -> list[str]:
    """RL from the checkpoint that each rule chooses among those of one seed of SFT."""
    seeds = sorted({row.sft_seed for row in rows})
    lines, rules = [], ("the tool", BASELINE, LOSS, COMBINED)
    for seed in seeds:
        mine = [row for row in rows if row.sft_seed == seed]
        chosen, ends = picks(mine), [after_rl(mine, c.name).mean() for c in starts(mine)]
        values = [max(ends), *(after_rl(mine, chosen[rule]).mean() for rule in rules), np.mean(ends)]
        lines.append(f"| {seed} | {' | '.join(f'{100 * value:.1f}%' for value in values)} |")
    head = f"| SFT seed | best of all | the tool ({PRIMARY}) | pass@1 | held-out loss | combined | mean of all |"
    return [
        "Accuracy after RL from the checkpoint that each rule chooses before RL:",
        "",
        head,
        "|---|" * 1 + "---|" * 6,
        *lines,
    ]


def course_section(rows: Sequence[RunRow]) -> str:
    """The trajectory: each checkpoint before and after RL, the flag, and what each rule chooses."""
    found = starts(rows)
    flags = along_runs([c.name for c in found], [c.loss for c in found], [c.counts.pass_at_k([1])[:, 0] for c in found])
    chosen = picks(rows)
    lines = ["| SFT step | held-out loss | pass@1 | pass@64 | after RL, sampled | past overfitting onset | chosen by |"]
    lines.append("|---|" + "---|" * 6)
    for c, flag in zip(found, flags, strict=True):
        p1, p64 = (f"{100 * value:.1f}%" for value in c.counts.pass_at_k([1, 64]).mean(0))
        end = f"{100 * after_rl(rows, c.name).mean():.1f}%"
        by = ", ".join(NAMES.get(rule, rule) for rule, name in chosen.items() if name == c.name)
        assert c.loss
        onset = "yes" if flag and flag.onset else ""
        lines.append(f"| {c.step} | {c.loss.token_mean.value:.3f} | {p1} | {p64} | {end} | {onset} | {by} |")
    return "\n".join(["## trajectory: over-training on 400 rows", "", *lines])


def label(recipe: str) -> str:
    """A recipe as the page has it: "400 rows, 3e-4", or the name of a selection."""
    rows, _, rate = recipe.removeprefix("rows").partition("-learning_rate=")
    return f"{int(rows):,} rows, {float(rate):.0e}".replace("e-0", "e-") if rate else recipe


def listed(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.1f}" for share in shares)


def shown(figure: Estimate | None, times: float = 1.0, digits: int = 2) -> str:
    """A figure with its interval."""
    if not figure:
        return "–"
    value, low, high = (f"{times * each:.{digits}f}" for each in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def figure(rows: Sequence[RunRow], part: str) -> str:
    """Outcome of RL against pass@64 before it: a colour a recipe, or a checkpoint of the trajectory."""
    series = []
    shown_as = {row.checkpoint: f"SFT step {row.step}" if part == TRAJECTORY else label(row.recipe) for row in rows}
    for i, name in enumerate(dict.fromkeys(shown_as.values())):
        mine = {row.checkpoint: row for row in rows if shown_as[row.checkpoint] == name}
        for number, (checkpoint, row) in enumerate(mine.items()):
            y = after_rl(rows, checkpoint).mean()
            point = Point(row.counts.counts.pass_at_k([64]).mean(), y, y, y, Path(checkpoint).name)
            series.append(Series(name, [point], tone=i % NEUTRAL, shape=i % len(MARKERS), named=number == 0))
    title = f"{part}: accuracy after RL against pass@64 before it"
    return standalone(line_chart(series, title=title, x_label=PRIMARY, y_label="accuracy after RL", percent=True))


if __name__ == "__main__":
    if sys.argv[1:] == ["--page"]:
        report(stored_of(HERE), None)
    elif sys.argv[1:] == ["--repeat"]:
        repeat()
    else:
        main()
