"""Registers the resource kind "server" with the job engine: who may see, cancel and retry its jobs, and its labels."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from left4me.core.web.request import Person
from left4me.jobs import queue_reasons, resources
from left4me.jobs.resources import Label
from servers import permissions
from servers.models import Host, Server


def _can_see(user: Person, number: str) -> bool:
    server = Server.objects.filter(pk=number).first()
    return server is not None and permissions.can_see_server(user, server)


def _can_operate(user: Person, number: str) -> bool:
    server = Server.objects.filter(pk=number).first()
    return server is not None and permissions.can_operate_server(user, server)


def _labels(numbers: Sequence[str]) -> dict[str, Label]:
    servers = Server.objects.filter(pk__in=numbers)
    return {str(server.pk): Label(server.name, server.get_absolute_url()) for server in servers}


def _owners(number: str) -> list[int]:
    return list(Server.objects.filter(pk=number).values_list("owner_id", flat=True))


def _host_health() -> dict[str, str]:
    now = timezone.now()
    return {host.name: trouble for host in Host.objects.all() if (trouble := host.trouble(now))}


def register() -> None:
    """Called once when Django is ready."""
    queue_reasons.register_host_health(_host_health)
    resources.register("server", can_see=_can_see, can_operate=_can_operate, labels=_labels, owners=_owners)
