"""Token usage that is written as a map, in the spellings of providers and frameworks."""

from collections.abc import Mapping
from typing import Final

from otel_wfperf.conventions.attributes import count
from otel_wfperf.conventions.genai import token_usage
from otel_wfperf.model import Attributes, TokenUsage

_INPUT: Final = ("input_tokens", "prompt_tokens", "input", "prompt")
_OUTPUT: Final = ("output_tokens", "completion_tokens", "output", "completion")
_TOTAL: Final = ("total_tokens", "total")
_CACHE_READ: Final = ("cache_read_input_tokens", "input_cache_read", "input_cached_tokens", "cache_read_tokens")
_CACHE_WRITE: Final = (
    "cache_creation_input_tokens",
    "input_cache_creation",
    "input_cache_write",
    "cache_creation_tokens",
    "cache_write_input_tokens",
)
_REASONING: Final = ("reasoning_tokens", "output_reasoning", "output_reasoning_tokens")
# OpenAI's chat completions and responses, LangChain's usage metadata.
_INPUT_PARTS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_PARTS: Final = ("completion_tokens_details", "output_tokens_details", "output_token_details")


def usage_in(usage: Attributes, *, parts_beside: bool = False) -> TokenUsage | None:
    """Read a map of token counts; None when it has neither input nor output.

    Args:
        usage: The map, with keys of OpenAI, Anthropic, LangChain, MLflow or Langfuse.
        parts_beside: True where what was cached may be counted beside the input, and reasoning beside the output,
            unless the total shows that they are parts of it.
    """
    given, answered = count(usage, *_INPUT), count(usage, *_OUTPUT)
    if given is None and answered is None:
        return None
    given, answered = given or 0, answered or 0
    if parts_beside and count(usage, *_TOTAL) != given + answered:
        given += _beside(usage, "input_", "cache_", leave_out=_INPUT)
        answered += _beside(usage, "output_", leave_out=_OUTPUT)
    given_parts, answered_parts = _parts(usage, _INPUT_PARTS), _parts(usage, _OUTPUT_PARTS)
    return token_usage(
        given=given,
        answered=answered,
        read=count(usage, *_CACHE_READ) or count(given_parts, "cached_tokens", "cache_read") or 0,
        written=count(usage, *_CACHE_WRITE) or count(given_parts, "cache_write_tokens", "cache_creation") or 0,
        reasoning=count(usage, *_REASONING) or count(answered_parts, "reasoning_tokens", "reasoning") or 0,
    )


def _beside(usage: Attributes, *prefixes: str, leave_out: tuple[str, ...]) -> int:
    parts = (name for name in usage if name.startswith(prefixes) and name not in leave_out)
    return sum(count(usage, name) or 0 for name in parts)


def _parts(usage: Attributes, names: tuple[str, ...]) -> Attributes:
    for name in names:
        value = usage.get(name)
        if isinstance(value, Mapping):
            return value
    return {}
