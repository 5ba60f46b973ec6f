from pathlib import Path

import pytest

from otel_wfperf.definitions.markdown import parse_markdown
from otel_wfperf.definitions.rules import RULES, LintFinding, lint
from otel_wfperf.definitions.yaml import parse_yaml
from otel_wfperf.model import Severity

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "workflows"


def findings(text: str) -> list[LintFinding]:
    return list(lint(parse_markdown(text, "flow.md")))


def rules(text: str) -> list[str]:
    return [finding.rule for finding in findings(text)]


def phase(*branches: str, number: int = 1, said: str = "") -> str:
    """Write a phase; each branch is its label and what it says, such as ``A: After Branch B``."""
    lines = [f"## Phase {number}: Part {number} {said}".rstrip()]
    for branch in branches:
        label, _, text = branch.partition(":")
        lines += [f"### Branch {label}: Title", *(f"- {line.strip()}" for line in text.split(";") if line.strip())]
    return "\n".join(lines) + "\n"


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("name", ["good-parallelisation.md", "five-phases.md", "release.yaml"])
def test_good_definitions_pass(name: str) -> None:
    parse = parse_yaml if name.endswith("yaml") else parse_markdown
    assert lint(parse((EXAMPLES / name).read_text(encoding="utf-8"), name)) == ()


def test_false_parallelism_is_named_with_the_true_schedule() -> None:
    name = "false-parallelisation.md"
    assert lint(parse_markdown((EXAMPLES / name).read_text(encoding="utf-8"), name)) == (
        LintFinding(
            rule="false_parallelism",
            source=name,
            line=7,
            severity=Severity.HIGH,
            message="Phase 1 only looks parallel: Branch A waits for Branch C, Branch B waits for Branch A; "
            "true schedule: C -> A -> B",
            recommendation="Write it as phases in that order (C, then A, then B), or agree on what is handed over "
            "first, so that nobody waits.",
        ),
    )


def test_branches_beside_a_false_one_are_told_apart() -> None:
    [finding] = findings(phase("A: Depends on Branch B and Branch C", "B", "C", "D"))
    assert finding.message.endswith("true schedule: (B, C) -> A, beside D")


@pytest.mark.parametrize(
    "text",
    [
        phase("A: No dependency on Branch B", "B: Independent of Branch A", "C: Runs in parallel with Branch A"),
        phase("A: Depends on Branch B", "B", said="(sequential)").replace("Depends on Branch B", ""),
        phase("A") + phase("A: Depends on Branch A", "B: Depends on the plan from Phase 1", number=2),
        phase("A: After Branch A completes, notify the team", "B"),
        phase("A: After Phase 1 has begun, start"),
    ],
)
def test_real_parallelism_is_left_alone(text: str) -> None:
    assert rules(text) == []


def test_a_sequential_phase_may_wait_in_its_own_order_only() -> None:
    assert rules(phase("A", "B: Depends on Branch A", said="(sequential)")) == []
    assert rules(phase("A: Depends on Branch B", "B", said="(sequential)")) == ["contradicted_order"]


def test_a_circle_is_shown_once_and_is_no_false_parallelism() -> None:
    [finding] = findings(phase("A: Depends on Branch B", "B: Depends on Branch C", "C: Depends on Branch A", "D"))

    assert (finding.rule, finding.line) == ("circular_dependency", 3)
    assert finding.message.startswith(
        "Branch A -> Branch C -> Branch B -> Branch A: each has to be done before the next"
    )


def test_two_circles_are_two_findings() -> None:
    text = phase(
        "A: After Branch B", "B: After Branch A", "C: After Branch D", "D: After Branch C", "E: After Branch A"
    )
    assert rules(text) == ["circular_dependency", "circular_dependency"]


def test_phases_may_wait_in_a_circle_too() -> None:
    assert rules("## Phase 1: A\nAfter Phase 2\n## Phase 2: B\nAfter Phase 1\n") == ["circular_dependency"]


def test_a_branch_that_waits_for_itself_in_yaml_is_a_circle() -> None:
    definition = parse_yaml("phases: [{branches: [{branch: A, depends_on: A}, {branch: B}]}]", "flow.yaml")
    assert [finding.rule for finding in lint(definition)] == ["circular_dependency"]


def test_unknown_references_name_what_exists() -> None:
    [finding] = findings(phase("A: Depends on Branch Q; Needs Branch Q", "B"))
    assert (finding.rule, finding.line) == ("unknown_reference", 3)
    assert finding.message == "Branch A names Branch Q, which does not exist; there are Branch A, Branch B"

    [finding] = lint(parse_yaml("phases: [{branches: [{name: api, depends_on: shema}, {name: schema}]}]", "flow.yaml"))
    assert "api names shema, which does not exist (did you mean schema?)" in finding.message


def test_waiting_for_a_later_phase_contradicts_the_order() -> None:
    [finding] = findings(phase("A: Depends on Branch X", "B") + phase("X", number=2))
    assert finding.rule == "contradicted_order"
    assert finding.message == "Branch A of Phase 1 waits for Branch X of Phase 2, which runs later in the order written"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (phase("A: Use the output of Branch B", "B"), ["undeclared_dependency"]),
        (phase("A: Use the output of Branch X") + phase("X", number=2), ["undeclared_dependency"]),
        (phase("X") + phase("A: Use the output of Branch X", number=2), []),
        (phase("A: Use the output of Branch B; Depends on Branch B", "B"), ["false_parallelism"]),
        (phase("A: Use the output of Branch C; After Branch B", "B: After Branch C", "C"), ["false_parallelism"]),
        (phase("A: Use a mock of the output of Branch B", "B"), []),
        (phase("A: Use the output of Branch B", "B: Depends on Branch A"), ["false_parallelism"]),
        (phase("B", "A: Use the output of Branch B", said="(sequential)"), []),
        (phase("A: Send the output to Branch B", "B"), []),
    ],
)
def test_results_that_nothing_guarantees_are_reported(text: str, expected: list[str]) -> None:
    assert rules(text) == expected


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        (("A: subagent_type=x", "B: subagent_type=y", "C: write it"), ["missing_agent"]),
        (("A: subagent_type=x", "B: write it", "C: test it"), []),
        (("A: write it", "B: test it"), []),
    ],
)
def test_a_branch_without_agent_is_reported_where_most_have_one(branches: tuple[str, ...], expected: list[str]) -> None:
    assert rules(phase(*branches)) == expected


def test_phases_that_the_orchestrator_does_itself_need_no_agent() -> None:
    assert rules("## Phase 1: Think\n- think\n" + phase("A: subagent_type=x", number=2)) == []


@pytest.mark.parametrize(
    ("second", "third", "expected"),
    [
        ("After Phase 1", "After Phase 1", ["mergeable_phases"]),
        ("After Phase 1", "After Phase 2", []),
        ("", "", []),
        ("", "Depends on the plan from Phase 1", ["mergeable_phases"]),
        ("Must complete before Phase 3", "Depends on Phase 1", []),
        ("After Phase 1", "After Phase 1. Use the output of Phase 2", []),
        ("", "Independent of other phases", ["mergeable_phases"]),
    ],
)
def test_phases_merge_when_they_say_what_they_need(second: str, third: str, expected: list[str]) -> None:
    text = f"## Phase 1: A\n- plan\n## Phase 2: B\n{second}\n## Phase 3: C\n{third}\n"
    assert rules(text) == expected


def test_a_phase_is_split_where_its_groups_go_on_alone_and_time_is_lost() -> None:
    slow, fast = "subagent_type=security-specialist", "subagent_type=general-developer"

    def two(first: tuple[str, str], second: tuple[str, str]) -> str:
        return phase(f"A: {first[0]}", f"B: {first[1]}") + phase(
            f"C: {second[0]}; Depends on Branch A", f"D: {second[1]}; Depends on Branch B", number=2
        )

    [finding] = findings(two((slow, fast), (fast, slow)))
    assert finding.rule == "splittable_phase"
    assert "(Branch A then Branch C; Branch B then Branch D)" in finding.message
    assert rules(two((slow, fast), (slow, fast))) == []
    assert rules(two((slow, fast), (fast, slow)).replace("; Depends", "").replace("- Depends on Branch B", "- B")) == []


@pytest.mark.parametrize(
    ("phases", "said", "expected"),
    [
        (7, "", []),
        (8, "", ["granularity"]),
        (5, "After Phase {before}", []),
        (6, "After Phase {before}", ["granularity"]),
    ],
)
def test_too_many_phases_are_reported(phases: int, said: str, expected: list[str]) -> None:
    text = "".join(
        f"## Phase {number}: Part\n- do\n{said.format(before=number - 1) if number > 1 else ''}\n"
        for number in range(1, phases + 1)
    )
    assert rules(text) == expected


def test_few_phases_are_reported_only_when_there_is_something_to_split() -> None:
    steps = "".join(f"- subagent_type=agent{number}\n" for number in range(7))
    assert rules(f"## Phase 1: All\n{steps}") == ["granularity"]
    assert rules(phase("A", "B", "C", "D", "E")) == []


def test_a_rule_can_be_left_out() -> None:
    definition = parse_markdown(phase("A: Depends on Branch B", "B"), "flow.md")
    assert lint(definition, ignored=["false_parallelism"]) == ()


@pytest.mark.parametrize(
    ("text", "written", "meant"),
    [
        ("## Phase 1: A\n## Phse 2: B\n- one", "Phse", "Phase"),
        ("## Phase 1: A\n### Brnch A: One\n- one", "Brnch", "Branch"),
        ('## Phase 1: A\n- subagent_typ="researcher"', "subagent_typ", "subagent_type"),
        ('## Phase 1: A\n- subagent-type="researcher"', "subagent-type", "subagent_type"),
    ],
)
def test_a_word_that_is_nearly_a_keyword_is_named(text: str, written: str, meant: str) -> None:
    [finding] = [each for each in findings(text) if each.rule == "misspelt_keyword"]

    assert finding.message == f"{written!r} is read as prose (did you mean {meant}?)"


@pytest.mark.parametrize(
    "text",
    [
        "## Phase 1: A\n### Purpose: One\n- one",
        "## Phase 1: A\n### Phases 1 and 2: overview\n- one",
        "## Phase 1: A\n### Brunch A: catering\n- one",
        '## Phase 1: A\n- subagent_type="x"\n- transaction_type="y"',
        "## Phase 1: A\n- the phse is short",
    ],
)
def test_other_words_are_left_alone(text: str) -> None:
    assert "misspelt_keyword" not in rules(text)


def test_a_label_that_is_there_twice_is_named_with_the_line_of_the_first() -> None:
    [finding] = [
        each for each in findings("## Phase 2: A\n- one\n## Phase 2: B\n- two") if each.rule == "repeated_label"
    ]

    assert (finding.line, finding.message) == (
        3,
        "Phase 2 exists already, in line 1; what refers to it means that one",
    )


def test_branches_of_several_phases_may_have_the_same_labels() -> None:
    assert "repeated_label" not in rules(phase("A", "B") + phase("A", "B", number=2))


def test_a_branch_may_be_waited_for_by_its_title() -> None:
    text = "## Phase 1: P\n### Branch A: Schema\n- one\n### Branch B: Server\n- Depends on the Schema.\n"
    assert rules(text) == ["false_parallelism"]
    assert rules(text.replace("Depends on the Schema", "Does not depend on the Schema")) == []
