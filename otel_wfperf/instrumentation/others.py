"""Other instrumentations that record the same framework: where one does, we leave it to them.

The sidecar understands their spans; both together would show every call twice.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from otel_wfperf.instrumentation.settings import InstrumentationSettings

_logger = logging.getLogger("otel_wfperf")
_announced: Final[set[tuple[str, str]]] = set()


def active_instrumentor(*modules: str) -> str | None:
    """Name the first of some modules whose instrumentor is active now; None = none is.

    An instrumentor is a subclass of ``opentelemetry.instrumentation.instrumentor.BaseInstrumentor``, of which there is
    one instance that knows whether it is on (opentelemetry-instrumentation 0.66b2). Nothing is imported for it.
    """
    for name in modules:
        module = sys.modules.get(name)
        for value in list(vars(module).values()) if module is not None else ():
            instance = vars(value).get("_instance") if isinstance(value, type) else None
            if getattr(instance, "_is_instrumented_by_opentelemetry", False) is True:
                return name
    return None


def is_recorded_elsewhere(framework: str, *modules: str) -> bool:
    """Tell whether to leave a framework to another instrumentation, and log once that it is left.

    Args:
        framework: Its name, for the log.
        modules: Modules of instrumentors that record the same, such as ``openinference.instrumentation.crewai``.
    """
    other = active_instrumentor(*modules)
    if other is None or InstrumentationSettings.from_environment().force:
        return False
    announce(framework, other)
    return True


def announce(framework: str, other: str) -> None:
    """Log once that a framework is left to another instrumentation."""
    if (framework, other) not in _announced:
        _announced.add((framework, other))
        message = "otel-wfperf leaves %s to %s, which records it already; OTEL_WFPERF_FORCE=true records both"
        _logger.info(message, framework, other)
