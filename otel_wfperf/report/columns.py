"""Text in columns of a terminal: names come from traces, so nothing about them is taken for granted."""

import unicodedata
from typing import Final

_WIDE: Final = frozenset("WF")
_INVISIBLE: Final = frozenset({"Mn", "Me", "Cf"})
_CONTROL: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """Replace what would move the cursor or change the terminal: line breaks, escapes, direction marks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if unicodedata.category(character) in _CONTROL else character for character in text)


def width(text: str) -> int:
    """Count the terminal columns that a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def clip(text: str, columns: int, *, ellipsis: str = "…") -> str:
    """Shorten a text to some columns; what was cut is marked."""
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    kept: list[str] = []
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + ellipsis


def pad(text: str, columns: int) -> str:
    """Fill a text with spaces on the right."""
    return text + " " * (columns - width(text))


def wrap(text: str, columns: int, *, first: str = "", rest: str = "") -> list[str]:
    """Break a text into lines, the first and the others with their own indentation.

    The standard library's ``textwrap`` counts characters, which is too few columns for wide ones.
    """
    lines: list[str] = []
    line, is_empty = first, True
    for word in clean(text).split():
        if not is_empty and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line, is_empty = rest, True
        line += word if is_empty else f" {word}"
        is_empty = False
        while width(line) > columns:
            head = clip(line, columns, ellipsis="")
            lines.append(head)
            line = rest + line[len(head) :].lstrip()
    return [*lines, line.rstrip()]


def _columns(character: str) -> int:
    if unicodedata.category(character) in _INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1
