"""What can go wrong between us and a server's remote console."""

from __future__ import annotations


class RconError(Exception):
    """Base of all failures here; the message may be shown, it never holds the password.

    `sent` is True when the command had left before things went wrong: it may have run. `partial` is what had
    come back by then.
    """

    def __init__(self, message: str, *, sent: bool = False, partial: str = "") -> None:
        self.sent = sent
        self.partial = partial
        super().__init__(message)


class InvalidCommand(RconError, ValueError):
    """The command was not sent: too long, empty, or holding characters that would break the protocol."""


class Unreachable(RconError):
    """Nobody answers at this address, or it hangs up before the login is through (as a ban looks, too)."""


class ConnectionLost(Unreachable):
    """The server hung up after it had let us in: a map change, a new password, a restart, a crash."""


class PasswordRefused(RconError):
    """The server said no. It counts these and bans; so this password is not offered to it again."""


class TimedOut(RconError):
    """Connected, but no complete answer in time: loading a map, overloaded, or stuck."""


class ProtocolFault(RconError):
    """What came back is not this protocol, or is larger than any honest answer."""
