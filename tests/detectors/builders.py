"""Builds executions with fixed ids and a fixed clock, for tests of detectors.

Times are milliseconds since the start of the run; run ``n`` starts ``n`` minutes after ``EPOCH_NS``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from otel_wfperf.analysis.population import Population
from otel_wfperf.model import Execution, Operation, OperationKind, TokenUsage

MS = 1_000_000
EPOCH_NS = 1_700_000_000_000_000_000
RUN_SPACING_MS = 60_000
ROOT = "root"


@dataclass
class Run:
    """Collects the operations of one run, then builds its execution.

    Every method that adds an operation returns its span id, which serves as ``parent`` of others.
    """

    number: int = 0
    workflow: str = "research"
    host: str = "host-1"
    start_ms: int | None = None
    operations: list[Operation] = field(default_factory=list)

    @property
    def origin_ns(self) -> int:
        """Start of the run (nanoseconds since the Unix epoch)."""
        return EPOCH_NS + (self.number * RUN_SPACING_MS if self.start_ms is None else self.start_ms) * MS

    @property
    def trace_id(self) -> str:
        """Trace id of the run."""
        return f"{self.number + 1:032x}"

    def add(
        self,
        kind: OperationKind,
        name: str,
        start_ms: float,
        duration_ms: float,
        *,
        parent: str = ROOT,
        **fields: Any,
    ) -> str:
        """Add an operation of any kind; ``fields`` are those of :class:`Operation`."""
        start_ns = self.origin_ns + round(start_ms * MS)
        operation = Operation(
            trace_id=self.trace_id,
            span_id=f"{self.number + 1:08x}{len(self.operations) + 1:08x}",
            parent_id=parent,
            kind=kind,
            name=name,
            span_name=name,
            host=self.host,
            start_ns=start_ns,
            end_ns=start_ns + round(duration_ms * MS),
        )
        self.operations.append(replace(operation, **fields))
        return operation.span_id

    def phase(self, name: str, start_ms: float, duration_ms: float, **fields: Any) -> str:
        """Add a phase."""
        return self.add(OperationKind.PHASE, name, start_ms, duration_ms, **fields)

    def agent(self, name: str, start_ms: float, duration_ms: float, **fields: Any) -> str:
        """Add a call of an agent."""
        return self.add(OperationKind.AGENT, name, start_ms, duration_ms, **fields)

    def tool(self, name: str, start_ms: float, duration_ms: float, **fields: Any) -> str:
        """Add a call of a tool."""
        return self.add(OperationKind.TOOL, name, start_ms, duration_ms, **fields)

    def llm(
        self,
        start_ms: float,
        duration_ms: float,
        *,
        tokens: tuple[int, int] | tuple[int, int, int] = (100, 40),
        **fields: Any,
    ) -> str:
        """Add a call of a model; ``tokens``: input, output and those of the input that the cache had."""
        usage = TokenUsage(input=tokens[0], output=tokens[1], cache_read=tokens[2] if len(tokens) == 3 else 0)
        given: dict[str, Any] = {"name": "model-1", "model": "model-1", "tokens": usage} | fields
        return self.add(OperationKind.LLM, given.pop("name"), start_ms, duration_ms, **given)

    def wait(self, kind: str, start_ms: float, duration_ms: float, **fields: Any) -> str:
        """Add a wait; ``kind``: queue, concurrency, rate_limit, lock, retry_backoff or human."""
        return self.add(OperationKind.WAIT, kind, start_ms, duration_ms, wait_kind=kind, **fields)

    def add_other(self, name: str, start_ms: float, duration_ms: float, **fields: Any) -> str:
        """Add a span that is not about agents."""
        return self.add(OperationKind.OTHER, name, start_ms, duration_ms, **fields)

    def resize(self, span_id: str, duration_ms: float, **fields: Any) -> None:
        """Change the length of an operation, and other fields, once what is inside it is known."""
        at = next(at for at, each in enumerate(self.operations) if each.span_id == span_id)
        operation = self.operations[at]
        self.operations[at] = replace(operation, end_ns=operation.start_ns + round(duration_ms * MS), **fields)

    def build(self, duration_ms: float | None = None, **fields: Any) -> Execution:
        """Build the execution; it lasts until its last operation ends unless told otherwise.

        Operations get the agent and the phase around them, as assembly does it; ``fields`` are those of the root.
        """
        end_ns = max((each.end_ns for each in self.operations), default=self.origin_ns)
        if duration_ms is not None:
            end_ns = self.origin_ns + round(duration_ms * MS)
        root = Operation(
            trace_id=self.trace_id,
            span_id=ROOT,
            kind=OperationKind.WORKFLOW,
            name=self.workflow,
            host=self.host,
            start_ns=self.origin_ns,
            end_ns=end_ns,
            **fields,
        )
        placed = {ROOT: root}
        for each in self.operations:
            parent = placed[each.parent_id or ROOT]
            phase = parent.name if parent.kind is OperationKind.PHASE else parent.phase
            agent = parent.name if parent.kind is OperationKind.AGENT else parent.agent
            placed[each.span_id] = replace(each, phase=each.phase or phase, agent=each.agent or agent)
        operations = sorted(placed.values(), key=lambda each: (each.start_ns, -each.end_ns, each.span_id))
        return Execution(trace_id=self.trace_id, workflow=self.workflow, root_id=ROOT, operations=tuple(operations))


def population(*executions: Execution) -> Population:
    """Put executions of one workflow together, oldest first."""
    return Population(executions[0].workflow, executions)
