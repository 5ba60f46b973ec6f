"""The model server is itself checked with OpenAI's own client."""

import pytest

pytest.importorskip("openai")
import openai

from otel_wfperf.model import TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall

USED = TokenUsage(input=12, output=3, cache_read=4, reasoning=1)


def client(server: ModelServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def test_openai_s_client_reads_text_tool_calls_and_tokens_of_a_chat(model_server: ModelServer) -> None:
    model_server.script(Answer("hello there", tokens=USED), Answer(tools=[ToolCall("search", {"q": "x"})]))
    with client(model_server) as openai_client:
        first = openai_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        second = openai_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

    assert first.choices[0].message.content == "hello there"
    assert (first.usage.prompt_tokens, first.usage.prompt_tokens_details.cached_tokens) == (12, 4)
    [call] = second.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("search", '{"q": "x"}')
    assert model_server.served == USED + TokenUsage(input=10, output=5)


def test_openai_s_client_reads_a_streamed_chat(model_server: ModelServer) -> None:
    model_server.script(Answer("a b c", tokens=USED))
    with client(model_server) as openai_client:
        stream = openai_client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "a b c"
    assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
def test_openai_s_client_reads_a_response(model_server: ModelServer, *, stream: bool) -> None:
    model_server.script(Answer("a b", tools=[ToolCall("search")], tokens=USED))
    with client(model_server) as openai_client:
        if stream:
            with openai_client.responses.stream(model="m", input="hi") as events:
                list(events)
                response = events.get_final_response()
        else:
            response = openai_client.responses.create(model="m", input="hi")

    assert response.output_text == "a b"
    assert response.output[1].name == "search"
    assert (response.usage.input_tokens, response.usage.output_tokens_details.reasoning_tokens) == (12, 1)


def test_rules_go_before_the_script_and_failures_count_no_tokens(model_server: ModelServer) -> None:
    model_server.script("scripted")
    model_server.when("marker", Answer("no", status=429))
    with client(model_server) as openai_client:
        with pytest.raises(openai.RateLimitError):
            openai_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "marker"}])
        assert model_server.served == TokenUsage()
        answer = openai_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

    assert answer.choices[0].message.content == "scripted"
    assert len(model_server.requests) == 2
