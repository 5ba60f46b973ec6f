"""What a heading opens: ``Phase 2: Implementation``, ``Branch A: Backend``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from otel_wfperf.definitions.definition import ReferenceKind

# A number, letter or numeral is a label; another word only before a colon or dash: "Phase overview" opens nothing.
_NUMBER_WORDS: Final = "one|two|three|four|five|six|seven|eight|nine|ten|[ivx]+"
_LABELLED: Final = re.compile(
    r"^\W*(?:\d+[.)]\s*)?(?:parallel\s+)?(phase|branch)\s+"
    rf"(?:((?:\d+[a-z]?|[a-z]\d*|{_NUMBER_WORDS})(?:\.\d+)?)(?![\w'])(.*)|([\w.-]*\w)\s*(?::|\s[-\u2013\u2014]\s)(.*))$",
    re.IGNORECASE,
)
_SEQUENTIAL: Final = re.compile(
    r"\bsequential(?:ly)?\b|\bone (?:after|by) (?:another|one)\b|\bin sequence\b", re.IGNORECASE
)
_PARALLEL: Final = re.compile(r"\b(?:parallel|concurrent(?:ly)?|simultaneous(?:ly)?|at once)\b", re.IGNORECASE)
_DENIED: Final = re.compile(r"\b(?:not|no|never|avoid|instead)\b|n't\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Heading:
    """A phase or branch that is opened."""

    kind: ReferenceKind
    label: str
    title: str


def heading(text: str) -> Heading | None:
    """Read the text of a heading; None when it opens neither a phase nor a branch."""
    match = _LABELLED.match(text.replace("*", "").replace("`", "").strip())
    if match is None:
        return None
    title = (match[3] or match[5] or "").strip().rstrip("#").lstrip(" -.):\u2013\u2014").rstrip(" -:\u2013\u2014")
    return Heading(ReferenceKind(match[1].lower()), match[2] or match[4], title)


def says_sequential(text: str) -> bool:
    """Tell whether a line states that the branches of a phase run one after another."""
    return _SEQUENTIAL.search(text) is not None and not _DENIED.search(text) and not _PARALLEL.search(text)


def says_parallel(text: str) -> bool:
    """Tell whether a line states that the parts of a phase run at the same time."""
    return _PARALLEL.search(text) is not None and not _DENIED.search(text) and not _SEQUENTIAL.search(text)
