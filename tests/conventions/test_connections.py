import pytest

from otel_wfperf.model import Attributes, Event
from tests.conventions.spans import MS, START_NS, operation_of, span

GET: Attributes = {"http.request.method": "GET", "server.address": "api.example.com"}


def events(**moments_ms: float) -> tuple[Event, ...]:
    """Make events; ``__`` in their names stands for ``.``, times are milliseconds after the start of the span."""
    return tuple(
        Event(name=name.replace("__", "."), time_ns=START_NS + round(at_ms * MS)) for name, at_ms in moments_ms.items()
    )


def spent(attributes: Attributes, *, name: str = "GET", events: tuple[Event, ...] = ()) -> list[float | None]:
    operation = operation_of(span(name, attributes, events=events))
    return [operation.connection_wait_s, operation.connection_setup_s]


def test_a_call_says_nothing_about_its_connection_unless_somebody_measured_it() -> None:
    assert spent(GET) == [None, None]
    assert spent(GET, events=events(exception=5)) == [None, None]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"wfperf.connection.wait": 0.25, "wfperf.connection.setup": 0}, [0.25, 0.0]),
        ({"wfperf.connection.setup": 0.12}, [None, 0.12]),
        ({"wfperf.connection.setup": -1.0}, [None, None]),
        ({"wfperf.connection.setup": "0.1"}, [None, None]),
    ],
)
def test_our_own_attributes_are_read_on_any_span(attributes: Attributes, expected: list[float | None]) -> None:
    assert spent({**GET, **attributes}) == expected
    assert spent({"gen_ai.operation.name": "chat", **attributes}, name="chat m") == expected


def test_gos_events_tell_waiting_from_setting_up() -> None:
    written = events(
        http__getconn__start=0,
        http__dns__start=20,
        http__dns__done=30,
        **{"http__connect__[::1]:443__start": 30, "http__connect__127__0__0__1:443__start": 31},
        **{"http__connect__[::1]:443__done": 45, "http__connect__127__0__0__1:443__done": 50},
        http__tls__start=50,
        http__tls__done=70,
        http__getconn__done=70,
    )

    assert spent(GET, events=written) == pytest.approx([0.02, 0.05])


def test_a_reused_connection_was_waited_for_only() -> None:
    assert spent(GET, events=events(http__getconn__start=1, http__getconn__done=41)) == pytest.approx([0.04, 0.0])


def test_steps_that_never_ended_are_not_counted() -> None:
    assert spent(GET, events=events(http__dns__start=0, http__connect__start=10)) == [None, None]


def test_the_browsers_timing_includes_tls_in_the_connection() -> None:
    written = events(
        fetchStart=0,
        domainLookupStart=1,
        domainLookupEnd=11,
        connectStart=11,
        secureConnectionStart=20,
        connectEnd=61,
        requestStart=61,
    )

    assert spent(GET, events=written) == [None, 0.06]


@pytest.mark.parametrize(("reused", "expected"), [(True, (0.1, 0.0)), (False, (None, 0.1)), ("yes", (None, None))])
def test_gos_span_for_getting_a_connection_is_a_part_of_a_call(
    *, reused: bool | str, expected: tuple[float | None, float | None]
) -> None:
    attributes: Attributes = {"http.conn.reused": reused, "server.address": "api.example.com:8443"}
    operation = operation_of(span("http.getconn", attributes))

    assert (operation.connection_wait_s, operation.connection_setup_s) == expected
    assert (operation.name, operation.peer, operation.outside) == ("http.getconn", "api.example.com:8443", True)
