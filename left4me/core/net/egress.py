"""The machines that outgoing HTTP may reach, enforced where the connection is made.

The check is part of the connection itself, so that every request, redirect and reconnect passes it by construction,
and the address that was checked is the address that is connected to: there is no second DNS lookup.
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

from left4me.core import concurrency

_SLICE_SECONDS = 0.2
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Networks of special purpose that Python counts as global, at least in some of its versions: protocol assignments, the
# old relays of 6to4, old site-local addresses, documentation, segment routing, discarded packets, local NAT64.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "fec0::/10", "3fff::/20", "5f00::/16", "100::/64"),
        *("2001::/23", "2001:db8::/32", "64:ff9b:1::/48"),
    )
)


class FetchError(Exception):
    """An outgoing request failed; the message is fit for an operator."""


class HostRefused(FetchError):
    """The address is not one that this installation may reach; a retry cannot help."""


class Unreachable(FetchError):
    """No name, no route, no TLS, no answer in time, or an answer that broke off."""


@dataclass(frozen=True)
class AllowedHosts:
    """Host suffixes reached by https on public addresses, and literal origins reached as they are written."""

    suffixes: tuple[str, ...] = ()
    origins: frozenset[tuple[str, str, int]] = frozenset()
    # By https any name and port that resolves to a public address: for addresses that users enter.
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
        """These hosts and, literally, the origin of `url`, such as the configured address of an API."""
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
    """Whether an IP address belongs to the public internet, also when one is embedded in another."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.sixtofour is not None or ip.teredo is not None:
            return False
    if any(ip in network for network in _SPECIAL):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_literal_private(host: str) -> bool:
    """Whether `host` is a literal address outside of the public internet, or a local name."""
    try:
        return not is_public(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith((".localhost", ".local", ".internal"))


@dataclass
class CancellableSocket:
    """A duplicate of a connection's descriptor: shutting it down wakes a reader that is blocked in any layer."""

    handle: socket.socket
    deadline: float | None = None
    expired: bool = False

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.handle.shutdown(socket.SHUT_RDWR)


@dataclass
class EgressGuard:
    """What the connections of one client share: the allowed hosts, the time limits, and the way to cut them off."""

    hosts: AllowedHosts
    cancelled: Callable[[], bool]
    connect_timeout: float
    read_timeout: float
    _sockets: dict[int, CancellableSocket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        concurrency.check(self.cancelled)

    def hold(self, sock: socket.socket) -> CancellableSocket:
        cancellable = CancellableSocket(socket.socket(fileno=os.dup(sock.fileno())))
        with self._lock:
            self._sockets[id(cancellable)] = cancellable
        return cancellable

    def release(self, cancellable: CancellableSocket) -> None:
        with self._lock:
            self._sockets.pop(id(cancellable), None)
            cancellable.handle.close()

    def watch(self) -> None:
        """Cut all connections once cancelled, and each one whose answer is overdue. Called several times a second."""
        cancelled = self.cancelled()
        now = time.monotonic()
        with self._lock:
            for cancellable in self._sockets.values():
                if cancellable.deadline is not None and now > cancellable.deadline:
                    cancellable.expired = True
                if cancelled or cancellable.expired:
                    cancellable.cut()

    def connect(self, scheme: str, host: str, port: int) -> socket.socket:
        """Connect to an address of `host` that may be reached.

        Raises HostRefused, Unreachable, Cancelled.
        """
        if not self.hosts.admits(scheme, host, port):
            raise HostRefused(f"{scheme}://{host}:{port} is not on the list of allowed download hosts")
        addresses = self._resolve(host, port)
        if not self.hosts.is_literal(scheme, host, port):
            addresses = [a for a in addresses if is_public(a[1][0])]
            if not addresses:
                raise HostRefused(f"{host} resolves to a private address")
        failure = "no address"
        for family, address in addresses:
            try:
                return self._dial(family, address)
            except OSError as error:
                failure = error.strerror or str(error)
        raise Unreachable(f"can't connect to {host}: {failure}")

    def _resolve(self, host: str, port: int) -> list[tuple[int, Any]]:
        # getaddrinfo can neither be interrupted nor given a time limit, so it runs in a thread that may be left
        # behind.
        answers: queue.Queue[list[tuple[int, Any]] | OSError] = queue.Queue()

        def ask() -> None:
            try:
                entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.put([(int(entry[0]), entry[4]) for entry in entries])
            except (OSError, UnicodeError) as error:
                answers.put(OSError(str(error)))

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        deadline = time.monotonic() + self.connect_timeout
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(queue.Empty):
                answer = answers.get(timeout=_SLICE_SECONDS)
                if isinstance(answer, OSError):
                    raise Unreachable(f"can't find {host}: {answer}")
                return answer
        raise Unreachable(f"can't find {host}: no answer within {self.connect_timeout:g} s")

    def _dial(self, family: int, address: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect_ex(address)
            deadline = time.monotonic() + self.connect_timeout
            # Not `select`, which knows descriptors below 1024 only.
            waiting = select.poll()
            waiting.register(sock, select.POLLOUT)
            while not waiting.poll(_SLICE_SECONDS * 1000):
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
    """The part of a connection that uses the guard; mixed into the plain and the TLS connection below."""

    guard: EgressGuard
    cancellable: CancellableSocket | None = None
    scheme_name = "http"
    _awaiting_answer = False

    def _new_conn(self) -> socket.socket:
        self._release()
        sock = self.guard.connect(self.scheme_name, self.host, int(self.port or 0))
        self.cancellable = self.guard.hold(sock)
        self.cancellable.deadline = time.monotonic() + self.guard.read_timeout
        return sock

    def connect(self) -> None:
        with self._in_time("the TLS handshake"):
            super().connect()

    def getresponse(self) -> Any:
        # A server that sends its headers byte by byte never exceeds the time limit of a single read.
        with self._in_time("the answer"):
            self._awaiting_answer = True
            try:
                return super().getresponse()
            finally:
                self._awaiting_answer = False

    @contextlib.contextmanager
    def _in_time(self, what: str) -> Iterator[None]:
        if self.cancellable is not None:
            self.cancellable.deadline = time.monotonic() + self.guard.read_timeout
        try:
            yield
        except (OSError, HTTPException):
            # The guard may have cut the connection on purpose.
            self._check_in_time(what)
            raise
        self._check_in_time(what)
        if self.cancellable is not None:
            self.cancellable.deadline = None

    def _check_in_time(self, what: str) -> None:
        self.guard.check()
        if self.cancellable is not None and self.cancellable.expired:
            raise Unreachable(f"{self.host}: {what} took longer than {self.guard.read_timeout:g} s")

    def close(self) -> None:
        super().close()
        # With "Connection: close" the library closes this object as soon as the headers are in, while the
        # body is still being read: the guard must be able to cut it until that is over.
        if not self._awaiting_answer:
            self._release()

    def _release(self) -> None:
        if self.cancellable is not None:
            self.guard.release(self.cancellable)
            self.cancellable = None


def pool_classes(guard: EgressGuard) -> dict[str, type[HTTPConnectionPool]]:
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
