"""Workflows with one planted fault each in how their branches run."""

from __future__ import annotations

from random import Random

from otel_wfperf.model import Execution, OperationKind, ResourceUse
from tests.detectors.builders import Run
from tests.detectors.fan_out_simulation import Simulation, Spans, Work, drawn_work, runs
from tests.detectors.planting import USUAL_SPREAD, Fault


def one_lock(seed: int) -> list[Execution]:
    """Five researchers start together and share a client that serves one of them at a time; nobody records the wait."""

    def build(random: Random, number: int) -> Execution:
        work = drawn_work(random, 5, spread=USUAL_SPREAD, calls=2, name="research_{}")
        return Simulation(work, places=1, each_call=True).build(number)

    return runs(build, seed, 6)


def one_worker(seed: int) -> list[Execution]:
    """A graph schedules four branches in one step, and its executor has one worker: their spans follow each other."""

    def build(random: Random, number: int) -> Execution:
        work = drawn_work(random, 4, spread=USUAL_SPREAD, name="fetch_{}")
        return Simulation(work, places=1, spans=Spans.LATE, fields={"step": 3}).build(number)

    return runs(build, seed, 2)


def blocked_loop(seed: int) -> list[Execution]:
    """Three branches fetch a page each, and parse it in a call that holds the event loop."""

    def build(random: Random, number: int) -> Execution:
        run = Run(number)
        run.phase("plan", 0, 900)
        at_ms = 905.0
        for name in ("parse_a", "parse_b", "parse_c"):
            parsing_ms = random.uniform(900, 1500)
            use = ResourceUse(loop_blocked_s=parsing_ms / 1e3, loop_blocked_longest_s=parsing_ms / 1e3, cpu_time_s=0.05)
            # The answer comes after 40 ms; the loop gets to see it when the branches before are done.
            phase = run.phase(name, 905, at_ms - 905 + 40 + parsing_ms, resources=use)
            run.tool("fetch_page", 906, at_ms - 905 + 39, parent=phase)
            at_ms += parsing_ms
        run.phase("write", at_ms + 45, 800)
        return run.build()

    return runs(build, seed, 5)


def three_places(seed: int) -> list[Execution]:
    """Twelve branches of a declared group, and a semaphore of three around each."""

    def build(random: Random, number: int) -> Execution:
        work = drawn_work(random, 12, spread=USUAL_SPREAD, name="summarise_{:02}")
        return Simulation(work, places=3, spans=Spans.LATE, fields={"parallel_group": "summaries"}).build(number)

    return runs(build, seed, 3)


def two_places_in_a_turn(seed: int) -> list[Execution]:
    """A model asks for eight tools at once, and two of them run at a time."""

    def build(random: Random, number: int) -> Execution:
        work = drawn_work(random, 8, spread=USUAL_SPREAD, name="load_{}")
        fields = {"turn": "response-1"}
        return Simulation(work, places=2, spans=Spans.LATE, kind=OperationKind.TOOL, fields=fields).build(number)

    return runs(build, seed, 5)


def late_branch(seed: int) -> list[Execution]:
    """In two of five runs one branch of six, another one each time, takes ten times as long as it should."""

    def build(random: Random, number: int) -> Execution:
        work = list(drawn_work(random, 6, spread=0.3, name="check_{}"))
        if number % 5 in (1, 3):
            at = (number * 7) % 6
            work[at] = Work(work[at].name, tuple((gap_ms, 10 * length_ms) for gap_ms, length_ms in work[at].calls))
        return Simulation(tuple(work), places=6).build(number)

    return runs(build, seed, 20)


FAULTS_FAN_OUT: dict[str, Fault] = {
    "one_lock": Fault(
        "false_parallelism", ("phase", "research_0, research_1, research_2, research_3, research_4"), one_lock
    ),
    "one_worker": Fault("false_parallelism", ("phase", "fetch_0, fetch_1, fetch_2, fetch_3"), one_worker),
    "blocked_loop": Fault("false_parallelism", ("phase", "parse_a, parse_b, parse_c"), blocked_loop),
    "three_places": Fault(
        "capped_concurrency",
        ("phase", "summarise_00, summarise_01, summarise_02, summarise_03 and 8 others"),
        three_places,
    ),
    "two_places_in_a_turn": Fault(
        "capped_concurrency", ("tool", "load_0, load_1, load_2, load_3 and 4 others"), two_places_in_a_turn
    ),
    "late_branch": Fault("straggler", ("phase", "check_0, check_1, check_2, check_3 and 2 others"), late_branch),
}
