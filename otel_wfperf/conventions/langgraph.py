"""What LangGraph tells about the scheduled task that a span belongs to.

Emitters pass LangGraph's run metadata on under names of their own. Checked with langgraph 1.2.22
(``pregel/_algo.py``): every run below a node has the node's metadata, so only a run of the node's own name is it.
"""

from dataclasses import dataclass
from typing import Final

from otel_wfperf.conventions.encoded import encoded_count, encoded_text
from otel_wfperf.model import Attributes, OperationKind

# Links of a LangChain chain, which are scheduled by nobody.
_CHAIN_LINKS: Final = ("Runnable", "ChatPromptTemplate", "PromptTemplate")
_CHAIN_LINK_END: Final = "OutputParser"
THREAD_NAMES: Final = ("session_id", "conversation_id", "thread_id")
_NODE: Final = "langgraph_node"
_STEP: Final = "langgraph_step"
_TASK: Final = "langgraph_checkpoint_ns"
_AGENT: Final = "lc_agent_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTask:
    """A scheduled run of a node.

    Attributes:
        node: Name of the node; None outside a graph.
        step: Superstep; tasks of equal steps of one graph ran in parallel.
        task: Identity of the task, the same for all its attempts.
        thread: Conversation that the graph belongs to.
        agent: Agent of ``create_agent`` whose run this is, or is part of. Checked with langchain 1.5.2.
    """

    node: str | None = None
    step: int | None = None
    task: str | None = None
    thread: str | None = None
    agent: str | None = None


def is_chain_link(name: str) -> bool:
    """Tell whether a run of this name is a link that LangChain put together by itself."""
    return name.startswith(_CHAIN_LINKS) or name.endswith(_CHAIN_LINK_END)


def run_kind(name: str, task: GraphTask, *, is_root: bool) -> OperationKind:
    """Tell what a run is that LangChain calls a chain.

    A chain outside a graph may be the run itself or one step of it, which only its ancestors tell: it is called
    a workflow here, and is to name none (``Operation.workflow`` is None), so that the assembler decides.
    """
    if task.agent == name:
        return OperationKind.AGENT
    if task.node is not None:
        return OperationKind.PHASE if task.node == name else OperationKind.OTHER
    return OperationKind.OTHER if not is_root and is_chain_link(name) else OperationKind.WORKFLOW


def graph_task(metadata: Attributes, prefix: str = "") -> GraphTask:
    """Read the metadata that LangGraph gives to runs; the emitter may put a prefix and quotes round it."""
    node = encoded_text(metadata, prefix + _NODE)
    thread = encoded_text(metadata, *(prefix + name for name in THREAD_NAMES))
    agent = encoded_text(metadata, prefix + _AGENT)
    if node is None:
        return GraphTask(thread=thread, agent=agent)
    return GraphTask(
        node=node,
        step=encoded_count(metadata, prefix + _STEP),
        task=encoded_text(metadata, prefix + _TASK),
        thread=thread,
        agent=agent,
    )
