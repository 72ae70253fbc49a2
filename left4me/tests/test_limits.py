"""Limits hold for requests that come at the same moment: real threads with transactions of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from left4me.testing.cast import Cast
from left4me.tests import limits
from left4me.tests.limits import LIMITS, OnRows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_requests_at_once_share_one_limit(
    limit: OnRows, cast: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEFT4ME_ROOT = tmp_path
    place = limits.furnish(cast.owner)
    limit.lower(place, monkeypatch.setattr)
    before = limit.count()
    statuses = limits.at_once(limit, place, threads=6)
    assert limit.count() == before + 1, statuses
    assert max(statuses) < 500
