"""Fan-outs as an orchestrator would run them, with as many places as it has; times are milliseconds."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from otel_wfperf.model import Execution, OperationKind
from tests.detectors.builders import Run


class Spans(Enum):
    """When the span of a branch starts: with the group, or when it has its place."""

    TOGETHER = "together"
    LATE = "late"


@dataclass(frozen=True)
class Work:
    """What one branch does: own time before each call, and the call itself."""

    name: str
    calls: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Simulation:
    """A fan-out between two phases.

    Attributes:
        places: How many branches may work at once.
        each_call: A place is taken for each call; otherwise until the branch ends.
        spans: When the span of a branch starts.
        waits: Kind of the waits that are recorded; None = none are.
        fields: Of the branches; ``wait_fields``: of the waits.
    """

    work: tuple[Work, ...]
    places: int
    each_call: bool = False
    spans: Spans = Spans.TOGETHER
    waits: str | None = None
    kind: OperationKind = OperationKind.PHASE
    fields: dict[str, Any] = field(default_factory=dict)
    wait_fields: dict[str, Any] = field(default_factory=dict)
    before_ms: float = 800.0
    after_ms: float = 1200.0

    def build(self, number: int = 0) -> Execution:
        """Run it."""
        run = Run(number)
        run.phase("plan", 0, self.before_ms)
        parent = run.phase("gather", self.before_ms + 3, 0)
        end_ms = max(self._branch(run, parent, *placed) for placed in zip(self.work, self.served(), strict=True))
        run.resize(parent, end_ms + 2 - self.before_ms - 3)
        run.phase("write", end_ms + 5, self.after_ms)
        return run.build()

    def served(self) -> list[list[float]]:
        """Return when each call of each branch starts, first come first served."""
        start_ms = self.before_ms + 4
        starts: list[list[float]] = [[] for _ in self.work]
        requests = [(start_ms + each.calls[0][0], at) for at, each in enumerate(self.work)]
        heapq.heapify(requests)
        busy: list[float] = []
        while requests:
            asked_ms, at = heapq.heappop(requests)
            free_ms = heapq.heappop(busy) if len(busy) >= self.places else asked_ms
            now_ms = max(asked_ms, free_ms)
            calls = self.work[at].calls
            if not self.each_call:
                for gap_ms, length_ms in calls:
                    now_ms += gap_ms if starts[at] else 0
                    starts[at].append(now_ms)
                    now_ms += length_ms
            else:
                starts[at].append(now_ms)
                now_ms += calls[len(starts[at]) - 1][1]
                if len(starts[at]) < len(calls):
                    heapq.heappush(requests, (now_ms + calls[len(starts[at])][0], at))
            heapq.heappush(busy, now_ms)
        return starts

    def _branch(self, run: Run, parent: str, work: Work, starts: Sequence[float]) -> float:
        began_ms = self.before_ms + 4 if self.spans is Spans.TOGETHER else starts[0]
        end_ms = starts[-1] + work.calls[-1][1]
        branch = run.add(self.kind, work.name, began_ms, end_ms - began_ms, parent=parent, **self.fields)
        reached_ms = self.before_ms + 4
        for (gap_ms, length_ms), start_ms in zip(work.calls, starts, strict=True):
            asked_ms = reached_ms + gap_ms
            if self.waits is not None and start_ms > asked_ms + 1:
                inside = asked_ms >= began_ms
                run.wait(
                    self.waits, asked_ms, start_ms - asked_ms, parent=branch if inside else parent, **self.wait_fields
                )
            run.llm(start_ms, length_ms, parent=branch)
            reached_ms = start_ms + length_ms
        return end_ms


def drawn_work(
    random: Random, branches: int, *, spread: float, calls: int = 1, median_ms: float = 900, name: str = "worker_{}"
) -> tuple[Work, ...]:
    """Draw the work of branches, with times of a log deviation."""

    def one() -> tuple[float, float]:
        return random.uniform(1, 12), median_ms * math.exp(random.gauss(0, spread))

    return tuple(Work(name.format(at), tuple(one() for _ in range(calls))) for at in range(branches))


def runs(build: Callable[[Random, int], Execution], seed: int, count: int) -> list[Execution]:
    """Draw runs, each from its own seed."""
    return [build(Random(f"{seed}/{number}"), number) for number in range(count)]
