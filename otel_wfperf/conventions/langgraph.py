"""What LangGraph tells about the scheduled task that a span belongs to.

Emitters pass LangGraph's run metadata on under names of their own. Checked with langgraph 1.2.22
(``pregel/_algo.py``): every run below a node has the node's metadata, so only a run of the node's own name is it.
"""

from dataclasses import dataclass
from typing import Final

from otel_wfperf.conventions.attributes import count, text
from otel_wfperf.model import Attributes

# Links of a LangChain chain, which are scheduled by nobody.
_CHAIN_LINKS: Final = ("Runnable", "ChatPromptTemplate", "PromptTemplate")
_CHAIN_LINK_END: Final = "OutputParser"
THREAD_NAMES: Final = ("session_id", "conversation_id", "thread_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTask:
    """A scheduled run of a node.

    Attributes:
        node: Name of the node; None outside a graph.
        step: Superstep; tasks of equal steps of one graph ran in parallel.
        task: Identity of the task, the same for all its attempts.
        thread: Conversation that the graph belongs to.
    """

    node: str | None = None
    step: int | None = None
    task: str | None = None
    thread: str | None = None


def is_chain_link(name: str) -> bool:
    """Tell whether a run of this name is a link that LangChain put together by itself."""
    return name.startswith(_CHAIN_LINKS) or name.endswith(_CHAIN_LINK_END)


def graph_task(metadata: Attributes, prefix: str = "") -> GraphTask:
    """Read the metadata that LangGraph gives to runs; the emitter may put a prefix before each name."""
    node = text(metadata, f"{prefix}langgraph_node")
    thread = text(metadata, *(f"{prefix}{name}" for name in THREAD_NAMES))
    if node is None:
        return GraphTask(thread=thread)
    return GraphTask(
        node=node,
        step=count(metadata, f"{prefix}langgraph_step"),
        task=text(metadata, f"{prefix}langgraph_checkpoint_ns"),
        thread=thread,
    )
