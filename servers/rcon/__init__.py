"""The remote console of Source servers: `rcon.execute(…)` for one command, `rcon.Client` to keep asking.

Knows no Django and nothing of this application.
"""

from servers.rcon.blocking import execute
from servers.rcon.client import Client
from servers.rcon.conversation import Answer, leaves_no_answer
from servers.rcon.errors import (
    ConnectionLost,
    InvalidCommand,
    PasswordRefused,
    ProtocolFault,
    RconError,
    TimedOut,
    Unreachable,
)
from servers.rcon.guard import forget
from servers.rcon.packets import check

__all__ = [
    "Answer",
    "Client",
    "ConnectionLost",
    "InvalidCommand",
    "PasswordRefused",
    "ProtocolFault",
    "RconError",
    "TimedOut",
    "Unreachable",
    "check",
    "execute",
    "forget",
    "leaves_no_answer",
]
