from __future__ import annotations

import pytest

from left4me.core import numbers


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("999", 999)])
def test_digits_are_a_number(text, number):
    assert numbers.whole(text, most=999) == number


@pytest.mark.parametrize("text", ["", "-1", "1.5", " 1", "²", "١٢", "1000", "9" * 5000, "0007"])
def test_what_is_no_number_or_too_large_a_one_is_none(text):
    assert numbers.whole(text, most=999) is None
