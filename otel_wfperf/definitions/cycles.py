"""Places that wait for one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from otel_wfperf.definitions.places import Place


def cycles(awaited: Mapping[Place, Sequence[Place]]) -> list[tuple[Place, ...]]:
    """Return one cycle for each group of places that wait for one another, each place once.

    A cycle is in the order of waiting: each place waits for the next, the last for the first.
    """
    found: list[tuple[Place, ...]] = []
    settled: set[Place] = set()
    for start in sorted(awaited, key=_position):
        if start in settled:
            continue
        way = _way_back(start, awaited)
        if way:
            found.append(way)
            settled.update(place for place in awaited if _is_on_one_cycle(start, place, awaited))
        settled.add(start)
    return found


def _way_back(start: Place, awaited: Mapping[Place, Sequence[Place]]) -> tuple[Place, ...]:
    """Find a shortest way from a place to itself; empty when there is none."""
    before: dict[Place, Place] = {}
    queue = [start]
    for place in queue:
        for target in awaited.get(place, ()):
            if target == start:
                way = [place]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return tuple(reversed(way))
            if target not in before:
                before[target] = place
                queue.append(target)
    return ()


def _is_on_one_cycle(one: Place, other: Place, awaited: Mapping[Place, Sequence[Place]]) -> bool:
    return _leads_to(one, other, awaited) and _leads_to(other, one, awaited)


def _leads_to(start: Place, goal: Place, awaited: Mapping[Place, Sequence[Place]]) -> bool:
    seen, stack = {start}, [start]
    while stack:
        for target in awaited.get(stack.pop(), ()):
            if target == goal:
                return True
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return False


def _position(place: Place) -> tuple[int, int]:
    return place.phase, -1 if place.branch is None else place.branch
