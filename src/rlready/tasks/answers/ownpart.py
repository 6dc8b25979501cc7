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
ASKS = rf"{EXERCISE}|human|user|instruction|task|input|q"
TURN = re.compile(
    rf"\n[^\S\n]*(?:(?:#{{1,4}} |\*\*)?(?:{ASKS}) ?\d{{0,4}} ?(?:\*\*)?[:.](?!\w)"
    rf"|(?:(?:#{{1,4}} |\*\*|\[){EXERCISE}(?: ?\d{{1,4}})?|{EXERCISE} ?\d{{1,4}}|human|user)(?:\*\*|\])?[^\S\n]*(?=\n)"
    r"|(?:问题|题目) ?\d{0,4}[:：])"
    r"|(?<=[.!?]) (?-i:Question|Human|User|Q): ",
    re.IGNORECASE,
)
REPLY = re.compile(  # to an invented question
    r"[\s\S]{1,2000}?\n[^\S\n]*(?:#{1,4} |\*\*|\[)?(?:answer|assistant|response|solution|output|a) ?\d{0,4} ?"
    r"(?:\*\*|\])?(?:[:.](?!\w)|[^\S\n]*\n)",
    re.IGNORECASE,
)
ANNOUNCES = re.compile(  # how a text begins that says what it will do, or asks the question again
    r"\W*(?:sure|certainly|of course|okay|ok|alright|great|let|here|solution|first|to |we (?:need|have|are|want|can)"
    r"|i (?:will|need|am|have)|i'll|the (?:question|problem)|this |step|given|plan|restat|rephras|break)",
    re.IGNORECASE,
)
PARTS = re.compile(
    r"\W*(?:\w+ ?1\b|task|input|instruction)", re.IGNORECASE
)  # of an answer, as likely as a next question
FEW, MORE = 3, 6  # words of an answer alone; of one before a question that has a reply


def answers_alone(before: str, after: str) -> bool:
    """Whether the text before what may be an invented turn answers, although it marks no answer.

    So does a base model that goes on with a next question: "Paris", or "3 + 4 = 8, so she has 8 pens." before a
    question with a reply.  A text that announces a solution does not, nor one before "Question 1" or "Input:".
    """
    said = before.strip()
    if not said or said.endswith((":", "?")) or ANNOUNCES.match(said) or PARTS.match(after):
        return False
    words = len(said.split())
    return words <= FEW or (REPLY.match(after) is not None and (words <= MORE or any(map(str.isdigit, said))))


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
