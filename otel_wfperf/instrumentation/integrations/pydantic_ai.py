"""pydantic-ai: its own spans, switched on without content, and what they lack; graphs of pydantic_graph.

Hooks, checked with pydantic-ai-slim and pydantic-graph 2.68.0:

* ``Agent.instrument_all`` sets the default of agents that are told nothing else. Ours is set only where there is
  none; a user's own, before or after, and an agent's own ``instrument=`` or ``Instrumentation`` win.
* what is added to spans, also where the user switched them on: ``spans``; waits before agents: ``limits``; graphs:
  ``graphs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class PydanticAIIntegration:
    """Record agents of pydantic-ai and graphs of pydantic_graph.

    OpenInference's span processor for pydantic-ai changes native spans and writes none: both work together.
    """

    name: ClassVar[str] = "pydantic_ai"
    requires: ClassVar[Mapping[str, str]] = {"pydantic-ai-slim": ">=2.68,<3", "pydantic-graph": ">=2.68,<3"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="Pydantic AI",
        hook="Its own OpenTelemetry spans, switched on without content by `Agent.instrument_all`.",
        tested={"pydantic-ai-slim": "2.68.0", "pydantic-graph": "2.68.0"},
        workflows="run of a graph; without one, the outermost agent is the run",
        phases="step of a graph, with the steps that lead to it; the branches of a fork are a parallel group",
        agents="agent, also one that a tool delegates to",
        tools="function tool, MCP tool and output function, with call id; a call with invalid arguments as well",
        llm_calls="model request; tokens of its usage, those of rejected answers included; time to the first piece",
        waits="`max_concurrency` of agents and limited models",
        retries="try of a tool; an attempt of a model request that failed is a call of its own",
        handoffs="delegation shows as an agent within a tool",
        missing=(
            "Graphs with `auto_instrument=False` or a span of the user's own: they ask for that.",
            "Retries within the model's client: pydantic-ai does not see them.",
            "Realtime sessions: their spans are native, and nothing is added to them.",
            "The banner that pydantic-ai prints for the first run that is not instrumented.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        # The whole package: settings for its spans can only be made once it knows its version, which it sets last.
        return {"pydantic_ai": _switch_on, "pydantic_graph.graph_builder": _record_graphs}


def _switch_on() -> Undo:
    from pydantic_ai import concurrency  # noqa: PLC0415 - imported already when this runs
    from pydantic_ai.agent import Agent  # noqa: PLC0415 - as above
    from pydantic_ai.capabilities.instrumentation import Instrumentation  # noqa: PLC0415 - as above
    from pydantic_ai.models.instrumented import InstrumentationSettings  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.pydantic_ai_parts.limits import joining_waits  # noqa: PLC0415
    from otel_wfperf.instrumentation.integrations.pydantic_ai_parts.spans import (  # noqa: PLC0415 - needs pydantic_ai
        OwnSettings,
        describing_models,
        describing_tools,
        sharing_prompts,
    )

    ours = OwnSettings()
    undo = [
        replace(InstrumentationSettings, "handle_messages", describing_models),
        replace(Instrumentation, "wrap_run", sharing_prompts),
        replace(Instrumentation, "wrap_tool_execute", describing_tools),
        replace(concurrency, "get_concurrency_context", joining_waits),
    ]
    before = Agent._instrument_default  # noqa: SLF001 - there is no public way to ask
    if before is False:
        Agent.instrument_all(ours)

    def undo_all() -> None:
        for each in undo:
            with failures_counted("pydantic_ai.uninstrument"):
                each()
        if Agent._instrument_default is ours:  # noqa: SLF001 - as above
            Agent.instrument_all(before)

    return undo_all


def _record_graphs() -> Undo:
    from otel_wfperf.instrumentation.integrations.pydantic_ai_parts.graphs import GraphRecorder  # noqa: PLC0415 - needs pydantic_graph

    return GraphRecorder().install()
