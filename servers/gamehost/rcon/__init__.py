"""Client for the remote console of Source servers: `rcon.execute(…)` for one command, `rcon.Client` for many.

It depends neither on Django nor on the rest of the application.
"""

from servers.gamehost.rcon.blocking import execute
from servers.gamehost.rcon.client import Client
from servers.gamehost.rcon.conversation import Answer, leaves_no_answer
from servers.gamehost.rcon.errors import (
    ConnectionLost,
    InvalidCommand,
    PasswordRefused,
    ProtocolFault,
    RconError,
    TimedOut,
    Unreachable,
)
from servers.gamehost.rcon.guard import forget
from servers.gamehost.rcon.packets import check
