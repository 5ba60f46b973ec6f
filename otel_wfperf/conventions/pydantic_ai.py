"""pydantic-ai's own spans: GenAI semantic conventions, with words of its own, and what our instrumentation adds.

Read with pydantic-ai-slim 2.68.0, instrumentation versions 2 to 6, and in the spelling of pydantic-ai 1. Its own:

* ``waiting for {limiter} concurrency``: a wait, written by limiters even where nothing else is;
* ``model request attempt {model}`` below a model call: an attempt that failed before another one answered. Its usage,
  where it has any, is that of a rejected answer, which the call itself does not count;
* totals of agents in ``gen_ai.aggregated_usage.*``, and parts of the usage in ``gen_ai.usage.details.*``;
* ``pydantic_ai.tool.retry.attempt`` on a try of a tool that failed.

Spans of graphs come from Logfire and are read as Logfire's.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import count, number, text
from otel_wfperf.conventions.wfperf import Wfperf
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage
from otel_wfperf.model.construction import changed

_SCOPE: Final = "pydantic-ai"
_WAIT: Final = re.compile(r"waiting for (?P<resource>.+) concurrency")
_ATTEMPT: Final = "pydantic_ai.model_request.attempt"
_RETRY: Final = ("pydantic_ai.tool.retry.attempt", "pydantic_ai.output.retry.attempt")
_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
# Names of spans that had no gen_ai.operation.name: pydantic-ai 1.
_NAMES: Final[Mapping[str, OperationKind]] = {
    "agent run": OperationKind.AGENT,
    "running tool": OperationKind.TOOL,
    "running output function": OperationKind.TOOL,
}
# How a run is stopped from outside, or put off until somebody decides; neither is a failure.
_NO_ERRORS: Final = frozenset(
    {
        "asyncio.exceptions.CancelledError",
        "trio.Cancelled",
        "pydantic_ai.exceptions.RunCancelled",
        "pydantic_ai.exceptions.CallDeferred",
        "pydantic_ai.exceptions.ApprovalRequired",
    }
)
_SHARED: Final = Wfperf()


class PydanticAI:
    """pydantic-ai: scope ``pydantic-ai``."""

    name: ClassVar[str] = "pydantic_ai"

    def recognises(self, span: Span) -> bool:
        """Tell whether pydantic-ai wrote the span."""
        return span.scope == _SCOPE

    def operation(self, span: Span) -> Operation:
        """Say what a span of pydantic-ai means."""
        attributes = span.attributes
        wait = _WAIT.fullmatch(span.name)
        if wait is not None and "max_running" in attributes:
            return _wait(span, wait["resource"])
        shared = _SHARED.operation(span)
        kind, name = _subject(span, shared)
        is_call = kind is OperationKind.LLM
        return changed(
            shared,
            kind=kind,
            name=name,
            dialect=self.name,
            error=None if shared.error in _NO_ERRORS else shared.error,
            agent=name if kind is OperationKind.AGENT else shared.agent,
            model=shared.model or (text(attributes, "model_name") if is_call else None),
            tokens=_tokens(attributes, kind, shared.tokens),
            turn=None if _ATTEMPT in attributes else shared.turn,
            attempt=_attempt(attributes, shared.attempt),
            time_to_first_token_s=number(attributes, semconv.TIME_TO_FIRST_CHUNK, _FIRST_CHUNK),
        )


def _wait(span: Span, resource: str) -> Operation:
    attributes = span.attributes
    return changed(
        _SHARED.operation(span),
        kind=OperationKind.WAIT,
        name=resource,
        dialect=PydanticAI.name,
        wait_kind="concurrency",
        queue_depth=count(attributes, "waiting_count"),
        concurrency_limit=count(attributes, "max_running"),
    )


def _subject(span: Span, shared: Operation) -> tuple[OperationKind, str]:
    attributes = span.attributes
    if _ATTEMPT in attributes:
        return OperationKind.LLM, genai.model_name(attributes) or span.name
    if semconv.OPERATION_NAME in attributes:
        return shared.kind, shared.name
    kind = _NAMES.get(span.name, OperationKind.OTHER)
    if kind is OperationKind.AGENT:
        return kind, genai.agent_name(attributes) or span.name
    return kind, text(attributes, semconv.TOOL_NAME) or span.name


def _tokens(attributes: Attributes, kind: OperationKind, shared: TokenUsage | None) -> TokenUsage | None:
    """Read the usage; an attempt's own would hide that of the call around it, where ours has added it already."""
    if _ATTEMPT in attributes:
        return None
    usage = shared or genai.tokens(attributes, kind)
    prefix = "gen_ai.usage" if kind is OperationKind.LLM else "gen_ai.aggregated_usage"
    reasoning = count(attributes, f"{prefix}.details.reasoning_tokens")
    if usage is None or usage.reasoning or not reasoning:
        return usage
    return changed(usage, reasoning=min(reasoning, usage.output))


def _attempt(attributes: Attributes, shared: int | None) -> int | None:
    """Read which try it is, from 1; pydantic-ai counts attempts of requests from 0, and failed tries from 1."""
    tried = count(attributes, _ATTEMPT)
    if tried is not None:
        return tried + 1
    return shared if shared is not None else count(attributes, *_RETRY)
