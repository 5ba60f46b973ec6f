"""Changing other packages at run time, so that all of it can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import wrapt

Undo: TypeAlias = Callable[[], None]
_INHERITED: Final = object()


def when_imported(module: str, run: Callable[[], None]) -> None:
    """Run something once a module has been imported, which may be now. It cannot be taken back.

    The module is not looked for: that would import its parent packages.
    """
    wrapt.register_post_import_hook(lambda _module: run(), module)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    """Replace a function of a module or class by what ``make`` returns for it.

    Static and class methods that the class defines itself stay what they are; ``make`` is given the function in them.

    Returns:
        How to take it back. If somebody wrapped it again in the meantime, it stays where it is.
    """
    own = vars(owner).get(name, _INHERITED)
    if isinstance(own, staticmethod | classmethod):
        replacement = type(own)(make(own.__func__))
    else:
        replacement = make(getattr(owner, name))
    setattr(owner, name, replacement)

    def undo() -> None:
        if vars(owner).get(name) is not replacement:
            return
        if own is _INHERITED:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    return undo
