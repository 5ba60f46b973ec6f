"""What a reader has to know about the telemetry of runs: what it lacks, and where it misleads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from otel_wfperf.analysis.critical_path import critical_path
from otel_wfperf.model import CALLS, Execution, Operation, OperationKind
from otel_wfperf.report.units import count, duration

# Chosen: spans that end a little after their parent are usual; a tenth of the run is not.
_LATE_RATIO: Final = 0.1
# Chosen: what is shorter is not what the run is about.
_MAIN_RATIO: Final = 0.5
_STEPS: Final = (OperationKind.PHASE, OperationKind.AGENT)


def unrecorded(executions: Sequence[Execution]) -> str:
    """List what none of the runs has, and which no detector can judge therefore; "" = nothing is lacking."""
    calls = [each for run in executions for each in run.of_kind(*CALLS)]
    models = [each for each in calls if each.kind is OperationKind.LLM]
    lacking = [
        "phases" if not any(run.of_kind(OperationKind.PHASE) for run in executions) else "",
        "model calls" if not models else "",
        "tokens" if models and all(each.tokens is None for each in models) else "",
        "content of calls"
        if calls and all(each.input_hash is None and not each.input_fragments for each in calls)
        else "",
    ]
    return ", ".join(filter(None, lacking))


def late_ends(executions: Sequence[Execution]) -> Iterator[str]:
    """Tell of runs whose root ended well before what is inside it: their length is that of the root."""
    late = [run for run in executions if _end_ns(run) - run.root.end_ns > _LATE_RATIO * run.duration_ns]
    if late:
        worst = max(late, key=lambda run: _end_ns(run) - run.root.end_ns)
        lasted, extent = duration(worst.duration_ns), duration(_end_ns(worst) - worst.start_ns)
        yield (
            f"the root ended before what is inside it in {count(len(late), 'run')}: after {lasted}, while its "
            f"operations took {extent}; only what the root lasted is judged"
        )


def hidden_steps(execution: Execution) -> Iterator[str]:
    """Tell of long steps beside a span that holds nothing and lasts as long: the run seems to wait for that one."""
    path = execution.once(critical_path)
    for step in execution.of_kind(*_STEPS):
        if step.span_id in path.span_ids or step.duration_ns < _MAIN_RATIO * execution.duration_ns:
            continue
        for beside in execution.children(step.parent_id or ""):
            if beside.span_id in path.span_ids and _hides(execution, beside, step):
                name = beside.name or beside.span_name
                yield (
                    f"the run seems to wait for {name}, which holds nothing, and not for {step.name} beside it: what "
                    f"is inside {step.name} counts little; if {name} is only around it, record {step.name} inside of it"
                )
                break


def _hides(execution: Execution, beside: Operation, step: Operation) -> bool:
    is_empty = beside.kind is OperationKind.OTHER and not execution.children(beside.span_id)
    return is_empty and beside.start_ns <= step.start_ns and beside.end_ns >= step.end_ns


def _end_ns(execution: Execution) -> int:
    return max(each.end_ns for each in execution.operations)
