"""Adjuster: which of the unnamed runs are workflows."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import OperationKind, SpanKind

_MIN_PHASES = 2
# What the OpenAI Agents SDK 0.24 calls each run that the user gave no name.
_NAMELESS = "Agent workflow"
_RUNS = (OperationKind.AGENT, OperationKind.WORKFLOW)
_ORCHESTRATED = (OperationKind.AGENT, OperationKind.PHASE, OperationKind.WORKFLOW)


class Runs:
    """Settle what only the surroundings of a span tell.

    * A run that names no workflow (a chain of OpenInference) is one only when no agent, phase or workflow is above it;
      within an agent it is a link of it, within a workflow or phase it is a phase. Chains of one name round several
      agents, and the runs that the OpenAI Agents SDK gives a name of its own, say nothing beside the agents' names.
    * Where a workflow knows neither phases nor agents and calls no model itself, the user's own spans directly below
      it, of which at least one does, are its phases: the GenAI conventions have no word for them.
    * An agent span that names no agent, with agents or phases below it, is the run of them all: that is how
      openinference-instrumentation-openai-agents 2.6.0 writes its trace.

    Changes no span's times and is not noted: it completes the reading of the dialect.
    """

    name: ClassVar[str] = "runs"

    def adjust(self, trace: Trace) -> None:
        """Decide top-down, so that what is above is settled."""
        within: set[Node] = set()
        holds = _holders(trace)
        for node in trace.in_order():
            inside = node.parent is not None and (node.parent in within or node.parent.kind in _ORCHESTRATED)
            if inside:
                within.add(node)
            unnamed = node.kind is OperationKind.WORKFLOW and node.operation.workflow is None
            if unnamed and inside and not _is_told_twice(node):
                is_named = node.operation.name != _NAMELESS
                is_step = is_named and not _is_within_agent(node) and not _is_round_any_agent(node)
                node.kind = OperationKind.PHASE if is_step else OperationKind.OTHER
            if node.kind is OperationKind.AGENT and node.agent is None and not inside and node in holds:
                node.kind = OperationKind.WORKFLOW
        held = _holders(trace)
        for node in trace.in_order():
            if node.kind is OperationKind.WORKFLOW and node not in held:
                _find_phases(node)


def _is_told_twice(run: Node) -> bool:
    """Tell whether the run round a run is the same one, as another instrumentation wrote it."""
    above = run.parent
    if above is None or above.kind not in _RUNS:
        return False
    return above.operation.name == run.operation.name and above.operation.dialect != run.operation.dialect


def _is_within_agent(node: Node) -> bool:
    """Tell whether the nearest agent, phase or workflow above is an agent."""
    above = node.parent
    while above is not None and above.kind not in _ORCHESTRATED:
        above = above.parent
    return above is not None and above.kind is OperationKind.AGENT


def _is_round_any_agent(chain: Node) -> bool:
    """Tell whether a chain and its siblings of the same name hold one agent each, and not all the same one."""
    siblings = () if chain.parent is None else chain.parent.children
    alike = [node for node in siblings if node.operation.name == chain.operation.name]
    held = [[child.agent for child in node.children if child.kind is OperationKind.AGENT] for node in alike]
    return all(len(agents) == 1 for agents in held) and len({agents[0] for agents in held}) > 1


def _find_phases(workflow: Node) -> None:
    """Call the user's own spans phases, where they divide the model calls of a workflow."""
    own = [node for node in workflow.children if node.kind is OperationKind.OTHER and not node.operation.dialect]
    asks = any(node.kind is OperationKind.LLM for node in workflow.children)
    if asks or len(own) < _MIN_PHASES or not any(child.kind is OperationKind.LLM for n in own for child in n.children):
        return
    for node in own:
        if node.operation.span_kind in (SpanKind.INTERNAL, SpanKind.UNSPECIFIED):
            node.kind = OperationKind.PHASE


def _holders(trace: Trace) -> set[Node]:
    """Collect the nodes that have an agent or a phase below them."""
    holds: set[Node] = set()
    for node in trace.bottom_up():
        if node.parent is not None and (node in holds or node.kind in (OperationKind.AGENT, OperationKind.PHASE)):
            holds.add(node.parent)
    return holds
