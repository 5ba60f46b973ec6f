"""What a case is: a workflow, what is wrong with it, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final, TypeAlias

from benchmarks.accuracy.lab import Lab
from benchmarks.accuracy.world import World
from otel_wfperf.model import Severity

Workflow: TypeAlias = Callable[[World], Awaitable[None]]


class Kind(StrEnum):
    """Why a case is here.

    ``POSITIVE``: the fault is there and has to be found. ``NEAR_MISS``: just under a threshold. ``LOOK_ALIKE``: looks
    like the fault, and is none. ``HEALTHY``: nothing is wrong.
    """

    POSITIVE = "positive"
    NEAR_MISS = "near miss"
    LOOK_ALIKE = "look-alike"
    HEALTHY = "healthy"


# Kinds of evidence that not every dialect can tell.
PHASES: Final = "phases"
WAITS: Final = "waits"
DECLARED: Final = "declared dependencies"
RESOURCES: Final = "resources"
STEPS: Final = "scheduling steps"
CONTENT: Final = "content"
STREAMS: Final = "streams"
TEMPERATURE: Final = "temperature"
TURNS: Final = "written turns"
CACHE: Final = "cached tokens"
CONVERSATIONS: Final = "conversations"
HANDOFFS: Final = "hand-offs"
CPU: Final = "CPU time"
ATTEMPTS: Final = "attempts"
EVERYTHING: Final = frozenset(
    {
        ATTEMPTS,
        CACHE,
        CONTENT,
        CONVERSATIONS,
        CPU,
        DECLARED,
        HANDOFFS,
        PHASES,
        RESOURCES,
        STEPS,
        STREAMS,
        TEMPERATURE,
        TURNS,
        WAITS,
    }
)


def minutes_apart(random: Random, runs: int) -> Sequence[float]:
    """Start a run a minute after the other, on average (seconds)."""
    at_s, found = 0.0, []
    for _ in range(runs):
        found.append(at_s)
        at_s += random.uniform(40, 80)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One workflow with one thing to be said about it, or nothing.

    Attributes:
        name: Unique; says what happens.
        detector: Public name of the detector that is tried; None for healthy workflows.
        kind: See :class:`Kind`.
        run: The workflow.
        fixed: The same workflow with the fault repaired; None where no saving is to be checked.
        subjects: Kinds and names of which the finding has to give one.
        strength: How far past the rule's threshold, in words.
        runs: Executions in a population (count); the seeds take turns with them.
        starts: When they start (seconds).
        needs: Kinds of evidence without which nobody could find it.
        also: Detectors that may say something about it as well, because what they say is true.
        tolerate: The most severe finding of the detector that counts as none, in near misses and look-alikes.
        prepare: Sets up what the runs share, such as a machine that is short of CPU at times.
    """

    name: str
    detector: str | None
    kind: Kind
    run: Workflow
    fixed: Workflow | None = None
    subjects: tuple[tuple[str, str], ...] = ()
    strength: str = ""
    runs: tuple[int, ...] = (1, 5, 12, 30)
    starts: Callable[[Random, int], Sequence[float]] = minutes_apart
    needs: frozenset[str] = field(default_factory=frozenset)
    also: frozenset[str] = field(default_factory=frozenset)
    tolerate: Severity = Severity.INFO
    prepare: Callable[[Lab], None] | None = None

    def __post_init__(self) -> None:
        """Refuse a case that could not be judged."""
        if self.kind is Kind.POSITIVE and not (self.detector and self.subjects):
            raise ValueError(f"scenario {self.name!r}: a positive needs its detector and the subjects it may name")
        if not self.needs <= EVERYTHING:
            raise ValueError(f"scenario {self.name!r}: unknown evidence {sorted(self.needs - EVERYTHING)}")
