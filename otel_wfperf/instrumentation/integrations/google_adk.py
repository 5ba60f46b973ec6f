"""Google ADK: its own spans, and beside them what they lack.

The ADK writes workflows, agents, nodes, tools and model calls to the global tracer provider (scope
``gcp.vertex.agent``, see the ``adk`` convention). Hooks, checked with google-adk 2.13.0:

* ``_read_add_content_to_legacy_spans`` in ``google.adk.telemetry.context``: whether content is written;
* ``record_invocation`` and ``InferenceScope.record_llm_response`` in ``google.adk.telemetry._instrumentation``, and the
  functions in ``google.adk.telemetry.tracing`` that describe spans: each covers what its name says, in all runs;
* ``NodeRunner._execute_node`` and ``_attempt_retry``: one attempt of any node, and the wait before the next;
* the scheduling methods of ``Workflow``: what set off which node, and what waited for ``max_concurrency``.

Plugins see neither the start of a plain node nor its attempts. No function returns anything else than it would without
us, and the context of a span that was added is current within one coroutine of the ADK's own, never in the consumer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, Final

from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace

# Of the telemetry schema before version 2, which records content unless this is false. The environment stays as it is:
# it belongs to the program and what that starts.
_CAPTURE: Final = "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS"


class GoogleADKIntegration:
    """Complete the spans of the Google ADK.

    Content is not captured unless the user asks for it with a variable of the ADK. While OpenInference records the
    ADK, nothing is added; ``OTEL_WFPERF_FORCE=true`` adds anyway.
    """

    name: ClassVar[str] = "google_adk"
    requires: ClassVar[Mapping[str, str]] = {"google-adk": ">=2.13,<3"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="Google ADK",
        hook="The spans that the ADK writes itself, completed through the functions that write them.",
        tested={"google-adk": "2.13.0"},
        workflows="invocation of a runner; a graph within a graph is a phase, an agent called as a tool a workflow",
        phases=(
            "node of a `Workflow`, with the nodes that set it off and the fan-out it belongs to; "
            "items of a parallel worker are a group"
        ),
        agents="agent; agents below a `ParallelAgent` are a group",
        tools="tool call, bound to the model response that asked for it",
        llm_calls="model call, with tokens as the ADK writes them, and the size and re-sent share of its prompt",
        waits="`max_concurrency` of a workflow, the limit of a parallel worker, and the delay before a retry",
        retries="each attempt of a node is a phase of its own, with its number",
        handoffs="`transfer_to_agent`",
        missing=(
            "Retries of model calls inside the provider's client: the ADK does not see them.",
            "The wait for a person: a paused run ends, and the run that resumes it is another execution.",
            "Messages of exceptions are in the ADK's spans, because it writes them there itself.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "google.adk.telemetry.context": _leave_content_out,
            "google.adk.telemetry.tracing": _complete_spans,
            "google.adk.telemetry._instrumentation": _begin_executions,
            "google.adk.workflow._node_runner": _complete_nodes,
            "google.adk.workflow._workflow": _watch_graphs,
        }


def _leave_content_out() -> Undo:
    from google.adk.telemetry import context  # noqa: PLC0415 - imported already when this runs

    def as_asked(original: Callable[[], bool]) -> Callable[[], bool]:
        @wraps(original)
        def read() -> bool:
            return _CAPTURE in os.environ and original()

        return read

    return replace(context, "_read_add_content_to_legacy_spans", as_asked)


def _complete_spans() -> Undo:
    from google.adk.telemetry import tracing  # noqa: PLC0415 - imported already when this runs

    from otel_wfperf.instrumentation.integrations.google_adk_parts import models, tools  # noqa: PLC0415 - loads hashing

    return _replace_all(
        tracing,
        {
            "_set_common_generate_content_attributes": models.describing_requests,
            "trace_tool_call": tools.describing_tools,
            "trace_agent_invocation": tools.describing_agents,
        },
    )


def _begin_executions() -> Undo:
    from google.adk.telemetry import _instrumentation  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.google_adk_parts import executions, models  # noqa: PLC0415 - as above

    undo_invocations = replace(_instrumentation, "record_invocation", executions.recording_invocations)
    undo_responses = replace(_instrumentation.InferenceScope, "record_llm_response", models.describing_responses)

    def undo() -> None:
        undo_responses()
        undo_invocations()

    return undo


def _complete_nodes() -> Undo:
    from google.adk.workflow._node_runner import NodeRunner  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.google_adk_parts import nodes  # noqa: PLC0415 - as above

    wrappers = {"_execute_node": nodes.recording_attempts, "_attempt_retry": nodes.recording_retries}
    return _replace_all(NodeRunner, wrappers)


def _watch_graphs() -> Undo:
    from google.adk.workflow._workflow import Workflow  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.google_adk_parts import graphs  # noqa: PLC0415 - as above

    return _replace_all(
        Workflow,
        {
            "_run_loop": graphs.recording_runs,
            "_buffer_downstream_triggers": graphs.recording_triggers,
            "_schedule_ready_nodes": graphs.recording_limits,
            "_start_node_task": graphs.recording_starts,
        },
    )


def _replace_all(owner: Any, wrappers: Mapping[str, Callable[[Any], Any]]) -> Undo:
    undo = [replace(owner, name, make) for name, make in wrappers.items()]

    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all
