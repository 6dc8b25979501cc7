"""Find out how a chat template writes a conversation, by rendering a question and an answer through it.

`learn_format` determines the text around the messages: how the generation prompt ends (whether it opens a thought, or
closes an empty one), what opens and closes a thought and with which line breaks, which token ends a turn, and how the
template takes a thought: by a key of the message, as a part of the content, or inside the content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rlready.core.errors import UserError
from rlready.models.chat import (
    BARE,
    CLOSE,
    KEYS,
    KNOWN,
    OPEN,
    QUESTION,
    ChatFormat,
    TemplateError,
    Thought,
    template_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPENER = "{% if add_generation_prompt %}{{ '" + OPEN + "' }}{% endif %}"
THOUGHT, ANSWER = "Zq41thought", "Zq41answer"
ASK = [{"role": "user", "content": QUESTION}]
TOKEN = re.compile(r"<\S+>|\[\S+\]")  # the form of a token of the format that is not marked as special
WRITTEN = re.compile(  # by `_with_thoughts`, in a text that may be anybody's, so that delimiters have a bound
    r"content='(.{1,80}?)\\n' \+ m\.reasoning_content \+ '\\n(.{1,80}?)\\n' \+ m\.content"
)
HIDDEN = ("\ue000", "\ue001")  # in place of delimiters, from templates that remove thoughts


def learn_format(tokenizer: PreTrainedTokenizerBase, source: str, given: Sequence[str] = ()) -> ChatFormat:
    """The conversation format of a tokenizer; ``given``: the delimiters that the user set, if any.

    Raises UserError if the template raises or does not end, leaves the question out, writes another prompt each time,
    or writes its thoughts between other delimiters than the given ones.
    """
    if isinstance(named := tokenizer.chat_template, dict) and named and "default" not in named:
        raise UserError(
            f"{source}: its tokenizer has chat templates named {', '.join(map(repr, named))}, and none named "
            "'default'; save the one that the model was trained on as chat_template"
        )
    form = _question_taken(ChatFormat(tokenizer, source, given=bool(given)))
    prompt = form.render(ASK, generate=True)
    if prompt != form.render(ASK, generate=True):
        raise UserError(f"{source}: its chat template writes the same conversation differently each time; change it")
    before, after = _around_answer(form)
    begins = prompt.rpartition(QUESTION)[2].strip()  # an answer, behind which some templates write it again
    again = bool(begins) and begins != _end_of_turn(tokenizer, begins)
    again = again and all(text.strip().endswith(begins) for text in (before, after))
    header = after[after.rindex(begins) :] if again else ""
    after = after.removesuffix(header)
    end = _end_of_turn(tokenizer, after)
    inner = "" if end or after.strip() else _end_between(form)
    form = replace(form, after=after, header=header, end=end or inner, closes=not inner)
    form = _thought_of(form, prompt, before)
    if given and (form.thought.told or form.tail) and (form.thought.opener, form.thought.closer) != tuple(given):
        raise UserError(
            f"{source}: its chat template writes thoughts as {form.thought.opener} … {form.thought.closer}, not as "
            f"{given[0]} … {given[1]}; leave delimiters out, or change the template"
        )
    if given:
        form = replace(form, thought=replace(form.thought, opener=given[0], closer=given[1]))
    return replace(form, thinks=bool(given) or form.opened or (bool(form.key) and not form.closed))


def with_thought(form: ChatFormat) -> ChatFormat:
    """The format after SFT on rows that have thoughts; it is written into the tokenizer's template where it is missing.

    It is that of the given delimiters, if there are any.

    Raises UserError where the generation prompt closes the thought and cannot be told not to.
    """
    if form.thinks and (form.thought.told or form.tail or not form.given):
        return form
    mark, end = (form.thought.opener, form.thought.closer) if form.given else (OPEN, CLOSE)
    tokenizer, template = form.tokenizer, template_of(form.tokenizer)
    if form.closed:
        _set_template(tokenizer, "{%- set enable_thinking = true -%}{%- set thinking = true %}{{ '' }}" + template)
        form = learn_format(tokenizer, form.source)
        if form.closed:
            raise UserError(
                f"{form.source}: its generation prompt closes the thought before it begins, so rows with thoughts "
                "cannot be learned; change its chat template"
            )
        return with_thought(form)
    template = (template or BARE).removesuffix("\n")  # which rendering leaves out at the end of a template, only there
    lead = form.thought.before_open.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    opener = OPENER.replace(OPEN, lead + mark)
    _set_template(tokenizer, _with_thoughts(mark, end) + template + opener)
    plainly = learn_format(tokenizer, form.source)
    if plainly.key:
        return plainly
    shown = "".join(f" | replace('{hidden}', '{text}')" for hidden, text in zip(HIDDEN, (mark, end), strict=True))
    captured = "{% set text %}" + template + "{% endset %}{{ text" + shown + " }}"
    _set_template(tokenizer, _with_thoughts(*HIDDEN) + captured + opener)
    return learn_format(tokenizer, form.source)


def _with_thoughts(opener: str, closer: str) -> str:
    """The beginning of a template that moves a separate thought into the content of the assistant's turn."""
    content = f"'{opener}\\n' + m.reasoning_content + '\\n{closer}\\n' + m.content"
    return (
        "{%- set ns = namespace(turns=[]) -%}{%- for m in messages -%}"
        "{%- if m.role == 'assistant' and m.reasoning_content is string -%}"
        "{%- set ns.turns = ns.turns + [dict(m, content=" + content + ")] -%}"
        "{%- else -%}{%- set ns.turns = ns.turns + [m] -%}{%- endif -%}{%- endfor -%}"
        "{% set messages = ns.turns %}{{ '' }}"
    )


def _set_template(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    found = tokenizer.chat_template
    changed = found | {"default": template} if isinstance(found, dict) else template
    tokenizer.chat_template = changed


def _question_taken(form: ChatFormat) -> ChatFormat:
    """The format with which the template writes the question: content as text, or as parts."""
    error = None
    for parts in (False, True):
        attempt = replace(form, parts=parts)
        try:
            if QUESTION in attempt.render(ASK, generate=True):
                return attempt
        except TemplateError as raised:
            error = error or raised
    raise error or UserError(f"{form.source}: its chat template leaves out the question")


def _around_answer(form: ChatFormat) -> tuple[str, str]:
    """The text before and after an answer; both are empty if the template writes no answer."""
    try:
        text = form.render([*ASK, {"role": "assistant", "content": ANSWER}], generate=False)
    except TemplateError:
        return "", ""
    before, _, after = text.rpartition(ANSWER)
    return before, after if before else ""


def _end_between(form: ChatFormat) -> str:
    """The token that ends an assistant's turn before another one, if there is one: the end of sequence, or one behind
    which another token begins the next turn."""
    turns = [*ASK, {"role": "assistant", "content": ANSWER}, *ASK]
    try:
        between = form.render(turns, generate=False).rpartition(ANSWER)[2].partition(QUESTION)[0]
    except TemplateError:
        return ""
    found = _end_of_turn(form.tokenizer, between)
    ends = (
        found == form.tokenizer.eos_token or _end_of_turn(form.tokenizer, between.partition(found)[2]) if found else ""
    )
    return found if ends else ""


def _thought_of(form: ChatFormat, prompt: str, before: str) -> ChatFormat:
    """How the template writes a thought, and which part of it the generation prompt has already written.

    ``before``: the text that the template writes before an answer.
    """
    own = WRITTEN.findall(template_of(form.tokenizer))
    pairs = (Thought(opener, closer) for opener, closer in (*KNOWN, *own))
    thought = next((pair for pair in pairs if pair.tail(prompt)), Thought())
    tail = thought.tail(prompt)
    form = replace(form, thought=thought, tail=tail, leads=before.rstrip().endswith(thought.opener))
    if told := _told(form, prompt.removesuffix(tail)):
        return told
    if not tail:
        lead = before.removeprefix(prompt) if before.startswith(prompt) and not form.leads else ""
        return replace(form, thought=replace(thought, before_open=lead))
    inside, closed, behind = tail.removeprefix(thought.opener).partition(thought.closer)
    if closed:
        breaks = inside[: (len(inside) + 1) // 2]  # one on either side of a thought of no words
    elif template_of(form.tokenizer).endswith(OPENER):
        return form  # a template that SFT wrote before it wrote whole turns
    else:  # the template takes no thought: it shows only the text between a closer and an answer
        found = re.search(rf"{re.escape(thought.closer)}(\s*)\Z", before)
        behind = found[1] if found else "\n\n"
        breaks = inside or ("" if found and not found[1] else "\n")
    return replace(form, thought=replace(thought, after_open=breaks, before_close=breaks, after_close=behind))


def _told(form: ChatFormat, head: str) -> ChatFormat | None:
    """The thought as the template writes it; None if it takes no thought, or copies the content unchanged.

    ``head``: the generation prompt without the part that belongs to a thought.
    """
    template = template_of(form.tokenizer)
    inline = [pair for pair in KNOWN if any(mark in template for mark in pair)]
    attempts = [(key, form.thought) for key in (*KEYS, "parts")] + [("content", Thought(*pair)) for pair in inline]
    for key, pair in attempts:
        attempt = replace(form, key=key, thought=pair)
        said = attempt.said(THOUGHT, ANSWER)
        try:
            text = form.render([*ASK, {"role": "assistant", **said}], generate=False)
        except TemplateError:
            continue
        begin, end = text.find(THOUGHT), text.rfind(ANSWER)
        if begin < 0 or end < begin or "'type'" in text or '"type"' in text:
            continue  # not taken, or printed as the list that it is
        if key == "content" and said["content"] in text:
            continue  # passed on as it is
        opened, close = text[len(_common(head, text[:begin])) : begin], text[begin + len(THOUGHT) : end]
        if not close.strip():
            continue
        opener = next((known for known, _ in KNOWN if known in opened), opened.strip())
        before_open, _, after_open = opened.rpartition(opener) if opener else ("", "", opened)
        thought = Thought(
            opener=opener,
            closer=close.strip(),
            before_open=before_open,
            after_open=after_open,
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
    """The first special token after an answer; empty if the template writes none."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {str(token) for token in added if token.special or TOKEN.fullmatch(str(token))}
    tokens |= set(tokenizer.all_special_tokens)
    found = [(after.index(token), -len(token), token) for token in tokens if token and token in after]
    return min(found)[2] if found else ""
