"""Prompts, answers and results, which Strands writes as events of its spans: left out unless they are asked for.

It writes all messages again for each model call and each cycle, so this also saves the host most of the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.strands_parts.executions import is_left_to_others

# Source: OpenTelemetry GenAI semantic conventions; any of the modes but NO_CONTENT is a request.
_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_OFF: Final = frozenset({"", "false", "0", "no_content"})
_REDACTED: Final = "[REDACTED]"
# What is said about an answer beside the answer itself.
_FACTS: Final = ("finish_reason",)


def leaving_out_messages(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``Tracer._add_event_messages`` and ``_add_system_prompt_event``."""

    @wraps(original)
    def add_messages(self: Any, *args: Any, **kwargs: Any) -> None:
        if is_wanted(self):
            original(self, *args, **kwargs)

    return add_messages


def leaving_out_events(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``Tracer._add_event``: an event keeps what is no content."""

    @wraps(original)
    def add_event(self: Any, span: Any, event_name: str, event_attributes: Mapping[str, Any], **kwargs: Any) -> None:
        if is_wanted(self):
            original(self, span, event_name, event_attributes, **kwargs)
            return
        facts = {name: event_attributes[name] for name in _FACTS if name in (event_attributes or {})}
        if facts:
            original(self, span, event_name, facts, **kwargs)

    return add_event


def redacting(original: Callable[..., str]) -> Callable[..., str]:
    """Wrap ``Tracer._redact``, which content that is written as an attribute passes."""

    @wraps(original)
    def redact(self: Any, *args: Any, **kwargs: Any) -> str:
        return original(self, *args, **kwargs) if is_wanted(self) else _REDACTED

    return redact


def naming_failures(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``Tracer._end_span``: a failed tool's text would be the description of the span's status."""

    @wraps(original)
    def end_span(
        self: Any,
        span: Any,
        attributes: Any = None,
        error: Any = None,
        error_message: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if error is None and error_message is not None and not is_wanted(self):
            error_message = "tool_error"
        original(self, span, attributes, error, error_message, *args, **kwargs)

    return end_span


@never_raises("strands.content")
def is_wanted(tracer: Any) -> bool:
    """Tell whether the user asked for content: by Strands' own variables, for Langfuse, or by OpenTelemetry's."""
    if tracer._redaction_enabled or tracer._span_attributes_only:  # noqa: SLF001 - no public name
        return True
    return os.environ.get(_CAPTURE, "").strip().lower() not in _OFF or is_left_to_others()
