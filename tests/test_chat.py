"""The conversation format is what the chat template writes: a grid of tokenizer families and kinds of templates.

Every cell compares with transformers alone: the loss of the template's own rendering by the model's own forward, and
responses that end where the turn ends.
"""

from __future__ import annotations

import _thread
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import Lowercase

import families
import rlready.models.time_limit
from families import available, family
from rlready.core.errors import UserError
from rlready.core.records import Problem, Row, Sample
from rlready.engine.budget import Budget, BudgetState
from rlready.engine.protocol import budget_for, forcing_for, requests_for
from rlready.engine.rollout import answer_of
from rlready.engine.torch import TorchEngine
from rlready.models import chat
from rlready.models.chat import Thought
from rlready.models.chat_template import OPENER, learn_format
from rlready.models.encode import encode
from rlready.models.heldout_loss import heldout_loss
from rlready.models.lm import LM, with_thought
from rlready.models.time_limit import OutOfTime, Watch, time_limit
from test_rows import row_of, said
from tiny import tiny_lm, tiny_model

TURN = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
CHATML = "{% for m in messages %}" + TURN + "{% endfor %}" + ASK
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ '<|assistant|>' + m['content'].split('</think>')[-1] + eos_token }}"
    "{% else %}{{ '<|user|>' + m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)
QWEN3 = (  # the thought from its key, or from before </think>, written on the last turn only
    "{% for m in messages %}{% if m.role == 'assistant' %}{% set r = m.reasoning_content or '' %}"
    "{% set c = m.content %}{% if '</think>' in c %}"
    "{% set r = c.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n' }}{% if loop.last %}{{ '<think>\n' + r.strip('\n') + '\n</think>\n\n' }}{% endif %}"
    "{{ c + '<|im_end|>\n' }}{% else %}" + TURN + "{% endif %}{% endfor %}" + ASK
)
CLOSED = QWEN3.replace(ASK, ASK.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n"))
PARTS = CHATML.replace("m['content']", "m['content'][0]['text']")
INSTRUCT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}"
    "{% else %}{{ raise_exception('no system turn, please') }}{% endif %}{% endfor %}"
)
SWITCHED = QWEN3.replace(ASK, ASK.replace("\n' }}", "\n' }}{{ '<think>\n\n</think>\n\n' if not enable_thinking }}"))
NAMED = {"default": CHATML, "tool_use": CHATML + "{# #}"}


@dataclass(frozen=True)
class Kind:
    """A template, and what transformers alone would make of a question and a thought with it."""

    template: str | None
    asked: str  # the text before the response, {q} for the question
    said: str  # the response with the end of its turn, {t} for the thought, {a} for the answer
    thinks: bool = True
    end: str = "<|im_end|>"
    eos: str = "</s>"
    also: tuple[str, ...] = ()  # further ends of sequence of the generation config


IM = "<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n"
KINDS = {
    "no thought": Kind(CHATML, IM, "{a}<|im_end|>", thinks=False, eos="<|im_end|>"),
    "turn end is not eos": Kind(CHATML, IM, "{a}<|im_end|>", thinks=False),
    "several eos": Kind(CHATML, IM, "{a}<|im_end|>", thinks=False, also=("<|user|>", "<unk>")),
    "opened by the prompt": Kind(R1, "<s><|user|>{q}<|assistant|><think>\n", "{t}\n</think>\n\n{a}</s>", end="</s>"),
    "written by a key": Kind(QWEN3, IM, "<think>\n{t}\n</think>\n\n{a}<|im_end|>"),
    "closed by the prompt": Kind(CLOSED, IM + "<think>\n\n</think>\n\n", "{a}<|im_end|>", thinks=False),
    "content in parts": Kind(PARTS, IM, "{a}<|im_end|>", thinks=False),
    "instruct": Kind(INSTRUCT, "<s>[INST] {q} [/INST]", " {a} </s>", thinks=False, end="</s>"),
    "no template": Kind(None, "<s>{q}\n", "{a}</s>", thinks=False, end="</s>"),
    "written by us": Kind(CHATML + OPENER, IM + "<think>", "\n{t}\n</think>\n{a}<|im_end|>"),
}
QUESTIONS = (("What is 3 + 2?", "we add 3 and 2", "the sum is 5"), ("Grüße, 東京!", "so the sum\n\nis 5", "#### 5"))


def lm_of(tokenizer: Any, kind: Kind) -> LM:
    """A tiny random model in front of a tokenizer that has the kind's template and ends of sequence."""
    tokenizer.eos_token = kind.eos
    tokenizer.chat_template = kind.template
    model = tiny_model("Llama", vocab_size=len(tokenizer), hidden_size=32, head_dim=8, max_position_embeddings=256)
    ends = [tokenizer.convert_tokens_to_ids(text) for text in (kind.eos, *kind.also)]
    model.generation_config.eos_token_id = ends if kind.also else ends[0]
    return LM(model, tokenizer, "tiny")


def reference_loss(lm: LM, pairs: Sequence[tuple[str, str]]) -> float:
    """Nats per response token by transformers alone: the whole text as tokens, of which the prompt is the beginning."""
    total, count = 0.0, 0
    for prompt, response in pairs:
        head = lm.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = lm.tokenizer(prompt + response, add_special_tokens=False)["input_ids"]
        if ids[: len(head)] != head:  # a token across the border, which a response that is drawn cannot have
            ids = [*head, *lm.tokenizer("a" + response, add_special_tokens=False)["input_ids"][1:]]
        with torch.no_grad():
            logits = lm.model(torch.tensor([ids])).logits[0, :-1].double()
        logp = logits.log_softmax(-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
        total, count = total - logp[len(head) - 1 :].sum().item(), count + len(ids) - len(head)
    return total / count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*families.MADE, *families.REAL])
def test_a_cell_of_the_grid(name: str, kind: str) -> None:
    """Held-out loss is that of the template's own rendering, and sampling ends where the turn ends."""
    if not available(name):
        pytest.skip("the real tokenizers were not fetched: make tokenizers")
    it, tokenizer = KINDS[kind], family(name)
    lm = lm_of(tokenizer, it)
    assert (lm.thinks, lm.chat.end) == (it.thinks, it.end)
    assert {lm.tokenizer.convert_tokens_to_ids(t) for t in (it.end, it.eos, *it.also)} <= lm.stop_ids

    rows = [Row(f"r{i}", q, a, t if it.thinks else None) for i, (q, t, a) in enumerate(QUESTIONS)]
    pairs = [(it.asked.format(q=q), it.said.format(t=t, a=a)) for q, t, a in QUESTIONS]
    loss = heldout_loss(lm, encode(lm, rows, "rows"), 4096).token_mean.value
    assert loss == pytest.approx(reference_loss(lm, pairs), abs=1e-4)

    end = lm.tokenizer.convert_tokens_to_ids(it.end)
    samples = drawn(lm, rows, end)
    assert any(sample.finish == "stop" and sample.tokens[-1] == end for sample in samples)
    for sample in samples:
        tokens = sample.tokens.tolist()
        stops = [at for at, token in enumerate(tokens) if token in lm.stop_ids]
        assert stops == ([len(tokens) - 1] if sample.finish == "stop" else [])


def drawn(lm: LM, rows: Sequence[Row], end: int, thinking_budget: int = 40) -> list[Sample]:
    """Responses of a model that was made to like a token."""
    ids = [lm.prompt_ids(row.prompt, think=lm.thinks) for row in rows]
    with torch.no_grad():
        hidden_D = torch.cat([lm.model.base_model(torch.tensor([i])).last_hidden_state[0] for i in ids]).mean(0)
        lm.model.get_output_embeddings().weight[end] = 0.8 * (len(lm.tokenizer) ** 0.5) * hidden_D / hidden_D.norm()
    requests = requests_for(
        lm, [Problem(row.id, row.prompt, "") for row in rows], 8, budget_for(lm, thinking_budget, 40)
    )
    return TorchEngine(lm, forcing_for(lm)).sample(requests, temperature=1.0, seed=0)


@pytest.mark.parametrize("name", families.REAL)
def test_a_real_template(name: str) -> None:
    """Real tokenizers with the templates they come with; the reference is rendered by transformers."""
    if not available(name):
        pytest.skip("the real tokenizers were not fetched: make tokenizers")
    tokenizer = families.published(name)
    lm = LM(tiny_model("Llama", vocab_size=len(tokenizer), max_position_embeddings=256), tokenizer, name)
    thinks = name == "qwen3"
    assert lm.thinks is thinks
    rows, pairs = [], []
    for i, (question, thought, answer) in enumerate(QUESTIONS):
        turn = {"role": "assistant", "content": answer} | ({"reasoning_content": thought} if thinks else {})
        turns = [{"role": "user", "content": question}, turn]
        template = tokenizer.chat_template or chat.BARE
        with_it = {"chat_template": template, "tokenize": False}
        ask = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, **with_it)
        full = tokenizer.apply_chat_template(turns, **with_it).rstrip("\n")
        assert full.startswith(ask)
        rows.append(Row(f"r{i}", question, answer, thought if thinks else None))
        pairs.append((ask, full[len(ask) :]))
    loss = heldout_loss(lm, encode(lm, rows, "rows"), 4096).token_mean.value
    assert loss == pytest.approx(reference_loss(lm, pairs), abs=1e-4)
    assert ("no chat template" in str(lm.chat)) is (name == "llama2")

    end = lm.worked_ids(rows[0], think=thinks)[1][-1]
    samples = drawn(lm, rows, end)
    assert {s.finish for s in samples if s.tokens[-1] == end} == {"stop"}
    assert all(s.thinking_tokens <= 40 and s.answer_tokens <= 40 for s in samples)
    if thinks:  # the forced close is as the template writes it
        samples = drawn(lm, rows, lm.encode("x")[0], thinking_budget=1)
        assert {s.text.count("</think>\n\n") for s in samples if s.truncated} == {1}


@pytest.mark.parametrize(
    ("template", "thought", "tail"),
    [
        (R1, Thought(after_close="\n\n"), "<think>\n"),
        (QWEN3, Thought(after_close="\n\n", told=True), ""),
        (CLOSED, Thought(after_close="\n\n", told=True), "<think>\n\n</think>\n\n"),
        (CHATML + OPENER, Thought(), "<think>"),
        (CHATML + "{{ '<think>' if add_generation_prompt }}", Thought(after_close="\n\n"), "<think>"),
        (
            "{% for m in messages %}{{ '</think>' if m.role == 'assistant' }}{{ m.content + '</s>' }}{% endfor %}"
            "{{ '<think>' if add_generation_prompt }}",
            Thought(after_open="", before_close="", after_close=""),
            "<think>",
        ),
        (
            "{% for m in messages %}{{ '<|start|>assistant' if m.role == 'assistant' }}"
            "{% if m.thinking %}{{ '<|channel|>analysis<|message|>' + m.thinking + "
            "'<|end|><|start|>assistant<|channel|>final<|message|>' }}{% endif %}{{ m.content + '</s>' }}{% endfor %}"
            "{{ '<|start|>assistant' if add_generation_prompt }}",
            Thought("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>",
                    after_open="", before_close="", after_close="", told=True),
            "",
        ),
        (CHATML.replace("m['content']", "m['content'].split('</think>')[-1]"), Thought(), ""),
    ],
)  # fmt: skip
def test_what_is_learned(template: str, thought: Thought, tail: str) -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = template
    form = learn_format(tokenizer, "it")
    assert (form.thought, form.tail) == (thought, tail)


def test_a_thought_must_be_written_by_the_template_not_only_known() -> None:
    """``<think>`` in the vocabulary, or in what strips old turns, opens no thought; delimiters= does."""
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML.replace("m['content']", "m['content'].split('</think>')[-1]")
    form = learn_format(tokenizer, "it")
    assert not form.thinks
    assert "opens no thought" in str(form)
    assert "delimiters=<think>,</think>" in str(form)
    thinking = learn_format(tokenizer, "it", ("<think>", "</think>"))
    assert thinking.prompt("Hi", think=True).endswith("assistant\n<think>")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('A system message is required') }}", "A system message is required"),
        ("{% for m in messages %", "cannot be rendered"),
        ("{{ messages[0].content.nothing.at_all }}", "cannot be rendered"),
        ("{{ 'Hello' }}", "leaves out the question"),
        ("{{ messages[0].content }}{{ range(2) | random }}", "draws at random, so that one seed would give other"),
        ("{{ messages[0].content }}{{ lipsum(1) }}", "draws at random"),
        ("{{ messages[0].content }}{{ caller }}{{ joiner() }}", "differently each time"),
        ({"tool_use": CHATML}, "has chat templates named 'tool_use', and none named 'default'; save the one"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line(template: Any, message: str) -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=message) as caught:
        learn_format(tokenizer, "it")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loops_for", ["true", "m.role == 'assistant'", "m.reasoning_content is defined"])
def test_a_template_that_does_not_end_is_refused_in_time(loops_for: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it loops: other errors of a template make the next form of a conversation be tried."""
    monkeypatch.setattr(chat, "RENDER_SECONDS", 0.2)
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML + "{% for m in messages if " + loops_for + " %}" + endless + "{% endfor %}"
    with pytest.raises(UserError, match=r"^name: its chat template does not end: one conversation takes"):
        learn_format(tokenizer, "name")


def test_a_watching_thread_that_is_faster_than_the_one_that_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It once ended at once, and from then on no block had a limit."""
    start = _thread.start_new_thread

    def slowly(function: Any, arguments: Any) -> int:
        started = start(function, arguments)
        time.sleep(0.05)
        return started

    monkeypatch.setattr(_thread, "start_new_thread", slowly)
    monkeypatch.setattr(rlready.models.time_limit, "WATCH", Watch())

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        with time_limit(0.1):
            while time.monotonic() < end:
                pass

    with pytest.raises(OutOfTime):
        wait(5)


GROWN = "{% set ns = namespace(x=['a']) %}{% for i in range(40) %}{% set ns.x = MORE %}{% endfor %}{{ ns.x }}"


@pytest.mark.parametrize(
    "template",
    [
        "{{ 7 ** (7 ** 9) }}",
        "{% set a = ('f' * 16000000)|int(base=16) %}{{ a % (('e' * 8000000)|int(base=16)) }}",
        "{{ ('ab ' * 80000)|wordwrap(1, wrapstring='x' * 80000) }}",
        "{{ ('http://a.b ' * 20000)|urlize(rel='x' * 20000) }}",
        "{{ ([[0]] * 100000)|sum(start=[])|length }}",
        "{{ strftime_now('%2000000000Y') }}",
        "{{ 'a' * 8000000000 }}",
        "{{ [1] * 8000000000 }}",
        "{{ 'a'|center(8000000000) }}",
        "{{ 'a'.ljust(8000000000) }}",
        "{{ 2.5|round(8000000000) }}",
        "{{ '%8000000000d' % 1 }}",
        "{{ '%*d'|format(8000000000, 1) }}",
        "{{ '{:8000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 8000000000) }}",
        GROWN.replace("MORE", "ns.x + ns.x"),
        GROWN.replace("MORE", "ns.x ~ ns.x"),
        GROWN.replace("MORE", "[ns.x, ns.x]"),
        GROWN.replace("MORE", "dict(a=ns.x, b=ns.x)"),
        GROWN.replace("MORE", "ns.x|join('')|replace('a', 'aa')"),
        GROWN.replace("set ns.x = MORE", "set ns.x").replace("{% endfor", "{{ ns.x }}{{ ns.x }}{% endset %}{% endfor"),
    ],
)
def test_a_template_that_makes_too_much_is_refused(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of time reaches a single operation in C: it must be refused before it is done."""
    monkeypatch.setattr("rlready.models.template_bounds.LARGEST", 1 << 18)
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML + template
    start = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(UserError, match=r"^it: its chat template cannot be rendered: it makes .*than a conv"):
        learn_format(tokenizer, "it")
    end = resource.getrusage(resource.RUSAGE_SELF)
    assert end.ru_utime - start.ru_utime < 4
    assert end.ru_maxrss - start.ru_maxrss < 200_000  # kB


def test_a_bounded_template_writes_what_jinja_writes() -> None:
    operations = (
        "{{ [1, 'b'] + [(2, 3)] }}{{ 1 ~ 'x' ~ none }}{{ '%03d|%s' % (7, 'y') }}{{ '{0:>5}'.format('z') }}{{ 3 ** 4 }}"
        "{% for a, b in {'k': [1.5, {}]}.items() %}{{ a * 3 }}{{ b|tojson(indent=1) }}{% endfor %}{{ 7 % 4 }}"
        "{{ 7 // 2 }}{{ 7 / 2 }}"
        "{{ messages|map(attribute='role')|join(',') }}{{ range(3)|list }}{{ '%s' % 1700000000 }}{{ 'a b'|indent(2) }}"
    )
    tokenizer = family("byte-level")
    tokenizer.chat_template = operations + CHATML
    assert (
        learn_format(tokenizer, "it")
        .prompt("Hi", think=False)
        .startswith("[1, 'b', (2, 3)]1xNone007|y    z81kkk[\n 1.5,\n {}\n]333.5user[0, 1, 2]1700000000a b")
    )


def test_the_date_is_fixed_and_reported() -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y %H:%M:%S') + '\n' }}" + CHATML
    form = learn_format(tokenizer, "it")
    assert form.prompt("Hi", think=False).startswith("26 Jul 2024 00:00:00\n")
    assert "the date, which is fixed to 2024-07-26" in str(form)
    assert form.describe()["date"] == "2024-07-26"


def test_a_system_turn_goes_where_the_template_puts_it() -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML
    asked = learn_format(tokenizer, "it").prompt("Hi", "Be brief.", think=False)
    assert asked.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>")
    tokenizer.chat_template = INSTRUCT  # raises at a system turn
    assert learn_format(tokenizer, "it").prompt("Hi", "Be brief.", think=False) == "<s>[INST] Be brief.\n\nHi [/INST]"


@pytest.mark.parametrize("turn", ["<think>\n we add \n</think>\n\n\n5 ", "<think>we add</think>5"])
def test_an_inline_thought_keeps_its_own_breaks(turn: str) -> None:
    """Where the template passes content on, the turn is learned character for character."""
    tokenizer = family("byte-level")
    for template in (CHATML, CHATML + OPENER):
        tokenizer.chat_template = template
        prompt, response = learn_format(tokenizer, "it").worked(Row("r", "Hi", "5", "we add", turn=turn), think=True)
        assert prompt + response == IM.format(q="Hi") + turn + "<|im_end|>"
    tokenizer.chat_template = R1  # removes thoughts: written by its convention instead
    prompt, response = learn_format(tokenizer, "it").worked(Row("r", "Hi", "5", "we add", turn=turn), think=True)
    assert prompt + response == "<s><|user|>Hi<|assistant|><think>\nwe add\n</think>\n\n5</s>"


@pytest.mark.parametrize("template", [CHATML, QWEN3])
def test_a_thought_between_other_delimiters_is_rewritten_for_a_model_that_thinks(template: str) -> None:
    """Else SFT would teach a thought that never closes; a model that does not think keeps the turn as it was."""
    tokenizer = family("byte-level")
    tokenizer.chat_template = template
    row = Row("r", "Hi", "5", "we add", turn="<thinking>we add</thinking>5")
    lm = LM(tiny_lm().model, tokenizer, "it")
    if template == CHATML:
        assert lm.chat.worked(row, think=True)[1] == row.turn + "<|im_end|>"
    _, response = with_thought(lm).chat.worked(row, think=True)
    assert response.removeprefix("<think>").split() == ["we", "add", "</think>", "5<|im_end|>"]


def test_an_opener_that_the_template_writes_before_any_content_is_written_once() -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML.replace(
        "m['content']", "('<think>' if m.role == 'assistant' else '') + m['content']"
    )
    tokenizer.chat_template += OPENER
    form = learn_format(tokenizer, "it")
    prompt, response = form.worked(Row("r", "Hi", "5", "we add", turn="<think>we add</think>5"), think=True)
    assert prompt + response == IM.format(q="Hi") + "<think>we add</think>5<|im_end|>"


EXAONE = (  # closes an empty thought unless asked to think, and takes thoughts inside of the content only
    "{% for m in messages %}{{ '[|' + m.role + '|]\n' }}{% if m.role == 'assistant' %}"
    "{% if '</think>' in m.content %}{% set r = m.content.split('</think>')[0].replace('<think>', '').strip() %}"
    "{{ '<think>\n' + r + '\n</think>\n\n' + m.content.split('</think>')[1].lstrip() }}"
    "{% else %}{{ '<think>\n\n</think>\n\n' + m.content }}{% endif %}{{ '</s>' }}{% else %}{{ m.content + '\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '[|assistant|]\n' }}"
    "{{ '<think>\n' if enable_thinking else '<think>\n\n</think>\n\n' }}{% endif %}"
)
V31 = (  # a lone closer where it does not think
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '</think>' + m.content.split('</think>')[-1] + '</s>' }}"
    "{% else %}{{ '<|user|>' + m.content + '<|assistant|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<think>' if thinking else '</think>' }}{% endif %}"
)
MAGISTRAL = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for p in m.content %}{{ '[THINK]' + p.thinking + '[/THINK]' if p.type == 'thinking' else p.text }}"
    "{% endfor %}{% endif %}{{ '</s>' }}{% else %}{{ '[INST]' + m.content + '[/INST]' }}{% endif %}{% endfor %}"
)
MODES = CHATML.replace(  # SmolLM3's way: a system turn that says /no_think closes the thought
    ASK, ASK.replace("\n' }}", "\n' }}{{ '<think>\n\n</think>\n' if '/no_think' in messages[0].content }}")
)
STRIPS = CHATML.replace("m['content']", "m['content'].split('</think>')[-1]")
NEWLINE = CHATML + "\n"  # which rendering leaves out at the end of a template


@pytest.mark.parametrize("thinking", ["", "5", "Hi", "we add"])
def test_an_inline_thought_is_never_lost(thinking: str) -> None:
    """Also where it is empty, or stands in the answer or the prompt too, and the template strips it."""
    tokenizer = family("byte-level")
    tokenizer.chat_template = R1
    turn = f"<think>\n{thinking}\n</think>\n\n5"
    _, response = learn_format(tokenizer, "it").worked(Row("r", "Hi", "5", thinking, turn=turn), think=True)
    assert response == f"{thinking}\n</think>\n\n5</s>"


@pytest.mark.parametrize(
    ("template", "asked", "said"),
    [
        (EXAONE, "[|user|]\nHi\n[|assistant|]\n<think>\n", "we add\n</think>\n\n5</s>"),
        (V31, "<|user|>Hi<|assistant|><think>", "we add</think>5</s>"),
        (INSTRUCT, "<s>[INST] Hi [/INST] <think>", "\nwe add\n</think>\n5 </s>"),
        (CHATML.replace(ASK, ""), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>",
         "\nwe add\n</think>\n5<|im_end|>"),
        (STRIPS, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>", "\nwe add\n</think>\n5<|im_end|>"),
        (NEWLINE, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>", "\nwe add\n</think>\n5<|im_end|>"),
    ],
)  # fmt: skip
def test_sft_and_sampling_use_the_same_prompt(template: str, asked: str, said: str) -> None:
    """One opener, one closer, behind the prompt that transformers makes of the saved template; a row without a
    thought has an empty one."""
    tokenizer = family("byte-level")
    tokenizer.chat_template = template
    lm = with_thought(LM(tiny_lm().model, tokenizer, "it"))
    turns = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == asked
    assert lm.chat.prompt("Hi", think=True) == asked
    assert lm.chat.worked(Row("r", "Hi", "5", "we add"), think=True) == (asked, said)
    prompt, response = lm.chat.worked(Row("r", "Hi", "5"), think=True)
    assert (prompt, "".join(response.split())) == (asked, "".join(said.replace("we add", "").split()))
    if template not in (EXAONE, V31):  # which have no place for a thought of its own key
        turns.append({"role": "assistant", "content": "5", "reasoning_content": "we add"})
        assert tokenizer.apply_chat_template(turns, tokenize=False).startswith(asked + said)


def test_a_thought_as_a_part_of_the_content() -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = MAGISTRAL
    form = learn_format(tokenizer, "it")
    assert form.thinks
    assert form.worked(Row("r", "Hi", "5", "we add"), think=True) == ("[INST]Hi[/INST]", "[THINK]we add[/THINK]5</s>")


def test_a_prompt_that_closes_the_thought_of_one_row_only() -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = MODES
    form = learn_format(tokenizer, "it", ("<think>", "</think>"))
    _, response = form.worked(Row("r", "Hi", "5", None, "/no_think"), think=True)
    assert response == "5<|im_end|>"
    assert form.prompt("Hi", "/no_think", think=True).endswith("assistant\n<think>")
    assert form.worked(Row("r", "Hi", "5", "we add", "/think"), think=True)[1] == "\nwe add\n</think>\n5<|im_end|>"


def test_a_line_break_is_no_end_of_turn() -> None:
    """Gemma has one as a token of its own, which is not special."""
    tokenizer = family("byte-level")
    tokenizer.add_tokens(["\n\n"])
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n\n' }}{% endfor %}"
    lm = LM(tiny_lm().model, tokenizer, "it")
    assert (lm.chat.end, lm.chat.end_text) == ("", "")
    assert lm.chat.worked(Row("r", "Hi", "5"), think=False)[1].endswith("5\n\n")
    assert "writes no end of a turn, so a response ends in </s>" in str(lm.chat)


PROMPTED = CHATML.replace("im_start", "says").replace("im_end", "ends")  # no tokens of any vocabulary
THOUGHTS_OF_TEXT = CHATML.replace("im_end", "ends") + OPENER


@pytest.mark.parametrize(
    ("template", "asked", "ends"),
    [
        (PROMPTED, "<|says|>user\n{q}<|ends|>\n<|says|>assistant\n", "<|ends|>\n"),
        ("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}", "user: {q}\nassistant: ", "\n"),
    ],
)
def test_a_turn_that_ends_in_no_token(template: str, asked: str, ends: str) -> None:
    """The loss is that of what the template writes; only what learns from a row sees the end of sequence behind it."""
    prompted = template if "says" in template else template + "{% if add_generation_prompt %}assistant: {% endif %}"
    lm = lm_of(family("byte-level"), Kind(prompted, asked, "{a}" + ends, thinks=False))
    rows = [Row(f"r{i}", q, a) for i, (q, _, a) in enumerate(QUESTIONS)]
    loss = heldout_loss(lm, encode(lm, rows, "rows"), 4096).token_mean.value
    assert loss == pytest.approx(reference_loss(lm, [(asked.format(q=q), a + ends) for q, _, a in QUESTIONS]), abs=1e-4)
    (prompt, response), learned = (
        lm.worked_ids(rows[0], think=False),
        lm.worked_ids(rows[0], think=False, stops=True),
    )
    assert learned == (prompt, [*response, lm.tokenizer.eos_token_id])
    assert encode(lm, rows[:1], "rows", stops=True)[0].response_ids[-1] == lm.tokenizer.eos_token_id


def said_by(lm: LM, text: str, budget: Budget) -> BudgetState:
    """The state after a policy that says a text, from where tokens are forced on again."""
    state = BudgetState(budget, forcing_for(lm))
    for token in lm.encode(text):
        while state.forced() is not None:
            pass
        if state.done:
            break
        state.accept(token, -1.0)
    return state


def test_a_response_ends_in_the_text_that_ends_a_turn() -> None:
    lm = lm_of(family("byte-level"), Kind(PROMPTED, "", "", thinks=False))
    assert "a turn ends in the text <|ends|>, which is no token" in str(lm.chat)
    assert lm.stop_texts == ["</s>", "<|ends|>\n", "<|ends|>"]
    state = said_by(lm, "the sum <|en is 5<|ends|>\n<|says|>user\nWhat is 3?", Budget(None, 200))
    sample = state.sample("p", 0, lm.decode(state.tokens))
    assert (sample.finish, answer_of(sample, lm)[1]) == ("stop", "the sum <|en is 5")
    assert sample.mask.all()


BETWEEN = (  # as Qwen1.5's and MPT's: no end behind the last turn
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "{{ '<|im_start|>system\nBe helpful<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% if not loop.last %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_end|>\n<|im_start|>assistant\n' }}{% endif %}"
)
ALWAYS = (  # the header of the next turn, whether it is asked for or not
    "{% for m in messages %}{{ '### Instruction:\n' if m.role == 'user' else '' }}{{ m.content + '\n\n' }}"
    "{{ '### Response:\n' if m.role == 'user' or loop.last else '' }}{% endfor %}"
)
ENDS = "{{ eos_token }}{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"  # DialoGPT's, and one before all
HASHES = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n###\n' }}{% endfor %}"
FOREIGN = HASHES.replace("\n###\n", "◁end▷\n")


@pytest.mark.parametrize(
    ("template", "end", "end_text", "response"),
    [
        (BETWEEN, "<|im_end|>", "", "5<|im_end|>"),
        (ALWAYS, "", "", "5\n\n"),
        (ENDS, "</s>", "", "5</s>"),
        (HASHES, "", "\n###\n", "assistant: 5\n###\n"),
        (FOREIGN, "", "◁end▷\n", "assistant: 5◁end▷\n"),
    ],
)
def test_how_templates_end_a_turn(template: str, end: str, end_text: str, response: str) -> None:
    lm = lm_of(family("byte-level"), Kind(template, "", "", thinks=False))
    assert (lm.chat.end, lm.chat.end_text) == (end, end_text)
    assert lm.chat.worked(Row("r", "Hi", "5"), think=False)[1] == response
    state = said_by(lm, f"We add.\n#### 5{end or end_text}and more", Budget(None, 200))
    sample = state.sample("p", 0, lm.decode(state.tokens))
    if end or end_text:
        assert (sample.finish, answer_of(sample, lm)[1]) == ("stop", "We add.\n#### 5")
    assert lm.without_end(f"#### 5{end_text}\n") == ("#### 5" if end_text else "#### 5\n")  # of the same token


def test_a_trace_whose_end_is_a_text_is_replayed_as_it_would_be_drawn() -> None:
    """Also where the budget is reached inside the text."""
    lm = lm_of(family("byte-level"), Kind(THOUGHTS_OF_TEXT, "", ""))
    thought = "we add <|"  # which begins like the text
    text = f"{thought}<|ends|>\n5<|ends|>\n"
    trace = said_by(lm, text, Budget(100, 100)).sample("p", 0, "")
    whole = len(lm.encode(thought))
    assert trace.thinking_tokens == whole
    for budget in range(1, whole + 12):
        drawn = said_by(lm, text, Budget(budget, 100))
        replayed = BudgetState(Budget(budget, 100), forcing_for(lm))
        replayed.replay(trace)
        assert replayed.thinking_tokens == drawn.thinking_tokens == min(budget, whole)
        assert replayed.truncated == drawn.truncated == (budget <= whole)


def test_a_thought_is_closed_where_the_response_ends_in_it() -> None:
    lm = lm_of(family("byte-level"), Kind(THOUGHTS_OF_TEXT, "", ""))
    assert (lm.thinks, lm.chat.end_text) == (True, "<|ends|>\n")
    state = said_by(lm, "we add<|ends|>\n5<|ends|>\n and more", Budget(100, 100))
    sample = state.sample("p", 0, lm.decode(state.tokens))
    assert sample.text == "we add\n</think>\n5<|ends|>\n"
    assert (sample.finish, sample.forced_close, sample.truncated) == ("stop", True, False)
    assert sample.thinking_tokens == len(lm.encode("we add"))
    assert answer_of(sample, lm) == ("we add\n", "\n5")


@pytest.mark.parametrize(
    ("template", "row", "message"),
    [
        (
            CHATML.replace("m['content']", "(m['content'] if m.role == 'user' else 'no')"),
            Row("r7", "3", "a"),
            "changes the response of row r7",
        ),
        (R1, Row("r7", "3", "a </think> b", "t"), "changes the response of row r7"),
        (QWEN3, Row("r7", "3", "a", "<think>t</think>"), "the thought of row r7 contains '</think>'"),
        ("{{ loop.nothing }}{{ messages[0].content + messages | length | string }}", Row("r7", "3", "a"), "row r7"),
    ],
)
def test_a_row_that_a_template_changes_is_refused(template: str, row: Row, message: str) -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = template.replace("{{ loop.nothing }}", "")
    with pytest.raises(UserError, match=message):
        learn_format(tokenizer, "it").worked(row, think=row.thinking is not None)


@pytest.mark.parametrize("template", [None, CHATML, QWEN3, R1, SWITCHED, NAMED])
def test_sft_on_thoughts_leaves_a_template_that_says_so(template: Any) -> None:
    """What SFT learned is what the saved template opens and, where it takes thoughts, what transformers renders."""
    tokenizer = family("byte-level")
    tokenizer.chat_template = template
    lm = with_thought(LM(tiny_lm().model, tokenizer, "it"))
    assert lm.thinks
    row = Row("r", "Hi", "the sum is 5", "we add")
    prompt, response = lm.chat.worked(row, think=True)
    if isinstance(template, dict):
        assert tokenizer.chat_template["tool_use"] == template["tool_use"]
    assert lm.chat.key or template == R1
    if lm.chat.key:
        turns = [{"role": "user", "content": "Hi"}]
        said = {"role": "assistant", "content": row.response, "reasoning_content": row.thinking}
        assert tokenizer.apply_chat_template([*turns, said], tokenize=False).startswith(prompt + response)
        asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert (prompt + response).startswith(asked)


@pytest.mark.parametrize("name", families.MADE)
def test_a_continuation_has_the_tokens_it_has_behind_its_prompt(name: str) -> None:
    """No added spaces, in worked rows and in forced text."""
    tokenizer = family(name)
    lm = lm_of(tokenizer, KINDS["written by us"])
    said = "\nwe add 3\n</think>\nthe sum is 5<|im_end|>"
    prompt, response = lm.worked_ids(Row("r", "What is 3 + 2?", "the sum is 5", "we add 3"), think=True)
    whole = tokenizer(IM.format(q="What is 3 + 2?") + "<think>" + said, add_special_tokens=False)["input_ids"]
    assert [*prompt, *response] == whole
    by = forcing_for(lm, answer_prefix="the answer is")
    forced = [*lm.encode("a"), *by.close_ids, *by.answer_prefix_ids]
    assert lm.encode("a\n</think>\nthe answer is") == forced or name == "words"  # which has no line break
    if not name.endswith(("always", "words")):  # of these the one writes spaces between pieces, the other all of them
        assert lm.decode(response) == said
        assert lm.decode(forced) == "a\n</think>\nthe answer is"


def test_a_long_template_is_searched_in_a_moment() -> None:
    """One that nearly has what this package writes, thousands of times, in a comment."""
    tokenizer = families.family("characters")
    tokenizer.chat_template = "{# " + r"content='a\n' + m.reasoning_content + '\n" * 10_000 + " #}" + CHATML
    begun = time.process_time()
    learn_format(tokenizer, "m")
    assert time.process_time() - begun < 10


def test_a_closer_that_is_not_found_again_is_refused() -> None:
    """A tokenizer that writes everything small never gives [/THINK] back: each thought would run to its cap."""
    tokenizer = family("byte-level")
    tokenizer.backend_tokenizer.normalizer = Lowercase()
    tokenizer.chat_template = CHATML
    lm = LM(tiny_lm(vocab_size=512).model, tokenizer, "it", ("[THINK]", "[/THINK]"))
    with pytest.raises(UserError, match="cannot be recognised"):
        forcing_for(lm)


def test_a_thought_that_the_prompt_always_closes_cannot_be_learned() -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = CLOSED
    with pytest.raises(UserError, match="closes the thought before it begins"):
        with_thought(LM(tiny_lm().model, tokenizer, "it"))


def test_an_assumed_thought_format_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML
    lm = LM(tiny_lm(vocab_size=512).model, tokenizer, "it")
    encode(lm, [Row("r", "Hi", "5", "we add", turn="<think>we add</think>5")], "inline.jsonl")
    assert "warning" not in capsys.readouterr().err
    encode(lm, [Row("r", "Hi", "5", "we add")], "apart.jsonl")
    assert "apart.jsonl: warning: rows have thoughts" in capsys.readouterr().err


tokenless = said.filter(lambda text: not any(token in text for token in families.SPECIAL))


@settings(max_examples=60, deadline=None)
@given(prompt=tokenless, thinking=tokenless, response=tokenless, space=st.text("\n ", max_size=2))
def test_what_goes_in_as_rows_comes_out_as_tokens_of_the_loss(
    prompt: str, thinking: str, response: str, space: str
) -> None:
    """Character for character, from columns, from chats and from thoughts inside a turn, and nothing beside it."""
    tokenizer = family("byte-level")
    tokenizer.chat_template = CHATML + OPENER
    lm = LM(tiny_lm(vocab_size=512).model, tokenizer, "it")
    turn = f"<think>{space}{thinking}</think>{space}{response}{space}"
    apart = f"\n{thinking}\n</think>\n{response}<|im_end|>"
    asked = {"role": "user", "content": prompt}
    shapes: list[tuple[dict[str, Any], str]] = [
        ({"prompt": prompt, "thinking": thinking, "response": response}, apart),
        ({"messages": [asked, {"role": "assistant", "content": response, "reasoning_content": thinking}]}, apart),
        ({"prompt": [asked], "completion": [{"role": "assistant", "content": turn}]}, turn[7:] + "<|im_end|>"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for shape, want in shapes:
            row = row_of(Path(folder) / "rows.jsonl", shape)
            before, learned = lm.worked_ids(row, think=True)
            assert lm.decode(learned) == want
            assert lm.decode(before) == IM.format(q=prompt) + "<think>"
