"""Stitching: which traces are one run.

Emitters split a run over several traces when its parts pass messages (AutoGen), or when they lose the context
(callbacks in other tasks or threads). What ties the parts together are links and the conversation. Both also tie
together what is *not* one run: the turns of a chat, a run that follows another, a consumer that reads a batch. So:

* A trace that has a run of its own (a workflow or an agent, or calls below a span of the user's) is never joined to
  another one that has. Links and conversation say nothing then.
* A *fragment* has none: its root is a call, or a message between agents. It belongs to what it links to, when all its
  links lead to one place and it does not start long after that ended. Links to several places (a batch) say nothing.
* A fragment without links belongs to the run of its conversation during which it started, when there is one such run
  only. Where there is none, fragments of one conversation that overlap or follow each other at once are one run. A
  conversation is one within one process only: everybody has a ``default``.
* A trace in which only something is set up that runs later (``create_agent``, ``workflow.build``) is no run, and one
  that is not about agents stays by itself.

Source: conventions, rule R6 (open-telemetry/opentelemetry-python-genai#513: each call of a run is a trace of its own).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from otel_wfperf.assembly.adjusters.hops import is_message
from otel_wfperf.assembly.adjusters.parents import is_root
from otel_wfperf.model import Operation, OperationKind

# Chosen: as long as the assembler waits for late spans, so that a file and a stream of it give the same runs.
MAX_LINK_GAP_NS: Final = 60_000_000_000
# Chosen: a program goes from one call to the next in less, a person who reads an answer takes longer.
MAX_CALL_GAP_NS: Final = 2_000_000_000
# Chosen: the loop of an agent makes fewer calls. A conversation in which they never pause is the same word for all that
# a process does, and what never pauses would never be handed out.
MAX_CALLS: Final = 200

# Later than any moment of a trace: where nothing has started.
_NEVER_NS: Final = 2**63
_RUNS: Final = (OperationKind.WORKFLOW, OperationKind.AGENT)


class Standing(Enum):
    """What a trace is, taken by itself."""

    RUN = "run"
    CALLS = "calls"
    MESSAGES = "messages"
    SETUP = "setup"
    PLAIN = "plain"

    @property
    def is_fragment(self) -> bool:
        """Tell whether it is a part of a run."""
        return self in (Standing.CALLS, Standing.MESSAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One trace.

    Attributes:
        start_ns: First start (nanoseconds since the Unix epoch).
        end_ns: Last end (nanoseconds since the Unix epoch); None while it runs.
        conversations: Those that its operations are in, see :func:`conversation_of`.
        origins: Other traces that it links to.
    """

    trace_id: str
    standing: Standing
    start_ns: int
    end_ns: int | None
    conversations: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, trace_id: str, operations: Collection[Operation]) -> Piece:
        """Describe the operations of a trace that has ended, at least one."""
        span_ids = {each.span_id for each in operations}
        tops = [each for each in operations if each.parent_id not in span_ids]
        conversations = {conversation_of(each) for each in operations}
        origins = {link.trace_id for each in operations if each.links for link in each.links}
        last_ns = max(*(each.end_ns for each in operations), *(each.start_ns for each in operations))
        return cls(
            trace_id=trace_id,
            standing=_standing(tops, is_about_agents=any(each.kind is not OperationKind.OTHER for each in operations)),
            start_ns=min(each.start_ns for each in operations),
            end_ns=last_ns,
            conversations=frozenset(each for each in conversations if each is not None),
            origins=frozenset(origins - {trace_id}),
        )


def conversation_of(operation: Operation) -> str | None:
    """Tell the conversation that an operation is in from others that only have the same id: by the process."""
    if operation.conversation is None:
        return None
    return f"{operation.service}\0{operation.host}\0{operation.conversation}"


def _standing(tops: Iterable[Operation], *, is_about_agents: bool) -> Standing:
    """Tell what a trace is by the spans on top of it; what is below a message came with it."""
    found = {_standing_of_top(top, is_about_agents=is_about_agents) for top in tops}
    order = (Standing.RUN, Standing.MESSAGES, Standing.CALLS, Standing.PLAIN, Standing.SETUP)
    return next((each for each in order if each in found), Standing.PLAIN)


def _standing_of_top(operation: Operation, *, is_about_agents: bool) -> Standing:
    if operation.setup:
        return Standing.SETUP
    if is_message(operation):
        return Standing.MESSAGES
    if operation.kind is OperationKind.OTHER:
        return Standing.RUN if is_about_agents else Standing.PLAIN
    # Of an orphan the rest of its own trace is still to come.
    return Standing.CALLS if operation.kind not in _RUNS and is_root(operation) else Standing.RUN


def stitch(pieces: Iterable[Piece]) -> list[tuple[Piece, ...]]:
    """Put the pieces of each run together, its own trace or the earliest in front; their order makes no difference."""
    pieces = list(pieces)
    if not any(piece.standing.is_fragment for piece in pieces):
        return [(piece,) for piece in pieces]
    sets = _Sets.of(pieces)
    while sets.follow_links():
        pass
    sets.follow_conversations()
    return sets.runs()


@dataclass(slots=True, eq=False)
class _Set:
    """Traces that are one run, as far as is known.

    Attributes:
        pieces: What is known of them; nothing of traces that are only linked to.
        end_ns: Last end (nanoseconds since the Unix epoch); None while it may run.
    """

    trace_ids: list[str]
    pieces: list[Piece]
    origins: set[str]
    start_ns: int
    end_ns: int | None
    has_run: bool

    @classmethod
    def of(cls, piece: Piece) -> _Set:
        is_run = piece.standing is Standing.RUN
        origins = set(piece.origins) if piece.standing.is_fragment else set()
        return cls([piece.trace_id], [piece], origins, piece.start_ns, piece.end_ns, is_run)

    @classmethod
    def absent(cls, trace_id: str) -> _Set:
        return cls([trace_id], [], set(), _NEVER_NS, None, has_run=False)

    @property
    def is_run_or_part(self) -> bool:
        """Tell whether a link to it means anything; a trace that is not here may be a run."""
        return self.has_run or not self.pieces or self.pieces[0].standing.is_fragment

    def take(self, other: _Set) -> None:
        """Add another set."""
        self.trace_ids += other.trace_ids
        self.origins |= other.origins
        self.start_ns = min(self.start_ns, other.start_ns)
        # Of a trace that is not here its fragments tell when it was.
        ends_ns = [each.end_ns for each in (self, other) if each.pieces]
        self.end_ns = None if None in ends_ns else max(filter(None, ends_ns), default=None)
        self.has_run |= other.has_run
        self.pieces += other.pieces


@dataclass(slots=True)
class _Sets:
    """Disjoint sets of traces, by trace id."""

    of_trace: dict[str, _Set]

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> _Sets:
        of_trace: dict[str, _Set] = {}
        for piece in pieces:
            of_trace[piece.trace_id] = _Set.of(piece)
        for origin in {origin for one in of_trace.values() for origin in one.origins}:
            of_trace.setdefault(origin, _Set.absent(origin))
        return cls(of_trace)

    def follow_links(self) -> bool:
        """Join each set of fragments to the only set that it links to; False when there was nothing to join.

        A set that can be joined still can be when others have been, so the order makes no difference; but of those that
        link to a trace that is not here the earliest tells when that was.
        """
        changed = False
        for one in sorted(self._distinct(), key=lambda each: (each.start_ns, each.trace_ids[0])):
            is_stale = self.of_trace[one.trace_ids[0]] is not one
            if is_stale or one.has_run or not one.origins:
                continue
            origins = {id(found): found for found in map(self.of_trace.__getitem__, one.origins) if found is not one}
            [origin, *others] = [found for found in origins.values() if found.is_run_or_part] or [one]
            too_late = origin.end_ns is not None and one.start_ns - origin.end_ns > MAX_LINK_GAP_NS
            if origin is not one and not others and not too_late:
                self._join(origin, one)
                changed = True
        return changed

    def follow_conversations(self) -> None:
        """Join calls that link to nothing to the run of their conversation, else to each other."""
        calls = [one for one in self._distinct() if _are_calls(one)]
        if not calls:
            return
        hosts = self._hosts(calls)
        lonely: dict[str, list[Piece]] = {}
        for one in calls:
            found = hosts[one.trace_ids[0]]
            if len(found) == 1:
                self._join(self.of_trace[found.pop()], one)
            elif not found:
                for conversation in one.pieces[0].conversations:
                    lonely.setdefault(conversation, []).append(one.pieces[0])
        for pieces in lonely.values():
            self._join_neighbours(pieces)

    def runs(self) -> list[tuple[Piece, ...]]:
        """List the sets of which something is known."""
        return [tuple(sorted(one.pieces, key=_in_front)) for one in self._distinct() if one.pieces]

    def _distinct(self) -> list[_Set]:
        return list({id(one): one for one in self.of_trace.values()}.values())

    def _hosts(self, calls: Iterable[_Set]) -> dict[str, set[str]]:
        """Collect the runs of the same conversation that were running when calls started, by the calls' trace."""
        runs: dict[str, list[Piece]] = {}
        for one in self._distinct():
            for piece in one.pieces:
                for conversation in piece.conversations if piece.standing is Standing.RUN else ():
                    runs.setdefault(conversation, []).append(piece)
        return {
            call.trace_id: {
                run.trace_id
                for conversation in call.conversations
                for run in runs.get(conversation, ())
                if run.start_ns <= call.start_ns and (run.end_ns is None or call.start_ns <= run.end_ns)
            }
            for call in (one.pieces[0] for one in calls)
        }

    def _join_neighbours(self, pieces: Iterable[Piece]) -> None:
        """Join pieces that overlap or follow each other at once."""
        first, *rest = sorted(pieces, key=lambda each: (each.start_ns, each.trace_id))
        end_ns, calls = first.end_ns, 1
        for piece in rest:
            follows = end_ns is None or piece.start_ns - end_ns <= MAX_CALL_GAP_NS
            if follows and calls < MAX_CALLS:
                self._join(self.of_trace[first.trace_id], self.of_trace[piece.trace_id])
                end_ns = None if end_ns is None or piece.end_ns is None else max(end_ns, piece.end_ns)
                calls += 1
            else:
                first, end_ns, calls = piece, piece.end_ns, 1

    def _join(self, one: _Set, other: _Set) -> None:
        if one is not other:
            large, small = (one, other) if len(one.trace_ids) >= len(other.trace_ids) else (other, one)
            self.of_trace.update(dict.fromkeys(small.trace_ids, large))
            large.take(small)


def are_apart(traces: Iterable[Iterable[Operation]]) -> bool:
    """Tell whether no two traces use the same span id, by which an execution knows its operations."""
    seen: set[str] = set()
    for operations in traces:
        span_ids = {each.span_id for each in operations}
        if not seen.isdisjoint(span_ids):
            return False
        seen |= span_ids
    return True


def _are_calls(one: _Set) -> bool:
    """Tell whether a set is one trace of calls that names its conversation and links to nothing."""
    if len(one.pieces) != 1 or one.origins:
        return False
    return one.pieces[0].standing is Standing.CALLS and bool(one.pieces[0].conversations)


def _in_front(piece: Piece) -> tuple[bool, int, str]:
    return piece.standing is not Standing.RUN, piece.start_ns, piece.trace_id
