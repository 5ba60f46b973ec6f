"""What the sidecar says about itself."""

from typing import Literal

from otel_wfperf.config.section import Section


class EventsConfig(Section):
    """Events of the sidecar itself on standard error: starts, stops, faults. One line an event, never one a span."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe event that is written (default info)."""
    style: Literal["text", "json"] = "text"
    """`text` for people, `json` for log shippers: an object a line with time, level, logger, message (default text)."""
