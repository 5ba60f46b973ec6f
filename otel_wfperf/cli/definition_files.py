"""From the argument that names a workflow definition to the definition."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from otel_wfperf.cli.graph_loading import load_graph, names_graph
from otel_wfperf.definitions import Definition
from otel_wfperf.definitions.markdown import parse_markdown
from otel_wfperf.definitions.yaml import parse_yaml
from otel_wfperf.errors import InputError

_YAML_SUFFIXES: Final = frozenset({".yaml", ".yml"})
# A name such as team.app, which could be a module.
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_YAML_PHASES: Final = re.compile(r"^phases\s*:", re.MULTILINE)

ARGUMENT_HELP: Final = "a definition in Markdown or YAML, - for standard input, or module:graph of LangGraph code"


def load_definition(name: str) -> Definition:
    """Read a definition; raise InputError when it cannot be used."""
    if names_graph(name):
        return load_graph(name)
    source = "standard input" if name == "-" else name
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = raw.decode("utf-8-sig")
    except IsADirectoryError as error:
        raise InputError(f"{name}: is a folder; name its files, such as {name.rstrip('/')}/*.md") from error
    except FileNotFoundError as error:
        graph = f", or {name}:graph for LangGraph code" if _MODULE.fullmatch(name) else ""
        raise InputError(f"{name}: there is no such file; check the path{graph}") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}; check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: is not text in UTF-8; name a Markdown or YAML file") from error
    is_yaml = Path(name).suffix.lower() in _YAML_SUFFIXES or (name == "-" and _YAML_PHASES.search(text) is not None)
    return parse_yaml(text, source) if is_yaml else parse_markdown(text, source)
