"""The graph that ``module:graph`` names, as LangGraph describes it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from otel_wfperf.definitions.definition import Definition
from otel_wfperf.definitions.graph import GraphEdge, from_graph
from otel_wfperf.errors import InputError

_NAMES_GRAPH: Final = re.compile(r"(?P<module>[\w./-]+?(?:\.py)?):(?P<attribute>[A-Za-z_][\w.]*)")
_IDLE: Final = ("__start__", "__end__")


def names_graph(name: str) -> bool:
    """Tell whether an argument is ``module:graph`` or ``file.py:graph``."""
    return _NAMES_GRAPH.fullmatch(name) is not None and not Path(name).exists()


def load_graph(name: str) -> Definition:
    """Import the module as ``python -m`` would and describe the graph; raise InputError when there is none.

    The graph may be compiled, a ``StateGraph``, or a function without arguments that returns one of them.
    """
    match = _NAMES_GRAPH.fullmatch(name)
    if match is None:
        raise InputError(f"{name}: is no graph; write module:graph, such as team.app:graph")
    found: Any = _import(match["module"], name)
    for part in match["attribute"].split("."):
        if not hasattr(found, part):
            raise InputError(f"{name}: {match['module']} has no {part}; name the variable that holds the graph")
        found = getattr(found, part)
    drawn = _drawn(found, name)
    edges = [GraphEdge(str(edge.source), str(edge.target), bool(edge.conditional)) for edge in drawn.edges]
    definition = from_graph(map(str, drawn.nodes), edges, name=_title(found, match), source=name, ends=_IDLE)
    if not definition.phases:
        raise InputError(f"{name}: the graph has no nodes; add some before it is looked at")
    return definition


def _import(module: str, name: str) -> ModuleType:
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return _from_file(Path(module)) if module.endswith(".py") else importlib.import_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{name}: cannot be imported: {reason}; run it from the folder that holds the code") from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    # What the file imports lies beside it, as when it is run.
    sys.path.insert(0, str(path.parent.resolve()))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _drawn(found: Any, name: str) -> Any:
    """Return nodes and edges of whatever holds a graph."""
    try:
        if not _is_graph(found) and callable(found):
            found = found()
        if inspect.iscoroutine(found):
            found.close()
        if not hasattr(found, "get_graph") and hasattr(found, "compile"):
            found = found.compile()
        if hasattr(found, "get_graph"):
            return found.get_graph()
    except Exception as error:
        raise InputError(f"{name}: cannot be built: {type(error).__name__}: {error}") from error
    kind = type(found).__name__
    raise InputError(f"{name}: is a {kind}; name a StateGraph, a compiled graph, or a function that returns one")


def _is_graph(found: Any) -> bool:
    return hasattr(found, "get_graph") or hasattr(found, "compile")


def _title(found: Any, match: re.Match[str]) -> str:
    name = getattr(found, "name", None)
    return name if isinstance(name, str) and name not in {"", "LangGraph"} else match["attribute"]
