from otel_wfperf.model import OperationKind, SpanKind
from tests.assembly.operations import assembled, notes, op

AGENT, HANDOFF = OperationKind.AGENT, OperationKind.HANDOFF
PRODUCER, CONSUMER = SpanKind.PRODUCER, SpanKind.CONSUMER


def test_what_messages_wake_hangs_on_what_is_above_them() -> None:
    execution = assembled(
        op("r", None, 0, 99),
        op("publish", "r", 1, 50, span_kind=PRODUCER, dialect="d"),
        op("process", "publish", 2, 49, span_kind=CONSUMER, dialect="d", kind=HANDOFF),
        op("a", "process", 3, 48, kind=AGENT, name="a"),
        op("send", "a", 47, 48, span_kind=PRODUCER, dialect="d"),
        op("b", "publish", 3, 40, kind=AGENT, name="b"),
    )

    assert {each.span_id: each.parent_id for each in execution.operations} == {"r": None, "a": "r", "b": "r"}
    assert notes(execution) == ["hops"]


def test_queues_of_the_users_own_and_other_hand_offs_stay() -> None:
    execution = assembled(
        op("r", None, 0, 99),
        op("plain", "r", 1, 50, span_kind=PRODUCER),
        op("kafka", "r", 1, 50, span_kind=CONSUMER, dialect="leaves"),
        op("handoff", "r", 2, 3, kind=HANDOFF, dialect="wfperf"),
        op("agent", "r", 3, 9, kind=AGENT, span_kind=CONSUMER, dialect="d"),
    )

    assert len(execution.operations) == 5


def test_a_message_that_failed_stays() -> None:
    execution = assembled(
        op("r", None, 0, 99),
        op("process", "r", 1, 50, span_kind=CONSUMER, dialect="d", error="ValueError"),
        op("send", "process", 2, 3, span_kind=PRODUCER, dialect="d"),
    )

    assert [each.span_id for each in execution.operations] == ["r", "process"]


def test_a_root_stays_whatever_it_is() -> None:
    execution = assembled(
        op("r", None, 0, 99, span_kind=CONSUMER, dialect="d"), op("s", "r", 1, 2, span_kind=PRODUCER, dialect="d")
    )

    assert [each.span_id for each in execution.operations] == ["r"]


def test_what_repeats_another_span_goes_and_leaves_what_is_below_it() -> None:
    execution = assembled(
        op("r", None, 0, 99),
        op("task", "r", 1, 50, kind=AGENT, name="a"),
        op("echo", "r", 1, 50, repeats=True, error="boom"),
        op("call", "echo", 2, 9, kind=OperationKind.LLM),
    )

    assert {each.span_id: each.parent_id for each in execution.operations} == {"r": None, "task": "r", "call": "r"}
