"""A host that answers pages in the test's own thread."""

from __future__ import annotations

from typing import Any

import pytest

from servers.hosts import rpc, rpc_handlers


def answer_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the host's side of each call at once, without a worker and Redis."""

    def call(host: object, procedure: str, **values: Any) -> rpc.Reply:
        reply = rpc_handlers.handle(procedure, values)
        if reply is None:
            raise rpc.NotFound
        return reply

    monkeypatch.setattr(rpc, "call", call)
