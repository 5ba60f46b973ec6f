"""Agno: workflows, teams, agents, tools and model calls.

Agno tells of a run only to whoever reads its stream, so these are replaced (checked with agno 3.1.10):

* ``run``, ``arun``, ``continue_run`` and ``acontinue_run`` of ``Workflow``, ``Team`` and ``Agent``;
* ``background_executor`` of ``Team`` and ``Agent``, whose threads write memories down without the run's context;
* ``execute``, ``aexecute`` and their streaming twins of ``Step``, ``Parallel`` and the blocks ``Steps``, ``Loop``,
  ``Condition`` and ``Router``;
* ``_invoke_with_retry`` and its three twins of ``Model``, through which every model is asked;
* ``execute`` and ``aexecute`` of ``FunctionCall``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class AgnoIntegration:
    """Record Agno.

    Nothing is recorded of runs that another instrumentation records; ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "agno"
    requires: ClassVar[Mapping[str, str]] = {"agno": ">=3.1,<4"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="Agno",
        hook="The methods that run workflows, steps, teams, agents, tools and models, for want of a global hook.",
        tested={"agno": "3.1.10"},
        workflows="run of a `Workflow`; a run that is continued after a pause is an execution of its own",
        phases=(
            "`Step`, and each block (`Steps`, `Loop`, `Condition`, `Router`) with what it runs; "
            "the branches of a `Parallel` block are one parallel group"
        ),
        agents="run of an `Agent` or a `Team`; a member is below the tool call that delegates to it",
        tools="tool call, bound to the model response that asked for it",
        llm_calls="call of any model within a run; tokens of the response's usage",
        retries="each attempt of a step that runs an agent is another run of the agent below the step",
        handoffs="delegation to a member of a team is a tool call with the member's run below it",
        missing=(
            "Attempts of a step that runs a function: Agno repeats it within the step without a trace.",
            "The delay between attempts of a model, which is part of the model call.",
            "The end of a run in the background: it ends, for us, when it is handed over; what it does is below it.",
            "The time for which a run is paused, between `run` and `continue_run`: nothing runs then.",
            "Models that are called outside of an agent, a team or a workflow.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "agno.agent.agent": _record_agents,
            "agno.team.team": _record_teams,
            "agno.workflow.workflow": _record_workflows,
            "agno.workflow.step": _record_steps,
            "agno.workflow.parallel": _record_parallel,
            "agno.workflow.steps": _record_block("steps", "Steps"),
            "agno.workflow.loop": _record_block("loop", "Loop"),
            "agno.workflow.condition": _record_block("condition", "Condition"),
            "agno.workflow.router": _record_block("router", "Router"),
            "agno.models.base": _record_models,
            "agno.tools.function": _record_tools,
        }


def _record_agents() -> Undo:
    from agno.agent.agent import Agent  # noqa: PLC0415 - imported already when this runs

    return _record_agents_of(Agent)


def _record_teams() -> Undo:
    from agno.team.team import Team  # noqa: PLC0415 - as above

    return _record_agents_of(Team)


def _record_agents_of(owner: Any) -> Undo:
    from otel_wfperf.instrumentation.integrations.agno_parts import running, threads  # noqa: PLC0415 - with Agno

    start = running.start_run_of_agent
    return _all(
        replace(owner, "run", running.running(start)),
        replace(owner, "arun", running.running_async(start)),
        replace(owner, "continue_run", running.running(start)),
        replace(owner, "acontinue_run", running.running_async(start)),
        replace(owner, "background_executor", threads.keeping_context),
    )


def _record_workflows() -> Undo:
    from agno.workflow.workflow import Workflow  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.agno_parts import running  # noqa: PLC0415 - as above

    start = running.start_run_of_workflow
    return _all(
        replace(Workflow, "run", running.running(start)),
        replace(Workflow, "arun", running.running_async(start)),
        replace(Workflow, "continue_run", running.running(start)),
        replace(Workflow, "acontinue_run", running.continuing_async(start)),
    )


def _record_steps() -> Undo:
    from agno.workflow.step import Step  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.agno_parts import running  # noqa: PLC0415 - as above

    return _record_executions(Step, running.start_step)


def _record_parallel() -> Undo:
    from agno.workflow.parallel import Parallel  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.agno_parts import running  # noqa: PLC0415 - as above

    return _record_executions(Parallel, running.start_parallel)


def _record_block(module: str, name: str) -> Callable[[], Undo]:
    def record() -> Undo:
        from otel_wfperf.instrumentation.integrations.agno_parts import running  # noqa: PLC0415 - as above

        block = getattr(sys.modules[f"agno.workflow.{module}"], name)
        return _record_executions(block, running.start_step)

    return record


def _record_executions(owner: Any, start: Any) -> Undo:
    from otel_wfperf.instrumentation.integrations.agno_parts import running  # noqa: PLC0415 - as above

    return _all(
        replace(owner, "execute", running.executing(start)),
        replace(owner, "aexecute", running.executing_async(start)),
        replace(owner, "execute_stream", running.streaming(start)),
        replace(owner, "aexecute_stream", running.streaming_async(start)),
    )


def _record_models() -> Undo:
    from agno.models.base import Model  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.agno_parts import models  # noqa: PLC0415 - as above

    return _all(
        replace(Model, "_invoke_with_retry", models.asking),
        replace(Model, "_ainvoke_with_retry", models.asking_async),
        replace(Model, "_invoke_stream_with_retry", models.streaming),
        replace(Model, "_ainvoke_stream_with_retry", models.streaming_async),
    )


def _record_tools() -> Undo:
    from agno.tools.function import FunctionCall  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.integrations.agno_parts import models  # noqa: PLC0415 - as above

    return _all(
        replace(FunctionCall, "execute", models.calling),
        replace(FunctionCall, "aexecute", models.calling_async),
    )


def _all(*undo: Undo) -> Undo:
    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all
