"""Workflow definitions in Markdown.

``## Phase N: Title`` opens a phase, ``### Branch X: Title`` a branch of it, at any heading level. In the lines below,
``subagent_type="..."`` is a call of an agent, and sentences about order are read (``sentences``). All else is prose
and left alone. In code blocks only the calls of agents are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

from otel_wfperf.definitions.definition import Definition, ReferenceKind
from otel_wfperf.definitions.draft import Draft
from otel_wfperf.definitions.headings import heading, says_parallel, says_sequential
from otel_wfperf.definitions.lines import Line
from otel_wfperf.definitions.misspellings import misspellings
from otel_wfperf.definitions.sentences import Reader
from otel_wfperf.errors import InputError

_FENCE: Final = re.compile(r"^\s{0,12}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r"^\s{0,3}(#{1,6})\s+(.*)$")
_BOLD_LINE: Final = re.compile(r"^\s{0,3}\*\*((?:phase|branch)\s[^*]+)\*\*:?\s*$", re.IGNORECASE)
_FRONT_MATTER_NAME: Final = re.compile(r"^name:\s*[\"']?([^\"'#]+?)[\"']?\s*$")
# A blank line, list item, table row, quotation, bold lead or ``key: value`` is no continuation of the line above.
_STARTS: Final = re.compile(r"^\s*(?:$|[-*+|>]|\d+[.)]\s|[\w-]+(?:\s[\w-]+)?\s*[:=])")
# Chosen: deeper than any heading, so that a bold line never closes the section that it stands in.
_BOLD_LEVEL: Final = 7


def parse_markdown(text: str, source: str) -> Definition:
    """Read a definition; raise InputError when there is no phase in it.

    Args:
        text: The document.
        source: Where it is from, for messages.
    """
    lines = list(_lines(text))
    if not _opens_phase(lines):
        # Guides show whole definitions as a code block.
        lines = list(_lines(text, fences_count=False))
        if not _opens_phase(lines):
            raise InputError(f"{source}: has no phase; write `## Phase 1: Title`, then `### Branch A: Title` or steps")
    parser = _Parser(Draft(_reader(lines)))
    for line in _joined(lines):
        parser.read(line)
    return Definition(
        name=_name(text, source), source=source, phases=parser.draft.finished(), misspelt=tuple(misspellings(lines))
    )


@dataclass(slots=True)
class _Parser:
    """Where in the document the reading is; level 0 = outside."""

    draft: Draft
    _phase_level: int = 0
    _branch_level: int = 0

    def read(self, line: Line) -> None:
        opened = heading(line.text) if line.level else None
        if opened is not None and opened.kind is ReferenceKind.PHASE:
            phase = self.draft.open_phase(opened.label, opened.title, line.number)
            phase.sequential, phase.parallel = says_sequential(opened.title), says_parallel(opened.title)
            self._phase_level, self._branch_level = line.level, 0
        elif opened is not None and self._phase_level:
            self.draft.open_branch(opened.label, opened.title, line.number)
            self._branch_level = line.level
        elif line.level and line.level <= self._phase_level:
            self._phase_level = 0
        elif line.level and line.level <= self._branch_level:
            self.draft.close_branch()
            self._branch_level = 0
        elif self._phase_level:
            self._body(line)

    def _body(self, line: Line) -> None:
        self.draft.calls(line.text, line.number)
        if line.is_code:
            return
        self.draft.order(line.text, line.number)
        phase = self.draft.phases[-1]
        if not phase.branches and not phase.steps:
            # What stands between a phase and its first part is about all of them.
            phase.sequential |= says_sequential(line.text)
            phase.parallel |= says_parallel(line.text)


def _is(line: Line, kind: ReferenceKind) -> bool:
    opened = heading(line.text) if line.level else None
    return opened is not None and opened.kind is kind


def _opens_phase(lines: list[Line]) -> bool:
    return any(_is(line, ReferenceKind.PHASE) for line in lines)


def _reader(lines: list[Line]) -> Reader:
    opened = [found for line in lines if line.level and (found := heading(line.text)) is not None]
    branches = {each.label for each in opened if each.kind is ReferenceKind.BRANCH}
    titles = Counter(each.title.casefold() for each in opened)
    titled = {
        (each.title.casefold(), each.label)
        for each in opened
        if each.kind is ReferenceKind.BRANCH and each.title and titles[each.title.casefold()] == 1
    }
    phases = {each.label for each in opened if each.kind is ReferenceKind.PHASE}
    return Reader(tuple(sorted(branches)), tuple(sorted(phases)), tuple(sorted(titled)))


def _lines(text: str, *, fences_count: bool = True) -> Iterator[Line]:
    """Yield the lines with their numbers; comments are left out, code is marked."""
    fence = ""
    for number, raw in enumerate(_without_comments(text).splitlines(), start=1):
        mark = _FENCE.match(raw)
        if mark is not None:
            closes = fence and mark[1][0] == fence[0] and len(mark[1]) >= len(fence)
            fence = "" if closes else fence or mark[1]
            continue
        if fence and fences_count:
            yield Line(raw, number, is_code=True)
            continue
        found, bold = _HEADING.match(raw), _BOLD_LINE.match(raw)
        if found is not None:
            yield Line(found[2], number, level=len(found[1]))
        elif bold is not None:
            yield Line(bold[1], number, level=_BOLD_LEVEL)
        else:
            yield Line(raw, number)


def _joined(lines: Iterable[Line]) -> Iterator[Line]:
    """Put the lines of a paragraph together, so that a sentence may be wrapped."""
    before: Line | None = None
    for line in lines:
        if before is not None and _continues(before, line):
            before = replace(before, text=f"{before.text} {line.text.strip()}")
            continue
        if before is not None:
            yield before
        before = line
    if before is not None:
        yield before


def _continues(before: Line, line: Line) -> bool:
    is_text = not (before.is_code or before.level or line.is_code or line.level)
    return is_text and bool(before.text.strip()) and not before.text.endswith("  ") and not _STARTS.match(line.text)


def _without_comments(text: str) -> str:
    return re.sub(r"<!--.*?-->", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)


def _name(text: str, source: str) -> str:
    """Take the name of the front matter, else the first heading that opens nothing, else that of the file."""
    lines = text.splitlines()
    if lines[:1] == ["---"]:
        for key in lines[1 : lines.index("---", 1) if "---" in lines[1:] else 1]:
            if named := _FRONT_MATTER_NAME.match(key):
                return named[1]
    for line in _lines(text):
        if line.level == 1:
            return PurePath(source).stem if heading(line.text) else line.text.strip().rstrip("#").strip()
    return PurePath(source).stem
