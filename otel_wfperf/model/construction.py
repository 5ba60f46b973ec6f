"""Frozen values that are made by the thousand: construction and copying without the cost of being frozen.

A frozen dataclass sets each field by ``object.__setattr__``, which for the fields of an operation takes longer than
reading its span. Here an object is of a mutable twin with the same slots while it is filled, and then changes its
class. Measured with Python 3.11: an operation 8.6 -> 2.1 µs, a copy with one change 17 -> 2 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, Final, TypeVar

T = TypeVar("T")
_COPIES: Final[dict[type, Callable[..., Any]]] = {}


def quickly_made(cls: type[T]) -> type[T]:
    """Replace the constructor of a frozen, slotted, keyword-only dataclass by one that does the same at less cost."""
    own = fields(cls)  # type: ignore[arg-type]  # a dataclass
    twin = type(cls.__name__, (), {"__slots__": tuple(each.name for each in own)})
    names: dict[str, Any] = {"twin": twin, "cls": cls, "as_twin": object.__setattr__, "new": object.__new__}
    for each in own:
        names[f"default_{each.name}"] = each.default if each.default is not MISSING else each.default_factory
    fill = "\n".join(f" self.{each.name} = {_given(each)}" for each in own)
    same = "\n".join(f" new_one.{each.name} = value.{each.name}" for each in own)
    # As dataclasses itself does; the names are those of fields.
    exec(  # noqa: S102
        f"def __init__(self, *, {', '.join(map(_parameter, own))}):\n"
        f" as_twin(self, '__class__', twin)\n{fill}\n self.__class__ = cls\n"
        f"def changed(value, changes):\n new_one = new(twin)\n{same}\n"
        " for name, change in changes.items():\n  setattr(new_one, name, change)\n"
        " new_one.__class__ = cls\n return new_one\n",
        names,
    )
    cls.__init__ = names["__init__"]  # type: ignore[method-assign]
    _COPIES[cls] = names["changed"]
    return cls


def changed(value: T, /, **changes: object) -> T:
    """Return a copy with some fields changed, as ``dataclasses.replace`` does, of a quickly made value.

    Raise AttributeError for a field that is not there.
    """
    copy: Callable[..., T] = _COPIES[type(value)]
    return copy(value, changes)


def _parameter(each: Field[Any]) -> str:
    if each.default is MISSING and each.default_factory is MISSING:
        return each.name
    return f"{each.name}=default_{each.name}"


def _given(each: Field[Any]) -> str:
    """Say what becomes of an argument: the default of a field with a factory is the factory."""
    if each.default_factory is MISSING:
        return each.name
    return f"default_{each.name}() if {each.name} is default_{each.name} else {each.name}"
