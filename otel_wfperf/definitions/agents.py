"""Who does a step: ``subagent_type="..."`` in a line of a definition."""

from __future__ import annotations

import re
from typing import Final

_TYPE: Final = re.compile(
    r"""\bsubagent_type["'`*]*\s*[:=]\**\s*(?:\\?["'`]([^"'`\\]+)\\?["'`]|([\w.-]*\w))""", re.IGNORECASE
)
_AGENT: Final = re.compile(r"^\W*agent\W*[:=]\W*([a-z][\w.-]*)\W*$", re.IGNORECASE)


def agents_in(line: str) -> tuple[str, ...]:
    """List the agents that a line calls: each ``subagent_type``, or a line such as ``Agent: backend-developer``."""
    found = [quoted or bare for quoted, bare in _TYPE.findall(line)]
    alone = None if found else _AGENT.match(line)
    return tuple(name.strip() for name in found) if alone is None else (alone[1],)
