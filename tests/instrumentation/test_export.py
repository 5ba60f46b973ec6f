import gzip
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from otel_wfperf.instrumentation.encoding import Encoded, SpanEncoder
from otel_wfperf.instrumentation.export import SpanQueue, span_queue
from otel_wfperf.instrumentation.spans import LeanSpan, lean_tracer
from tests.instrumentation.programs import output_of
from tests.processes import eventually

FOREVER_MS = "3600000"


class Receiver:
    """The smallest OTLP/HTTP receiver."""

    def __init__(self) -> None:
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.status = 200

        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                receiver.requests.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"

    def names(self) -> list[str]:
        """Names of the spans that came."""
        bodies = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for _, body in self.requests]
        resources = [each for body in bodies for each in ExportTraceServiceRequest.FromString(body).resource_spans]
        return [span.name for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    received = Receiver()
    yield received
    received.close()


class Held(SpanExporter):
    """Takes nothing until it is let go; keeps what it was given."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.result = SpanExportResult.SUCCESS
        self.batches: list[Sequence[Any]] = []

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        self.batches.append(spans)
        self.free.wait(10)
        return self.result

    def names(self) -> list[str]:
        data = SpanEncoder().request([each for batch in self.batches for each in batch])
        resources = ExportTraceServiceRequest.FromString(data).resource_spans
        return [span.name for resource in resources for scope in resource.scope_spans for span in scope.spans]


def span(name: str = "span", *, flags: int = 1) -> ReadableSpan:
    return ReadableSpan(name, SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(flags)))


def test_spans_arrive_with_the_headers_and_the_compression_of_the_environment(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip")
    queue = span_queue({"endpoint": receiver.url}, "http/protobuf")
    queue.on_end(span("one"))
    queue.on_end(span("left out", flags=0))
    assert queue.force_flush()
    queue.shutdown()

    assert receiver.names() == ["one"]
    [(headers, _)] = receiver.requests
    assert (headers["api-key"], headers["Content-Encoding"]) == ("secret", "gzip")


def test_spans_are_sent_when_their_time_has_come(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    queue = span_queue({"endpoint": receiver.url}, "http/protobuf")
    queue.on_end(span("one"))
    eventually(lambda: receiver.names() == ["one"])
    queue.on_end(span("two"))
    eventually(lambda: receiver.names() == ["one", "two"])
    queue.shutdown()


def test_full_batches_are_sent_at_once_and_the_rest_at_the_end(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", FOREVER_MS)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    queue = span_queue({"endpoint": receiver.url}, "http/protobuf")
    for number in range(10):
        queue.on_end(span(f"{number}"))
    eventually(lambda: len(receiver.requests) == 1)
    for number in range(10, 15):
        queue.on_end(span(f"{number}"))
    queue.shutdown()

    assert receiver.names() == [str(number) for number in range(15)]
    assert len(receiver.requests) == 2


def test_what_does_not_fit_is_counted_and_the_latest_are_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", FOREVER_MS)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    exporter = Held()
    queue = SpanQueue(lambda: exporter)
    for number in range(20):
        queue.on_end(span(f"first {number}"))
    eventually(lambda: len(exporter.batches) == 1)
    for number in range(50):
        queue.on_end(span(f"{number}"))
    eventually(lambda: not queue._spans)
    exporter.free.set()
    queue.shutdown()

    assert queue.dropped == {"queue_full": 30}
    assert exporter.names()[20:] == [str(number) for number in range(30, 50)]
    assert sum("spans come faster" in message for message in caplog.messages) == 1


def test_what_is_not_taken_is_counted() -> None:
    exporter = Held()
    exporter.free.set()
    exporter.result = SpanExportResult.FAILURE
    queue = SpanQueue(lambda: exporter)
    queue.on_end(span())
    assert not queue.force_flush()
    queue.shutdown()
    queue.on_end(span())

    assert queue.dropped == {"export_failed": 1, "after_shutdown": 1}


def test_nothing_of_the_program_is_kept_while_nobody_takes_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")

    class Prompt:
        pass

    exporter = Held()
    queue = SpanQueue(lambda: exporter)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    tracer = lean_tracer(provider, "ours", "1")
    tracer.start_span("taken").end()
    eventually(lambda: bool(exporter.batches))
    prompt = Prompt()
    is_there = weakref.ref(prompt)
    waiting: Any = tracer.start_span("waiting")
    waiting.describe_later(lambda prompt=prompt: {"kind": type(prompt).__name__})
    waiting.end()
    del prompt, waiting
    eventually(lambda: is_there() is None)
    exporter.free.set()
    queue.shutdown()

    assert exporter.names() == ["taken", "waiting"]


@pytest.mark.parametrize("value", ["none", "-1", "0"])
def test_a_setting_that_is_no_positive_number_is_named_and_the_default_used(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", value)
    exporter = Held()
    exporter.free.set()
    queue = SpanQueue(lambda: exporter)
    queue.shutdown()

    assert queue._sender.max_spans == 2048
    assert f"OTEL_BSP_MAX_QUEUE_SIZE: '{value}' is not a positive number; 2048 is used" in caplog.messages


def test_an_exporter_without_a_place_for_our_encoder_works_as_the_sdks(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = OTLPSpanExporter.export

    def export(exporter: OTLPSpanExporter, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return theirs(exporter, spans)

    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    queue = span_queue({"endpoint": receiver.url}, "http/protobuf")
    assert isinstance(queue, BatchSpanProcessor)
    sdks: Any = queue
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    ours: Any = lean_tracer(provider, "ours", "1").start_span("span", attributes={"a": 1})
    assert isinstance(ours, LeanSpan)
    ours.describe_later(lambda: {"b": 2})
    ours.end()
    sdks.shutdown()

    [(_, body)] = receiver.requests
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    [sent] = resource.scope_spans[0].spans
    assert {each.key: each.value.int_value for each in sent.attributes} == {"a": 1, "b": 2}


FORKS = """
import os, sys
import otel_wfperf
otel_wfperf.configure(endpoint="http://127.0.0.1:{port}", protocol="http/protobuf")
with otel_wfperf.workflow("parent"):
    pass
{fork}
"""
BY_HAND = """
child = os.fork()
if child == 0:
    with otel_wfperf.workflow("child"):
        pass
    from opentelemetry import trace
    trace.get_tracer_provider().force_flush()
    os._exit(0)
os.waitpid(child, 0)
"""
BY_MULTIPROCESSING = """
import multiprocessing
def work():
    with otel_wfperf.workflow("child"):
        pass
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("fork", [BY_HAND, BY_MULTIPROCESSING], ids=["by hand", "multiprocessing"])
def test_a_forked_child_sends_its_own_spans_and_only_those(fork: str, receiver: Receiver) -> None:
    source = "import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)" + FORKS.format(
        port=receiver.port, fork=fork
    )
    output_of(source, OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none", OTEL_BSP_SCHEDULE_DELAY=FOREVER_MS)

    assert sorted(receiver.names()) == ["invoke_workflow child", "invoke_workflow parent"]


def test_encoded_spans_hold_bytes_only() -> None:
    encoded = SpanEncoder().encoded(span())

    assert isinstance(encoded, Encoded)
    assert isinstance(encoded.data, bytes)
