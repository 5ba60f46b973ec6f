"""Values that must not be seen: written down, or better, read from a file or the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from otel_wfperf.errors import WfperfError

# Type of the problem that pydantic reports: what was typed is then left out of the message.
SECRET_PROBLEM: Final = "secret"
_HIDDEN: Final = "(hidden)"
_HOW: Final = "write the value, {file: /path} or {env: NAME}"
# Chosen: a thousand times the longest token in use; a wrong path, such as that of a core dump, is not read whole.
_MAX_FILE_BYTES: Final = 64 * 1024


class SecretUnavailableError(WfperfError):
    """The file or variable that holds a secret cannot be read now."""


@dataclass(frozen=True, slots=True, repr=False, eq=True)
class Secret:
    """A password, token or key; its value is in no representation, dump or message.

    In the configuration it is one of: the value itself; ``{file: /path}``, read anew at each use, so that a changed
    file counts without a restart (line ends after the value are cut off); ``{env: NAME}``.
    """

    kind: Literal["value", "file", "env"]
    _text: str

    @classmethod
    def literal(cls, value: str) -> Secret:
        """Hide a value."""
        return cls("value", value)

    def get(self) -> str:
        """Return the value as it is now; raise SecretUnavailableError, which names only where it should be."""
        if self.kind == "file":
            return self._in_file()
        if self.kind == "env":
            return self._in_environment()
        return self._text

    def _in_file(self) -> str:
        try:
            with Path(self._text).open("rb") as file:
                content = file.read(_MAX_FILE_BYTES + 1)
            text = content.decode()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise SecretUnavailableError(f"file {self._text!r}: cannot be read ({reason}); {_HOW}") from None
        text = text.rstrip("\r\n")
        if not text or len(content) > _MAX_FILE_BYTES:
            wrong = "is empty" if not text else f"is longer than {_MAX_FILE_BYTES} bytes"
            raise SecretUnavailableError(f"file {self._text!r}: {wrong}; put the secret there, alone")
        return text

    def _in_environment(self) -> str:
        value = os.environ.get(self._text)
        if not value:
            raise SecretUnavailableError(f"environment variable {self._text!r}: is not set; set it, or {_HOW}")
        return value

    def __repr__(self) -> str:
        """Tell where it comes from, never what it is."""
        return f"Secret({_HIDDEN if self.kind == 'value' else f'{self.kind}: {self._text}'})"

    __str__ = __repr__

    def _dumped(self) -> str | dict[str, str]:
        return _HIDDEN if self.kind == "value" else {self.kind: self._text}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Accept what a configuration may hold."""
        return core_schema.no_info_plain_validator_function(
            _parsed, serialization=core_schema.plain_serializer_function_ser_schema(cls._dumped)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the three ways to write it."""
        references: list[JsonSchemaValue] = [
            {
                "type": "object",
                "properties": {key: {"type": "string"}},
                "required": [key],
                "additionalProperties": False,
            }
            for key in ("file", "env")
        ]
        return {"anyOf": [{"type": "string", "format": "password"}, *references]}


def _parsed(given: object) -> Secret:
    """Check a value of the configuration; what it refers to has to be there, so that a start fails early."""
    secret = _read(given)
    try:
        secret.get()
    except SecretUnavailableError as error:
        raise PydanticCustomError(SECRET_PROBLEM, "{reason}", {"reason": str(error)}) from None
    return secret


def _read(given: object) -> Secret:
    match given:
        case Secret():
            return given
        case str() if given:
            return Secret("value", given)
        case {"file": str(path), **others} if path and not others:
            return Secret("file", path)
        case {"env": str(name), **others} if name and not others:
            return Secret("env", name)
    raise PydanticCustomError(SECRET_PROBLEM, _HOW)
