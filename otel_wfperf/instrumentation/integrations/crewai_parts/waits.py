"""Waits: for the limit of requests a minute, and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_wfperf.instrumentation.integrations.crewai_parts.flows import is_internal
from otel_wfperf.instrumentation.integrations.crewai_parts.runs import current_run
from otel_wfperf.instrumentation.integrations.crewai_parts.seams import Opened
from otel_wfperf.instrumentation.operations import start_wait


def open_rate_limit(controller: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the wait for ``max_rpm``, if there is one: for the next minute, or behind somebody who waits for it."""
    limit, lock = controller.max_rpm, controller._lock  # noqa: SLF001 - there is no public way to tell
    is_used_up = limit is not None and controller._current_rpm >= limit  # noqa: SLF001
    if not is_used_up and (limit is None or lock is None or not lock.locked()):
        return None
    return _wait("max_rpm", kind="rate_limit")


def open_flow_question(flow: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the wait for an answer to ``Flow.ask``."""
    return None if is_internal(flow) else _wait("human input", kind="human")


def open_feedback(_crew: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the wait for feedback on the result of a task or of a flow's method."""
    return _wait("human feedback", kind="human")


def _wait(resource: str, *, kind: str) -> Opened | None:
    run = current_run()
    return None if run is None else Opened(start_wait(resource, kind=kind), run)
