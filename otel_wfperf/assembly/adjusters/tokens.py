"""Adjuster: every token on exactly one operation."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import OperationKind

_MODEL_CALLS = (OperationKind.LLM, OperationKind.EMBEDDING)
_HOLDERS = (*_MODEL_CALLS, OperationKind.AGENT)


class Tokens:
    """Leave tokens where they were used: on the innermost model calls.

    An agent's total stays only when no model call below it has tokens, a workflow's only when nothing has.
    Emitters write the same usage on the call, on the agent and on the run.

    Source: conventions, rule R2.
    """

    name: ClassVar[str] = "tokens"

    def adjust(self, trace: Trace) -> None:
        """Drop what is counted below already."""
        counted: set[Node] = set()  # nodes with tokens of model calls below them
        totalled: set[Node] = set()  # nodes with any tokens below them
        for node in trace.bottom_up():
            if not self._may_keep(node, counted, totalled):
                node.tokens = None
            parent = node.parent
            if parent is not None:
                if node in counted or (node.tokens is not None and node.kind in _MODEL_CALLS):
                    counted.add(parent)
                if node in totalled or node.tokens is not None:
                    totalled.add(parent)

    def _may_keep(self, node: Node, counted: set[Node], totalled: set[Node]) -> bool:
        if node.kind is OperationKind.WORKFLOW:
            return node not in totalled
        return node.kind in _HOLDERS and node not in counted
