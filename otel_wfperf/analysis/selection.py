"""Which operations a name stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from otel_wfperf.analysis.summary import invocations_by_agent
from otel_wfperf.model import Execution, Operation, OperationKind

KINDS: Final = ("workflow", "phase", "agent", "tool", "llm", "retrieval", "embedding", "wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a change is made to.

    Attributes:
        kind: One of ``KINDS``.
        name: As typed, without quotes.
        pattern: Regular expression of the names it stands for.
        position: Where it starts in the text of the scenario, 1 for the first character.
    """

    kind: str
    name: str
    pattern: str
    position: int = 1

    @property
    def is_one_name(self) -> bool:
        """Whether it names one thing, not all that match."""
        return self.pattern == re.escape(self.name)

    @property
    def text(self) -> str:
        """As the user would write it."""
        return f"{self.kind}:{self.name}"

    def matches(self, name: str) -> bool:
        """Tell whether a name is meant."""
        return re.fullmatch(self.pattern, name) is not None

    def operations(self, execution: Execution) -> list[Operation]:
        """List the operations that are meant, earliest first, without those inside of others that are."""
        found = {each.span_id: each for name, each in _named(execution, self.kind) if self.matches(name)}
        inside = _below(execution, found)
        return [each for each in found.values() if each.span_id not in inside]


def named(*targets: str) -> tuple[Target, ...]:
    """Build targets from ``KIND:NAME`` without wildcards."""
    pairs = [target.partition(":") for target in targets]
    return tuple(Target(kind=kind, name=name, pattern=re.escape(name)) for kind, _, name in pairs)


def names(executions: Iterable[Execution], kind: str) -> tuple[str, ...]:
    """List the names that operations of a kind have."""
    return tuple(sorted({name for execution in executions for name, _ in _named(execution, kind) if name}))


def _named(execution: Execution, kind: str) -> Iterator[tuple[str, Operation]]:
    """Yield the operations of a kind with each name they go by, earliest first."""
    if kind == "agent":
        runs = invocations_by_agent(execution)
        found = [(name, each) for name, invocations in runs.items() for each in invocations]
        yield from sorted(found, key=lambda pair: (pair[1].start_ns, pair[1].span_id))
        return
    for each in execution.of_kind(OperationKind(kind)):
        yield from ((name, each) for name in dict.fromkeys(_NAMES.get(kind, _name)(each)))
    if kind == "workflow" and execution.root.kind is not OperationKind.WORKFLOW:
        yield execution.workflow, execution.root


def _name(operation: Operation) -> Iterator[str]:
    yield operation.name


def _model_names(operation: Operation) -> Iterator[str]:
    yield operation.model or operation.name
    yield operation.name


def _wait_names(operation: Operation) -> Iterator[str]:
    yield operation.wait_kind or operation.name
    yield operation.name


_NAMES: Final[Mapping[str, Callable[[Operation], Iterator[str]]]] = {"llm": _model_names, "wait": _wait_names}


def _below(execution: Execution, found: Mapping[str, Operation]) -> set[str]:
    """Return the span ids that lie below one of the operations, in one walk down the tree."""
    inside: set[str] = set()
    for operation in execution.descendants(execution.root_id):
        if operation.parent_id in found or operation.parent_id in inside:
            inside.add(operation.span_id)
    return inside
