"""Measurably faster multi-agent LLM workflows, on plain OpenTelemetry.

Nothing is imported before it is used: ``import otel_wfperf`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_wfperf.instrumentation.api import (
        Call,
        Recording,
        agent,
        attach,
        context,
        current_operation,
        llm,
        phase,
        tool,
        wait,
        workflow,
    )
    from otel_wfperf.instrumentation.configuration import configure
    from otel_wfperf.instrumentation.failures import failure_counts
    from otel_wfperf.instrumentation.installing import instrument, uninstrument

__all__ = [
    "Call",
    "Recording",
    "agent",
    "attach",
    "configure",
    "context",
    "current_operation",
    "failure_counts",
    "instrument",
    "llm",
    "phase",
    "tool",
    "uninstrument",
    "wait",
    "workflow",
]

_MODULES = {
    "configure": "otel_wfperf.instrumentation.configuration",
    "failure_counts": "otel_wfperf.instrumentation.failures",
    "instrument": "otel_wfperf.instrumentation.installing",
    "uninstrument": "otel_wfperf.instrumentation.installing",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "otel_wfperf.instrumentation.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
