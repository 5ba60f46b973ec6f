import os
import threading
import time
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

from otel_wfperf import agent, phase, workflow
from otel_wfperf.conventions import normalize
from otel_wfperf.instrumentation import start_events
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.open_spans import OPEN_SPANS
from otel_wfperf.instrumentation.operations import start_llm, start_phase
from otel_wfperf.instrumentation.start_events import Announcer
from otel_wfperf.model import Operation, Span
from otel_wfperf.otlp.logs import decode_open_spans
from tests.instrumentation.watched import Watched, watched

SECOND_NS = 1_000_000_000


class Result(Enum):
    SUCCESS = 0
    FAILURE = 1


class Receiver:
    """An exporter of the SDK's kind, with the SDK's encoder: what was received, as the sidecar decodes it."""

    def __init__(self) -> None:
        self.requests: list[tuple[Span, ...]] = []
        self.takes = True
        self.received = threading.Event()

    def export(self, batch: Sequence[Any]) -> Result:
        if self.takes:
            self.requests.append(decode_open_spans(encode_logs(batch).SerializeToString()).spans)
        self.received.set()
        return Result.SUCCESS if self.takes else Result.FAILURE

    def shutdown(self) -> None:
        self.takes = False

    def operations(self) -> dict[str, Operation]:
        """All that was announced, understood, by name; forgets it."""
        found = [normalize(span) for spans in self.requests for span in spans]
        self.requests.clear()
        return {each.name: each for each in found if each is not None}

    def names(self) -> list[str]:
        return sorted(self.operations())


@pytest.fixture
def spans() -> Iterator[Watched]:
    before = failure_counts()
    with watched() as spans:
        yield spans
    assert failure_counts() == before


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def now_ns() -> int:
    return time.time_ns()


def soon_ns() -> int:
    """When a run is worth a word, and a span in it not yet."""
    return time.time_ns() + 120_000_000


@pytest.mark.usefixtures("spans")
def test_the_first_span_is_announced_soon_and_others_when_they_have_been_open_for_a_while(receiver: Receiver) -> None:
    clock = [now_ns()]
    announcer = Announcer(lambda: receiver, lambda: clock[0])
    with workflow("w"), phase("quick"):
        assert announcer.look()
        assert receiver.requests == []
        old = start_phase("slow", start_ns=now_ns() - SECOND_NS)
        clock[0] = soon_ns()
        assert announcer.look()
        assert receiver.names() == ["slow", "w"]
        assert announcer.look()
        assert receiver.requests == []
        old.end()


def test_says_where_a_span_belongs_and_what_it_is_but_nothing_of_what_was_said(
    spans: Watched, receiver: Receiver
) -> None:
    began = now_ns() - SECOND_NS
    with workflow("w", conversation="c-1"):
        call = start_llm("m", provider="acme", agent="writer", start_ns=began)
        native = spans.native.start_span(
            "chat n",
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "n",
                "gen_ai.input.messages": "a secret",
            },
            start_time=began,
        )
        Announcer(lambda: receiver, soon_ns).look()
        [request] = receiver.requests
        found = receiver.operations()
        call.end()
        native.end()

    assert {(each.kind.value, each.name, each.agent, each.conversation) for each in found.values()} == {
        ("workflow", "w", None, "c-1"),
        ("llm", "m", "writer", None),
        ("llm", "n", None, None),
    }
    assert found["m"].parent_id == found["n"].parent_id == found["w"].span_id
    assert found["w"].parent_id is None
    assert (found["m"].start_ns, found["m"].ended, found["m"].span_name) == (began, False, "chat m")
    assert found["m"].span_id == f"{call.span.get_span_context().span_id:016x}"
    assert "secret" not in str(request)


@pytest.mark.usefixtures("spans")
def test_what_stays_open_is_announced_again_and_again(receiver: Receiver) -> None:
    with workflow("w"):
        clock = [soon_ns()]
        announcer = Announcer(lambda: receiver, lambda: clock[0])
        for seconds, is_told in ((0, True), (9, False), (2, True), (9, False), (2, True)):
            clock[0] += seconds * SECOND_NS
            announcer.look()
            assert bool(receiver.names()) is is_told, seconds


@pytest.mark.usefixtures("spans")
def test_what_was_not_taken_is_told_later_if_it_is_still_true(receiver: Receiver) -> None:
    receiver.takes = False
    announcer = Announcer(lambda: receiver, soon_ns)
    with workflow("long"):
        with workflow("short"):
            assert not announcer.look()
        assert announcer.failed_requests == 1
        receiver.takes = True
        assert announcer.look()

    assert receiver.names() == ["long"]


@pytest.mark.usefixtures("spans")
def test_many_at_once_go_in_several_requests(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_events, "_MAX_RECORDS", 2)
    announcer = Announcer(lambda: receiver)
    calls = [start_phase(f"p{number}", start_ns=now_ns() - SECOND_NS) for number in range(10)]
    announcer.look()
    assert [len(spans) for spans in receiver.requests] == [2, 2, 2, 2]
    announcer.look()
    assert len(receiver.names()) == 10
    for call in calls:
        call.end()


@pytest.mark.usefixtures("spans")
def test_a_thread_looks_by_itself_until_it_is_stopped(receiver: Receiver) -> None:
    announcer = Announcer(lambda: receiver)
    announcer.start()
    announcer.start()
    try:
        with workflow("w"):
            assert receiver.received.wait(30)
            assert receiver.names() == ["w"]
    finally:
        announcer.stop()

    assert not any(thread.name == "otel-wfperf-live" for thread in threading.enumerate())
    assert not receiver.takes  # its connection was closed


def test_an_exporter_that_cannot_be_made_costs_the_program_nothing() -> None:
    tried = threading.Event()

    def fail() -> Any:
        tried.set()
        raise ImportError("no exporter")

    before = failure_counts().get("start_events", 0)
    announcer = Announcer(fail)
    with watched() as spans:
        announcer.start()
        with workflow("w"), agent("a"):
            assert tried.wait(30)
        announcer.stop()

    assert failure_counts()["start_events"] == before + 1
    assert len(spans.spans) == 2


@pytest.mark.usefixtures("spans")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_announces_its_own_spans_over_a_connection_of_its_own() -> None:
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        return made[-1]

    announcer = Announcer(make, soon_ns)
    with workflow("parent"):
        announcer.look()
        child = os.fork()
        if child == 0:
            announcer.after_fork_in_child()
            with workflow("child"):
                announcer.look()
            is_right = len(made) == 2 and made[1].names() == ["child"] and len(OPEN_SPANS) == 0
            os._exit(0 if is_right else 1)

    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("spans")
def test_a_thread_that_was_stopped_while_it_sent_does_not_go_on_beside_the_next_one() -> None:
    sending, done = threading.Event(), threading.Event()

    class Slow(Receiver):
        def export(self, batch: Sequence[Any]) -> Result:
            sending.set()
            done.wait(30)
            return super().export(batch)

    announcer = Announcer(Slow)
    announcer.start()
    first = announcer._thread
    assert first is not None
    with workflow("w"):
        assert sending.wait(30)
    announcer.stop()
    assert first.is_alive()
    announcer.start()
    done.set()
    first.join(30)
    announcer.stop()

    assert not first.is_alive()
    assert not any(thread.name == "otel-wfperf-live" for thread in threading.enumerate())
