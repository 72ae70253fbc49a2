"""What of alerts needs an API token to be seen."""

from __future__ import annotations

from typing import Any

from accounts import actions
from left4me.testing.cast import Cast


def test_a_token_that_only_reads_changes_nothing(client: Any, cast: Cast, redis_client: object):

    _row, raw = actions.create_token(user=cast.owner, name="t", scope="read", by=cast.owner)
    bearer = {"Authorization": f"Bearer {raw}"}
    assert client.get("/api/v1/alerts", headers=bearer).status_code == 200
    body = {"name": "bot", "kind": "webhook", "address": "https://hooks.example.org/x", "events": ["job_failed"]}
    answer = client.post("/api/v1/alerts", body, content_type="application/json", headers=bearer)
    assert answer.status_code == 403
