"""What the header of a demo tells, also that of a hostile one."""

from __future__ import annotations

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestate.demos import header
from livestate.demos.header import NotADemo
from livestate.demos.tests.factories import content


def read(data: bytes) -> header.Header:
    return header.read(io.BytesIO(data))


def test_a_header_tells_map_length_and_names():
    told = read(content(map_="c2m1_highway", seconds=612.5, body=b"x" * 100))
    assert (told.map, told.seconds, told.ticks, told.is_complete) == ("c2m1_highway", 612.5, 18_375, True)
    assert (told.server, told.client, told.game, told.network_protocol) == (
        "Friday",
        "SourceTV Demo",
        "left4dead2",
        2100,
    )


def test_a_recording_that_was_broken_off_has_no_length():
    told = read(content(seconds=0))
    assert (told.map, told.seconds, told.is_complete) == ("c1m1_hotel", 0, False)


@pytest.mark.parametrize("data", [b"", b"HL2DEMO", b"HL1DEMO\0" + bytes(2000), content()[:500]])
def test_what_is_no_demo_is_refused(data: bytes):
    with pytest.raises(NotADemo):
        read(data)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e30])
def test_a_length_that_cannot_be_counts_as_none(seconds: float):
    assert not read(content(seconds=seconds, ticks=100)).is_complete
    assert not read(content(seconds=10, ticks=-100)).is_complete


def test_a_demo_without_ticks_is_not_complete_and_has_its_length():
    told = read(content(seconds=10, ticks=0))
    assert (told.seconds, told.ticks, told.is_complete) == (10, 0, False)


def test_names_are_cut_and_printable():
    told = read(content(map_="c1\x1b[2J\n" + "m" * 250, seconds=1))
    assert told.map.startswith("c1?[2J?mm") and len(told.map) == header.LONGEST_NAME


@given(st.binary(max_size=header.FORM.size + 8))
def test_whatever_follows_the_mark_is_read_in_bounded_time(rest: bytes):
    file = io.BytesIO(header.MAGIC + rest + bytes(1_000_000))
    told = header.read(file)
    assert told.map.isprintable() and told.seconds >= 0
    assert file.tell() == header.FORM.size
