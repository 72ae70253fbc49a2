"""This host: the edge where settings become the objects that operations work with.

Only what runs on a host (operations, tasks, commands) imports this; pages and API never do.
"""

from __future__ import annotations

import functools
from pathlib import Path

from django.conf import settings

from servers.models import Host
from servers.runtime.port import ServerRuntime
from servers.runtime.process import ProcessRuntime


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT)


def row() -> Host:
    """The row of this host; made when it speaks for the first time."""
    ports: range = settings.LEFT4ME_PORTS
    host, _ = Host.objects.get_or_create(
        name=settings.LEFT4ME_HOST, defaults={"first_port": ports.start, "last_port": ports.stop - 1}
    )
    return host


@functools.cache
def runtime() -> ServerRuntime:
    """The runtime that LEFT4ME_RUNTIME names."""
    return ProcessRuntime(root=root())


def workshop_cache() -> Path:
    return root() / "workshop_cache"
