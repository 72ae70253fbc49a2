"""Rows of accounts for tests of all apps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from accounts import actions
from accounts.models import User


def make_token(user: User, *, scope: str = "operate", lifetime: timedelta | None = None) -> str:
    """A token's key."""
    return actions.create_token(user=user, name="test", scope=scope, by=user, lifetime=lifetime)[1]


def bearer(key: str) -> dict[str, Any]:
    """Headers of a request with this token: `client.get(url, headers=bearer(key))`."""
    return {"Authorization": f"Bearer {key}"}
