"""Load for a receiver: encoded batches of spans with known ids, sent over gRPC at a rate."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import grpc
import grpc.aio
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SpanKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """One request.

    Attributes:
        data: OTLP protobuf.
        spans: What is in it (trace id, span id), in lower-case hex.
    """

    data: bytes
    spans: tuple[SpanKey, ...]


@dataclass(slots=True)
class Sent:
    """How sending went.

    Attributes:
        accepted: Spans of acknowledged requests (trace id, span id).
        refused: Answers other than success, by gRPC status (count).
        untimed: Refusals that do not say when to come again, by gRPC status (count).
        latencies_s: From call to answer, of acknowledged requests (seconds).
        spent_s: How long it took altogether (seconds).
    """

    accepted: set[SpanKey] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    untimed: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    spent_s: float = 0.0


def workflow_batches(
    spans: int, *, batch_spans: int = 512, trace_spans: int = 16, first: int = 1, workflow: str = "load"
) -> Iterator[Batch]:
    """Make batches of whole executions: a workflow, agents, model and tool calls with twelve attributes each.

    Args:
        spans: How many in all (count).
        batch_spans: Spans a request (count).
        trace_spans: Spans an execution (count).
        first: Number of the first execution; ids follow from it, so that two loads never share one.
        workflow: Name of the workflow.
    """
    request, trace = ExportTraceServiceRequest(), first
    keys: list[SpanKey] = []
    made = 0
    while made < spans:
        count = min(trace_spans, spans - made)
        _add_trace(request, keys, trace, count, workflow)
        trace += 1
        made += count
        if len(keys) >= batch_spans:
            yield Batch(request.SerializeToString(), tuple(keys))
            request, keys = ExportTraceServiceRequest(), []
    if keys:
        yield Batch(request.SerializeToString(), tuple(keys))


def _add_trace(request: ExportTraceServiceRequest, keys: list[SpanKey], trace: int, count: int, workflow: str) -> None:
    if not request.resource_spans:
        resource = request.resource_spans.add()
        resource.resource.attributes.append(_text("service.name", "load"))
        resource.scope_spans.add().scope.name = "benchmarks.reliability"
    spans = request.resource_spans[0].scope_spans[0].spans
    trace_id = trace.to_bytes(16, "big")
    now_ns = time.time_ns()
    start_ns = now_ns - count * 1_000_000 - 1_000_000_000
    for at in range(count):
        span = spans.add(
            trace_id=trace_id,
            span_id=(trace * 100_000 + at + 1).to_bytes(8, "big"),
            parent_span_id=b"" if at == 0 else (trace * 100_000 + 1).to_bytes(8, "big"),
            start_time_unix_nano=start_ns + at * 1_000_000,
            end_time_unix_nano=now_ns if at == 0 else start_ns + (at + 1) * 1_000_000,
        )
        _describe(span, at, workflow)
        keys.append((trace_id.hex(), span.span_id.hex()))


def _describe(span: object, at: int, workflow: str) -> None:
    tool = f"tool_{at % 5}"
    named = (
        {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": workflow}
        if at == 0
        else {"gen_ai.operation.name": "chat", "gen_ai.request.model": "fake-1", "gen_ai.provider.name": "openai"}
        if at % 2
        else {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "gen_ai.tool.call.id": f"call_{at}"}
    )
    span.name = " ".join(list(named.values())[:2])  # type: ignore[attr-defined]  # a protobuf message
    attributes = span.attributes  # type: ignore[attr-defined]
    attributes.extend(_text(key, value) for key, value in named.items())
    attributes.extend(
        KeyValue(key=key, value=AnyValue(int_value=value))
        for key, value in {"gen_ai.usage.input_tokens": 900 + at, "gen_ai.usage.output_tokens": 120 + at}.items()
    )
    attributes.extend(_text(f"app.label_{number}", f"value {number} of {at}") for number in range(12 - len(attributes)))


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _says_when_to_retry(error: grpc.aio.AioRpcError) -> bool:
    status = Status()
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()  # type: ignore[assignment]
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    return any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)


async def send(
    target: str, batches: Iterable[Batch], *, spans_per_s: float | None = None, concurrency: int = 8
) -> Sent:
    """Send batches to a gRPC receiver, each once, and note what was acknowledged.

    Args:
        target: host:port.
        batches: What to send.
        spans_per_s: Rate of sending; None = as fast as the answers come.
        concurrency: Requests in flight (count).
    """
    sent = Sent()
    started_s = time.perf_counter()
    due_s = started_s
    waiting = asyncio.Semaphore(concurrency)
    async with grpc.aio.insecure_channel(target, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)

        async def one(batch: Batch) -> None:
            begun_s = time.perf_counter()
            try:
                await call(batch.data, timeout=30)
            except grpc.aio.AioRpcError as error:
                sent.refused[error.code().name] += 1
                sent.untimed[error.code().name] += not _says_when_to_retry(error)
            else:
                sent.latencies_s.append(time.perf_counter() - begun_s)
                sent.accepted.update(batch.spans)
            finally:
                waiting.release()

        async with asyncio.TaskGroup() as tasks:
            for batch in batches:
                if spans_per_s is not None:
                    await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                    due_s += len(batch.spans) / spans_per_s
                await waiting.acquire()
                tasks.create_task(one(batch))
    sent.spent_s = time.perf_counter() - started_s
    return sent
