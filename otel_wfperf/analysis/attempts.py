"""Which operations are tries of one thing: a call that failed and was made again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from otel_wfperf.analysis.failures import failed, has_failed, may_succeed_later
from otel_wfperf.model import Execution, Operation, OperationKind

# Source: the longest pause that usual clients take between tries: openai 8 s, botocore 20 s, google-api-core 60 s.
# Chosen: twice that, as a server may ask for more.
MAX_PAUSE_NS: Final = 120_000_000_000
# Chosen: of calls at once that failed, a later one can be the next try of any; more are not told apart.
_MAX_OPEN: Final = 32

_TRIED: Final = frozenset(
    {
        OperationKind.PHASE,
        OperationKind.AGENT,
        OperationKind.TOOL,
        OperationKind.LLM,
        OperationKind.RETRIEVAL,
        OperationKind.EMBEDDING,
        OperationKind.MEMORY,
    }
)
_PAUSES: Final = ("retry_backoff", "rate_limit")
_Key: TypeAlias = tuple[object, ...]


class Identity(Enum):
    """How tries are known to be of one thing, best first."""

    TASK = "same task"
    INPUT = "same input"
    NUMBER = "numbered attempts"
    ROUTE = "same host and route"
    ORDER = "same name, one after another"


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that was asked for, with all tries of it.

    Attributes:
        attempts: The tries that were recorded, in order; all but the last failed.
        identity: How they are known to belong together.
        waits: Pauses between them that were recorded.
        answered_outside: The span around them answered, and is no try itself: the last try is not recorded apart.
    """

    attempts: tuple[Operation, ...]
    identity: Identity
    waits: tuple[Operation, ...] = ()
    answered_outside: bool = False

    @property
    def first(self) -> Operation:
        """The first try."""
        return self.attempts[0]

    @property
    def tries(self) -> int:
        """How often it was tried, as far as recorded (count)."""
        return len(self.attempts) + self.answered_outside

    @property
    def failed(self) -> tuple[Operation, ...]:
        """The tries that failed."""
        return self.attempts if has_failed(self.attempts[-1]) else self.attempts[:-1]

    @property
    def is_made_good(self) -> bool:
        """Whether the last try succeeded."""
        return self.answered_outside or not has_failed(self.attempts[-1])


@dataclass(slots=True)
class _Chain:
    """Tries that are being collected."""

    attempts: list[Operation]
    identity: Identity
    thoughts: int
    position: int
    waits: list[Operation] = field(default_factory=list)


def requests(execution: Execution) -> tuple[Request, ...]:
    """Group the calls, steps and calls of services of a run into requests, most of which have a single try.

    Tries are siblings: equal in task, or input, or host and route, or name where nothing better is known; all but
    the last failed; each starts after the one before ended, and no model answered in between: then it would have been
    the model that asked again. Inputs that differ are no tries of one thing: somebody corrected the input.
    """
    found: list[Request] = []
    for parent_id, children in execution.children_by_id.items():
        found += _below(execution.by_id[parent_id], children)
    return tuple(found)


def retried(execution: Execution) -> tuple[Request, ...]:
    """Return the requests that were tried more than once; in most runs nothing fails, and there are none."""
    if not execution.once(failed):
        return ()
    return tuple(request for request in execution.once(requests) if request.tries > 1)


def _below(parent: Operation, children: Sequence[Operation]) -> Iterator[Request]:
    if len(children) == 1:
        if _is_tried(children[0]):
            identity = _key(children[0])[1]
            yield Request((children[0],), identity, answered_outside=_answered(parent, children[0]))
    elif any(map(has_failed, children)):
        yield from _chained(parent, children)
    else:
        asked = (child for child in children if child.kind is not OperationKind.WAIT and _is_tried(child))
        yield from (Request((child,), _key(child)[1]) for child in asked)


def _chained(parent: Operation, children: Sequence[Operation]) -> Iterator[Request]:
    chains: list[_Chain] = []
    open_chains: dict[_Key, deque[_Chain]] = {}
    waits: list[Operation] = []
    thoughts = position = 0
    for child in children:
        if child.kind is OperationKind.WAIT:
            waits.append(child)
            continue
        position += 1
        if not _is_tried(child):
            continue
        failed = (child.error is not None or child.status_code is not None) and has_failed(child)
        key, identity = _key(child)
        chain = _continued(open_chains.get(key), child, thoughts=thoughts, position=position)
        if chain is None:
            chain = _Chain([child], identity, thoughts, position)
            chains.append(chain)
        else:
            chain.waits += _pauses(waits, chain.attempts[-1], child)
            chain.attempts.append(child)
            chain.position = position
            open_chains[key].remove(chain)
        if failed:
            open_chains.setdefault(key, deque(maxlen=_MAX_OPEN)).append(chain)
        elif child.kind is OperationKind.LLM:
            thoughts += 1
    for chain in chains:
        outside = _answered(parent, chain.attempts[-1])
        yield Request(tuple(chain.attempts), chain.identity, tuple(chain.waits), answered_outside=outside)


def _pauses(waits: Sequence[Operation], last: Operation, child: Operation) -> list[Operation]:
    """List the pauses between two tries, latest first; waits are in order of start."""
    found = []
    for wait in reversed(waits):
        if wait.start_ns < last.start_ns:
            break
        if wait.wait_kind in _PAUSES and wait.end_ns <= child.start_ns:
            found.append(wait)
    return found


def _is_tried(operation: Operation) -> bool:
    return (operation.kind in _TRIED or operation.outside) and not operation.synthetic


def _key(operation: Operation) -> tuple[_Key, Identity]:
    subject = operation.kind, operation.name
    if operation.task is not None:
        return ("task", *subject, operation.task), Identity.TASK
    if operation.input_hash is not None:
        return ("input", *subject, operation.input_hash), Identity.INPUT
    if operation.peer is not None or operation.route is not None:
        return ("route", operation.peer, operation.route), Identity.ROUTE
    return ("name", *subject), Identity.ORDER if operation.attempt is None else Identity.NUMBER


def _continued(
    candidates: deque[_Chain] | None, operation: Operation, *, thoughts: int, position: int
) -> _Chain | None:
    """Choose the tries that an operation continues: those of which the last ended latest before it."""
    best = None
    for chain in candidates or ():
        last = chain.attempts[-1]
        in_time = 0 <= operation.start_ns - last.end_ns <= MAX_PAUSE_NS
        if not in_time or (best is not None and last.end_ns <= best.attempts[-1].end_ns):
            continue
        if _is_next(chain, operation, thoughts=thoughts, position=position):
            best = chain
    return best


def _is_next(chain: _Chain, operation: Operation, *, thoughts: int, position: int) -> bool:
    last = chain.attempts[-1]
    numbered = last.attempt is not None and operation.attempt is not None and operation.attempt > last.attempt
    if chain.identity is Identity.TASK or (numbered and chain.identity is Identity.INPUT):
        return True
    if thoughts != chain.thoughts:
        return False
    if chain.identity is Identity.INPUT:
        return True
    if last.attempt is not None and operation.attempt is not None:
        return numbered
    if chain.identity is Identity.ROUTE:
        return may_succeed_later(last)
    return position == chain.position + 1


def _answered(parent: Operation, last: Operation) -> bool:
    """Tell whether the call around failed tries succeeded; then the try that did is not recorded apart."""
    alike = parent.kind is last.kind and parent.kind in (OperationKind.LLM, OperationKind.EMBEDDING)
    return alike and has_failed(last) and not has_failed(parent)
