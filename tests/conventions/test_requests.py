import pytest

from otel_wfperf.conventions.requests import shows_request
from otel_wfperf.model import Attributes


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.tool.call.id": "call_1"},
        {"gen_ai.response.finish_reasons": ("stop", "tool_calls")},
        {"llm.finish_reason": "tool_use"},
        {"llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "search"},
        {"gen_ai.completion.0.tool_calls.0.name": "search"},
        {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "tool_call", "name": "search"}]}]'},
    ],
)
def test_sees_that_a_model_asked_for_tools(attributes: Attributes) -> None:
    assert shows_request(attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"gen_ai.response.finish_reasons": ("stop",)},
        {"gen_ai.response.finish_reasons": 7},
        {"llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "search"},
        {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]'},
    ],
)
def test_an_answer_or_an_earlier_request_is_none(attributes: Attributes) -> None:
    assert not shows_request(attributes)
