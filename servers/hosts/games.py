"""RCON to the games of this host. Only code that runs on a host uses it; pages and API send orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from servers.gamehost import rcon
from servers.models import Server

# RCON never leaves the host: its own worker connects over the loopback interface.
ADDRESS: Final = "127.0.0.1"


def ask(
    server: Server,
    command: str,
    *,
    timeout: float = 5.0,
    starting: bool = False,
    on_text: Callable[[str], None] | None = None,
) -> rcon.Answer:
    """Run a command in the server's game and return its answer, as `rcon.execute` does.

    Raises `rcon.RconError`, or `secrets.Unreadable` if the password cannot be decrypted.
    """
    return rcon.execute(
        ADDRESS,
        server.port,
        server.live_rcon_password,
        command,
        timeout=timeout,
        starting=starting,
        on_text=on_text,
    )
