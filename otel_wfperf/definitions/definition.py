"""A workflow as someone wrote it down: phases in order, branches side by side, and what waits for what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Chosen: "Branch A" and "Phase 2a" read as their heading does; longer labels are names of their own.
_LONGEST_LABEL = 3


class ReferenceKind(StrEnum):
    """What a reference points at."""

    BRANCH = "branch"
    PHASE = "phase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A branch or phase that is named as something to wait for.

    Attributes:
        label: As it was written: ``C``, ``2``, or the whole name.
        line: Where (line number, 1 for the first; 0 = not from a text).
        phase: Label of the phase that is named along with a branch; None = not named.
        prose: Read from a sentence, which may name the branch that it stands in.
    """

    kind: ReferenceKind
    label: str
    line: int
    phase: str | None = None
    prose: bool = False

    @property
    def name(self) -> str:
        """As a person would write it."""
        own = named(self.kind.value, self.label)
        return f"{own} of Phase {self.phase}" if self.phase else own


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long a step takes by its definition (seconds): 5th to 95th percentile."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of one agent.

    Attributes:
        text: What was written.
        agent: Who does it; None = not said.
        duration: How long it takes by the definition; None = not said.
    """

    text: str
    line: int
    agent: str | None = None
    duration: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What a phase or branch says about order.

    Attributes:
        after: Waits for these: ``Depends on the schema from Branch C``, ``After Phase 2``.
        before: These wait for it: ``Must complete before Branch A``.
        uses: Names a result of these without saying that it waits: ``Use the output of Branch A``.
    """

    after: tuple[Reference, ...] = ()
    before: tuple[Reference, ...] = ()
    uses: tuple[Reference, ...] = ()

    def __add__(self, other: Waits) -> Waits:
        """Put what two sentences say together."""
        return Waits(after=self.after + other.after, before=self.before + other.before, uses=self.uses + other.uses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Steps done one after another, beside the other branches of the phase.

    Attributes:
        label: ``A`` of ``### Branch A: Backend``.
        steps: At least one; a branch that names no agent is one step.
    """

    label: str
    title: str
    line: int
    steps: tuple[Step, ...]
    waits: Waits = Waits()

    @property
    def name(self) -> str:
        """How messages call it."""
        return named("branch", self.label)

    @property
    def agents(self) -> tuple[str, ...]:
        """Who works in it, in order."""
        return tuple(step.agent for step in self.steps if step.agent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the workflow; the next one starts when everything in it is done.

    Attributes:
        label: ``2`` of ``## Phase 2: Implementation``.
        branches: Side by side, unless ``sequential``; none when the phase is one sequence of steps.
        steps: Done before the branches.
        sequential: The branches are to run in the order written.
        says_independent: States that it needs no other phase.
    """

    label: str
    title: str
    line: int
    branches: tuple[Branch, ...] = ()
    steps: tuple[Step, ...] = ()
    waits: Waits = Waits()
    sequential: bool = False
    says_independent: bool = False

    @property
    def name(self) -> str:
        """How messages call it."""
        return named("phase", self.label)

    @property
    def agents(self) -> tuple[str, ...]:
        """Who works in it, its branches included."""
        own = tuple(step.agent for step in self.steps if step.agent)
        return own + tuple(agent for branch in self.branches for agent in branch.agents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misspelling:
    """A word that is close to a keyword.

    Attributes:
        written: As it stands there.
        meant: The keyword.
        line: Where (1..).
    """

    written: str
    meant: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A workflow definition.

    Attributes:
        source: Where it was read: a path, or ``module:graph``.
        phases: In the order in which they run; at least one.
        misspelt: What looks like a mistyped keyword, and was therefore read as prose.
        from_graph: The phases are the supersteps of a graph, not chosen by a person.
        assumptions: What was taken for granted on the way, one sentence each.
    """

    name: str
    source: str
    phases: tuple[Phase, ...]
    misspelt: tuple[Misspelling, ...] = ()
    from_graph: bool = False
    assumptions: tuple[str, ...] = ()


def named(kind: str, label: str) -> str:
    """Write ``Branch A``, ``Phase 2``; a label that is a name of its own stays as it is."""
    return f"{kind.capitalize()} {label}" if len(label) <= _LONGEST_LABEL else label
