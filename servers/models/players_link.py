"""The link to a server's page for players."""

from __future__ import annotations

import secrets

from django.db import models
from django.urls import reverse

from servers.models.servers import Server


def new_token() -> str:
    return secrets.token_urlsafe(24)


class PlayersLink(models.Model):
    """A page without login that lists the workshop items to subscribe to. Knowing its address is the permission."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, related_name="players_link", primary_key=True)
    token = models.CharField(max_length=64, unique=True, default=new_token)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.server_id}"

    def get_absolute_url(self) -> str:
        return reverse("servers:join", args=[self.token])
