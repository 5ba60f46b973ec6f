"""What a run is called and how it went."""

import re
from collections.abc import Iterator
from typing import Final

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import ExecutionStatus, OperationKind

# Runs must share a name to be compared, so ids are taken out of names that were not meant to be one.
_ID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?<![\w-])(?=\w*\d)[0-9a-fA-F]{16,}")


def workflow_name(trace: Trace, root: Node) -> str:
    """Name the workflow of a trace.

    That is the outermost workflow; else the workflow that the spans say they belong to; else the outermost agent;
    else the root. Several outermost ones of different names belong to what the root is called.
    """
    named = {node.operation.name for node in _outermost(trace, OperationKind.WORKFLOW)}
    if not named:
        named = {node.operation.workflow for node in trace.nodes if node.operation.workflow}
    if not named:
        named = {node.operation.name for node in _outermost(trace, OperationKind.AGENT)}
    if len(named) == 1:
        return named.pop()
    return _ID.sub("{id}", root.operation.name) or root.operation.service or "trace"


def status(trace: Trace, root: Node) -> ExecutionStatus:
    """Tell how the run went: incomplete when its root is missing or never ended."""
    if trace.root_is_missing or not root.operation.ended:
        return ExecutionStatus.INCOMPLETE
    runs = [root, *_outermost(trace, OperationKind.WORKFLOW)]
    if root.operation.synthetic:
        runs += root.children
    failed = any(node.operation.error is not None for node in runs)
    return ExecutionStatus.ERROR if failed else ExecutionStatus.OK


def _outermost(trace: Trace, kind: OperationKind) -> Iterator[Node]:
    """Yield the nodes of a kind that are not within another one of it."""
    stack = [] if trace.root is None else [trace.root]
    while stack:
        node = stack.pop()
        if node.kind is kind:
            yield node
        else:
            stack.extend(node.children)
