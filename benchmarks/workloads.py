"""The LangGraph programs whose recording is measured; nothing in them waits, so all of their time is CPU time."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypedDict

TOOL_CALLS: Final = 5
_DOCUMENT_CHARS: Final = 2_000
_WORDS: Final = ("state", "agent", "result", "budget", "revenue", "because", "of", "the", "market", "in", "which")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One program.

    Attributes:
        name: What to call it.
        nodes: Nodes that run in one run (count); costs are given for each.
        model_calls: Model calls in one run (count).
        tool_calls: Tool calls in one run (count).
        build: Makes the graph.
        state: Makes what one run is given, with so much text (bytes), which is that of no other run.
    """

    name: str
    nodes: int
    model_calls: int = 0
    tool_calls: int = 0
    build: Callable[[], Any]
    state: Callable[[int, int], Mapping[str, Any]]


class State(TypedDict):
    """What the nodes pass on."""

    question: str
    documents: Annotated[list[str], operator.add]


def text_of(size_bytes: int, seed: int) -> str:
    """Write text of a length (bytes); the same for the same seed."""
    words = random.Random(seed).choices(_WORDS, k=size_bytes // 4 + 1)
    return " ".join((f"run {seed}:", *words)).ljust(size_bytes, ".")[:size_bytes]


def documents_state(size_bytes: int, run: int) -> Mapping[str, Any]:
    """Make a state of documents of 2,000 bytes; a small one is a single document."""
    sizes = [min(_DOCUMENT_CHARS, size_bytes - start) for start in range(0, size_bytes, _DOCUMENT_CHARS)]
    documents = [text_of(size, run * 1_000 + number) for number, size in enumerate(sizes)]
    return {"question": f"question {run}?", "documents": documents}


def messages_state(size_bytes: int, run: int) -> Mapping[str, Any]:
    """Make a conversation of one message."""
    return {"messages": [{"role": "user", "content": text_of(size_bytes, run)}]}


def no_op(_state: State) -> dict[str, Any]:
    """Change nothing."""
    return {}


def build_chain(nodes: int = 50) -> Any:
    """Build a graph of nodes that do nothing, one after the other."""
    from langgraph.graph import START, StateGraph  # noqa: PLC0415 - after the recorder, as in a program

    graph: Any = StateGraph(State)
    previous = START
    for number in range(nodes):
        name = f"step_{number}"
        graph.add_node(name, no_op)
        graph.add_edge(previous, name)
        previous = name
    return graph.compile(name="chain").with_config(recursion_limit=nodes + 5)


def build_fan_out(width: int = 20) -> Any:
    """Build a graph whose nodes run side by side, in threads, and one that waits for all of them."""
    from langgraph.graph import START, StateGraph  # noqa: PLC0415 - as above

    graph: Any = StateGraph(State)
    graph.add_node("join", no_op)
    branches = [f"branch_{number}" for number in range(width)]
    for name in branches:
        graph.add_node(name, no_op)
        graph.add_edge(START, name)
    graph.add_edge(branches, "join")
    return graph.compile(name="fan-out")


def build_agent() -> Any:
    """Build an agent that calls a tool five times, with a model that answers at once."""
    from langchain.agents import create_agent  # noqa: PLC0415 - as above
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415
    from langchain_core.messages import AIMessage, BaseMessage, ToolMessage  # noqa: PLC0415
    from langchain_core.outputs import ChatGeneration, ChatResult  # noqa: PLC0415
    from langchain_core.tools import tool  # noqa: PLC0415

    class Scripted(BaseChatModel):
        """Asks for the tool until it has been called often enough."""

        model_name: str = "scripted-1"

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            done = sum(isinstance(message, ToolMessage) for message in messages)
            query = f"part {done} of {str(messages[0].content)[:20]}"
            calls = [{"name": "search", "args": {"query": query}, "id": f"call_{done}"}]
            usage = {"input_tokens": 50, "output_tokens": 10, "total_tokens": 60}
            metadata = {"id": f"resp_{done}", "model_name": "scripted-1", "finish_reason": "stop"}
            answer = AIMessage(
                "" if done < TOOL_CALLS else "that is all",
                tool_calls=calls if done < TOOL_CALLS else [],
                usage_metadata=usage,
                response_metadata=metadata,
            )
            return ChatResult(generations=[ChatGeneration(message=answer)])

    @tool
    def search(query: str) -> str:
        """Search."""
        return f"found {query}"

    return create_agent(Scripted(), [search], name="researcher")


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload(name="chain", nodes=50, build=build_chain, state=documents_state),
        Workload(name="fan-out", nodes=21, build=build_fan_out, state=documents_state),
        Workload(
            name="agent",
            nodes=2 * TOOL_CALLS + 1,
            model_calls=TOOL_CALLS + 1,
            tool_calls=TOOL_CALLS,
            build=build_agent,
            state=messages_state,
        ),
    )
}
