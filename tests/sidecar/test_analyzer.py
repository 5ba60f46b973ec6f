from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_wfperf import semconv
from otel_wfperf.assembly import Assembler, AssemblySettings
from otel_wfperf.log import Record, Signal
from otel_wfperf.model import Operation, Span
from otel_wfperf.otlp import protobuf
from otel_wfperf.sidecar.analyzer import Analyzer, Finished
from otel_wfperf.sidecar.annotation import annotation
from tests.sidecar import requests
from tests.sidecar.executions import execution

SECOND_NS = 1_000_000_000
QUIET_NS = 2 * SECOND_NS


def record(offset: int, data: bytes, *, signal: Signal = Signal.TRACES) -> Record:
    return Record(offset=offset, signal=signal, data=data, items=1, received_ns=0)


def trace(number: int) -> bytes:
    return bytes([number]) * 16


def repeated_calls(trace: int, *, calls: int) -> bytes:
    """Build a workflow that asks a tool the same thing again and again, half a second each."""
    common = {"trace_id": f"{trace:032x}", "scope": semconv.INSTRUMENTATION_SCOPE}
    root = Span(
        **common,  # type: ignore[arg-type]
        span_id=f"{1:016x}",
        name="invoke_workflow research",
        start_ns=10**18,
        end_ns=10**18 + calls * SECOND_NS,
        attributes={"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "research"},
    )
    tools = [
        Span(
            **common,  # type: ignore[arg-type]
            span_id=f"{number + 2:016x}",
            parent_id=root.span_id,
            name="execute_tool search",
            start_ns=10**18 + number * SECOND_NS,
            end_ns=10**18 + number * SECOND_NS + SECOND_NS // 2,
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "search",
                "wfperf.input.hash": "same",
                "wfperf.output.hash": "same",
            },
        )
        for number in range(calls)
    ]
    return protobuf.encode_traces([root, *tools])


def ids(finished: Iterable[Finished]) -> list[str]:
    return [one.execution.trace_id for one in finished]


def test_hands_out_a_trace_once_it_is_quiet_with_its_last_offset() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    analyzer.add([record(4, requests.tree(trace(1), 2))], now_ns=0)
    analyzer.add([record(7, requests.tree(trace(1), 0, with_root=True))], now_ns=SECOND_NS)

    assert analyzer.due(now_ns=QUIET_NS) == ()
    [one] = analyzer.due(now_ns=SECOND_NS + QUIET_NS)

    assert (one.execution.trace_id, len(one.execution.operations), one.last_offset) == (trace(1).hex(), 3, 7)


def test_is_done_up_to_the_first_record_of_what_is_open() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    analyzer.add([record(4, requests.tree(trace(1), 1, with_root=True))], now_ns=0)
    analyzer.add([record(6, requests.tree(trace(2), 1))], now_ns=0)
    analyzer.add([record(9, requests.tree(trace(2), 1, first=3))], now_ns=0)

    assert analyzer.done_up_to(9, analyzer.open()) == 3
    assert ids(analyzer.due(now_ns=QUIET_NS)) == [trace(1).hex()]
    assert analyzer.done_up_to(9, analyzer.open()) == 5
    assert ids(analyzer.flush()) == [trace(2).hex()]
    assert analyzer.done_up_to(9, analyzer.open()) == 9


def test_what_the_assembler_drops_holds_nothing_up() -> None:
    analyzer = Analyzer(Assembler(AssemblySettings(late_window_ns=0)), window=20)
    analyzer.add([record(1, requests.tree(trace(1), 1, with_root=True))], now_ns=0)
    analyzer.due(now_ns=QUIET_NS)
    analyzer.due(now_ns=2 * QUIET_NS)
    analyzer.add([record(2, requests.tree(trace(1), 1, first=9))], now_ns=2 * QUIET_NS)

    assert analyzer.done_up_to(2, analyzer.open()) == 2
    assert analyzer.dropped == {"too_late": 1}


def test_skips_records_that_are_part_of_a_stored_execution() -> None:
    analyzer = Analyzer(Assembler(), window=20, analysed={trace(1).hex(): 5})
    analyzer.add([record(5, requests.tree(trace(1), 1) + requests.tree(trace(2), 1, with_root=True))], now_ns=0)
    assert ids(analyzer.flush()) == [trace(2).hex()]

    analyzer.add([record(6, requests.tree(trace(1), 1))], now_ns=0)
    assert ids(analyzer.flush()) == [trace(1).hex()]


def test_counts_what_it_cannot_use_and_goes_on() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    analyzer.add(
        [
            record(1, b"\xff"),
            record(2, requests.metrics(), signal=Signal.METRICS),
            record(3, requests.traces(1, trace_id=bytes(16))),
            record(4, protobuf.encode_traces([annotation(execution(9), [])])),
            record(5, requests.tree(trace(1), 1, with_root=True)),
        ],
        now_ns=0,
    )

    assert ids(analyzer.flush()) == [trace(1).hex()]
    assert analyzer.dropped == {"undecodable": 1, "invalid_trace_id": 1}


def test_attributes_findings_to_the_executions_that_have_them() -> None:
    analyzer = Analyzer(Assembler(), window=20, keep=True)
    analyzer.add([record(1, repeated_calls(1, calls=20)), record(2, repeated_calls(2, calls=1))], now_ns=0)

    slow, quick = sorted(analyzer.flush(), key=lambda one: one.execution.trace_id)

    assert slow.findings
    assert all(f"{1:032x}" in finding.trace_ids for finding in slow.findings)
    assert quick.findings == ()
    executions, findings = analyzer.summary()
    assert [one.trace_id for one in executions] == [f"{1:032x}", f"{2:032x}"]
    assert findings
    recent = analyzer.find(f"{1:032x}")
    assert recent is not None
    assert recent[1] == slow.findings
    assert analyzer.find("unknown") is None


def start_events(*span_ids: int) -> bytes:
    """Build a logs request that says which spans of the first trace are open; 1 is the parent of the others."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in span_ids:
        event = records.add(
            event_name=semconv.START_EVENT,
            time_unix_nano=10**18,
            trace_id=trace(1),
            span_id=number.to_bytes(8, "big"),
        )
        event.attributes.add(key=semconv.SPAN_NAME).value.string_value = f"span {number}"
        if number != 1:
            event.attributes.add(key=semconv.PARENT_SPAN_ID).value.string_value = f"{1:016x}"
    return request.SerializeToString()


def open_spans(analyzer: Analyzer) -> list[str]:
    executions, _ = analyzer.live(limit=10, now_ns=0)
    return [span.span_id.lstrip("0") for one in executions for span in one.running if span.operation is not None]


def test_when_it_is_behind_it_compares_some_of_very_many_and_counts_the_others() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    for number in range(1, 251):
        analyzer.add([record(number, repeated_calls(number, calls=3))], now_ns=0)

    finished = analyzer.due(now_ns=QUIET_NS, behind=True)

    compared = [one for one in finished if one.findings]
    assert compared == [one for one in finished if one.compared]
    assert (len(finished), len(compared), analyzer.dropped["not_compared"]) == (250, 84, 166)
    assert sum(int(one.execution.trace_id, 16) <= 125 for one in compared) == 42


def test_when_it_keeps_up_it_compares_all() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    for number in range(1, 251):
        analyzer.add([record(number, repeated_calls(number, calls=3))], now_ns=0)

    assert all(one.findings and one.compared for one in analyzer.due(now_ns=QUIET_NS))


def test_at_the_end_it_compares_all() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    for number in range(1, 251):
        analyzer.add([record(number, repeated_calls(number, calls=3))], now_ns=0)

    assert all(one.findings for one in analyzer.flush())
    assert "not_compared" not in analyzer.dropped


def test_start_events_are_for_looking_at_only() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    analyzer.add([record(1, start_events(1, 2, 9), signal=Signal.LOGS)], now_ns=0)
    assert open_spans(analyzer) == ["1", "2", "9"]
    assert analyzer.open() == ()
    assert analyzer.done_up_to(1, analyzer.open()) == 1

    analyzer.add([record(2, requests.tree(trace(1), 1, with_root=True))], now_ns=0)
    assert open_spans(analyzer) == ["9"]
    [one] = analyzer.due(now_ns=QUIET_NS)

    assert len(one.execution.operations) == 2
    assert open_spans(analyzer) == []
    _, counts = analyzer.live(limit=10, now_ns=0)
    assert (counts.running, counts.stalled) == (0, 0)


def test_logs_that_it_cannot_read_are_counted() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    analyzer.add([record(1, b"\xff", signal=Signal.LOGS), record(2, requests.logs(), signal=Signal.LOGS)], now_ns=0)

    assert analyzer.dropped == {"undecodable": 1}


class BrokenAssembler(Assembler):
    """Fails on one trace, as a fault of ours would."""

    def add(self, operations: Iterable[Operation], *, now_ns: int) -> None:
        operations = list(operations)
        if operations[0].trace_id == trace(1).hex():
            raise ValueError("a fault")
        super().add(operations, now_ns=now_ns)


def test_a_fault_of_ours_costs_one_record_and_is_counted() -> None:
    analyzer = Analyzer(BrokenAssembler(), window=20)
    analyzer.add(
        [record(1, requests.tree(trace(1), 2)), record(2, requests.tree(trace(2), 1, with_root=True))], now_ns=0
    )

    assert ids(analyzer.flush()) == [trace(2).hex()]
    assert analyzer.dropped == {"assembly_failed": 2}


def test_an_execution_that_waits_for_a_person_is_not_handed_out_before_it_ends() -> None:
    analyzer = Analyzer(Assembler(), window=20)
    analyzer.add([record(1, requests.tree(trace(1), 1))], now_ns=0)
    for minute in range(1, 30):
        told = [record(minute + 1, start_events(1, 2), signal=Signal.LOGS)]
        analyzer.add(told, now_ns=minute * 60 * SECOND_NS)
        assert analyzer.due(now_ns=minute * 60 * SECOND_NS) == ()

    analyzer.add([record(99, requests.tree(trace(1), 0, with_root=True))], now_ns=1800 * SECOND_NS)
    analyzer.add([record(100, start_events(1, 2), signal=Signal.LOGS)], now_ns=1801 * SECOND_NS)
    [one] = analyzer.due(now_ns=1802 * SECOND_NS)
    assert (one.execution.status, len(one.execution.operations)) == ("ok", 2)


def test_a_clock_that_differs_makes_nothing_old() -> None:
    request = ExportLogsServiceRequest.FromString(start_events(1))
    request.resource_logs[0].scope_logs[0].log_records[0].observed_time_unix_nano = 10**18 + SECOND_NS
    analyzer, now_ns = Analyzer(Assembler(), window=20), 10**18 + 3600 * SECOND_NS
    analyzer.add([record(1, request.SerializeToString(), signal=Signal.LOGS)], now_ns=now_ns)

    [one], counts = analyzer.live(limit=10, now_ns=now_ns)
    assert (one.start_ns, counts.stalled) == (now_ns - SECOND_NS, 0)
