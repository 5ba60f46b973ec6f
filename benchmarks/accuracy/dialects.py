"""The same operations, as others would have written them.

Emitters that these imitate: openinference-instrumentation-langchain 0.1.80, opentelemetry-instrumentation-langchain
0.62.4 (OpenLLMetry) and opentelemetry-instrumentation-genai-langchain 1.3b0, with content recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind

from benchmarks.accuracy import scenario as evidence
from benchmarks.accuracy.recording import Content, Dialect, Recorded
from otel_wfperf import semconv

# What only our own spans tell.
_OURS_ALONE: Final = frozenset(
    {
        evidence.ATTEMPTS,
        evidence.CPU,
        evidence.DECLARED,
        evidence.HANDOFFS,
        evidence.RESOURCES,
        evidence.TURNS,
        evidence.WAITS,
    }
)
_NOBODYS: Final = ("wait", "context", "handoff")
Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Noted:
    """One of our spans, with what it was about."""

    span: ReadableSpan
    attributes: Mapping[str, Any]
    content: Content

    @property
    def kind(self) -> str:
        """What it is, in our words."""
        return str(self.attributes.get(semconv.SPAN_KIND, ""))

    @property
    def subject(self) -> str:
        """Name of the phase, agent, tool, model or workflow."""
        names = {
            "workflow": semconv.WORKFLOW_NAME,
            "phase": semconv.PHASE_NAME,
            "agent": semconv.AGENT_NAME,
            "tool": semconv.TOOL_NAME,
            "llm": semconv.REQUEST_MODEL,
            "retrieval": semconv.DATA_SOURCE_ID,
        }
        return str(self.attributes[names[self.kind]])

    @property
    def messages(self) -> Sequence[Mapping[str, str]]:
        """Prompt of a model call."""
        return self.content.given if isinstance(self.content.given, list) else ()

    @property
    def asks(self) -> bool:
        """Whether a model asked for tools."""
        return "tool_calls" in self.attributes.get(semconv.FINISH_REASONS, ())

    def tokens(self, prompt: str, completion: str, cached: str) -> Attributes:
        """Spell the tokens of a model call."""
        names = {semconv.INPUT_TOKENS: prompt, semconv.OUTPUT_TOKENS: completion, semconv.CACHE_READ_TOKENS: cached}
        return {name: self.attributes[ours] for ours, name in names.items() if ours in self.attributes}

    def first_piece(self, name: str) -> Sequence[Event]:
        """Note the first piece of a streamed answer as an event."""
        first_s = self.attributes.get(semconv.TIME_TO_FIRST_CHUNK)
        return () if first_s is None else (Event(name, timestamp=(self.span.start_time or 0) + round(first_s * 1e9)),)

    def written(
        self, name: str, attributes: Attributes, *, scope: InstrumentationScope, events: Sequence[Event] = ()
    ) -> ReadableSpan:
        """Write the span with other words."""
        return ReadableSpan(
            name=name,
            context=self.span.context,
            parent=self.span.parent,
            resource=self.span.resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            events=events,
            kind=SpanKind.CLIENT if self.kind == "llm" else SpanKind.INTERNAL,
            status=self.span.status,
            start_time=self.span.start_time,
            end_time=self.span.end_time,
            instrumentation_scope=scope,
        )


class Native:
    """Ours: hashes in the place of content."""

    name = "wfperf"
    carries = evidence.EVERYTHING

    def write(self, recorded: Recorded) -> Iterator[ReadableSpan]:
        """Leave the spans as they are."""
        yield from recorded.spans


def _noted(recorded: Recorded, write: Callable[[Noted], ReadableSpan]) -> Iterator[ReadableSpan]:
    """Write our spans in other words; leave those of the HTTP client, and leave out what others do not know."""
    for span in recorded.spans:
        attributes = span.attributes or {}
        if semconv.SPAN_KIND not in attributes:
            yield span
        elif attributes[semconv.SPAN_KIND] not in _NOBODYS:
            context: Any = span.context
            yield write(Noted(span, attributes, recorded.contents.get(context.span_id, Content())))


class OpenInference:
    """OpenInference."""

    name = "openinference"
    carries = evidence.EVERYTHING - _OURS_ALONE
    _scope = InstrumentationScope("openinference.instrumentation.langchain", "0.1.80")
    _kinds: Final = {"phase": "CHAIN", "workflow": "CHAIN", "agent": "AGENT", "tool": "TOOL", "retrieval": "RETRIEVER"}

    def write(self, recorded: Recorded) -> Iterator[ReadableSpan]:
        """Write what OpenInference knows."""
        yield from _noted(recorded, self._span)

    def _span(self, noted: Noted) -> ReadableSpan:
        if noted.kind == "llm":
            event = noted.first_piece("First Token Stream Event")
            return noted.written("ChatOpenAI", self._model_call(noted), scope=self._scope, events=event)
        attributes: Attributes = {
            "openinference.span.kind": self._kinds[noted.kind],
            "input.value": _text(noted.content.given),
            "output.value": _text(noted.content.result),
            semconv.ERROR_TYPE: noted.attributes.get(semconv.ERROR_TYPE),
        }
        if noted.kind == "phase":
            attributes["metadata"] = json.dumps(_graph(noted))
        elif noted.kind == "agent":
            attributes["agent.name"] = noted.subject
        elif noted.kind == "tool":
            attributes["tool.name"] = noted.subject
            attributes["tool_call.id"] = noted.attributes.get(semconv.TOOL_CALL_ID)
        return noted.written(noted.subject, attributes, scope=self._scope)

    def _model_call(self, noted: Noted) -> Attributes:
        prefix = "llm.token_count"
        temperature = noted.attributes.get(semconv.REQUEST_TEMPERATURE)
        attributes: Attributes = {
            "openinference.span.kind": "LLM",
            "llm.model_name": noted.subject,
            "llm.invocation_parameters": None if temperature is None else json.dumps({"temperature": temperature}),
            semconv.ERROR_TYPE: noted.attributes.get(semconv.ERROR_TYPE),
            **noted.tokens(f"{prefix}.prompt", f"{prefix}.completion", f"{prefix}.prompt_details.cache_read"),
        }
        for at, message in enumerate(noted.messages):
            attributes |= {f"llm.input_messages.{at}.message.{key}": value for key, value in message.items()}
        if noted.content.result is not None:
            attributes["llm.output_messages.0.message.role"] = "assistant"
            attributes["llm.output_messages.0.message.content"] = noted.content.result
            attributes["llm.finish_reason"] = "tool_calls" if noted.asks else "stop"
        return attributes


class OpenLLMetry:
    """OpenLLMetry."""

    name = "openllmetry"
    carries = evidence.EVERYTHING - _OURS_ALONE
    _scope = InstrumentationScope("opentelemetry.instrumentation.langchain", "0.62.4")
    _kinds: Final = {"phase": "task", "retrieval": "task"}

    def write(self, recorded: Recorded) -> Iterator[ReadableSpan]:
        """Write what OpenLLMetry knows."""
        names = {
            (each.context.trace_id if each.context else 0): str(each.attributes[semconv.WORKFLOW_NAME])
            for each in recorded.spans
            if each.attributes and semconv.WORKFLOW_NAME in each.attributes and each.parent is None
        }

        def write(noted: Noted) -> ReadableSpan:
            return self._span(noted, names.get(noted.span.context.trace_id if noted.span.context else 0))

        yield from _noted(recorded, write)

    def _span(self, noted: Noted, workflow: str | None) -> ReadableSpan:
        attributes: Attributes = {
            "traceloop.workflow.name": workflow,
            semconv.ERROR_TYPE: noted.attributes.get(semconv.ERROR_TYPE),
        }
        if noted.kind == "llm":
            event = noted.first_piece("gen_ai.content.completion.chunk")
            attributes |= self._model_call(noted)
            return noted.written("ChatOpenAI.chat", attributes, scope=self._scope, events=event)
        kind = self._kinds.get(noted.kind, noted.kind)
        attributes |= {
            "traceloop.span.kind": kind,
            "traceloop.entity.name": noted.subject,
            "traceloop.entity.input": _envelope("inputs", noted.content.given),
            "traceloop.entity.output": _envelope("outputs", noted.content.result),
        }
        if noted.kind == "phase":
            prefix = "traceloop.association.properties"
            attributes |= {f"{prefix}.{name}": value for name, value in _graph(noted).items()}
        elif noted.kind == "retrieval":
            attributes[semconv.OPERATION_NAME] = "vector_db_retrieve"
        elif noted.kind == "tool":
            attributes |= {
                semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
                semconv.TOOL_NAME: noted.subject,
                semconv.TOOL_CALL_ID: noted.attributes.get(semconv.TOOL_CALL_ID),
            }
        return noted.written(f"{noted.subject}.{kind}", attributes, scope=self._scope)

    def _model_call(self, noted: Noted) -> Attributes:
        attributes: Attributes = {
            semconv.OPERATION_NAME: semconv.CHAT,
            semconv.PROVIDER_NAME: "openai",
            semconv.REQUEST_MODEL: noted.subject,
            semconv.REQUEST_TEMPERATURE: noted.attributes.get(semconv.REQUEST_TEMPERATURE),
            **noted.tokens(semconv.INPUT_TOKENS, semconv.OUTPUT_TOKENS, semconv.CACHE_READ_TOKENS),
        }
        for at, message in enumerate(noted.messages):
            attributes |= {f"gen_ai.prompt.{at}.{key}": value for key, value in message.items()}
        if noted.content.result is not None:
            attributes |= {
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.content": noted.content.result,
                semconv.FINISH_REASONS: ("tool_calls" if noted.asks else "stop",),
            }
        return attributes


class GenAI:
    """The official conventions; steps of the orchestrator are spans of the program that say nothing."""

    name = "genai"
    carries = evidence.EVERYTHING - _OURS_ALONE - {evidence.PHASES, evidence.STEPS}
    _scope = InstrumentationScope("opentelemetry.instrumentation.genai.langchain", "1.3b0")
    _app = InstrumentationScope("app", "1")
    _operations: Final = {
        "workflow": (semconv.INVOKE_WORKFLOW, semconv.WORKFLOW_NAME),
        "agent": (semconv.INVOKE_AGENT, semconv.AGENT_NAME),
        "tool": (semconv.EXECUTE_TOOL, semconv.TOOL_NAME),
        "llm": (semconv.CHAT, semconv.REQUEST_MODEL),
        "retrieval": (semconv.RETRIEVAL, semconv.DATA_SOURCE_ID),
    }

    def write(self, recorded: Recorded) -> Iterator[ReadableSpan]:
        """Write what the conventions know."""
        yield from _noted(recorded, self._span)

    def _span(self, noted: Noted) -> ReadableSpan:
        if noted.kind == "phase":
            return noted.written(noted.subject, {}, scope=self._app)
        operation, names = self._operations[noted.kind]
        attributes: Attributes = {
            semconv.OPERATION_NAME: operation,
            names: noted.subject,
            semconv.ERROR_TYPE: noted.attributes.get(semconv.ERROR_TYPE),
            semconv.CONVERSATION_ID: noted.attributes.get(semconv.CONVERSATION_ID),
        }
        if noted.kind == "llm":
            attributes |= self._model_call(noted)
        elif noted.kind == "tool":
            attributes |= {
                semconv.TOOL_CALL_ID: noted.attributes.get(semconv.TOOL_CALL_ID),
                "gen_ai.tool.call.arguments": _text(noted.content.given),
                "gen_ai.tool.call.result": _text(noted.content.result),
            }
        elif noted.kind == "retrieval":
            attributes |= {
                "gen_ai.retrieval.query.text": _text(noted.content.given),
                "gen_ai.retrieval.documents": _text(noted.content.result),
            }
        return noted.written(f"{operation} {noted.subject}", attributes, scope=self._scope)

    def _model_call(self, noted: Noted) -> Attributes:
        kept = (
            semconv.PROVIDER_NAME,
            semconv.REQUEST_TEMPERATURE,
            semconv.INPUT_TOKENS,
            semconv.OUTPUT_TOKENS,
            semconv.CACHE_READ_TOKENS,
            semconv.FINISH_REASONS,
            semconv.TIME_TO_FIRST_CHUNK,
            semconv.RESPONSE_ID,
        )
        attributes: Attributes = {name: noted.attributes[name] for name in kept if name in noted.attributes}
        attributes["gen_ai.input.messages"] = json.dumps([_parts(**message) for message in noted.messages])
        if noted.content.result is not None:
            answer = _parts("assistant", str(noted.content.result))
            attributes["gen_ai.output.messages"] = json.dumps([answer])
        return attributes


DIALECTS: Final[tuple[Dialect, ...]] = (Native(), OpenInference(), OpenLLMetry(), GenAI())


def _parts(role: str, content: str) -> Mapping[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _graph(noted: Noted) -> Mapping[str, Any]:
    """Say what LangGraph says of a node."""
    step = noted.attributes.get(semconv.PHASE_STEP)
    return {"langgraph_node": noted.subject} | ({} if step is None else {"langgraph_step": step})


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _envelope(name: str, value: object) -> str | None:
    return None if value is None else json.dumps({name: value})
