import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from otel_wfperf import configure
from otel_wfperf.errors import ConfigError
from otel_wfperf.instrumentation.configuration import _Target
from tests.instrumentation.programs import output_of, run_program

RECORD = """
import time
import otel_wfperf
otel_wfperf.configure()
with otel_wfperf.workflow("w"):
    pass
"""


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def collector() -> Iterator[tuple[int, list[str]]]:
    """The smallest OTLP/HTTP receiver: port, and the paths that were posted to."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            paths.append(self.path)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], paths
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_was_recorded_arrives_when_the_program_ends(collector: tuple[int, list[str]]) -> None:
    port, paths = collector
    output_of(RECORD.replace("configure()", f"configure(endpoint='http://127.0.0.1:{port}', protocol='http/protobuf')"))

    assert sorted(paths) == ["/v1/metrics", "/v1/traces"]


def test_the_environment_says_where_and_how(collector: tuple[int, list[str]]) -> None:
    port, paths = collector
    output_of(
        RECORD,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}/",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRICS_EXPORTER="none",
    )

    assert paths == ["/v1/traces"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("listens", [True, False], ids=["no answer", "refused"])
def test_a_sidecar_that_is_not_there_neither_holds_up_the_end_nor_fills_the_log(
    protocol: str, silent_port: int, *, listens: bool
) -> None:
    port = silent_port if listens else closed_port()
    # What was registered first runs last: it sees how long the exit handlers took.
    done = run_program(
        f"""
        import atexit, time
        ended = []
        atexit.register(lambda: print(time.monotonic() - ended[0] < 4))
        import otel_wfperf
        otel_wfperf.configure(endpoint="http://127.0.0.1:{port}", protocol="{protocol}")
        for _ in range(3000):
            with otel_wfperf.workflow("w"):
                pass
        ended.append(time.monotonic())
        """
    )

    assert (done.returncode, done.stdout.strip()) == (0, "True")
    assert done.stderr.count("\n") <= 3, done.stderr


def test_a_provider_of_the_user_is_never_replaced() -> None:
    answer = output_of(
        """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        tracing, metering = TracerProvider(), MeterProvider()
        trace.set_tracer_provider(tracing)
        metrics.set_meter_provider(metering)
        import otel_wfperf
        otel_wfperf.configure()
        print(trace.get_tracer_provider() is tracing, metrics.get_meter_provider() is metering)
        print(len(tracing._active_span_processor._span_processors))
        """
    )

    assert answer.split() == ["True", "True", "0"]


def test_configuring_twice_is_configuring_once() -> None:
    answer = output_of(
        f"""
        import otel_wfperf
        from opentelemetry import trace
        for _ in range(2):
            otel_wfperf.configure(endpoint="http://127.0.0.1:{closed_port()}", service_name="svc")
        provider = trace.get_tracer_provider()
        print(provider.resource.attributes["service.name"], len(provider._active_span_processor._span_processors))
        """
    )

    assert answer == "svc 1"


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED", "OTEL_WFPERF_DISABLED"])
def test_disabled_means_nothing_happens(variable: str) -> None:
    answer = output_of(
        """
        import threading
        import otel_wfperf
        otel_wfperf.configure()
        from opentelemetry import trace
        print(type(trace.get_tracer_provider()).__name__, threading.active_count())
        """,
        **{variable: "true"},
    )

    assert answer == "ProxyTracerProvider 1"


def test_service_name_argument_goes_before_the_environment() -> None:
    program = f"""
        import otel_wfperf
        from opentelemetry import trace
        otel_wfperf.configure(endpoint="http://127.0.0.1:{closed_port()}"%s)
        print(trace.get_tracer_provider().resource.attributes["service.name"])
        """

    assert output_of(program % "", OTEL_SERVICE_NAME="env") == "env"
    assert output_of(program % ", service_name='argument'", OTEL_SERVICE_NAME="env") == "argument"


def test_a_wrong_protocol_or_endpoint_is_named_with_the_next_step() -> None:
    with pytest.raises(ConfigError, match=r"protocol: 'udp' is not known; use grpc or http/protobuf"):
        configure(protocol="udp")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"endpoint: 'localhost:4317' is not a URL; write it as http://127.0.0.1:4317"
    ):
        configure(endpoint="localhost:4317")


def test_two_threads_that_configure_at_once_set_up_one_provider() -> None:
    answer = output_of(
        f"""
        from concurrent.futures import ThreadPoolExecutor
        import otel_wfperf
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: otel_wfperf.configure(endpoint="http://127.0.0.1:{closed_port()}"), range(8)))
        import threading
        names = [thread.name for thread in threading.enumerate()]
        print(names.count("otel-wfperf-spans"), names.count("otel-wfperf-live"))
        """
    )

    assert answer == "1 1"


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
def test_the_variables_of_one_signal_say_where_and_how(variable: str, collector: tuple[int, list[str]]) -> None:
    port, paths = collector
    output_of(
        RECORD,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"http://127.0.0.1:{port}/own/path",
        OTEL_METRICS_EXPORTER="none",
        **{variable: "http/protobuf"},
    )

    assert paths == ["/own/path"]


def test_what_was_recorded_arrives_where_no_thread_can_be_started_at_the_end(collector: tuple[int, list[str]]) -> None:
    # As in CPython 3.12 and later.
    refusing = """
import atexit, threading
def refuse(*_):
    raise RuntimeError("can't create new thread at interpreter shutdown")
atexit.register(setattr, threading.Thread, "start", refuse)
"""
    port, paths = collector
    output_of(
        RECORD + refusing,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )

    assert sorted(paths) == ["/v1/metrics", "/v1/traces"]


@pytest.mark.parametrize("variable", ["OTEL_WFPERF_LIVE", "OTEL_LOGS_EXPORTER"])
def test_start_events_can_be_switched_off(variable: str) -> None:
    answer = output_of(
        f"""
        import otel_wfperf, threading
        otel_wfperf.configure(endpoint="http://127.0.0.1:{closed_port()}")
        print([thread.name for thread in threading.enumerate() if thread.name == "otel-wfperf-live"])
        """,
        **{variable: "false" if variable == "OTEL_WFPERF_LIVE" else "none"},
    )

    assert answer == "[]"


def test_cpu_time_can_be_left_alone() -> None:
    program = f"""
        import asyncio, otel_wfperf
        before = asyncio.Handle._run
        otel_wfperf.configure(endpoint="http://127.0.0.1:{closed_port()}")
        print(asyncio.Handle._run is before)
        """

    assert output_of(program) == "False"
    assert output_of(program, OTEL_WFPERF_CPU="false") == "True"
    assert output_of(program, OTEL_WFPERF_RESOURCES="false") == "False"


def test_uninstrumenting_restores_the_program_and_leaves_no_thread_that_watches_it() -> None:
    answer = output_of(
        f"""
        import asyncio, concurrent.futures, threading
        import otel_wfperf
        from opentelemetry import trace

        def patched():
            pool = concurrent.futures.ThreadPoolExecutor
            return (asyncio.Handle._run, asyncio.BaseEventLoop.create_task, pool.submit)

        def watching():
            names = {{"otel-wfperf-live", "otel-wfperf-resources"}}
            return sorted(thread.name for thread in threading.enumerate() if thread.name in names)

        before = patched()
        for _ in range(2):
            otel_wfperf.configure(endpoint="http://127.0.0.1:{closed_port()}")
            otel_wfperf.instrument()
            print(watching(), [one is other for one, other in zip(patched(), before)])
            otel_wfperf.uninstrument()
            print(watching(), patched() == before)
        otel_wfperf.configure()
        trace.get_tracer_provider().shutdown()
        print(watching())
        """
    )

    both = "['otel-wfperf-live', 'otel-wfperf-resources'] [False, False, False]\n[] True\n"
    assert answer == f"{both}{both}['otel-wfperf-resources']"


SEND_EVERYTHING = """
import time
from opentelemetry import metrics, trace
import otel_wfperf
from otel_wfperf.instrumentation.configuration import _announcing
otel_wfperf.configure()
with otel_wfperf.workflow("w"):
    while not _announcing[0].failed_requests:
        time.sleep(0.01)
trace.get_tracer_provider().force_flush()
metrics.get_meter_provider().force_flush()
"""
OWN_EXPORTER = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
span = TracerProvider().get_tracer("own").start_span("own")
span.end()
OTLPSpanExporter("http://127.0.0.1:9/v1/traces", timeout=1).export([span])
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_that_nobody_answers_is_said_in_one_line(protocol: str) -> None:
    port = closed_port()

    result = run_program(
        SEND_EVERYTHING,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )

    assert result.stderr.splitlines() == [
        f"otel-wfperf: nothing answers on http://127.0.0.1:{port}; not recorded until something does"
    ]


def test_the_programs_own_exporters_stay_audible() -> None:
    result = run_program(
        SEND_EVERYTHING + OWN_EXPORTER,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{closed_port()}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )

    assert "nothing answers on" in result.stderr
    assert [line for line in result.stderr.splitlines() if line.startswith(("Transient error", "Failed to export"))]


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("http://collector:4318", "http/protobuf"),
        ("https://collector/otlp", "http/protobuf"),
        ("http://collector:4317/", "grpc"),
        ("http://collector", "grpc"),
    ],
)
def test_the_protocol_is_that_of_the_endpoint(endpoint: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)

    assert _Target.of("traces", None, None).protocol == protocol


def test_a_protocol_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    assert _Target.of("traces", None, None).protocol == "grpc"
