"""The headers of a request, with the secrets in them as they are now."""

from collections.abc import Mapping

from otel_wfperf.config import Secret, SecretUnavailableError
from otel_wfperf.config.exporters import is_sendable


def current_headers(headers: Mapping[str, Secret]) -> dict[str, str]:
    """Return names in lower case with values; raise SecretUnavailableError, which repeats none of them."""
    values = {name.lower(): secret.get() for name, secret in headers.items()}
    for name, value in values.items():
        if not is_sendable(value):
            raise SecretUnavailableError(f"header {name!r}: its value is not printable ASCII; correct the file")
    return values
