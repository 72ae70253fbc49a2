"""Which machines outgoing HTTP may reach, enforced where the connection is made.

The check sits in the connection itself, so that every request, redirect and reconnect passes it by
construction, and the address that was checked is the address that is connected to: a second DNS answer has
no say.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_SLICE_SECONDS = 0.2
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchError(Exception):
    """A request to the outside did not succeed; the message is fit for an operator."""


class HostRefused(FetchError):
    """The address is not one that this installation may speak to; asking again cannot help."""


class Unreachable(FetchError):
    """No name, no route, no TLS, no answer in time, or an answer that broke off."""


class Cancelled(FetchError):
    """The caller's `cancelled` turned true."""


@dataclass(frozen=True)
class AllowedHosts:
    """Host suffixes reached by https on public addresses, and literal origins reached as they are written."""

    suffixes: tuple[str, ...] = ()
    origins: frozenset[tuple[str, str, int]] = frozenset()
    # By https any name and port, as long as it leads to a public address: for addresses that users give.
    any_public: bool = False

    @classmethod
    def parse(cls, entries: Iterable[str]) -> AllowedHosts:
        """Read settings such as `.steamusercontent.com` or `http://127.0.0.1:9000`. Raises ValueError."""
        suffixes, origins = [], []
        for entry in (e.strip().lower() for e in entries):
            if "://" in entry:
                origins.append(_origin(entry))
            elif entry and "/" not in entry and ":" not in entry:
                suffixes.append(entry)
            elif entry:
                raise ValueError(f"“{entry}” is neither a host suffix nor scheme://host:port")
        return cls(tuple(suffixes), frozenset(origins))

    def with_origin(self, url: str) -> AllowedHosts:
        """These hosts and, literally, the origin of `url` (the configured address of an API)."""
        return replace(self, origins=self.origins | {_origin(url)})

    def with_any_public(self) -> AllowedHosts:
        return replace(self, any_public=True)

    def is_literal(self, scheme: str, host: str, port: int) -> bool:
        return (scheme, host.lower(), port) in self.origins

    def admits(self, scheme: str, host: str, port: int) -> bool:
        if self.is_literal(scheme, host, port):
            return True
        if self.any_public:
            return scheme == "https"
        name = host.lower().rstrip(".")
        matches = any(name == s.lstrip(".") or name.endswith("." + s.lstrip(".")) for s in self.suffixes)
        return scheme == "https" and port == _DEFAULT_PORTS["https"] and matches


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"“{url}” is not an http or https address")
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when it is one wrapped into another."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.sixtofour is not None or ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_literal_private(host: str) -> bool:
    """Whether `host` is an address, not a name, and none of the public internet; or a name for this machine."""
    try:
        return not is_public(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith((".localhost", ".local", ".internal"))


@dataclass
class Lifeline:
    """A second handle on a connection: shutting it down wakes whoever reads, in whatever layer."""

    handle: socket.socket
    deadline: float | None = None
    expired: bool = False

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.handle.shutdown(socket.SHUT_RDWR)


@dataclass
class Guard:
    """What the connections of one client share: the allowed hosts, the time limits, how to cut them off."""

    hosts: AllowedHosts
    cancelled: Callable[[], bool]
    connect_timeout: float
    read_timeout: float
    _lifelines: dict[int, Lifeline] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        if self.cancelled():
            raise Cancelled("cancelled")

    def hold(self, sock: socket.socket) -> Lifeline:
        lifeline = Lifeline(socket.socket(fileno=os.dup(sock.fileno())))
        with self._lock:
            self._lifelines[id(lifeline)] = lifeline
        return lifeline

    def release(self, lifeline: Lifeline) -> None:
        with self._lock:
            self._lifelines.pop(id(lifeline), None)
            lifeline.handle.close()

    def watch(self) -> None:
        """Cut every connection once cancelled, and each one whose answer is overdue."""
        cancelled = self.cancelled()
        now = time.monotonic()
        with self._lock:
            for lifeline in self._lifelines.values():
                if lifeline.deadline is not None and now > lifeline.deadline:
                    lifeline.expired = True
                if cancelled or lifeline.expired:
                    lifeline.cut()

    def connect(self, scheme: str, host: str, port: int) -> socket.socket:
        """A TCP connection to an address of `host` that may be reached.

        Raises HostRefused, Unreachable, Cancelled.
        """
        if not self.hosts.admits(scheme, host, port):
            raise HostRefused(f"{scheme}://{host}:{port} is not on the list of allowed download hosts")
        addresses = self._resolve(host, port)
        if not self.hosts.is_literal(scheme, host, port):
            addresses = [a for a in addresses if is_public(a[1][0])]
            if not addresses:
                raise HostRefused(f"{host} leads to a private address")
        failure = "no address"
        for family, address in addresses:
            try:
                return self._dial(family, address)
            except OSError as error:
                failure = error.strerror or str(error)
        raise Unreachable(f"cannot connect to {host}: {failure}")

    def _resolve(self, host: str, port: int) -> list[tuple[int, Any]]:
        # getaddrinfo can neither be interrupted nor given a time limit, so a thread that may be left
        # behind asks.
        answers: queue.Queue[list[tuple[int, Any]] | OSError] = queue.Queue()

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.put([(int(entry[0]), entry[4]) for entry in found])
            except (OSError, UnicodeError) as error:
                answers.put(OSError(str(error)))

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        deadline = time.monotonic() + self.connect_timeout
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(queue.Empty):
                answer = answers.get(timeout=_SLICE_SECONDS)
                if isinstance(answer, OSError):
                    raise Unreachable(f"cannot find {host}: {answer}")
                return answer
        raise Unreachable(f"cannot find {host}: no answer within {self.connect_timeout:g} s")

    def _dial(self, family: int, address: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect_ex(address)
            deadline = time.monotonic() + self.connect_timeout
            while not select.select([], [sock], [], _SLICE_SECONDS)[1]:
                self.check()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no answer within {self.connect_timeout:g} s")
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure:
                raise OSError(failure, os.strerror(failure))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self.read_timeout)
        except BaseException:
            sock.close()
            raise
        return sock


class _Guarded(HTTPConnection):
    """The part of a connection that asks the guard; mixed into the plain and the TLS connection below."""

    guard: Guard
    lifeline: Lifeline | None = None
    scheme_name = "http"
    _awaiting_answer = False

    def _new_conn(self) -> socket.socket:
        self._let_go()
        sock = self.guard.connect(self.scheme_name, self.host, int(self.port or 0))
        self.lifeline = self.guard.hold(sock)
        self.lifeline.deadline = time.monotonic() + self.guard.read_timeout
        return sock

    def connect(self) -> None:
        with self._in_time("the TLS handshake"):
            super().connect()

    def getresponse(self) -> Any:
        # A server that drips its headers would keep within every single read's time limit for ever.
        with self._in_time("the answer"):
            self._awaiting_answer = True
            try:
                return super().getresponse()
            finally:
                self._awaiting_answer = False

    @contextlib.contextmanager
    def _in_time(self, what: str) -> Iterator[None]:
        if self.lifeline is not None:
            self.lifeline.deadline = time.monotonic() + self.guard.read_timeout
        try:
            yield
        except (OSError, HTTPException):
            # Whatever broke, it may have been cut on purpose.
            self._check_in_time(what)
            raise
        self._check_in_time(what)
        if self.lifeline is not None:
            self.lifeline.deadline = None

    def _check_in_time(self, what: str) -> None:
        self.guard.check()
        if self.lifeline is not None and self.lifeline.expired:
            raise Unreachable(f"{self.host}: {what} took longer than {self.guard.read_timeout:g} s")

    def close(self) -> None:
        super().close()
        # With "Connection: close" the library closes this object as soon as the headers are in, while the
        # body is still being read: the lifeline must hold until that is over.
        if not self._awaiting_answer:
            self._let_go()

    def _let_go(self) -> None:
        if self.lifeline is not None:
            self.guard.release(self.lifeline)
            self.lifeline = None


def pool_classes(guard: Guard) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools, by scheme, all of whose connections go through `guard`."""

    class Plain(_Guarded):
        pass

    class Tls(_Guarded, HTTPSConnection):
        scheme_name = "https"

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    Plain.guard = Tls.guard = guard
    return {"http": PlainPool, "https": TlsPool}
