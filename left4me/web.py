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

from left4me.core.web.asgi import room_for_connections

# Longer than a request takes to follow its connection. New connections queue in the socket during this time.
_SECONDS_FOR_THE_FIRST_WORD: Final = 0.3
# For pages whose answers are still being made; with the other two well within the unit's TimeoutStopSec.
_SECONDS_FOR_ANSWERS: Final = 8
# For streams, which would go on for ever.
_SECONDS_TO_END: Final = 2


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(_SECONDS_FOR_THE_FIRST_WORD)
        await self._wait_for_answers()
        await super().shutdown(sockets)

    async def _wait_for_answers(self) -> None:
        """Wait until every request has an answer that has begun: uvicorn ends the others with a 500.

        A web that has just started on a busy machine may hold hundreds, which waited in the socket for it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SECONDS_FOR_ANSWERS
        while self._is_asked() and loop.time() < deadline:
            await asyncio.sleep(0.05)

    def _is_asked(self) -> bool:
        cycles = [getattr(connection, "cycle", None) for connection in self.server_state.connections]
        return any(cycle is not None and not (cycle.response_started or cycle.disconnected) for cycle in cycles)


def main(descriptor: int) -> None:
    config = uvicorn.Config(
        "left4me.asgi:application",
        fd=descriptor,
        # The application itself reads X-Forwarded-For, and only if settings say that a proxy writes it.
        proxy_headers=False,
        # Beyond it requests are answered with 503; without descriptors, connections would be closed without a word.
        limit_concurrency=room_for_connections(),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    Server(config).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
