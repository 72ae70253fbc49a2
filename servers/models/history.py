"""What was observed of a server, over time."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from servers.models.servers import Server


class StateChange(models.Model):
    """From `at` on the server was observed in `state`. A crash keeps its last words, since logs rotate."""

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="state_changes")
    at = models.DateTimeField(_("since"))
    state = models.CharField(_("state"), max_length=16, choices=Server.State.choices)
    detail = models.TextField(_("detail"), blank=True)
    last_lines = models.JSONField(_("last log lines"), default=list, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["server", "-at"], name="state_change_by_server")]

    def __str__(self) -> str:
        return f"{self.server_id}: {self.state} since {self.at:%Y-%m-%d %H:%M:%S}"
