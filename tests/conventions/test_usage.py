import pytest

from otel_wfperf.conventions.usage import usage_in
from otel_wfperf.model import Attributes, TokenUsage


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, None),
        ({"total_tokens": 7}, None),
        ({"input_tokens": 3}, TokenUsage(input=3)),
        ({"prompt_tokens": 3, "completion_tokens": 4}, TokenUsage(input=3, output=4)),
        (
            {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}},
            TokenUsage(input=10, output=2, cache_read=4),
        ),
        (
            {"input_tokens": 10, "output_tokens": 2, "input_token_details": {"cache_read": 4, "cache_creation": 1}},
            TokenUsage(input=10, output=2, cache_read=4, cache_write=1),
        ),
        ({"input_tokens": "many", "output_tokens": 2, "output_tokens_details": [1]}, TokenUsage(output=2)),
    ],
)
def test_reads_the_spellings_of_providers(usage: Attributes, tokens: TokenUsage | None) -> None:
    assert usage_in(usage) == tokens


def test_parts_count_beside_the_whole_unless_the_total_says_no() -> None:
    usage: Attributes = {"input": 10, "output": 2, "input_cache_read": 30}

    assert usage_in(usage, parts_beside=True) == TokenUsage(input=40, output=2, cache_read=30)
    assert usage_in({**usage, "input": 40, "total": 42}, parts_beside=True) == TokenUsage(
        input=40, output=2, cache_read=30
    )
    assert usage_in({**usage, "input": 40}) == TokenUsage(input=40, output=2, cache_read=30)
