"""The parts of a text that are not its answer: the thought at the beginning, invented turns at the end."""

from __future__ import annotations

import re

from rlready.models.chat import KNOWN

THOUGHTS = (
    *KNOWN,
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
OPENED = re.compile(rf"(?:{'|'.join(re.escape(opener) for opener, _ in THOUGHTS)})\s*\Z")  # at the end of a prompt
BEGINS = re.compile(  # of a turn that a tool has stored with its beginning
    r"\s*(?:<\|(?:im_start|start_header_id|begin_of_text)\|>|<[|｜](?:Assistant|begin▁of▁sentence)[|｜]>|<s>|<bos>|\[/INST\]"
    r"|<\|assistant\|>|<start_of_turn>|<\|end_header_id\|>|assistant\b:?|model\b|\s)*",
    re.IGNORECASE,
)
LONGEST_OPENER = 80  # characters, with white space behind it
MARKS = frozenset(opener[0] for opener, _ in THOUGHTS)
LAST_TOKEN = re.compile(r"(?:<\|[\w ]{1,40}\|>|</s>|<eos>|<end_of_turn>)\s*\Z")  # which ends a turn
TEMPLATE = re.compile(
    r"<\|(?:im_start|start_header_id|start)\|>\s*(?:user|system)"
    r"|<\|(?:user|im_end|eot_id|eom_id|end|return|endoftext|end_of_text)\|>"
    r"|<[|｜](?:User|end▁of▁sentence)[|｜]>|</s>|\[INST\]|<start_of_turn>\s*user|<end_of_turn>"
)
EXERCISE = r"(?:next |new )?(?:question|problem|exercise|example)"
TURN = re.compile(
    rf"\n[^\S\n]*(?:(?:#{{1,4}} |\*\*)?(?:{EXERCISE}|human|user|instruction|q) ?\d{{0,4}} ?(?:\*\*)?[:.](?!\w)"
    rf"|(?:(?:#{{1,4}} |\*\*|\[){EXERCISE}(?: ?\d{{1,4}})?|{EXERCISE} ?\d{{1,4}}|human|user)(?:\*\*|\])?[^\S\n]*(?=\n)"
    r"|(?:问题|题目) ?\d{0,4}[:：])",
    re.IGNORECASE,
)
NEXT = re.compile(r"\s*(?:#{1,4} |\*\*|\[)?(?:(?:next |new )?question|human|user|q|问题)\b(?! ?\d)", re.IGNORECASE)
REPLY = re.compile(  # to an invented question
    r"[\s\S]{1,2000}?\n[^\S\n]*(?:#{1,4} |\*\*|\[)?(?:answer|assistant|a|答案) ?(?:\*\*|\])?"
    r"(?:[:.\uff1a](?!\w)|[^\S\n]*\n)",
    re.IGNORECASE,
)


def asks_next(after: str) -> bool:
    """Whether a text begins with a question of its own, which has a reply or is cut off: not "Question 2", a part."""
    return NEXT.match(after) is not None and (REPLY.match(after) is not None or "\n" not in after.strip())


def in_thought(prompt: object, text: str) -> str:
    """A response behind the opener of its thought, if its prompt ends in one: a text, or turns to be continued."""
    match prompt:
        case [*_, {"role": "assistant", "content": str(last)}] | str(last):
            opened = OPENED.search(last[-LONGEST_OPENER:])
            return opened[0] + text if opened and not text.lstrip().startswith(opened[0].strip()) else text
    return text


def after_thought(text: str) -> str:
    """``text`` without the thought at its beginning and without one that is not closed."""
    if not MARKS.intersection(text):
        return text
    bare = text[found.end() :] if (found := BEGINS.match(text)) else text
    for opener, closer in THOUGHTS:
        begins = bare.startswith(opener)
        _, closed, after = text.rpartition(closer)
        if closed and (begins or opener not in text or closer == "</think>"):  # the prompt may have opened it
            text = after
        elif begins:
            return ""
        elif (at := text.rfind(opener)) >= 0 and closer not in text[at:]:  # begun behind other text, and not closed
            text = text[:at]
    return text
