"""Start events: log records that say which spans are still open, so that a running execution can be watched.

A thread looks at the open spans four times a second. The first span of a trace is announced when it has been open for a
tenth of a second, others when they have been for longer: what ends sooner costs nothing. There is no queue: what could
not be sent is as good as not announced, and the next look finds it again if it still runs.

Sending is left to the SDK's log exporter, which reads its records by attribute name. The classes that the SDK has for
them changed between 1.36 and 1.45, so the records here have the names that both want.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry._logs import SeverityNumber

from otel_wfperf import semconv
from otel_wfperf.instrumentation.exporter_warnings import of_ours
from otel_wfperf.instrumentation.failures import count_failure, failures_counted
from otel_wfperf.instrumentation.open_spans import OPEN_SPANS, OpenSpan
from otel_wfperf.instrumentation.sdk_spans import attributes_of, understood

# Chosen: with the quarter of a second that the sidecar looks at, a run is visible well within a second of its start.
LOOK_S: Final = 0.25
# Chosen: a run without a model call may be over by then; a request for each look would cost 1 % of a CPU.
_RUNNING_NS: Final = 100_000_000
# Chosen: a call of a model or a slow tool, not the many short spans between them.
_LONG_NS: Final = 200_000_000
# Chosen: the sidecar takes a process for dead that has missed three.
_AGAIN_NS: Final = 10_000_000_000
# Chosen: some 200 kB; more of them are announced in the next request.
_MAX_RECORDS: Final = 500
_MAX_REQUESTS: Final = 4
# Chosen: a receiver that takes no logs is asked seldom, one that restarts is found again soon.
_FIRST_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 15.0
# Chosen: a thread that sends nothing now is done much sooner.
_STOP_S: Final = 0.2
# Key of the same name in opentelemetry.context: the client that sends must not be recorded.
_SUPPRESSED: Final = "suppress_instrumentation"


class Announcer:
    """Says which spans are open.

    Attributes:
        failed_requests: Requests that were not taken (count); what was in them is announced again.
    """

    def __init__(self, make_exporter: Callable[[], Any], clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Prepare; the exporter is made when there is something to announce, in a forked child once more.

        Args:
            make_exporter: Makes an exporter of the SDK for log records.
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
        """
        self.failed_requests = 0
        self._make_exporter = make_exporter
        self._clock_ns = clock_ns
        self._exporter: Any = None
        self._pause_s = 0.0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread; does nothing when it runs."""
        if self._thread is None:
            # One of its own: a thread that still sends when this is called ends all the same.
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name="otel-wfperf-live", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and close the connection; what is being sent now is not waited for."""
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is None:
            return
        thread.join(_STOP_S)
        exporter, self._exporter = self._exporter, None
        if not thread.is_alive() and exporter is not None:
            with failures_counted("start_events.stop"):
                exporter.shutdown()

    def after_fork_in_child(self) -> None:
        """Start again in a forked child, with a connection of its own."""
        was_running, self._thread, self._exporter = self._thread is not None, None, None
        self._stop = threading.Event()
        if was_running:
            self.start()

    def look(self) -> bool:
        """Announce what is due; False when a request was not taken."""
        now_ns = self._clock_ns()
        due = self._due(now_ns)
        for _ in range(_MAX_REQUESTS):
            some = list(islice(due, _MAX_RECORDS))
            if not some:
                return True
            if not self._send([record for _, record in some]):
                self.failed_requests += 1
                return False
            for span, _ in some:
                span.announced_ns = now_ns
        return True

    def _run(self, stop: threading.Event) -> None:
        otel_context.attach(otel_context.set_value(_SUPPRESSED, True))  # noqa: FBT003 - the value that others look for
        while not stop.wait(self._pause_s or LOOK_S):
            try:
                taken = self.look()
            except Exception:  # noqa: BLE001 - one that failed must not end the thread
                count_failure("start_events")
                taken = False
            self._pause_s = 0.0 if taken else min(_MAX_PAUSE_S, max(_FIRST_PAUSE_S, 2 * self._pause_s))

    def _due(self, now_ns: int) -> Iterator[tuple[OpenSpan, Any]]:
        for span, sdk_span in OPEN_SPANS.each():
            if span.announced_ns:
                is_due = now_ns - span.announced_ns >= _AGAIN_NS
            else:
                is_due = now_ns - sdk_span.start_time >= (_RUNNING_NS if span.parent is None else _LONG_NS)
            record = _record(sdk_span, now_ns) if is_due else None
            if record is not None:
                yield span, record

    def _send(self, records: Sequence[Any]) -> bool:
        if self._exporter is None:
            self._exporter = self._make_exporter()
        return getattr(self._exporter.export(records), "name", "") == "SUCCESS"


def log_exporter(arguments: Mapping[str, Any], protocol: str) -> Any:
    """Make the SDK's exporter for log records.

    Args:
        arguments: What it takes, such as ``endpoint``.
        protocol: ``grpc`` or ``http/protobuf``.
    """
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter  # noqa: PLC0415 - when needed

        return of_ours(OTLPLogExporter(**arguments), arguments["endpoint"], is_silent=True)
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415 - as above
        OTLPLogExporter as HttpLogExporter,
    )

    return of_ours(HttpLogExporter(**arguments), arguments["endpoint"], is_silent=True)


def _record(span: Any, now_ns: int) -> Any:
    """Describe an open span as the exporters read it; None for one that is not to be analysed."""
    operation = understood(span)
    if operation is None:
        return None
    attributes = {**attributes_of(operation), semconv.SPAN_NAME: operation.span_name}
    if operation.parent_id is not None:
        attributes[semconv.PARENT_SPAN_ID] = operation.parent_id
    own = span.get_span_context()
    record = SimpleNamespace(
        timestamp=operation.start_ns,
        observed_timestamp=now_ns,
        trace_id=own.trace_id,
        span_id=own.span_id,
        trace_flags=own.trace_flags,
        severity_text=None,
        severity_number=SeverityNumber.INFO,
        body="",
        attributes=attributes,
        dropped_attributes=0,
        event_name=semconv.START_EVENT,
        resource=span.resource,
    )
    return SimpleNamespace(
        log_record=record,
        resource=span.resource,
        instrumentation_scope=span.instrumentation_scope,
        dropped_attributes=0,
    )
