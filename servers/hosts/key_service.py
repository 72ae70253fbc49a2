"""The service on the web that gives a host its key, for the host's token: `GET /api/v1/hosts/self/key`.

A host needs it when the key was replaced, and once after the upgrade from a release in which all hosts had one key.
"""

from __future__ import annotations

import asyncio
import json

from left4me.core.web import asgi
from left4me.core.web.asgi import Refusal
from servers.hosts import host_keys
from servers.hosts.content import host_of

PATH = "/api/v1/hosts/self/key"
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class Application(asgi.Application):
    def serves(self, path: str) -> bool:
        return path == PATH

    async def answer(self, scope: asgi.Scope, headers: asgi.Headers, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["method"] != "GET":
            raise Refusal(405, "Only GET")
        key = await asyncio.get_running_loop().run_in_executor(None, asgi.with_database, _key, headers)
        await asgi.start(send, _JSON)
        await asgi.send_body(send, json.dumps({"key": key}).encode(), more=False)


def _key(headers: asgi.Headers) -> str:
    host = host_of(headers)
    if host is None:
        raise Refusal(401, "Send this host's token")
    return host_keys.present_key(host)


application = Application()
