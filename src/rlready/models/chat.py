"""The conversation format of a checkpoint's chat template: prompts, worked rows, thoughts and ends of turns.

No template is imitated: ``chat_template.py`` finds out once how the template writes a thought and what ends a turn, and
then the template renders every prompt and every worked row.

A template may leave two things open, for which there are conventions.  Some templates remove the thought from an
assistant's turn (DeepSeek-R1's does), so that they do not define how it is closed: if the prompt opens it with a line
break, a line break closes it and a blank line follows, as R1, QwQ and Qwen3 write.  If a template writes no thoughts at
all, the format that this package's SFT writes is used.  A template that writes today's date gets a fixed date, `TODAY`.
A turn may end in a text that is no token (ChatML without its tokens in the vocabulary), or in none (``Assistant: 42``
and a line break): a worked row ends as the template writes it, and what SFT learns gets the tokenizer's end of sequence
behind that (`LM.worked_ids`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rlready.core.errors import UserError
from rlready.core.records import Row
from rlready.core.text import with_system
from rlready.models.one_line import one_line
from rlready.models.plain_template import passing_through
from rlready.models.time_limit import OutOfTime, time_limit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPEN, CLOSE = "<think>", "</think>"
KNOWN = (  # tried in this order if the template does not write a thought
    (OPEN, CLOSE),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|im_start|>think", "<|im_start|>answer"),
)
KEYS = ("reasoning_content", "thinking", "reasoning")  # of a message, by which templates take a thought
TODAY = datetime(2024, 7, 26)  # the default date of Llama 3.1's template
BARE = (  # for a tokenizer without a template: what `ChatFormat` writes for one
    "{{ bos_token or '' }}{% for m in messages %}{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% elif m.role == 'system' %}{{ '\\n\\n' }}{% else %}{{ '\\n' }}"
    "{% endif %}{% endfor %}"
)
QUESTION, SYSTEM = "Zq41question", "Zq41system"
RENDER_SECONDS = 5.0  # limit on one conversation, which takes less than a millisecond

Message = dict[str, Any]


class TemplateError(UserError):
    """A chat template raised an error: it may take the same conversation in another form."""


@dataclass(frozen=True)
class Thought:
    """The texts around a thought: after the generation prompt come the opener, the thought and the closer.

    ``before_open`` is what the template writes between its generation prompt and a turn's content; ``told``: whether
    the chat template defines all of it; otherwise the convention in the module docstring applies.
    """

    opener: str = OPEN
    closer: str = CLOSE
    before_open: str = ""
    after_open: str = "\n"
    before_close: str = "\n"
    after_close: str = "\n"
    told: bool = False

    def written(self, thinking: str) -> str:
        return self.opener + self.after_open + thinking + self.before_close + self.closer + self.after_close

    def tail(self, prompt: str) -> str:
        """The end of a generation prompt that belongs to a thought: its opener, its closer, or both."""
        o, c = re.escape(self.opener), re.escape(self.closer)
        found = re.search(rf"(?:{o}\s*(?:{c}\s*)?|{c}\s*)\Z" if self.opener else rf"{c}\s*\Z", prompt)
        return found[0] if found else ""


@dataclass(frozen=True)
class ChatFormat:
    """The format of a tokenizer, as `chat_template.learn_format` found it.

    ``key``: the key of a message that the template reads a thought from (``content``: inside of it, ``parts``: as
    one of its parts); empty if it reads none.  ``tail``: what the generation prompt of a plain question ends in
    that belongs to a thought.  ``end``: the token that ends an assistant's turn, empty where the template writes
    none.  ``closes``: whether the template writes ``end`` behind the last turn, too, not only between turns.
    ``after``: what the template writes behind an answer; ``header``: what of the next turn follows that.
    ``parts``: it wants content as a list of parts.  ``leads``: it writes the opener of a thought before any
    content.  ``thinks``: the model is to begin with a thought, because its template says so or because ``given``
    delimiters do.
    """

    tokenizer: PreTrainedTokenizerBase
    source: str
    thought: Thought = Thought()
    key: str = ""
    tail: str = ""
    end: str = ""
    closes: bool = True
    after: str = ""
    header: str = ""
    parts: bool = False
    leads: bool = False
    given: bool = False
    thinks: bool = False

    @cached_property
    def plain(self) -> bool:
        """Prompts are plain texts, which the template passes through."""
        return template_of(self.tokenizer) == passing_through(self.tokenizer)

    @property
    def end_text(self) -> str:
        """The text that ends a turn where no token does; empty where only white space follows an answer."""
        return "" if self.end or not self.after.strip() else self.after

    @property
    def opened(self) -> bool:
        """The generation prompt opens a thought."""
        return bool(self.tail) and self.thought.closer not in self.tail

    @property
    def closed(self) -> bool:
        """The generation prompt closes a thought before it begins."""
        return bool(self.tail) and not self.opened

    def prompt(self, prompt: str, system: str = "", *, think: bool) -> str:
        """The text before the response; with ``think``, it ends inside an open thought."""
        text = self.render(self.asked(prompt, system), generate=True)
        if prompt.strip() not in text:
            raise UserError(f"{self.source}: its chat template leaves out the prompt {prompt[:40]!r}")
        return self.with_thought_opened(text) if think else text

    def with_thought_opened(self, text: str) -> str:
        """A rendered prompt that ends inside an open thought, which is opened unless it ends there already."""
        t, tail = self.thought, self.thought.tail(text)
        if tail and t.closer not in tail:
            return text
        # the break may be chosen by the model, unless it shares a token with the opener
        shared = t.told and t.opener not in self.tokenizer.get_added_vocab()
        return text.removesuffix(tail) + t.before_open + t.opener + (t.after_open if shared else "")

    def worked(self, row: Row, *, think: bool) -> tuple[str, str]:
        """A worked row as (prompt, response), with the end of the turn that the template writes, if it writes one.

        ``think``: rows have thoughts; a row without one gets an empty thought, unless the prompt closes it.  The opener
        belongs to the response unless the prompt has it.  UserError if the template writes the prompt differently once
        it is answered or changes the response, and for a thought with other delimiters.
        """
        t = self.thought
        if inside := next((mark for mark in (t.closer, t.opener) if mark and mark in (row.thinking or "")), None):
            raise UserError(
                f"{self.source}: the thought of row {row.id} contains {inside!r}, which the chat template writes "
                "around it; remove the delimiters from the column"
            )
        asked = self.prompt(row.prompt, row.system, think=False)
        full, opened = self._turn(row, asked, think=think)
        head = asked.removesuffix(t.tail(asked))
        begins = [head + t.before_open + t.opener, asked, head] if opened else [asked, head]
        prompt = next((text for text in begins if full.startswith(text)), None)
        if prompt is None:
            raise UserError(
                f"{self.source}: its chat template writes the prompt of row {row.id} differently once it is answered, "
                "so prompt and response cannot be separated; change the template"
            )
        response = full[len(prompt) :]
        if lost := next((text for text in (row.thinking or "", row.response) if text.strip() not in response), None):
            raise UserError(
                f"{self.source}: its chat template changes the response of row {row.id}: {lost.strip()[:40]!r} is not "
                "in what it writes; change the row or the template"
            )
        return prompt, response

    def describe(self) -> dict[str, JsonValue]:
        """The format as JSON values, for the run record; a model that does not think has no thought."""
        t = self.thought
        delimited: dict[str, JsonValue] = {
            "thought": [t.opener + t.after_open, t.before_close + t.closer + t.after_close],
            "thought_told_by": "chat template" if t.told else "delimiters=" if self.given else "convention",
        }
        return {
            "thinks": self.thinks,
            **(delimited if self.thinks else {}),
            "generation_prompt": "opens a thought" if self.opened else "closes a thought" if self.closed else "plain",
            "end_of_turn": self.end or self.end_text.strip() or str(self.tokenizer.eos_token),
            "date": f"{TODAY:%Y-%m-%d}" if "strftime_now" in template_of(self.tokenizer) else None,
        }

    def __str__(self) -> str:
        """The format in one line of text."""
        t, told = self.thought, self.describe()
        if self.thinks:
            says = f"thinks between {t.opener} and {t.closer}"
        else:
            says = "opens no thought, so responses are sampled without a thinking budget"
            if any(text in self.tokenizer.get_added_vocab() for text in (t.opener, t.closer)):
                says += f"; {t.opener} is in its vocabulary: delimiters={t.opener},{t.closer} asks for thoughts"
        date = f"; it writes the date, which is fixed to {told['date']}" if told["date"] else ""
        found = f"chat template of {self.source}"
        if not self.tokenizer.chat_template:
            found = f"{self.source} has no chat template, so a prompt is its text and a line break"
        elif self.plain:
            found = f"{self.source} gets its prompts as plain texts, without a chat template"
        return f"{found}: {says}; {self._ends}{date}"

    @property
    def _ends(self) -> str:
        if self.end or self.plain or not self.tokenizer.chat_template:
            return f"a turn ends in {self.describe()['end_of_turn']}"
        if self.end_text:
            return f"a turn ends in the text {self.end_text.strip()}, which is no token"
        return f"it writes no end of a turn, so a response ends in {self.tokenizer.eos_token}"

    def asked(self, prompt: str, system: str = "") -> list[Message]:
        """The turns of a question; a system turn goes before it, or into it where the template takes none."""
        if not system:
            return [{"role": "user", "content": prompt}]
        if not self._takes_system:
            return [{"role": "user", "content": with_system(prompt, system)}]
        return [{"role": "system", "content": system}, {"role": "user", "content": prompt}]

    @cached_property
    def _takes_system(self) -> bool:
        """Whether the template writes a system turn."""
        turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        try:
            return SYSTEM in self.render(turns, generate=True)
        except TemplateError:
            return False

    def _turn(self, row: Row, asked: str, *, think: bool) -> tuple[str, bool]:
        """(the conversation up to the end of the turn, whether its opener was added outside the template)."""
        turns, t, tail = self.asked(row.prompt, row.system), self.thought, self.thought.tail(asked)
        head, opens = asked.removesuffix(tail), bool(tail) and t.closer not in tail
        if row.turn and not (self.thinks and t.opener not in row.turn and t.closer not in row.turn):
            # as it was written, unless between other delimiters than those of a model that thinks
            content = row.turn.lstrip().removeprefix(t.opener) if self.leads else row.turn
            full = self._answered(turns, {"content": content})
            rest = full[len(head) :] if full.startswith(head) else ""
            thinking, closed, response = rest.partition(t.closer)
            formatted = closed and (row.thinking or "").strip() in thinking and row.response.strip() in response
            if formatted or content.strip() in rest:
                return head + tail + rest if opens and not rest.lstrip().startswith(t.opener) else full, False
        if row.thinking is None and (not think or (tail and not opens)):
            return self._answered(turns, {"content": row.response}), False
        if self.key:
            said = self.said(row.thinking or "", row.response) if row.thinking or opens else {"content": row.response}
            return self._answered(turns, said), False
        full = self._answered(turns, {"content": row.response})
        if not full.startswith(head):
            return full, False
        o, c, lead = re.escape(t.opener), re.escape(t.closer), re.escape(t.before_open)
        empty = rf"\s*(?:{o}\s*)?{c}\s*"  # a thought that the template writes for an answer without one
        before = rf"\A(?:{empty}|\s*{o})" if self.leads else rf"\A(?:{empty}|{lead})"
        answer = re.sub(before, "", full[len(head) :])
        return head + t.before_open + t.written(row.thinking or "") + answer, not opens

    def said(self, thinking: str, response: str) -> Message:
        """An assistant's turn with a thought, in the form that the template takes."""
        if self.key == "parts":
            return {"content": [{"type": "thinking", "thinking": thinking}, {"type": "text", "text": response}]}
        if self.key == "content":
            return {"content": self.thought.opener + thinking + self.thought.closer + response}
        return {"content": response, self.key: thinking}

    def _answered(self, asked: Sequence[Message], turn: Message) -> str:
        """The conversation with the assistant's turn, up to what ends it; a plain text ends in the end of sequence."""
        text = self.render([*asked, {"role": "assistant", **turn}], generate=False).removesuffix(self.header)
        if not self.closes:
            return text.removesuffix(self.after) + self.end
        end = self.end or self.end_text
        if end and end in text:
            return text[: text.rindex(end) + len(end)]
        return text + str(self.tokenizer.eos_token or "") if self.plain else text

    def render(self, turns: Sequence[Message], *, generate: bool) -> str:
        """The text of turns; TemplateError if the template raises or makes too much, UserError if it never ends."""
        from rlready.models.template_bounds import DATE, bound_templates, bounded

        if self.parts:
            turns = [
                turn | {"content": [{"type": "text", "text": turn["content"]}]}
                if isinstance(turn["content"], str)
                else turn
                for turn in turns
            ]
        template = template_of(self.tokenizer) or (None if self.tokenizer.chat_template else BARE)
        now: dict[str, Any] = {DATE: bounded(DATE, TODAY.strftime)} if template and DATE in template else {}
        try:
            with time_limit(RENDER_SECONDS), bound_templates():
                return str(
                    self.tokenizer.apply_chat_template(
                        list(turns), tokenize=False, add_generation_prompt=generate, chat_template=template, **now
                    )
                )
        except OutOfTime:
            raise UserError(
                f"{self.source}: its chat template does not end: one conversation takes more than "
                f"{RENDER_SECONDS:g} seconds; change the template"
            ) from None
        except Exception as error:  # a template is a program, which may raise any error
            line = one_line(error) or type(error).__name__
            raise TemplateError(f"{self.source}: its chat template cannot be rendered: {line}") from None


def template_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """The template in use: the only one, or the one named default; empty where there is none."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        return str(found.get("default", ""))
    return str(found or "")
