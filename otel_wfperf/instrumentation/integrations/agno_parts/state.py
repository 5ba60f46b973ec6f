"""What the operations of one outermost run share; found through the current context."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

_RUN_KEY: Final = otel_context.create_key("otel_wfperf.agno.run")
# Chosen: tool calls of one run that may wait for their tool; older ones lose their turn.
_MAX_TURNS: Final = 10_000


class Run:
    """An outermost run.

    Attributes:
        content: Reads what tools and steps were given and returned.
        prompts: Compares each prompt with the one before it.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.content = ContentReader()
        self.prompts = Prompts(self.content)
        self._turns: dict[str, str] = {}

    def asked(self, turn: str, call_ids: list[str]) -> None:
        """Remember which model response asked for these tool calls."""
        self._turns.update(dict.fromkeys(call_ids, turn))
        while len(self._turns) > _MAX_TURNS:
            self._turns.pop(next(iter(self._turns)), None)

    def turn(self, call_id: str | None) -> str | None:
        """Return the model response that asked for a tool call."""
        return self._turns.pop(call_id, None) if call_id else None


class Group:
    """The branches of a ``Parallel`` block, or one of the steps of a workflow.

    Attributes:
        name: Name of the block; None outside of one.
        width: Branches in it (count).
    """

    def __init__(self, name: str | None, width: int | None) -> None:
        """Describe a block."""
        self.name = name
        self.width = width


_GROUP_KEY: Final = otel_context.create_key("otel_wfperf.agno.group")
_ALONE: Final = Group(None, None)


def current_run() -> Run | None:
    """Return the run that the caller is part of."""
    run: Any = otel_context.get_value(_RUN_KEY)
    return run if isinstance(run, Run) else None


def current_group() -> Group:
    """Return the block whose branch the caller is about to begin."""
    group: Any = otel_context.get_value(_GROUP_KEY)
    return group if isinstance(group, Group) else _ALONE


def within(run: Run, group: Group = _ALONE) -> Context:
    """Return the current context, in which operations find the run, and steps the block that they are branches of."""
    return otel_context.set_value(_GROUP_KEY, group, otel_context.set_value(_RUN_KEY, run))
