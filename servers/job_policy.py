"""Registers the resource kind "server" with the job engine: who may see, cancel and retry its jobs, and its labels."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from left4me.core.web.request import Person
from left4me.jobs import registry
from left4me.jobs.registry import Label
from servers import permissions
from servers.models import Host, Server


def _sees(user: Person, number: str) -> bool:
    server = Server.objects.filter(pk=number).first()
    return server is not None and permissions.can_see_server(user, server)


def _operates(user: Person, number: str) -> bool:
    server = Server.objects.filter(pk=number).first()
    return server is not None and permissions.can_operate_server(user, server)


def _labels(numbers: Sequence[str]) -> dict[str, Label]:
    servers = Server.objects.filter(pk__in=numbers)
    return {str(server.pk): Label(server.name, server.get_absolute_url()) for server in servers}


def _owners(number: str) -> list[int]:
    return list(Server.objects.filter(pk=number).values_list("owner_id", flat=True))


def _host_faults() -> dict[str, str]:
    now = timezone.now()
    return {host.name: trouble for host in Host.objects.all() if (trouble := host.trouble(now))}


def register() -> None:
    """Called once when Django is ready."""
    registry.host_faults(_host_faults)
    registry.visibility("server", _sees, operates=_operates, labels=_labels, owners=_owners)
