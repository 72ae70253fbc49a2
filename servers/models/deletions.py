"""Servers that were deleted and can be restored for some days."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from servers.gamehost.storage import KEPT
from servers.models import kept_rows
from servers.models.blueprints import Blueprint
from servers.models.hosts import Host
from servers.models.servers import Server


class DeletedServerQuerySet(models.QuerySet["DeletedServer"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Those of the user; for admins all."""
        return self if getattr(user, "is_admin", False) else self.filter(owner_id=user.pk)

    def kept(self, now: datetime) -> Self:
        """Those whose files are still there."""
        return self.filter(deleted_at__gt=now - KEPT)


class DeletedServer(models.Model):
    """What a restore needs of a deleted server. Its host keeps the server's own files for the same time."""

    # The primary key of the server, which no other server gets: a restored one has its old address.
    server_id = models.BigIntegerField(primary_key=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.CASCADE, related_name="deleted_servers"
    )
    name = models.CharField(_("name"), max_length=64)
    blueprint = models.ForeignKey(
        Blueprint, verbose_name=_("blueprint"), null=True, on_delete=models.SET_NULL, related_name="deleted_servers"
    )
    host = models.ForeignKey(Host, verbose_name=_("host"), on_delete=models.CASCADE, related_name="deleted_servers")
    port = models.PositiveIntegerField(_("port"))
    number = models.PositiveIntegerField(default=0, editable=False)
    restart_when_hung = models.BooleanField(default=False)
    sealed_rcon_password = models.TextField(editable=False, default="")
    plugin_switches = models.JSONField(default=dict, editable=False)
    plugin_settings = models.JSONField(default=dict, editable=False)
    # Its admins, bans and backups, in the form of `kept_rows.dump`.
    rows = models.TextField(editable=False, default="[]")
    deleted_at = models.DateTimeField(_("deleted"))

    objects = DeletedServerQuerySet.as_manager()

    class Meta:
        ordering = ["-deleted_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def kept_until(self) -> datetime:
        return self.deleted_at + KEPT

    @classmethod
    def remember(cls, server: Server, *, now: datetime) -> None:
        """Store what a restore of `server` needs; call it before its row is deleted."""
        kept = (
            *("owner_id", "name", "blueprint_id", "host_id", "port", "restart_when_hung", "sealed_rcon_password"),
            *("plugin_switches", "plugin_settings", "number"),
        )
        values = {name: getattr(server, name) for name in kept}
        cls.objects.update_or_create(
            server_id=server.pk, defaults={**values, "rows": kept_rows.dump(server), "deleted_at": now}
        )
