"""What keeps branches from working at once, as far as it is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from otel_wfperf.analysis.fragments import merged, produced, shares_content
from otel_wfperf.analysis.spells import total_ns
from otel_wfperf.detectors.fan_out import Branch, FanOut
from otel_wfperf.model import Severity
from otel_wfperf.model.finding import EvidenceValue

_RATE_LIMIT: Final = "rate_limit"
_CONNECTION: Final = "connection"
# Limits that somebody chose, where their size is on record.
_CHOSEN: Final = frozenset({"concurrency", "queue"})
# Chosen: less may be what one branch waited for among others.
_MIN_BLOCKED_RATIO: Final = 0.5
_MIN_WAIT_RATIO: Final = 0.3
# Chosen: work of which half is computing gains nothing from a thread.
_COMPUTES_RATIO: Final = 0.5

_ADVICE: Final = {
    "lock": "Hold the lock that {group} wait for only while it is needed, or give each branch its own resource.",
    "concurrency": "Raise the limit of {now} that {group} wait for to {then}, if what is behind it can take more.",
    "queue": "Give the queue that {group} wait in more workers than {now}: {then} would do.",
    _RATE_LIMIT: "Ask for a higher rate for {group}, or batch their calls; the limit itself is deliberate.",
    _CONNECTION: "Let the client of {group} open {then} connections at once: raise the size of its pool.",
}
_SAID: Final = {
    "lock": "a lock",
    "concurrency": "a limit of concurrency",
    "queue": "a queue",
    _RATE_LIMIT: "a rate limit",
    _CONNECTION: "a free connection",
}
_UNKNOWN: Final = {
    True: (
        "Find what {group} wait for and remove it: a lock, a single client or session, a limit of one, or a call that "
        "blocks the event loop."
    ),
    False: (
        "Raise what lets only {now} of {group} work at once (a semaphore, a pool, a number of workers) to {then}, if "
        "what is behind it can take more."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """What the branches of a group waited for.

    Attributes:
        clause: How the summary goes on; "" when nothing is known.
        advice: What to do, with fields ``group``, ``now`` and ``then``.
        is_deliberate: Whether a limit that somebody chose is the reason.
        limit: Severity at most.
    """

    clause: str
    advice: str
    evidence: Mapping[str, EvidenceValue] = field(default_factory=dict)
    is_deliberate: bool = False
    limit: Severity = Severity.CRITICAL


def hindrance(cases: Sequence[FanOut], *, capacity: int) -> Hindrance:
    """Say what kept the branches of groups of one kind waiting: a blocked event loop, recorded waits, or a result."""
    blocked = _blocked(cases) if capacity == 1 else None
    recorded = blocked or _recorded(cases, capacity)
    if recorded is not None:
        return recorded
    if capacity == 1 and all(needs_result(case) for case in cases):
        return Hindrance(
            clause=", as each was given what another one had produced",
            advice="Give {group} what they need beforehand, or declare that they follow each other.",
            evidence={"cause": "result of another branch"},
            limit=Severity.MEDIUM,
        )
    return Hindrance(clause="", advice=_UNKNOWN[capacity == 1], evidence={"cause": "unknown"})


def needs_result(fan_out: FanOut) -> bool:
    """Tell whether a branch was given what the one that worked before it had produced."""
    return any(_passes_on(earlier, later) for earlier, later in pairwise(fan_out.branches))


def _passes_on(earlier: Branch, later: Branch) -> bool:
    if earlier.end_ns > later.entry_ns and not earlier.step.output_fragments:
        return False
    given = merged(leaf.input_fragments for leaf in later.leaves) or later.step.input_fragments
    known = earlier.step.input_fragments | merged(leaf.input_fragments for leaf in earlier.leaves)
    output = earlier.step.output_fragments or merged(leaf.output_fragments for leaf in earlier.leaves)
    result = produced(output, known) - known
    return bool(result) and bool(given) and shares_content(result, given) is True


def _blocked(cases: Sequence[FanOut]) -> Hindrance | None:
    """Name the branches that held the event loop, most first."""
    blocked_ns: dict[str, int] = {}
    computed_ns: dict[str, int] = {}
    for branch in (branch for case in cases for branch in case.branches if branch.blocked_ns):
        blocked_ns[branch.name] = blocked_ns.get(branch.name, 0) + branch.blocked_ns
        computed_ns[branch.name] = computed_ns.get(branch.name, 0) + branch.blocked_cpu_ns
    total = sum(blocked_ns.values())
    lost_ns = sum(case.covered_ns - case.longest_ns for case in cases)
    if not total or total < _MIN_BLOCKED_RATIO * lost_ns:
        return None
    ranked = sorted(blocked_ns, key=lambda name: (-blocked_ns[name], name))
    names = tuple(name for name in ranked if blocked_ns[name] >= 0.5 * blocked_ns[ranked[0]])
    computes = sum(computed_ns[name] for name in names) >= _COMPUTES_RATIO * sum(blocked_ns[name] for name in names)
    where = "a process pool (it computes)" if computes else "a thread (asyncio.to_thread)"
    said = ", ".join(repr(name) for name in names[:3]).replace("{", "{{").replace("}", "}}")
    return Hindrance(
        clause=f"; {said} {'hold' if len(names) > 1 else 'holds'} the event loop",
        advice=f"Move the blocking call of {said} to {where}, or use an asynchronous client.",
        evidence={
            "cause": "blocked event loop",
            "blocked_by": names,
            "blocked_s": round(sum(blocked_ns[name] for name in names) / len(cases) / 1e9, 4),
            "blocked_computing_s": round(sum(computed_ns[name] for name in names) / len(cases) / 1e9, 4),
        },
    )


def _recorded(cases: Sequence[FanOut], capacity: int) -> Hindrance | None:
    """Name the kind of wait that was recorded, if it makes up for a good part of the waiting."""
    time_ns: dict[str, int] = {}
    for case in cases:
        for wait in case.waits:
            kind = wait.wait_kind or ""
            time_ns[kind] = time_ns.get(kind, 0) + wait.duration_ns
        pool_ns = sum(total_ns(branch.pool_waits) for branch in case.branches)
        time_ns[_CONNECTION] = time_ns.get(_CONNECTION, 0) + pool_ns
    lost_ns = sum(total_ns(spells) for case in cases for spells in case.waiting(capacity))
    kind = max(time_ns, key=lambda each: (time_ns[each], each), default="")
    if kind not in _ADVICE or time_ns[kind] < _MIN_WAIT_RATIO * lost_ns:
        return None
    waits = [wait for case in cases for wait in case.waits if wait.wait_kind == kind]
    limits = [wait.concurrency_limit for wait in waits if wait.concurrency_limit is not None]
    evidence: dict[str, EvidenceValue] = {
        "cause": kind,
        "wait_kind": kind,
        "waits": len(waits),
        "wait_s": round(time_ns[kind] / len(cases) / 1e9, 4),
        "wait_for": tuple(sorted({wait.name for wait in waits})),
    }
    if limits:
        evidence["concurrency_limit"] = min(limits)
    return Hindrance(
        clause=f"; they wait for {_SAID[kind]}",
        advice=_ADVICE[kind],
        evidence=evidence,
        is_deliberate=kind == _RATE_LIMIT or (kind in _CHOSEN and bool(limits)),
    )
