"""What was said, out of the arguments of a call or the whole response around it."""

from collections.abc import Mapping

from otel_wfperf.conventions.messages import parsed


def inside(value: object, *names: str) -> object:
    """Return the first of some entries of a JSON object; the value itself when it has none of them."""
    whole = parsed(value)
    if isinstance(whole, Mapping):
        for name in names:
            if whole.get(name) is not None:
                return whole[name]
    return value


def answers(choices: object) -> object:
    """Return the messages of OpenAI's choices; anything else unchanged."""
    if not isinstance(choices, list):
        return choices
    return [each.get("message", each) if isinstance(each, Mapping) else each for each in choices]
