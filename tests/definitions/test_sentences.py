import pytest

from otel_wfperf.definitions.sentences import Reader, says_independent_of_phases

READER = Reader()


def read(text: str, reader: Reader = READER) -> list[str]:
    """Write what a line says as ``<subject> <relation> <name>``; the place it stands in has no subject."""
    return [
        f"{statement.subject.name + ' ' if statement.subject else ''}{relation} {reference.name}"
        for statement in reader.statements(text, 1)
        for relation in ("after", "before", "uses")
        for reference in getattr(statement.waits, relation)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Depends on the API contract from Branch C", ["after Branch C"]),
        ("- **Depends on**: schema from `Branch C`", ["after Branch C"]),
        ("depends on branch C", ["after Branch C"]),
        ("Depends on Branches A, B and C", ["after Branch A", "after Branch B", "after Branch C"]),
        ("Depends on the schema from Branch C and the tests from Branch D", ["after Branch C", "after Branch D"]),
        ("Depends on: A, C", ["after Branch A", "after Branch C"]),
        ("Dependencies: Branch C (API contract)", ["after Branch C"]),
        ("Requires the completed client from Branch A", ["after Branch A"]),
        ("Needs Branch A", ["after Branch A"]),
        ("depends_on: [C]", ["after Branch C"]),
        ("must_complete_before: A", ["before Branch A"]),
        ("Waits for Branch A (of Phase 1) and Branch B", ["after Branch A of Phase 1", "after Branch B"]),
        ("Depends on Branch A results from Phase 2", ["after Branch A of Phase 2"]),
        ("Depends on Phase 1, Branch B", ["after Branch B of Phase 1"]),
        ("Depends on Phases 1-3", ["after Phase 1", "after Phase 2", "after Phase 3"]),
        ("After Phase 2", ["after Phase 2"]),
        ("Start after completion of Branch C.", ["after Branch C"]),
        ("Once Branch C is finished, deploy", ["after Branch C"]),
        ("Cannot start until Branch C completes", ["after Branch C"]),
        ("Do not start before Branch C is done.", ["after Branch C"]),
        ("Must complete before Branch A can start", ["before Branch A"]),
        ("This must finish before Phase 3 begins", ["before Phase 3"]),
        ("Blocked by Branch C; blocks Branch D", ["after Branch C", "before Branch D"]),
        ("Required by Branch A", ["before Branch A"]),
        ("Branch B depends on the output of Branch A", ["Branch B after Branch A"]),
        ("Phase 3 depends on Phase 1", ["Phase 3 after Phase 1"]),
        ("Use the output of Branch C", ["uses Branch C"]),
        ("Uses Branch C's API contract", ["uses Branch C"]),
        ("Review results from Branch A", ["uses Branch A"]),
    ],
)
def test_understands_what_waits_for_what(text: str, expected: list[str]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "No dependencies on Branch A",
        "Independent of Branch B and Branch C",
        "Does not depend on Branch B",
        "This doesn't need anything from Branch B",
        "Can start before Branch A finishes",
        "May run before or after Branch A",
        "Runs in parallel with Branch B",
        "Requires coordination with Branch B",
        "Use mock data instead of Branch C's API",
        "Use the schema that was agreed on, later that of Branch C",
        "Send the results to Branch C",
        "Depends on nothing",
        "Dependencies: None",
        "Depends on a database",
        "Branch names depend on the ticket",
        "Create a branch after review",
        "Open a branch b for the fix",
        "Write the API for Branch C's team",
        "Depends on UI tests, A/B tests",
        "",
    ],
)
def test_leaves_other_sentences_alone(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Depends on Branch B, not on Branch A", ["after Branch B"]),
        ("Depends on the schema from Branch C so that Branch D can start", ["after Branch C"]),
        ("After Branch C completes, hand the results to Branch D", ["after Branch C"]),
        ("Runs in parallel with Branch B after Phase 1", ["after Phase 1"]),
        ("Depends on Branch A, UI tests", ["after Branch A"]),
        ("No dependency on Branch A. Depends on Branch C.", ["after Branch C"]),
    ],
)
def test_stops_where_the_sentence_turns(text: str, expected: list[str]) -> None:
    assert read(text) == expected


def test_longer_labels_are_understood_where_they_exist() -> None:
    text = "Depends on the plan from Branch api and on Phase Setup"

    assert read(text) == []
    assert read(text, Reader(("api",), ("Setup",))) == ["after Branch api", "after Setup"]


def test_notices_that_no_phase_is_needed() -> None:
    assert says_independent_of_phases("Independent of the other phases")
    assert not says_independent_of_phases("Independent of Branch A")


@pytest.mark.parametrize(
    "sentence",
    [
        "Starts when Branch A is finished",
        "Begin when Branch A has been completed.",
        "Runs as soon as Branch A is done",
        "When Branch A finishes, run the tests",
    ],
)
def test_when_a_branch_is_finished_is_waiting(sentence: str) -> None:
    [statement] = Reader().statements(sentence, 1)
    assert [each.label for each in statement.waits.after] == ["A"]


@pytest.mark.parametrize("sentence", ["When Branch A is slow, use a cache", "Ask when Branch A needs help"])
def test_when_a_branch_is_otherwise_is_prose(sentence: str) -> None:
    assert list(Reader().statements(sentence, 1)) == []
