"""The tree of LangChain runs, and which of them is a workflow, phase or agent.

LangChain reports every runnable as a "run" with an id, the id of its parent, and metadata
that children inherit. Checked with langchain-core 1.7.2 and langgraph 1.2.22:

* a node of a graph is a run named like ``metadata["langgraph_node"]`` with a tag
  ``graph:step:N`` (tags are not inherited), or a task of the functional API;
* a router, a prompt, or a lambda inside a node is a run like any other: it gets no span;
* a graph inside a node cannot be told from them when it starts. It gets its span, with the
  right start, when its first node does.
"""

from __future__ import annotations

import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from threading import RLock
from typing import Any, Final
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import AttributeValue, Call, current_operation, start_call
from otel_wfperf.instrumentation.integrations.langchain.messages import Conversation
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

# "writer_agent", "agent_1", "WriterAgent", "writer-agent"; not "magenta", not "agents".
_AGENT_WORD: Final = re.compile(r"(?:(?:\b|_)[Aa]gent|(?<=[a-z])Agent)(?=$|\b|_|[A-Z])")
_CREATE_AGENT: Final = "langchain_create_agent"
_CONVERSATION_KEYS: Final = ("thread_id", "session_id", "conversation_id")
# Node that `create_react_agent` gives to the model; the graph around it is the agent.
_REACT_NODE: Final = "agent"
_DEFAULT_GRAPH_NAME: Final = "LangGraph"
# Chosen: more than start in one step of a graph.
_MAX_TASKS: Final = 10_000
_NOWHERE: Final = Context()


class Execution:
    """What the runs of one outermost run share.

    Attributes:
        turns: Model response that asked for each tool call, by the call's id.
        content: Reads what operations were given and returned.
        conversation: The messages of prompts and answers.
        prompts: Compares each prompt with the one before it.
    """

    __slots__ = ("_attempts", "content", "conversation", "prompts", "turns")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.turns: dict[str, str] = {}
        self.content = ContentReader()
        self.conversation = Conversation(self.content)
        self.prompts = Prompts(self.content)
        self._attempts: dict[tuple[Any, ...], int] = {}

    def attempt(self, task: tuple[Any, ...]) -> int:
        """Count a try of a task, which is not retried once many others have started; 1 is the first."""
        attempts = self._attempts
        count = attempts[task] = attempts.get(task, 0) + 1
        if len(attempts) > _MAX_TASKS:
            attempts.pop(next(iter(attempts)), None)
        return count


class Run:
    """One run.

    Attributes:
        call: Its own operation; None = it has no span.
        inner: The agent inside a node that is both a phase and an agent; ends first.
        key: Its run id as a number.
        run_id: Its run id, not kept alive: once LangChain drops it, nobody can report the end any more.
        anchor: Its own operation or that of the nearest run above that has one.
        first_token_ns: When the first token came (nanoseconds since the Unix epoch); 0 = not yet.
    """

    __slots__ = (
        "_context",
        "anchor",
        "call",
        "execution",
        "first_token_ns",
        "inner",
        "key",
        "metadata",
        "name",
        "parent",
        "run_id",
        "start_ns",
    )

    def __init__(self, run_id: UUID, name: str, metadata: Mapping[str, Any], parent: Run | None) -> None:
        """Place a run below its parent, or below whatever is current for an outermost one."""
        self.key = run_id.int
        self.run_id: _RunId | None = None
        self.name = name
        self.metadata = metadata
        self.parent = parent
        self.call: Call | None = None
        self.inner: Call | None = None
        self.start_ns = time.time_ns()
        self.first_token_ns = 0
        self.execution: Execution = Execution() if parent is None else parent.execution
        self.anchor: Call | None = None
        self._context: Context | None = None
        self.place()

    def place(self) -> None:
        """Find out where the run belongs, from what its parent is now."""
        if self.parent is None:
            self.anchor = current_operation()
            self._context = otel_context.get_current()
        else:
            self.anchor = self.parent.anchor
            # Inside the parent's own code the current context is better than the parent's: the user's
            # own spans and operations count. Elsewhere, such as in a pool's thread, it says nothing.
            inner = current_operation()
            while inner is not None and inner is not self.anchor:
                inner = inner.outer
            self._context = otel_context.get_current() if inner is not None else self.parent.context

    @property
    def context(self) -> Context:
        """Where its children belong."""
        context = self._context
        if context is None:
            context = self._context = self.anchor.context if self.anchor is not None else _NOWHERE
        return context

    @property
    def node(self) -> str | None:
        """Name of the graph's node that this run is or is part of."""
        node = self.metadata.get("langgraph_node")
        return node if isinstance(node, str) else None

    @property
    def is_step_of_agent(self) -> bool:
        """Whether it is a node of an agent's own graph: the calls in it say what went in and came out.

        Each is given the whole conversation, so that reading that for the node, too, would double the cost.
        """
        above = self.parent
        return above is not None and above.call is not None and above.call.kind == "agent"

    def begin(self, kind: str, name: str, span_name: str, attributes: Mapping[str, AttributeValue]) -> Call:
        """Give the run an operation; its children belong to that."""
        call = start_call(
            kind, name, span_name=span_name, attributes=attributes, context=self.context, start_ns=self.start_ns
        )
        self.anchor = call
        self._context = None
        return call

    def end(
        self,
        error: BaseException | None = None,
        *,
        error_type: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        end_ns: int | None = None,
    ) -> None:
        """End its operation, if it has one, as :meth:`Call.end` does."""
        if self.inner is not None:
            self.inner.end(error, end_ns=end_ns)
        if self.call is not None:
            self.call.end(error, error_type=error_type, attributes=attributes, end_ns=end_ns)


class _RunId(weakref.ref[UUID]):
    """A reference to a run's id that knows which one it was."""

    __slots__ = ("key",)
    key: int


class Runs:
    """The runs that have started and not ended.

    LangChain does not report the end of a model or tool call that is cancelled (langchain-core 1.7.2).
    Such a run ends when LangChain drops its id.
    """

    # Chosen: far above what one process runs at once; only runs whose id somebody keeps reach it.
    max_runs = 50_000

    def __init__(self) -> None:
        """Start empty."""
        self._by_key: dict[int, Run] = {}
        # Key and time (nanoseconds since the Unix epoch) of runs whose id was dropped before their end.
        self._dropped: deque[tuple[int, int]] = deque()
        self._promoting = RLock()

        # A reference may die anywhere, even while a lock is held: note that, and end the run later.
        def note_dropped(reference: _RunId, note: Callable[[tuple[int, int]], None] = self._dropped.append) -> None:
            note((reference.key, time.time_ns()))

        self._note_dropped = note_dropped

    def __len__(self) -> int:
        """How many runs are open (count)."""
        return len(self._by_key)

    def find(self, run_id: UUID | None) -> Run | None:
        """Return an open run."""
        return self._by_key.get(run_id.int) if run_id is not None else None

    def add(self, run_id: UUID, run: Run) -> Run:
        """Remember a run; the oldest one is ended and forgotten when there are too many."""
        if self._dropped:
            self.end_dropped()
        run.run_id = _RunId(run_id, self._note_dropped)
        run.run_id.key = run.key
        self._by_key[run.key] = run
        if len(self._by_key) > self.max_runs:
            self._by_key.pop(next(iter(self._by_key))).end()
        return run

    def remove(self, run_id: UUID) -> Run | None:
        """Forget a run that ended and return it."""
        return self._by_key.pop(run_id.int, None)

    def end_dropped(self) -> None:
        """End the runs whose end will never be reported."""
        while self._dropped:
            key, end_ns = self._dropped.popleft()
            run = self._by_key.pop(key, None)
            if run is not None:
                run.end(end_ns=end_ns)

    def start_chain(self, run: Run, tags: Sequence[str], run_type: str | None, inputs: object) -> None:
        """Decide what a chain run is, and start its operation if it has one."""
        if is_node(run, tags):
            if run.parent is not None and run.parent.call is None:
                self._promote(run.parent, run.name)
                run.place()
            _start_node(run, inputs)
        elif run.parent is None and run_type is None and not run.name.endswith("UpdateState"):
            is_graph = "ls_integration" in run.metadata
            if is_graph or run.anchor is None:
                _start_graph(run)
        elif run.parent is not None and _is_named_agent(run):
            _start_graph(run)

    def _promote(self, graph: Run, first_node: str) -> None:
        """Start the operation of a graph that looked like any other run until now."""
        # Nodes of one step may start in several threads.
        with self._promoting:
            if graph.call is None:
                _start_graph(graph, first_node)


def is_node(run: Run, tags: Sequence[str]) -> bool:
    """Tell whether a chain run is a node of a graph, or a task of the functional API."""
    if run.name != run.metadata.get("langgraph_node") or "langsmith:hidden" in tags:
        return False
    for tag in tags:  # `any` takes three times as long
        if tag.startswith("graph:step:"):
            return True
    path: Sequence[object] = run.metadata.get("langgraph_path") or ()
    is_task = bool(path) and path[-1] is True
    return is_task and (run.parent is None or run.parent.metadata.get("langgraph_path") != path)


@lru_cache(maxsize=1024)
def is_agent_name(name: str) -> bool:
    """Tell whether a run's name says that it is an agent."""
    return _AGENT_WORD.search(name) is not None


def _is_named_agent(run: Run) -> bool:
    """Tell whether a nested run is the start of a `create_agent` graph: children inherit its metadata."""
    if run.metadata.get("ls_integration") != _CREATE_AGENT or run.parent is None:
        return False
    above = run.parent.metadata
    same = above.get("ls_integration") == _CREATE_AGENT and above.get("lc_agent_name") == run.metadata.get(
        "lc_agent_name"
    )
    return not same


def _start_graph(run: Run, first_node: str | None = None) -> None:
    """Start an agent or a workflow."""
    agent_name = _agent_name(run, first_node)
    if agent_name is not None:
        _start_agent(run, agent_name)
        return
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
        semconv.WORKFLOW_NAME: run.name,
    }
    conversation = _conversation(run.metadata)
    if conversation is not None:
        attributes[semconv.CONVERSATION_ID] = conversation
    run.call = run.begin("workflow", run.name, f"invoke_workflow {run.name}", attributes)


def _agent_name(run: Run, first_node: str | None) -> str | None:
    """Name the agent that a graph is; None = it is not one. What was inherited from above says nothing."""
    above = run.parent.metadata if run.parent is not None else {}
    for key in ("lc_agent_name", "agent_name"):
        name = run.metadata.get(key)
        if name and name != above.get(key):
            return str(name)
    if is_agent_name(run.name):
        return run.name
    made_by_create_agent = _CREATE_AGENT == run.metadata.get("ls_integration") != above.get("ls_integration")
    if made_by_create_agent or first_node == _REACT_NODE:
        return run.node if run.node and run.name == _DEFAULT_GRAPH_NAME else run.name
    return None


def _start_agent(run: Run, name: str) -> None:
    outer = run.anchor
    if outer is not None and outer.kind == "agent" and outer.name == name:
        return  # the node around this graph is the same agent already
    attributes = {semconv.OPERATION_NAME: semconv.INVOKE_AGENT, semconv.AGENT_NAME: name}
    run.call = run.begin("agent", name, f"invoke_agent {name}", attributes)


def _start_node(run: Run, inputs: object) -> None:
    name, metadata = run.name, run.metadata
    step = metadata.get("langgraph_step")
    parent_key = run.parent.key if run.parent is not None else None
    # A retry is a new run of the same task. Its path names the task within one step of one graph.
    task = (parent_key, step, name, metadata.get("langgraph_path"))
    attributes: dict[str, AttributeValue] = {
        semconv.PHASE_NAME: name,
        semconv.RETRY_ATTEMPT: run.execution.attempt(task),
    }
    if isinstance(step, int):
        attributes[semconv.PHASE_STEP] = step
        attributes[semconv.PARALLEL_GROUP] = f"step {step}"
    is_step_of_agent, agent_name = run.is_step_of_agent, _node_agent_name(run)
    run.call = run.begin("phase", name, f"phase {name}", attributes)
    if not is_step_of_agent and run.call.span.is_recording():
        run.execution.content.describe_input(run.call.span, inputs, hashed=False)
    if agent_name is not None:
        start = {semconv.OPERATION_NAME: semconv.INVOKE_AGENT, semconv.AGENT_NAME: agent_name}
        run.inner = run.begin("agent", agent_name, f"invoke_agent {agent_name}", start)


def _node_agent_name(run: Run) -> str | None:
    """Name the agent that a node is; None = it is not one, or it is a step of the agent around it."""
    if run.anchor is not None and run.anchor.kind == "agent":
        return None
    given = run.metadata.get("agent_name")
    if given:
        return None if run.anchor is not None and run.anchor.agent == given else str(given)
    return run.name if run.name != _REACT_NODE and is_agent_name(run.name) else None


def _conversation(metadata: Mapping[str, Any]) -> str | None:
    for key in _CONVERSATION_KEYS:
        if metadata.get(key):
            return str(metadata[key])
    return None
