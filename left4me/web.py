"""`python -m left4me.web FD`: uvicorn on a socket that systemd holds, which ends without resetting anybody.

uvicorn closes what is idle as soon as it is asked to end, also a connection accepted a moment ago whose request is
still on its way: its visitor would be refused in the middle of an upgrade that promises to refuse nobody.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

import uvicorn

# Longer than a request takes to follow its connection; those that come meanwhile wait in the socket.
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
        # X-Forwarded-For is read by the application, and only when settings say that a proxy writes it.
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    Server(config).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
