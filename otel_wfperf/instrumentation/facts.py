"""What can be said about an operation while it lasts."""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import Span

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import never_raises

_TOTALS: Final = {
    "input": semconv.TOTAL_INPUT_TOKENS,
    "output": semconv.TOTAL_OUTPUT_TOKENS,
    "cache_read": semconv.TOTAL_CACHE_READ_TOKENS,
    "cache_write": semconv.TOTAL_CACHE_WRITE_TOKENS,
    "reasoning": semconv.TOTAL_REASONING_TOKENS,
}
_USAGE: Final = {
    "input": semconv.INPUT_TOKENS,
    "output": semconv.OUTPUT_TOKENS,
    "cache_read": semconv.CACHE_READ_TOKENS,
    "cache_write": semconv.CACHE_WRITE_TOKENS,
    "reasoning": semconv.REASONING_TOKENS,
}


def preload() -> None:
    """Load what the first recorded content needs (some 10 ms): else the operation that has it is charged for that."""
    import otel_wfperf.instrumentation.payload  # noqa: F401, PLC0415 - as is said


class Facts:
    """Writes facts about an operation to its span.

    Attributes:
        kind: What the operation is, such as phase or llm.
        span: The OpenTelemetry span.
    """

    __slots__ = ("_tokens", "kind", "span")

    def __init__(self, kind: str, span: Span) -> None:
        """Know nothing yet."""
        self.kind = kind
        self.span = span
        self._tokens: dict[str, int] | None = None

    @never_raises("call.record_tokens")
    def record_tokens(
        self,
        *,
        input: int = 0,  # noqa: A002 - the word of the field; it is keyword-only
        output: int = 0,
        cache_read: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
    ) -> None:
        """Add the tokens of a model call that nothing else records (tokens); calls add up.

        Of a model call they are its own; of anything else they are written as totals, so that a model call that is a
        span of its own is never counted twice.

        Args:
            input: Prompt tokens, cached ones included.
            output: Completion tokens, reasoning included.
            cache_read: Part of ``input`` that came from the provider's cache.
            cache_write: Part of ``input`` that was written to the cache.
            reasoning: Part of ``output``.
        """
        given = {
            "input": input,
            "output": output,
            "cache_read": cache_read,
            "cache_write": cache_write,
            "reasoning": reasoning,
        }
        tokens = self._tokens = self._tokens or {}
        for part, count in given.items():
            if count:
                tokens[part] = tokens.get(part, 0) + int(count)
        self.span.set_attributes(self.token_attributes())

    def token_attributes(self) -> dict[str, int]:
        """Spell the tokens that were recorded as attributes."""
        names = _USAGE if self.kind == "llm" else _TOTALS
        return {names[part]: count for part, count in (self._tokens or {}).items()}

    @never_raises("call.record_quality")
    def record_quality(self, ratio: float) -> None:
        """Say how good the result was (0..1); values outside are moved to the nearest bound."""
        self.span.set_attribute(semconv.QUALITY, min(1.0, max(0.0, float(ratio))))

    @never_raises("call.record_context")
    def record_context(
        self,
        *,
        size_bytes: int | None = None,
        tokens: int | None = None,
        messages: int | None = None,
        limit_tokens: int | None = None,
        reused_ratio: float | None = None,
    ) -> None:
        """Say how much context the operation was given.

        Args:
            size_bytes: Length of the state or prompt (bytes).
            tokens: The same (tokens).
            messages: Messages in it (count).
            limit_tokens: Window of the model (tokens).
            reused_ratio: Share that the previous call of the same agent sent already (0..1).
        """
        given: dict[str, float | int | None] = {
            semconv.CONTEXT_BYTES: size_bytes,
            semconv.CONTEXT_TOKENS: tokens,
            semconv.CONTEXT_MESSAGES: messages,
            semconv.CONTEXT_LIMIT: limit_tokens,
            semconv.CONTEXT_REUSED_RATIO: reused_ratio,
        }
        self.span.set_attributes({name: value for name, value in given.items() if value is not None})

    @never_raises("call.record_attempt")
    def record_attempt(self, attempt: int) -> None:
        """Say which try this is; 1 is the first."""
        self.span.set_attribute(semconv.RETRY_ATTEMPT, int(attempt))

    @never_raises("call.record_input")
    def record_input(self, value: object) -> None:
        """Record size, hash and fragment hashes of what the operation was given, never the text."""
        from otel_wfperf.instrumentation.payload import ContentReader  # noqa: PLC0415 - hashing is loaded when used

        if self.span.is_recording():
            ContentReader().describe_input(self.span, value)

    @never_raises("call.record_output")
    def record_output(self, value: object) -> None:
        """Record size, hash and fragment hashes of the result, never the text."""
        from otel_wfperf.instrumentation.payload import ContentReader  # noqa: PLC0415 - as above

        if self.span.is_recording():
            self.span.set_attributes(ContentReader().describe_output(self.span, value))
