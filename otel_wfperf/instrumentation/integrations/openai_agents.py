"""OpenAI Agents SDK: workflows, phases, agents, tools, model calls, hand-offs and guardrails.

Hooks, checked with openai-agents 0.24.0:

* a trace processor, which ``agents.tracing.add_trace_processor`` registers. The SDK makes its provider, with an HTTP
  client, when it first needs one: to not make it while the SDK is imported, ours is registered as each provider
  is made. ``set_trace_processors`` replaces them all: ours is added again, the user's stay as they are.
* ``Scope``, where spans become current, and some places that know what spans do not tell; see ``scope`` and ``seams``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakSet

from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.others import announce, is_recorded_elsewhere
from otel_wfperf.instrumentation.patching import Undo, replace
from otel_wfperf.instrumentation.settings import InstrumentationSettings

if TYPE_CHECKING:
    from otel_wfperf.instrumentation.integrations.openai_agents_parts.processor import WorkflowProcessor

_FRAMEWORK: Final = "OpenAI Agents SDK"
_DISTRIBUTION: Final = "openai-agents"
_OTHERS: Final = (
    "openinference.instrumentation.openai_agents",
    "opentelemetry.instrumentation.openai_agents",
    "opentelemetry.instrumentation.genai.openai_agents",
)


class OpenAIAgentsIntegration:
    """Record runs of the OpenAI Agents SDK, and nothing while another instrumentation records them."""

    name: ClassVar[str] = "openai_agents"
    requires: ClassVar[Mapping[str, str]] = {_DISTRIBUTION: ">=0.24,<1"}
    coverage: ClassVar[Coverage] = Coverage(
        framework=_FRAMEWORK,
        hook="A trace processor; operations are current wherever the SDK's own spans are.",
        tested={_DISTRIBUTION: "0.24.0"},
        workflows="`trace()`; without one, each `Runner.run` with its workflow name",
        phases="each `Runner.run` directly within a `trace()`, named like its first agent or its own workflow name; "
        "a `custom_span` outside of agents; a guardrail",
        agents="agent, also one that is used as a tool",
        tools="function tool, MCP and local tool, bound to the answer that asked for it; "
        "its call id for function tools",
        llm_calls="generation and response; tokens of the span's usage; time to the first piece of a stream",
        waits="pause before another attempt of a model call; a tool that waits under `max_function_tool_concurrency`",
        retries="each attempt of a model call under `ModelRetrySettings` is a call of its own, with its number",
        handoffs="hand-off from agent to agent",
        missing=(
            "Runs for which tracing is disabled: the SDK makes no spans then.",
            "Of a custom `Model` class that makes no spans: more than time, tokens and outcome, once the call is over.",
            "Hashes and sizes under `trace_include_sensitive_data=False`: the SDK keeps content out of its spans.",
            "Finish reasons of chat completions other than tool calls and streamed ends: the SDK drops them.",
            "Retries within the OpenAI client: the SDK does not see them.",
            "Hosted tools: they run at the provider, within the model call.",
            "The time until a person approves a tool: the run ends, and its continuation is another execution.",
            "Realtime sessions: the server traces them.",
            "A trace provider of the user's own that is no `DefaultTraceProvider`: it calls processors as it likes.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act; ``agents.run`` needs all that is patched."""
        return {"agents.run": self._install}

    def _install(self) -> Undo:
        if not _is_openai_s():
            return lambda: None
        from otel_wfperf.instrumentation.integrations.openai_agents_parts.processor import WorkflowProcessor  # noqa: PLC0415 - needs agents
        from otel_wfperf.instrumentation.integrations.openai_agents_parts.scope import attach_with_spans  # noqa: PLC0415 - as above
        from otel_wfperf.instrumentation.integrations.openai_agents_parts.seams import Seams  # noqa: PLC0415 - as above

        processor = WorkflowProcessor(_is_recorded_elsewhere)
        undo = [_register(processor), attach_with_spans(processor), *Seams(processor).take()]

        def undo_all() -> None:
            for each in reversed(undo):
                with failures_counted("openai_agents.uninstrument"):
                    each()
            processor.stop()

        return undo_all


def _is_openai_s() -> bool:
    """Tell whether the module ``agents`` is OpenAI's: many programs have one of their own."""
    try:
        version(_DISTRIBUTION)
    except PackageNotFoundError:
        return False
    return hasattr(sys.modules.get("agents.tracing.scope"), "Scope")


def _register(processor: WorkflowProcessor) -> Undo:
    """Add our processor to the provider that there is, and to each that is made."""
    from agents.tracing import setup  # noqa: PLC0415 - imported already when this runs
    from agents.tracing.provider import DefaultTraceProvider  # noqa: PLC0415 - as above

    providers: WeakSet[Any] = WeakSet()

    def add(provider: Any) -> None:
        with failures_counted("openai_agents.register"):
            provider.register_processor(processor)
            providers.add(provider)

    def adding(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def method(provider: Any, *args: Any, **kwargs: Any) -> None:
            original(provider, *args, **kwargs)
            add(provider)

        return method

    undo = (replace(DefaultTraceProvider, "__init__", adding), replace(DefaultTraceProvider, "set_processors", adding))
    if setup.GLOBAL_TRACE_PROVIDER is not None:
        add(setup.GLOBAL_TRACE_PROVIDER)

    def undo_all() -> None:
        for each in undo:
            each()
        for provider in list(providers):
            # There is no public way to take one back; a stopped processor that stays costs next to nothing.
            processors = getattr(provider, "_multi_processor", None)
            if processors is not None:
                processors.set_processors([each for each in processors._processors if each is not processor])  # noqa: SLF001 - as above

    return undo_all


def _is_recorded_elsewhere() -> bool:
    if is_recorded_elsewhere(_FRAMEWORK, *_OTHERS):
        return True
    from agents.tracing import setup  # noqa: PLC0415 - as above

    # logfire.instrument_openai_agents() puts a provider of its own round the SDK's (logfire 4).
    module = type(setup.GLOBAL_TRACE_PROVIDER).__module__
    if not module.startswith("logfire.") or InstrumentationSettings.from_environment().force:
        return False
    announce(_FRAMEWORK, "logfire")
    return True
