"""Adjuster: one logical operation that was written by several instrumentations."""

from itertools import pairwise
from typing import ClassVar, Final

from otel_wfperf.assembly.adjusters.repetition import MODEL_CALLS, NAMED, RUNS, covers, filled, merge, same_model, twins
from otel_wfperf.assembly.trace import Node, Trace, counted
from otel_wfperf.model import OperationKind, SpanKind, TokenUsage

# Either end of a request to another process.
_REMOTE: Final = (SpanKind.CLIENT, SpanKind.SERVER)


class Wrappers:
    """Make one operation of a span and the only one inside that says the same again.

    * A model call in a model call of the same model (framework and provider SDK), and the HTTP request that is all
      of a model call.
    * A run in a run of the same name, but for an agent in its workflow: OpenLLMetry writes ``invoke_agent team`` round
      ``team.workflow``. Beside other spans only where several instrumentations speak, and then one that each wrote
      once.
    * A tool, agent, phase or retrieval in one of the same kind and name that covers at least 95 % of it, or that
      another instrumentation wrote; the request to run a tool elsewhere (Model Context Protocol) is that tool, however
      long it takes.
    * What two instrumentations wrote beside each other, see ``twins``.

    The outer span's times stay; model, tokens and content come from whichever has them, so tokens count once.
    Model calls in a model call that are its attempts stay as its parts, and are counted in its ``attempt``; a span
    round several calls is none itself.

    Source: conventions, rule R3; 95 % from there. Model calls and runs need no overlap, as neither calls itself:
    the first call of a process may spend most of the outer span on imports and connections.
    """

    name: ClassVar[str] = "wrappers"

    def adjust(self, trace: Trace) -> None:
        """Merge, outermost first, until nothing more can be merged."""
        merged: list[Node] = []
        is_mixed = len({node.operation.dialect for node in trace.nodes}) > 1
        for node in trace.top_down():
            while node.children and (inner := _inner(node, is_mixed=is_mixed)) is not None:
                merge(node, inner)
                merged.append(inner)
            if node.kind in MODEL_CALLS and len(node.children) > 1:
                _settle_parts(node)
            if is_mixed and len(node.children) > 1:
                for one, other in twins(node.children):
                    merge(one, other)
                    merged.append(other)
        if merged:
            gone = set(merged)
            trace.nodes = [node for node in trace.nodes if node not in gone]
            trace.note(self.name, merged, f"merged {counted(len(merged), 'span')} into those repeated")


def _inner(outer: Node, *, is_mixed: bool) -> Node | None:
    """Return the node below that repeats its parent; None when there is none.

    Between a model call or tool and its repetition there may be spans that are not about agents.
    """
    is_call = outer.kind in MODEL_CALLS or outer.kind is OperationKind.TOOL
    if len(outer.children) != 1 and not is_call and not (is_mixed and outer.kind in RUNS):
        return None
    if outer.operation.synthetic:
        return None
    below = [_through(child) for child in outer.children] if is_call else outer.children
    candidates = [node for node in below if _repeats(outer, node)]
    is_clear = len(candidates) == 1 or (candidates and outer.kind in RUNS)
    return candidates[0] if is_clear else None


def _through(node: Node) -> Node:
    """Return the only thing inside spans that are not about agents, the span itself when there is not one."""
    inner = node
    while inner.kind is OperationKind.OTHER and len(inner.children) == 1:
        [inner] = inner.children
    return node if inner.kind is OperationKind.OTHER else inner


def _repeats(outer: Node, inner: Node) -> bool:
    if outer.kind in MODEL_CALLS:
        return _repeats_call(outer, inner)
    same_name = outer.operation.name == inner.operation.name
    if not same_name or outer.kind not in NAMED:
        return False
    if outer.kind is OperationKind.WORKFLOW and inner.kind is OperationKind.AGENT:
        # The workflow of one agent, such as Google ADK's, is named like it; what agents do must not be lost.
        return False
    if outer.kind in RUNS and inner.kind in RUNS and OperationKind.WORKFLOW in (outer.kind, inner.kind):
        return _is_only_run(outer, inner)
    return outer.kind is inner.kind and (
        _is_request_for_tool(inner)
        or (_is_all(outer, inner) and (covers(inner, outer) or _speak_differently(outer, inner)))
    )


def _repeats_call(outer: Node, inner: Node) -> bool:
    if inner.kind is outer.kind:
        return same_model(outer.operation.model, inner.operation.model)
    is_request = inner.kind is OperationKind.OTHER and inner.operation.span_kind is SpanKind.CLIENT
    return is_request and _is_all(outer, inner) and covers(inner, outer)


def _is_request_for_tool(inner: Node) -> bool:
    return inner.kind is OperationKind.TOOL and inner.operation.span_kind in _REMOTE


def _speak_differently(outer: Node, inner: Node) -> bool:
    """Tell whether two instrumentations wrote them: none calls another's operations its own, however long they take."""
    ours, theirs = outer.operation.dialect, inner.operation.dialect
    return bool(ours and theirs) and ours != theirs


def _is_only_run(outer: Node, inner: Node) -> bool:
    """Tell whether one instrumentation wrote one run of a name within another; several are calls of it."""
    ours = inner.operation
    runs = [node.operation for node in outer.children if node.kind in RUNS]
    return sum(each.name == ours.name and each.dialect == ours.dialect for each in runs) == 1


def _is_all(outer: Node, inner: Node) -> bool:
    return len(outer.children) == 1 and inner.parent is outer


def _settle_parts(outer: Node) -> None:
    """Count several calls of one model within a call of it once: as attempts of it, or as calls that it bundles."""
    calls = [node for node in outer.children if node.kind is outer.kind]
    model = outer.operation.model
    if len(calls) < 2 or not all(same_model(model, call.operation.model) for call in calls):
        return
    calls.sort(key=lambda call: (call.start_ns, call.end_ns, call.span_id))
    failed = all(call.operation.error is not None and call.end_ns <= after.start_ns for call, after in pairwise(calls))
    if not failed:
        outer.kind = OperationKind.OTHER
        return
    outer.attempt = outer.attempt or len(calls)
    used = [call.tokens for call in calls if call.tokens is not None]
    if outer.tokens is None and used:
        outer.tokens = sum(used, start=TokenUsage())
    outer.operation = filled(outer.operation, calls[-1].operation)
    for call in calls:
        call.kind = OperationKind.OTHER
