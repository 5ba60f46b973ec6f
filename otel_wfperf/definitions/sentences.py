"""What a line of prose says about order. A sentence that is not understood says nothing.

Read as waiting: ``Depends on the schema from Branch C``, ``Requires tests from Branches A and B``, ``After Phase 2``,
``Once Branch C is done``, ``Cannot start before Branch C``, ``Blocked by Branch C``. Read as being waited for: ``Must
complete before Branch A``, ``Blocks Branch A``. Read as use: ``Use the API of Branch C``, ``Output of Branch A``.
Sentences that deny it (``No dependency on Branch A``, ``Independent of Branch B``) say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from otel_wfperf.definitions.definition import Reference, ReferenceKind, Waits

# What can be a label where nobody declared it: A, B2, 3, 2a. Other words after "branch" are prose.
_LABEL: Final = r"[A-Z]\d{0,2}|\d{1,2}[a-z]?"
_NUMBER: Final = r"\d{1,2}[a-z]?"
# Chosen: nobody says what waits for what later in a sentence than this (characters), and reading it takes time that
# grows with the square.
_LONGEST_SENTENCE: Final = 500
_SENTENCE_END: Final = re.compile(r"(?<=[.;!?])\s+|\s+[\u2013\u2014]\s+")
_DENIED: Final = re.compile(
    r"\b(?:no|not|never|nothing|none|without|independent(?:ly)?|instead|neither|nor|isn't|doesn't|don't|needn't|won't)\b"
    r"|n't\b",
    re.IGNORECASE,
)
_POSSIBLE: Final = re.compile(r"\b(?:can|could|may|might|able)\b", re.IGNORECASE)
_NOT_YET: Final = re.compile(
    r"\b(?:not|never|cannot|can't|don't|won't)\s+(?:be\s+)?(?:start|begin|run|proceed|launch)\w*\s+(?:until|before)\b",
    re.IGNORECASE,
)
# Nothing needs to follow directly: "Depends on the reviewed schema from Branch C".
_DEPENDS: Final = re.compile(
    r"\b(?:depend(?:s|ent|ing)?\s+(?:up)?on|dependenc(?:y|ies)\s*(?:on|:)|depends\s*:|prerequisites?\s*:"
    r"|blocked\s+(?:by|on)|wait(?:s|ing)?\s+(?:for|on))",
    re.IGNORECASE,
)
# Between the verb and the branch there has to be a word that says where it comes from.
_NEEDS: Final = re.compile(r"\b(?:requires?\b|needs?\b|inputs?\s*:|inputs?(?=\s+from))", re.IGNORECASE)
_ORIGIN: Final = re.compile(r"(?:^|\b(?:from|of|by|in|the)\b|:)\W*$", re.IGNORECASE)
_AFTER: Final = re.compile(
    r"\b(?:after|once|following|until|as\s+soon\s+as)\s+(?:the\s+)?"
    r"(?:(?:successful\s+)?(?:completion|end|finish)\s+of\s+|(?:completing|finishing)\s+)?(?:the\s+)?$",
    re.IGNORECASE,
)
# "When Branch A is finished": the verb stands on both sides.
_WHEN: Final = re.compile(r"\b(?:when|whenever)\s+(?:the\s+)?$", re.IGNORECASE)
_IS_DONE: Final = re.compile(
    r"^(?:'s)?\s+(?:(?:is|are|has|have|gets?)\s+(?:been\s+)?(?:finished|done|complete[d]?|ready|over|ended)\b"
    r"|(?:finishes|completes|ends|succeeds)\b)",
    re.IGNORECASE,
)
_BEFORE: Final = re.compile(
    r"(?:\b(?:must|has\s+to|have\s+to|needs?\s+to|should|is\s+to|completes?|finish(?:es)?|done|ready|first|runs?)\b.*"
    r"|^\W*)\bbefore\s+(?:the\s+)?(?:start\s+of\s+|starting\s+)?(?:the\s+)?$"
    r"|\b(?:un)?blocks\s+(?:the\s+)?$|\b(?:prerequisite|required|needed)\s+(?:for|of|by)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_RESULT: Final = r"(?:outputs?|results?|artifacts?|deliverables?|findings|contracts?|schemas?|apis?|reports?|designs?)"
_USES: Final = re.compile(
    r"\b(?:us(?:e|es|ing)|consum(?:e|es|ing)|reads?|reading|takes?|based\s+on|builds?\s+on|integrates?)\b"
    r"[^,;]*\b(?:from|of|by)\s+(?:the\s+)?$"
    r"|\b(?:outputs?|results?|artifacts?|deliverables?)\s+(?:from|of|produced\s+by)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_USING: Final = re.compile(
    r"\b(?:us(?:e|es|ing)|consum(?:e|es|ing)|reads?|reading|takes?|based\s+on|builds?\s+on|integrates?)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_OWNED_RESULT: Final = re.compile(rf"^'s\s+(?:[\w-]+\s+){{0,2}}{_RESULT}\b", re.IGNORECASE)
_PRETENDED: Final = re.compile(
    r"\b(?:mock|stub|fake|placeholder|sample|later|afterwards|eventually|parallel|if|agreed)\w*\b", re.IGNORECASE
)
# What ends the list of things waited for: "Depends on the schema from Branch C so that Branch D can start".
_ENDS_LIST: Final = re.compile(
    r"\b(?:to|for|so|then|that|which|before|but|not|while|when|if|is|are|can|will|unless|instead|parallel|starts?)\b",
    re.IGNORECASE,
)
_NOT_MEANT: Final = re.compile(r"\b(?:but|not|while|without|independent|parallel|before|instead)\b", re.IGNORECASE)
_OPENS: Final = re.compile(r"^\W*(?:the\s+)?$", re.IGNORECASE)
_SUBJECT: Final = re.compile(r"^\W*(?:\([^)]*\)\s*)?(?:also|always|only|must|then|:|has|have|to|should)?\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one sentence says.

    Attributes:
        subject: The branch or phase that it is about; None = the one in which it stands.
    """

    waits: Waits
    subject: Reference | None = None


@dataclass(frozen=True, slots=True)
class _Patterns:
    mention: re.Pattern[str]
    bare_labels: re.Pattern[str]
    branch_label: re.Pattern[str]
    phase_label: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Mention:
    references: tuple[Reference, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads sentences about some branches and phases.

    Attributes:
        branch_labels: Labels that exist; one letter or number is understood without being declared.
        phase_labels: The same of phases.
        branch_titles: Titles of branches with their labels; a sentence may wait for those, too.
    """

    branch_labels: tuple[str, ...] = ()
    phase_labels: tuple[str, ...] = ()
    branch_titles: tuple[tuple[str, str], ...] = ()

    def statements(self, text: str, line: int) -> Iterator[Statement]:
        """Yield what the sentences of a line say about order."""
        plain = re.sub(r"[*`]+", "", text).replace("_", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        patterns = _patterns(self.branch_labels, self.phase_labels)
        for sentence in _SENTENCE_END.split(plain):
            shortened = sentence[:_LONGEST_SENTENCE]
            statement = _statement(shortened, line, patterns) or self._by_title(shortened, line)
            if statement is not None:
                yield statement

    def _by_title(self, sentence: str, line: int) -> Statement | None:
        """Read ``Depends on Backend``, where nothing but the title of a branch follows."""
        verb = _DEPENDS.search(sentence) if self.branch_titles else None
        if verb is None or _DENIED.search(sentence[: verb.start()]):
            return None
        named = re.sub(r"^the\s+", "", sentence[verb.end() :].strip(" \t:\"'.!"), flags=re.IGNORECASE).casefold()
        label = dict(self.branch_titles).get(named)
        if label is None:
            return None
        return Statement(waits=Waits(after=(Reference(kind=ReferenceKind.BRANCH, label=label, line=line, prose=True),)))


def says_independent_of_phases(text: str) -> bool:
    """Tell whether a line states that no earlier phase is needed."""
    pattern = r"\bindependent\s+(?:of|from)\s+(?:all\s+)?(?:the\s+)?(?:other\s+|earlier\s+|previous\s+)?phases?\b"
    return re.search(pattern, text, re.IGNORECASE) is not None


def _statement(sentence: str, line: int, patterns: _Patterns) -> Statement | None:
    mentions = list(_mentions(sentence, line, patterns))
    bare = None if mentions else patterns.bare_labels.search(sentence)
    if bare is not None and not _DENIED.search(sentence[: bare.start()]):
        named = _branches(bare["labels"], line, patterns)
        return Statement(waits=Waits(before=named) if bare["before"] else Waits(after=named))
    for reading in (_not_yet, _depends, _after, _before, _uses):
        found = reading(sentence, mentions)
        if found is not None:
            return found
    return None


@lru_cache(maxsize=32)
def _patterns(branch_labels: tuple[str, ...], phase_labels: tuple[str, ...]) -> _Patterns:
    branch = _any_of(branch_labels, _LABEL)
    phase = _any_of(phase_labels, _NUMBER)
    branches = rf"{branch}(?:\s*(?:,\s*and|,|&|/|\+|and|or)\s*{branch}(?!'))*"
    phases = rf"{phase}(?:\s*(?:,\s*and|,|&|and)\s*{phase})*"
    mention = (
        rf"\b(?:(?i:phase)\s+(?P<in_phase>{phase})(?:'s)?,?\s+)?(?i:branch(?:es)?)[\s-]+(?P<branches>{branches})"
        rf"(?:(?:'s)?(?:\s+[a-z-]+){{0,2}}?\s*\(?\s*(?i:of|in|from)\s+(?i:phase)\s+(?P<of_phase>{phase}))?"
        rf"|\b(?i:phases?)\s+(?P<first>\d{{1,2}})\s*(?:-|\u2013|to|through)\s*(?P<last>\d{{1,2}})(?!\w)"
        rf"|\b(?i:phases?)\s+(?P<phases>{phases})"
    )
    verbs = r"depends\s+on|depends|dependenc(?:y|ies)|requires|blocked\s+by|prerequisites?|after"
    bare = rf"\b(?i:{verbs}|(?P<before>must\s+complete\s+before|blocks))\b\W*(?P<labels>{branches})\W*$"
    return _Patterns(re.compile(mention), re.compile(bare), re.compile(branch), re.compile(phase))


def _any_of(labels: Iterable[str], usual: str) -> str:
    names = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    return rf"(?:(?:{usual}{'|(?i:' + names + ')' if names else ''})(?!\w))"


def _not_yet(sentence: str, mentions: Sequence[_Mention]) -> Statement | None:
    verb = _NOT_YET.search(sentence)
    following = _following(sentence, mentions, verb.end()) if verb else ()
    return Statement(waits=Waits(after=following)) if following else None


def _depends(sentence: str, mentions: Sequence[_Mention]) -> Statement | None:
    for pattern, origin in ((_DEPENDS, None), (_NEEDS, _ORIGIN)):
        verb = pattern.search(sentence)
        if verb is None or _DENIED.search(sentence[: verb.start()]):
            continue
        following = _following(sentence, mentions, verb.end(), origin)
        if following:
            return Statement(waits=Waits(after=following), subject=_subject(sentence, mentions, verb.start()))
    return None


def _after(sentence: str, mentions: Sequence[_Mention]) -> Statement | None:
    for mention in mentions:
        lead = sentence[: mention.start]
        verb = _AFTER.search(lead) or (_WHEN.search(lead) if _IS_DONE.match(sentence[mention.end :]) else None)
        if verb is None or _DENIED.search(lead) or lead.rstrip().lower().endswith("or after"):
            continue
        return Statement(waits=Waits(after=mention.references), subject=_subject(sentence, mentions, verb.start()))
    return None


def _before(sentence: str, mentions: Sequence[_Mention]) -> Statement | None:
    for mention in mentions:
        lead = sentence[: mention.start]
        verb = _BEFORE.search(lead)
        if verb is None or _DENIED.search(lead) or _POSSIBLE.search(lead):
            continue
        return Statement(waits=Waits(before=mention.references), subject=_subject(sentence, mentions, verb.start()))
    return None


def _uses(sentence: str, mentions: Sequence[_Mention]) -> Statement | None:
    if _DENIED.search(sentence) or _PRETENDED.search(sentence):
        return None
    for mention in mentions:
        lead, rest = sentence[: mention.start], sentence[mention.end :]
        if _USES.search(lead) or (_USING.search(lead) and _OWNED_RESULT.search(rest)):
            return Statement(waits=Waits(uses=mention.references))
    return None


def _following(
    sentence: str, mentions: Sequence[_Mention], start: int, origin: re.Pattern[str] | None = None
) -> tuple[Reference, ...]:
    """Collect what is named after a verb, up to where the sentence turns to something else."""
    found: list[Reference] = []
    for mention in mentions:
        if mention.start < start:
            continue
        between = sentence[start : mention.start]
        ends = _ENDS_LIST.search(between) if found else _NOT_MEANT.search(between)
        if ends or (origin is not None and not found and not origin.search(between)):
            break
        found += mention.references
        start = mention.end
    return tuple(found)


def _subject(sentence: str, mentions: Sequence[_Mention], verb_start: int) -> Reference | None:
    before = [mention for mention in mentions if mention.end <= verb_start]
    if len(before) != 1 or len(before[0].references) != 1 or not _OPENS.search(sentence[: before[0].start]):
        return None
    return before[0].references[0] if _SUBJECT.search(sentence[before[0].end : verb_start]) else None


def _mentions(sentence: str, line: int, patterns: _Patterns) -> Iterator[_Mention]:
    for match in patterns.mention.finditer(sentence):
        if match["branches"]:
            references = _branches(match["branches"], line, patterns, match["in_phase"] or match["of_phase"])
        elif match["first"]:
            numbers = range(int(match["first"]), int(match["last"]) + 1)
            references = tuple(_phase(str(number), line) for number in numbers)
        else:
            references = tuple(_phase(label, line) for label in patterns.phase_label.findall(match["phases"]))
        yield _Mention(references, match.start(), match.end())


def _branches(labels: str, line: int, patterns: _Patterns, phase: str | None = None) -> tuple[Reference, ...]:
    return tuple(
        Reference(kind=ReferenceKind.BRANCH, label=label, line=line, phase=phase, prose=True)
        for label in patterns.branch_label.findall(labels)
    )


def _phase(label: str, line: int) -> Reference:
    return Reference(kind=ReferenceKind.PHASE, label=label, line=line, prose=True)
