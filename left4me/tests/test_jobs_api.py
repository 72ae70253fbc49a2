"""Jobs through the API with tokens, which the job engine itself knows nothing of."""

from __future__ import annotations

import pytest

from accounts import actions as accounts
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job


@pytest.mark.usefixtures("redis_client")
def test_a_token_to_read_sees_a_job_and_changes_nothing(client, cast):
    job = jobs.request(operation="diagnostic", resource="diagnostic", by=cast.owner, host="local")
    _row, key = accounts.create_token(user=cast.owner, name="reader", scope="read", by=cast.owner)
    headers = {"Authorization": f"Bearer {key}"}
    assert client.get(f"/api/v1/jobs/{job.pk}", headers=headers).json()["state"] == "queued"
    for change in ("cancel", "retry"):
        assert client.post(f"/api/v1/jobs/{job.pk}/{change}", headers=headers).status_code == 403
    assert Job.objects.get().state == "queued"
