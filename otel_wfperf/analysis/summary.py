"""One execution in figures: its phases, its agents, its model calls."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from otel_wfperf.analysis.critical_path import CriticalPath
from otel_wfperf.analysis.timeline import busy_ns, union_ns
from otel_wfperf.model import Execution, Operation, OperationKind, TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSummary:
    """All runs of one phase together.

    Attributes:
        calls: How often it ran.
        duration_ns: Time in which it ran (nanoseconds).
        exclusive_ns: The same without the time of phases within it (nanoseconds).
        critical_path_ns: What the critical path spent in it and in all that is below it (nanoseconds).
    """

    name: str
    calls: int
    duration_ns: int
    exclusive_ns: int
    critical_path_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSummary:
    """All calls of one agent together. A phase that calls a model itself counts as an agent of its name.

    Attributes:
        calls: How often it was invoked.
        busy_ns: Time in which it ran, waits included (nanoseconds).
        wait_ns: Time it spent waiting (nanoseconds).
        errors: Operations of it that failed.
        cpu_s: CPU time that its own operations used (seconds); None = not recorded.
        loop_blocked_s: Time for which they held the event loop in long steps (seconds); None = not recorded.
    """

    name: str
    calls: int
    busy_ns: int
    wait_ns: int
    tokens: TokenUsage
    errors: int
    cpu_s: float | None = None
    loop_blocked_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSummary:
    """The figures of one execution; phases and agents in order of first start."""

    phases: tuple[PhaseSummary, ...]
    agents: tuple[AgentSummary, ...]
    llm_calls: int
    tokens: TokenUsage


def summarize(execution: Execution, path: CriticalPath) -> ExecutionSummary:
    """Count and add up an execution."""
    llm = execution.of_kind(OperationKind.LLM)
    return ExecutionSummary(
        phases=tuple(_phases(execution, path)),
        agents=tuple(_agents(execution)),
        llm_calls=len(llm),
        tokens=total_tokens(execution.operations),
    )


def total_tokens(operations: Iterable[Operation]) -> TokenUsage:
    """Add up the tokens of operations; the assembler has left each token on exactly one of them."""
    total = TokenUsage()
    for operation in operations:
        if operation.tokens is not None:
            total += operation.tokens
    return total


def owner(operation: Operation) -> str | None:
    """Name the agent that an operation belongs to: its agent, else the phase that holds it."""
    return operation.agent or operation.phase


def _phases(execution: Execution, path: CriticalPath) -> Iterable[PhaseSummary]:
    runs: dict[str, list[Operation]] = {}
    for phase in execution.of_kind(OperationKind.PHASE):
        runs.setdefault(phase.name, []).append(phase)
    inner = _inner_phases(execution)
    on_path = _path_of_phases(execution, path)
    for name, phases in runs.items():
        yield PhaseSummary(
            name=name,
            calls=len(phases),
            duration_ns=busy_ns(phases),
            exclusive_ns=sum(phase.duration_ns - union_ns(inner.get(phase.span_id, ())) for phase in phases),
            critical_path_ns=on_path.get(name, 0),
        )


def _path_of_phases(execution: Execution, path: CriticalPath) -> Mapping[str, int]:
    """Sum the critical path below each phase name; a phase within one of the same name counts once."""
    around: dict[str, frozenset[str]] = {}
    total: dict[str, int] = {}
    for operation in (execution.root, *execution.descendants(execution.root_id)):
        names = around.get(operation.parent_id or "", frozenset())
        if operation.kind is OperationKind.PHASE and operation.name not in names:
            names |= {operation.name}
        around[operation.span_id] = names
        for name in names:
            total[name] = total.get(name, 0) + path.exclusive_ns(operation.span_id)
    return total


def _inner_phases(execution: Execution) -> Mapping[str, list[tuple[int, int]]]:
    """List the intervals of the phases directly within each phase, cut to it, by its span id."""
    nearest: dict[str, Operation | None] = {execution.root_id: None}
    inner: dict[str, list[tuple[int, int]]] = {}
    for operation in execution.descendants(execution.root_id):
        parent = execution.by_id[operation.parent_id or execution.root_id]
        around = parent if parent.kind is OperationKind.PHASE else nearest[parent.span_id]
        nearest[operation.span_id] = around
        if operation.kind is OperationKind.PHASE and around is not None:
            start_ns, end_ns = max(operation.start_ns, around.start_ns), min(operation.end_ns, around.end_ns)
            inner.setdefault(around.span_id, []).append((start_ns, max(start_ns, end_ns)))
    return inner


def _agents(execution: Execution) -> Iterable[AgentSummary]:
    owned: dict[str | None, list[Operation]] = {}
    for operation in execution.operations:
        owned.setdefault(owner(operation), []).append(operation)
    for name, invocations in invocations_by_agent(execution).items():
        own = {each.span_id: each for each in [*invocations, *owned.get(name, ())]}.values()
        used = [each.resources for each in own if each.resources is not None]
        yield AgentSummary(
            name=name,
            calls=len(invocations),
            busy_ns=busy_ns(invocations),
            wait_ns=busy_ns(each for each in own if each.kind is OperationKind.WAIT),
            tokens=total_tokens(own),
            errors=sum(each.error is not None for each in own),
            cpu_s=_sum(each.cpu_time_s for each in used),
            loop_blocked_s=_sum(each.loop_blocked_s for each in used),
        )


def _sum(values: Iterable[float | None]) -> float | None:
    """Add up what was recorded; None when nothing was."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def invocations_by_agent(execution: Execution) -> dict[str, list[Operation]]:
    """Group the operations that are one run of an agent, by the agent's name, in order of first start.

    Orchestrators that name no agents still have some: a phase that calls a model without an agent in between.
    """
    implicit = {
        operation.phase
        for operation in execution.of_kind(OperationKind.LLM)
        if operation.phase is not None and operation.agent is None
    }
    found: dict[str, list[Operation]] = {}
    for operation in execution.operations:
        is_phase = operation.kind is OperationKind.PHASE and operation.name in implicit
        if operation.kind is OperationKind.AGENT or is_phase:
            found.setdefault(operation.name, []).append(operation)
    return found
