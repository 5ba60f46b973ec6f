"""Changing other packages at run time, so that all of it can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import wrapt

Undo: TypeAlias = Callable[[], None]


def when_imported(module: str, run: Callable[[], None]) -> None:
    """Run something once a module has been imported, which may be now. It cannot be taken back.

    The module is not looked for: that would import its parent packages.
    """
    wrapt.register_post_import_hook(lambda _module: run(), module)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    """Replace a function of a module or class by what ``make`` returns for it.

    Returns:
        How to take it back. If somebody wrapped it again in the meantime, it stays where it is.
    """
    original = getattr(owner, name)
    replacement = make(original)
    setattr(owner, name, replacement)

    def undo() -> None:
        if getattr(owner, name, None) is replacement:
            setattr(owner, name, original)

    return undo
