"""Adjuster: one logical operation that was written by several instrumentations."""

from dataclasses import replace
from typing import ClassVar, Final

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import Operation, OperationKind, SpanKind

MIN_OVERLAP_RATIO: Final = 0.95
_MODEL_CALLS: Final = (OperationKind.LLM, OperationKind.EMBEDDING)
_RUNS: Final = (OperationKind.WORKFLOW, OperationKind.AGENT)
_NAMED: Final = (*_RUNS, OperationKind.PHASE, OperationKind.TOOL, OperationKind.RETRIEVAL, OperationKind.MEMORY)


class Wrappers:
    """Make one operation of a span and the only child that says the same again.

    * A model call directly in a model call of the same model (framework and provider SDK), and the HTTP request
      that is all of a model call.
    * A run in a run of the same name: OpenLLMetry writes ``invoke_agent team`` round ``team.workflow``.
    * A tool, agent, phase or retrieval in one of the same kind and name that covers at least 95 % of it.

    The outer span's times stay; model, tokens and content come from whichever has them, so tokens count once.

    Source: conventions, rule R3; 95 % from there. Model calls and runs need no overlap, as neither calls itself:
    the first call of a process may spend most of the outer span on imports and connections.
    """

    name: ClassVar[str] = "wrappers"

    def adjust(self, trace: Trace) -> None:
        """Merge, outermost first, until nothing more can be merged."""
        merged: list[Node] = []
        for node in trace.top_down():
            while (inner := _inner(node)) is not None:
                _merge(node, inner)
                merged.append(inner)
        if merged:
            gone = set(merged)
            trace.nodes = [node for node in trace.nodes if node not in gone]
            trace.note(self.name, merged, f"{len(merged)} spans repeated their parents and were merged into them")


def _inner(outer: Node) -> Node | None:
    """Return the child that repeats its parent; None when there is none."""
    if len(outer.children) != 1 and outer.kind not in _MODEL_CALLS:
        return None
    candidates = [child for child in outer.children if _repeats(outer, child)]
    return candidates[0] if len(candidates) == 1 else None


def _repeats(outer: Node, inner: Node) -> bool:
    if outer.operation.synthetic:
        return False
    if outer.kind in _MODEL_CALLS:
        if inner.kind is outer.kind:
            return _same_model(outer.operation.model, inner.operation.model)
        is_request = inner.kind is OperationKind.OTHER and inner.operation.span_kind is SpanKind.CLIENT
        return is_request and len(outer.children) == 1 and _covers(inner, outer)
    same_name = outer.operation.name == inner.operation.name
    if not same_name or outer.kind not in _NAMED:
        return False
    if outer.kind in _RUNS and inner.kind in _RUNS and OperationKind.WORKFLOW in (outer.kind, inner.kind):
        return True
    return outer.kind is inner.kind and _covers(inner, outer)


def _covers(inner: Node, outer: Node) -> bool:
    overlap_ns = min(inner.end_ns, outer.end_ns) - max(inner.start_ns, outer.start_ns)
    return overlap_ns >= MIN_OVERLAP_RATIO * outer.duration_ns


def _same_model(one: str | None, other: str | None) -> bool:
    """Compare names of models; the answering model adds a date to the one that was asked for."""
    if one is None or other is None:
        return True
    one, other = one.rpartition("/")[2], other.rpartition("/")[2]
    return one.startswith(other) or other.startswith(one)


def _merge(outer: Node, inner: Node) -> None:
    """Put the inner span's knowledge and children into the outer."""
    outer.children.remove(inner)
    for child in inner.children:
        child.parent = None
        outer.adopt(child)
    inner.children = []
    if inner.kind is OperationKind.OTHER:
        return
    if OperationKind.WORKFLOW in (outer.kind, inner.kind):
        outer.kind, outer.agent = OperationKind.WORKFLOW, None
    outer.agent = outer.agent or (None if outer.kind is OperationKind.WORKFLOW else inner.agent)
    outer.tokens = outer.tokens or inner.tokens
    outer.attempt = outer.attempt or inner.attempt
    outer.operation = _filled(outer.operation, inner.operation)


def _filled(outer: Operation, inner: Operation) -> Operation:
    """Take from the inner operation what the outer does not know."""
    has_input, has_output = outer.input_hash is not None, outer.output_hash is not None
    given, result = (outer if has_input else inner), (outer if has_output else inner)
    knows_model = outer.model is not None or inner.kind not in _MODEL_CALLS
    return replace(
        outer,
        name=outer.name if knows_model else inner.name,
        workflow=outer.workflow or inner.workflow,
        conversation=outer.conversation or inner.conversation,
        model=outer.model or inner.model,
        step=inner.step if outer.step is None else outer.step,
        task=outer.task or inner.task,
        temperature=inner.temperature if outer.temperature is None else outer.temperature,
        input_hash=given.input_hash,
        input_bytes=given.input_bytes,
        input_fragments=given.input_fragments,
        output_hash=result.output_hash,
        output_bytes=result.output_bytes,
        output_fragments=result.output_fragments,
        prefix_hash=outer.prefix_hash or inner.prefix_hash,
        context=outer.context or inner.context,
        resources=outer.resources or inner.resources,
        time_to_first_token_s=outer.time_to_first_token_s or inner.time_to_first_token_s,
    )
