"""Strands: its own spans, and beside them what they lack.

Strands writes agents, cycles, tools, model calls, graphs and swarms to the global tracer provider (scope
``strands.telemetry.tracer``, see the ``strands`` convention). Hooks, checked with strands-agents 1.62.0:

* the methods of ``strands.telemetry.tracer.Tracer`` that start and end its spans, and those that write content;
* ``_execute_node`` of ``Graph`` and ``Swarm``, ``Graph._execute_nodes_parallel`` and ``Swarm._handle_handoff``: phases,
  batches and hand-offs;
* ``HookRegistry.invoke_callbacks_async``: a retry strategy waits in a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class StrandsIntegration:
    """Complete the spans of Strands.

    Content is not captured unless the user asks for it with a variable of Strands or OpenTelemetry. Where
    OpenInference's span processor for Strands is imported, the spans stay as they are;
    ``OTEL_WFPERF_FORCE=true`` completes them anyway.
    """

    name: ClassVar[str] = "strands"
    requires: ClassVar[Mapping[str, str]] = {"strands-agents": ">=1.62,<2"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="Strands",
        hook="The spans that Strands writes itself, completed through the tracer that writes them.",
        tested={"strands-agents": "1.62.0"},
        workflows="run of a graph or swarm; an agent that is called alone is the root of its own execution",
        phases=(
            "node of a graph, with its batch as step and group, and the nodes whose results it is given; "
            "turn of an agent in a swarm"
        ),
        agents="agent",
        tools="tool call, bound to the model response that asked for it",
        llm_calls="model call, with tokens as Strands writes them, and the size and re-sent share of its prompt",
        waits="the time that hooks wait before another attempt of a model call, as the retry strategy does",
        retries="each attempt of a model call is a call of its own, with its number",
        handoffs="`handoff_to_agent` of a swarm",
        missing=(
            "Retries inside the provider's client: Strands does not see them.",
            "The wait for a person: an interrupted run ends, and the run that resumes it is another execution.",
            "Messages of exceptions are in Strands' spans, because it writes them there itself.",
            "Tools that run in the background after their agent has ended.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "strands.telemetry.tracer": _complete_spans,
            "strands.multiagent.graph": _record_graphs,
            "strands.multiagent.swarm": _record_swarms,
            "strands.hooks.registry": _record_backoff,
        }


def _complete_spans() -> Undo:
    from strands.telemetry.tracer import Tracer  # noqa: PLC0415 - imported already when this runs

    from otel_wfperf.instrumentation.integrations.strands_parts import content, spans  # noqa: PLC0415 - loads hashing

    return _replace_all(
        Tracer,
        {
            "__init__": spans.noting_provider,
            "_start_span": spans.following_provider,
            "start_agent_span": spans.starting_agents,
            "start_multiagent_span": spans.starting_runs,
            "start_event_loop_cycle_span": spans.starting_cycles,
            "start_model_invoke_span": spans.starting_model_calls,
            "end_model_invoke_span": spans.ending_model_calls,
            "start_tool_call_span": spans.starting_tools,
            "end_tool_call_span": spans.ending_tools,
            "end_agent_span": spans.ending_agents,
            "end_span_with_cancellation": spans.cancelling_agents,
            "_add_event_messages": content.leaving_out_messages,
            "_add_system_prompt_event": content.leaving_out_messages,
            "_add_event": content.leaving_out_events,
            "_redact": content.redacting,
            "_end_span": content.naming_failures,
        },
    )


def _record_graphs() -> Undo:
    from strands.multiagent.graph import Graph  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.strands_parts import graphs  # noqa: PLC0415 - as above

    wrappers = {
        "_execute_nodes_parallel": graphs.executing_batches,
        "_execute_node": graphs.executing_graph_nodes,
    }
    return _replace_all(Graph, wrappers)


def _record_swarms() -> Undo:
    from strands.multiagent.swarm import Swarm  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.strands_parts import graphs  # noqa: PLC0415 - as above

    return _replace_all(Swarm, {"_execute_node": graphs.executing_swarm_nodes, "_handle_handoff": graphs.handing_off})


def _record_backoff() -> Undo:
    from strands.hooks.registry import HookRegistry  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.strands_parts import retries  # noqa: PLC0415 - as above

    return replace(HookRegistry, "invoke_callbacks_async", retries.recording_backoff)


def _replace_all(owner: Any, wrappers: Mapping[str, Callable[[Any], Any]]) -> Undo:
    undo = [replace(owner, name, make) for name, make in wrappers.items()]

    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all
