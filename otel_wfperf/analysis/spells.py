"""Stretches of time: joining them, taking some out of others, and counting how many there are at once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

#: Start and end (nanoseconds since the Unix epoch).
Spell: TypeAlias = tuple[int, int]


def joined(spells: Iterable[Spell], *, over_ns: int = 0) -> tuple[Spell, ...]:
    """Return the time that any of the spells covers, in order and without overlaps; short pauses are bridged."""
    found: list[Spell] = []
    for start_ns, end_ns in sorted(spells):
        if start_ns >= end_ns:
            continue
        if found and start_ns <= found[-1][1] + over_ns:
            found[-1] = (found[-1][0], max(end_ns, found[-1][1]))
        else:
            found.append((start_ns, end_ns))
    return tuple(found)


def difference(spells: Iterable[Spell], taken: Iterable[Spell]) -> tuple[Spell, ...]:
    """Return the time of some spells that no others cover, in order and without overlaps."""
    found: list[Spell] = []
    cuts = joined(taken)
    at = 0
    for start_ns, end_ns in joined(spells):
        reached_ns = start_ns
        while at < len(cuts) and cuts[at][1] <= start_ns:
            at += 1
        while at < len(cuts) and cuts[at][0] < end_ns:
            if cuts[at][0] > reached_ns:
                found.append((reached_ns, cuts[at][0]))
            reached_ns = cuts[at][1]
            if reached_ns > end_ns:  # it may reach into the next spell
                break
            at += 1
        if reached_ns < end_ns:
            found.append((reached_ns, end_ns))
    return tuple(found)


def intersection(spells: Iterable[Spell], others: Iterable[Spell]) -> tuple[Spell, ...]:
    """Return the time that both cover, in order and without overlaps."""
    all_spells = joined(spells)
    return difference(all_spells, difference(all_spells, others))


def total_ns(spells: Iterable[Spell]) -> int:
    """Return the length of spells that do not overlap (nanoseconds)."""
    return sum(end_ns - start_ns for start_ns, end_ns in spells)


def levels(busy: Iterable[Sequence[Spell]]) -> Iterator[tuple[int, int, int]]:
    """Yield (count, start, end): how many of several were busy when; the spells of each must not overlap."""
    edges = sorted(edge for spells in busy for start, end in spells for edge in ((start, 1), (end, -1)))
    count, since_ns = 0, 0
    for moment_ns, change in edges:
        if count and moment_ns > since_ns:
            yield count, since_ns, moment_ns
        count += change
        since_ns = moment_ns
