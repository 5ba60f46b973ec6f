"""smolagents: agents, steps, tools and model calls.

smolagents has no hook that sees a start, so these are replaced (checked with smolagents 1.26.0):

* ``MultiStepAgent.run``;
* ``Tool.__call__``; not where a class of tools has its own: smolagents tells by its code whether to send it elsewhere;
* the generators ``_step_stream`` and ``_generate_planning_step`` of each class of agents, and ``generate`` and
  ``generate_stream`` of each class of models; also of those that the program defines later;
* ``RateLimiter.throttle`` and ``Retrying.__call__``, which wait;
* ``timeout`` of ``local_python_executor``, which runs the code of a ``CodeAgent`` in a thread without its context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class SmolagentsIntegration:
    """Record smolagents.

    Nothing is recorded of runs that another instrumentation records; ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "smolagents"
    requires: ClassVar[Mapping[str, str]] = {"smolagents": ">=1.26,<2"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="smolagents",
        hook="The methods of agents, tools and models, for want of a hook that sees a start.",
        tested={"smolagents": "1.26.0"},
        workflows="run of the outermost agent",
        phases="`plan` and `act`, the steps of an agent, with their number",
        agents="run of an agent, by its name or class; a managed agent is below the step that asked for it",
        tools="tool call, bound to the model response that asked for it; of a `CodeAgent` each call in its code",
        llm_calls="`generate` and `generate_stream` of any model; tokens of the answer",
        waits="`requests_per_minute` of a model, and the delay before a model is tried again",
        retries="another attempt of a model shows as the wait before it, within the call",
        handoffs="a managed agent is an agent below the step that called it",
        missing=(
            "Which of several calls of one tool in one answer has which id: they are matched in order.",
            "Tools that a `CodeAgent` runs in another process or container.",
            "Tools whose class replaces `__call__` and does not call that of `Tool`.",
            "Answers of a model whose `generate_stream` returns something other than a generator.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "smolagents.agents": _record_agents,
            "smolagents.models": _record_models,
            "smolagents.tools": _record_tools,
            "smolagents.utils": _record_waits,
            "smolagents.local_python_executor": _keep_context,
        }


def _record_agents() -> Undo:
    from smolagents.agents import MultiStepAgent  # noqa: PLC0415 - imported already

    from otel_wfperf.instrumentation.integrations.smolagents_parts import agents  # noqa: PLC0415 - with the framework
    from otel_wfperf.instrumentation.integrations.smolagents_parts.classes import Family  # noqa: PLC0415 - as above

    steps = {"_step_stream": agents.acting, "_generate_planning_step": agents.planning}
    return _all(replace(MultiStepAgent, "run", agents.running), Family(MultiStepAgent, steps).replace_all())


def _record_tools() -> Undo:
    from smolagents.tools import Tool  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.smolagents_parts import agents  # noqa: PLC0415 - as above

    return replace(Tool, "__call__", agents.calling)


def _record_models() -> Undo:
    from smolagents.models import Model  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.smolagents_parts import models  # noqa: PLC0415 - as above
    from otel_wfperf.instrumentation.integrations.smolagents_parts.classes import Family  # noqa: PLC0415 - as above

    return Family(Model, {"generate": models.generating, "generate_stream": models.streaming}).replace_all()


def _record_waits() -> Undo:
    from smolagents.utils import RateLimiter, Retrying  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.smolagents_parts import waits  # noqa: PLC0415 - as above

    return _all(replace(RateLimiter, "throttle", waits.throttling), replace(Retrying, "__call__", waits.retrying))


def _keep_context() -> Undo:
    from smolagents import local_python_executor  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.smolagents_parts import waits  # noqa: PLC0415 - as above

    return replace(local_python_executor, "timeout", waits.keeping_context)


def _all(*undo: Undo) -> Undo:
    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all
