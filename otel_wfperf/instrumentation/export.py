"""The queue of finished spans, and how they are sent.

Two threads: one encodes what has ended, within a second and however the other one fares, so that nothing of the program
is kept alive; one sends the bytes. Sending is left to the SDK's exporters, with every ``OTEL_EXPORTER_OTLP_*`` variable
that they honour; only the encoding is our own. Unlike the SDK's ``BatchSpanProcessor`` this counts what it loses, is
silent about it after the first time, and makes a new exporter in a forked child, where the connection of the parent
must not be written to.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_wfperf.instrumentation.encoding import Encoded, SpanEncoder
from otel_wfperf.instrumentation.exporter_warnings import of_ours
from otel_wfperf.instrumentation.failures import count_failure

_logger = logging.getLogger("otel_wfperf")

# Chosen: the live view is at most this old; the SDK's default is 5 s.
SCHEDULE_DELAY_MS: Final = 1_000
# Source: OpenTelemetry specification, defaults of the batching processor.
MAX_QUEUE_SPANS: Final = 2_048
MAX_BATCH_SPANS: Final = 512
# Chosen: waking a thread costs 50 µs, which so many spans share; with more, the garbage collector looks at those that
# wait again and again (2 % of an agent's CPU time at 256).
_ENCODED_TOGETHER: Final = 64
# Chosen: nothing of the program is kept alive for longer, whatever the schedule.
_ENCODED_AFTER_S: Final = 1.0
# Source: as the SDK's provider.
_SHUTDOWN_S: Final = 30.0
# Chosen: as at the end of a program.
_CHILD_EXIT_S: Final = 2.0
# Key of the same name in opentelemetry.context: the client that sends must not be recorded.
_SUPPRESSED: Final = "suppress_instrumentation"


def span_queue(exporter_arguments: Mapping[str, Any], protocol: str) -> SpanProcessor:
    """Make the queue that sends spans over OTLP: :class:`SpanQueue`, or the SDK's where its exporter is a strange one.

    Args:
        exporter_arguments: What the SDK's exporter takes, such as ``endpoint``.
        protocol: ``grpc`` or ``http/protobuf``.
    """
    arguments = dict(exporter_arguments)
    make_exporter = grpc_exporter if protocol == "grpc" else http_exporter
    try:
        return SpanQueue(lambda: of_ours(make_exporter(**arguments), arguments["endpoint"]))
    except UnknownExporterError as unknown:
        count_failure("export.unknown_exporter")
        delay_ms = _setting("OTEL_BSP_SCHEDULE_DELAY", SCHEDULE_DELAY_MS)
        exporter = of_ours(unknown.exporter, arguments["endpoint"])
        return BatchSpanProcessor(exporter, schedule_delay_millis=delay_ms)


class UnknownExporterError(Exception):
    """An exporter of the SDK has no place for our encoder.

    Attributes:
        exporter: It takes spans of the SDK.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        """Keep the exporter."""
        super().__init__(f"{type(exporter).__module__}: our encoder does not fit into this version")
        self.exporter = exporter


class SpanQueue(SpanProcessor):
    """Holds finished spans until its threads have sent them.

    Attributes:
        dropped: Spans lost since the process started, by reason (count): queue_full, export_failed, not_encoded,
            after_shutdown.
    """

    def __init__(self, make_exporter: Callable[[], SpanExporter]) -> None:
        """Start the threads.

        Args:
            make_exporter: Makes an exporter that takes :class:`Encoded`; called now, and again in each forked child
                that records something.
        """
        self.dropped: Counter[str] = Counter()
        self._sender = _Sender(make_exporter, self.dropped)
        self._together_spans = min(_ENCODED_TOGETHER, self._sender.batch_spans)
        self._encoder = SpanEncoder()
        self._spans: deque[ReadableSpan] = deque()
        self._is_shut_down = False
        self._thread: threading.Thread | None = None
        self._begin_anew()
        self._start_thread()
        if hasattr(os, "register_at_fork"):
            after_fork = weakref.WeakMethod(self._after_fork_in_child)
            os.register_at_fork(after_in_child=lambda: _call(after_fork))

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span in; the oldest one makes room when there is none."""
        context = span.context
        if context is None or not context.trace_flags & 1:
            return
        if self._is_shut_down:
            self.dropped["after_shutdown"] += 1
            return
        spans = self._spans
        spans.append(span)
        waiting = len(spans)
        if waiting >= self._together_spans:
            if waiting > self._sender.max_spans:
                self._sender.drop_oldest(spans)
            if not self._wake.is_set():
                self._wake.set()
        if self._thread is None:
            self._start_thread()

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        """Send what is there now, in the calling thread; False if that failed or took too long."""
        if self._is_shut_down:
            return False
        self._encode()
        return self._sender.send_all(timeout_s=-1 if timeout_millis is None else timeout_millis / 1000)

    def shutdown(self) -> None:
        """Send what is left, and take nothing more."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_SHUTDOWN_S)
        self._encode()
        self._sender.stop(_SHUTDOWN_S)

    def _begin_anew(self) -> None:
        self._wake = threading.Event()
        self._encoding = threading.Lock()
        self._starting = threading.Lock()

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="otel-wfperf-spans", daemon=True)
                self._thread.start()
                self._sender.start()

    def _run(self) -> None:
        wake, sender = self._wake, self._sender
        due_s = time.monotonic() + sender.delay_s
        while not self._is_shut_down:
            wake.wait(max(0.0, min(_ENCODED_AFTER_S, due_s - time.monotonic())))
            wake.clear()
            self._encode()
            is_due = time.monotonic() >= due_s
            if is_due:
                due_s = time.monotonic() + sender.delay_s
            sender.wake_up(is_due=is_due)

    def _encode(self) -> None:
        """Turn what waits into bytes."""
        with self._encoding:
            for _ in range(len(self._spans)):
                try:
                    span = self._spans.popleft()
                except IndexError:  # a full queue gave away its oldest spans meanwhile
                    return
                encoded = self._encoder.encoded(span)
                if encoded is None:
                    self.dropped["not_encoded"] += 1
                else:
                    self._sender.add(encoded)

    def _after_fork_in_child(self) -> None:
        """Leave what waits to the parent; threads and exporter are made when the child records something."""
        self._spans.clear()
        self.dropped.clear()
        self._thread = None
        self._begin_anew()
        self._sender.begin_anew()
        multiprocessing = sys.modules.get("multiprocessing.util")
        if multiprocessing is not None:
            # A worker of `multiprocessing` ends without exit handlers, but with its own finalizers. Those that are
            # registered before its bootstrap are forgotten by it. Checked with CPython 3.11 to 3.14.
            def flush_at_exit(queue: SpanQueue) -> None:
                multiprocessing.Finalize(None, queue._flush_at_child_exit, exitpriority=0)

            multiprocessing.register_after_fork(self, flush_at_exit)

    def _flush_at_child_exit(self) -> None:
        if self._thread is not None:
            self._is_shut_down = True
            self._encode()
            self._sender.stop(_CHILD_EXIT_S)


class _Sender:
    """Sends encoded spans in batches, in a thread that waits for the exporter as long as that takes.

    Attributes:
        max_spans: Spans that may wait (count).
        batch_spans: Spans that are sent together (count).
        delay_s: Time after which they are sent even if they do not fill a batch (seconds).
    """

    def __init__(self, make_exporter: Callable[[], SpanExporter], dropped: Counter[str]) -> None:
        self.delay_s = _setting("OTEL_BSP_SCHEDULE_DELAY", SCHEDULE_DELAY_MS) / 1000
        self.max_spans = _setting("OTEL_BSP_MAX_QUEUE_SIZE", MAX_QUEUE_SPANS)
        self.batch_spans = min(self.max_spans, _setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", MAX_BATCH_SPANS))
        self._dropped = dropped
        self._make_exporter = make_exporter
        self._exporter: SpanExporter | None = None
        self.begin_anew()
        self._exporter = make_exporter()

    def begin_anew(self) -> None:
        """Have no thread, no exporter and nothing to send."""
        self._spans: deque[Encoded] = deque()
        self._wake = threading.Event()
        self._sending = threading.Lock()
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        self._exporter = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="otel-wfperf-send", daemon=True)
        self._thread.start()

    def add(self, span: Encoded) -> None:
        """Take a span in."""
        self._spans.append(span)
        if len(self._spans) > self.max_spans:
            self.drop_oldest(self._spans)

    def drop_oldest(self, spans: deque[Any]) -> None:
        """Make room in a queue, and count what that costs."""
        try:
            spans.popleft()
        except IndexError:
            return
        self._dropped["queue_full"] += 1
        if self._dropped["queue_full"] == 1:
            message = "otel-wfperf: spans come faster than they can be sent; the oldest are dropped and only counted"
            _logger.warning(message)

    def wake_up(self, *, is_due: bool) -> None:
        """Send what waits if it is time to do so, or if it fills a batch."""
        if len(self._spans) >= (1 if is_due else self.batch_spans):
            self._wake.set()

    def send_all(self, *, timeout_s: float) -> bool:
        """Send what waits; False if it was not taken, or if another thread sends for longer than this (seconds)."""
        if not self._sending.acquire(timeout=timeout_s):
            return False
        try:
            return self._send(len(self._spans))
        finally:
            self._sending.release()

    def stop(self, timeout_s: float) -> None:
        """Send what is left, in the thread if there is one, and close the connection.

        Args:
            timeout_s: Longest wait for the thread (seconds).
        """
        self._is_stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        else:
            self.send_all(timeout_s=timeout_s)
        if self._exporter is not None:
            self._exporter.shutdown()

    def _run(self) -> None:
        wake = self._wake
        while not self._is_stopping:
            wake.wait()
            wake.clear()
            self.send_all(timeout_s=-1)
        self.send_all(timeout_s=-1)

    def _send(self, count: int) -> bool:
        succeeded = True
        while count > 0:
            batch = self._take(min(count, self.batch_spans))
            if not batch:
                break
            count -= len(batch)
            if not self._export(batch):
                succeeded = False
                self._dropped["export_failed"] += len(batch)
        return succeeded

    def _take(self, count: int) -> list[Encoded]:
        taken: list[Encoded] = []
        try:
            for _ in range(count):
                taken.append(self._spans.popleft())  # noqa: PERF401 - what was taken before the end must not be lost
        except IndexError:  # a full queue gave away its oldest spans meanwhile
            pass
        return taken

    def _export(self, batch: Sequence[Any]) -> bool:
        token = otel_context.attach(otel_context.set_value(_SUPPRESSED, True))  # noqa: FBT003 - what others look for
        try:
            if self._exporter is None:
                self._exporter = self._make_exporter()
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - the next batch may fare better
            count_failure("export.spans")
            return False
        finally:
            otel_context.detach(token)


def http_exporter(**arguments: Any) -> SpanExporter:
    """Make the SDK's exporter over HTTP, for encoded spans.

    Its ``export`` has no place for another encoder: it calls ``encode_spans(spans).SerializePartialToString()``, where
    the first name is a global of its module (opentelemetry-exporter-otlp-proto-http 1.36 to 1.45). It is run with
    another value of that name.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - when needed

    exporter = OTLPSpanExporter(**arguments)
    export = OTLPSpanExporter.export
    if "encode_spans" not in export.__code__.co_names:
        raise UnknownExporterError(exporter)
    names = {**export.__globals__, "encode_spans": _Request}
    ours = FunctionType(export.__code__, names, export.__name__, export.__defaults__, export.__closure__)
    exporter.export = ours.__get__(exporter)  # type: ignore[method-assign]  # of this one exporter
    return exporter


def grpc_exporter(**arguments: Any) -> SpanExporter:
    """Make the SDK's exporter over gRPC, for encoded spans: it has a place for another encoder (1.36 to 1.45).

    It wants a message: to parse ours and write it again costs 1 µs a span.
    """
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    if not hasattr(OTLPSpanExporter, "_translate_data"):
        raise UnknownExporterError(OTLPSpanExporter(**arguments))

    class Exporter(OTLPSpanExporter):
        def _translate_data(self, data: Any) -> ExportTraceServiceRequest:
            return ExportTraceServiceRequest.FromString(SpanEncoder().request(data))

    return Exporter(**arguments)


class _Request:
    """Stands where the SDK expects a protobuf message."""

    def __init__(self, spans: Iterable[Encoded]) -> None:
        self._data = SpanEncoder().request(spans)

    def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return self._data

    SerializeToString = SerializePartialToString


def _setting(variable: str, default: int) -> int:
    """Read one of the ``OTEL_BSP_*`` variables; one that is no positive number is as if it was not there."""
    try:
        given = int(os.environ.get(variable, default))
    except ValueError:
        given = 0
    if given > 0:
        return given
    _logger.warning("%s: %r is not a positive number; %d is used", variable, os.environ.get(variable), default)
    return default


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    run = method()
    if run is not None:
        run()
