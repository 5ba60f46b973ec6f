"""Which calls change something, as far as their names tell."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

# Chosen: verbs of HTTP methods, databases, files, browsers, shells and commerce that leave a trace behind. A name
# that merely looks like one costs a finding, a missed one would advise to drop or reorder a write.
_CHANGES: Final = """
    append apply approve archive assign bash browser buy cancel checkout click commit create delete deploy execute fill
    goto handoff ingest insert install kill login logout merge modify move navigate notify patch pay publish purchase
    put refund register reject remove rename reply reserve reset restart revoke run save scroll send shell start stop
    submit sync terminal transfer type unlock update upload upsert write
"""
# The same, but also nouns: `post_comment` writes, `get_post` does not.
_CHANGES_AS_FIRST_WORD: Final = """
    add book charge close complete drop edit email exec flag index log mail make open order place post press push python
    record schedule select session set store
"""
# Chosen: what decides whether or how the next step runs; its result need not be quoted to be used.
_GATES: Final = """
    admission approval auth authenticate authorize branch check classifier classify condition decide dispatch dispatcher
    gate gatekeeper guard guardrail guardrails judge moderate moderation permission policy route router routing
    supervisor triage validate validation validator verify
"""
# Chosen: asked again and again on purpose, because the answer changes with time or by chance.
_CHANGING: Final = "clock date now poll ping random sample sleep status time wait watch"
# Chosen: numbered because the next builds on the one before.
_SEQUENCES: Final = """
    agent attempt chapter draft iteration layer level node page part pass phase revision round section stage step task
    tier turn version
"""

# Chosen: verbs and fillers that say nothing about what a call is about.
_READS: Final = (
    "a by calculate detail details fetch find for from get in info list load lookup of query read search show"
)

_CHANGE_WORDS: Final = frozenset(_CHANGES.split())
_READ_WORDS: Final = frozenset(_READS.split())
_FIRST_CHANGE_WORDS: Final = frozenset(_CHANGES_AS_FIRST_WORD.split())
_GATE_WORDS: Final = frozenset(_GATES.split())
_SEQUENCE_WORDS: Final = frozenset(_SEQUENCES.split())
_CHANGING_WORDS: Final = frozenset(_CHANGING.split())
_NUMBERED: Final = re.compile(r"(?P<stem>.*?[A-Za-z]{2,})(?:[ _.:#-]+(?:[A-Za-z]|\d+)|(?<=[a-z])[A-Z]|\d+)")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def changes_state(name: str) -> bool:
    """Tell whether a tool or phase of this name probably writes, moves or pays something."""
    words = _words(name)
    return not _CHANGE_WORDS.isdisjoint(words) or not _FIRST_CHANGE_WORDS.isdisjoint(words[:1])


def decides(name: str) -> bool:
    """Tell whether a step of this name probably decides what happens next."""
    return not _GATE_WORDS.isdisjoint(_words(name))


def changes_with_time(name: str) -> bool:
    """Tell whether a tool of this name probably answers differently each time."""
    return not _CHANGING_WORDS.isdisjoint(_words(name))


def share_a_noun(first: str, second: str) -> bool:
    """Tell whether two names are probably about the same thing, as ``get_order`` and ``update_orders`` are."""
    return not _nouns(first).isdisjoint(_nouns(second))


def are_namesakes(names: Sequence[str]) -> bool:
    """Tell whether names are those of copies of one worker: ``research_a`` and ``research_b``, not steps 1 and 2."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    stems = {match["stem"] for match in found if match is not None}
    if None in found or len(stems) != 1 or len(set(names)) < len(names):
        return False
    return _SEQUENCE_WORDS.isdisjoint(_words(stems.pop())[-1:])


def _nouns(name: str) -> frozenset[str]:
    first, *rest = _words(name) or [""]
    words = {*rest, *({first} - _FIRST_CHANGE_WORDS)} - _READ_WORDS - _CHANGE_WORDS
    return frozenset(word.removesuffix("s") for word in words if word)


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))
