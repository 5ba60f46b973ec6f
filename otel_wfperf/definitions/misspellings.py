"""Words that were probably meant as keywords: what is not understood is left alone, but a typo should not be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Final

from otel_wfperf.definitions.agents import agents_in
from otel_wfperf.definitions.definition import Misspelling
from otel_wfperf.definitions.headings import heading
from otel_wfperf.definitions.lines import Line

# A heading that begins as those of phases and branches do: a word and a label, then a colon or dash.
_OPENING: Final = re.compile(r"^\W*([A-Za-z]{4,9})\s+(?:\d+[a-z]?|[A-Z]\d?)\s*(?::|\s[-\u2013\u2014]\s)")
_ASSIGNED: Final = re.compile(r"\b([A-Za-z_-]{8,18})[\"'`*]*\s*[:=]\s*\\?[\"'`]")
_AGENT_KEYWORD: Final = "subagent_type"
_KEYWORDS: Final = ("Phase", "Branch")
# Chosen: one letter left out, added, changed or two swapped in words of 5 letters and more; "Phrase" and "Branches"
# are words of their own.
_ALIKE: Final = 0.75
_WORDS: Final = frozenset({"phrase", "phases", "branches", "branched", "ranch", "brunch", "chase"})


def misspellings(lines: Iterable[Line]) -> Iterator[Misspelling]:
    """Yield what looks like a keyword and is none."""
    for line in lines:
        if line.level and heading(line.text) is None:
            opening = _OPENING.match(line.text)
            meant = opening and _meant(opening[1])
            if opening and meant:
                yield Misspelling(written=opening[1], meant=meant, line=line.number)
        elif not line.level and not agents_in(line.text):
            for word in _ASSIGNED.findall(line.text):
                if _is_alike(word, _AGENT_KEYWORD):
                    yield Misspelling(written=word, meant=_AGENT_KEYWORD, line=line.number)


def _meant(word: str) -> str | None:
    if word.lower() in _WORDS:
        return None
    return next((keyword for keyword in _KEYWORDS if _is_alike(word, keyword)), None)


def _is_alike(word: str, keyword: str) -> bool:
    return SequenceMatcher(a=word.lower(), b=keyword.lower(), autojunk=False).ratio() >= _ALIKE
