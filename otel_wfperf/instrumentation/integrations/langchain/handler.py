"""The callback handler that turns LangChain runs into operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.langchain.callbacks import (
    describe_input,
    describe_output,
    runnable_name,
    without_none,
)
from otel_wfperf.instrumentation.integrations.langchain.models import ModelCallbacks


class WorkflowHandler(ModelCallbacks):
    """Records workflows, phases, agents, tools and retrievals, and as a :class:`ModelCallbacks` model calls."""

    @never_raises("langchain.on_chain_start")
    def on_chain_start(
        self,
        serialized: Mapping[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        run_type: str | None = None,
        **_: Any,
    ) -> None:
        """Start what the run is: a workflow, an agent, a phase, or nothing of its own."""
        run = self.start(run_id, parent_run_id, name or runnable_name(serialized), metadata)
        if run is not None:
            self.runs.start_chain(run, tags or (), run_type, inputs)

    @never_raises("langchain.on_chain_end")
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """End a chain."""
        run = self.runs.remove(run_id)
        if run is not None and run.call is not None:
            run.end(attributes=None if run.is_step_of_agent else describe_output(run, outputs))

    @never_raises("langchain.on_chain_error")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a chain that raised."""
        self.fail(run_id, error)

    @never_raises("langchain.on_tool_start")
    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        tool_call_id: str | None = None,
        **_: Any,
    ) -> None:
        """Start a tool."""
        run = self.start(run_id, parent_run_id, runnable_name(serialized), metadata)
        if run is None:
            return
        attributes = {
            semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
            semconv.TOOL_NAME: run.name,
            semconv.AGENT_NAME: run.anchor.agent if run.anchor is not None else None,
            semconv.TOOL_CALL_ID: tool_call_id,
            semconv.TURN_ID: run.execution.turns.pop(tool_call_id, None) if tool_call_id else None,
        }
        run.call = run.begin("tool", run.name, f"execute_tool {run.name}", without_none(attributes))
        describe_input(run, input_str if inputs is None else inputs)

    @never_raises("langchain.on_tool_end")
    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """End a tool."""
        run = self.runs.remove(run_id)
        if run is not None:
            # ToolNode and handle_tool_error turn exceptions into messages for the model.
            failed = getattr(output, "status", None) == "error"
            result = describe_output(run, getattr(output, "content", output))
            run.end(error_type="tool_error" if failed else None, attributes=result)

    @never_raises("langchain.on_tool_error")
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a tool that raised."""
        self.fail(run_id, error)

    @never_raises("langchain.on_retriever_start")
    def on_retriever_start(
        self,
        serialized: Mapping[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Start a retrieval."""
        run = self.start(run_id, parent_run_id, name or runnable_name(serialized), metadata)
        if run is None:
            return
        attributes = {semconv.OPERATION_NAME: semconv.RETRIEVAL, semconv.DATA_SOURCE_ID: run.name}
        run.call = run.begin("retrieval", run.name, f"retrieval {run.name}", attributes)
        describe_input(run, query)

    @never_raises("langchain.on_retriever_end")
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        """End a retrieval."""
        run = self.runs.remove(run_id)
        if run is not None:
            run.end(attributes=describe_output(run, documents))

    @never_raises("langchain.on_retriever_error")
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a retrieval that raised."""
        self.fail(run_id, error)
