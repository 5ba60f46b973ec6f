"""Runs that the end of their program cut short."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from otel_wfperf.model import Execution, ExecutionStatus, Operation, OperationKind

# Chosen: as many as a line has room for.
_MAX_NAMED: Final = 3


def cut_short(execution: Execution, span_ids: Collection[str], cause: str) -> Execution:
    """Say of an incomplete run what it was in when its program ended; others stay as they are.

    Args:
        execution: A run.
        span_ids: Operations that were open then.
        cause: What ended the program.
    """
    open_ids = {each.span_id for each in execution.operations if each.span_id in span_ids and not each.ended}
    if not open_ids or execution.status is not ExecutionStatus.INCOMPLETE:
        return execution
    around = {execution.by_id[each].parent_id for each in open_ids}
    innermost = [each for each in execution.operations if each.span_id in open_ids - around]
    named = list(dict.fromkeys(_described(each) for each in innermost))
    more = [f"{len(named) - _MAX_NAMED} more"] if len(named) > _MAX_NAMED else []
    return replace(execution, cut_short=f"{cause} in {' and '.join([*named[:_MAX_NAMED], *more])}")


def _described(operation: Operation) -> str:
    name = operation.name or operation.span_name
    return name if operation.kind is OperationKind.OTHER else f"{operation.kind.value} {name}"


def compared(executions: Sequence[Execution]) -> Sequence[Execution]:
    """Leave out what was cut short where whole runs of the workflow are there: its lengths say nothing of theirs."""
    whole = {each.workflow for each in executions if each.cut_short is None}
    return [each for each in executions if each.cut_short is None or each.workflow not in whole]
