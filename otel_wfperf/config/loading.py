"""From a file and the environment to a checked configuration."""

import json
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from otel_wfperf.config.secrets import SECRET_PROBLEM
from otel_wfperf.config.section import key_of
from otel_wfperf.config.sidecar import WfperfConfig, state_folder
from otel_wfperf.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "OTEL_WFPERF_"


def load(path: Path | None, environ: Mapping[str, str]) -> WfperfConfig:
    """Read the file (None: no file) and the environment; raise ConfigError with every problem found."""
    values = _read(path) if path is not None else {}
    variables, problems = _overlay(values, environ)
    if not problems and isinstance(values.get("sidecar", {}), dict):
        values.setdefault("sidecar", {}).setdefault("data_dir", state_folder(environ))
    try:
        config = WfperfConfig.model_validate(values)
    except ValidationError as error:
        problems += [_problem(detail, values, variables) for detail in error.errors(include_url=False)]
    if problems:
        raise ConfigError(*problems)
    return config


def schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return WfperfConfig.model_json_schema(by_alias=True)


def _read(path: Path) -> dict[str, Any]:
    # Only a user with a file needs the parser.
    import yaml  # noqa: PLC0415

    from otel_wfperf.config.unique_keys import UniqueKeyLoader  # noqa: PLC0415

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        # Not the whole message: it repeats the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be read")
        raise ConfigError(f"{path}: is not YAML{place}: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds a {type(values).__name__}; write a mapping such as `sidecar: {{…}}`")
    return {str(key): value for key, value in values.items()}


def _overlay(values: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """Put the environment's values into the file's; return which variable set which path, and problems."""
    variables: dict[tuple[str, ...], str] = {}
    problems: list[str] = []
    for name, text in sorted(environ.items()):
        path = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if not name.startswith(ENVIRONMENT_PREFIX) or len(path) == 1:
            continue
        variables[path] = name
        try:
            value = json.loads(text) if text.lstrip()[:1] in {"[", "{"} else text
        except ValueError as error:
            # Without the text, which may hold a secret.
            problems.append(f"{name}: is not JSON ({error}); write lists and mappings as JSON")
            continue
        if not _put(values, path, value):
            problems.append(f"{name}: {'.'.join(path[:-1])} is not a mapping in the file")
    return variables, problems


def _put(values: dict[str, Any], path: Sequence[str], value: object) -> bool:
    for key in path[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        values = inner
    values[path[-1]] = value
    return True


def _problem(detail: Any, values: Mapping[str, Any], variables: Mapping[tuple[str, ...], str]) -> str:
    location = tuple(str(part) for part in detail["loc"])
    dotted = ".".join(location)
    variable = variables.get(location)
    key = f"{dotted} ({variable})" if variable else dotted
    if detail["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{key}: unknown key ({hint})"
    if detail["type"] == "missing":
        return f"{key}: is missing; set it"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if location == ("sidecar",) and isinstance(
        detail["input"], Mapping
    ):  # about several of its keys together: the message names them
        return f"{key}: {message}"
    # A header may be a credential, as every secret is: it is never repeated.
    hidden = "headers" in location or detail["type"] == SECRET_PROBLEM
    shown = "(hidden)" if hidden else _shown(_typed(values, detail))
    return f"{key}: {shown}: {message[:1].lower()}{message[1:]}"


def _typed(values: Any, detail: Any) -> object:
    """Return what the user wrote: a duration is a number by the time its bounds are checked."""
    try:
        for part in detail["loc"]:
            values = values[part]
    except (LookupError, TypeError):
        return detail["input"]
    return values


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"


def _known_keys(location: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = WfperfConfig
    for part in location:
        if part.isdigit():
            continue
        found = next((field for name, field in model.model_fields.items() if key_of(name) == part), None)
        inner = model_in(found.annotation) if found else None
        if inner is None:
            return []
        model = inner
    return sorted(key_of(name) for name in model.model_fields)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the section inside ``Section``, ``tuple[Section, ...]`` or ``Section | None``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in {tuple, list, Union, types.UnionType}:
        return next((model for inner in get_args(annotation) if (model := model_in(inner))), None)
    return None
