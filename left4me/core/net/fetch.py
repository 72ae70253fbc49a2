"""Outgoing HTTP: allowed hosts at every hop, limits on size and time, nothing from the environment.

    with fetch.Client(hosts=hosts, cancelled=run.cancelled) as client:
        with client.get(url) as answer:
            for chunk in answer.chunks():
                ...

A cancelled client raises `Cancelled` within a second, in every phase: name lookup, connecting, waiting, reading.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from left4me.core.net.egress import AllowedHosts, EgressGuard, FetchError, HostRefused, Unreachable, pool_classes

__all__ = [
    "AllowedHosts",
    "Answer",
    "BadStatus",
    "Client",
    "FetchError",
    "HostRefused",
    "TooMuch",
    "Unreachable",
]

USER_AGENT = "left4me"
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 256 * 1024
_WATCH_SECONDS = 0.2
# A body may be slow, but one that stays below this rate for so long would block its connection for days.
_SLOWEST_BYTES_PER_SECOND = 1024
_SLOW_FOR_SECONDS = 60.0


class BadStatus(FetchError):
    """The server answered with an unexpected status."""

    def __init__(self, status: int, host: str, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(f"{host} answered with HTTP status {status}")


class TooMuch(FetchError):
    """The body is longer than it may be."""


class Answer:
    """A response: its status and headers, and its body in pieces."""

    def __init__(self, response: requests.Response, guard: EgressGuard, *, slow_after: float) -> None:
        self._response = response
        self._guard = guard
        self._slow_after = slow_after
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.host = urlsplit(response.url).hostname or ""

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives.

        Raises Unreachable when it breaks off, stalls or is too slow, and Cancelled.
        """
        window_start, window_bytes = time.monotonic(), 0
        while chunk := self._read():
            yield chunk
            window_bytes += len(chunk)
            elapsed = time.monotonic() - window_start
            if elapsed > self._slow_after:
                if window_bytes < elapsed * _SLOWEST_BYTES_PER_SECOND:
                    raise Unreachable(f"{self.host} sends too slowly ({window_bytes} bytes in {elapsed:.0f} s)")
                window_start, window_bytes = time.monotonic(), 0

    def body(self, *, limit: int, within: float) -> bytes:
        """The whole body. Raises TooMuch beyond `limit` bytes and Unreachable after `within` seconds."""
        deadline = time.monotonic() + within
        parts, size = [], 0
        for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise TooMuch(f"{self.host} sent more than {limit} bytes")
            if time.monotonic() > deadline:
                raise Unreachable(f"{self.host} took longer than {within:g} s to answer")
        return b"".join(parts)

    def _read(self) -> bytes:
        self._guard.check()
        try:
            return self._response.raw.read1(_CHUNK, decode_content=False) or b""
        except (HTTPError, OSError) as error:
            self._guard.check()
            raise Unreachable(f"{self.host} closed the connection early: {_words(error)}") from error


class Client:
    """An HTTP client. It keeps connections open while it is used as a context manager; threads may share it.

    At most `per_host` connections are open to one host; a further request waits for one of them. `ca` names a file
    with the authorities to trust instead of the usual ones.
    """

    def __init__(
        self,
        *,
        hosts: AllowedHosts,
        cancelled: Callable[[], bool] | None = None,
        per_host: int = 4,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        slow_after: float = _SLOW_FOR_SECONDS,
        ca: str = "",
    ) -> None:
        self._guard = EgressGuard(hosts, cancelled or (lambda: False), connect_timeout, read_timeout)
        self._slow_after = slow_after
        self._timeout = (connect_timeout, read_timeout)
        self._session = requests.Session()
        # No proxies, .netrc or certificate settings from the environment.
        self._session.trust_env = False
        if ca:
            self._session.verify = ca
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _GuardedAdapter(self._guard, per_host)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="fetch-watch", daemon=True)

    def __enter__(self) -> Client:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._session.close()
        self._watcher.join()

    @contextlib.contextmanager
    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """Get `url`, following redirects to allowed hosts. The answer may have any status. Raises FetchError."""
        for _ in range(_MOST_REDIRECTS + 1):
            url = self._admit(url)
            with self._request("GET", url, headers=headers) as answer:
                target = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or not target:
                    yield answer
                    return
                url = urljoin(url, target)
        raise Unreachable(f"more than {_MOST_REDIRECTS} redirects, the last to {urlsplit(url).hostname}")

    @contextlib.contextmanager
    def post_form(self, url: str, fields: Mapping[str, str]) -> Iterator[Answer]:
        """Send a form; redirects are not followed but returned. Raises FetchError."""
        with self._request("POST", self._admit(url), data=dict(fields)) as answer:
            yield answer

    @contextlib.contextmanager
    def send_json(self, url: str, value: object = None, *, method: str = "POST") -> Iterator[Answer]:
        """Send `value` as JSON; redirects are not followed but returned. Raises FetchError."""
        with self._request(method, self._admit(url), json=value) as answer:
            yield answer

    @contextlib.contextmanager
    def post(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send `body`; redirects are not followed but returned. Raises FetchError."""
        with self._request("POST", self._admit(url), data=body, headers=dict(headers)) as answer:
            yield answer

    def _admit(self, url: str) -> str:
        """`url`, upgraded to https for hosts that are allowed by suffix. Raises HostRefused."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise HostRefused("the download address is not valid") from error
        scheme = parts.scheme.lower()
        if scheme not in ("http", "https") or not host or parts.username is not None:
            raise HostRefused(f"“{url[:200]}” is not an https address")
        hosts = self._guard.hosts
        if scheme == "http" and not hosts.is_literal(scheme, host, port or 80):
            netloc = host if port in (None, 80) else parts.netloc
            scheme, parts = "https", parts._replace(scheme="https", netloc=netloc)
            port = parts.port
        if not hosts.admits(scheme, host, port or (443 if scheme == "https" else 80)):
            raise HostRefused(f"{host} is not on the list of allowed download hosts")
        return urlunsplit(parts)

    @contextlib.contextmanager
    def _request(self, method: str, url: str, **how: Any) -> Iterator[Answer]:
        host = urlsplit(url).hostname
        self._guard.check()
        try:
            response = self._session.request(
                method, url, stream=True, allow_redirects=False, timeout=self._timeout, **how
            )
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            self._guard.check()
            raise Unreachable(f"{host}: {_words(error)}") from error
        try:
            yield Answer(response, self._guard, slow_after=self._slow_after)
        finally:
            _put_away(response)

    def _watch(self) -> None:
        while not self._closed.wait(_WATCH_SECONDS):
            self._guard.watch()


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, guard: EgressGuard, per_host: int) -> None:
        self._guard = guard
        super().__init__(pool_connections=16, pool_maxsize=per_host, pool_block=True, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_classes(self._guard)


def _put_away(response: requests.Response) -> None:
    # A connection whose body was read to the end is reused; one with unread data must be closed.
    if response.raw.length_remaining == 0:
        response.raw.release_conn()
    response.close()


def _words(error: BaseException) -> str:
    """The innermost reason, without the library's object addresses and nested representations."""
    seen: BaseException = error
    while True:
        reason = getattr(seen, "reason", None)
        inner = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
        if inner is None or inner is seen:
            break
        seen = inner
    if isinstance(seen, TimeoutError):
        return "no data in time"
    return (getattr(seen, "strerror", None) or str(seen) or type(seen).__name__)[:200]
