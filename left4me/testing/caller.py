"""A client of the JSON API for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

if TYPE_CHECKING:
    from accounts.models import User


@dataclass
class Caller:
    """`api.by(user).post("/servers", {...})` answers (status, body)."""

    user: User | None = None

    def by(self, user: User | None) -> Caller:
        return Caller(user)

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("get", path)

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        return self.call("post", path, body)

    def patch(self, path: str, body: object = None) -> tuple[int, Any]:
        return self.call("patch", path, body)

    def delete(self, path: str) -> tuple[int, Any]:
        return self.call("delete", path)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        client = Client()
        if self.user is not None:
            client.force_login(self.user)
        sent = {} if method == "get" else {"data": {} if body is None else body, "content_type": "application/json"}
        answer = getattr(client, method)(f"/api/v1{path}", **sent)
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status_code, answer.json() if is_json and answer.content else answer.content.decode()


@pytest.fixture
def api(redis_client: object, db: None) -> Caller:
    """The API; its rate limits start from zero."""
    return Caller()
