"""Bearer tokens: whether a request has one of those that are good now."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from otel_wfperf.config.secrets import Secret, SecretUnavailableError

_LOGGER = logging.getLogger(__name__)
# Chosen: a token that was withdrawn is good for no longer, and files are read once a second at most.
_READ_AGAIN_S: Final = 1.0
# Chosen: far longer than any token; more is not worth hashing.
_MAX_HEADER_CHARACTERS: Final = 4096


class Tokens:
    """The tokens of one audience. They may change while the sidecar runs; one that cannot be read is not good."""

    def __init__(self, tokens: Sequence[Secret], *, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Read the tokens when they are needed.

        Args:
            tokens: Any of them is enough.
            clock_s: Monotonic time (seconds).
        """
        self._tokens = tokens
        self._clock_s = clock_s
        self._read_at_s: float | None = None
        self._digests: tuple[bytes, ...] = ()
        self._unreadable: frozenset[str] = frozenset()

    def accept(self, authorization: str | None) -> bool:
        """Tell whether an ``authorization`` header holds a good token; how long that takes tells nothing about them.

        Source: RFC 6750 (Bearer), RFC 7617 (Basic, for browsers: the token is the password of any user).
        """
        digest = _digest(_token(authorization or ""))
        found = False
        for good in self._current():
            found |= hmac.compare_digest(good, digest)
        return found

    def _current(self) -> tuple[bytes, ...]:
        now_s = self._clock_s()
        if self._read_at_s is None or now_s - self._read_at_s >= _READ_AGAIN_S:
            self._read_at_s = now_s
            self._read()
        return self._digests

    def _read(self) -> None:
        digests, problems = [], []
        for token in self._tokens:
            try:
                digests.append(_digest(token.get()))
            except SecretUnavailableError as error:
                problems.append(str(error))
        self._digests = tuple(digests)
        for problem in set(problems) - self._unreadable:
            _LOGGER.error("a token is good for nothing now: %s", problem)
        self._unreadable = frozenset(problems)


def _token(authorization: str) -> str:
    """Return what a header says the token is; "" when it says none, which is never good."""
    scheme, _, credentials = authorization[:_MAX_HEADER_CHARACTERS].partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() != "basic":
        return ""
    try:
        _, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password


def _digest(token: str) -> bytes:
    """Make all tokens equally long, so that comparing them does not tell their lengths."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
