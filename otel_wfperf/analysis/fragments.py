"""What hashed fragments of content tell: whether one operation was given what another produced.

A fragment is the hash of a piece of text; the bits above the hash tell its class, so that a bounded sample keeps some
of each: complete values, short values, shingles of 12 bytes. Samples keep the smallest hashes of each class.

Source: A. Broder, "On the resemblance and containment of documents" (1997): shingles and bottom-k sampling.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from enum import IntEnum
from heapq import nsmallest
from typing import Final

CLASS_BITS: Final = 32
_PACKED_BYTES: Final = 5


class FragmentClass(IntEnum):
    """What a fragment is the hash of."""

    WHOLE = 0
    SHORT = 1
    SHINGLE = 2


# Chosen: 256 in all is about 8 KiB of memory and 1.3 KiB on the wire for a span with long content.
SAMPLE_SIZES: Final = {FragmentClass.WHOLE: 64, FragmentClass.SHORT: 64, FragmentClass.SHINGLE: 128}


def sample(hashes: Iterable[int], kind: FragmentClass) -> list[int]:
    """Keep the smallest hashes of one class, marked as such."""
    return [each + (kind << CLASS_BITS) for each in sorted(hashes)[: SAMPLE_SIZES[kind]]]


def of_class(fragments: Iterable[int], kind: FragmentClass) -> frozenset[int]:
    """Return the fragments of one class."""
    return frozenset(each for each in fragments if each >> CLASS_BITS == kind)


def produced(output: frozenset[int], given: frozenset[int]) -> frozenset[int]:
    """Leave out of an output what its own input already said, so that quoting the task is not mistaken for a result.

    Complete and short values stay: an operation may well produce what was there before.
    """
    return output - (of_class(output, FragmentClass.SHINGLE) & given)


def shares_content(output: frozenset[int], later_input: frozenset[int]) -> bool | None:
    """Tell whether some of an output is in a later input; None when the samples cannot tell.

    What is not in a full sample may have been left out of it, unless it is smaller than the greatest hash kept.
    The longest fragments of the output decide: long text may be embedded, where whole values are not seen.
    """
    if output & later_input:
        return True
    for kind in reversed(FragmentClass):
        ours, theirs = of_class(output, kind), of_class(later_input, kind)
        if ours and later_input:
            return False if len(theirs) < SAMPLE_SIZES[kind] or min(ours) <= max(theirs) else None
    return None


def merged(samples: Iterable[frozenset[int]]) -> frozenset[int]:
    """Sample the fragments of several texts from the samples of each, as if they had been read together."""
    union = frozenset[int]().union(*samples)
    if len(union) <= min(SAMPLE_SIZES.values()):
        return union
    kept = (nsmallest(SAMPLE_SIZES[kind], of_class(union, kind)) for kind in FragmentClass)
    return frozenset(fragment for found in kept for fragment in found)


def packed(fragments: Iterable[int]) -> str:
    """Write fragments as one text, five bytes each in base64.

    A span attribute of 256 numbers costs its caller 60 µs, one text nothing; bytes would break the SDK's own console
    exporter, which writes JSON.
    """
    return b64encode(b"".join(each.to_bytes(_PACKED_BYTES, "big") for each in sorted(fragments))).decode()


def unpacked(text: str) -> frozenset[int]:
    """Read what ``packed`` wrote; nothing from any other text."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return frozenset()
    starts = range(0, len(data) - _PACKED_BYTES + 1, _PACKED_BYTES)
    return frozenset(int.from_bytes(data[start : start + _PACKED_BYTES], "big") for start in starts)
