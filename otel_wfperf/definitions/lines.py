"""A line of a Markdown document."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What stands in it.

    Attributes:
        text: Of a heading: without its marks.
        number: From 1.
        is_code: Whether it is in a code block.
        level: Of a heading, from 1; 0 = no heading.
    """

    text: str
    number: int
    is_code: bool = False
    level: int = 0
