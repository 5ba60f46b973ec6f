"""Hypothesis strategies for everything that a span can hold."""

import math

from hypothesis import strategies as st

from otel_wfperf.model import Attributes, AttributeValue, Event, Link, Span, SpanKind, StatusCode

UINT32 = st.integers(0, 2**32 - 1)
TIMES_NS = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=8)
TRACE_IDS = st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex)
SPAN_IDS = st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex)

SCALARS: st.SearchStrategy[AttributeValue] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.just(math.nan),
    TEXT,
    st.binary(max_size=8),
)


def _nested(values: st.SearchStrategy[AttributeValue]) -> st.SearchStrategy[AttributeValue]:
    return st.one_of(st.lists(values, max_size=3).map(tuple), st.dictionaries(TEXT, values, max_size=3))


VALUES: st.SearchStrategy[AttributeValue] = st.recursive(SCALARS, _nested, max_leaves=6)
ATTRIBUTES: st.SearchStrategy[Attributes] = st.dictionaries(TEXT, VALUES, max_size=4)
EVENTS = st.builds(Event, name=TEXT, time_ns=TIMES_NS, attributes=ATTRIBUTES)
LINKS = st.builds(Link, trace_id=TRACE_IDS, span_id=SPAN_IDS, attributes=ATTRIBUTES)


def spans_of(resources: list[Attributes]) -> st.SearchStrategy[Span]:
    """Build spans of some resources, so that several spans share one."""
    return st.builds(
        Span,
        trace_id=TRACE_IDS,
        span_id=SPAN_IDS,
        parent_id=st.none() | SPAN_IDS,
        name=TEXT,
        kind=st.sampled_from(SpanKind),
        start_ns=TIMES_NS,
        end_ns=TIMES_NS,
        attributes=ATTRIBUTES,
        status=st.sampled_from(StatusCode),
        status_message=TEXT,
        events=st.lists(EVENTS, max_size=2).map(tuple),
        links=st.lists(LINKS, max_size=2).map(tuple),
        scope=st.sampled_from(["", "a", "b"]),
        scope_version=st.sampled_from(["", "1"]),
        resource=st.sampled_from(resources),
        trace_state=TEXT,
        flags=UINT32,
        dropped=UINT32,
    )


SPANS = st.lists(ATTRIBUTES, min_size=1, max_size=2).flatmap(
    lambda resources: st.lists(spans_of(resources), max_size=4),
)


def written(spans: list[Span] | tuple[Span, ...]) -> list[str]:
    """List spans for comparison: encoding groups them, and ``repr`` tells True from 1, 0.0 from -0.0 and NaN apart."""
    return sorted(map(repr, spans))
