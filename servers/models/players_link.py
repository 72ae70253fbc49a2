"""The address that a server's players are given."""

from __future__ import annotations

import secrets

from django.db import models
from django.urls import reverse

from servers.models.servers import Server


def new_token() -> str:
    return secrets.token_urlsafe(24)


class PlayersLink(models.Model):
    """A page that needs no account: what to subscribe to before joining. Whoever has its address may read it."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, related_name="players_link", primary_key=True)
    token = models.CharField(max_length=64, unique=True, default=new_token)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.server_id}"

    def get_absolute_url(self) -> str:
        return reverse("servers:join", args=[self.token])
