"""Graphs of LangGraph, and the ways to run them; import it after a check that langgraph is installed."""

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from opentelemetry import trace


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def node(name: str) -> Any:
    """A node that opens a span of its own, as a user's code does."""

    def run(_state: State) -> State:
        with trace.get_tracer("user").start_as_current_span(f"inside {name}"):
            return {"seen": [name]}

    return run


def async_node(name: str) -> Any:
    async def run(_state: State) -> State:
        with trace.get_tracer("user").start_as_current_span(f"inside {name}"):
            await asyncio.sleep(0)
            return {"seen": [name]}

    return run


def build(make: Callable[[str], Any]) -> Any:
    """Build plan -> (left | right) -> join."""
    graph = StateGraph(State)
    for name in ("plan", "left", "right", "join"):
        graph.add_node(name, make(name))
    graph.add_edge(START, "plan").add_edge("plan", "left").add_edge("plan", "right")
    graph.add_edge(["left", "right"], "join").add_edge("join", END)
    return graph.compile(name="report")


SYNC, ASYNC = build(node), build(async_node)


async def streamed(graph: Any, state: State) -> list[Any]:
    return [chunk async for chunk in graph.astream(state, stream_mode="values")]


CALLS: dict[str, Callable[[State], Any]] = {
    "invoke": SYNC.invoke,
    "stream": lambda state: list(SYNC.stream(state, stream_mode="values")),
    "batch": lambda state: SYNC.batch([state]),
    "ainvoke": lambda state: asyncio.run(ASYNC.ainvoke(state)),
    "ainvoke of sync nodes": lambda state: asyncio.run(SYNC.ainvoke(state)),
    "astream": lambda state: asyncio.run(streamed(ASYNC, state)),
    "abatch": lambda state: asyncio.run(ASYNC.abatch([state])),
}
