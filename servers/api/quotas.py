"""The API of what a user may have."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from servers.actions import quotas

router = Router(tags=["me"])


class QuotaOut(Schema):
    used: int
    limit: int | None = Field(description="null: no limit")


class QuotasOut(Schema):
    servers: QuotaOut
    running_servers: QuotaOut
    memory_mb: QuotaOut = Field(description="As the running servers were last measured")


@router.get("/me/quotas", response=QuotasOut, summary="What this user has and may have")
def my_quotas(request: HttpRequest) -> dict[str, quotas.Quota]:
    user = signed_in(request)
    return {
        "servers": quotas.servers(user),
        "running_servers": quotas.running(user),
        "memory_mb": quotas.memory_mb(user),
    }
