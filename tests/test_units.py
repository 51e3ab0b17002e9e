"""Counts as people write them, and back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import InputError
from chidu.units import bits_per_byte, count_of, format_bytes, format_count, format_seconds, parse_count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30M", 30e6), ("1.3B", 1.3e9), ("1.3 b", 1.3e9), ("2e15", 2e15), ("1_000", 1000), ("1,234.5", 1234.5),
        ("1,234,567", 1234567), ("-12,000", -12000),
        ("7 billion", 7e9), ("1.5bn", 1.5e9), ("300 Million", 3e8), ("15 trillion", 15e12), ("20 thousand", 2e4),
        ("640k", 640e3), ("2T", 2e12), ("-4", -4), (".5", 0.5), ("1e-3", 1e-3), (" 7 ", 7), (12, 12), (0.5, 0.5),
    ],
)  # fmt: skip
def test_counts_are_read_as_people_write_them(text: str | float, value: float) -> None:
    assert parse_count(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "many", "1.2.3", "3 apples", "0x10", "--3", "M", "一千", "1.3Q", "1.3 billions", "billion", "7bb"]
)
def test_what_is_no_number_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="write it like 30M"):
        parse_count(text)


@pytest.mark.parametrize("text", ["4,169179978918776", "2,5", "1,23,456", "1234,567", "1,300B", "1,234e3"])
def test_a_comma_that_may_be_a_decimal_one_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="decimal commas are not read"):
        parse_count(text)


@given(st.floats(min_value=1e-3, max_value=1e24))
def test_a_written_count_reads_back_to_three_digits(value: float) -> None:
    assert parse_count(format_count(value)) == pytest.approx(value, rel=5.1e-3)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_reads_back_exactly(value: float) -> None:
    assert parse_count(repr(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (1300000000, "1.30B"), (640_000, "640k"), (2.1e16, "2.10e+16"), (0.125, "0.125"),
     (math.inf, "inf")],
)  # fmt: skip
def test_counts_are_written_short(value: float, text: str) -> None:
    assert format_count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.85, "850 ms"), (42, "42 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_one_of_a_thing_is_no_plural() -> None:
    assert [count_of(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]


def test_bytes_are_decimal() -> None:
    assert [format_bytes(count) for count in (12, 34_100_000, 2e12)] == ["12 B", "34.1 MB", "2.0 TB"]


def test_bits_per_byte_of_a_uniform_guess_over_bytes_is_eight() -> None:
    assert bits_per_byte(math.log(256), 1.0) == pytest.approx(8)
