"""When an execution is taken as complete."""

from typing import Final, Self

from pydantic import Field, model_validator

from otel_wfperf.assembly import AssemblySettings
from otel_wfperf.config.section import Section, key_of
from otel_wfperf.config.values import Duration

_SETTINGS: Final = AssemblySettings()


class AssemblyConfig(Section):
    """When an execution is taken as complete, and how much may be held until then.

    The reasons of the defaults stand at :class:`otel_wfperf.assembly.AssemblySettings`.
    """

    quiet_s: Duration = _SETTINGS.quiet_ns / 1e9
    """A trace whose root has ended is complete when nothing has come for this long (default 2s)."""
    missing_quiet_s: Duration = _SETTINGS.missing_quiet_ns / 1e9
    """The same while spans are known to be missing (default 10s)."""
    idle_timeout_s: Duration = _SETTINGS.idle_timeout_ns / 1e9
    """A trace without an ended root is given up when nothing has come for this long (default 10m)."""
    max_age_s: Duration = _SETTINGS.max_age_ns / 1e9
    """A trace is given up at this age (default 6h)."""
    late_window_s: Duration = _SETTINGS.late_window_ns / 1e9
    """How long spans that come late are still put into their execution (default 60s)."""
    max_open_spans: int = Field(default=_SETTINGS.max_open_spans, ge=1)
    """Spans held over all traces; past it the longest idle trace is analysed as it is (count)."""
    max_trace_spans: int = Field(default=_SETTINGS.max_trace_spans, ge=1)
    """Spans held of one trace (count)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.settings()
        return self

    def settings(self) -> AssemblySettings:
        """Return the same for the assembler, in nanoseconds."""
        spans = self.model_dump(include={"max_open_spans", "max_trace_spans"})
        durations = self.model_dump(exclude=set(spans))
        return AssemblySettings(**spans, **{f"{key_of(name)}_ns": int(s * 1e9) for name, s in durations.items()})
