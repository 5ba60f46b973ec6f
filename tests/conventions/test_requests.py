import pytest

from otel_wfperf.conventions.requests import finish_reasons, reason_in, shows_request
from otel_wfperf.model import Attributes


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.tool.call.id": "call_1"},
        {"gen_ai.response.finish_reasons": ("stop", "tool_calls")},
        {"llm.finish_reason": "tool_use"},
        {"llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "search"},
        {"gen_ai.completion.0.tool_calls.0.name": "search"},
        {"gen_ai.response.finish_reasons": '["tool_calls"]'},
        {"gen_ai.completion": '{"generations":[[{"message":{"kwargs":{"tool_calls":[{"name":"search"}]}}}]]}'},
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
        {"gen_ai.completion": '{"message":{"kwargs":{"tool_calls":[]}}}'},
        {"gen_ai.completion": '{"message":{"tool_calls":null}}'},
        {"gen_ai.completion": r'{"text":"say \"tool_calls\": [{} ]"}'},
        {"llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "search"},
        {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]'},
    ],
)
def test_an_answer_or_an_earlier_request_is_none(attributes: Attributes) -> None:
    assert not shows_request(attributes)


def test_finds_the_reason_in_an_answer_but_not_in_what_it_says() -> None:
    assert reason_in('{"choices":[{"finish_reason": "stop"}]}') == ("stop",)
    assert reason_in('{"stop_reason":"tool_use"}') == ("tool_use",)
    assert reason_in(r'{"text":"\"finish_reason\": \"stop\""}') == reason_in(None) == ()


def test_reasons_are_an_array_a_string_or_json() -> None:
    for written in (("stop",), "stop", '["stop"]'):
        assert finish_reasons({"gen_ai.response.finish_reasons": written}) == ("stop",)
    assert finish_reasons({"gen_ai.response.finish_reasons": ("stop", 3, "")}) == ("stop",)
