"""A receiver of webhooks for tests of several apps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from left4me.alerts.tests.receiver import Receiver


@pytest.fixture
def receiver(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that webhooks may lead to; patience is short here."""
    from left4me.alerts import transport  # a plugin is imported before Django is set up
    from left4me.alerts.tests.receiver import receiving

    monkeypatch.setattr(transport, "ANSWER_SECONDS", 1.0)
    with receiving() as server:
        settings.LEFT4ME_ALERT_ORIGINS = [server.origin]
        yield server
