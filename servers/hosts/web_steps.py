"""How a worker host, which accepts no connections, asks the web for the steps of a transfer: with retries."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from django.conf import settings

from left4me.core.net import fetch
from left4me.jobs.context import JobContext
from overlays.replication.attempts import Attempts, Unavailable
from servers.hosts.server_steps import Declined, check_of

_LONGEST_ANSWER: Final = 64 * 1024
# The web may have to ask the new host for a free port.
_ANSWER_SECONDS: Final = 60.0


@contextlib.contextmanager
def opened(run: JobContext, kind: str) -> Iterator[WebSteps]:
    """The steps of this kind of transfer, for the job that runs."""
    with fetch.Client(
        hosts=fetch.AllowedHosts().with_origin(settings.LEFT4ME_WEB_URL),
        cancelled=run.cancelled,
        read_timeout=_ANSWER_SECONDS,
        ca=settings.LEFT4ME_WEB_CA,
    ) as client:
        yield WebSteps(run, client, kind)


class WebSteps:
    """Each call raises Declined, Unavailable and Cancelled."""

    def __init__(self, run: JobContext, client: fetch.Client, kind: str) -> None:
        self._run, self._client, self._kind = run, client, kind

    def ask(self, step: str, values: Mapping[str, object]) -> dict[str, Any]:
        """The answer to one step."""
        body = json.dumps(values).encode()

        def ask() -> dict[str, Any]:
            with self._client.post(self._url(step), body, headers=self._headers) as answer:
                return _told(answer)

        return self._repeated(ask)

    def put(self, piece: bytes, *, at: int) -> dict[str, Any]:
        """Send a piece with its SHA-256."""
        check = {"X-Content-SHA256": check_of(piece), "Content-Type": "application/octet-stream"}

        def send() -> dict[str, Any]:
            url = self._url("pieces", at=at)
            with self._client.post(url, piece, headers={**self._headers, **check}) as answer:
                return _told(answer)

        return self._repeated(send)

    def pieces(self, size: int) -> Iterator[bytes]:
        """All `size` bytes that the web has for this host; a connection that breaks is made again."""
        at = 0
        attempts = Attempts(self._run)
        while at < size:
            before = at
            try:
                with self._client.get(self._url("pieces", at=at), headers=self._headers) as answer:
                    _check(answer)
                    for chunk in answer.chunks():
                        at += len(chunk)
                        yield chunk
                if at < size:
                    raise fetch.Unreachable("the connection ended early")
            except fetch.Unreachable as error:
                attempts.failed(error, has_progress=at > before)

    def _repeated(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        for attempt in Attempts(self._run):
            try:
                return ask()
            except fetch.Unreachable as error:
                attempt.failed(error, has_progress=False)
        raise AssertionError  # the attempts end with Unavailable

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {settings.LEFT4ME_HOST_TOKEN}"}

    def _url(self, step: str, *, at: int | None = None) -> str:
        place = f"/api/v1/hosts/self/servers/{self._run.resource_id}/{self._kind}/{step}?job={self._run.job_id}"
        return settings.LEFT4ME_WEB_URL + place + ("" if at is None else f"&at={at}")


def _told(answer: fetch.Answer) -> dict[str, Any]:
    _check(answer)
    try:
        told = json.loads(answer.body(limit=_LONGEST_ANSWER, within=_ANSWER_SECONDS))
    except (ValueError, fetch.TooMuch) as error:
        raise Unavailable(f"the web server's response is not valid: {error}") from error
    if not isinstance(told, dict):
        raise Unavailable("the web server's response is not valid")
    return told


def _check(answer: fetch.Answer) -> None:
    """Raise the exception for a status other than 200."""
    if answer.status == 200:
        return
    if answer.status == 409:
        try:
            title = json.loads(answer.body(limit=_LONGEST_ANSWER, within=_ANSWER_SECONDS))["title"]
        except (ValueError, LookupError, TypeError, fetch.FetchError):
            title = "The web server refused it."
        raise Declined(str(title))
    if answer.status == 401:
        raise Unavailable(
            "the web server does not know this host's token. Create a new join URL there with left4mectl host add"
        )
    if answer.status == 404:
        raise Unavailable("the web server runs a release that does not know this step. Upgrade it first")
    # Temporary: the web is restarting or overloaded, or a piece was damaged on its way.
    if answer.status >= 500 or answer.status in (400, 429):
        raise fetch.Unreachable(f"{answer.host} answered with HTTP status {answer.status}")
    raise Unavailable(f"{answer.host} answered with HTTP status {answer.status}")
