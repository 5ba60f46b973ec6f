"""AutoGen Core and AgentChat: workflows, phases, agents, tools, model calls, hand-offs and mailbox waits.

Hooks, checked with autogen-core, autogen-agentchat and autogen-ext 0.7.5. AutoGen has neither callbacks nor a bus; its
own spans say nothing of teams, models or tokens, and its log events come without a start. So the few methods are
wrapped through which everything goes:

* ``BaseGroupChat.run_stream`` (``run`` ends there too): a run of a team. ``_log_speaker_selection`` of its manager and
  ``_log_message`` of its agents' containers tell whom it chooses and who hands over.
* ``trace_invoke_agent_span`` and ``trace_tool_span`` as the modules that use them know them: AutoGen's own spans of
  agents and tools, replaced within what is recorded. ``BaseTool.run_json`` has arguments and result.
* ``on_messages_stream`` of the agents that come with AgentChat: called without ``run``, it has no span.
* ``create`` and ``create_stream`` of every ``ChatCompletionClient``.
* ``SingleThreadedAgentRuntime``: ``send_message`` and ``publish_message`` begin a run when they are called from
  outside; ``get_telemetry_envelope_metadata`` is called once for each message, and ``_process_send``,
  ``_process_publish`` and ``_process_response`` handle one. ``BaseAgent.on_message`` is an agent's turn.
* ``TraceHelper``: spans of single messages, left out unless somebody asked for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import ClassVar

from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class AutoGenIntegration:
    """Record AutoGen teams, agents and runtimes.

    Nothing is recorded while OpenInference records AgentChat. ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "autogen"
    requires: ClassVar[Mapping[str, str]] = {
        "autogen-core": ">=0.7,<1",
        "autogen-agentchat": ">=0.7,<1",
        "autogen-ext": ">=0.7,<1",
    }
    coverage: ClassVar[Coverage] = Coverage(
        framework="AutoGen AgentChat and Core",
        hook="Wraps the few methods that every team, agent, tool, model client and message goes through.",
        tested={"autogen-core": "0.7.5", "autogen-agentchat": "0.7.5", "autogen-ext": "0.7.5"},
        workflows="run of a team; in Core alone, what a message from outside sets off",
        phases="node of a `GraphFlow`, with its step, group and the nodes it followed; speaker selection by a model",
        agents="turn of an agent, linked to the one before; in Core alone, the handling of a message",
        tools="tool call, bound to the model response that asked for it; agents and teams as tools nest",
        llm_calls="`create` and `create_stream` of every chat completion client; tokens of its `CreateResult`",
        waits="a message's time in the mailbox of its agent, from 1 ms on",
        retries="each further question of a `SelectorGroupChat` to its model has its number",
        handoffs="`HandoffMessage` of an agent in a team",
        missing=(
            "Cached, cache-writing and reasoning tokens: `RequestUsage` has prompt and completion tokens only.",
            "Retries inside a provider's client: they are not visible outside of it.",
            (
                "AutoGen's own spans of messages and of agents that are made: left out as noise, unless"
                " `AUTOGEN_DISABLE_RUNTIME_TRACING` is `false` or the runtime was given a tracer provider. They quote"
                " the messages."
            ),
            (
                "AutoGen's own spans of agents and tools, where ours take their place: they quote exceptions, and stay"
                " current while the consumer of a stream has an item."
            ),
            "Beside OpenInference: model calls of clients other than OpenAI's, which it does not record.",
            "Runs over the distributed runtime (`GrpcWorkerAgentRuntime`): messages carry no context of ours there.",
            "Tools that a model asks for and nobody has: AutoGen answers without calling anything.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        group_chat, agents = "autogen_agentchat.teams._group_chat", "autogen_agentchat.agents"
        return {
            "autogen_core._telemetry._tracing": _messages_are_noise,
            "autogen_core._single_threaded_agent_runtime": _follow_messages,
            "autogen_core._base_agent": _record_handling,
            "autogen_core.tools._base": _record_tools,
            "autogen_ext.tools.mcp._workbench": _record_mcp_tools,
            "autogen_core.models._model_client": _record_clients,
            f"{agents}._base_chat_agent": _record_agents,
            f"{agents}._assistant_agent": lambda: _record_answers(f"{agents}._assistant_agent", "AssistantAgent"),
            f"{agents}._code_executor_agent": lambda: _record_answers(
                f"{agents}._code_executor_agent", "CodeExecutorAgent"
            ),
            f"{agents}._society_of_mind_agent": lambda: _record_answers(
                f"{agents}._society_of_mind_agent", "SocietyOfMindAgent"
            ),
            f"{group_chat}._base_group_chat": _record_teams,
            f"{group_chat}._base_group_chat_manager": _record_selections,
            f"{group_chat}._selector_group_chat": _record_selecting,
            f"{group_chat}._chat_agent_container": _record_participants,
        }


def _all_of(*undo: Undo) -> Undo:
    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all


# Each of the following runs when its module of AutoGen has been imported; ours are not needed before.
# ruff: noqa: PLC0415


def _messages_are_noise() -> Undo:
    from autogen_core._telemetry._tracing import TraceHelper

    from otel_wfperf.instrumentation.integrations.autogen_parts.hops import noting_provider, without_hops

    return _all_of(
        replace(TraceHelper, "__init__", noting_provider),
        replace(TraceHelper, "trace_block", without_hops),
    )


def _follow_messages() -> Undo:
    from autogen_core import _single_threaded_agent_runtime as module

    from otel_wfperf.instrumentation.integrations.autogen_parts import runtime
    from otel_wfperf.instrumentation.integrations.autogen_parts.runs import Ticket

    owner = module.SingleThreadedAgentRuntime
    return _all_of(
        replace(module, "get_telemetry_envelope_metadata", runtime.with_ticket),
        replace(owner, "send_message", runtime.starting),
        replace(owner, "publish_message", runtime.starting),
        replace(owner, "_process_send", lambda original: runtime.handling(original, Ticket.asked_context)),
        replace(owner, "_process_response", lambda original: runtime.handling(original, Ticket.asked_context)),
        replace(owner, "_process_publish", lambda original: runtime.handling(original, Ticket.told_context)),
    )


def _record_handling() -> Undo:
    from autogen_core._base_agent import BaseAgent

    from otel_wfperf.instrumentation.integrations.autogen_parts.runtime import recorded_agent

    return replace(BaseAgent, "on_message", recorded_agent)


def _record_tools() -> Undo:
    from autogen_core.tools import _base

    from otel_wfperf.instrumentation.integrations.autogen_parts.tools import begin_results, recorded_call, tool_span
    from otel_wfperf.instrumentation.streams import streamed

    return _all_of(
        replace(_base, "trace_tool_span", tool_span),
        replace(_base.BaseTool, "run_json", recorded_call),
        replace(_base.BaseStreamTool, "run_json_stream", lambda original: streamed(original, begin_results)),
    )


def _record_mcp_tools() -> Undo:
    from autogen_ext.tools.mcp import _workbench

    from otel_wfperf.instrumentation.integrations.autogen_parts.tools import tool_span

    return replace(_workbench, "trace_tool_span", tool_span)


def _record_clients() -> Undo:
    from autogen_core.models._model_client import ChatCompletionClient

    from otel_wfperf.instrumentation.integrations.autogen_parts.models import record_clients

    return record_clients(ChatCompletionClient)


def _record_agents() -> Undo:
    from autogen_agentchat.agents import _base_chat_agent

    from otel_wfperf.instrumentation.integrations.autogen_parts.agents import agent_span, begin_answer, begin_lone_run
    from otel_wfperf.instrumentation.integrations.autogen_parts.hops import without_lone_creations
    from otel_wfperf.instrumentation.streams import streamed

    owner = _base_chat_agent.BaseChatAgent
    return _all_of(
        replace(_base_chat_agent, "trace_invoke_agent_span", agent_span),
        replace(_base_chat_agent, "trace_create_agent_span", without_lone_creations),
        replace(owner, "run_stream", lambda original: streamed(original, begin_lone_run)),
        replace(owner, "on_messages_stream", lambda original: streamed(original, begin_answer)),
    )


def _record_answers(module: str, owner: str) -> Undo:
    from otel_wfperf.instrumentation.integrations.autogen_parts.agents import begin_answer
    from otel_wfperf.instrumentation.streams import streamed

    loaded = import_module(module)
    return replace(getattr(loaded, owner), "on_messages_stream", lambda original: streamed(original, begin_answer))


def _record_teams() -> Undo:
    from autogen_agentchat.teams._group_chat._base_group_chat import BaseGroupChat

    from otel_wfperf.instrumentation.integrations.autogen_parts.teams import begin_team
    from otel_wfperf.instrumentation.streams import streamed

    return replace(BaseGroupChat, "run_stream", lambda original: streamed(original, begin_team))


def _record_selections() -> Undo:
    from autogen_agentchat.teams._group_chat._base_group_chat_manager import BaseGroupChatManager

    from otel_wfperf.instrumentation.integrations.autogen_parts.teams import noting_selection

    return replace(BaseGroupChatManager, "_log_speaker_selection", noting_selection)


def _record_selecting() -> Undo:
    from autogen_agentchat.teams._group_chat._selector_group_chat import SelectorGroupChatManager

    from otel_wfperf.instrumentation.integrations.autogen_parts.teams import selecting

    return replace(SelectorGroupChatManager, "_select_speaker", selecting)


def _record_participants() -> Undo:
    from autogen_agentchat.teams._group_chat import _chat_agent_container

    from otel_wfperf.instrumentation.integrations.autogen_parts.agents import agent_span, noting_handoffs

    return _all_of(
        replace(_chat_agent_container, "trace_invoke_agent_span", agent_span),
        replace(_chat_agent_container.ChatAgentContainer, "_log_message", noting_handoffs),
    )
