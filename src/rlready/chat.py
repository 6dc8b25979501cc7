"""A checkpoint's conversation format, learned by asking its own chat template.

Nothing here imitates a template.  `learn` renders a question, and a question with an answer, through the tokenizer's
chat template, and reads off what stands around them: how the generation prompt ends (does it open a thought, or close
an empty one?), what opens and closes a thought and with which line breaks, which token ends a turn, and where a
system turn goes.  From then on every prompt and every worked row is rendered by the template itself.

Two things a template may leave open, and then a stated convention holds.  Some templates remove the thought from
an assistant's turn (DeepSeek-R1's does), so that they never say how it is closed: where the prompt opens it with a line
break, it is closed by one, and a blank line follows, as R1, QwQ and Qwen3 write.  Where no template writes thoughts at
all, those that `with_thought` writes are used.  A template that writes today's date is given a fixed one, `TODAY`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rlready.errors import UserError
from rlready.records import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPEN, CLOSE = "<think>", "</think>"
KNOWN = (  # looked for in this order where a template does not write a thought itself
    (OPEN, CLOSE),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|im_start|>think", "<|im_start|>answer"),
)
KEYS = ("reasoning_content", "thinking", "reasoning")  # of a message, by which templates take a thought
TODAY = datetime(2024, 7, 26)  # the date that Llama 3.1's template writes where it is told none
OPENER = "{% if add_generation_prompt %}{{ '" + OPEN + "' }}{% endif %}"
WITH_THOUGHT = (  # before a template: a thought of its own becomes part of the turn's content
    "{%- set ns = namespace(turns=[]) -%}{%- for m in messages -%}"
    "{%- if m.role == 'assistant' and m.reasoning_content -%}"
    "{%- set ns.turns = ns.turns + [dict(m, content='" + OPEN + "\\n' + m.reasoning_content + '\\n" + CLOSE + "\\n'"
    " + m.content)] -%}"
    "{%- else -%}{%- set ns.turns = ns.turns + [m] -%}{%- endif -%}{%- endfor -%}{% set messages = ns.turns %}{{ '' }}"
)
BARE = (  # for a tokenizer without a template: what `ChatFormat` writes for one
    "{{ bos_token or '' }}{% for m in messages %}{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% elif m.role == 'system' %}{{ '\\n\\n' }}{% else %}{{ '\\n' }}"
    "{% endif %}{% endfor %}"
)
QUESTION, THOUGHT, ANSWER, SYSTEM = "Zq41question", "Zq41thought", "Zq41answer", "Zq41system"

Message = dict[str, Any]


@dataclass(frozen=True)
class Thought:
    """How a thought is written: opener, break, the thought, break, closer, break, the answer.

    ``told``: by the chat template itself; otherwise by the convention that the module states.
    """

    opener: str = OPEN
    closer: str = CLOSE
    after_open: str = "\n"
    before_close: str = "\n"
    after_close: str = "\n"
    told: bool = False


@dataclass(frozen=True)
class ChatFormat:
    """What `learn` found.

    ``key``: of a message, by which the template takes a thought; empty where it takes none.  ``tail``: what the
    generation prompt ends in that belongs to a thought, an opener or a whole empty thought.  ``end``: the token that
    ends an assistant's turn, empty where the template writes none.  ``after``: what the template writes behind an
    answer.  ``parts``: it wants content as a list of parts.  ``leads``: it writes the opener of a thought before any
    content.  ``thinks``: the model is to begin with a thought, because its template says so or because ``given``
    delimiters do.
    """

    tokenizer: PreTrainedTokenizerBase
    source: str
    thought: Thought = Thought()
    key: str = ""
    tail: str = ""
    end: str = ""
    after: str = ""
    parts: bool = False
    leads: bool = False
    given: bool = False
    thinks: bool = False

    @property
    def opened(self) -> bool:
        """The generation prompt opens a thought."""
        return bool(self.tail) and self.thought.closer not in self.tail

    @property
    def closed(self) -> bool:
        """The generation prompt closes a thought before it begins."""
        return bool(self.tail) and not self.opened

    def prompt(self, prompt: str, system: str = "", *, think: bool) -> str:
        """The text up to where the response begins; with ``think`` a thought is open there."""
        text = self._render(self._asked(prompt, system), generate=True)
        if prompt.strip() not in text:
            raise UserError(f"{self.source}: its chat template leaves out the prompt {prompt[:40]!r}")
        if not think or self.opened:
            return text
        t = self.thought
        # the break may be chosen by the model, unless it shares a token with the opener
        shared = t.told and t.opener not in self.tokenizer.get_added_vocab()
        return text.removesuffix(self.tail) + t.opener + (t.after_open if shared else "")

    def worked(self, row: Row, *, think: bool) -> tuple[str, str]:
        """A worked row as (prompt, response), the end of the turn included, as the template writes it.

        ``think``: rows have thoughts; one without then has an empty one.  The opener belongs to the response unless
        the prompt has it.  UserError where the template writes the prompt differently once it is answered.
        """
        marks = (text for text in (self.thought.closer, self.thought.opener) if text)
        if inside := next((text for text in marks if text in (row.thinking or "")), None):
            raise UserError(
                f"{self.source}: the thought of row {row.id} contains {inside!r}, which the chat template writes "
                "around it; remove the delimiters from the column"
            )
        asked = self.prompt(row.prompt, row.system, think=False)
        head = asked.removesuffix(self.tail)
        full, opened = self._turn(row, head, think=think)
        begins = [head + opened, asked, head] if opened else [asked, head]
        prompt = next((text for text in begins if full.startswith(text)), None)
        if prompt is None:
            raise UserError(
                f"{self.source}: its chat template writes the prompt of row {row.id} differently once it is answered, "
                "so the response cannot be told from the prompt; change the template"
            )
        response = full[len(prompt) :]
        if lost := next((t for t in (row.thinking or "", row.response) if t.strip() not in response), None):
            raise UserError(
                f"{self.source}: its chat template changes the response of row {row.id}: {lost.strip()[:40]!r} is not "
                "in what it writes; change the row or the template"
            )
        return prompt, response

    def describe(self) -> dict[str, Any]:
        """For the record: plain values."""
        t = self.thought
        return {
            "thinks": self.thinks,
            "thought": [t.opener + t.after_open, t.before_close + t.closer + t.after_close],
            "thought_told_by": "chat template" if t.told else "delimiters=" if self.given else "convention",
            "generation_prompt": "opens a thought" if self.opened else "closes a thought" if self.closed else "plain",
            "end_of_turn": self.end or str(self.tokenizer.eos_token),
            "date": f"{TODAY:%Y-%m-%d}" if "strftime_now" in template_of(self.tokenizer) else None,
        }

    def __str__(self) -> str:
        """One line for people."""
        t, told = self.thought, self.describe()
        if self.thinks:
            how = {"opens a thought": "opened by the prompt"}.get(told["generation_prompt"], "opened by the decoder")
            says = f"thinks between {t.opener} and {t.closer} ({how}; breaks by {told['thought_told_by']})"
        else:
            says = "opens no thought, so responses are sampled without a thinking budget"
            if any(text in self.tokenizer.get_added_vocab() for text in (t.opener, t.closer)):
                says += f"; {t.opener} is in its vocabulary: delimiters={t.opener},{t.closer} asks for thoughts"
        date = f"; it writes the date, which is fixed to {told['date']}" if told["date"] else ""
        return f"chat template of {self.source}: {says}; a turn ends in {told['end_of_turn']}{date}"

    def _asked(self, prompt: str, system: str) -> list[Message]:
        """The turns of a question; a system turn goes before it, or into it where the template takes none."""
        if not system:
            return [{"role": "user", "content": prompt}]
        turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        try:
            taken = SYSTEM in self._render(turns, generate=True)
        except UserError:
            taken = False
        if not taken:
            return [{"role": "user", "content": f"{system}\n\n{prompt}"}]
        return [{"role": "system", "content": system}, {"role": "user", "content": prompt}]

    def _turn(self, row: Row, head: str, *, think: bool) -> tuple[str, str]:
        """(the whole conversation up to the end of the turn, what opens a thought that no template opens)."""
        asked, thinking, t = self._asked(row.prompt, row.system), row.thinking or "", self.thought
        if row.turn and not (self.thinks and t.opener not in row.turn and t.closer not in row.turn):
            # as it was written, unless between other delimiters than those of a model that thinks
            content = row.turn.lstrip().removeprefix(t.opener) if self.leads else row.turn
            full = self._answered(asked, {"content": content})
            if thinking in full:
                bare = self.opened and full.startswith(head) and not full[len(head) :].lstrip().startswith(t.opener)
                return (head + self.tail + full[len(head) :] if bare else full), ""
        if not think and row.thinking is None:
            return self._answered(asked, {"content": row.response}), ""
        if self.key:
            turn = {"content": row.response} | ({self.key: row.thinking} if row.thinking else {})
            return self._answered(asked, turn), ""
        answer = self._answered(asked, {"content": row.response})
        if not answer.startswith(head):
            return answer, ""
        answer = answer[len(head) :].removeprefix(self.tail)
        return head + t.opener + t.after_open + thinking + t.before_close + t.closer + t.after_close + answer, (
            "" if self.opened else t.opener
        )

    def _answered(self, asked: Sequence[Message], turn: Mapping[str, Any]) -> str:
        """The conversation with the assistant's turn, up to the token that ends it."""
        text = self._render([*asked, {"role": "assistant", **turn}], generate=False)
        if self.end in text and self.end:
            return text[: text.rindex(self.end) + len(self.end)]
        return text.removesuffix(self.after) + str(self.tokenizer.eos_token or "")

    def _render(self, turns: Sequence[Message], *, generate: bool) -> str:
        if self.parts:
            turns = [t | {"content": [{"type": "text", "text": t["content"]}]} for t in turns]
        return _render(self.tokenizer, self.source, turns, generate=generate)


def learn(tokenizer: PreTrainedTokenizerBase, source: str, given: Sequence[str] = ()) -> ChatFormat:
    """The conversation format of a tokenizer; ``given``: what opens and what closes a thought, if the user says so.

    Raises UserError if the template raises, leaves the question out, writes another prompt each time, or writes its
    thoughts between other delimiters than the given ones.
    """
    form = _question_taken(ChatFormat(tokenizer, source, given=bool(given)))
    ask = [{"role": "user", "content": QUESTION}]
    prompt = form._render(ask, generate=True)
    if prompt != form._render(ask, generate=True):
        raise UserError(f"{source}: its chat template writes the same conversation differently each time; change it")
    before, after = _around_answer(form, ask)
    form = replace(form, after=after, end=_end_of_turn(tokenizer, after))
    form = _thought_of(form, prompt, before)
    t = form.thought
    form = replace(form, leads=bool(t.opener) and before.rstrip().endswith(t.opener))
    if given:
        if (t.told or form.tail) and (t.opener, t.closer) != tuple(given):
            raise UserError(
                f"{source}: its chat template writes thoughts as {t.opener} … {t.closer}, not as "
                f"{given[0]} … {given[1]}; leave delimiters out, or change the template"
            )
        form = replace(form, thought=replace(t, opener=given[0], closer=given[1]))
    return replace(form, thinks=bool(given) or form.opened or (bool(form.key) and not form.closed))


def with_thought(form: ChatFormat) -> ChatFormat:
    """The format after SFT on rows that have thoughts; it is written into the tokenizer's template where it is missing.

    Raises UserError where the generation prompt closes the thought and cannot be told not to.
    """
    if form.thinks:
        return form
    tokenizer, template = form.tokenizer, template_of(form.tokenizer)
    if form.closed:
        _set_template(tokenizer, "{%- set enable_thinking = true -%}{%- set thinking = true %}{{ '' }}" + template)
        form = learn(tokenizer, form.source)
        if form.closed:
            raise UserError(
                f"{form.source}: its generation prompt closes the thought before it begins, so that rows with thinking "
                "cannot be learned behind it; change its chat template"
            )
        return form if form.thinks else with_thought(form)
    _set_template(tokenizer, WITH_THOUGHT + (template or BARE) + OPENER)
    return learn(tokenizer, form.source)


def template_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """The template in use: the only one, or the one named default; empty where there is none."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        return str(found.get("default", ""))
    return str(found or "")


def _set_template(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    found = tokenizer.chat_template
    changed = found | {"default": template} if isinstance(found, dict) else template
    tokenizer.chat_template = changed


def _question_taken(form: ChatFormat) -> ChatFormat:
    """The format under which the template writes the question: content as text, or in parts."""
    ask = [{"role": "user", "content": QUESTION}]
    error = None
    for parts in (False, True):
        attempt = replace(form, parts=parts)
        try:
            if QUESTION in attempt._render(ask, generate=True):
                return attempt
        except UserError as raised:
            error = error or raised
    raise error or UserError(f"{form.source}: its chat template leaves out the question")


def _around_answer(form: ChatFormat, ask: Sequence[Message]) -> tuple[str, str]:
    """What the template writes before and behind an answer; nothing if it writes none, which only worked rows need."""
    try:
        text = form._render([*ask, {"role": "assistant", "content": ANSWER}], generate=False)
    except UserError:
        return "", ""
    before, _, after = text.rpartition(ANSWER)
    return before, after if before else ""


def _thought_of(form: ChatFormat, prompt: str, before_answer: str) -> ChatFormat:
    """How the template writes a thought, and what of it the generation prompt has already."""
    opener, closer, tail = _tail(prompt)
    form = replace(form, tail=tail)
    told = _written(form, prompt.removesuffix(tail))
    if told or not tail:
        return told or form
    if found := re.fullmatch(rf"{re.escape(opener)}(\s*){re.escape(closer)}(\s*)", tail):
        return replace(form, thought=Thought(opener, closer, found[1], found[1], found[2]))
    if template_of(form.tokenizer).endswith(OPENER):
        return form
    # the template takes no thought: what it writes between a closer and an answer is all it tells
    follows = re.search(rf"{re.escape(closer)}(\s*)\Z", before_answer)
    breaks = tail.removeprefix(opener) or ("" if follows and not follows[1] else "\n")
    return replace(form, thought=Thought(opener, closer, breaks, breaks, follows[1] if follows else "\n\n"))


def _tail(prompt: str) -> tuple[str, str, str]:
    """(opener, closer, the end of a generation prompt that consists of them); the end is empty where there is none."""
    for opener, closer in KNOWN:
        o, c = re.escape(opener), re.escape(closer)
        if found := re.search(rf"{o}\s*(?:{c}\s*)?\Z", prompt):
            return opener, closer, found[0]
    return OPEN, CLOSE, ""


def _written(form: ChatFormat, head: str) -> ChatFormat | None:
    """The thought as the template writes it by a key of the message; None where it takes none.

    ``head``: the generation prompt without what belongs to a thought.
    """
    ask = [{"role": "user", "content": QUESTION}]
    for key in KEYS:
        try:
            text = form._render([*ask, {"role": "assistant", "content": ANSWER, key: THOUGHT}], generate=False)
        except UserError:
            continue
        begin, end = text.find(THOUGHT), text.rfind(ANSWER)
        opened, close = text[len(_common(head, text[: max(begin, 0)])) : begin], text[begin + len(THOUGHT) : end]
        if begin < 0 or end < begin or not close.strip():
            continue
        thought = Thought(
            opener=opened.strip(),
            closer=close.strip(),
            after_open=opened[len(opened.rstrip()) :],
            before_close=close[: len(close) - len(close.lstrip())],
            after_close=close[len(close.rstrip()) :],
            told=True,
        )
        return replace(form, key=key, thought=thought)
    return None


def _common(one: str, other: str) -> str:
    """The longest common beginning."""
    n = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:n]


def _end_of_turn(tokenizer: PreTrainedTokenizerBase, after: str) -> str:
    """The first token of the vocabulary's special ones behind an answer; empty where the template writes none."""
    tokens = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    found = [(after.index(token), -len(token), token) for token in tokens if token and token in after]
    return min(found)[2] if found else ""


def _render(tokenizer: PreTrainedTokenizerBase, source: str, turns: Sequence[Message], *, generate: bool) -> str:
    """A conversation as text; UserError in the template's own words if it raises."""
    template = template_of(tokenizer) or (None if tokenizer.chat_template else BARE)
    now: dict[str, Any] = {"strftime_now": TODAY.strftime} if template and "strftime_now" in template else {}
    try:
        return str(
            tokenizer.apply_chat_template(
                list(turns),
                tokenize=False,
                add_generation_prompt=generate,
                chat_template=template,
                **now,
            )
        )
    except Exception as error:  # a template is a program; whatever it raises is about it
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{source}: its chat template cannot be rendered: {line or type(error).__name__}") from None
