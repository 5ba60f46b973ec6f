import pytest

from otel_wfperf.analysis.interventions import Cache, ContextLimit, Intervention, MoveWork, Speed
from otel_wfperf.analysis.parallel_steps import Together
from otel_wfperf.analysis.scenario import ScenarioError, parse_scenario
from otel_wfperf.analysis.selection import Target
from tests.detectors.builders import Run


def target(kind: str, name: str, pattern: str, position: int) -> Target:
    return Target(kind=kind, name=name, pattern=pattern, position=position)


def parsed(text: str) -> Intervention:
    [found] = parse_scenario(text).interventions
    return found


SEARCH = (target("tool", "search", "search", 7),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache tool:search", Cache(targets=SEARCH)),
        ("cache tool:search hit=50ms scope=runs", Cache(targets=SEARCH, hit_ns=50_000_000, scope="runs")),
        ("cache tool:search scope=warm hit=0.2s", Cache(targets=SEARCH, hit_ns=200_000_000, scope="warm")),
        ("remove phase:plan", Speed(targets=(target("phase", "plan", "plan", 8),), factor=0.0)),
        ("faster llm:* 30%", Speed(targets=(target("llm", "*", ".*", 8),), factor=0.7)),
        ("faster llm:* 30 %", Speed(targets=(target("llm", "*", ".*", 8),), factor=0.7)),
        ("FASTER agent:a x2", Speed(targets=(target("agent", "a", "a", 8),), factor=0.5)),
        (
            "parallel tool:a, b capacity=2",
            Together(targets=(target("tool", "a", "a", 10), target("tool", "b", "b", 18)), capacity=2),
        ),
        (
            "move agent:A to agent:B",
            MoveWork(targets=(target("agent", "A", "A", 6),), to=target("agent", "B", "B", 17)),
        ),
        ("context agent:a 8000 tokens", ContextLimit(targets=(target("agent", "a", "a", 9),), tokens=8000)),
        ("context agent:a 8000tokens", ContextLimit(targets=(target("agent", "a", "a", 9),), tokens=8000)),
        ("context agent:a 8k", ContextLimit(targets=(target("agent", "a", "a", 9),), tokens=8000)),
        ("context agent:a 1.5ktokens", ContextLimit(targets=(target("agent", "a", "a", 9),), tokens=1500)),
    ],
)
def test_each_verb_is_understood(text: str, expected: Intervention) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("typed", "name", "meant", "not_meant"),
    [
        ('"get weather"', "get weather", "get weather", "get"),
        ("'a;b,c'", "a;b,c", "a;b,c", "a"),
        ("load_*", "load_*", "load_prices", "reload_prices"),
        ('"a*"', "a*", "a*", "ab"),
        ("*'s own'", "*s own", "it's own", "its"),
        ("mcp:fetch", "mcp:fetch", "mcp:fetch", "fetch"),
        ("f(x)+", "f(x)+", "f(x)+", "fx"),
        ("検索", "検索", "検索", "検"),
    ],
)
def test_names_may_be_quoted_and_hold_wildcards(typed: str, name: str, meant: str, not_meant: str) -> None:
    [found] = parsed(f"remove tool:{typed}").targets

    assert found.name == name
    assert found.matches(meant.replace("it's own", "its own"))
    assert not found.matches(not_meant)


def test_several_changes_are_apart_and_empty_ones_are_left_out() -> None:
    scenario = parse_scenario(" ; cache tool:search;\n remove phase:plan ;")

    assert [type(each) for each in scenario.interventions] == [Cache, Speed]


@pytest.mark.parametrize(
    ("text", "position", "message", "hint"),
    [
        ("", 1, "it says nothing", "write for example"),
        ("chache tool:a", 1, "unknown verb chache (did you mean cache?)", "verbs are cache, remove, faster"),
        ("remove tol:a", 8, "unknown kind tol (did you mean tool?)", "kinds are workflow, phase"),
        ("cache tool:a; remove b", 22, "b lacks its kind", "such as tool:b"),
        ("remove", 7, "remove lacks what to change", "write remove phase:NAME"),
        ("remove tool:", 8, "lacks a name", "tool:* for all"),
        ('remove tool:"a', 13, "the quote is not closed", 'close it with "'),
        ("remove tool:a,", 15, "remove lacks what to change", "remove phase:NAME"),
        ("remove tool:a now", 15, "now means nothing here", "remove phase:NAME"),
        ("faster tool:a", 14, "lacks how much", "faster phase:NAME 30%"),
        ("faster tool:a 130%", 15, "130% is not between 0 and 100 %", "write remove"),
        ("faster tool:a much", 15, "much says not how much faster", "30%"),
        ("faster tool:a x0", 15, "says not how much faster", "30%"),
        ("cache tool:a hit=50", 18, "50 is no duration", "hit=50ms"),
        ("cache tool:a scope=rums", 20, "unknown scope rums (did you mean runs?)", "cache tool:NAME"),
        ("parallel tool:a capacity=0", 26, "capacity 0 runs nothing", "capacity=4"),
        ("parallel tool:a capacity=", 26, "capacity nothing runs nothing", "capacity=4"),
        ("move tool:A to agent:B", 6, "move takes agents, not tools", "move agent:A to agent:B"),
        ("move agent:A agent:B", 14, "agent:B instead of to", "move agent:A to agent:B"),
        ("move agent:A to agent:*", 17, "the work moves to one agent", "move agent:A to agent:B"),
        ("remove workflow:report", 8, "without its workflow nothing is left", "name what is to go inside it"),
        ("context agent:a 500", 17, "500 lacks its unit", "write 500 tokens"),
        ("context agent:a lots", 17, "lots is no number of tokens", "8000 tokens"),
    ],
)
def test_says_what_is_wrong_where_and_what_to_write(text: str, position: int, message: str, hint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text)

    assert f"--what-if {text!r}, character {position}: " in str(caught.value)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_names_that_do_not_exist_are_told_with_those_that_do() -> None:
    run = Run()
    run.phase("fetch", 0, 10)
    run.tool("search", 0, 5)
    executions = [run.build()]

    for text, message, hint in [
        ("remove tool:serch", "character 8: no tool is called serch (did you mean search?)", "tools are search"),
        ("remove tool:fetch", "character 8: no tool is called fetch", "tools are search"),
        ("remove agent:fetch", "no agent is called fetch", "write phase:fetch"),
        ("remove llm:*", "no llm is called *", "there is no llm in these traces; there are workflow, phase, tool"),
    ]:
        with pytest.raises(ScenarioError) as caught:
            parse_scenario(text).check(executions)
        assert message in str(caught.value)
        assert caught.value.hint == hint
