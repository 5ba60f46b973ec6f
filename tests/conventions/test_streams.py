from otel_wfperf.conventions.streams import first_event_s
from otel_wfperf.model import Event
from tests.conventions.spans import MS, START_NS, span


def test_the_first_piece_is_the_earliest_event_of_its_name() -> None:
    events = tuple(Event(name=name, time_ns=START_NS + at * MS) for name, at in (("x", 1), ("piece", 9), ("piece", 5)))

    assert first_event_s(span("s", {}, events=events), ["piece"]) == 0.005
    assert first_event_s(span("s", {}, events=events), ["other"]) is None


def test_an_event_before_the_start_is_no_delay() -> None:
    events = (Event(name="piece", time_ns=START_NS - MS),)

    assert first_event_s(span("s", {}, events=events), ["piece"]) == 0
