"""AutoGen's own spans: GenAI attributes for agents and tools, and a span for each step of a message's way.

Read with autogen-core and autogen-agentchat 0.7.5. There is no span for the run of a team, nor for a model call.
A message goes ``create`` (put in the queue; of a question until it is answered), ``publish`` or ``send`` (taken out of
the queue), ``process`` (handled by one agent), ``ack``; each links to the ``create`` before it, and begins a trace
unless something is current. Names hold the UUID of the team, which is what its traces have in common.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import text
from otel_wfperf.conventions.fields import span_fields
from otel_wfperf.conventions.genai import GenAI
from otel_wfperf.model import Operation, OperationKind, Span
from otel_wfperf.model.construction import changed

_GENAI: Final = GenAI()
_SCOPES: Final = ("autogen ", "autogen-core")
_OPERATION: Final = "messaging.operation"
_DESTINATION: Final = "messaging.destination"
_UUID: Final = re.compile(r"_?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
# "{type}.({key})-A" for an agent, "{type}.({source})-T" for a topic.
_KEY: Final = re.compile(r"\.\((.*)\)-[AT]$", re.DOTALL)
# Class of the agent that manages a team; its name says which kind of team it is.
_MANAGERS: Final[Mapping[str, str]] = {
    "GraphFlowManager": "GraphFlow",
    "MagenticOneOrchestrator": "MagenticOneGroupChat",
    "RoundRobinGroupChatManager": "RoundRobinGroupChat",
    "SelectorGroupChatManager": "SelectorGroupChat",
    "SwarmGroupChatManager": "Swarm",
}
_CLASSES: Final = ("recipient_agent_class", "sender_agent_class")


class AutoGen:
    """Spans that autogen-core writes."""

    name: ClassVar[str] = "autogen"

    def recognises(self, span: Span) -> bool:
        """Tell whether AutoGen wrote the span."""
        if span.scope.startswith(_SCOPES):
            return True
        return span.name.startswith("autogen ") and text(span.attributes, _DESTINATION, _OPERATION) is not None

    def operation(self, span: Span) -> Operation:
        """Say what a span of AutoGen means."""
        if text(span.attributes, semconv.OPERATION_NAME) is None:
            return _hop(span)
        found = _UUID.search(text(span.attributes, "gen_ai.agent.id") or "")
        operation = _GENAI.operation(span)
        return changed(operation, dialect=self.name, conversation=found[1] if found else operation.conversation)


def _hop(span: Span) -> Operation:
    """Describe a step of a message's way; its name is the step and whom or what it is for, without ids."""
    attributes = span.attributes
    destination = text(attributes, _DESTINATION) or ""
    step = span.name.removeprefix("autogen ").partition(" ")[0]
    subject = _UUID.sub("", _KEY.sub("", destination))
    found = _UUID.search(destination) or _UUID.search(text(attributes, "sender_agent_type") or "")
    workflows = (_MANAGERS.get(text(attributes, name) or "") for name in _CLASSES)
    return Operation(
        **span_fields(span),
        kind=OperationKind.OTHER,
        name=f"{step} {subject}".strip(),
        dialect=AutoGen.name,
        workflow=next((name for name in workflows if name is not None), None),
        conversation=found[1] if found else None,
    )
