"""Adjuster: how much of the run is here."""

from collections import Counter
from typing import ClassVar, TypeAlias

from otel_wfperf.assembly.trace import Trace

# One process's part of one trace: trace id and identity of the process.
_Part: TypeAlias = tuple[str, str]


class Completeness:
    """Compare the spans that are here with those that their processes say they started.

    The first span of a trace in a process says at its end how many spans it and those below it were. What begins after
    that is not in the figure, so that it is a lower bound. Where no process says anything, a missing parent is all that
    shows.
    """

    name: ClassVar[str] = "completeness"

    def adjust(self, trace: Trace) -> None:
        """Set the share, and note what is missing when the processes know of more than the parents show."""
        saying = [node for node in trace.nodes if node.operation.spans_started is not None]
        if not saying:
            return
        here: Counter[_Part] = Counter()
        started: Counter[_Part] = Counter()
        dropped = 0
        for node in trace.nodes:
            operation = node.operation
            if operation.synthetic:
                continue
            part = (operation.trace_id, operation.host)
            here[part] += 1
            if operation.spans_started is not None:
                started[part] += operation.spans_started
                dropped += operation.spans_dropped or 0
        missing = sum(max(0, known - here[part]) for part, known in started.items())
        share = here.total() / max(1, here.total() + missing)
        if missing and share < trace.completeness:
            trace.completeness = share
            lost = f"; their processes lost up to {dropped} before they could send them" if dropped else ""
            trace.note(self.name, saying, f"{missing} of {here.total() + missing} spans are missing{lost}")
