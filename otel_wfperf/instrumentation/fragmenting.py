"""Fragments of texts, found and written as ``conventions.content`` and ``analysis.fragments`` do, but faster.

The sidecar reads a prompt once; a program sends each message again with every step, and both gives and returns it. So
each text is looked at once for both uses, and what several texts have is put together from what each has.
"""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from struct import pack
from typing import Final, NamedTuple
from zlib import crc32

from otel_wfperf.analysis.fragments import CLASS_BITS, SAMPLE_SIZES, FragmentClass
from otel_wfperf.conventions.content import HEAD_CHARS, MIN_SHORT_BYTES, SHINGLE_BYTES, TAIL_CHARS, fragments_of

_WORD: Final = re.compile(r"\w+")
# The same in ASCII: what is not in a word becomes a space.
_ASCII_WORD: Final = bytes(code if _WORD.match(chr(code)) else 32 for code in range(128)).ljust(256)
# Each word begins after a space, the first one, too.
_SHINGLE: Final = re.compile(rb" (?=(.{12}))", re.DOTALL)
_SHORT: Final = FragmentClass.SHORT << CLASS_BITS
_SHINGLES: Final = FragmentClass.SHINGLE << CLASS_BITS
# Chosen: a question or a short answer.
_SHORT_CHARS: Final = 200
_NO_FRAGMENTS: Final[frozenset[int]] = frozenset()
_SMALLEST_SAMPLE: Final = min(SAMPLE_SIZES.values())
# Lowest and highest fragment and the size of the sample of each class: the class is in the bits above the hash, so that
# each is one piece of what is sorted.
_CLASSES: Final = [(int(kind) << CLASS_BITS, int(kind) + 1 << CLASS_BITS, SAMPLE_SIZES[kind]) for kind in FragmentClass]


class Fragments(NamedTuple):
    """What identifies one text; None = not looked for.

    Attributes:
        result: When somebody produced it.
        searched: When results are looked for in it.
    """

    result: frozenset[int] | None
    searched: frozenset[int] | None


def fragments_of_text(text: str, *, searched: bool) -> Fragments:
    """Find the fragments of one text; see ``conventions.content.fragments_of``.

    Of a short text those for the other use are found, too: for so little to look at, that costs almost nothing.
    """
    is_short = len(text) <= _SHORT_CHARS
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        found = fragments_of((text,), searched=searched)
        return Fragments(None, found) if searched else Fragments(found, None)
    stripped = text.strip()
    if not stripped:
        return Fragments(_NO_FRAGMENTS, _NO_FRAGMENTS)
    joined = _words(stripped)
    both = [crc32(stripped.encode(errors="replace"))]  # class WHOLE is 0
    if len(joined) >= SHINGLE_BYTES:
        hashes = sorted(set(map(crc32, set(_SHINGLE.findall(b" " + joined)))))
        both += [each + _SHINGLES for each in hashes[: SAMPLE_SIZES[FragmentClass.SHINGLE]]]
    return Fragments(
        frozenset((*both, *_own(joined))) if is_short or not searched else None,
        frozenset((*both, *_short_runs(joined))) if is_short or searched else None,
    )


def _words(text: str) -> bytes:
    """Return the words of a text with a space between them."""
    if text.isascii():
        return b" ".join(text.encode().translate(_ASCII_WORD).split())
    return " ".join(_WORD.findall(text)).encode(errors="replace")


def _own(joined: bytes) -> Sequence[int]:
    """Return the fragment that a short result is as a whole."""
    is_short = MIN_SHORT_BYTES <= len(joined) < SHINGLE_BYTES and joined.count(b" ") < 2
    return (crc32(joined) + _SHORT,) if is_short else ()


def _short_runs(joined: bytes) -> Sequence[int]:
    """Return what short results would be found by: every run of one or two short words."""
    words = joined.split(b" ")
    runs = {*words, *map(b" ".join, pairwise(words))}
    hashes = sorted({crc32(run) for run in runs if MIN_SHORT_BYTES <= len(run) < SHINGLE_BYTES})
    return [each + _SHORT for each in hashes[: SAMPLE_SIZES[FragmentClass.SHORT]]]


def sampled(samples: Iterable[frozenset[int]]) -> list[int]:
    """Sample the fragments of several texts, sorted: what ``analysis.fragments.merged`` finds."""
    fragments = sorted(_NO_FRAGMENTS.union(*samples))
    if len(fragments) <= _SMALLEST_SAMPLE:
        return fragments
    kept: list[int] = []
    for lowest, highest, size in _CLASSES:
        start, end = bisect_left(fragments, lowest), bisect_left(fragments, highest)
        kept += fragments[start : min(start + size, end)]
    return kept


def packed(fragments: Sequence[int]) -> str:
    """Write sorted fragments as ``analysis.fragments.packed`` does."""
    wide = pack(f">{len(fragments)}Q", *fragments)
    narrow = bytearray(5 * len(fragments))
    for place in range(5):
        narrow[place::5] = wide[place + 3 :: 8]
    return b64encode(narrow).decode()
