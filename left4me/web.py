"""`python -m left4me.web FD` runs uvicorn on a socket held by systemd and stops without resetting connections.

On shutdown, uvicorn closes idle connections at once, including one that was just accepted and whose request has not
arrived yet. That client would get an error during an upgrade.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

import uvicorn

# Longer than a request takes to follow its connection. New connections queue in the socket during this time.
_SECONDS_FOR_THE_FIRST_WORD: Final = 0.3
_SECONDS_TO_END: Final = 2


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(_SECONDS_FOR_THE_FIRST_WORD)
        await super().shutdown(sockets)


def main(descriptor: int) -> None:
    config = uvicorn.Config(
        "left4me.asgi:application",
        fd=descriptor,
        # The application itself reads X-Forwarded-For, and only if settings say that a proxy writes it.
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    Server(config).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
