"""Methods of a class and of all that are made from it, of which the program may define more at any time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.patching import Undo, replace

Make = Callable[[Callable[..., Any]], Callable[..., Any]]


class Family:
    """A class and those made from it, now or later; ``__init_subclass__`` tells of them."""

    def __init__(self, base: type[Any], methods: Mapping[str, Make]) -> None:
        """Prepare to replace methods, by name, of each class that defines them itself."""
        self._base = base
        self._methods = methods
        # Weak, as is what Python knows of subclasses: a program may make classes all the time.
        self._ours: WeakSet[Callable[..., Any]] = WeakSet()

    def replace_all(self) -> Undo:
        """Replace the methods."""
        for each in _classes(self._base):
            self._replace_own(each)
        undo = replace(self._base, "__init_subclass__", self._announcing)

        def undo_all() -> None:
            undo()
            for each in _classes(self._base):
                self._restore_own(each)

        return undo_all

    def _replace_own(self, owner: type[Any]) -> None:
        for name, make in self._methods.items():
            own = vars(owner).get(name)
            if inspect.isfunction(own) and own not in self._ours:
                replacement = make(own)
                self._ours.add(replacement)
                setattr(owner, name, replacement)

    def _restore_own(self, owner: type[Any]) -> None:
        for name in self._methods:
            own = vars(owner).get(name)
            if inspect.isfunction(own) and own in self._ours:
                setattr(owner, name, own.__wrapped__)  # type: ignore[attr-defined]

    def _announcing(self, _bound: Callable[..., Any]) -> Any:
        """Hear of classes that are made later; each class above may have something to do for them, too."""
        family, own = self, vars(self._base).get("__init_subclass__")

        def init_subclass(cls: type[Any], /, **kwargs: Any) -> None:
            if own is None:
                super(family._base, cls).__init_subclass__(**kwargs)
            else:
                own.__get__(None, cls)(**kwargs)
            with failures_counted("smolagents.subclass"):
                family._replace_own(cls)

        return classmethod(init_subclass)


def _classes(base: type[Any]) -> set[type[Any]]:
    found = {base}
    for each in base.__subclasses__():
        found |= _classes(each)
    return found
