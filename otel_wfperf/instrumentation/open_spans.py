"""The spans of this process that have started and not ended, with what is added up for each while it lasts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Final
from weakref import ref

from otel_wfperf import semconv

# Attribute of a span object through which its figures are found: whoever sees the span as the current one, in
# whatever task or thread, finds them without a map. opentelemetry-sdk 1.36 to 1.45 have no __slots__ there.
_FIELD: Final = "_otel_wfperf"
# Chosen: some 5 MB; a program with more spans open at once shows the first of them as running.
MAX_OPEN: Final = 10_000


class OpenSpan:
    """What is known of a span besides the span; made by the thousand, so that defaults stay on the class.

    Attributes:
        span: The span while somebody holds it.
        ended: How it ended: the readable span; None before that.
        operation: What it means, once somebody has asked.
        parent: What it is part of in this process; None = it is the first of its trace here.
        first: That first span; None = this one.
        cpu_ns: CPU time of the code for which it was the current span (nanoseconds).
        blocked_ns: Time for which that code held the event loop in long steps (nanoseconds).
        blocked_longest_ns: The longest of them (nanoseconds).
        started: Of the first span: spans that started below it, with itself (count).
        dropped_before: Of the first span: spans that this process had lost when it started (count).
        is_elsewhere: Whether it belongs to the process that this one was forked from.
        announced_ns: When it was last said that it runs (nanoseconds since the Unix epoch); 0 = never.
    """

    span: Callable[[], Any] = staticmethod(lambda: None)
    ended: Any = None
    operation: Any = None
    parent: OpenSpan | None = None
    first: OpenSpan | None = None
    cpu_ns: int = 0
    blocked_ns: int = 0
    blocked_longest_ns: int = 0
    started: int = 1
    dropped_before: int = 0
    is_elsewhere: bool = False
    announced_ns: int = 0

    def figures(self) -> dict[str, float | int]:
        """Spell what was added up as span attributes, leaving out what there is nothing of."""
        found: dict[str, float | int] = {}
        if self.cpu_ns:
            found[semconv.CPU_TIME] = self.cpu_ns / 1e9
        if self.blocked_ns:
            found[semconv.LOOP_BLOCKED] = self.blocked_ns / 1e9
            found[semconv.LOOP_BLOCKED_LONGEST] = self.blocked_longest_ns / 1e9
        if self.parent is None and OPEN_SPANS.is_counting:
            found[semconv.SPANS_STARTED] = self.started
            dropped = OPEN_SPANS.dropped() - self.dropped_before
            if dropped > 0:
                # The queue does not say of which trace: at most this many.
                found[semconv.SPANS_DROPPED] = min(dropped, self.started)
        return found


class OpenSpans:
    """All of them, by span id.

    Attributes:
        is_counting: Whether a span processor of ours sees every span.
        dropped: How many spans were lost before export since the process started (count).
        not_shown: Spans beyond :data:`MAX_OPEN` (count); everything else about them is recorded.
        at_shutdown: Ends what watches the open spans; called when the provider is shut down.
    """

    def __init__(self) -> None:
        """Know no span yet."""
        self.is_counting = False
        self.dropped: Callable[[], int] = lambda: 0
        self.not_shown = 0
        self.at_shutdown: Callable[[], None] = lambda: None
        self._spans: dict[int, OpenSpan] = {}

    def __len__(self) -> int:
        """How many are open (count)."""
        return len(self._spans)

    def start(self, span: Any, span_id: int, parent: Any) -> OpenSpan:
        """Note that a span has started.

        Args:
            span: The SDK's span.
            span_id: Its id.
            parent: The span above it, whatever it is; None = there is none.
        """
        started: OpenSpan = OpenSpan()
        above = getattr(parent, _FIELD, None)
        if above is None or above.is_elsewhere:
            started.dropped_before = self.dropped()
        else:
            first = above.first or above
            started.parent, started.first = above, first
            first.started += 1
        started.span = ref(span)
        span._otel_wfperf = started  # noqa: SLF001 - ours: see _FIELD
        if len(self._spans) < MAX_OPEN:
            self._spans[span_id] = started
        else:
            self.not_shown += 1
        return started

    def end(self, span_id: int) -> OpenSpan | None:
        """Forget a span that has ended; return what was known of it."""
        return self._spans.pop(span_id, None)

    def each(self) -> Iterator[tuple[OpenSpan, Any]]:
        """Yield those that are still there with their spans; one that nobody holds can never end and is forgotten."""
        for span_id, started in list(self._spans.items()):
            span = started.span()
            if span is None:
                self._spans.pop(span_id, None)
            else:
                yield started, span

    def after_fork_in_child(self) -> None:
        """Leave to the parent what it opened."""
        for span in self._spans.values():
            span.is_elsewhere = True
        self._spans.clear()


def open_span(span: Any) -> OpenSpan | None:
    """Return what is known of a span; None when it is not recorded."""
    return getattr(span, _FIELD, None)


def opened(span: Any) -> OpenSpan | None:
    """Do the same, and begin it for a span of a provider without our processor."""
    found: OpenSpan | None = getattr(span, _FIELD, None)
    if found is None and span.is_recording():
        found = OpenSpan()
        found.parent = found.first = _UNCOUNTED
        setattr(span, _FIELD, found)
    return found


# Stands above the spans of a provider that has no processor of ours, where nobody counts them.
_UNCOUNTED: Final = OpenSpan()
OPEN_SPANS: Final = OpenSpans()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OPEN_SPANS.after_fork_in_child)
