"""What every adjuster offers."""

from typing import ClassVar, Protocol

from otel_wfperf.assembly.trace import Trace


class Adjuster(Protocol):
    """One correction of a trace. Pure: it looks at the trace only."""

    name: ClassVar[str]

    def adjust(self, trace: Trace) -> None:
        """Change the trace in place and note what was changed."""
