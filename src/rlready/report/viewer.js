// The viewer of samples: a list that draws only the rows in sight, and the sample that was chosen, alone or beside the
// same one of another checkpoint or budget.  Whatever comes from a run is set as text, never as markup.
"use strict";
(() => {
  const FLAGS = ["correct", "truncated", "extended", "flipped", "informative", "undecided", "run_on", "unanswered", "fault"]; // as in viewer.py
  const MEANING = {
    truncated: "cut off at its limit of tokens", extended: "made to think on by a forced “Wait”",
    flipped: "this sample is correct at one budget and wrong at another; where there is one budget, at one checkpoint and another",
    informative: "the rewards of its group differ, as where some samples are right and some wrong: from such a group RL learns",
    undecided: "the verifier came to no verdict", run_on: "went on after its answer",
    unanswered: "wrong, and without an answer", fault: "a step of its thought is wrong, rather than missing or cut off",
  };
  const WORDS = { informative: "informative group", undecided: "not verified", run_on: "runs on", unanswered: "no answer", fault: "wrong step" };
  const BIT = Object.fromEntries(FLAGS.map((name, i) => [name, 1 << i]));
  const KEPT = 40; // files of texts in memory
  const LONGEST = 20000; // characters of a response that are shown at once
  const MOST_CHIPS = 400; // samples of a problem that are shown as an overview
  const LEVELS = 4;
  const DIFFERENT = { lost: false, gained: true, unsolved: false }; // outcomes of a comparison: whether correct here

  const $ = (id) => document.getElementById(id);
  const list = $("list"), rows = $("rows"), detail = $("detail"), query = $("query");
  const selects = ["outcome", "checkpoint", "budget", "step"].map($);
  const onPhone = () => matchMedia("(max-width: 760px)").matches;
  const rowHeight = () => (onPhone() ? 60 : 52);
  const number = new Intl.NumberFormat("en").format;

  let index; // what viewer.py says of all samples
  let view = []; // the samples that fit the filters, in order
  let current = -1; // the sample that is shown
  let beside = -1; // the condition that it is compared with
  let here = -1; // the condition whose samples are compared by the filter of outcomes
  let together = true; // whether some problem has samples of two conditions
  let coloured = true; // whether tokens have the colour of their credit
  let searching = 0, showing = 0; // count searches and samples asked for: an older one stops

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "click") element.addEventListener("click", value); else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child || child === 0));
    return element;
  };

  // ---- files of texts: scripts that call samplesLoaded, the only thing that a page from a file may load
  const loaded = new Map(), waiting = new Map();
  const keepUrl = { createScriptURL: (url) => url };
  const urls = window.trustedTypes ? trustedTypes.createPolicy("samples", keepUrl) : keepUrl;
  window.samplesLoaded = (file, content) => waiting.get(file)?.(content);

  const load = (file) => {
    const found = loaded.get(file) ?? new Promise((resolve, reject) => {
      const name = `samples_files/${file ? String(file).padStart(4, "0") : "index"}.js`;
      const script = document.createElement("script");
      waiting.set(file, resolve);
      script.src = urls.createScriptURL(name);
      script.onload = () => { script.remove(); waiting.delete(file); };
      script.onerror = () => {
        loaded.delete(file);
        reject(new Error(`${name} is missing: keep the folder samples_files beside this page`));
      };
      document.head.append(script);
    });
    loaded.delete(file); // the last used are last
    loaded.set(file, found);
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
    return found;
  };

  const fileOf = (sample) => { // the last whose first sample is not behind it
    let low = 0, high = index.first.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (index.first[middle] <= sample) low = middle; else high = middle;
    }
    return low + 1;
  };
  const textsOf = async (sample) => {
    const file = fileOf(sample), content = await load(file);
    const texts = content.samples[sample - index.first[file - 1]];
    return { ...texts, prompt: content.prompts[texts.prompt], answer: content.answers[texts.answer] };
  };

  // ---- what is known of a sample without its text
  const has = (sample, flag) => (index.flags[sample] & BIT[flag]) !== 0;
  const conditionName = (condition) => index.conditions[condition].filter(Boolean).join(" · ");
  const problemOf = (sample) => index.problems[index.problem[sample]];
  const outcome = (sample) => has(sample, "correct")
    ? make("span", { class: "outcome right" }, "✓ correct") : make("span", { class: "outcome wrong" }, "✗ wrong");
  const badges = (sample) => FLAGS.slice(1).filter((flag) => has(sample, flag))
    .map((flag) => make("span", { class: "badge", title: MEANING[flag] }, WORDS[flag] ?? flag));

  const ofProblem = (sample) => { // the samples of its problem: they follow each other
    let begin = sample, end = sample;
    while (begin > 0 && index.problem[begin - 1] === index.problem[sample]) begin -= 1;
    while (end < index.problem.length && index.problem[end] === index.problem[sample]) end += 1;
    return Array.from({ length: end - begin }, (_, i) => begin + i);
  };
  const partner = (sample, condition) => { // the sample of that condition with its number, otherwise the first
    const there = condition < 0 ? [] : ofProblem(sample).filter((other) => index.condition[other] === condition);
    return there.find((other) => index.number[other] === index.number[sample]) ?? there[0] ?? -1;
  };

  // ---- filters and search
  const wanted = () => query.value.trim().toLowerCase();
  const wantedConditions = () => { // (conditions) whether the filters let it through; of two that are compared, one
    const [kind, checkpoint, budget] = selects.map((select) => select.value);
    const found = index.conditions.map(([c, b]) => (!checkpoint || c === checkpoint) && (!budget || b === budget));
    const alone = !(kind in DIFFERENT) || beside < 0 ? -1 : found[here] ? here : found[beside] ? beside : -1;
    return alone < 0 ? found : found.map((_, c) => c === alone);
  };
  const fits = (kind = selects[0].value) => {
    const must = [...document.querySelectorAll("#flags input:checked")].reduce((bits, box) => bits | BIT[box.name], 0);
    const conditions = wantedConditions(), compared = kind in DIFFERENT;
    const step = index.steps.indexOf(selects[3].value) + 1;
    const judged = kind === "unsolved" || kind === "solved" ? neverSolved(kind === "solved")
      : compared ? differs(DIFFERENT[kind]) : (i) => has(i, "correct") === (kind === "correct");
    return [...index.flags.keys()].filter((i) => conditions[index.condition[i]] && (index.flags[i] & must) === must
      && (!step || index.step[i] === step) && (!kind || judged(i)));
  };
  const besideOf = (condition) => { // what it stands beside: what was chosen; where outcomes are compared its neighbour
    if (beside >= 0 && beside !== condition) return beside;
    if (beside >= 0 && here >= 0 && here !== condition) return here; // the same two, from the other side
    if (!(selects[0].value in DIFFERENT)) return -1;
    const all = [...index.conditions.keys()];
    const alike = all.filter((other) => index.conditions[other][1] === index.conditions[condition][1]);
    const line = alike.length > 1 ? alike : all, at = line.indexOf(condition); // of one checkpoint the budgets
    const chosen = alike.find((other) => index.conditions[other][0] === index.chosen);
    const several = wantedConditions().filter(Boolean).length > 1; // of which each pair is seen once, from its first
    if (chosen !== undefined && (chosen !== condition || several)) return chosen === condition ? -1 : chosen;
    return line[at + 1] ?? (several ? -1 : line[at - 1]) ?? -1;
  };
  const differs = (right) => { // whether a sample is correct or wrong, as asked, and its partner is not
    const same = new Map(), first = new Map(), against = index.conditions.map((_, condition) => besideOf(condition));
    const place = (condition, i) => condition * index.problems.length + index.problem[i];
    const key = (condition, i) => place(condition, i) * 2 ** 24 + index.number[i];
    index.condition.forEach((condition, i) => {
      same.set(key(condition, i), i);
      if (!first.has(place(condition, i))) first.set(place(condition, i), i);
    });
    return (i) => {
      const there = against[index.condition[i]];
      if (there < 0 || has(i, "correct") !== right) return false;
      const other = same.get(key(there, i)) ?? first.get(place(there, i));
      return other !== undefined && has(other, "correct") !== right;
    };
  };

  const neverSolved = (reverse) => { // whether a sample is of a problem that only the condition beside its own has solved
    const solved = index.conditions.map(() => new Set());
    const against = index.conditions.map((_, condition) => besideOf(condition));
    index.condition.forEach((condition, i) => { if (has(i, "correct")) solved[condition].add(index.problem[i]); });
    return (i) => {
      const own = index.condition[i], there = against[own];
      const [never, once] = reverse ? [there, own] : [own, there];
      return there >= 0 && !solved[never].has(index.problem[i]) && solved[once].has(index.problem[i]);
    };
  };

  const responseOf = (texts) => texts.response.map((piece) => piece[0]).join("");
  const contains = (sample, texts, content, words) => [content.prompts[texts.prompt], responseOf(texts), problemOf(sample)]
    .some((text) => text.toLowerCase().includes(words));

  const refilter = async () => {
    const mine = (searching += 1), words = wanted(), candidates = fits();
    view = words ? [] : candidates;
    list.scrollTop = 0;
    refresh(words && candidates.length ? "searching …" : "");
    for (let at = 0; words && at < candidates.length;) { // file by file
      const file = fileOf(candidates[at]), content = await load(file).catch(fail);
      if (mine !== searching || !content) return;
      const end = index.first[file] ?? Infinity;
      for (; at < candidates.length && candidates[at] < end; at += 1) {
        const sample = candidates[at];
        if (contains(sample, content.samples[sample - index.first[file - 1]], content, words)) view.push(sample);
      }
      refresh(at < candidates.length ? `searched ${Math.floor((100 * at) / candidates.length)} %` : "");
    }
  };

  const problems = (n) => `${number(n)} ${n === 1 ? "problem" : "problems"}`;
  const of = () => { // what a comparison has to be read with: how many it finds the other way round, or of how many problems
    const kind = selects[0].value;
    if (kind === "unsolved") return `, of ${problems(new Set(view.map((i) => index.problem[i])).size)}; the other way round ${
      problems(new Set(fits("solved").map((i) => index.problem[i])).size)}`;
    return kind in DIFFERENT && !wanted() ? `; the other way round ${number(fits(kind === "lost" ? "gained" : "lost").length)}` : "";
  };

  const refresh = (progress = "") => {
    const all = index.flags.length;
    const noun = all === 1 ? "sample" : "samples";
    const shown = `${view.length === all ? "" : `${number(view.length)} of `}${number(all)} ${noun}${of()}`;
    $("count").textContent = progress ? `${shown}, ${progress}` : shown;
    rows.style.height = `${view.length * rowHeight()}px`;
    drawRows();
    if (progress && view.length === 0) return;
    if (!view.includes(current)) show(view[0] ?? -1, { open: false });
  };

  // ---- the list
  const drawRows = () => {
    const height = rowHeight(), first = Math.max(0, Math.floor(list.scrollTop / height) - 5);
    const last = Math.min(view.length, first + Math.ceil(list.clientHeight / height) + 10);
    rows.replaceChildren(...Array.from({ length: last - first }, (_, i) => row(view[first + i], first + i, height)));
    const active = view.indexOf(current);
    if (active >= first && active < last) list.setAttribute("aria-activedescendant", `sample-${current}`);
    else list.removeAttribute("aria-activedescendant");
  };

  const row = (sample, at, height) => {
    const facts = [conditionName(index.condition[sample]), `${number(index.tokens[sample])} tokens`];
    const marks = FLAGS.slice(1, 4).filter((flag) => has(sample, flag));
    const element = make("div",
      {
        id: `sample-${sample}`, role: "option", class: "row", "aria-selected": String(sample === current),
        "aria-setsize": view.length, "aria-posinset": at + 1, click: () => { show(sample, { open: true, asRow: true }); list.focus(); },
      },
      make("span", { class: has(sample, "correct") ? "right" : "wrong" }, has(sample, "correct") ? "✓" : "✗"),
      make("bdi", { class: "name" }, problemOf(sample)), make("span", { class: "no" }, `#${index.number[sample]}`),
      make("span", { class: "about" }, [...facts, ...marks].join(" · ")));
    element.style.top = `${at * height}px`;
    element.style.height = `${height}px`;
    return element;
  };

  const scrollToRow = (at) => {
    const height = rowHeight(), top = at * height;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + height > list.scrollTop + list.clientHeight) list.scrollTop = top + height - list.clientHeight;
  };

  // ---- the sample
  const show = async (sample, { open, asRow = false }) => {
    const mine = (showing += 1);
    current = sample;
    if (open && !document.body.classList.contains("reading")) {
      if (onPhone() && asRow) history.pushState({ reading: true }, "", location.hash || "#"); // so that Back is the list
      document.body.classList.add("reading");
    }
    if (sample < 0) {
      detail.replaceChildren(make("p", { class: "empty" }, "No sample fits these filters."),
        make("button", { type: "button", click: clear }, "Clear all filters"));
      return;
    }
    const at = view.indexOf(sample), other = partner(sample, besideOf(index.condition[sample]));
    if (at >= 0) scrollToRow(at);
    drawRows();
    if (open) remember();
    try {
      const [texts, against] = await Promise.all([textsOf(sample), other < 0 ? null : textsOf(other)]);
      if (mine !== showing) return;
      detail.replaceChildren(...page(sample, texts, other, against));
      detail.scrollTop = 0;
      const chosen = detail.querySelector("[aria-pressed=true]"), frame = chosen?.closest(".scroll"); // in sight on a phone
      if (frame) frame.scrollLeft += chosen.getBoundingClientRect().right - frame.getBoundingClientRect().right + 8;
      highlight();
    } catch (error) {
      fail(error);
    }
  };

  const clear = () => {
    $("filters").reset();
    refilter().then(remember);
    list.focus();
  };

  // ---- the address: a sample and filters
  const boxes = () => [...document.querySelectorAll("#flags input")];
  const FILTER = "filter."; // begins the keys of filters beside those of a sample
  const filters = () => [...selects.map((select) => [FILTER + select.id, select.value]),
    [`${FILTER}flags`, boxes().filter((box) => box.checked).map((box) => box.name).join(",")],
    [`${FILTER}search`, query.value.trim()]];
  const setFilters = (asked, prefix) => {
    for (const select of selects) select.value = asked.get(prefix + select.id) ?? "";
    const checked = (asked.get(`${prefix}flags`) ?? "").split(",");
    for (const box of boxes()) box.checked = checked.includes(box.name);
    query.value = asked.get(`${prefix}search`) ?? "";
  };
  const link = (sample, more = []) => {
    const [checkpoint, budget] = index.conditions[index.condition[sample]];
    const values = { problem: problemOf(sample), checkpoint, budget, sample: index.number[sample], with: beside };
    return `#${new URLSearchParams([...Object.entries(values), ...more].filter(([, v]) => v !== "" && v !== -1))}`;
  };
  const remember = () => {
    const set = filters().filter(([, value]) => value), bare = location.href.split("#")[0];
    const alone = set.length ? `#${new URLSearchParams(set)}` : bare;
    history.replaceState(history.state, "", current >= 0 ? link(current, filters()) : alone);
  };

  const leave = () => { // on a phone, the sample for the list
    if (history.state?.reading) history.back(); else document.body.classList.remove("reading");
  };
  let left = false; // by Back, whose address is that of an earlier sample
  window.addEventListener("popstate", () => {
    if (!document.body.classList.contains("reading") || history.state?.reading) return;
    document.body.classList.remove("reading");
    left = true;
    setTimeout(() => { left = false; }, 100);
  });

  const page = (sample, texts, other, against) => {
    const same = !against || against.prompt === texts.prompt;
    const columns = [column(sample, texts, same), against && column(other, against, same)];
    return [
      make("button", { type: "button", class: "back", click: leave }, "← List"),
      make("button", { type: "button", class: "back", click: () => move(1) }, "Next sample"),
      make("div", { class: "problem" }, make("h2", {}, make("bdi", {}, problemOf(sample))),
        make("button", { type: "button", click: () => moveProblem(-1) }, "Previous problem"),
        make("button", { type: "button", click: () => moveProblem(1) }, "Next problem")),
      overview(sample, other),
      make("div", { class: "columns" }, same ? titled("Problem", texts.prompt) : null, titled("Correct answer", texts.answer)),
      index.description && make("p", { class: "note" }, index.description),
      make("div", { class: "columns" }, ...columns),
      legend([texts, against].filter(Boolean), [sample, other].some((i) => i >= 0 && has(i, "correct"))),
    ];
  };

  const titled = (title, content) => make("div", {}, make("h3", {}, title), content ? make("pre", { dir: "auto" }, content)
    : make("p", { class: "note" }, "Not stored by the version that made this run."));

  const column = (sample, texts, same) => {
    const facts = [`${texts.thinking_tokens ? `${number(texts.thinking_tokens)} thinking and ` : ""}${
      number(texts.answer_tokens)} answer tokens`];
    if (texts.finish !== "stop") facts.push(texts.finish === "length" ? "cut off at its limit of tokens" : "reopened its thought");
    else if (has(sample, "truncated")) facts.push("thought cut off by the budget");
    if (texts.strict !== null && has(sample, "correct")) facts.push(texts.strict ? "every step correct" : "not every step correct");
    if (texts.reward !== null && texts.reward !== Number(has(sample, "correct"))) facts.push(`reward ${round(texts.reward)}`);
    if (texts.credit !== null) facts.push(`advantage ${signed(texts.credit)}`);
    return make("section", { class: "column" },
      make("h3", {}, conditionName(index.condition[sample]), ` · sample ${index.number[sample]} `,
        make("a", { href: link(sample), class: "permalink" }, "link")),
      make("p", { class: "about" }, outcome(sample), ...badges(sample), facts.join(" · ")),
      same ? null : titled("Problem", texts.prompt),
      texts.said !== null && said(texts),
      texts.fault && faultOf(sample, texts),
      response(texts, LONGEST));
  };

  const shortened = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
  const said = (texts) => make("p", { class: "note" }, ...(texts.said
    ? ["Its answer: ", make("q", { dir: "auto" }, texts.said)] : ["It gives no answer."]));
  const faultOf = (sample, texts) => {
    const [begin, end, reason, last] = texts.fault, step = shortened(responseOf(texts).slice(begin, end).trim());
    return make("p", { class: "note" }, step ? (last && has(sample, "truncated") ? "Cut off at this step: " : "First wrong step: ")
      : `The thought ${has(sample, "truncated") ? "is cut off" : "ends"} too early: `,
      step && make("q", { class: "fault" }, step), `${step && ", "}${reason}.`);
  };

  const response = (texts, most) => {
    const total = responseOf(texts).length;
    const element = make("pre", { class: "response", dir: "auto" });
    if (texts.fault) element.dataset.fault = texts.fault.slice(0, 2).join(" ");
    let room = most;
    for (const piece of texts.response) {
      const content = piece[0].slice(0, room), forced = piece[1] === null;
      room -= content.length;
      const credit = forced ? null : piece[1] ?? texts.credit;
      const shade = coloured && credit !== null ? level(credit) : 0;
      if (content && forced) element.append(make("mark", { class: "forced" }, content));
      else if (shade) element.append(make("span", { class: shadeClass(shade), title: signed(credit) }, content));
      else element.append(content);
    }
    if (total <= most) return element;
    const whole = () => { all.replaceWith(response(texts, Infinity)); highlight(); };
    const all = make("div", {}, element, make("button", { type: "button", click: whole }, `Show all ${number(total)} characters`));
    return all;
  };

  const round = (value) => value.toLocaleString("en", { maximumFractionDigits: 2 }).replace("-", "−");
  const signed = (value) => (value > 0 ? "+" : "") + round(value);
  const level = (credit) => (index.credit_unit
    ? Math.sign(credit) * Math.min(LEVELS, Math.round((LEVELS * Math.abs(credit)) / index.credit_unit)) : 0);
  const shadeClass = (shade) => (shade > 0 ? "a" : "b") + Math.abs(shade);

  // a line for each checkpoint with every sample of the problem, budget by budget
  const overview = (sample, other) => {
    const mine = ofProblem(sample), cells = new Map();
    for (const each of mine) cells.set(index.condition[each], [...(cells.get(index.condition[each]) ?? []), each]);
    const wanted = [index.condition[sample], other < 0 ? -1 : index.condition[other]];
    const shown = [...cells.keys()].filter((condition) => mine.length <= MOST_CHIPS || wanted.includes(condition));
    const [checkpoints, budgets] = [0, 1].map((part) => [...new Set(shown.map((c) => index.conditions[c][part]))]);
    const solved = (checkpoint) => { // of its samples, where each has one budget
      const all = shown.filter((c) => index.conditions[c][0] === checkpoint).flatMap((c) => cells.get(c));
      return budgets.length > 1 ? "" : make("span", { class: "solved" }, ` ${all.filter((each) => has(each, "correct")).length}/${all.length}`);
    };
    const lines = checkpoints.map((checkpoint) => make("tr", {},
      make("th", { scope: "row" }, checkpoint, checkpoint === index.chosen ? " ★" : "", solved(checkpoint)),
      ...budgets.map((budget) => make("td", {}, ...shown
        .filter((c) => index.conditions[c][0] === checkpoint && index.conditions[c][1] === budget)
        .flatMap((c) => cells.get(c).slice(0, MOST_CHIPS).map((each) => chip(each, sample, other)))))));
    const head = make("tr", {}, make("td", {}), ...budgets.map((budget) => make("th", { scope: "col" }, budget)));
    const choice = make("select", { "aria-label": "Compare with" }, make("option", { value: -1 }, "compare with …"),
      ...[...cells.keys()].filter((condition) => condition !== index.condition[sample])
        .map((condition) => make("option", { value: condition }, conditionName(condition))));
    choice.value = String(wanted[1]);
    choice.addEventListener("change", () => compare(Number(choice.value)));
    const frame = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All samples of this problem" },
      make("table", { class: "overview" }, budgets.join("") && head, ...lines));
    return make("div", {}, frame, cells.size > 1 && choice);
  };

  const chip = (each, sample, other) => {
    const right = has(each, "correct"), chosen = each === sample || each === other;
    const name = `Sample ${index.number[each]} of ${conditionName(index.condition[each])}, ${right ? "correct" : "wrong"}`;
    return make("button", {
      type: "button", title: name, "aria-label": name, "aria-pressed": String(chosen),
      class: `chip ${right ? "right" : "wrong"}`, click: () => show(each, { open: true }),
    }, right ? "✓" : "✗");
  };

  const compare = (condition) => {
    const filtered = selects[0].value in DIFFERENT;
    beside = condition;
    if (filtered && beside < 0) selects[0].value = "";
    allowDifferent();
    show(current, { open: true });
    if (filtered) refilter().then(remember);
    list.focus();
  };
  const allowDifferent = () => { // say what the outcomes of a comparison are of, or why there are none
    const group = $("comparison"), why = index.conditions.length < 2 ? "there is nothing to compare with"
      : together ? "" : "no problem has samples of two of them";
    const next = index.chosen ? `${index.chosen}, which is chosen` : "the next checkpoint or budget";
    group.label = why || (beside < 0 ? `beside ${next}` : "of the two");
    for (const option of group.children) Object.assign(option, { disabled: why !== "", title: why });
    if (why && selects[0].value in DIFFERENT) selects[0].value = "";
    const neighbours = beside < 0 && selects[0].value in DIFFERENT;
    const flipped = $("flags").querySelector("[name=flipped]");
    $("meaning").replaceChildren(why && make("span", {}, `Outcomes of a comparison: ${why}.`),
      neighbours ? make("span", {}, `Each sample is compared with that of its number at ${next}${index.chosen ? ""
        : "; where the last one alone is shown, with the one before it"}. “compare with …” chooses another.`) : "",
      flipped ? make("span", {}, `Flipped: ${MEANING.flipped}.`) : "");
  };

  const legend = (shown, correct) => {
    const forced = shown.some((texts) => texts.response.some((piece) => piece[1] === null));
    const credited = shown.some((t) => t.credit !== null || t.response.some((piece) => typeof piece[1] === "number"));
    const box = make("input", { type: "checkbox" });
    box.checked = coloured;
    box.addEventListener("change", () => { coloured = box.checked; show(current, { open: false }); });
    const scale = [-4, -3, -2, -1, 1, 2, 3, 4].map((shade) => make("span", { class: shadeClass(shade) }));
    const limit = round(index.credit_unit);
    return make("div", { class: "note legend" },
      forced && make("p", {}, "The decoder forced ", make("mark", { class: "forced" }, "such tokens"), " and the model chose the rest."),
      correct && shown.some((texts) => texts.strict !== null) && make("p", {},
        "Each step is recomputed, as wrong steps can lead to a correct answer."),
      credited && make("p", {}, make("label", {}, box, "Colour by advantage"), ` −${limit} `,
        make("span", { class: "scale" }, ...scale), ` +${limit}`),
      index.unmarked.length > 0 && make("p", {},
        `Forced tokens are not marked where the tokenizer was not found: ${index.unmarked.join(", ")}`));
  };

  const rangesAt = (element, begin, end) => { // characters begin to end of a text, in ranges of its nodes
    const ranges = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(), at = 0; node && at < end; at += node.length, node = walker.nextNode()) {
      if (at + node.length <= begin) continue;
      const range = document.createRange();
      range.setStart(node, Math.max(0, begin - at));
      range.setEnd(node, Math.min(node.length, end - at));
      ranges.push(range);
    }
    return ranges;
  };
  const highlight = () => { // the first wrong step, and what was searched for, without a change of the text
    if (!window.Highlight) return;
    CSS.highlights.set("fault", new Highlight(...[...detail.querySelectorAll("[data-fault]")]
      .flatMap((element) => rangesAt(element, ...element.dataset.fault.split(" ").map(Number)))));
    const words = wanted(), ranges = [];
    const walker = document.createTreeWalker(detail, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); words && node && ranges.length < 1000; node = walker.nextNode()) {
      const content = node.data.toLowerCase();
      if (content.length !== node.data.length) continue; // places would be those of another text
      for (let at = content.indexOf(words); at >= 0; at = content.indexOf(words, at + words.length)) {
        const range = document.createRange();
        range.setStart(node, at);
        range.setEnd(node, at + words.length);
        ranges.push(range);
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  };

  // ---- keys, and links to a sample
  const move = (by) => {
    const at = view.indexOf(current), next = view[Math.max(0, Math.min(view.length - 1, at + by))];
    if (next !== undefined && next !== current) show(next, { open: true });
  };
  const moveProblem = (by) => { // to the same sample of the next problem in the list, otherwise to its first
    let at = view.indexOf(current);
    if (at < 0) return;
    while (view[at] !== undefined && index.problem[view[at]] === index.problem[current]) at += by;
    if (view[at] === undefined) return;
    const problem = index.problem[view[at]], there = [];
    for (; view[at] !== undefined && index.problem[view[at]] === problem; at += by) there.push(view[at]);
    if (by < 0) there.reverse();
    const same = there.filter((sample) => index.condition[sample] === index.condition[current]);
    show(same.find((sample) => index.number[sample] === index.number[current]) ?? same[0] ?? there[0], { open: true });
  };
  const nextWrong = () => {
    const next = view.slice(view.indexOf(current) + 1).find((sample) => !has(sample, "correct"));
    if (next !== undefined) show(next, { open: true });
  };
  const nextComparison = () => { // those behind this checkpoint at this budget, then those before it, the nearest first; of one its budgets
    if (current < 0) return;
    const own = index.condition[current], all = [...new Set(ofProblem(current).map((each) => index.condition[each]))];
    const at = all.indexOf(own), others = [...all.slice(at + 1), ...all.slice(0, at).reverse()];
    const same = others.filter((condition) => index.conditions[condition][1] === index.conditions[own][1]);
    const near = same.length ? same : others;
    compare([...near, -1][near.indexOf(beside) + 1] ?? -1);
  };

  const KEYS = {
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1), w: nextWrong,
    n: () => moveProblem(1), p: () => moveProblem(-1), c: nextComparison,
    C: () => detail.querySelector("[aria-label='Compare with']")?.focus(),
    "/": () => query.focus(), "?": () => $("keys").showModal(), Escape: leave,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open || !KEYS[event.key] || !view.length) return;
    const typing = event.target.matches("input[type=search], select");
    if (typing && event.key !== "Escape") return;
    if (event.key.startsWith("Arrow") && detail.contains(event.target)) return; // there they scroll
    event.preventDefault();
    if (typing) list.focus(); else KEYS[event.key]();
  });

  const follow = () => { // a link to a sample, or to samples that fit filters
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("sample")) {
      const prefix = [...asked.keys()].some((key) => key.startsWith(FILTER)) ? FILTER : "";
      setFilters(asked, prefix);
      allowDifferent();
      refilter();
      const unknown = selects.find((select) => asked.has(prefix + select.id) && select.value !== asked.get(prefix + select.id));
      if (unknown) fail(new Error(`The link is to samples whose ${unknown.id} is not here.`));
      return;
    }
    const problem = index.problems.indexOf(asked.get("problem"));
    const named = [asked.get("checkpoint") ?? "", asked.get("budget") ?? ""].join("\n");
    const condition = index.conditions.findIndex((each) => each.join("\n") === named);
    const found = index.problem.findIndex((each, i) => each === problem && index.condition[i] === condition
      && index.number[i] === Number(asked.get("sample")));
    beside = Number(asked.get("with") ?? -1);
    if (found >= 0 && [...asked.keys()].some((key) => key.startsWith(FILTER))) {
      [current, here] = [found, condition];
      setFilters(asked, FILTER);
      allowDifferent();
      refilter().then(() => show(found, { open: true }));
      return;
    }
    allowDifferent();
    if (!view.includes(found)) { $("filters").reset(); view = fits(); }
    current = found >= 0 ? found : view[0];
    refresh();
    if (found >= 0) show(found, { open: true });
    else fail(new Error("The link is to a sample that is not here."));
  };

  const fail = (error) => {
    [current, showing] = [-1, showing + 1];
    drawRows();
    detail.replaceChildren(make("p", { class: "warning" }, error.message));
  };

  const fill = (select, name, values) => {
    select.append(make("option", { value: "" }, name), ...values.map((value) => make("option", { value }, value)));
    select.hidden = values.length < 2;
  };

  const start = (content) => {
    index = content;
    document.title = `Samples · rlready ${index.verb}`;
    $("about").textContent = [`rlready ${index.verb}`, index.task, index.total > index.flags.length
      ? `${number(index.flags.length)} of ${number(index.total)} stored samples: those of every ${
        Math.round(index.total / index.flags.length)}th problem` : ""].filter(Boolean).join(" · ");
    fill($("checkpoint"), index.verb === "rl" ? "all steps" : "all checkpoints", [...new Set(index.conditions.map((c) => c[0]))]);
    fill($("budget"), "all budgets", [...new Set(index.conditions.map((c) => c[1]))].filter(Boolean));
    const counts = index.steps.map((_, i) => index.step.filter((step) => step === i + 1).length);
    $("step").append(make("option", { value: "" }, "all steps"), ...index.steps.map((kind, i) =>
      make("option", { value: kind }, `wrong step: ${kind} (${number(counts[i])})`)));
    $("step").hidden = !index.steps.length;
    for (const flag of FLAGS.slice(1)) {
      if (!index.flags.some((flags) => flags & BIT[flag])) continue;
      const box = make("input", { type: "checkbox", name: flag });
      $("flags").append(make("label", { title: MEANING[flag] }, box, ` ${WORDS[flag] ?? flag}`));
    }
    $("marks").append(...Object.entries(MEANING) // of all marks, whether a sample has them or not
      .flatMap(([flag, meaning]) => [make("dt", {}, WORDS[flag] ?? flag), make("dd", {}, meaning)]));
    let due;
    query.addEventListener("input", () => { clearTimeout(due); due = setTimeout(() => refilter().then(remember), 250); });
    $("filters").addEventListener("change", (event) => {
      if (event.target === query) return;
      const shown = current, outcomes = event.target === selects[0];
      if (outcomes && current >= 0) here = index.condition[current];
      allowDifferent();
      refilter().then(() => { if (outcomes && current === shown) show(current, { open: false }); }).then(remember);
    });
    $("filters").addEventListener("submit", (event) => { event.preventDefault(); list.focus(); });
    $("help").addEventListener("click", () => $("keys").showModal());
    list.addEventListener("scroll", drawRows, { passive: true });
    window.addEventListener("resize", () => refresh());
    window.addEventListener("hashchange", () => { if (!left) follow(); });
    view = fits();
    together = index.problem.some((problem, i) => i > 0 && problem === index.problem[i - 1]
      && index.condition[i] !== index.condition[i - 1]);
    allowDifferent();
    if (location.hash.length > 1) follow(); else refresh();
  };
  load(0).then(start).catch(fail);
})();
