from collections import Counter
from typing import Any

import pytest

from otel_wfperf.model import Attributes, AttributeValue, Event, Link, Operation, Span
from otel_wfperf.otlp.limits import SpanLimits

LIMITS = SpanLimits(attribute_count=3, event_count=2, link_count=2, value_length=5, value_depth=2, name_length=4)


def span(**fields: Any) -> Span:
    return Span(trace_id="a" * 32, span_id="b" * 16, start_ns=1, **fields)


def cut(one: Span) -> tuple[Span, dict[str, int]]:
    dropped: Counter[str] = Counter()
    return LIMITS.cut_span(one, dropped), {reason: count for reason, count in dropped.items() if count}


def test_a_span_at_every_limit_stays_the_same_object() -> None:
    link = Link(trace_id="c" * 32, span_id="d" * 16, attributes={"k": "12345"})
    largest: Attributes = {"a": "12345", "b": ("1", "2", ("3", "4", "5")), "c": {"x": {"y": b"12345"}}}
    one = span(
        name="name",
        attributes=largest,
        resource=largest,
        events=(Event(name="even", time_ns=1, attributes=largest),) * 2,
        links=(link, link),
    )

    assert cut(one)[0] is one
    assert cut(one)[1] == {}


@pytest.mark.parametrize(
    ("given", "left", "reason"),
    [
        ({"a": "123456"}, {"a": "12345"}, "value_length"),
        ({"a": b"123456"}, {"a": b"12345"}, "value_length"),
        ({"a": ("1", "123456")}, {"a": ("1", "12345")}, "value_length"),
        ({"a": {"b": "123456"}}, {"a": {"b": "12345"}}, "value_length"),
        ({"a": ("1", "2", "3", "4")}, {"a": ("1", "2", "3")}, "attribute_count"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3}, "attribute_count"),
        ({"a": ((("deep",),),)}, {"a": ((None,),)}, "value_depth"),
        ({"a": {"b": {"c": {"d": 1}}}}, {"a": {"b": {"c": None}}}, "value_depth"),
        ({"abcde": 1}, {"abcd": 1}, "name_length"),
    ],
)
def test_what_is_over_a_limit_is_cut_and_counted_wherever_it_stands(
    given: dict[str, AttributeValue], left: dict[str, AttributeValue], reason: str
) -> None:
    def event(attributes: Attributes) -> Event:
        return Event(name="e", time_ns=1, attributes=attributes)

    def link(attributes: Attributes) -> Link:
        return Link(trace_id="c" * 32, span_id="d" * 16, attributes=attributes)

    for one, expected in (
        (span(attributes=given), span(attributes=left)),
        (span(resource=given), span(resource=left)),
        (span(events=(event(given),)), span(events=(event(left),))),
        (span(links=(link(given),)), span(links=(link(left),))),
    ):
        assert cut(one) == (expected, {reason: 1})


def test_surplus_events_and_links_and_long_names_are_counted_one_by_one() -> None:
    events = tuple(Event(name=f"event {number}", time_ns=number) for number in range(4))
    links = tuple(Link(trace_id="c" * 32, span_id=f"{number:016x}") for number in range(1, 6))

    left, dropped = cut(span(name="a name", events=events, links=links))

    assert (left.name, [event.name for event in left.events], left.links) == ("a na", ["even", "even"], links[:2])
    assert dropped == {"name_length": 3, "event_count": 2, "link_count": 3}


def test_names_of_operations_are_cut() -> None:
    dropped: Counter[str] = Counter()
    one = Operation(
        trace_id="a" * 32, span_id="b" * 16, start_ns=1, end_ns=2, name="a tool", workflow="a workflow", agent="agt"
    )

    left = LIMITS.cut_names(one, dropped)

    assert (left.name, left.workflow, left.agent) == ("a to", "a wo", "agt")
    assert dropped == {"name_length": 2}
    assert LIMITS.cut_names(left, dropped) is left
