"""An execution as text that does not depend on who recorded it: no times, no ids, nothing that is not about agents."""

from collections.abc import Iterator

from otel_wfperf.model import Execution, Operation, OperationKind

_STEPS = (OperationKind.PHASE, OperationKind.AGENT, OperationKind.TOOL)


def canonical(execution: Execution) -> list[str]:
    """Write the tree, indented, siblings in order of their start; those of one step by name.

    A step that ran at the same time as siblings names them. Facts: attempt, scheduling step, what kind of error, and
    of model calls the tokens (prompt, of it cached, answer).
    """
    return list(_lines(execution, execution.root, depth=0, beside=()))


def _lines(execution: Execution, operation: Operation, *, depth: int, beside: tuple[Operation, ...]) -> Iterator[str]:
    yield "  " * depth + " ".join((operation.kind.value, operation.name, *_facts(operation, beside)))
    children = tuple(_shown(execution, operation))
    first = {_step(child): child.start_ns for child in reversed(children)}
    for child in sorted(children, key=lambda each: (first[_step(each)], each.name, each.start_ns)):
        yield from _lines(execution, child, depth=depth + 1, beside=children)


def _shown(execution: Execution, operation: Operation) -> Iterator[Operation]:
    for child in execution.children(operation.span_id):
        if child.kind is OperationKind.OTHER:
            yield from _shown(execution, child)
        else:
            yield child


def _step(operation: Operation) -> object:
    is_scheduled = operation.kind is OperationKind.PHASE and operation.step is not None
    return operation.step if is_scheduled else operation.span_id


def _facts(operation: Operation, beside: tuple[Operation, ...]) -> Iterator[str]:
    if operation.kind is OperationKind.PHASE and operation.step is not None:
        yield f"@{operation.step}"
    elif operation.kind in _STEPS:
        for name in sorted({each.name for each in beside if each is not operation and _overlap(operation, each)}):
            yield f"|| {name}"
    if (operation.attempt or 1) > 1:
        yield f"try {operation.attempt}"
    if operation.error is not None:
        yield "failed: " + operation.error.partition(":")[0].rpartition(".")[2]
    if operation.tokens is not None:
        yield f"{operation.tokens.input} ({operation.tokens.cache_read}) {operation.tokens.output}"


def _overlap(one: Operation, other: Operation) -> bool:
    return other.kind in _STEPS and one.start_ns < other.end_ns and other.start_ns < one.end_ns
