"""What is known of one run of a LlamaIndex workflow while it lasts.

Steps are scheduled by events: the step that returned an event is what the step that takes it
depends on. Checked with llama-index-workflows 2.26.1, which hands events on without copying them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from workflows.events import Event

from otel_wfperf.instrumentation.operations import start_wait
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

if TYPE_CHECKING:
    from opentelemetry.context import Context

# Chosen: events of one run whose producer is remembered; of more, the oldest are forgotten and claim nothing.
_MAX_EVENTS: Final = 10_000
# Chosen: the scheduler itself takes up to a few milliseconds between two steps on a busy machine.
_MIN_WAIT_NS: Final = 20_000_000


class Origin(NamedTuple):
    """Where an event came from.

    Attributes:
        event: Kept alive, so that its identity is not used again.
        step: Name of the step that returned it.
        group: Name shared by all that the same call of that step set off; None = it set off one step only.
        returned_ns: When (nanoseconds since the Unix epoch).
    """

    event: object
    step: str
    group: str | None
    returned_ns: int


class RunState:
    """What the steps of one run share.

    Attributes:
        workflow: The workflow object; None outside of workflows.
        agent: Name of the agent whose turn it is; None = none is known.
        prompts: Compares each prompt with the one before it.
        content: Reads what steps and tools were given and returned.
        turns: Model response that asked for each tool call, by the call's id.
        is_recording: False where another instrumentation records the run.
    """

    def __init__(self, workflow: object = None, agent: str | None = None, *, is_recording: bool = True) -> None:
        """Begin with nothing scheduled."""
        self.workflow = workflow
        self.is_recording = is_recording
        self.agent = agent
        self.content = ContentReader()
        self.prompts = Prompts(self.content)
        self.turns: dict[str, str] = {}
        self._origins: dict[int, Origin] = {}
        self._calls: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        # Step and failure time of an attempt that failed, by the event it was given.
        self._failed: dict[int, int] = {}
        self._configs: Mapping[str, Any] | None = None

    def origins(self, events: Iterable[object]) -> list[Origin] | None:
        """Return where the events that set off a step came from; None unless that is known of all."""
        found = [self._origins.get(id(event)) for event in events]
        return None if not found or None in found else [origin for origin in found if origin is not None]

    def started(self, step: str) -> int:
        """Count a call of a step in; returns its number, from 1."""
        self._running[step] += 1
        self._calls[step] += 1
        return self._calls[step]

    def returned(self, step: str, number: int, result: object) -> None:
        """Count a call of a step out, and remember what it returned."""
        self._running[step] -= 1
        events = result if isinstance(result, list) else [result]
        name = step if number == 1 else f"{step} {number}"
        now_ns = time.time_ns()
        for event in events:
            if isinstance(event, Event):
                group = name if len(events) > 1 or self._takers(event) > 1 else None
                self._origins[id(event)] = Origin(event, step, group, now_ns)
        while len(self._origins) > _MAX_EVENTS:
            self._origins.pop(next(iter(self._origins)))

    def failed(self, step: str, events: Iterable[object]) -> None:
        """Count a call of a step out that raised; another attempt may follow for the same event."""
        self._running[step] -= 1
        for event in events:
            self._failed[id(event)] = time.time_ns()

    def record_wait(self, step: str, events: Iterable[object], *, attempt: int, context: Context) -> None:
        """Record how long a step that starts now had to wait: for another attempt, or for a free worker."""
        failed = [self._failed.pop(id(event), 0) for event in events]
        origins = self.origins(events) or []
        now_ns = time.time_ns()
        kind, since_ns, limit = "retry_backoff", max(failed, default=0) if attempt > 1 else 0, None
        if attempt == 1 and origins:
            kind, since_ns, limit = "concurrency", max(origin.returned_ns for origin in origins), self._workers(step)
            # A worker is free again when this step starts, so that all the others are busy.
            if limit is None or self._running[step] < limit or self._calls[step] <= limit:
                return
        if since_ns and now_ns - since_ns >= _MIN_WAIT_NS:
            wait = start_wait(step, kind=kind, concurrency_limit=limit, start_ns=since_ns, context=context)
            wait.end(end_ns=now_ns)

    def _workers(self, step: str) -> int | None:
        workers = getattr(self._steps().get(step), "num_workers", None)
        return workers if isinstance(workers, int) else None

    def _takers(self, event: object) -> int:
        """Count the steps that take such an event."""
        kind = type(event)
        return sum(kind in getattr(config, "accepted_events", ()) for config in self._steps().values())

    def _steps(self) -> Mapping[str, Any]:
        """Return the configuration of each step, looked up once: LlamaIndex walks over all members for it."""
        if self._configs is None:
            steps: Mapping[str, Any] = self.workflow._get_steps()  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
            self._configs = {name: getattr(step, "_step_config", None) for name, step in steps.items()}
        return self._configs


def events_of(arguments: Mapping[str, object]) -> list[object]:
    """Return the events among the arguments of a step; a step that collects is given a list of them."""
    found: list[object] = []
    for value in arguments.values():
        found += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, Event)]
    return found


def content_of(event: object) -> dict[str, object]:
    """Return what an event carries: its fields, and what was put into it without declaring a field."""
    return {**vars(event), **(getattr(event, "_data", None) or {})}
