"""Whom a signal concerns."""

from __future__ import annotations

import pytest

from left4me.core.web.sse import signals


@pytest.mark.parametrize("number", ["²", "٣", "9" * 5000, "-1", ""])
def test_a_name_whose_number_is_none_concerns_nobody_and_breaks_no_stream(number: str, monkeypatch):
    monkeypatch.setitem(signals._audiences, "server", lambda ids: {each: {1} for each in ids})
    assert signals.audience_of([f"server:{number}", "server:7"]) == {"server:7": {1}}
