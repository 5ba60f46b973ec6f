"""Quickly made values are the dataclasses that they look like."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from otel_wfperf.model import Operation, OperationKind, Span
from otel_wfperf.model.construction import changed, quickly_made


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    name: str
    size: int = 1
    labels: dict[str, str] = field(default_factory=dict)


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    name: str
    size: int = 1
    labels: dict[str, str] = field(default_factory=dict)


def test_has_the_fields_defaults_and_text_of_a_dataclass() -> None:
    assert repr(Quick(name="a")) == repr(Plain(name="a")).replace("Plain", "Quick")
    assert Quick(name="a", size=2, labels={"b": "c"}) == Quick(name="a", size=2, labels={"b": "c"})
    assert Quick(name="a") != Quick(name="b")
    assert Quick(name="a").labels is not Quick(name="a").labels


def test_stays_frozen() -> None:
    value = Quick(name="a")

    assert type(value) is Quick
    with pytest.raises(FrozenInstanceError):
        value.name = "b"  # type: ignore[misc]


def test_refuses_what_a_dataclass_refuses() -> None:
    with pytest.raises(TypeError, match="name"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        Quick(name="a", colour="red")  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="colour"):
        changed(Quick(name="a"), colour="red")


def test_a_copy_with_changes_is_that_of_dataclasses() -> None:
    operation = Operation(trace_id="1", span_id="2", start_ns=3, end_ns=4, kind=OperationKind.LLM)

    assert changed(operation, name="draft", end_ns=5) == replace(operation, name="draft", end_ns=5)
    assert operation == Operation(trace_id="1", span_id="2", start_ns=3, end_ns=4, kind=OperationKind.LLM)


def test_can_be_copied_pickled_and_hashed() -> None:
    operation = Operation(trace_id="1", span_id="2", start_ns=3, end_ns=4)
    span = Span(trace_id="1", span_id="2", start_ns=3, attributes={"a": (1, None)})

    assert copy.copy(operation) == copy.deepcopy(operation) == pickle.loads(pickle.dumps(operation)) == operation
    assert hash(operation) == hash(copy.copy(operation))
    assert pickle.loads(pickle.dumps(span)) == span
