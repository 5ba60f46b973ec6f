"""Protobuf as it is written: fields, numbers, texts, groups, and the values of OpenTelemetry's attributes.

What the official decoder refuses is refused here, by ValueError: data that ends within a field, text that is no UTF-8,
groups that do not match, a field of number 0, more than 100 messages in one another.

Source: Protocol Buffers, "Encoding"; opentelemetry-proto, common.proto.
"""

from struct import Struct
from typing import Final

from otel_wfperf.model import AttributeValue

# Source: protobuf, the default recursion limit of its decoders.
_MAX_DEPTH: Final = 100
_MAX_TAG: Final = 0xFFFF_FFFF
_MAX_LENGTH: Final = 0x7FFF_FFFF
# Of a field's number, and of a length.
_MAX_BYTES: Final = 5
# Chosen: names and ids are shorter, and content is longer.
_MAX_KNOWN: Final = 64
_UINT64: Final = 0xFFFF_FFFF_FFFF_FFFF
_FIXED64: Final = Struct("<Q")
_DOUBLE: Final = Struct("<d")
_VARINT: Final = 0
_EIGHT_BYTES: Final = 1
_LENGTH: Final = 2
_GROUP: Final = 3
_END_OF_GROUP: Final = 4
_FOUR_BYTES: Final = 5


class Reader:
    """A position in some bytes; methods read what comes there, up to an end that lies within the bytes."""

    def __init__(self, data: bytes) -> None:
        """Begin at the beginning."""
        self.data = data
        self.at = 0
        self.known: dict[bytes, str] = {}

    # -- fields ----------------------------------------------------------------------------------------------------

    def tag(self, end: int) -> int:
        """Read which field comes, and how it is written."""
        tag = self.any_tag(end)
        if tag < 8:
            raise ValueError("a field has an impossible number")
        return tag

    def any_tag(self, end: int) -> int:
        """Read which field comes, be its number 0."""
        start = self.at
        tag = self.varint(end)
        if tag > _MAX_TAG or self.at - start > _MAX_BYTES:
            raise ValueError("a field has an impossible number")
        return tag

    def varint(self, end: int) -> int:
        """Read an integer of up to 64 bits."""
        data, at = self.data, self.at
        if at >= end:
            raise ValueError("the data ends within a number")
        byte = data[at]
        at += 1
        if byte < 0x80:
            self.at = at
            return byte
        value, shift = byte & 0x7F, 7
        while True:
            if at >= end:
                raise ValueError("the data ends within a number")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift == 70:
                raise ValueError("a number is longer than 10 bytes")
        self.at = at
        return value & _UINT64

    def inner_end(self, end: int) -> int:
        """Read the length of what comes; return where it ends."""
        start = self.at
        length = self.varint(end)
        inner_end = self.at + length
        if length > _MAX_LENGTH or inner_end > end or self.at - start > _MAX_BYTES:
            raise ValueError("a field is longer than what it is in")
        return inner_end

    def bytes_of(self, end: int) -> bytes:
        """Read bytes."""
        inner_end = self.inner_end(end)
        found = self.data[self.at : inner_end]
        self.at = inner_end
        return found

    def text(self, end: int) -> str:
        """Read text; what is short mostly comes again, and is the same object then."""
        raw = self.bytes_of(end)
        if len(raw) > _MAX_KNOWN:
            return raw.decode()
        found = self.known.get(raw)
        if found is None:
            found = self.known[raw] = raw.decode()
        return found

    def fixed64(self, end: int) -> int:
        """Read an integer of eight bytes."""
        at = self.at
        self.at = at + 8
        if self.at > end:
            raise ValueError("the data ends within a number")
        found: int = _FIXED64.unpack_from(self.data, at)[0]
        return found

    def fixed32(self, end: int) -> int:
        """Read an integer of four bytes."""
        at = self.at
        self.at = at + 4
        if self.at > end:
            raise ValueError("the data ends within a number")
        return int.from_bytes(self.data[at : at + 4], "little")

    def double(self, end: int) -> float:
        """Read a floating-point number."""
        at = self.at
        self.at = at + 8
        if self.at > end:
            raise ValueError("the data ends within a number")
        found: float = _DOUBLE.unpack_from(self.data, at)[0]
        return found

    def skip(self, tag: int, end: int, depth: int) -> None:
        """Pass over a field that is not known, or written as it is not defined."""
        how = tag & 7
        if how == _VARINT:
            self.varint(end)
        elif how == _EIGHT_BYTES:
            self.at += 8
        elif how == _LENGTH:
            self.at = self.inner_end(end)
        elif how == _FOUR_BYTES:
            self.at += 4
        elif how == _GROUP:
            self.group(tag >> 3, end, depth + 1)
        else:
            raise ValueError("a group ends that did not begin" if how == _END_OF_GROUP else "a field of no known type")
        if self.at > end:
            raise ValueError("the data ends within a field")

    def group(self, number: int, end: int, depth: int) -> None:
        """Pass over a group."""
        if depth > _MAX_DEPTH:
            raise ValueError("messages are nested too deeply")
        while True:
            # Within a group the official decoder does not mind a field of number 0.
            tag = self.any_tag(end)
            if tag & 7 == _END_OF_GROUP:
                if tag >> 3 != number:
                    raise ValueError("a group ends that did not begin")
                return
            self.skip(tag, end, depth)

    # -- attributes ------------------------------------------------------------------------------------------------

    def attribute(self, attributes: dict[str, AttributeValue], end: int, depth: int) -> None:
        """Read one attribute, which takes the place of an earlier one of the same name."""
        key = ""
        value: AttributeValue = None
        pieces = b""
        first_start, first_end = -1, -1
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                key = self.text(end)
            elif tag == 18:
                inner_end = self.inner_end(end)
                start = self.at
                value = self.value(inner_end, depth + 1)
                if first_start < 0:
                    first_start, first_end = start, inner_end
                else:
                    # A message that comes in pieces, each of which must be one, is as good as the pieces together.
                    pieces = (pieces or self.data[first_start:first_end]) + self.data[start:inner_end]
                    value = Reader(pieces).value(len(pieces), depth + 1)
            else:
                self.skip(tag, end, depth)
        attributes[key] = value

    def value(self, end: int, depth: int) -> AttributeValue:  # noqa: C901, PLR0912 - one branch a field
        """Read one value: of several fields the last counts, but lists that follow each other are one list."""
        if depth > _MAX_DEPTH:
            raise ValueError("messages are nested too deeply")
        value: AttributeValue = None
        field = 0
        several: list[AttributeValue] = []
        entries: dict[str, AttributeValue] = {}
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                value = self.text(end)
            elif tag == 24:
                number = self.varint(end)
                value = number if number <= 0x7FFF_FFFF_FFFF_FFFF else number - 0x1_0000_0000_0000_0000
            elif tag == 16:
                value = self.varint(end) != 0
            elif tag == 33:
                value = self.double(end)
            elif tag == 42:
                if field != tag:
                    several = []
                self.items(several, self.inner_end(end), depth + 1)
                value = None
            elif tag == 50:
                if field != tag:
                    entries = {}
                self.entries(entries, self.inner_end(end), depth + 1)
                value = None
            elif tag == 58:
                value = self.bytes_of(end)
            elif tag == 64:
                # An index into the string table of a profile means nothing in a trace.
                self.varint(end)
                value = None
            else:
                self.skip(tag, end, depth)
                continue
            field = tag
        if field == 42:
            value = tuple(several)
        elif field == 50:
            value = entries
        return value

    def items(self, several: list[AttributeValue], end: int, depth: int) -> None:
        """Read the values of a list."""
        if depth > _MAX_DEPTH:
            raise ValueError("messages are nested too deeply")
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                several.append(self.value(self.inner_end(end), depth + 1))
            else:
                self.skip(tag, end, depth)

    def entries(self, entries: dict[str, AttributeValue], end: int, depth: int) -> None:
        """Read the entries of a mapping."""
        if depth >= _MAX_DEPTH:
            # An entry is one message more.
            if depth > _MAX_DEPTH or self.at < end:
                raise ValueError("messages are nested too deeply")
            return
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                self.attribute(entries, self.inner_end(end), depth + 1)
            else:
                self.skip(tag, end, depth)
