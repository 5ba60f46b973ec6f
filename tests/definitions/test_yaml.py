from pathlib import Path

import pytest

pytest.importorskip("yaml")

from otel_wfperf.definitions.definition import Definition, Duration, ReferenceKind
from otel_wfperf.definitions.markdown import parse_markdown
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.yaml import parse_yaml
from otel_wfperf.errors import InputError

RELEASE = Path(__file__).resolve().parents[2] / "examples" / "workflows" / "release.yaml"


def parse(text: str) -> Definition:
    return parse_yaml(text, "flow.yaml")


def pairs(definition: Definition) -> set[tuple[str, str]]:
    dependencies = Dependencies(definition)
    return {(dependencies.name(each.waiting), dependencies.name(each.awaited)) for each in dependencies.declared}


def test_says_the_same_as_markdown() -> None:
    markdown = (
        '## Phase 1: Build\n### Branch A: Service\n- subagent_type="backend-developer"\n- Depends on Branch C\n'
        "### Branch B: Client\n- Depends on Branch A\n### Branch C: Schema\n- Must complete before Branch A\n"
    )
    keys = (
        "phases:\n- phase: 1\n  title: Build\n  branches:\n"
        "  - {branch: A, title: Service, agent: backend-developer, depends_on: C}\n"
        "  - {branch: B, title: Client, depends_on: [Branch A]}\n"
        "  - {branch: C, title: Schema, must_complete_before: [{branch: A}]}\n"
    )
    names = (
        'phases:\n- name: "Phase 1: Build"\n  branches:\n  - name: "Branch A: Service"\n'
        "    steps:\n    - 'subagent_type=\"backend-developer\"'\n    - Depends on Branch C\n"
        '  - name: "Branch B: Client"\n    steps: [Depends on Branch A]\n  - name: "Branch C: Schema"\n'
        "    tasks: [Must complete before Branch A]\n"
    )

    expected = parse_markdown(markdown, "flow.md")
    for text in (keys, names):
        definition = parse(text)
        assert pairs(definition) == pairs(expected) == {("Branch A", "Branch C"), ("Branch B", "Branch A")}
        assert [(phase.label, phase.title, phase.agents) for phase in definition.phases] == [
            ("1", "Build", ("backend-developer",))
        ]
        assert [(each.label, each.title) for each in definition.phases[0].branches] == [
            (each.label, each.title) for each in expected.phases[0].branches
        ]


def test_knows_lines_durations_and_modes() -> None:
    definition = parse_yaml(RELEASE.read_text(encoding="utf-8"), str(RELEASE))

    assert definition.name == "release"
    assert [(phase.label, phase.title, phase.line) for phase in definition.phases] == [
        ("1", "Collect", 4),
        ("2", "Write", 15),
        ("3", "Publish", 26),
    ]
    assert definition.phases[0].branches[1].steps[0].duration == Duration(low_s=60, high_s=120)
    assert definition.phases[1].waits.after[0].kind is ReferenceKind.PHASE
    assert parse("phases: [{mode: sequential, branches: [{agent: a}, {agent: b}]}]").phases[0].sequential


@pytest.mark.parametrize(
    ("written", "low_s", "high_s"),
    [
        ("20", 20, 20),
        ("20s", 20, 20),
        ("90-180s", 90, 180),
        ("2m", 120, 120),
        ("1-2 min", 60, 120),
        ("500ms", 0.5, 0.5),
    ],
)
def test_durations_have_units(written: str, low_s: float, high_s: float) -> None:
    [step] = parse(f"phases: [{{agent: a, duration: {written}}}]").phases[0].steps
    assert step.duration == Duration(low_s=low_s, high_s=high_s)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "flow.yaml:1: expected|flow.yaml:1: has no phases"),
        ("name: x", "flow.yaml:1: has no phases; write `phases:`"),
        ("phases:\n- [a]\n", "flow.yaml:2: expected a mapping for a phase"),
        ("phases:\n- title: a\n  branches: 3\n", "flow.yaml:3: expected a mapping for a branch|flow.yaml:3: branches"),
        (
            "phases:\n- title: a\n  depend_on: [b]\n",
            r"flow.yaml:3: unknown key: depend_on \(did you mean depends_on\?\)",
        ),
        ("phases:\n- agent: a\n  duration: soon\n", "flow.yaml:3: duration: write seconds or a range"),
        ("phases:\n- agent: a\n  duration: 9-3s\n", "flow.yaml:3: duration: 9-3s ends below its start"),
        ("phases:\n- agent: [a]\n", "flow.yaml:2: expected a text here"),
        ("phases:\n- mode: random\n", "flow.yaml:2: mode: unknown: random; write parallel or sequential"),
        ("phases: [\n", "flow.yaml:2: is not YAML"),
    ],
)
def test_problems_name_their_line(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse(text)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse("phases:\n- mode: x\n- duration: y\n  agent: z\n")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["flow.yaml:2:", "flow.yaml:3:"]


def test_keys_of_others_are_left_alone() -> None:
    assert len(parse("version: 1\nphases: [{title: a, model: sonnet, timeout: 3}]").phases) == 1
