"""When two spans say the same, and what is left of them when they are made one."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from otel_wfperf.assembly.trace import Node
from otel_wfperf.model import Operation, OperationKind
from otel_wfperf.model.construction import changed

MIN_OVERLAP_RATIO: Final = 0.95
# Chosen: two instrumentations of one call close their spans within microseconds of each other, but the thread may have
# to wait in between: Python gives it up every 5 ms. Equal tokens leave less to chance, so more time.
MAX_LAG_NS: Final = 5_000_000
MAX_LAG_OF_EQUALS_NS: Final = 25_000_000
MODEL_CALLS: Final = (OperationKind.LLM, OperationKind.EMBEDDING)
RUNS: Final = (OperationKind.WORKFLOW, OperationKind.AGENT)
NAMED: Final = (*RUNS, OperationKind.PHASE, OperationKind.TOOL, OperationKind.RETRIEVAL, OperationKind.MEMORY)

_OWN: Final = (
    "trace_id",
    "span_id",
    "parent_id",
    "kind",
    "name",
    "span_name",
    "span_kind",
    "dialect",
    "service",
    "host",
)
_TIMES: Final = ("start_ns", "end_ns", "ended", "skew_ns", "synthetic", "parent_is_remote", "setup", "links")
_INPUT: Final = ("input_hash", "input_bytes", "input_fragments")
_OUTPUT: Final = ("output_hash", "output_bytes", "output_fragments")
# OpenLLMetry calls a model so that does not tell its name.
_NAMELESS: Final = (None, "unknown")
# What an operation may know or not, each by itself.
_FACTS: Final = tuple(name for name in Operation.__slots__ if name not in _OWN + _TIMES + _INPUT + _OUTPUT)


def covers(inner: Node, outer: Node) -> bool:
    """Tell whether a span covers at least 95 % of another."""
    overlap_ns = min(inner.end_ns, outer.end_ns) - max(inner.start_ns, outer.start_ns)
    return overlap_ns >= MIN_OVERLAP_RATIO * outer.duration_ns


def same_model(one: str | None, other: str | None) -> bool:
    """Compare names of models; the answering model adds a date to the one that was asked for."""
    if one in _NAMELESS or other in _NAMELESS:
        return True
    one, other = one.rpartition("/")[2], other.rpartition("/")[2]
    return one.startswith(other) or other.startswith(one)


def twins(siblings: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
    """Yield pairs of siblings that two instrumentations wrote of one operation, the longer first.

    Instrumentations that do not see each other's spans put theirs beside each other. They speak different dialects,
    on one clock, of the same thing, at the same time: one is as good as within the other, unless both name the same
    scheduled task. Where several ran at once the nearest belong together.
    """
    by_start = sorted(siblings, key=lambda node: (node.start_ns, -node.end_ns, node.span_id))
    paired: set[Node] = set()
    for at, one in enumerate(by_start):
        if one in paired or not one.operation.dialect:
            continue
        others = [each for each in by_start[at + 1 :] if each not in paired and _are_twins(one, each)]
        if others:
            other = min(others, key=lambda each: (_distance_ns(one, each), each.span_id))
            paired.update((one, other))
            yield (one, other) if one.duration_ns >= other.duration_ns else (other, one)


def _are_twins(one: Node, other: Node) -> bool:
    ours, theirs = one.operation, other.operation
    if one.kind is not other.kind or ours.dialect == theirs.dialect or not theirs.dialect or ours.host != theirs.host:
        return False
    if not (one.own_times and other.own_times):
        return False
    if one.kind in MODEL_CALLS:
        return same_model(ours.model, theirs.model) and _count_the_same(one, other)
    if one.kind not in NAMED or ours.name != theirs.name:
        return False
    if ours.task is not None and theirs.task is not None:
        return ours.task == theirs.task and other.start_ns < one.end_ns
    shorter, longer = sorted((one, other), key=lambda node: node.duration_ns)
    return covers(longer, shorter)


def _count_the_same(one: Node, other: Node) -> bool:
    """Tell whether two model calls can be one: the later start ends within the other, and no tokens differ."""
    if one.tokens is not None and other.tokens is not None:
        return one.tokens == other.tokens and _is_within(other, one, MAX_LAG_OF_EQUALS_NS)
    return _is_within(other, one, MAX_LAG_NS)


def _is_within(later: Node, earlier: Node, lag_ns: int) -> bool:
    return later.start_ns < earlier.end_ns and later.end_ns <= earlier.end_ns + lag_ns


def _distance_ns(one: Node, other: Node) -> int:
    return abs(one.start_ns - other.start_ns) + abs(one.end_ns - other.end_ns)


def merge(outer: Node, inner: Node) -> None:
    """Put a span's knowledge and children into one that stays; what is below it stays where it was."""
    place = outer if inner.parent is None or inner.parent is outer or inner in _beside(outer) else inner.parent
    if inner.parent is not None:
        inner.parent.children.remove(inner)
    for child in inner.children:
        child.parent = None
        place.adopt(child)
    inner.children = []
    if inner.kind is OperationKind.OTHER:
        return
    if OperationKind.WORKFLOW in (outer.kind, inner.kind):
        outer.kind, outer.agent = OperationKind.WORKFLOW, None
    outer.agent = outer.agent or (None if outer.kind is OperationKind.WORKFLOW else inner.agent)
    outer.tokens = outer.tokens or inner.tokens
    outer.attempt = outer.attempt or inner.attempt
    outer.turn = outer.turn or (inner.turn if inner.kind is OperationKind.TOOL else None)
    outer.depends_on = outer.depends_on or inner.depends_on
    outer.operation = filled(outer.operation, inner.operation)


def _beside(node: Node) -> Sequence[Node]:
    return () if node.parent is None else node.parent.children


def filled(outer: Operation, inner: Operation) -> Operation:
    """Take from one operation what the other does not know."""
    known: dict[str, Any] = {name: getattr(inner, name) for name in _FACTS if _is_unknown(getattr(outer, name))}
    for group in (_INPUT, _OUTPUT):
        if getattr(outer, group[0]) is None:
            known |= {name: getattr(inner, name) for name in group}
    if outer.model in _NAMELESS:
        known["model"] = inner.model or outer.model
    is_better = outer.model in _NAMELESS and inner.kind in MODEL_CALLS and inner.name not in _NAMELESS
    return changed(outer, **known, name=inner.name if is_better else outer.name, links=(*outer.links, *inner.links))


def _is_unknown(value: object) -> bool:
    return value is None or value is False
