import pytest

from otel_wfperf.conventions.encoded import encoded_count, encoded_text, json_map
from otel_wfperf.model import AttributeValue


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("planner", "planner"),
        ('"planner"', "planner"),
        ('"say \\"hi\\""', 'say "hi"'),
        ('"broken', '"broken'),
        ("12345", "12345"),
        ('""', None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_reads_text_with_and_without_quotes(value: AttributeValue, read: str | None) -> None:
    assert encoded_text({"a": value}, "a") == read


@pytest.mark.parametrize(
    ("value", "read"), [(3, 3), ("3", 3), (3.0, 3), ("three", None), ("9" * 5000, None), (-1, None)]
)
def test_reads_counts_with_and_without_quotes(value: AttributeValue, read: int | None) -> None:
    assert encoded_count({"a": value}, "a") == read


def test_takes_the_first_attribute_that_has_a_value() -> None:
    assert encoded_text({"a": '""', "b": "x"}, "a", "b") == "x"
    assert json_map({"a": "[1]", "b": '{"c": 1}'}, "a", "b") == {"c": 1}


@pytest.mark.parametrize("value", ["[1]", "{", 3, None, "[" * 2000])
def test_what_is_no_object_is_an_empty_map(value: AttributeValue) -> None:
    assert json_map({"a": value}, "a") == {}
