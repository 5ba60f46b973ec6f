"""Unpack gzip without ever holding more than the limit allows."""

from __future__ import annotations

import zlib

from otel_wfperf.errors import DecodeError

# Chosen: enough for zlib to work at full speed, little enough for hundreds of requests at once.
_STEP_BYTES = 256 * 1024


class TooLargeError(Exception):
    """A request is larger than the limit, before or after decompression."""


class Gunzip:
    """Unpacks one body piece by piece; memory stays within the limit plus one step."""

    def __init__(self, limit_bytes: int) -> None:
        """Allow this much unpacked data."""
        self._limit = limit_bytes
        self._unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self.data = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Unpack a piece; raise TooLargeError or DecodeError."""
        more = bool(chunk)
        while more:
            # A file may be several members, one after another (RFC 1952, section 2.2).
            if self._unpack.eof:
                self._unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                unpacked = self._unpack.decompress(chunk, _STEP_BYTES)
            except zlib.error as error:
                raise DecodeError(f"the body is not gzip: {error}") from error
            self.data += unpacked
            if len(self.data) > self._limit:
                raise TooLargeError
            chunk = self._unpack.unconsumed_tail or self._unpack.unused_data
            # A full step may have taken all of the input and still hold output back.
            more = bool(chunk) or (len(unpacked) == _STEP_BYTES and not self._unpack.eof)

    def finish(self) -> bytes:
        """Return everything; raise DecodeError when the end is missing."""
        if not self._unpack.eof:
            raise DecodeError("the body is gzip that ends too early")
        return bytes(self.data)


def gunzip(data: bytes, limit_bytes: int) -> bytes:
    """Unpack a whole body; raise TooLargeError or DecodeError."""
    unpacking = Gunzip(limit_bytes)
    unpacking.feed(data)
    return unpacking.finish()
