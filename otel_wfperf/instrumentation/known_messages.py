"""What was found out about messages that come again: a conversation repeats all of them with every step."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Chosen: more messages than any context window holds; of more, the oldest are read again.
_MAX_MESSAGES: Final = 4_096


class _Known(NamedTuple):
    """One message.

    Attributes:
        reference: The object, which is not kept alive.
        content: Its text when it was read.
        calls: The tool calls that it asks for, the list itself.
        calls_count: How many these were (count).
        found: What was found out.
    """

    reference: weakref.ref[Any]
    content: object
    calls: Any
    calls_count: int
    found: Any


class KnownMessages(Generic[T]):
    """Remembers something about each message object, as long as its text and its tool calls are the same ones.

    Only about messages whose content is one text, which cannot be changed in place.
    """

    def __init__(self) -> None:
        """Know no message yet."""
        self._known: dict[int, _Known] = {}

    def find(self, message: object, stored: Mapping[str, Any]) -> T | None:
        """Return what is known of a message; None = nothing.

        Args:
            message: The object.
            stored: Its fields: ``vars(message)``.
        """
        known = self._known.get(id(message))
        if known is None or known.content is not stored.get("content") or known.reference() is not message:
            return None
        calls: Any = stored.get("tool_calls")
        is_same = known.calls is calls and (not calls or len(calls) == known.calls_count)
        return known.found if is_same else None

    def remember(self, message: object, stored: Mapping[str, Any], found: T) -> T:
        """Note what was found out about a message, and return it."""
        content: object = stored.get("content")
        calls: Any = stored.get("tool_calls")
        if type(content) is str:
            try:
                reference = weakref.ref(message)
            except TypeError:  # an object without room for it
                return found
            self._known[id(message)] = _Known(reference, content, calls, len(calls or ()), found)
            if len(self._known) > _MAX_MESSAGES:
                self._known.pop(next(iter(self._known)), None)
        return found
