"""What the streaming assembler holds of a run that is not complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from otel_wfperf.assembly.adjusters.duplicates import preferred
from otel_wfperf.assembly.adjusters.hops import is_message
from otel_wfperf.assembly.adjusters.parents import is_root
from otel_wfperf.assembly.stitching import Piece, Standing, conversation_of
from otel_wfperf.model import Operation, OperationKind, SpanKind

# Chosen: more running at once than a person reads.
_MAX_RUNNING: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOperation:
    """An operation that runs: it came without an end, or is known from its children only.

    Attributes:
        operation: What is known of it; None when only its children came.
        start_ns: When it began, at the latest (nanoseconds since the Unix epoch).
    """

    span_id: str
    operation: Operation | None
    start_ns: int


@dataclass(slots=True, eq=False)
class Gathering:
    """The spans so far of one trace, or of several that are one run.

    Attributes:
        trace_id: What the run is known by.
        last_alive_ns: When its process last said that something in it is still open; 0 = never.
        ties: Conversations and other traces that its operations name.
        sets_up: True when one of them sets something up that runs later.
    """

    trace_id: str
    first_seen_ns: int
    last_seen_ns: int = 0
    last_alive_ns: int = 0
    version: int = 1
    trace_ids: list[str] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    ties: set[str] = field(default_factory=set)
    sets_up: bool = False
    _ends: Ends | None = None
    _pieces: tuple[Piece, ...] = ()

    def __post_init__(self) -> None:
        """Start with one trace."""
        self.trace_ids.append(self.trace_id)

    def take(self, operation: Operation) -> bool:
        """Keep an operation; False when it tells nothing new."""
        known = self.operations.get(operation.span_id)
        if known is not None and preferred(known, operation) == known:
            return False
        self.operations[operation.span_id] = operation
        self.sets_up |= operation.setup
        self._ends, self._pieces = None, ()
        return True

    def absorb(self, other: Gathering) -> None:
        """Take in all of another trace of the same run."""
        self.operations |= other.operations
        self.trace_ids += other.trace_ids
        self.ties |= other.ties
        self.sets_up |= other.sets_up
        self.first_seen_ns = min(self.first_seen_ns, other.first_seen_ns)
        self.last_seen_ns = max(self.last_seen_ns, other.last_seen_ns)
        self.last_alive_ns = max(self.last_alive_ns, other.last_alive_ns)
        self._ends, self._pieces = None, ()

    def state(self) -> Ends:
        """Look for the root; remembered until the next span comes."""
        if self._ends is None:
            self._ends = Ends.of(self.operations)
        return self._ends

    def pieces(self) -> tuple[Piece, ...]:
        """Describe each of its traces for stitching; remembered likewise.

        Each by itself: what a run has taken in makes the run no longer, and brings no conversation into it.
        """
        if not self._pieces:
            by_trace: dict[str, list[Operation]] = {}
            for operation in self.operations.values():
                by_trace.setdefault(operation.trace_id, []).append(operation)
            self._pieces = tuple(Piece.of(trace_id, found) for trace_id, found in by_trace.items())
        return self._pieces

    def has_standing(self, *standings: Standing) -> bool:
        """Tell whether one of its traces is one of these."""
        return any(piece.standing in standings for piece in self.pieces())


@dataclass(frozen=True, slots=True)
class Ends:
    """What is known about the end of a trace, and what it is called before that."""

    root_ended: bool
    something_missing: bool
    running: tuple[OpenOperation, ...]
    workflow: str | None
    start_ns: int

    @classmethod
    def of(cls, operations: Mapping[str, Operation]) -> Ends:
        """Look at all operations of a trace, by span id."""
        root_ended, something_missing = False, False
        began: dict[str, int] = {}
        for operation in operations.values():
            if not operation.ended:
                began[operation.span_id] = operation.start_ns
            parent_id = operation.parent_id
            if parent_id in operations:
                continue
            root_ended |= operation.ended and is_root(operation)
            something_missing |= parent_id is not None
            if parent_id is not None and not is_root(operation):
                began[parent_id] = min(operation.start_ns, began.get(parent_id, operation.start_ns))
        earliest = sorted(began.items(), key=lambda each: each[1])[:_MAX_RUNNING]
        running = (
            OpenOperation(span_id=span_id, operation=operations.get(span_id), start_ns=start_ns)
            for span_id, start_ns in earliest
        )
        start_ns = min((operation.start_ns for operation in operations.values()), default=0)
        return cls(root_ended, something_missing, tuple(running), _workflow(operations), start_ns)


def _workflow(operations: Mapping[str, Operation]) -> str | None:
    """Name the workflow that began first; else what the operations belong to; else the first that is in no other."""
    named: tuple[int, int, str] | None = None
    for each in operations.values():
        if each.kind is OperationKind.WORKFLOW:
            found = (0, each.start_ns, each.name)
        elif each.workflow:
            found = (1, each.start_ns, each.workflow)
        elif each.parent_id is None:
            found = (2, each.start_ns, each.name or each.span_name)
        else:
            continue
        named = found if named is None else min(named, found)
    return None if named is None else named[2]


def messages_underway(gatherings: Iterable[Gathering]) -> bool:
    """Tell whether a message was sent that nothing links to yet: whoever gets it has not ended its work."""
    sent: set[str] = set()
    arrived: set[str] = set()
    for operation in _messages(gatherings):
        arrived.update(link.span_id for link in operation.links)
        if operation.span_kind is SpanKind.PRODUCER and not operation.links:
            sent.add(operation.span_id)
    return not sent <= arrived


def _messages(gatherings: Iterable[Gathering]) -> Iterator[Operation]:
    for gathering in gatherings:
        yield from filter(is_message, gathering.operations.values())


@dataclass(slots=True)
class Ties:
    """Which traces are in the same conversation or link to each other, in both directions."""

    naming: dict[str, set[str]] = field(default_factory=dict)

    def tie(self, gathering: Gathering, operation: Operation) -> None:
        """Note what an operation names."""
        named = {link.trace_id for link in operation.links}.difference(gathering.trace_ids)
        conversation = conversation_of(operation)
        if conversation is not None:
            named.add(conversation)
        for key in named - gathering.ties:
            gathering.ties.add(key)
            self.naming.setdefault(key, set()).add(gathering.trace_id)

    def untie(self, gathering: Gathering) -> None:
        """Forget a trace."""
        for key in gathering.ties:
            naming = self.naming.get(key, set())
            naming.difference_update(gathering.trace_ids)
            if not naming:
                self.naming.pop(key, None)

    def is_tied(self, gathering: Gathering) -> bool:
        """Tell whether anything ties a trace to others; they need not be here."""
        return bool(gathering.ties) or any(trace_id in self.naming for trace_id in gathering.trace_ids)

    def keys(self, gathering: Gathering) -> Iterator[str]:
        """Yield what ties a trace to others: what it names, and its own ids, which others may name."""
        yield from gathering.ties
        yield from gathering.trace_ids

    def tied_by(self, key: str) -> Iterator[str]:
        """Yield ids of traces that something ties together; some may not be here."""
        yield key
        yield from self.naming.get(key, ())
