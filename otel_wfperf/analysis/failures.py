"""Which operations failed, and which of them is where a failure began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from otel_wfperf.model import Execution, Operation, OperationKind

# Source: asyncio.CancelledError, gRPC CANCELLED, Go "context canceled", DOM AbortError, starlette ClientDisconnect,
# nginx 499 (client closed request); the caller wanted no answer any more.
_CANCELLED: Final = ("cancel", "aborterror", "clientdisconnect", "generatorexit", "keyboardinterrupt")
_CLIENT_CLOSED: Final = 499
# Source: langgraph 1.2 errors.py (GraphBubbleUp and what derives from it), Python's own: raised to steer, not to fail.
_STEERING: Final = (
    "graphbubbleup",
    "graphinterrupt",
    "nodeinterrupt",
    "parentcommand",
    "stopiteration",
    "stopasynciteration",
)
# An answer: what was asked for does not exist. Caches, existence checks and crawlers get it all the time.
_ABSENT: Final = (404, 410)
_LEAST_ERROR_STATUS: Final = 400
# Source: RFC 9110 and RFC 6585: too early, too many, and what the server says is its own fault.
_WORTH_ANOTHER_TRY: Final = (408, 425, 429)
_SERVER_ERROR: Final = 500
_TIMEOUTS: Final = ("timeout", "timed out", "deadline", "408", "504")
# Chosen: cleaning up after a failure takes no longer; what an operation does for longer after a child has failed is
# work of its own, which shows that it had got over the failure.
_CLEAN_UP_NS: Final = 100_000_000
_CLEAN_UP_RATIO: Final = 0.02


def has_failed(operation: Operation) -> bool:
    """Tell whether an operation failed; cancellation by the caller and "there is none" are no failures."""
    status = operation.status_code
    if status is not None and (status in _ABSENT or status == _CLIENT_CLOSED):
        return False
    if operation.error is None:
        return status is not None and status >= _LEAST_ERROR_STATUS
    return not _is_no_failure(operation.error)


@lru_cache(maxsize=4096)
def _is_no_failure(error: str) -> bool:
    said = error.lower()
    return said in ("404", "410", "499") or any(word in said for word in (*_CANCELLED, *_STEERING))


def may_succeed_later(operation: Operation) -> bool:
    """Tell whether a failed call is one that clients try again: too many calls, a fault of the server, no answer."""
    status = operation.status_code
    return status is None or status in _WORTH_ANOTHER_TRY or status >= _SERVER_ERROR


def says_timeout(operation: Operation) -> bool:
    """Tell whether the error or status names a timeout."""
    said = (operation.error or "").lower()
    return operation.status_code in (408, 504) or any(word in said for word in _TIMEOUTS)


def error_class(operation: Operation) -> str:
    """Name what went wrong in a few words: the error type, else the status."""
    if operation.error:
        return operation.error.splitlines()[0][:80]
    return f"HTTP {operation.status_code}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure where it began.

    Attributes:
        operation: The innermost operation that failed.
        step: The nearest step around it that failed with it, in the user's words; the operation itself when none did.
        ends_run: The run failed because of it.
    """

    operation: Operation
    step: Operation
    ends_run: bool


def failures(execution: Execution, *, recovered: frozenset[str] = frozenset()) -> list[Failure]:
    """List the failures of a run where they began, those that another try made good (``recovered``) left out.

    A failure is passed on when the operation around it fails with the same error, or soon after it.
    """
    causes = _causes(execution, recovered)
    if not causes:
        return []
    fatal = _last_cause(causes, execution.root_id) if execution.root_id in causes else None
    passed_on = {child for children in causes.values() for child in children}
    found = []
    for span_id, children in causes.items():
        if not children:
            operation = execution.by_id[span_id]
            step = _step_around(execution, operation, passed_on=passed_on)
            found.append(Failure(operation, step, ends_run=span_id == fatal))
    return sorted(found, key=lambda each: (each.operation.start_ns, each.operation.span_id))


def failed(execution: Execution) -> tuple[Operation, ...]:
    """List all operations that failed, in order of start; compute it with ``Execution.once``."""
    suspects = (each for each in execution.operations if each.error is not None or each.status_code is not None)
    return tuple(each for each in suspects if has_failed(each))


def _causes(execution: Execution, recovered: frozenset[str]) -> Mapping[str, list[str]]:
    """Map each operation that failed to those of its children whose failure it passed on, in order of their end."""
    ours = [each for each in execution.once(failed) if each.span_id not in recovered]
    causes: dict[str, list[str]] = {each.span_id: [] for each in ours}
    for child in sorted(ours, key=lambda each: (each.end_ns, each.span_id)):
        parent_id = child.parent_id
        if parent_id in causes and child.span_id != execution.root_id:
            parent = execution.by_id[parent_id]
            clean_up_ns = max(_CLEAN_UP_NS, _CLEAN_UP_RATIO * parent.duration_ns)
            if parent.end_ns - child.end_ns <= clean_up_ns or _is_same(parent.error, child.error):
                causes[parent_id].append(child.span_id)
    return causes


def _is_same(outer: str | None, inner: str | None) -> bool:
    return outer is not None and outer == inner


def _last_cause(causes: Mapping[str, list[str]], span_id: str) -> str:
    """Walk down from a failed operation to where its failure began."""
    while causes[span_id]:
        span_id = causes[span_id][-1]
    return span_id


def _step_around(execution: Execution, operation: Operation, *, passed_on: Iterable[str]) -> Operation:
    """Climb from a span that is not about agents to the step that failed with it."""
    step = operation
    while step.kind is OperationKind.OTHER and step.span_id in passed_on and step.parent_id is not None:
        step = execution.by_id[step.parent_id]
    return operation if step.kind in (OperationKind.OTHER, OperationKind.WORKFLOW) else step
