"""Figures as people read them, always with their unit."""

from typing import Final

_NS_PER_S: Final = 1_000_000_000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600

# Unit, its length (nanoseconds), and the durations it is used below: where three figures would round up to the next.
_UNITS: Final = (
    ("ns", 1, 999.5),
    ("\N{MICRO SIGN}s", 1_000, 999.5e3),
    ("ms", 1_000_000, 999.5e6),
    ("s", _NS_PER_S, 59.95e9),
)


def seconds(duration_ns: int) -> float:
    """Convert nanoseconds to seconds."""
    return duration_ns / _NS_PER_S


def duration(duration_ns: float) -> str:
    """Write a duration (nanoseconds) with three figures: ``850 µs``, ``71.2 ms``, ``12.3 s``, ``3 min 05 s``."""
    if duration_ns < 0:
        return f"-{duration(-duration_ns)}"
    if duration_ns == 0:
        return "0 s"
    for unit, length_ns, limit_ns in _UNITS:
        if duration_ns < limit_ns:
            return f"{_three_figures(duration_ns / length_ns)} {unit}"
    whole_s = round(duration_ns / _NS_PER_S)
    if whole_s < _HOUR_S:
        return f"{whole_s // _MINUTE_S} min {whole_s % _MINUTE_S:02d} s"
    return f"{whole_s // _HOUR_S} h {whole_s % _HOUR_S // _MINUTE_S:02d} min"


def duration_s(value_s: float) -> str:
    """Write a duration given in seconds."""
    return duration(value_s * _NS_PER_S)


def count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 run``, ``1 234 calls``."""
    digits = f"{number:,}".replace(",", " ")
    return f"{digits} {noun}{'' if number == 1 else 's'}"


def _three_figures(value: float) -> str:
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
