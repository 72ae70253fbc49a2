"""Encodes a column of whole numbers, one for each step of time, in few bytes.

A column is a sequence of variable-length integers (seven bits in each byte, the lowest first):

    0 n    the previous number, for n steps
    1 n    no number, for n steps
    t      the number that differs from the previous one by d, where t - 1 is the zigzag code of d: 1, 2, 3, 4, …
           for -1, 1, -2, 2, …

The number before the first one is 0. No step takes more than `BYTES_PER_STEP`, whatever the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterable

HIGHEST = (1 << 20) - 1
BYTES_PER_STEP = 3

_SAME, _NONE, _FIRST_DIFFERENCE = 0, 1, 2


class Garbled(ValueError):
    """The bytes are not an encoded column."""


class Encoder:
    """Encodes numbers in the order in which they come; `data` is the column so far."""

    __slots__ = ("_data", "_kind", "_run", "last", "steps")

    def __init__(self) -> None:
        self._data = bytearray()
        self._kind, self._run = _SAME, 0
        self.last: int | None = None
        self.steps = 0

    @classmethod
    def of(cls, values: Iterable[int | None]) -> Encoder:
        encoder = cls()
        for value in values:
            encoder.add(value)
        return encoder

    @property
    def data(self) -> bytes:
        return bytes(self._data) + _run(self._kind, self._run)

    def add(self, value: int | None, steps: int = 1) -> None:
        """Add one number, or the absence of one, for some steps. Numbers are limited to 0 … HIGHEST."""
        if steps < 1:
            return
        self.steps += steps
        if value is None:
            self._extend(_NONE, steps)
            return
        value = min(max(value, 0), HIGHEST)
        difference = value - (self.last or 0)
        self.last = value
        if difference:
            self._data += _run(self._kind, self._run)
            self._run = 0
            zigzag = difference * 2 if difference > 0 else -difference * 2 - 1
            _append(self._data, zigzag + 1)
            steps -= 1
        if steps:
            self._extend(_SAME, steps)

    def _extend(self, kind: int, steps: int) -> None:
        if kind != self._kind:
            self._data += _run(self._kind, self._run)
            self._kind, self._run = kind, 0
        self._run += steps


def encode(values: Iterable[int | None]) -> bytes:
    return Encoder.of(values).data


def decode(data: bytes) -> list[int | None]:
    """The numbers of a column; None for steps without one. Raises Garbled."""
    values: list[int | None] = []
    integers = iter(_integers(data))
    last = 0
    for token in integers:
        if token >= _FIRST_DIFFERENCE:
            zigzag = token - 1
            last += zigzag >> 1 if not zigzag & 1 else -((zigzag + 1) >> 1)
            values.append(last)
            continue
        steps = next(integers, None)
        if steps is None:
            raise Garbled("A run has no length.")
        values += [last if token == _SAME else None] * steps
    return values


def _run(kind: int, steps: int) -> bytes:
    if not steps:
        return b""
    data = bytearray([kind])
    _append(data, steps)
    return bytes(data)


def _append(data: bytearray, number: int) -> None:
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)


def _integers(data: bytes) -> list[int]:
    integers = []
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            continue
        integers.append(number)
        number = shift = 0
    if shift:
        raise Garbled("The last number is cut off.")
    return integers
