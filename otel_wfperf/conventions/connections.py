"""What a call spent on its connection: waiting for one of the pool, and setting one up.

OpenTelemetry's conventions have no attribute for either, and the Python clients' instrumentations write nothing: of
opentelemetry-instrumentation-{httpx,requests,aiohttp-client,urllib3,urllib} 0.66b1 no span has an event, and aiohttp's
trace signals for DNS and connections are not used. Read are

* ``wfperf.connection.wait`` and ``wfperf.connection.setup``, for whoever measures it;
* the events ``http.getconn|dns|connect|tls`` with ``.start`` and ``.done`` that Go's otelhttptrace writes with
  ``WithoutSubSpans``, and the spans ``http.getconn`` that it writes otherwise;
* the events of the browser's resource timing, as opentelemetry-js instrumentation-fetch and -xml-http-request add them.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from otel_wfperf import semconv
from otel_wfperf.analysis.timeline import union_ns
from otel_wfperf.conventions.attributes import number
from otel_wfperf.model import Span

# Source: opentelemetry-go-contrib otelhttptrace/clienttrace.go: connections are tried per address, "http.connect.{ip}".
_GET: Final = "http.getconn"
_STEPS: Final = ("http.dns", "http.connect", "http.tls")
_REUSED: Final = "http.conn.reused"
# Source: opentelemetry-js sdk-trace-web, PerformanceTimingNames; W3C Resource Timing: TLS is within connectEnd.
_BROWSER_STEPS: Final = (("domainLookupStart", "domainLookupEnd"), ("connectStart", "connectEnd"))


class Connection(NamedTuple):
    """Time that a call spent on its connection (seconds); None = not recorded."""

    wait_s: float | None = None
    setup_s: float | None = None


NOT_RECORDED: Final = Connection()


def connection(span: Span) -> Connection:
    """Read what was recorded about the connection of a call."""
    wait_s = _seconds(span, semconv.CONNECTION_WAIT)
    setup_s = _seconds(span, semconv.CONNECTION_SETUP)
    if wait_s is not None or setup_s is not None:
        return Connection(wait_s, setup_s)
    if span.name == _GET:
        return _of_own_span(span)
    return _of_events(span) if span.events else NOT_RECORDED


def is_part_of_call(span: Span) -> bool:
    """Tell whether a span is about getting a connection, not a call of its own."""
    return span.name == _GET and _REUSED in span.attributes


def _seconds(span: Span, name: str) -> float | None:
    value = number(span.attributes, name)
    return None if value is None or value < 0 else value


def _of_own_span(span: Span) -> Connection:
    reused = span.attributes.get(_REUSED)
    if not isinstance(reused, bool) or not span.end_ns:
        return NOT_RECORDED
    length_s = max(0, span.end_ns - span.start_ns) / 1e9
    return Connection(length_s, 0.0) if reused else Connection(None, length_s)


def _of_events(span: Span) -> Connection:
    moments: dict[str, int] = {}
    for event in span.events:
        moments.setdefault(event.name, event.time_ns)
    steps = list(_steps(moments))
    got = _interval(moments, f"{_GET}.start", f"{_GET}.done")
    if got is None and not steps:
        return NOT_RECORDED
    setup_ns = union_ns(steps)
    waited_ns = None if got is None else max(0, got[1] - got[0] - setup_ns)
    return Connection(None if waited_ns is None else waited_ns / 1e9, setup_ns / 1e9)


def _steps(moments: dict[str, int]) -> Iterable[tuple[int, int]]:
    """Yield when each step of the set-up began and ended; those that were tried at once overlap."""
    for name in moments:
        hook = name.removesuffix(".start")
        if hook != name and hook.startswith(_STEPS) and (step := _interval(moments, name, f"{hook}.done")):
            yield step
    for start, end in _BROWSER_STEPS:
        if step := _interval(moments, start, end):
            yield step


def _interval(moments: dict[str, int], start: str, end: str) -> tuple[int, int] | None:
    started, ended = moments.get(start), moments.get(end)
    return (started, ended) if started is not None and ended is not None and started <= ended else None
