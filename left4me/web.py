"""`python -m left4me.web` serves pages, API and live streams: by LEFT4ME_WEB_PROCESSES, on LEFT4ME_BIND.

With a number, `python -m left4me.web FD`, it serves on that descriptor: a socket that systemd holds.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import socket
import sys
from typing import Final

import uvicorn
from django.conf import settings

from left4me.core.web import processes
from left4me.core.web.asgi import room_for_connections
from left4me.core.web.processes.child import ChildServer
from left4me.core.web.processes.counts import SharedCounts
from left4me.core.web.processes.parent import SHOW_STACKS, Parent
from left4me.core.web.processes.server import Server
from left4me.core.web.sse import OpenStreams

# For streams, which would go on for ever.
_SECONDS_TO_END: Final = 2
# Between requests. Longer than people take for a click: a request that meets a closing connection is lost.
_IDLE_SECONDS: Final = 75
_BACKLOG: Final = 2048

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")


def main(descriptor: int | None, loaded: uvicorn.Config | None = None) -> None:
    """Serve until a signal. A fork of a process that has called `load_application` passes what that returned."""
    if settings.LEFT4ME_WEB_PROCESSES == 1:
        config = loaded or load_application()
        # To look through all that is loaded takes the collector 0.15 s, in which no page and no line gets out. With a
        # thousand open streams it did so every ten seconds.
        gc.collect()
        gc.freeze()
        Server(config).run(sockets=_listen(descriptor))
    else:
        _serve_by_several(settings.LEFT4ME_WEB_PROCESSES, descriptor, loaded)


def _load() -> uvicorn.Config:
    # In this order: it sets up logging, and the application, which has the last word, does so again.
    config = uvicorn.Config(
        "left4me.asgi:application",
        # The application itself reads X-Forwarded-For, and only if settings say that a proxy writes it.
        proxy_headers=False,
        # Beyond it requests are answered with 503; without descriptors, connections would be closed without a word.
        limit_concurrency=room_for_connections(),
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SECONDS_TO_END,
        timeout_keep_alive=_IDLE_SECONDS,
    )
    config.load()
    return config


def _listen(descriptor: int | None) -> list[socket.socket]:
    if descriptor is not None:
        return [socket.socket(fileno=descriptor)]
    host, port = settings.LEFT4ME_BIND.host, settings.LEFT4ME_BIND.port
    # `::` stands for all addresses, also those of IPv4: on a socket of their own, as they would else look like IPv6.
    hosts = ["0.0.0.0", "::"] if host == "::" else [host]  # noqa: S104 -- asked for
    found = {
        (family, address[:2])
        for each in hosts
        for family, _, _, _, address in socket.getaddrinfo(each, port, type=socket.SOCK_STREAM)
    }
    return [socket.create_server(address, family=family, backlog=_BACKLOG) for family, address in sorted(found)]


def _serve_by_several(number: int, descriptor: int | None, loaded: uvicorn.Config | None) -> None:
    # What is loaded before the processes start is in memory once. The garbage collector would write to all of it.
    gc.disable()
    _limit_database_pool()
    config = loaded or load_application()
    _load_texts()
    counts = SharedCounts(number, OpenStreams.COLUMNS)
    faulthandler.register(SHOW_STACKS)
    gc.freeze()
    process = Parent(_listen(descriptor), number, forget=counts.clear).run()
    if process is None:
        return
    gc.enable()
    row, channel = process
    from left4me import streams

    streams.application.count_in(OpenStreams(counts, row))
    ChildServer(config, channel).run()


def load_application() -> uvicorn.Config:
    """Load what the first page would, for all processes together; nothing that a fork must not share."""
    from django.urls import reverse

    config = _load()
    config.get_loop_factory()
    # All views.
    reverse("dashboard")
    return config


def _load_texts() -> None:
    """Load the texts of every language, which a single process would do when somebody reads it."""
    from django.urls import reverse
    from django.utils import translation

    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            reverse("dashboard")
            translation.gettext("Servers")


def _limit_database_pool() -> None:
    """Keep all processes together below what PostgreSQL accepts, which is 100 connections unless it is set."""
    pool = settings.DATABASES["default"].get("OPTIONS", {}).get("pool")
    if pool is not None:
        pool["max_size"] = processes.most_database_connections(settings.LEFT4ME_WEB_THREADS)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
