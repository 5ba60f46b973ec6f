"""What the operations of one run share.

It is kept in OpenTelemetry's context: CrewAI 1.15.30 copies the context into every thread that it
starts (asynchronous tasks, parallel tools, time limits, methods of flows), so that whatever runs
there finds its run and its parent without a table of ids.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

# Instrumentations that record the same runs, both by wrapping CrewAI's functions: OpenInference 1.1.21 and
# OpenLLMetry 0.62.4. Those of the model's client (openai) record less and may stay.
OTHERS: Final = ("openinference.instrumentation.crewai", "opentelemetry.instrumentation.crewai")
# Chosen: the tool calls of one run that may wait for their tool; older ones lose their turn.
_MAX_TURNS: Final = 10_000
_RUN: Final = otel_context.create_key("otel_wfperf.crewai.run")
# Key of the same name in opentelemetry.context; other instrumentations set it around their own calls.
_SUPPRESSED: Final = "suppress_instrumentation"


class Run:
    """One outermost call into CrewAI: of a crew, a flow, an agent, a tool or a model.

    Attributes:
        content: Reads what operations were given and returned.
        prompts: Compares each prompt with the one before it.
        turns: Model response that asked for each tool call, by the call's id.
    """

    __slots__ = ("content", "prompts", "turns")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.content = ContentReader()
        self.prompts = Prompts(self.content)
        self.turns: dict[str, str] = {}

    def remember_turn(self, call_id: str, turn: str) -> None:
        """Note which response asked for a tool call."""
        self.turns[call_id] = turn
        while len(self.turns) > _MAX_TURNS:
            self.turns.pop(next(iter(self.turns)), None)


def current_run() -> Run | None:
    """Return the run that the caller is part of, or a new one; None = nothing is to be recorded here."""
    run = otel_context.get_value(_RUN)
    if isinstance(run, Run):
        return run
    if otel_context.get_value(_SUPPRESSED) or is_recorded_elsewhere("CrewAI", *OTHERS):
        return None
    return Run()


def with_run(run: Run, context: Context) -> Context:
    """Return a context in which ``run`` is the current one."""
    return context if context.get(_RUN) is run else otel_context.set_value(_RUN, run, context)
