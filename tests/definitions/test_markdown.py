import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wfperf.definitions.definition import Branch, Definition, Phase, Reference, ReferenceKind, Step, Waits
from otel_wfperf.definitions.markdown import parse_markdown
from otel_wfperf.errors import InputError


def parse(text: str) -> Definition:
    return parse_markdown(text, "flow.md")


def test_reads_phases_branches_agents_and_order() -> None:
    definition = parse(
        "# Release\n"
        "\n"
        "## Phase 1: Plan\n"
        '1. Use `subagent_type="senior-architect"` to plan\n'
        "\n"
        "## Phase 2: Build\n"
        "### Branch A: Service\n"
        '- Task(subagent_type="backend-developer")\n'
        "- Depends on the schema from Branch B\n"
        "### Branch B: Schema\n"
        "- Must complete before Branch A\n"
    )

    plan = Step(text='1. Use `subagent_type="senior-architect"` to plan', line=4, agent="senior-architect")
    build = Step(text='- Task(subagent_type="backend-developer")', line=8, agent="backend-developer")
    after = Reference(kind=ReferenceKind.BRANCH, label="B", line=9, prose=True)
    before = Reference(kind=ReferenceKind.BRANCH, label="A", line=11, prose=True)
    service = Branch(label="A", title="Service", line=7, steps=(build,), waits=Waits(after=(after,)))
    schema = Branch(
        label="B", title="Schema", line=10, steps=(Step(text="Schema", line=10),), waits=Waits(before=(before,))
    )
    assert definition == Definition(
        name="Release",
        source="flow.md",
        phases=(
            Phase(label="1", title="Plan", line=3, steps=(plan,)),
            Phase(label="2", title="Build", line=6, branches=(service, schema)),
        ),
    )


@pytest.mark.parametrize(
    "line",
    [
        'subagent_type="backend-developer"',
        "subagent_type='backend-developer'",
        "`subagent_type=backend-developer`",
        '"subagent_type": "backend-developer",',
        "- **subagent_type**: `backend-developer`",
        "- **Agent**: backend-developer",
        "Agent: `backend-developer`",
        '```python\nTask(subagent_type="backend-developer", prompt="x")\n```',
    ],
)
def test_finds_the_agent_however_it_is_written(line: str) -> None:
    assert parse(f"## Phase 1: Build\n### Branch A: Service\n{line}\n").phases[0].agents == ("backend-developer",)


@pytest.mark.parametrize("line", ["The agent: whoever has time does it", "Agent: to be decided by the lead"])
def test_prose_about_agents_names_none(line: str) -> None:
    assert parse(f"## Phase 1: Build\n{line}\n").phases[0].agents == ()


@pytest.mark.parametrize(
    ("heading", "label", "title"),
    [
        ("## Phase 1: Plan", "1", "Plan"),
        ("# Phase 1 - Plan", "1", "Plan"),
        ("### **Phase 1:** Plan ###", "1", "Plan"),
        ("## 1. Phase 1: Plan", "1", "Plan"),
        ("## Phase 2a", "2a", ""),
        ("## phase one: Plan", "one", "Plan"),
        ("**Phase 1: Plan**", "1", "Plan"),
        ("## Phase II \N{EN DASH} Plan", "II", "Plan"),
        ("## Phase Discovery: Plan", "Discovery", "Plan"),
        ("## Phase 1 (Plan)", "1", "(Plan)"),
    ],
)
def test_headings_may_be_written_in_several_ways(heading: str, label: str, title: str) -> None:
    [phase] = parse(f"{heading}\n- something\n").phases
    assert (phase.label, phase.title) == (label, title)


@pytest.mark.parametrize(
    "heading", ["## Phases of the moon", "## Phased work", "## Phase overview", "Phase 1: in prose", "# Plan"]
)
def test_other_lines_open_nothing(heading: str) -> None:
    with pytest.raises(InputError, match=r"flow.md: has no phase; write `## Phase 1: Title`"):
        parse(f"{heading}\n")


def test_code_and_comments_open_nothing_and_say_nothing_about_order() -> None:
    definition = parse(
        "## Phase 1: Build\n"
        "<!-- ### Branch Z: old\n - Depends on Branch Y -->\n"
        "### Branch A: Service\n"
        "~~~\n## Phase 9: shown\nDepends on Branch B\n~~~\n"
        "### Branch B: Client\n"
    )

    assert [branch.label for branch in definition.phases[0].branches] == ["A", "B"]
    assert len(definition.phases) == 1
    assert all(branch.waits == Waits() for branch in definition.phases[0].branches)
    assert definition.phases[0].branches[1].line == 9


def test_a_definition_shown_as_a_code_block_is_read() -> None:
    definition = parse("Write it like this:\n\n```markdown\n## Phase 1: Plan\n### Branch A: One\n```\n")
    assert [branch.label for branch in definition.phases[0].branches] == ["A"]


def test_sections_beside_the_phases_are_prose() -> None:
    definition = parse("## Phase 1: Plan\n### Branch A: One\n## Notes\n### Branch B: of the past\nAfter Phase 7.\n")
    assert [branch.label for branch in definition.phases[0].branches] == ["A"]
    assert definition.phases[0].waits == Waits()


def test_a_heading_within_a_branch_belongs_to_it_and_one_beside_it_to_the_phase() -> None:
    [phase] = parse(
        "## Phase 1: Build\n### Branch A: One\n#### Order\n- Depends on Branch B\n### Branch B: Two\n"
        '### Afterwards\n- subagent_type="general-developer"\n'
    ).phases

    assert [reference.label for reference in phase.branches[0].waits.after] == ["B"]
    assert [step.agent for step in phase.steps] == ["general-developer"]


def test_wrapped_sentences_are_read_as_one() -> None:
    [phase] = parse(
        "## Phase 1: Build\n### Branch A: One\n- Depends on the reviewed schema\n  from Branch B\n### Branch B: Two\n"
    ).phases
    assert [reference.label for reference in phase.branches[0].waits.after] == ["B"]


def test_what_is_said_about_another_branch_belongs_to_that_one() -> None:
    [phase] = parse(
        "## Phase 1: Build\nBranch B depends on the output of Branch A.\n### Branch A: One\n### Branch B: Two\n"
    ).phases
    assert [len(branch.waits.after) for branch in phase.branches] == [0, 1]
    assert phase.waits == Waits()


@pytest.mark.parametrize("said", ["(sequential)", "\nThe branches run one after another."])
def test_a_phase_may_say_that_it_is_sequential(said: str) -> None:
    assert parse(f"## Phase 1: Build {said}\n### Branch A: One\n### Branch B: Two\n").phases[0].sequential


@pytest.mark.parametrize("said", ["(not sequential)", "(parallel, not one after another)", ""])
def test_branches_are_parallel_otherwise(said: str) -> None:
    assert not parse(f"## Phase 1: Build {said}\n### Branch A: One\n### Branch B: Two\n").phases[0].sequential


def test_steps_of_a_parallel_phase_without_branches_run_side_by_side() -> None:
    lines = '- subagent_type="a"\n- subagent_type="b"\n'
    assert [branch.agents for branch in parse(f"## Phase 1: Ask (parallel)\n{lines}").phases[0].branches] == [
        ("a",),
        ("b",),
    ]
    assert parse(f"## Phase 1: Ask\n{lines}").phases[0].agents == ("a", "b")
    assert parse(f"## Phase 1: Ask\n{lines}Prompt: use parallel queries.\n").phases[0].branches == ()


def test_the_name_is_that_of_the_front_matter_the_title_or_the_file() -> None:
    assert parse("---\nname: ship\n---\n# Shipping\n## Phase 1: A\n").name == "ship"
    assert parse("# Shipping #\n## Phase 1: A\n").name == "Shipping"
    assert parse("## Phase 1: A\n").name == "flow"


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    definition = parse(f"## Phase 1: Start\n{text}")
    assert definition.phases[0].label == "1"
