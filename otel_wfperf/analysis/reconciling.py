"""Changes that several findings propose to one run, made fit to be replayed together.

Each finding was replayed alone. Where two shorten the same call, doing both wins what the better one wins, not their
product; where one shortens a phase and another a call inside of it, the call gets the better of the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from otel_wfperf.analysis.what_if import factor_of
from otel_wfperf.model import Change, Execution, Move, Parallelise, Remove, Replace, Scale, Shorten


@dataclass(slots=True)
class _Lengths:
    """What one finding does to the lengths of operations: a factor for all below, and a time off its own end."""

    factor: dict[str, float] = field(default_factory=dict)
    off_ns: dict[str, int] = field(default_factory=dict)


def reconciled(execution: Execution, proposals: Sequence[Sequence[Change]]) -> tuple[Change, ...]:
    """Return the changes of all proposals, each effect once.

    Of moves of the same operation the first proposal's stays, so put the most important first.
    """
    if len(proposals) == 1:
        return tuple(proposals[0])
    lengths = [_lengths(execution, changes) for changes in proposals]
    factors = _least_factors(execution, [each.factor for each in lengths if each.factor])
    return (*_orders(proposals), *_scales(execution, factors), *_cuts(execution, lengths, factors))


def _lengths(execution: Execution, changes: Sequence[Change]) -> _Lengths:
    found = _Lengths()
    for change in changes:
        if isinstance(change, Shorten):
            for span_id in change.span_ids & execution.by_id.keys():
                found.off_ns[span_id] = found.off_ns.get(span_id, 0) + change.by_ns
        elif isinstance(change, Scale | Remove | Replace):
            for span_id in change.span_ids & execution.by_id.keys():
                factor = factor_of(change, execution.by_id[span_id])
                found.factor[span_id] = found.factor.get(span_id, 1.0) * factor
    return found


def _orders(proposals: Sequence[Sequence[Change]]) -> list[Change]:
    """Keep each operation in the group or at the moment that the first proposal gave it."""
    kept: list[Change] = []
    placed: set[str] = set()
    for changes in proposals:
        fresh: set[str] = set()
        for change in changes:
            if isinstance(change, Move) and change.span_id not in placed:
                kept.append(change)
                fresh.add(change.span_id)
            elif isinstance(change, Parallelise) and len(left := change.span_ids - placed) > 1:
                kept.append(Parallelise(left, change.capacity))
                fresh |= left
        placed |= fresh
    return kept


def _least_factors(execution: Execution, proposals: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the least of the factors that the proposals give each operation, by itself or through what is around it.

    Empty where there are none.
    """
    if not proposals:
        return {}
    root_id = execution.root_id
    whole = {root_id: tuple(factors.get(root_id, 1.0) for factors in proposals)}
    for operation in execution.descendants(root_id):
        above = whole[operation.parent_id or root_id]
        own = (factors.get(operation.span_id, 1.0) for factors in proposals)
        whole[operation.span_id] = tuple(outer * inner for outer, inner in zip(above, own, strict=True))
    return {span_id: min(factors) for span_id, factors in whole.items()}


def _scales(execution: Execution, factors: Mapping[str, float]) -> Iterator[Scale]:
    """Say the factors as steps from each operation to what is inside of it."""
    for span_id, factor in factors.items():
        parent_id = execution.by_id[span_id].parent_id if span_id != execution.root_id else None
        above = factors.get(parent_id or "", 1.0)
        if factor != above:
            yield Scale(frozenset({span_id}), factor / above if above else 0.0)


def _cuts(execution: Execution, lengths: Sequence[_Lengths], factors: Mapping[str, float]) -> Iterator[Shorten]:
    """Take the greatest of the times off each operation, less what its factor takes off already."""
    most: dict[str, int] = {}
    for each in lengths:
        for span_id, by_ns in each.off_ns.items():
            most[span_id] = max(most.get(span_id, by_ns), by_ns)
    for span_id, by_ns in most.items():
        left_ns = by_ns - max(0, round((1 - factors.get(span_id, 1.0)) * execution.by_id[span_id].duration_ns))
        # What gets longer does so because it starts earlier, which is among the orders.
        if left_ns > 0 or by_ns < 0:
            yield Shorten(frozenset({span_id}), by_ns if by_ns < 0 else left_ns)
