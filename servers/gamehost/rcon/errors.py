"""The errors of the remote console."""

from __future__ import annotations


class RconError(Exception):
    """Base of all errors of the remote console. The message may be shown; it never contains the password.

    `sent` is True when the command had been sent before the error: it may have run. `partial` is the answer received
    until then.
    """

    def __init__(self, message: str, *, sent: bool = False, partial: str = "") -> None:
        self.sent = sent
        self.partial = partial
        super().__init__(message)


class InvalidCommand(RconError, ValueError):
    """The command was not sent: too long, empty, or holding characters that would break the protocol."""


class Unreachable(RconError):
    """Nothing answers at this address, or it closes the connection before the login is complete, as for a ban."""


class ConnectionLost(Unreachable):
    """The server closed the connection after the login: a map change, a new password, a restart, a crash."""


class PasswordRefused(RconError):
    """The server refused the password. It bans addresses after some refusals, so this one is not sent again."""


class TimedOut(RconError):
    """Connected, but no complete answer in time: loading a map, overloaded, or stuck."""


class ProtocolFault(RconError):
    """The answer is not in this protocol, or larger than any valid answer."""
