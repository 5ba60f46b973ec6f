"""What the model calls and tools of one step of an agent share."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

OTHERS: Final = (
    "openinference.instrumentation.smolagents",
    "opentelemetry.instrumentation.smolagents",
    "opentelemetry.instrumentation.genai.smolagents",
)
_STEP_KEY: Final = otel_context.create_key("otel_wfperf.smolagents.step")


class Run:
    """What the steps of an outermost run share.

    Attributes:
        content: Reads what tools were given and returned.
        prompts: Compares each prompt with the one before it.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.content = ContentReader()
        self.prompts = Prompts(self.content)


class Step:
    """A run, or one of its steps.

    Attributes:
        run: The outermost run that it is part of.
        turn: Model response that asked for the tools of this step; None = none is known.
    """

    def __init__(self, run: Run, name: str = "", agent: object = None) -> None:
        """Begin with nothing asked; ``name`` and ``agent`` are those of a step."""
        self.run = run
        self._name = name
        self._agent = agent
        self.turn: str | None = None
        self._asked: dict[str, deque[str]] = {}

    def is_of(self, name: str, agent: object) -> bool:
        """Tell whether it is such a step of this agent."""
        return self._name == name and self._agent is agent

    def asked(self, turn: str, calls: list[tuple[str, str]]) -> None:
        """Remember the tools, by name and id, that a model asked for."""
        self.turn = turn
        self._asked = {}
        for name, call_id in calls:
            self._asked.setdefault(name, deque()).append(call_id)

    def call_id(self, tool: str) -> str | None:
        """Return the id of the request that a call of this tool answers."""
        waiting = self._asked.get(tool)
        return waiting.popleft() if waiting else None


def current_step() -> Step | None:
    """Return the step that the caller runs in."""
    step: Any = otel_context.get_value(_STEP_KEY)
    return step if isinstance(step, Step) else None


def within(step: Step) -> Context:
    """Return the current context, in which operations find the step."""
    return otel_context.set_value(_STEP_KEY, step)
