"""Runs of a small research workflow, built by hand."""

from typing import Any

from otel_wfperf.model import (
    Adjustment,
    Advice,
    Confidence,
    Execution,
    ExecutionStatus,
    Finding,
    Operation,
    OperationKind,
    ResourceUse,
    Saving,
    Severity,
    Subject,
    SubjectKind,
    TokenUsage,
)

MS = 1_000_000
EPOCH_NS = 1_700_000_000_000_000_000
TRACE_ID = "5f" * 16
PROMPT = TokenUsage(input=90, output=9)
DRAFT = TokenUsage(input=500, output=70)


def operation(span_id: str, parent_id: str | None, start_ms: int, end_ms: int, **values: Any) -> Operation:
    """Build an operation; times are milliseconds after the start of the run."""
    values.setdefault("name", span_id)
    return Operation(
        trace_id=TRACE_ID,
        span_id=span_id,
        parent_id=parent_id,
        start_ns=EPOCH_NS + start_ms * MS,
        end_ns=EPOCH_NS + end_ms * MS,
        **values,
    )


def execution(*operations: Operation, **values: Any) -> Execution:
    """Put operations together; the one without a parent is the root."""
    [root] = [each for each in operations if each.parent_id is None]
    ordered = sorted(operations, key=lambda each: (each.start_ns, -each.duration_ns, each.span_id))
    values.setdefault("trace_id", TRACE_ID)
    values.setdefault("workflow", "research")
    return Execution(root_id=root.span_id, operations=tuple(ordered), **values)


def research(**values: Any) -> Execution:
    """Plan 1 s; fetch (3 tools in series, 2 s) beside a short branch; a queue; write 2 s: 6 s in all."""
    kind = OperationKind
    return execution(
        operation("run", None, 0, 6000, name="research", kind=kind.WORKFLOW, dialect="wfperf"),
        operation("plan", "run", 0, 1000, name="planner", kind=kind.PHASE),
        operation("m1", "plan", 0, 1000, name="small", kind=kind.LLM, phase="planner", tokens=PROMPT),
        operation("fetch", "run", 1000, 3500, name="fetch", kind=kind.PHASE),
        operation("t1", "fetch", 1000, 1800, name="load", kind=kind.TOOL, phase="fetch"),
        operation("t2", "fetch", 1800, 2600, name="load", kind=kind.TOOL, phase="fetch"),
        operation("t3", "fetch", 2600, 3400, name="load", kind=kind.TOOL, phase="fetch", error="TimeoutError"),
        operation("aside", "run", 1000, 1500, name="aside", kind=kind.PHASE),
        operation("queue", "run", 3500, 4000, name="slots", kind=kind.WAIT, wait_kind="queue"),
        operation("write", "run", 4000, 6000, name="writer", kind=kind.PHASE),
        operation("m2", "write", 4000, 5900, name="large", kind=kind.LLM, phase="writer", tokens=DRAFT),
        **values,
    )  # fmt: skip


def finding(**values: Any) -> Finding:
    """Build the finding that ``research`` deserves."""
    defaults: dict[str, Any] = {
        "detector": "missed_parallelism",
        "severity": Severity.HIGH,
        "confidence": Confidence.PROVEN,
        "workflow": "research",
        "subject": Subject(kind=SubjectKind.PHASE, name="fetch"),
        "trace_ids": (TRACE_ID,),
        "span_ids": ("t1", "t2", "t3"),
        "summary": "3 independent calls of 'load' run one after another",
        "evidence": {"calls": 3, "durations_s": (0.8, 0.8, 0.8), "longest": {"span": "t1", "duration_s": 0.8}},
        "saving": Saving(median_s=1.6, low_s=1.5, high_s=1.7),
        "recommendation": "Run them at once.",
        "advice": Advice(optimizer="concurrency", knob="max_parallel", value=3),
    }
    return Finding(**(defaults | values))


def skewed() -> Execution:
    """Build a run that assembly had to change, and that lacks spans."""
    detail = "moved the spans of host b by 12 ms"
    return research(
        status=ExecutionStatus.INCOMPLETE,
        completeness=0.9,
        adjustments=(Adjustment(adjuster="clock_skew", span_ids=("t1",), detail=detail),),
    )


def blocking() -> Execution:
    """One second in which an agent burns 100 ms of CPU and blocks the event loop for 300 ms."""
    used = ResourceUse(cpu_time_s=0.1, loop_blocked_s=0.3, loop_blocked_longest_s=0.2)
    return execution(
        operation("run", None, 0, 1000, name="research", kind=OperationKind.WORKFLOW),
        operation("a", "run", 0, 1000, name="writer", kind=OperationKind.AGENT, agent="writer", resources=used),
    )
