"""The name of what a sentence of a solution calculates: "She packs 56/4=14 bags" gives "how many bags she packs".

A few patterns for short clauses of English.  A sentence that fits none has no name, and nothing is said about it.  A
name is an indirect question or a noun phrase, so that "I know" and "that depends on" can stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlready.inject.calculator import ANNOTATION, number

LONGEST = 14  # words of a name
SENTENCE = re.compile(
    r"(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)(?<!\bvs\.)(?<=[.!?])\s+(?=[\"“$A-Z0-9])"
)


def _any_of(text: str) -> str:
    return "|".join(text.split())


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What may precede the clause: it links the sentence to the one before and says nothing of the quantity.
LEAD = re.compile(
    r"(?:so|thus|therefore|then|hence|next|now|first|finally|also|and|but|(?:this|that) means(?: that)?|together|"
    r"altogether|in total|in all|overall|in the end|at the end|as a result|consequently|meanwhile),? +",
    re.I,
)
LINK = re.compile(r".*\b(?:so|which means|that means|meaning|thus|therefore|hence)(?: that)?,? ")  # one of two clauses
TOTAL = re.compile(r"\b(?:altogether|in total|in all|overall)\b", re.I)
TOTALS = word_set("total overall combined")
PREFIX = re.compile(
    r"(?:[Aa]fter|[Dd]uring|[Oo]n|[Ii]n|[Aa]t|[Ff]or|[Bb]efore|[Bb]y|[Oo]ver|When|If) "
    r"(?:[A-Za-z0-9' -]+, |(?:[a-z0-9'-]+ ){1,3}(?=he |she |[A-Z]))"
)
FINDING = re.compile(
    r".*\b(?:find|calculate|determine|work out|figure out) ((?:the|how (?:many|much|long|old|far)|his|her) .+):$"
)
BECAUSE = re.compile(r"(.*?) ?([$€£]?)([0-9][0-9,]*(?:\.[0-9]+)?)((?: [A-Za-z' -]+)?) (?:because|since) $")
FILLER = re.compile(
    r"(?: (?:an?|the) (?:combined |grand )?total of| altogether| in total| in all| exactly| about| only)+$"
)

# A calculation at the end of a text, with units: "3 classes * 30 cupcakes/class", "$5 x 4".
UNIT = r"(?!(?:and|so|for|that|because|or|to|is|are|was|were|plus|times|minus|by|x)\b)[A-Za-z]+\.?"
OPERAND = rf"[($€£]*[0-9][0-9,]*(?:\.[0-9]+)?%?(?:(?:[ -]|/ ?){UNIT}){{0,4}}\)*|[($€£]*\.[0-9]+\)*"
CALCULATION = re.compile(rf"(?:^| )(?:{OPERAND})(?: ?(?:[-–+*/xX×÷=]|\) ?[*x/]) ?(?:{OPERAND}))+$")

NAMED = (
    r"(?!(?:The|They|It|This|That|These|Those|Each|Both|All|You|We|Half|Since|If|Its|Their|There|His|Her|So|And|In|On|"
    r"He|She|A|An|I|Then|Now|Next|But|Also|Together|Twice|After|At|For|By|There|Let|Total|Same)\b)[A-Z][a-z]+"
)
ACTS = re.compile(
    rf"\b({NAMED})(?= (?:has|had|have|made|makes|bought|buys|spent|spends|will|would|needs|is|was|can|could|"
    r"got|gets|earns|earned|paid|pays|sold|sells|gave|gives|ate|eats|received|took|takes|used|uses)\b)"
)
SINGULAR = rf"(?:[Hh]e|[Ss]he|(?:(?:Mr|Mrs|Ms|Dr)\. )?{NAMED}(?: {NAMED})?)"
PLURAL = rf"(?:[Tt]hey|{NAMED}(?:, {NAMED})*,? and {NAMED})"
PHRASE = r"(?:(?:[Tt]he|[Hh]is|[Hh]er|[Ee]ach|[Aa]ll|[Aa]) |[A-Z][a-z]+['’]s )[A-Za-z'’ -]+?"
MODAL = (
    r"(?:(?:will|would|can|could|must|should|now|then|already|has|have|had|originally|currently|initially|still|"
    r"needs? to|has to|had to|have to|wants? to|wanted to|managed to|plans? to|planned to|is going to) )*"
)
PARTICLE = "(?: (?:away|out|back|up))?"
BEING = "is|are|was|were|will be|would be"
PAST = _any_of(
    "has had made got gave spent paid sold bought ate took drank ran caught won lost saw read kept found left "
    "went wrote brought sent grew drew flew drove rode swam held built taught threw cut put knit sang shot hit "
    "made slept drank cost let lent met"
)
AFTER_PHRASE = _any_of(
    "has have had need needs needed make makes made earn earns earned get gets got spend spends spent pay pays "
    "paid sell sells sold cost costs weigh weighs weighed take takes took eat eats ate use uses used drink drinks "
    "drank travel travels traveled travelled hold holds held contain contains contained produce produces produced "
    "receive receives received runs ran lasts lasted collect collects collected buy buys bought read reads charge "
    "charges"
)
MONEY_VERBS = word_set(
    "has have had make makes made earn earns earned get gets got spend spends spent save saves saved receive "
    "receives received owe owes owed need needs needed raise raises raised collect collects collected lose loses "
    "lost donate donates donated invest invested gave give gives keep keeps kept contribute contributes "
    "contributed"
)
PRICE_VERBS = word_set("pay pays paid cost costs charge charges charged")
AFTER = word_set(  # words that end a noun phrase
    "to in on at from for per each every left during after by a an that total more than remaining altogether over "
    "daily weekly monthly when if before into away there until through under about together ago between without "
    "the all"
)
NO_NOUN = word_set(
    "is are was were will can has had have does do did be been this less its his plus as us and or long tall old "
    "high worth years with he she they it we you i"
)
PLURALS = word_set("people children feet men women mice fish sheep teeth geese deer")
MEASURES = word_set(
    "number amount total cost price sum area weight age length time distance speed profit income score average "
    "difference value volume height width perimeter discount tip tax fee bill salary pay balance budget revenue "
    "earnings marks sales savings expenses capacity rent rate wage share points"
)
VAGUE = re.compile(  # what refers to a sentence that may not be there, or needs one after it
    r"\b(?:it|its|them|this|that|these|those|such|former|latter|same|respectively|another|one|ones|"
    r"because|since|so|we|I|you|your|our|therefore|which|whose|means?|equals?|x|y|also|then|thus|but|who|extra|"
    r"additional|new|next|other|others|now|already|rest|current|currently|again|still|different|only)\b|\bthe each\b"
)
COUNTED = ("how many ", "the number of ", "the total number of ")  # the name says the unit
UNITS = re.compile(r"(?: [a-z]+){1,2}")
PERSONAL = re.compile(r"\b(?:he|she|his|her|him|they|their)\b")
NAME = re.compile(r"\b[A-Z][a-z]+")
NO_NAMES = word_set(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August "
    "September October November December Mr Mrs Ms Dr He She His Her The They If So Since After Reason How What"
)
LOWERED = word_set("The His Her He She They There Each All A After During On In At For Before By Over When If")


@dataclass(frozen=True)
class Quantity:
    """``name`` is what a step calculates, ``shown`` the value as the solution writes it, with its unit if need be."""

    name: str
    shown: str
    person: str = ""  # whom a pronoun in the name means

    @property
    def personal(self) -> bool:
        """Whether a pronoun in the name needs a person named before."""
        return bool(PERSONAL.search(self.name))


def has_stranger(question: str, solution: str) -> bool:
    """Whether someone acts in the solution whom the question does not name."""
    told = question.lower()
    return any(name.lower() not in told and name not in NO_NAMES for name in ACTS.findall(solution))


def capitals(text: str) -> set[str]:
    """The words with a capital letter."""
    return set(NAME.findall(text))


def last_person(text: str) -> str:
    """The name of a person, or of anything else, that a text mentions last: what "he" or "she" after it refers to."""
    small = set(re.findall(r"\b[a-z]+", text))
    return next((n for n in reversed(NAME.findall(text)) if n.lower() not in small and n not in NO_NAMES), "")


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line ends one."""
    return [s.strip() for line in text.split("\n") for s in SENTENCE.split(line) if s.strip()]


def quantity(line: str, note: str) -> Quantity | None:
    """What the sentence of ``line`` with the annotation ``note`` calculates; None if it fits no pattern."""
    sentence = next((s for s in sentences(line) if note in s), "")
    if len(ANNOTATION.findall(sentence)) != 1:
        return None
    before, after = sentence.split(note)
    found = re.fullmatch(r"(.*?) ?= ?([$€£]?) ?", before)
    shown = re.match(r" ?([$€£]?)([0-9][0-9,]*(?:\.[0-9]+)?)(?![0-9])", after)
    calculated = CALCULATION.search(found[1]) if found else None
    if not found or not shown or not calculated or (found[2] and shown[1]):
        return None
    sign, value, clause = found[2] or shown[1], shown[2].rstrip(","), f"{found[1][: calculated.start()].rstrip()} "
    tail = after[shown.end() :].rstrip(".! ")
    if because := BECAUSE.fullmatch(clause):
        if tail or number(because[3]) != number(value):
            return None
        clause, sign, value, tail = because[1], because[2], because[3], because[4]
    if asked := FINDING.fullmatch(clause.rstrip()):  # the name is there
        name, unit = re.split(r" by [a-z]+ing\b", asked[1])[0], tail if UNITS.fullmatch(tail) else ""
        measured = sign or unit or name.startswith(COUNTED)
        return _sound(name, sign + value, "" if sign else unit) if len(name.split()) > 2 and measured else None
    if re.search(r"[^A-Za-z0-9 '’-]|\b(?:and|or|so|because|since|which|while|but|as)\b", tail) or tail[:1].isalnum():
        return None
    return _sound(_name(clause.strip(), sign, tail.split()), sign + value, "" if sign else tail)


def _sound(name: str, value: str, unit: str) -> Quantity | None:
    """The name if it can stand anywhere in the solution; the unit is said with the value where the name has none."""
    plain = re.sub(r"\b(?:Mr|Mrs|Ms|Dr)\. |, (?=[A-Za-z ,]+ and [A-Z])", " ", name)
    if re.search(r"\b(each|every|per|total|left)\b.*\b\1\b", name.removeprefix("the total")):
        return None
    if not name or VAGUE.search(name) or len(name.split()) > LONGEST or re.search(r"[^A-Za-z0-9 '’-]", plain):
        return None
    return Quantity(name, value if name.startswith(COUNTED) else value + unit)


def _name(clause: str, sign: str, tail: Sequence[str]) -> str:
    """From the words before the calculation, the currency sign of the result, and the words after it."""
    total = " in total" if TOTAL.search(clause) and not {*tail} & {"all", "total", "altogether"} else ""
    clause += " "
    if (link := LINK.match(clause)) and not PREFIX.match(link[0]):  # "In two years she will be ..., so ..." says when
        clause = clause[link.end() :]
    while lead := LEAD.match(clause):
        clause = clause[lead.end() :]
    clause = clause.strip()
    if not clause:
        return _counted(tail) if not sign else ""
    when = ""
    if prefix := PREFIX.match(clause):
        clause, when = clause[prefix.end() :], " " + _lowered(prefix[0].rstrip(" ,"))
    clause = FILLER.sub("", f" {clause}").strip()
    if found := re.fullmatch(rf"({SINGULAR}|{PHRASE}|[Tt]here) ({BEING})", clause):
        name = "" if NO_NOUN & {*found[1].split()} else _being(found[1], found[2], sign, tail)
    else:
        name = _doing(clause, sign, tail)
    return name and f"{name}{'' if TOTALS & {*name.split()} else total}{when}"


def _being(subject: str, verb: str, sign: str, tail: Sequence[str]) -> str:
    if subject.lower() == "there":
        what, rest = ("", "") if sign or verb in {"is", "was"} else _counting(tail, verb)
        return f"{what} there {verb}{rest}" if what else ""
    words = subject.split()
    if list(tail) == ["years", "old"]:
        return f"how old {_lowered(subject)} {verb}" if not MEASURES & {*words} else ""
    unit = len(tail) <= 1 or list(tail[:1]) == ["square"]
    known = len(words) > 2 and not {"of", "for", "in", "to", "by"} & {*words[:2]} and bool(MEASURES & {*words[1:4]})
    return _lowered(subject) if known and unit and verb != "are" and not (sign and tail) else ""


def _doing(clause: str, sign: str, tail: Sequence[str]) -> str:
    found = (
        re.fullmatch(rf"({SINGULAR}) ((?:{MODAL})(?:[a-z]+s|[a-z]+ed|{PAST}){PARTICLE})", clause)
        or re.fullmatch(rf"({SINGULAR}) ((?:{MODAL})(?:will|would|can|could|must|should|to) [a-z]+)", clause)
        or re.fullmatch(rf"({PLURAL}) ((?:{MODAL})[a-z]+)", clause)
        or re.fullmatch(rf"({PHRASE}) ((?:{MODAL})(?:{AFTER_PHRASE}|[a-z]+ed|{PAST}){PARTICLE})", clause)
    )
    if not found or {"he", "she", "they"} & {*found[1].split()[1:]} or found[1].split()[0] in NO_NAMES - LOWERED:
        return ""
    verb = re.sub(f"{PARTICLE}$", "", found[2]).split()[-1]
    if verb in (AFTER | NO_NOUN) - {"has", "have", "had"} or (verb.startswith("spen") and not sign and len(tail) < 2):
        return ""  # "he spends 3 hours": on what?
    if not sign:
        what, rest = _counting(tail, verb)
    elif tail and (tail[0] not in AFTER - {"more", "than", "total"} or {"more", "money"} & {*tail}):
        return ""
    else:
        asked = "how much" if verb in PRICE_VERBS else "how much money" if verb in MONEY_VERBS else ""
        what, rest = asked, "".join(f" {word}" for word in tail)
    return f"{what} {_lowered(found[1])} {found[2]}{rest}" if what else ""


def _counted(tail: Sequence[str]) -> str:
    """ "30 children are boys" names "how many children are boys"."""
    text = " ".join(tail)
    found = re.fullmatch(
        r"((?:[a-z-]+ ){1,3})((?:are|were|remain|remained|went|came|attended|passed|liked)\b[a-z' -]*)", text
    )
    return f"how many {found[1]}{found[2]}" if found and _plural(found[1].split()[-1]) else ""


def _counting(tail: Sequence[str], verb: str) -> tuple[str, str]:
    """("how many bags of rolls", " for the party"): what asks for the number, and what goes after the verb."""
    spent = verb.startswith("spen")  # "30 minutes reading"
    ends = (word in AFTER or (spent and word.endswith("ing")) for word in tail)
    end = next((i for i, ended in enumerate(ends) if ended and not (i == 0 and tail[0] == "more")), len(tail))
    noun, rest = tail[:end], tail[end:]
    head = noun[: noun.index("of")] if "of" in noun else noun
    more = "more " if rest[:2] == ["more", "than"] else ""  # "3 pens more than Bob": how many more pens than Bob
    odd = (rest[:1] == ["more"] and not more) or any(word.startswith("-") for word in noun)
    if odd or not head or len(noun) > 4 or NO_NOUN & {*noun} or not _plural(head[-1]):
        return "", ""
    return f"how many {more}{' '.join(noun)}", "".join(f" {word}" for word in rest[bool(more) :])


def _plural(word: str) -> bool:
    return word in PLURALS or (len(word) > 3 and word.endswith("s") and not word.endswith("ss"))


def _lowered(text: str) -> str:
    """With a small first letter unless that is a name's."""
    return text[0].lower() + text[1:] if text.split(maxsplit=1)[0] in LOWERED else text
