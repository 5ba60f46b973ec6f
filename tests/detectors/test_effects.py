import pytest

from otel_wfperf.detectors.effects import changes_state, changes_with_time, decides, share_a_noun


@pytest.mark.parametrize(
    "name",
    [
        "create_ticket",
        "deleteFile",
        "post_comment",
        "get_or_create_user",
        "SendEmail",
        "bash",
        "book_flight",
        "handoff to X",
    ],
)
def test_knows_names_of_tools_that_change_something(name: str) -> None:
    assert changes_state(name)


@pytest.mark.parametrize(
    "name",
    ["get_post", "list_orders", "search_web", "load_glossary", "read_email", "think", "writer", "lookup_address"],
)
def test_knows_names_of_tools_that_only_read(name: str) -> None:
    assert not changes_state(name)


def test_knows_gates_and_clocks() -> None:
    assert decides("input guardrail")
    assert decides("route_request")
    assert not decides("research")
    assert changes_with_time("job_status")
    assert not changes_with_time("load_prices")


@pytest.mark.parametrize(
    ("read", "written"),
    [("get_order", "update_orders"), ("getOrder", "cancelOrder"), ("get_reservation_details", "cancel_reservation")],
)
def test_reads_and_writes_of_one_thing_share_a_noun(read: str, written: str) -> None:
    assert share_a_noun(read, written)


@pytest.mark.parametrize(
    ("read", "written"), [("get_order", "update_stock"), ("load_details", "book_details"), ("get", "put"), ("", "")]
)
def test_verbs_and_fillers_are_no_nouns(read: str, written: str) -> None:
    assert not share_a_noun(read, written)
