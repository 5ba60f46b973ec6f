"""What a span says about the workflow, in the project's own words.

A convention turns a :class:`~otel_wfperf.model.Span` into an :class:`Operation`.
Prompt and completion text stops there: an operation carries sizes and hashes only.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from otel_wfperf.model.construction import quickly_made
from otel_wfperf.model.span import Link, SpanKind


class OperationKind(StrEnum):
    """What an operation is. ``OTHER`` is any span that is not about agents (HTTP, database, the user's own)."""

    WORKFLOW = "workflow"
    PHASE = "phase"
    AGENT = "agent"
    TOOL = "tool"
    LLM = "llm"
    RETRIEVAL = "retrieval"
    EMBEDDING = "embedding"
    MEMORY = "memory"
    PLAN = "plan"
    WAIT = "wait"
    CONTEXT = "context"
    HANDOFF = "handoff"
    OTHER = "other"


#: Work that is asked for and answered: what a step consists of in the end.
CALLS: Final = frozenset({OperationKind.LLM, OperationKind.TOOL, OperationKind.RETRIEVAL, OperationKind.EMBEDDING})


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens of one model call.

    Attributes:
        input: Prompt tokens, cached ones included (tokens).
        output: Completion tokens, reasoning included (tokens).
        cache_read: Part of ``input`` that came from the provider's prompt cache (tokens).
        cache_write: Part of ``input`` that was written to the cache (tokens).
        reasoning: Part of ``output`` (tokens).
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Sum two usages field by field."""
        return TokenUsage(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            reasoning=self.reasoning + other.reasoning,
        )


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSize:
    """How much context an operation was given; None = not recorded.

    Attributes:
        size_bytes: Length of the state or prompt (bytes).
        tokens: The same (tokens).
        messages: Messages in it (count).
        limit_tokens: Window of the model (tokens).
        reused_ratio: Share that the previous call of the same agent sent already (0..1).
        growth_bytes: Change since that call (bytes).
    """

    size_bytes: int | None = None
    tokens: int | None = None
    messages: int | None = None
    limit_tokens: int | None = None
    reused_ratio: float | None = None
    growth_bytes: int | None = None


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUse:
    """What the process or machine looked like while an operation ran; None = not recorded.

    Attributes:
        cpu_time_s: CPU time that the operation's own code used (seconds).
        cpu_ratio: CPU use of the process over the CPUs it may use (0..1).
        memory_bytes: Resident set size of the process (bytes).
        memory_ratio: Memory in use over the limit (0..1).
        loop_lag_s: Longest delay of the event loop (seconds).
        loop_blocked_s: Time in which the operation's own code held the event loop for long (seconds).
        loop_blocked_longest_s: The longest such step (seconds).
        cpu_pressure_ratio: PSI "some" share for the CPU (0..1).
        memory_pressure_ratio: PSI "some" share for memory (0..1).
        steal_ratio: CPU time taken by the hypervisor (0..1).
    """

    cpu_time_s: float | None = None
    cpu_ratio: float | None = None
    memory_bytes: int | None = None
    memory_ratio: float | None = None
    loop_lag_s: float | None = None
    loop_blocked_s: float | None = None
    loop_blocked_longest_s: float | None = None
    cpu_pressure_ratio: float | None = None
    memory_pressure_ratio: float | None = None
    steal_ratio: float | None = None


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One span, understood.

    Attributes:
        name: The subject: name of the workflow, phase, agent, tool or model; the span's name otherwise.
        span_name: The span's name as written.
        dialect: Name of the convention that recognised it; "" when none did (kind is then ``OTHER``).
        service: ``service.name`` of the process; "" = unknown.
        host: Identity of the clock: host and process instance; spans of different hosts may be skewed.
        start_ns: Start (nanoseconds since the Unix epoch), after clock adjustment.
        end_ns: End (nanoseconds since the Unix epoch), after clock adjustment. Before assembly, of a span that never
            ended: until when it is known to have lasted; 0 = not known.
        ended: False when the span never ended and the assembler chose ``end_ns``.
        error: Error type or message when it failed; None when it did not.
        agent: The agent that the span itself names; the assembler fills it in from the nearest ancestor.
        phase: Name of the nearest enclosing phase; filled in by the assembler.
        workflow: The workflow that the span itself names.
        conversation: Conversation, session or thread id.
        turn: Identity of the model response that asked for a tool call: calls with equal turns are siblings.
        requested: True when the telemetry shows that a model asked for it (a tool call with the id of a request), or
            that it asks for tools (a model call).
        step: Scheduling step of a graph: equal steps of one parent ran in parallel.
        parallel_group: Name of the group of branches that were scheduled together.
        depends_on: Names of the phases that must end before this one starts; None = not declared.
        attempt: 1 for the first try, 2 for the first retry; None = not recorded.
        task: Identity of the scheduled task: its attempts share it.
        input_hash: Hash of the canonical arguments, prompt or input state.
        output_hash: Hash of the result.
        input_bytes: Size of the input (bytes); None = not recorded.
        output_bytes: Size of the result (bytes); None = not recorded.
        input_fragments: Hashes of identifying fragments of the input, a bounded sample; empty = no content seen.
        output_fragments: The same of the result.
        prefix_hash: Hash of the stable start of a prompt.
        time_to_first_token_s: Streaming delay (seconds).
        handoff_from: The agent that passes the work on, for hand-offs; ``name`` is the one that gets it.
        spans_started: Spans of this trace that the span's process started (count); None = not recorded.
        spans_dropped: Of those, lost before export (count).
        wait_kind: queue, concurrency, rate_limit, lock, retry_backoff or human, for waits.
        queue_depth: Waiting requests that were seen when the wait began (count).
        concurrency_limit: Capacity of what was waited for (count).
        service_version: ``service.version`` of the process; "" = unknown.
        peer: Host and port that a call went to, such as ``api.example.com:8443``; None = no call of a service.
        route: Method and template of what was called there, of low cardinality, such as ``GET /items/{id}``.
        status_code: Status that the service answered, as HTTP spells it, such as 429; None = not recorded.
        retry_after_s: How long the service asked to wait before the next try (seconds); None = it did not.
        connection_wait_s: Time that a call waited for a free connection of its pool (seconds); None = not recorded.
        connection_setup_s: Time for finding the address, connecting and TLS (seconds); 0 = a connection was there;
            None = not recorded.
        cached: True when the telemetry says that a result came from a cache.
        skew_ns: What clock adjustment added to the span's own times (nanoseconds).
        synthetic: True when the assembler made it because the real span is missing.
        parent_is_remote: True when the span's own process knows that the parent belongs to another one.
        setup: True when it only sets something up that runs later, such as ``create_agent``; alone in its trace it is
            no run.
        repeats: True when another span beside it is known to tell the same, and to hold what ran: this one is to be
            taken out, and what is below it to be lifted.
        outside: True when nothing that is about agents wrote it: HTTP, databases, the user's own spans and queues.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    kind: OperationKind = OperationKind.OTHER
    name: str = ""
    span_name: str = ""
    span_kind: SpanKind = SpanKind.UNSPECIFIED
    dialect: str = ""
    service: str = ""
    host: str = ""
    start_ns: int
    end_ns: int
    ended: bool = True
    error: str | None = None
    links: tuple[Link, ...] = ()
    agent: str | None = None
    phase: str | None = None
    workflow: str | None = None
    conversation: str | None = None
    model: str | None = None
    tokens: TokenUsage | None = None
    turn: str | None = None
    requested: bool = False
    step: int | None = None
    parallel_group: str | None = None
    depends_on: tuple[str, ...] | None = None
    attempt: int | None = None
    task: str | None = None
    temperature: float | None = None
    input_hash: str | None = None
    output_hash: str | None = None
    input_bytes: int | None = None
    output_bytes: int | None = None
    input_fragments: frozenset[int] = frozenset()
    output_fragments: frozenset[int] = frozenset()
    prefix_hash: str | None = None
    context: ContextSize | None = None
    resources: ResourceUse | None = None
    time_to_first_token_s: float | None = None
    handoff_from: str | None = None
    spans_started: int | None = None
    spans_dropped: int | None = None
    wait_kind: str | None = None
    queue_depth: int | None = None
    concurrency_limit: int | None = None
    service_version: str = ""
    peer: str | None = None
    route: str | None = None
    status_code: int | None = None
    retry_after_s: float | None = None
    connection_wait_s: float | None = None
    connection_setup_s: float | None = None
    cached: bool = False
    skew_ns: int = 0
    synthetic: bool = False
    parent_is_remote: bool = False
    setup: bool = False
    repeats: bool = False
    outside: bool = False

    @property
    def duration_ns(self) -> int:
        """Length (nanoseconds); never negative."""
        return self.end_ns - self.start_ns if self.end_ns > self.start_ns else 0
