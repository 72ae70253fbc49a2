"""The asyncio client: it keeps a connection, and reconnects when the server has closed it.

Servers cut every authenticated connection when `rcon_password` is written, even with the same value, and that
happens at each map load. So a closed connection is normal and no error.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import cast

from servers.gamehost.rcon import guard, packets
from servers.gamehost.rcon.blocking import HUNG_UP_ON_LOGIN, LEAVING_SECONDS
from servers.gamehost.rcon.conversation import Answer, Conversation, leaves_no_answer
from servers.gamehost.rcon.errors import ConnectionLost, PasswordRefused, RconError, TimedOut, Unreachable

_HUNG_UP = "The server closed the connection."


class _Channel(asyncio.Protocol):
    """Passes received data to the conversation and wakes the waiting caller."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.open = False
        self.settled_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        try:
            complete = self.conversation.receive(data)
        except RconError as error:
            self._settle(error)
            self.close()
            return
        if complete:
            self._settle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._settle(ConnectionLost(_HUNG_UP))

    async def say(self, data: bytes) -> None:
        """Sends, and returns when the conversation is complete. A caller that is cancelled here must close."""
        if not self.open or self._transport is None:
            raise ConnectionLost(_HUNG_UP)
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            # Not close(): a server that is stuck would keep the unsent rest, and the socket, forever.
            self._transport.abort()
            self._transport = None

    def _settle(self, error: RconError | None) -> None:
        if self._waiter is None or self._waiter.done():
            return
        self.settled_at = time.monotonic()
        if error is None:
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(error)


class Client:
    """The remote console of one server, for repeated commands. They are sent one after the other."""

    def __init__(self, host: str, port: int, password: str) -> None:
        self.host = host
        self.port = port
        self.password = password
        self._channel: _Channel | None = None
        self._turn = asyncio.Lock()
        # How long the last answer took, in seconds: from the question to the last packet, without connecting.
        self.answered_in: float | None = None

    @property
    def connected(self) -> bool:
        return self._channel is not None and self._channel.open

    async def ask(self, command: str, *, timeout: float, repeatable: bool = False) -> Answer:
        """Runs one command; raises as `execute` does.

        A `repeatable` command, one that changes nothing, is asked once more on a new connection when the old one
        turns out to be cut only while asking.
        """
        packets.body_of(command)
        async with self._turn, self._limited(timeout):
            kept = self.connected
            try:
                return await self._ask_once(command)
            except ConnectionLost:
                if not (kept and repeatable):
                    raise
            return await self._ask_once(command)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    @contextlib.asynccontextmanager
    async def _limited(self, timeout: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout):
                yield
        except TimeoutError as error:
            sent, partial = self._heard()
            raise TimedOut("The server did not respond in time.", sent=sent, partial=partial) from error
        finally:
            # An unfinished exchange would answer into the next one.
            if self._channel is not None and not self._channel.conversation.idle:
                self.close()

    def _heard(self) -> tuple[bool, str]:
        conversation = self._channel.conversation if self._channel is not None else None
        if conversation is None or not conversation.logged_in:
            return False, ""
        return True, conversation.text

    async def _ask_once(self, command: str) -> Answer:
        channel = await self._connected()
        if not leaves_no_answer(command):
            return await self._exchange(channel, command)
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                return await self._exchange(channel, command)
        except (ConnectionLost, TimeoutError):
            self.close()
            return Answer(channel.conversation.text, confirmed=False)

    async def _exchange(self, channel: _Channel, command: str) -> Answer:
        asked_at = time.monotonic()
        try:
            await channel.say(channel.conversation.ask(command))
        except RconError as error:
            error.sent = True
            error.partial = channel.conversation.text
            raise
        # Taken when the packet came: with many servers, this task may run much later.
        self.answered_in = channel.settled_at - asked_at
        return Answer(channel.conversation.text)

    async def _connected(self) -> _Channel:
        if self._channel is not None and self._channel.open:
            return self._channel
        guard.check(self.host, self.port, self.password)
        try:
            _, channel = await asyncio.get_running_loop().create_connection(_Channel, self.host, self.port)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"Nothing responds at {self.host}:{self.port} ({error}).") from error
        self._channel = channel
        try:
            await channel.say(channel.conversation.login(self.password))
        except PasswordRefused:
            guard.refused(self.host, self.port, self.password)
            raise
        except ConnectionLost as error:
            raise Unreachable(HUNG_UP_ON_LOGIN) from error
        guard.accepted(self.host, self.port, self.password)
        return channel
