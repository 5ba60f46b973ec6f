"""Sizes, hashes and fragments of captured content; no text is kept.

A *fragment* is the hash of a piece of text that identifies it. There are three classes, so that a bounded
sample keeps some of each:

* whole values: a complete message or value, however short ("A");
* short values: 4 to 11 bytes of words. A result has one when all of it is that short; a searched text has every
  one or two words of that length in it, so that a short result is found inside a longer prompt;
* shingles: the 12 bytes from each word on.

Source: shingles, A. Broder, "On the resemblance and containment of documents" (1997), with bottom-k sampling: of
every class the smallest hashes are kept, so two samples remain comparable below the greatest hash that both keep.
The length of 12 is that of Sentry-style independence checks: shorter words are shared by unrelated text.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final
from zlib import crc32

from otel_wfperf.analysis.fragments import FragmentClass, sample
from otel_wfperf.conventions.messages import MAX_PARSED_CHARS, said

SHINGLE_BYTES: Final = 12
MIN_SHORT_BYTES: Final = 4
# Chosen: the head holds instructions and state, the tail the newest messages; 64 KiB take about 10 ms.
HEAD_CHARS: Final = 32_768
TAIL_CHARS: Final = 32_768

_WORD: Final = re.compile(r"\w+")
_SHINGLE: Final = re.compile(rb"(?<![^ ])(?=(.{12}))", re.DOTALL)


def content_hash(value: object) -> str:
    """Hash content so that equal content gives equal hashes (16 hex digits).

    JSON text and JSON values are hashed in canonical form: keys sorted, no white space. Text of more than
    a million characters is hashed as it is. Never raises.
    """
    if isinstance(value, str):
        canonical = _canonical_text(value)
    else:
        try:
            canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr)
        except (ValueError, TypeError, RecursionError):
            canonical = _repr(value)
    return hashlib.sha256(canonical.encode(errors="backslashreplace")).hexdigest()[:16]


def fragments(value: object, *, searched: bool = False) -> frozenset[int]:
    """Hash identifying fragments of content: a bounded sample, equal in every process.

    Of JSON only the strings that somebody said count, not keys, type tags and ids. At most the first and the
    last 32 Ki characters are looked at.

    Args:
        value: Text, JSON text or a JSON value.
        searched: True for the side that is searched (an input): short results are then found inside longer text.
    """
    return fragments_of(said(value).texts, searched=searched)


def fragments_of(texts: Iterable[str], *, searched: bool) -> frozenset[int]:
    """Hash the fragments of strings; see :func:`fragments`."""
    whole: set[int] = set()
    short: set[int] = set()
    shingles: set[int] = set()
    for text in _within_limits(list(texts)):
        stripped = text.strip()
        if not stripped:
            continue
        whole.add(crc32(stripped.encode(errors="replace")))
        joined = " ".join(_WORD.findall(stripped)).encode(errors="replace")
        shingles |= _shingles(joined)
        if searched:
            short |= _short_runs(joined.split(b" "))
        elif MIN_SHORT_BYTES <= len(joined) < SHINGLE_BYTES and joined.count(b" ") < 2:
            short.add(crc32(joined))
    return frozenset(
        [
            *sample(whole, FragmentClass.WHOLE),
            *sample(short, FragmentClass.SHORT),
            *sample(shingles, FragmentClass.SHINGLE),
        ]
    )


def size_bytes(text: str) -> int:
    """Return the length of text in UTF-8 (bytes)."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _canonical_text(text: str) -> str:
    if len(text) > MAX_PARSED_CHARS:
        return text
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a foreign object's own code; this function runs inside the user's program
        return type(value).__name__


def _within_limits(texts: list[str]) -> list[str]:
    """Keep the first and the last 32 Ki characters."""
    if sum(map(len, texts)) <= HEAD_CHARS + TAIL_CHARS:
        return texts
    head: list[str] = []
    room = HEAD_CHARS
    for text in texts:
        head.append(text[:room])
        room -= len(text)
        if room <= 0:
            break
    tail: list[str] = []
    room = TAIL_CHARS
    for text in reversed(texts):
        tail.append(text[-room:])
        room -= len(text)
        if room <= 0:
            break
    return [*head, *reversed(tail)]


def _shingles(joined: bytes) -> set[int]:
    """Hash the 12 bytes from each word on."""
    return set(map(crc32, set(_SHINGLE.findall(joined))))


def _short_runs(words: list[bytes]) -> set[int]:
    """Hash every run of one or two words of 4 to 11 bytes."""
    runs = set(words)
    runs.update(map(b" ".join, set(pairwise(words))))
    return {crc32(run) for run in runs if MIN_SHORT_BYTES <= len(run) < SHINGLE_BYTES}
