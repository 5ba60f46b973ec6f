"""The definition that a graph of nodes amounts to: one phase for each superstep.

LangGraph runs all nodes whose predecessors have run as one superstep and waits for all of them. A node is therefore a
branch of the superstep that its longest way from the start leads to. An edge that closes a loop is left out: the plan
is about one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from otel_wfperf.definitions.definition import Branch, Definition, Phase, Reference, ReferenceKind, Step, Waits


class GraphEdge(NamedTuple):
    """One edge; ``conditional``: the program decides at run time whether it is taken."""

    source: str
    target: str
    conditional: bool = False


def from_graph(
    nodes: Iterable[str], edges: Iterable[GraphEdge], *, name: str, source: str, ends: Iterable[str] = ()
) -> Definition:
    """Arrange the nodes of a graph in supersteps.

    Args:
        nodes: Names, the start and the end included.
        edges: All edges.
        name: Name of the workflow.
        source: Where it is from, for messages.
        ends: Nodes that do nothing: the start and the end.
    """
    idle = frozenset(ends)
    working = [node for node in nodes if node not in idle]
    inner = sorted({edge for edge in edges if edge.source not in idle and edge.target not in idle}, key=_certain_first)
    kept, loops = _without_loops(working, inner)
    levels = _levels(working, kept)
    awaited: dict[str, list[str]] = {}
    for edge in kept:
        awaited.setdefault(edge.target, []).append(edge.source)
    steps = [[node for node in working if levels[node] == level] for level in sorted(set(levels.values()))]
    phases = tuple(_superstep(number, members, awaited) for number, members in enumerate(steps, start=1))
    return Definition(
        name=name, source=source, phases=phases, from_graph=True, assumptions=tuple(_assumptions(loops, kept))
    )


def _superstep(number: int, members: Sequence[str], awaited: Mapping[str, Sequence[str]]) -> Phase:
    branches = tuple(_node(name, awaited.get(name, ())) for name in members)
    return Phase(label=str(number), title="", line=0, branches=branches)


def _node(name: str, awaited: Iterable[str]) -> Branch:
    after = tuple(Reference(kind=ReferenceKind.BRANCH, label=source, line=0) for source in awaited)
    step = Step(text=name, line=0, agent=name)
    return Branch(label=name, title=name, line=0, steps=(step,), waits=Waits(after=after))


def _certain_first(edge: GraphEdge) -> bool:
    return edge.conditional


def _without_loops(nodes: Sequence[str], edges: Sequence[GraphEdge]) -> tuple[list[GraphEdge], list[GraphEdge]]:
    """Split the edges into those kept and those that close a loop; a loop of certain edges only is kept.

    Certain edges come first, then conditional ones whose target is further from the start than their source.
    """
    distance = _distances(nodes, edges)
    ordered = sorted(edges, key=lambda edge: (edge.conditional, distance[edge.target] <= distance[edge.source]))
    kept: list[GraphEdge] = []
    loops: list[GraphEdge] = []
    following: dict[str, list[str]] = {}
    for edge in ordered:
        if edge.conditional and _leads_to(edge.target, edge.source, following):
            loops.append(edge)
        else:
            kept.append(edge)
            following.setdefault(edge.source, []).append(edge.target)
    return kept, loops


def _distances(nodes: Sequence[str], edges: Iterable[GraphEdge]) -> dict[str, int]:
    """Count the edges from the nodes that start; a node that nothing leads to from there is last."""
    following: dict[str, list[str]] = {}
    targets = set()
    for edge in edges:
        following.setdefault(edge.source, []).append(edge.target)
        targets.add(edge.target)
    distance = {node: 0 for node in nodes if node not in targets} or dict.fromkeys(nodes[:1], 0)
    queue = list(distance)
    for node in queue:
        for target in following.get(node, ()):
            if target not in distance:
                distance[target] = distance[node] + 1
                queue.append(target)
    return {node: distance.get(node, len(nodes)) for node in nodes}


def _leads_to(start: str, goal: str, following: Mapping[str, Sequence[str]]) -> bool:
    seen, stack = {start}, [start]
    while stack:
        node = stack.pop()
        if node == goal:
            return True
        for target in following.get(node, ()):
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return False


def _levels(nodes: Sequence[str], edges: Iterable[GraphEdge]) -> dict[str, int]:
    """Return the longest way to each node; nodes on a loop of certain edges follow the others."""
    missing = dict.fromkeys(nodes, 0)
    following: dict[str, list[str]] = {}
    for edge in edges:
        missing[edge.target] += 1
        following.setdefault(edge.source, []).append(edge.target)
    levels = dict.fromkeys(nodes, 0)
    queue = [node for node in nodes if not missing[node]]
    for node in queue:
        for target in following.get(node, ()):
            levels[target] = max(levels[target], levels[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                queue.append(target)
    last = max((levels[node] for node in queue), default=-1) + 1
    return levels | {node: last for node in nodes if missing[node]}


def _assumptions(loops: Sequence[GraphEdge], kept: Iterable[GraphEdge]) -> Iterable[str]:
    if loops:
        names = ", ".join(f"{edge.source} to {edge.target}" for edge in loops)
        yield f"one pass of each loop is counted (back edge: {names})"
    if any(edge.conditional for edge in kept):
        yield "every target of a conditional edge is counted as if it ran"
