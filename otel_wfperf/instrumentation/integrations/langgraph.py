"""LangGraph and LangChain: workflows, phases, agents, tools and model calls.

Hooks, checked with langchain-core 1.7.2 and langgraph 1.2.22:

* ``langchain_core.tracers.context.register_configure_hook``: LangChain's own, additive way to
  add a callback handler to every run. It covers invoke, ainvoke, stream, astream and batch.
* ``_set_config_context`` in ``langchain_core.runnables.config`` and in
  ``langgraph._internal._runnable``: runs in the context that LangChain makes for the user's
  function (a node, lambda or tool), so what is attached there is current in that function
  and nowhere else. A handler cannot do this: LangChain ends asynchronous runs in another
  task, where an attached context cannot be detached, and it would leak to the consumer of
  a stream.
* ``BaseChatModel._generate_with_cache`` and ``_agenerate_with_cache``: run the provider's code
  inside the model call, so that spans of its HTTP client belong there, and tell when it was
  cancelled, which LangChain does not report. ``model.stream()`` and ``astream()`` outside of a
  graph's own streaming do not come through here: their HTTP spans stay beside the model call.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Final

from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.call import Call, add_early_exit, attach, detach, remove_early_exit
from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.others import announce
from otel_wfperf.instrumentation.patching import Undo, replace
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.settings import InstrumentationSettings

if TYPE_CHECKING:
    from otel_wfperf.instrumentation.integrations.langchain.handler import WorkflowHandler

# Instrumentations that record the same runs. All of them wrap `BaseCallbackManager.__init__`: OpenInference
# 0.1.80, OpenLLMetry 0.62.4, opentelemetry-instrumentation-genai-langchain 1.3b0.
_OTHERS: Final = (
    "openinference.instrumentation.langchain",
    "opentelemetry.instrumentation.langchain",
    "opentelemetry.instrumentation.genai.langchain",
)


class LangGraphIntegration:
    """Record LangGraph and LangChain runs.

    Nothing is recorded while another instrumentation records the same runs: the sidecar
    understands its spans, and both together would count every call twice.
    ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "langgraph"
    requires: ClassVar[Mapping[str, str]] = {"langgraph": ">=1.2,<2", "langchain-core": ">=1.4,<2"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="LangGraph and LangChain",
        hook="A callback handler that LangChain's own configure hook adds to every run.",
        tested={"langgraph": "1.2.22", "langchain-core": "1.7.2"},
        workflows="outermost graph or chain",
        phases="node, with its superstep; nodes of one step are a parallel group",
        agents="graph of `create_agent` or `create_react_agent`, or a node named like an agent",
        tools="tool call, bound to the model response that asked for it",
        llm_calls="chat and completion model; tokens of `usage_metadata`, else of the provider's output",
        retries="each attempt of a node is a phase of its own, with its number",
        handoffs="a `Command` to another node shows as the phase that follows",
        missing=(
            "Queue time under `max_concurrency`: callbacks begin when a task starts, not when it is scheduled.",
            "The HTTP spans of a direct `model.stream()` stay beside the model call.",
        ),
    )

    def __init__(self) -> None:
        """Import nothing yet."""
        self._handler: WorkflowHandler | None = None

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "langchain_core.tracers.context": self._add_handler,
            "langchain_core.runnables.config": self._attach_in_langchain,
            "langgraph._internal._runnable": self._attach_in_langgraph,
            "langchain_core.language_models.chat_models": self._attach_in_models,
            "langgraph.errors": _expect_interrupts,
        }

    def _add_handler(self) -> Undo:
        from langchain_core.tracers import context  # noqa: PLC0415 - imported already when this runs

        from otel_wfperf.instrumentation.integrations.langchain.handler import WorkflowHandler  # noqa: PLC0415 - needs langchain_core

        handler = self._handler = WorkflowHandler(self._is_recorded_elsewhere)
        variable: ContextVar[WorkflowHandler | None] = ContextVar("otel_wfperf_handler", default=handler)
        context.register_configure_hook(variable, inheritable=True)
        end_dropped = handler.runs.end_dropped
        SAMPLER.after_sample.append(end_dropped)

        def undo() -> None:
            self._handler = None
            handler.stop()
            SAMPLER.after_sample.remove(end_dropped)
            # There is no public way to take a hook back; a stopped handler that stays is only a little slower.
            hooks = getattr(context, "_configure_hooks", [])
            hooks[:] = [hook for hook in hooks if hook[0] is not variable]

        return undo

    def _attach_in_langchain(self) -> Undo:
        from langchain_core.runnables import config  # noqa: PLC0415 - as above

        return replace(config, "_set_config_context", self._attaching)

    def _attach_in_langgraph(self) -> Undo:
        from langgraph._internal import _runnable  # noqa: PLC0415 - as above

        return replace(_runnable, "_set_config_context", self._attaching)

    def _attaching(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def set_config_context(config: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
            result = original(config, *args, **kwargs)
            if self._handler is not None:
                self._handler.attach(config)
            return result

        return set_config_context

    def _attach_in_models(self) -> Undo:
        from langchain_core.language_models.chat_models import BaseChatModel  # noqa: PLC0415 - as above

        undo = (
            replace(BaseChatModel, "_generate_with_cache", self._inside),
            replace(BaseChatModel, "_agenerate_with_cache", self._inside_async),
        )

        def undo_both() -> None:
            for each in undo:
                each()

        return undo_both

    def _inside(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def generate(*args: Any, **kwargs: Any) -> Any:
            call = self._model_call(kwargs)
            if call is None:
                return original(*args, **kwargs)
            token = otel_context.attach(call.context)
            try:
                return original(*args, **kwargs)
            finally:
                detach(token)

        return generate

    def _inside_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def generate(*args: Any, **kwargs: Any) -> Any:
            call = self._model_call(kwargs)
            with attach(call):
                try:
                    return await original(*args, **kwargs)
                except asyncio.CancelledError as cancelled:
                    if call is not None:
                        call.end(cancelled)
                    raise

        return generate

    def _model_call(self, arguments: Mapping[str, Any]) -> Call | None:
        handler, run_manager = self._handler, arguments.get("run_manager")
        return None if handler is None or run_manager is None else handler.call_of(run_manager.run_id)

    def _is_recorded_elsewhere(self) -> bool:
        other = other_instrumentation()
        if other is None or InstrumentationSettings.from_environment().force:
            return False
        announce("LangGraph", other)
        return True


def other_instrumentation() -> str | None:
    """Name another instrumentation that records LangChain runs now; None = there is none."""
    from langchain_core.callbacks import BaseCallbackManager  # noqa: PLC0415 - called by the handler only

    method: Any = vars(BaseCallbackManager)["__init__"]
    while method is not None:
        wrapper = getattr(method, "_self_wrapper", None)
        module = getattr(wrapper, "__module__", None) or type(wrapper).__module__
        if wrapper is not None and str(module).startswith(_OTHERS):
            return str(module)
        method = getattr(method, "__wrapped__", None)
    langsmith = (os.environ.get(name, "").lower() == "true" for name in ("LANGSMITH_TRACING", "LANGSMITH_OTEL_ENABLED"))
    return "langsmith" if all(langsmith) else None


def _expect_interrupts() -> Undo:
    from langgraph.errors import GraphBubbleUp  # noqa: PLC0415 - as above

    # Interrupts and commands to a parent graph are exceptions that stop a node on purpose.
    add_early_exit(GraphBubbleUp)
    return lambda: remove_early_exit(GraphBubbleUp)
