"""AutoGen's own spans of messages: six or so for each, which are left out unless somebody asked for them.

``AUTOGEN_DISABLE_RUNTIME_TRACING`` is AutoGen's own switch ("true" turns them off). Any other value, or a tracer
provider given to a runtime, asks for them (autogen-core 0.7.5).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN

from otel_wfperf.instrumentation.integrations.autogen_parts.runs import may_record

_SWITCH: Final = "AUTOGEN_DISABLE_RUNTIME_TRACING"
_ASKED: Final = "_otel_wfperf_was_asked_for"


def noting_provider(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the constructor of AutoGen's ``TraceHelper``: remember whether it was given a tracer provider."""

    @wraps(original)
    def init(helper: Any, tracer_provider: Any, *args: Any, **kwargs: Any) -> None:
        original(helper, tracer_provider, *args, **kwargs)
        setattr(helper, _ASKED, tracer_provider is not None)

    return init


def without_hops(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``TraceHelper.trace_block``: no span for a message that nobody asked to see."""

    @wraps(original)
    def trace_block(helper: Any, *args: Any, **kwargs: Any) -> Any:
        if _SWITCH in os.environ or _was_given_a_provider(helper) or not may_record():
            return original(helper, *args, **kwargs)
        return nullcontext(INVALID_SPAN)

    return trace_block


def without_lone_creations(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``trace_create_agent_span``: making an agent outside of any operation is no trace of its own."""

    @wraps(original)
    def trace_create_agent_span(*args: Any, **kwargs: Any) -> Any:
        is_lone = not trace.get_current_span().get_span_context().is_valid and kwargs.get("parent") is None
        if is_lone and _SWITCH not in os.environ and may_record():
            return nullcontext(INVALID_SPAN)
        return original(*args, **kwargs)

    return trace_create_agent_span


def _was_given_a_provider(helper: Any) -> bool:
    known = getattr(helper, _ASKED, None)
    # Of a runtime made before the integration was installed, only the provider tells.
    return helper.tracer_provider is not trace.get_tracer_provider() if known is None else bool(known)
