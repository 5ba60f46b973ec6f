"""What the runs of one case share: clock, randomness, processes, locks and machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from benchmarks.accuracy.clock import VirtualClock
from benchmarks.accuracy.recording import Process, Recorded, SeededIds, process
from otel_wfperf.instrumentation.resources import SAMPLER, ResourceSample
from otel_wfperf.instrumentation.tracing import use_tracer


@dataclass
class Lab:
    """The surroundings of the runs of one case.

    Attributes:
        seed: Decides about everything that is random.
        host: Machine on which runs start, unless they say otherwise.
        version: Version of the program that they run.
        sample: What the machine measures of itself at a moment (seconds); None = nobody measures.
    """

    seed: str
    clock: VirtualClock = field(default_factory=VirtualClock)
    recorded: Recorded = field(default_factory=Recorded)
    host: str = "host-1"
    version: str = "1.0"
    sample: Callable[[float], ResourceSample] | None = None
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _processes: dict[tuple[str, str], Process] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def random(self, *key: object) -> Random:
        """Return the randomness of one thing; the same in a run with and without the fault."""
        return Random(crc32(f"{self.seed}/{key}".encode()))

    def occurrence(self, key: str) -> int:
        """Count how often something happened before."""
        self._counts[key] = self._counts.get(key, -1) + 1
        return self._counts[key]

    def process(self, host: str, version: str) -> Process:
        """Return one process of the program."""
        found = self._processes.get((host, version))
        if found is None:
            ids = SeededIds(f"{self.seed}/{host}/{version}")
            found = self._processes[host, version] = process(self.recorded, ids, host=host, version=version)
        return found

    def slots(self, name: str, capacity: int) -> asyncio.Semaphore:
        """Return what all runs take turns with."""
        return self._slots.setdefault(name, asyncio.Semaphore(capacity))

    def record_as(self, chosen: Process) -> None:
        """Let the instrumentation write for one process, with what its machine measures now."""
        use_tracer(chosen.ours)
        SAMPLER.latest = None if self.sample is None else self.sample(self.clock.now_s)
