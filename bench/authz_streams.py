"""The streams of `bench/authz`: rights that are taken away while a stream is open end it, or what it shows."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from django.test import Client, RequestFactory

from accounts import actions as accounts
from accounts.models import User
from accounts.tests.factories import make_token
from left4me import streams
from left4me.core.redis.client import async_subscriber
from left4me.core.web import sse
from left4me.core.web.sse import bundle, viewer
from left4me.jobs import actions as jobs
from left4me.testing.streams import Browser
from servers.actions import sharing
from servers.models import Server, ServerShare
from servers.tests.factories import make_host, make_server, share

# A look counts for others within half of its time, and the machine may be busy.
_LATEST = {"page": 1.5 * bundle.LOOK_SECONDS + 5, "log": 1.5 * viewer.LOOK_SECONDS + 5}
_numbers = itertools.count(1)


@dataclass
class Stay:
    """Somebody who watches a server by one stream."""

    owner: User
    user: User
    server: Server
    job: int
    credential: dict[str, str]
    token: Any = None

    def path(self, kind: str) -> tuple[str, str]:
        if kind == "page":
            return "/live", f"last_seq=1-0&log={self.server.pk}&job={self.job}"
        return {"log": f"/servers/{self.server.pk}/logs/stream", "job": f"/jobs/{self.job}/stream"}[kind], ""


def _revoke_share(stay: Stay) -> None:
    sharing.revoke(share=ServerShare.objects.get(server=stay.server), by=stay.owner)


def _deactivate(stay: Stay) -> None:
    accounts.set_active(user=stay.user, is_active=False, by=stay.owner, request=RequestFactory().post("/"))


def _revoke_session(stay: Stay) -> None:
    accounts.revoke_session(session=stay.user.sessions.get(), by=stay.user, request=RequestFactory().post("/"))


def _change_password(stay: Stay) -> None:
    accounts.end_sessions(user=stay.user)


def _revoke_token(stay: Stay) -> None:
    accounts.revoke_token(token=stay.token, by=stay.user, request=RequestFactory().post("/"))


def _delete_account(stay: Stay) -> None:
    User.objects.filter(pk=stay.user.pk).delete()


def _delete_server(stay: Stay) -> None:
    Server.objects.filter(pk=stay.server.pk).delete()


# What is lost, and whether the stream of a page goes on without the server.
LOSSES: list[tuple[str, Callable[[Stay], None], bool]] = [
    ("a share is revoked", _revoke_share, True),
    ("the account is deactivated", _deactivate, False),
    ("the account is deleted", _delete_account, False),
    ("the session is revoked", _revoke_session, False),
    ("the password changes", _change_password, False),
    ("the token is revoked", _revoke_token, False),
    ("the server is deleted", _delete_server, True),
]


def run(cast: Any, report: Any) -> None:
    print("Seconds until an open stream ends, or a page's stream says that its parts are gone:")
    asyncio.run(_watch_all(cast, report))


async def _watch_all(cast: Any, report: Any) -> None:
    application = sse.Application(
        sse.Hub(async_subscriber), streams.application._routes, authenticate=streams.authenticate, streams_per_user=10
    )
    try:
        # One after the other, so that each is measured alone; the kinds of streams at the same time.
        for what, lose, page_goes_on in LOSSES:
            seconds = await asyncio.gather(
                *(_watch(application, cast, kind, lose, page_goes_on=page_goes_on) for kind in ("log", "job", "page"))
            )
            line = ""
            for kind, after in zip(("log", "job", "page"), seconds, strict=True):
                line += f"{kind:>8}" + ("    never" if after is None else f"{after:>7.1f} s")
                if after is None:
                    report.fault(f"{what}: the stream {kind} goes on")
            print(f"  {what:<32}{line}", flush=True)
    finally:
        await application.hub.stop()
        await sync_to_async(connections.close_all)()


async def _watch(
    application: sse.Application, cast: Any, kind: str, lose: Callable[[Stay], None], *, page_goes_on: bool
) -> float | None:
    """The seconds from the loss to the end; None if it does not come."""
    stay = await sync_to_async(_furnish)(cast.owner, with_token=lose is _revoke_token)
    path, query = stay.path(kind)
    browser = Browser(application, path, query=query, host="localhost", **stay.credential)
    await browser.until(lambda: browser.status == 200 and browser.raw)
    await asyncio.sleep(1)
    await sync_to_async(lose)(stay)
    began = time.monotonic()

    def is_over() -> bool:
        gone = [event for event in browser.events if event.kind == "gone"]
        return browser.closed or (kind == "page" and page_goes_on and len(gone) == 2)

    try:
        async with asyncio.timeout(_LATEST.get(kind, _LATEST["log"])):
            while not is_over():
                await asyncio.sleep(0.1)
    except TimeoutError:
        return None
    finally:
        await browser.leave()
    return time.monotonic() - began


def _furnish(owner: User, *, with_token: bool) -> Stay:
    user = User.objects.create_user(f"watcher{next(_numbers)}")
    server = make_server(owner, host=make_host(first_port=27015, last_port=27115))
    share(server, user)
    job = jobs.request(operation="stop", resource=server.resource, by=owner, host=server.host.name)
    if with_token:
        key = make_token(user, scope="read")
        return Stay(owner, user, server, job.pk, {"authorization": f"Bearer {key}"}, user.api_tokens.get())
    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    return Stay(owner, user, server, job.pk, {"cookie": cookie})
