"""Where in a workflow an operation belongs."""

from collections.abc import Iterator, Mapping
from typing import Final

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.timeline import union_ns
from otel_wfperf.model import Execution, Operation, OperationKind, Subject, SubjectKind

SUBJECT_KINDS: Final = {
    OperationKind.WORKFLOW: SubjectKind.WORKFLOW,
    OperationKind.PHASE: SubjectKind.PHASE,
    OperationKind.AGENT: SubjectKind.AGENT,
    OperationKind.LLM: SubjectKind.LLM,
}
# Source: langchain 1.x agents/factory.py (create_agent) and langgraph 1.2 prebuilt/chat_agent_executor.py: the nodes
# that every agent consists of, and the hooks of its middleware. They say nothing about whose time it is.
_AGENT_NODES: Final = frozenset({"agent", "model", "tools", "generate_structured_response"})
_AGENT_HOOKS: Final = (".before_agent", ".before_model", ".after_model", ".after_agent")
# Spans that are not about agents count as part of what they are below.
_TRANSPARENT: Final = frozenset(
    {OperationKind.OTHER, OperationKind.CONTEXT, OperationKind.MEMORY, OperationKind.PLAN, OperationKind.HANDOFF}
)


def subject_of(operation: Operation) -> Subject:
    """Name an operation itself as a subject; what is neither phase, agent nor model is a tool."""
    return Subject(kind=SUBJECT_KINDS.get(operation.kind, SubjectKind.TOOL), name=operation.name)


def is_inside_of_agent(phase: str, agent: str | None) -> bool:
    """Tell whether a phase is one of those that every agent of a framework is made of, and which agent is known."""
    return agent is not None and (phase in _AGENT_NODES or phase.endswith(_AGENT_HOOKS))


def place_of(operation: Operation) -> Subject | None:
    """Name the phase that an operation is or belongs to, else its agent, else None.

    The phases that an agent is made of are the agent: all agents have phases of those names.
    """
    phase = operation.name if operation.kind is OperationKind.PHASE else operation.phase
    agent = operation.name if operation.kind is OperationKind.AGENT else operation.agent
    if phase is not None and not is_inside_of_agent(phase, agent):
        return Subject(kind=SubjectKind.PHASE, name=phase)
    return None if agent is None else Subject(kind=SubjectKind.AGENT, name=agent)


def agent_of(operation: Operation) -> Subject | None:
    """Name the agent that an operation is or belongs to, else its phase, else None."""
    agent = operation.name if operation.kind is OperationKind.AGENT else operation.agent
    return Subject(kind=SubjectKind.AGENT, name=agent) if agent is not None else place_of(operation)


def own_ns(execution: Execution, operation: Operation) -> int:
    """Return the time of an operation without the phases, agents, calls and waits below it (nanoseconds)."""
    if not execution.children(operation.span_id):
        return operation.duration_ns
    inner = (
        (max(each.start_ns, operation.start_ns), min(each.end_ns, operation.end_ns))
        for each in _judged_below(execution, operation)
    )
    return operation.duration_ns - union_ns((start_ns, end_ns) for start_ns, end_ns in inner if start_ns < end_ns)


def _judged_below(execution: Execution, operation: Operation) -> Iterator[Operation]:
    stack = list(execution.children(operation.span_id))
    while stack:
        child = stack.pop()
        if child.kind in _TRANSPARENT:
            stack.extend(execution.children(child.span_id))
        else:
            yield child


def cold_starts(population: Population) -> frozenset[tuple[str, str]]:
    """Return (trace id, span id) of the first model call of each process.

    It includes imports, the client's set-up and the TLS handshake: 60 ms of model time were recorded as 0.2 to
    2.9 s. Where the emitter does not identify its process, each run may be a new one.
    """
    first: dict[str, Operation] = {}
    for execution in population.executions:
        for process, call in execution.once(_first_calls).items():
            if process not in first or call.start_ns < first[process].start_ns:
                first[process] = call
    return frozenset((call.trace_id, call.span_id) for call in first.values())


def _first_calls(execution: Execution) -> Mapping[str, Operation]:
    """Return the first model call of a run in each process."""
    first: dict[str, Operation] = {}
    for call in execution.of_kind(OperationKind.LLM):
        first.setdefault(call.host or call.trace_id, call)
    return first
