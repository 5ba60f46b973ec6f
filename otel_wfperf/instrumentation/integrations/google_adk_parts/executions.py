"""What the spans of one invocation share; it travels in the OpenTelemetry context that the ADK hands on by value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

# Checked with openinference-instrumentation-google-adk 1.0.5, which replaces the spans of the ADK by its own.
_OTHERS: Final = ("openinference.instrumentation.google_adk",)
_KEY: Final = otel_context.create_key("otel_wfperf.google_adk.execution")
# Name of the outermost span in the telemetry schema before version 2.
_LEGACY_ROOT: Final = "invocation"


class Execution:
    """What one outermost invocation remembers.

    Attributes:
        content: Reads what operations were given and returned.
        prompts: Compares each prompt with the one before it.
    """

    __slots__ = ("content", "prompts")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.content = ContentReader()
        self.prompts = Prompts(self.content)


def current_execution() -> Execution | None:
    """Return the execution that surrounds the caller; None outside of all, and where others record."""
    found = otel_context.get_value(_KEY)
    return found if isinstance(found, Execution) else None


def recording_invocations(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``record_invocation``: begin an execution, which an agent called as a tool shares with its caller."""

    @contextmanager
    @wraps(original)
    def record_invocation(entrypoint_node: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with original(entrypoint_node, *args, **kwargs) as opened:
            given = opened
            with failures_counted("google_adk.invocation"):
                context, scope = opened
                given = _with_execution(context, scope, entrypoint_node), scope
            yield given

    return record_invocation


def _with_execution(context: otel_context.Context, scope: Any, entrypoint: Any) -> otel_context.Context:
    execution = current_execution()
    if execution is None:
        if is_recorded_elsewhere("Google ADK", *_OTHERS):
            return context
        execution = Execution()
    context = otel_context.set_value(_KEY, execution, context)
    if scope is not None:
        # A workflow that is the entrypoint runs in the context of its scope.
        scope.otel_context = context
    span = trace.get_current_span(context)
    if getattr(span, "name", None) == _LEGACY_ROOT and entrypoint is not None:
        span.set_attribute(semconv.WORKFLOW_NAME, entrypoint.name)
    return context
