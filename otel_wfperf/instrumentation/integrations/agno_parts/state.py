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
    """The branches of a ``Parallel`` block.

    Attributes:
        name: Name of the block.
    """

    def __init__(self, name: str, block: Any) -> None:
        """Describe a block."""
        self.name = name
        # Its steps are not those it was made with: agents and functions among them become steps when it runs.
        self._block = block

    @property
    def width(self) -> int:
        """Branches in it (count)."""
        return len(self._block.steps)

    def has_branch(self, step: Any) -> bool:
        """Tell whether a step is one of the branches, and not a part of one."""
        return any(step is each for each in self._block.steps)


_GROUP_KEY: Final = otel_context.create_key("otel_wfperf.agno.group")


def current_run() -> Run | None:
    """Return the run that the caller is part of."""
    run: Any = otel_context.get_value(_RUN_KEY)
    return run if isinstance(run, Run) else None


def current_group() -> Group | None:
    """Return the innermost block that the caller runs in, unless a step is in between."""
    group: Any = otel_context.get_value(_GROUP_KEY)
    return group if isinstance(group, Group) else None


def within(run: Run, group: Group | None = None) -> Context:
    """Return the current context, in which operations find the run, and steps the block that they are branches of."""
    return otel_context.set_value(_GROUP_KEY, group, otel_context.set_value(_RUN_KEY, run))
