import pytest

from otel_wfperf.conventions.langgraph import GraphTask, graph_task, run_kind
from otel_wfperf.model import Attributes, OperationKind

# As langgraph 1.2.24 gives it to the runs of a node.
METADATA: Attributes = {
    "langgraph_node": "writer",
    "langgraph_step": 3,
    "langgraph_checkpoint_ns": "writer:1",
    "thread_id": "t-1",
    "lc_agent_name": "editor",
}
TASK = GraphTask(node="writer", step=3, task="writer:1", thread="t-1", agent="editor")


def test_reads_the_metadata_of_a_run() -> None:
    assert graph_task(METADATA) == TASK
    assert graph_task({"thread_id": "t-1", "lc_agent_name": "editor"}) == GraphTask(thread="t-1", agent="editor")
    assert graph_task({}) == GraphTask()


def test_reads_it_behind_a_prefix_and_in_quotes() -> None:
    quoted: Attributes = {
        "x.langgraph_node": '"writer"',
        "x.langgraph_step": "3",
        "x.langgraph_checkpoint_ns": '"writer:1"',
        "x.thread_id": '"t-1"',
        "x.lc_agent_name": '"editor"',
    }

    assert graph_task(quoted, "x.") == TASK


@pytest.mark.parametrize(
    ("name", "task", "is_root", "kind"),
    [
        ("writer", TASK, False, OperationKind.PHASE),
        ("editor", TASK, False, OperationKind.AGENT),
        ("editor", GraphTask(agent="editor"), True, OperationKind.AGENT),
        ("route", TASK, False, OperationKind.OTHER),
        ("RunnableSequence", GraphTask(), False, OperationKind.OTHER),
        ("RunnableSequence", GraphTask(), True, OperationKind.WORKFLOW),
        ("team", GraphTask(thread="t"), True, OperationKind.WORKFLOW),
    ],
)
def test_tells_what_a_chain_is(name: str, task: GraphTask, *, is_root: bool, kind: OperationKind) -> None:
    assert run_kind(name, task, is_root=is_root) is kind
